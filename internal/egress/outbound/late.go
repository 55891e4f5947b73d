package outbound

import (
	"crypto/tls"
	"net/http"

	"github.com/perennial-pki/perennial/internal/engine/standing"
	"github.com/perennial-pki/perennial/tenancy"
)

// onlyTLS12 is the setting for a receiver that asks for the certificate late, after it has seen a request. TLS 1.2 does
// that by renegotiation. TLS 1.3 has post-handshake authentication (RFC 8446, section 4.6.2), which crypto/tls does not
// offer.
const onlyTLS12 = "1.2"

// mayAskLate reports whether the answer to a question leaves open that the receiver would ask for a certificate in TLS
// 1.2.
func (r Result) mayAskLate(egress tenancy.Egress) bool {
	return !r.Handshake && !r.Asked && r.TLSVersion == tls.VersionTLS13 && r.Meaning == Refused && egress.MaxTLS == ""
}

// AsksLate reports whether a receiver asks for a certificate in TLS 1.2 only. It sends the safe request of head over a
// new connection of each version.
func (n *Network) AsksLate(id *standing.Identity, egress tenancy.Egress, head func() *http.Request) bool {
	asks := func(maxTLS string) bool {
		egress.MaxTLS = maxTLS
		c := n.Connections(id, egress)
		defer c.CloseIdleConnections()
		if res, err := c.RoundTrip(head()); err == nil {
			res.Body.Close()
		}
		return c.Asked()
	}
	return !asks("") && asks(onlyTLS12)
}
