package policy

import "testing"

// The figures of the published rule sets, as computed independently when the project began.
func TestAuditReproducesThePublishedFigures(t *testing.T) {
	for _, c := range []struct {
		name         string
		surpriseFree bool
		single       Single
		steady       SteadyState
	}{
		{"sap-c4c", false, Single{4988, 396, 0.0794}, SteadyState{17210, 14215, 0.826, Range{304, 334}}},
	} {
		p, _ := Preset(c.name)
		r, err := Audit(p)
		if err != nil {
			t.Fatal(err)
		}
		if !r.Sound || r.SurpriseFree != c.surpriseFree || r.Single != c.single || r.SteadyState != c.steady {
			t.Errorf("%s: got %+v", c.name, r)
		}
	}
	r, err := Audit(preset(t, Default))
	if err != nil || !r.Sound || !r.SurpriseFree || r.CounterExample != "" || r.Policy != Default ||
		r.SteadyState.IntervalDays.Min < 300 {
		t.Errorf("the default: %+v, %v", r, err)
	}
	p := preset(t, Default)
	p.WarnTo = Days(50)
	if r, err := Audit(p); err == nil || r != (AuditReport{}) {
		t.Errorf("a policy that is not valid: %+v, %v", r, err)
	}
	p = preset(t, "short-lived")
	p.Schedule.Hour = 7
	if r, err := Audit(p); err != nil || r.SteadyState.IntervalDays.Max != round(r.SteadyState.IntervalDays.Max, 2) {
		t.Errorf("the interval is not rounded: %+v, %v", r.SteadyState, err)
	}
	for name, want := range map[string][2]float64{"sap-c4c-60": {0.019, 0.091}, "sap-c4c-92": {0.019, 0.374},
		"perennial": {0, 0}} {
		p, _ := Preset(name)
		r, err := Audit(p)
		if err != nil {
			t.Fatal(err)
		}
		if got := [2]float64{round(r.Single.Share, 3), round(r.SteadyState.Share, 3)}; got != want {
			t.Errorf("%s: shares %v, want %v", name, got, want)
		}
	}
}
