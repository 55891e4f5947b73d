package notify

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"testing"

	"github.com/perennial-pki/perennial/internal/engine/store"
	"github.com/perennial-pki/perennial/tenancy"
)

// A certificate that cannot be read, of an issuer that is not stored, does not keep a mail from being sent.
func TestAMailIsDueAlthoughItsCertificatesCannotBeCompared(t *testing.T) {
	var logged bytes.Buffer
	d := &Deliverer{store: &store.Store{}, log: slog.New(slog.NewTextHandler(&logged, nil))}
	all := records{chains: map[string][][]byte{"x": nil}}
	c := tenancy.Certificate{Generation: 1, DER: []byte{0x30, 0}, IssuerID: "x"}
	l := Letter{Tenant: "acme"}
	if err := d.changed(t.Context(), &l, all, c, c); err != nil || l.ChangesKnown ||
		!strings.Contains(logged.String(), "tenant=acme generation=1") {
		t.Errorf("%v, changes known: %v, logged %q", err, l.ChangesKnown, &logged)
	}
}

// The database may answer later, so the mail waits.
func TestAMailWaitsIfTheChainOfACertificateCannotBeRead(t *testing.T) {
	w := newWorld(t)
	d := w.deliverer(&answers{})
	authorities, err := w.Store.Authorities(t.Context())
	check(t, err)
	full := errors.New("the disk is full")
	w.Store.BeforeStatements(func(string) error { return full })
	elsewhere := tenancy.Certificate{IssuerID: "elsewhere"}
	for name, changes := range map[string]func(l *Letter, all records) error{
		"a warning": func(l *Letter, all records) error { return d.expected(t.Context(), l, all, w.acme, elsewhere) },
		"a renewal": func(l *Letter, all records) error {
			return d.changed(t.Context(), l, all, elsewhere, tenancy.Certificate{IssuerID: authorities[0].ID})
		},
	} {
		all := records{authorities: authorities, chains: map[string][][]byte{}}
		if err := changes(&Letter{}, all); !errors.Is(err, full) || len(all.chains) != 0 {
			t.Errorf("%s: %v, and %d chains are kept", name, err, len(all.chains))
		}
	}
}
