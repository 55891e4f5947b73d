package internal_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var (
	variable = regexp.MustCompile(`(?m)^(YEARS|YEARS_PACKAGES|PLAIN_PACKAGES) := (.*)$`)
	test     = regexp.MustCompile(`(?m)^func (Test\w+)\(`)
)

// "make test" leaves the tests that the Makefile's YEARS matches out of its first run, and runs them in the packages
// that it lists. A test of that name in another package would never run.
func TestEveryTestThatIsSkippedWithTheRaceDetectorRunsWithoutIt(t *testing.T) {
	makefile, err := os.ReadFile("../Makefile")
	if err != nil {
		t.Fatal(err)
	}
	values := map[string]string{}
	for _, match := range variable.FindAllStringSubmatch(string(makefile), -1) {
		values[match[1]] = match[2]
	}
	skipped := regexp.MustCompile(values["YEARS"])
	packages := strings.Fields(values["YEARS_PACKAGES"] + " " + values["PLAIN_PACKAGES"])
	found := 0
	err = filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		source, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		pkg := "./" + filepath.ToSlash(filepath.Dir(strings.TrimPrefix(path, ".."+string(filepath.Separator))))
		for _, name := range test.FindAllStringSubmatch(string(source), -1) {
			if !skipped.MatchString(name[1]) {
				continue
			}
			found++
			if !slices.Contains(packages, pkg) {
				t.Errorf("%s: %s is skipped by \"make test\": add %s to YEARS_PACKAGES, or rename the test", path, name[1], pkg)
			}
		}
		return nil
	})
	if err != nil || found < 10 {
		t.Errorf("%d tests match %q: %v", found, values["YEARS"], err)
	}
}
