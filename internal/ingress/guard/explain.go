package guard

import (
	"context"
	"crypto/x509"
	"fmt"
	"slices"
	"time"

	"github.com/perennial-pki/perennial/acceptance"
)

// Remembered returns the partners of a configuration with what its guard has seen, without changing anything.
func Remembered(ctx context.Context, c Config) (*acceptance.Partners, error) {
	seen, err := ReadSightings(ctx, c.State)
	if err != nil {
		return nil, err
	}
	partners, err := withSightings(c.Partners, seen)
	if err != nil {
		return nil, err
	}
	index, err := acceptance.New(partners)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", c.Path, err)
	}
	return index, nil
}

// Explain returns the decisions about the certificates of a file at an instant: one, or several for a file with the
// certificates of several callers. CAs beside them complete their chains. Nothing is changed.
func Explain(partners *acceptance.Partners, data []byte, now time.Time) []acceptance.Decision {
	all, err := parse(data)
	if err != nil {
		return []acceptance.Decision{Unreadable(err)}
	}
	leafs, cas := apart(all)
	decisions := make([]acceptance.Decision, len(leafs))
	for i, c := range leafs {
		decisions[i] = partners.Decide(slices.Concat([]*x509.Certificate{c}, cas), now)
	}
	return decisions
}

// Unreadable is the decision about a file that cannot be read as a certificate.
func Unreadable(err error) acceptance.Decision {
	return acceptance.Decision{Outcome: acceptance.Refuse, Code: acceptance.Malformed,
		Reason: fmt.Sprintf("this is not a certificate that can be read: %v", err)}
}
