package guard

import (
	"context"
	"crypto/x509"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"time"

	"github.com/perennial-pki/perennial/acceptance"
	"github.com/perennial-pki/perennial/internal/ingress/follow"
)

// Remembered returns the partners of a configuration and of its feeds with what its guard has seen, without changing
// anything.
func Remembered(ctx context.Context, c Config) (*acceptance.Partners, error) {
	seen, err := ReadSightings(ctx, c.State)
	if err != nil {
		return nil, err
	}
	listed, err := readListed(c)
	if err != nil {
		return nil, err
	}
	index, _, err := newPartners(c.Partners, listed, seen)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", c.Path, err)
	}
	return index, nil
}

// readListed returns the partners that the feeds of a configuration list, as its guard has read them last.
func readListed(c Config) (all []acceptance.Partner, err error) {
	for _, f := range c.Parties {
		// Nothing is fetched, and a warning about a damaged file is that of the guard.
		reader, err := openParty(c.State, f, follow.PartyConfig{Client: &http.Client{}, Log: slog.New(slog.DiscardHandler),
			Now: func() time.Time { return time.Time{} }})
		if err != nil {
			return nil, err
		}
		partners, _, _ := parsing{}.tenants(f.Name, reader.Documents())
		all = append(all, partners...)
	}
	return all, nil
}

// Explain returns the decisions about the certificates of a file at an instant: one, or several for a file with the
// certificates of several callers. CAs beside them complete their chains. Nothing is changed. The error is that of a
// file that cannot be read, about which [Unreadable] is the decision.
func Explain(partners *acceptance.Partners, data []byte, now time.Time) ([]acceptance.Decision, error) {
	all, err := parse(data)
	if err != nil {
		return nil, err
	}
	leafs, cas := apart(all)
	decisions := make([]acceptance.Decision, len(leafs))
	for i, c := range leafs {
		decisions[i] = partners.Decide(slices.Concat([]*x509.Certificate{c}, cas), now)
	}
	return decisions, nil
}

// Unreadable is the decision about a file that cannot be read as a certificate.
func Unreadable(err error) acceptance.Decision {
	return acceptance.Decision{Outcome: acceptance.Refuse, Code: acceptance.Malformed,
		Reason: fmt.Sprintf("this is not a certificate that can be read: %v", err)}
}
