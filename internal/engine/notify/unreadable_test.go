package notify

import (
	"log/slog"
	"testing"

	"github.com/perennial-pki/perennial/tenancy"
)

// A certificate that cannot be read, of an issuer that is not stored, does not keep a mail from being sent.
func TestAMailIsDueAlthoughItsCertificatesCannotBeCompared(t *testing.T) {
	d := &Deliverer{log: slog.New(slog.DiscardHandler)}
	all := records{chains: map[string][][]byte{"x": nil}}
	c := tenancy.Certificate{Generation: 1, DER: []byte{0x30, 0}, IssuerID: "x"}
	var l Letter
	if err := d.changed(t.Context(), &l, all, c, c); err != nil || l.ChangesKnown {
		t.Errorf("%v, changes known: %v", err, l.ChangesKnown)
	}
}
