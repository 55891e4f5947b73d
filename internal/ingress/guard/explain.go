package guard

import (
	"crypto/x509"
	"fmt"
	"slices"
	"time"

	"github.com/perennial-pki/perennial/acceptance"
)

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
