// Package internal_test holds the layout of the house to its plan.
package internal_test

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/perennial-pki/perennial/"

// pure are the packages without I/O, clock and goroutines. Every package may import them.
var pure = []string{"tenancy", "policy", "rollover", "acceptance", "webhook"}

// layout lists which packages of ours a package may import besides the pure ones. Its order is from the bottom up: a
// line names only what stands above it. "x/..." stands for x and everything below it. The first line that fits counts.
var layout = []struct {
	pkg string
	may []string
}{
	{"tenancy", nil},
	{"policy", nil},
	{"rollover", nil},
	{"acceptance", nil},
	{"webhook", nil},
	{"internal/recent", nil},
	{"internal/filelock", nil},
	{"guard", []string{"internal/recent"}},
	{"client", nil},
	{"docs", nil},
	{"internal/yamlfile", nil},
	{"internal/feed", nil},
	{"internal/redact", nil},

	{"internal/keys/certfile", nil},
	{"internal/keys/...", []string{"internal/keys/...", "internal/yamlfile"}},

	{"internal/engine/standing", nil},
	{"internal/engine/store", []string{"internal/engine/standing", "internal/filelock", "internal/keys/certfile"}},
	{"internal/engine/ratelimit", []string{"internal/engine/store"}},
	{"internal/engine/parties", []string{"internal/engine/standing", "internal/engine/store", "internal/recent"}},
	{"internal/engine/watching", []string{"internal/engine/store", "internal/keys/certfile"}},
	{"internal/engine/rollovers", []string{"internal/engine/standing", "internal/engine/store", "internal/keys/..."}},
	{"internal/engine/feeds", []string{"internal/engine/rollovers", "internal/engine/standing", "internal/engine/store",
		"internal/feed", "internal/keys/keyring", "internal/recent"}},
	{"internal/engine/links", []string{"internal/engine/store", "internal/keys/keyring"}},
	{"internal/engine/lifecycle", []string{
		"internal/engine/feeds", "internal/engine/links", "internal/engine/standing", "internal/engine/store",
		"internal/engine/rollovers", "internal/keys/...",
	}},
	{"internal/engine/notify/markup", nil},
	{"internal/engine/notify", []string{"internal/engine/links", "internal/engine/notify/markup",
		"internal/engine/standing", "internal/engine/store", "internal/keys/certfile", "internal/keys/issuer",
		"internal/redact"}},
	{"internal/engine/webhooks", []string{"internal/engine/store", "internal/keys/keyring"}},
	{"internal/engine/importing", []string{
		"internal/engine/lifecycle", "internal/engine/store", "internal/keys/certfile", "internal/keys/keyring",
	}},
	{"internal/engine/jobs", []string{"internal/engine/lifecycle", "internal/engine/standing", "internal/engine/store"}},

	{"internal/egress/calm", nil},
	{"internal/egress/outbound", []string{"internal/engine/standing", "internal/keys/certfile", "internal/keys/givenup",
		"internal/redact"}},
	{"internal/egress/workload", []string{"internal/keys/certfile"}},
	{"internal/egress/gateway", []string{"internal/egress/outbound", "internal/egress/workload",
		"internal/engine/standing"}},
	{"internal/egress/control", []string{"internal/egress/gateway", "internal/engine/standing"}},
	{"internal/egress/control/inprocess", []string{"internal/engine/rollovers", "internal/engine/standing"}},
	{"internal/egress/serve", []string{
		"internal/egress/calm", "internal/egress/control", "internal/egress/gateway", "internal/egress/outbound",
		"internal/egress/workload", "internal/keys/certfile",
	}},
	{"internal/ingress/follow", []string{"internal/feed", "internal/filelock", "internal/keys/certfile"}},
	{"internal/ingress/guard", []string{"guard", "internal/feed", "internal/ingress/follow", "internal/egress/serve",
		"internal/engine/notify", "internal/filelock", "internal/keys/certfile", "internal/recent", "internal/yamlfile"}},

	{"internal/egress/poster", []string{"internal/egress/outbound", "internal/engine/webhooks", "internal/redact"}},
	{"internal/egress/diagnose", []string{"internal/egress/outbound", "internal/engine/standing",
		"internal/keys/certfile"}},
	{"internal/egress/lookout", []string{"internal/egress/outbound", "internal/engine/store", "internal/engine/watching",
		"internal/keys/certfile", "internal/redact"}},
	{"internal/egress/prober", []string{
		"internal/egress/outbound", "internal/engine/lifecycle", "internal/engine/standing", "internal/engine/store",
		"internal/keys/issuer",
	}},

	{"internal/front/publish", []string{"internal/feed", "internal/keys/certfile"}},
	{"internal/front/instructions", nil},
	{"internal/front/principal", nil},
	{"internal/front/identity/password", nil},
	{"internal/front/refusals", nil},
	{"internal/front/faults", nil},
	{"internal/front/words", nil},
	{"internal/front/identity", []string{
		"internal/front/identity/...", "internal/front/principal", "internal/front/refusals", "internal/engine/store",
	}},
	{"internal/front/api", []string{
		"client", "internal/feed", "internal/front/faults", "internal/front/principal", "internal/front/publish",
		"internal/front/refusals",
		"internal/front/words", "internal/egress/...", "internal/ingress/guard", "internal/engine/...",
		"internal/keys/certfile", "internal/keys/issuer", "internal/keys/keyring", "internal/redact",
	}},
	{"internal/front/web", []string{
		"client", "internal/front/faults", "internal/front/identity/...", "internal/front/instructions",
		"internal/front/principal",
		"internal/front/publish", "internal/front/refusals", "internal/front/words",
	}},

	{"internal/service", []string{
		"client", "internal/front/...", "internal/egress/...", "internal/ingress/guard", "internal/engine/...",
		"internal/keys/...",
	}},
	{"internal/lab/...", []string{
		"client", "guard", "internal/lab/...", "internal/front/...", "internal/egress/...", "internal/ingress/...",
		"internal/engine/...", "internal/keys/...",
	}},
	{"internal/testing/...", []string{
		"internal/testing/...", "internal/lab/receiver", "internal/egress/...", "internal/engine/...", "internal/keys/...",
	}},
	{"cmd/perennial-gateway", []string{"internal/egress/gateway", "internal/egress/serve"}},
	{"cmd/perennial", []string{
		"client", "internal/service", "internal/lab/...", "internal/front/...", "internal/egress/...", "internal/ingress/...",
		"internal/engine/...", "internal/keys/...",
	}},
}

func fits(pattern, pkg string) bool {
	below, subtree := strings.CutSuffix(pattern, "/...")
	return pkg == below || subtree && strings.HasPrefix(pkg, below+"/")
}

// Tests may import anything, also from above. The program that is shipped may not.
func TestImportsPointDown(t *testing.T) {
	list := exec.Command("go", "list", "-f", `{{.ImportPath}}{{range .Imports}} {{.}}{{end}}`, "./...")
	list.Dir = ".."
	out, err := list.CombinedOutput()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, out)
	}
	used := map[string]bool{}
	arrows := 0
	for line := range strings.Lines(string(out)) {
		paths := strings.Fields(line)
		pkg := strings.TrimPrefix(paths[0], module)
		if pkg == "internal" || pkg == "deploy" { // tests alone
			continue
		}
		i := slices.IndexFunc(layout, func(l struct {
			pkg string
			may []string
		}) bool {
			return fits(l.pkg, pkg)
		})
		if i < 0 {
			t.Errorf("%s is not in the layout: add it there, with what it may import", pkg)
			continue
		}
		used[layout[i].pkg] = true
		for _, path := range paths[1:] {
			imported, ours := strings.CutPrefix(path, module)
			if !ours {
				continue
			}
			arrows++
			if slices.Contains(pure, imported) && !slices.Contains(pure, pkg) || pkg == "rollover" && imported == "tenancy" ||
				pkg == "acceptance" && imported == "policy" {
				continue
			}
			if !slices.ContainsFunc(layout[i].may, func(p string) bool { return fits(p, imported) }) {
				t.Errorf("%s imports %s: its line in the layout does not allow that", pkg, imported)
			}
		}
	}
	for _, l := range layout {
		if !used[l.pkg] {
			t.Errorf("the layout names %s, which does not exist", l.pkg)
		}
	}
	if arrows < 100 {
		t.Fatalf("only %d imports between our packages were found", arrows)
	}
}

// A wing imports the wings below it and itself, whatever the lines above allow.
func TestNoWingImportsOneAboveIt(t *testing.T) {
	wings := []string{"internal/keys/...", "internal/engine/...", "internal/egress/...", "internal/front/...",
		"internal/service", "internal/lab/...", "internal/testing/...", "cmd/..."}
	wing := func(pkg string) int {
		return slices.IndexFunc(wings, func(w string) bool { return fits(w, pkg) })
	}
	for _, l := range layout {
		from := wing(strings.TrimSuffix(l.pkg, "/..."))
		for _, m := range l.may {
			if to := wing(strings.TrimSuffix(m, "/...")); from >= 0 && to > from {
				t.Errorf("the layout lets %s import %s, which stands in a wing above it", l.pkg, m)
			}
		}
	}
}
