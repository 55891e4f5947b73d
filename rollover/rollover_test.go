package rollover

import (
	"testing"

	"github.com/perennial-pki/perennial/tenancy"
)

func TestImmediateSwitchesAtOnceAndOnlyWhatPresentsACertificate(t *testing.T) {
	a := tenancy.Arrangement{Authentication: tenancy.ClientCertificate, Strategy: tenancy.Immediate, Generation: 3}
	after, cutOver := Renewed(a, 4)
	if !cutOver || after.Generation != 4 {
		t.Errorf("got %+v, %v", after, cutOver)
	}
	if _, again := Renewed(after, 4); again {
		t.Error("cut over twice")
	}
	basic := tenancy.Arrangement{Authentication: tenancy.Basic}
	if got, cutOver := Renewed(basic, 4); cutOver || got != basic {
		t.Errorf("got %+v", got)
	}
	if Settled([]tenancy.Arrangement{after, basic, a}, 4) || !Settled([]tenancy.Arrangement{after, basic}, 4) || !Settled(nil, 4) {
		t.Error("settled while an arrangement presents the old generation, or not settled although none does")
	}
}
