package docs

import (
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var (
	link    = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	heading = regexp.MustCompile(`(?m)^#+ (.+)$`)
	notSlug = regexp.MustCompile(`[^\w\- ]`)
)

// planned is a document that others refer to already. Remove it here once it exists.
const planned = "extending.md"

func TestEveryLinkLeadsToAFileAndAHeading(t *testing.T) {
	checked := 0
	for _, d := range documents(t) {
		for _, m := range link.FindAllStringSubmatch(d.prose, -1) {
			target, anchor, _ := strings.Cut(m[1], "#")
			if strings.Contains(target, "://") {
				continue
			}
			checked++
			file := filepath.Join("..", path.Dir(d.path), target)
			if target == "" {
				file = filepath.Join("..", d.path)
			}
			if _, err := os.Stat(file); err != nil && path.Base(target) == planned {
				t.Logf("%s: %s is not written yet", d.path, target)
				continue
			} else if err != nil {
				t.Errorf("%s: the link %s leads nowhere: %v", d.path, m[1], err)
				continue
			}
			if anchor == "" {
				continue
			}
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if !slices.ContainsFunc(heading.FindAllStringSubmatch(string(data), -1), func(h []string) bool {
				return strings.ReplaceAll(strings.ToLower(notSlug.ReplaceAllString(h[1], "")), " ", "-") == anchor
			}) {
				t.Errorf("%s: the link %s leads to no heading", d.path, m[1])
			}
		}
	}
	atLeast(t, 20, checked, "links")
}
