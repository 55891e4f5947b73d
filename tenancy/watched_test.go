package tenancy

import (
	"errors"
	"strings"
	"testing"
)

func TestWhatIsWatchedIsCheckedBeforeItIsStored(t *testing.T) {
	many := make([]WatchedSystem, mostSystems+1)
	for i := range many {
		many[i].Name = strings.Repeat("x", i+1)
	}
	for name, c := range map[string]struct {
		change func(*Watched)
		want   string // in the error; empty if it is valid
	}{
		"uploads":     {func(*Watched) {}, ""},
		"a folder":    {source(WatchFolder, "/var/lib/partners"), ""},
		"a URL":       {source(WatchURL, "https://partner.example.com/tenant.cer?x=1"), ""},
		"a server":    {source(WatchServer, "erp.example.com:443"), ""},
		"an IPv6":     {source(WatchServer, "[2001:db8::1]:8443"), ""},
		"systems":     {systems("erp", "erp 2"), ""},
		"bad name":    {func(w *Watched) { w.Name = "Acme C4C" }, "name"},
		"bad owner":   {func(w *Watched) { w.Owner = "SAP\n" }, "owner"},
		"relative":    {source(WatchFolder, "partners"), "not an absolute path"},
		"plain HTTP":  {source(WatchURL, "http://partner.example.com/"), "not an https URL"},
		"password":    {source(WatchURL, "https://a:b@partner.example.com/"), "must not contain a user name"},
		"fragment":    {source(WatchURL, "https://partner.example.com/#x"), "fragment"},
		"no port":     {source(WatchServer, "erp.example.com"), "erp.example.com:443"},
		"no host":     {source(WatchServer, ":443"), "erp.example.com:443"},
		"port 0":      {source(WatchServer, "erp.example.com:0"), "erp.example.com:443"},
		"unknown":     {source("ftp", "x"), "use folder, url or server"},
		"no kind":     {source("", "x"), "needs a kind"},
		"long":        {source(WatchURL, "https://x/"+strings.Repeat("x", maxAddress)), "longer than"},
		"terminal":    {source(WatchFolder, "/\x1b[2J"), "cannot be printed"},
		"twice":       {systems("erp", "erp"), "twice"},
		"many":        {func(w *Watched) { w.Systems = many }, "more than 50"},
		"empty":       {systems(""), "systems"},
		"identifiers": {func(w *Watched) { w.Systems = []WatchedSystem{{"erp", []Identifier{"x"}}} }, "unknown identifier"},
	} {
		w := Watched{Name: "acme-c4c", Owner: "SAP"}
		c.change(&w)
		err := w.Check()
		switch {
		case c.want == "" && err != nil:
			t.Errorf("%s: %v", name, err)
		case c.want != "" && (!errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), c.want)):
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}

func source(kind WatchSourceKind, address string) func(*Watched) {
	return func(w *Watched) { w.Source = WatchSource{kind, address} }
}

func systems(names ...string) func(*Watched) {
	return func(w *Watched) {
		for _, n := range names {
			w.Systems = append(w.Systems, WatchedSystem{Name: n})
		}
	}
}
