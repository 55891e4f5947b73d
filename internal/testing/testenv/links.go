package testenv

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// module is the path of our module, with a trailing slash.
const module = "github.com/perennial-pki/perennial/"

// Links checks that a package links no packages of our module except the allowed ones, and no database driver. The
// names of the allowed packages are relative to the module.
func Links(t *testing.T, pkg string, allowed ...string) {
	t.Helper()
	out, err := exec.Command("go", "list", "-deps", pkg).CombinedOutput()
	if err != nil {
		t.Fatalf("go list -deps %s: %v\n%s", pkg, err, out)
	}
	linked := strings.Fields(string(out))
	if len(linked) < 20 {
		t.Fatalf("go list -deps %s printed only %d packages", pkg, len(linked))
	}
	for _, dependency := range linked {
		name, ours := strings.CutPrefix(dependency, module)
		switch {
		case ours && !slices.Contains(allowed, name):
			t.Errorf("%s links %s: it may link %s", pkg, name, strings.Join(allowed, ", "))
		case dependency == "database/sql", strings.HasPrefix(dependency, "modernc.org/"),
			strings.HasPrefix(dependency, "github.com/jackc/"), strings.HasPrefix(dependency, "github.com/riverqueue/"):
			t.Errorf("%s links the database package %s", pkg, dependency)
		case strings.HasPrefix(dependency, "github.com/aws/"), strings.HasPrefix(dependency, "github.com/tink-crypto/"),
			strings.HasPrefix(dependency, "github.com/ThalesGroup/"), strings.HasPrefix(dependency, "go.step.sm/crypto/kms"):
			t.Errorf("%s links %s, which only the service needs for its keys", pkg, dependency)
		}
	}
	for _, name := range allowed {
		if !slices.Contains(linked, module+name) {
			t.Errorf("%s does not link %s: remove it from the list", pkg, name)
		}
	}
}
