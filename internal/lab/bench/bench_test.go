package bench

import (
	"crypto"
	"strings"
	"testing"
	"time"

	"github.com/perennial-pki/perennial/internal/engine/store"
	"github.com/perennial-pki/perennial/internal/keys/keyring"
	"github.com/perennial-pki/perennial/internal/testing/testenv"
	"github.com/perennial-pki/perennial/tenancy"
)

func TestMain(m *testing.M) { testenv.Main(m) }

func TestAMeasurementRenewsWhatItSays(t *testing.T) {
	testenv.EachEngine(t, func(t *testing.T, url string) {
		const due = 600 // more than a page
		f, err := newFleet(t.Context(), url)
		testenv.Check(t, err)
		testenv.Check(t, f.fill(t.Context(), due, due, 0, threeUsers))
		f.alone = 100 * time.Millisecond
		r, err := f.renew(t.Context(), due, func() (crypto.Signer, error) { return keyring.Generate(tenancy.P256) })
		f.close()
		testenv.Check(t, err)
		if r.Due != due || r.Ratio <= 0 || r.RenewalsPerSecond <= 0 {
			t.Errorf("got %+v", r)
		}
		s, err := store.Open(t.Context(), url)
		testenv.Check(t, err)
		defer s.Close()
		mails, err := s.CountMails(t.Context())
		testenv.Check(t, err)
		if mails["queued"] != due {
			t.Errorf("mails %v", mails)
		}
		if _, err := Renew(t.Context(), url, 1); err == nil ||
			!strings.Contains(err.Error(), "a bench needs an empty one of its own") {
			t.Errorf("a database in use: %v", err)
		}
	})
}

func TestASweepFindsExactlyWhatIsDue(t *testing.T) {
	for _, due := range []int{0, 7, 50} {
		r, err := Sweep(t.Context(), "", 50, due)
		if err != nil || r.Due != due {
			t.Errorf("got %+v, %v", r, err)
		}
	}
	if _, err := Sweep(t.Context(), "", 5, 6); err == nil {
		t.Error("more due than there are")
	}
}

func TestTheConsoleIsMeasuredPageByPage(t *testing.T) {
	r, err := Console(t.Context(), "", 240, 60, 2)
	testenv.Check(t, err)
	if r.Renewed != 20 || len(r.Pages) < 25 {
		t.Errorf("%d renewed, %d pages", r.Renewed, len(r.Pages))
	}
	for _, p := range r.Pages {
		if p.P50 <= 0 || p.P99 < p.P50 || p.Bytes < 500 {
			t.Errorf("%+v", p)
		}
	}
}
