package guard

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/binary"
	"strings"
	"time"

	"github.com/perennial-pki/perennial/acceptance"
)

const (
	// mostRecent limits the verdicts that are kept: at most twice as many.
	mostRecent = 1024
	// maxPassedOn limits the certificates above a caller's that are passed on, in bytes, and the chains whose verdict
	// is kept: a caller may send 256 KiB of any certificates.
	maxPassedOn = 16 << 10
	// fresh limits how long a verdict is used, because CAs that are not in the chain can expire too.
	fresh = 10 * time.Second
)

// A verdict is a decision with what does not change between the requests of a connection.
type verdict struct {
	decision acceptance.Decision
	partners *acceptance.Partners // that it was made for
	at       time.Time
	until    time.Time
	size     int // of the chain, in bytes
	// Client-Cert and Client-Cert-Chain (RFC 9440)
	certificate, chain string
}

func newVerdict(
	d acceptance.Decision,
	partners *acceptance.Partners,
	chain []*x509.Certificate,
	now time.Time,
) *verdict {
	v := &verdict{decision: d, partners: partners, at: now, until: now.Add(fresh)}
	bound := func(t time.Time) {
		if t.After(now) && t.Before(v.until) {
			v.until = t
		}
	}
	bound(d.AcceptedUntil)
	for _, c := range chain {
		bound(c.NotBefore)
		bound(c.NotAfter.Add(time.Nanosecond))
		v.size += len(c.Raw)
	}
	if d.Accepts(now) {
		v.certificate = byteSequence(chain[0])
		var above []string
		for _, c := range chain[1:] {
			above = append(above, byteSequence(c))
		}
		if v.size <= maxPassedOn {
			v.chain = strings.Join(above, ", ")
		}
	}
	return v
}

// byteSequence returns a certificate in the form of RFC 9440, section 2.1.
func byteSequence(c *x509.Certificate) string {
	return ":" + base64.StdEncoding.EncodeToString(c.Raw) + ":"
}

// holds reports whether the verdict is still that of the partners. A clock that was set back ends it too.
func (v *verdict) holds(partners *acceptance.Partners, now time.Time) bool {
	return v.partners == partners && !now.Before(v.at) && now.Before(v.until)
}

// A chainKey identifies a chain.
type chainKey [sha256.Size]byte

func keyOf(chain []*x509.Certificate) (key chainKey) {
	h := sha256.New()
	var length [4]byte
	for _, c := range chain {
		binary.BigEndian.PutUint32(length[:], uint32(len(c.Raw)))
		h.Write(length[:])
		h.Write(c.Raw)
	}
	return chainKey(h.Sum(key[:0]))
}
