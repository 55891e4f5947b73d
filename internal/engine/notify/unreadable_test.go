package notify

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"

	"github.com/perennial-pki/perennial/tenancy"
)

// A certificate that cannot be read, of an issuer that is not stored, does not keep a mail from being sent.
func TestAMailIsDueAlthoughItsCertificatesCannotBeCompared(t *testing.T) {
	var logged bytes.Buffer
	d := &Deliverer{log: slog.New(slog.NewTextHandler(&logged, nil))}
	all := records{chains: map[string][][]byte{"x": nil}}
	c := tenancy.Certificate{Generation: 1, DER: []byte{0x30, 0}, IssuerID: "x"}
	l := Letter{Tenant: "acme"}
	if err := d.changed(t.Context(), &l, all, c, c); err != nil || l.ChangesKnown ||
		!strings.Contains(logged.String(), "tenant=acme generation=1") {
		t.Errorf("%v, changes known: %v, logged %q", err, l.ChangesKnown, &logged)
	}
}
