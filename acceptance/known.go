package acceptance

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"slices"
	"time"
)

// Fingerprint is the SHA-256 of a certificate.
type Fingerprint [sha256.Size]byte

// String returns it in lower-case hexadecimal.
func (f Fingerprint) String() string { return hex.EncodeToString(f[:]) }

// A Known is a certificate reduced to what decisions compare, so that those of many partners need little memory.
type Known struct {
	Fingerprint Fingerprint
	// Body is the SHA-256 of the part that the CA has signed. Whoever holds the certificate can write an ECDSA
	// signature in another way, which changes the fingerprint, but not the body.
	Body      Fingerprint
	NotBefore time.Time
	NotAfter  time.Time
	DER       []byte
	// Arrangements are those for which the feed of a counterparty lists the certificate: see [Decision].
	Arrangements string

	subject, issuer string // in the form of [nameKey]
	serial          string // the bytes of the number
	uris, others    string // alternative names, sorted and joined; empty for none
	key             strength
	clients         usage
}

// NewKnown returns what decisions need of a certificate.
func NewKnown(c *x509.Certificate) Known {
	k := Known{Fingerprint: sha256.Sum256(c.Raw), Body: sha256.Sum256(c.RawTBSCertificate), NotBefore: c.NotBefore,
		NotAfter: c.NotAfter, DER: c.Raw, subject: nameKey(c.RawSubject), issuer: nameKey(c.RawIssuer),
		key: strengthOf(c), clients: usageOf(c)}
	if c.SerialNumber != nil {
		k.serial = string(c.SerialNumber.Bytes())
	}
	k.uris, k.others = identities(c)
	return k
}

// certificate parses it again, which is needed for a certificate that was not seen before.
func (k Known) certificate() (*x509.Certificate, error) { return x509.ParseCertificate(k.DER) }

// SamePartner reports whether another certificate names the same partner as this one, whoever has issued it.
func (k Known) SamePartner(o Known) bool { return k.names(o) }

// SameSubject reports whether the subjects of two certificates are the same by RFC 5280, section 7.1.
func (k Known) SameSubject(o Known) bool { return k.subject == o.subject }

// IsSelfIssued reports whether a certificate names itself as its issuer.
func (k Known) IsSelfIssued() bool { return k.subject == k.issuer }

func (k Known) lifetime() time.Duration { return k.NotAfter.Sub(k.NotBefore) }

// names reports whether another certificate names the same partner as a known one: by the URIs, if the known one has
// some, and otherwise by the subject or by all other alternative names. Certificates of workloads share a subject, and
// differ in their URI.
func (k Known) names(o Known) bool {
	if k.uris != "" {
		return k.uris == o.uris
	}
	return k.subject != "" && k.subject == o.subject || k.others != "" && k.others == o.others
}

// keys are the texts under which the partner of a certificate is found.
func (k Known) keys() (all []string) {
	for _, n := range []string{"uris " + k.uris, "subject " + k.subject, "others " + k.others} {
		if n[len(n)-1] != ' ' {
			all = append(all, n)
		}
	}
	return all
}

// ownKeys are the keys by which [Known.names] compares a known certificate.
func (k Known) ownKeys() []string {
	if k.uris != "" {
		return k.keys()[:1]
	}
	return k.keys()
}

// A usage states whether a certificate is for clients.
type usage byte

const (
	forClients usage = iota
	unlimited        // it has no extended key usage, or the one that stands for any
	notForClients
)

func usageOf(c *x509.Certificate) usage {
	switch {
	case c.IsCA, c.KeyUsage != 0 && c.KeyUsage&x509.KeyUsageDigitalSignature == 0:
		return notForClients
	case len(c.ExtKeyUsage)+len(c.UnknownExtKeyUsage) == 0, slices.Contains(c.ExtKeyUsage, x509.ExtKeyUsageAny):
		return unlimited
	case slices.Contains(c.ExtKeyUsage, x509.ExtKeyUsageClientAuth):
		return forClients
	}
	return notForClients
}

// A strength is the type and the size of a key.
type strength struct {
	algorithm x509.PublicKeyAlgorithm
	bits      int
}

func strengthOf(c *x509.Certificate) strength {
	switch key := c.PublicKey.(type) {
	case *rsa.PublicKey:
		return strength{x509.RSA, key.N.BitLen()}
	case *ecdsa.PublicKey:
		return strength{x509.ECDSA, key.Curve.Params().BitSize}
	case ed25519.PublicKey:
		return strength{x509.Ed25519, 256}
	}
	return strength{}
}

// level returns the security strength in bits (NIST SP 800-57 part 1, table 2); 0 for keys that are too weak or
// unknown.
func (s strength) level() int {
	if s.algorithm == x509.RSA {
		switch {
		case s.bits < 2048:
			return 0
		case s.bits < 3072:
			return 112
		case s.bits < 7680:
			return 128
		}
		return 192
	}
	if s.bits < 256 {
		return 0
	}
	return s.bits / 2
}

// isWeakerThan reports whether a key is weaker than the one before.
func (s strength) isWeakerThan(o strength) bool {
	return s.level() < o.level() || s.algorithm == o.algorithm && s.bits < o.bits
}

func (s strength) String() string {
	if s.algorithm == x509.UnknownPublicKeyAlgorithm {
		return "an unknown kind of key"
	}
	return fmt.Sprintf("%s %d", s.algorithm, s.bits)
}
