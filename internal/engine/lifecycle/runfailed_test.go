package lifecycle

import "testing"

func TestARunThatFailsIsRecordedOnceADay(t *testing.T) {
	begin := date("2026-01-15")
	f := sqlite(t, "perennial", begin)
	f.tenant("acme", begin)
	check(t, f.Tick(t.Context(), date("2026-11-15")))
	f.down["acme"] = true
	recorded := func() (n int) {
		for _, action := range f.actions("", "2026-12-01T00:00:00Z") {
			if action == "run.failed" {
				n++
			}
		}
		return n
	}
	for _, c := range []struct {
		at   string
		want int
	}{{"2026-12-01", 1}, {"2026-12-01", 1}, {"2026-12-02", 2}} {
		if err := f.Tick(t.Context(), date(c.at)); err == nil {
			t.Fatal("the run did not fail")
		}
		if got := recorded(); got != c.want {
			t.Errorf("%s: %d events, want %d", c.at, got, c.want)
		}
	}
	f.down["acme"] = false
	check(t, f.Tick(t.Context(), date("2026-12-03")))
	if got := recorded(); got != 2 {
		t.Errorf("after the run has succeeded: %d events", got)
	}
}
