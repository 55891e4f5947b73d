package outbound

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"strings"
	"testing"

	"github.com/perennial-pki/perennial/internal/testing/testenv"
	"github.com/perennial-pki/perennial/tenancy"
)

func TestTrustInANewCAFollowsFromTheComparison(t *testing.T) {
	missing := Result{Status: 400, Reading: Reading{Meaning: Refused, Reason: CertificateMissing,
		Kind: Kind{Status: 400}, Detail: "400 of nginx"}}
	invalid := Result{Status: 400, Reading: Reading{Meaning: Refused, Reason: CertificateError, Kind: Kind{Status: 400},
		Detail: "400, an error"}}
	refusedHandshake := required
	refusedHandshake.Handshake = true
	pin, key, ca := tenancy.ByCertificate, tenancy.ByKey, tenancy.ByCA
	const untrusted, trusted, unknown = tenancy.Untrusted, tenancy.Trusted, tenancy.TrustUnknown
	for _, c := range []struct {
		name                   string
		control, current, next Result
		by                     []tenancy.Identifier
		want                   tenancy.Trust
		why                    string
	}{
		{"the present one is refused", denied, denied, ok, nil, unknown,
			"401 Unauthorized with the present certificate, so that there is nothing to compare with"},
		{"the receiver is down", denied, ok, down, nil, unknown, "no answer"},
		{"TLS accepts it, and nothing without a certificate", refusedHandshake, handshook, handshook, nil, trusted,
			"TLS accepts a certificate of the new CA, and refuses the connection without one"},
		{"TLS accepts anything", handshook, handshook, handshook, nil, unknown, "give the arrangement a probe"},
		{"the answer is that to the present one", denied, ok, ok, nil, trusted,
			"200 OK as with the present certificate, and 401 Unauthorized without one"},
		{"everyone gets the same", ok, ok, ok, nil, unknown, "200 OK with and without a certificate"},
		{"TLS refuses it", required, ok, unknownCA, nil, untrusted,
			"TLS alert: unknown CA, and 200 OK with the present certificate"},
		{"TLS refuses it in a bare handshake", handshook, handshook, unknownCA, nil, untrusted, "unknown CA"},
		{"nginx cannot verify it", missing, ok, invalid, nil, untrusted, "400, an error, and 200 OK"},
		{"the connection is closed", required, ok, closed, nil, untrusted, "the connection was closed, and 200 OK"},
		{"the application refuses it, and TLS a connection without one", required, ok, denied, nil, trusted,
			"TLS accepts a certificate of the new CA. The application answers 401 Unauthorized"},
		{"the application refuses it, and nginx a request without one", missing, ok, denied, nil, trusted,
			"TLS accepts a certificate of the new CA"},
		{"the application refuses it, and nginx could not verify none", invalid, ok, denied, nil, trusted,
			"TLS accepts a certificate of the new CA"},
		{"the application refuses it and everyone else", denied, ok, denied, nil, unknown,
			"401 Unauthorized, and 200 OK with the present certificate: this proves nothing about the new CA"},
		{"the receiver pins certificates", denied, ok, denied, []tenancy.Identifier{pin}, trusted,
			"401 Unauthorized: the receiver identifies single certificates, so the CA makes no difference"},
		{"the receiver pins keys and certificates", denied, ok, denied, []tenancy.Identifier{pin, key}, trusted,
			"identifies single certificates"},
		{"the receiver checks the CA too", denied, ok, denied, []tenancy.Identifier{pin, ca}, unknown,
			"this proves nothing"},
		{"only the handshake knows the present one", required, handshook, denied, []tenancy.Identifier{pin}, unknown,
			"this proves nothing"},
		{"everyone is answered, and the new one gets a handshake", ok, ok, handshook, nil, unknown,
			"the TLS handshake succeeded, which proves nothing"},
	} {
		got, why := Trusts(c.control, c.current, c.next, c.by)
		if got != c.want || !strings.Contains(why.String(), c.why) {
			t.Errorf("%s: %q (%s), want %q (%s)", c.name, got, why, c.want, c.why)
		}
	}
}

func TestAReceiverNamesANewCAByItsSubject(t *testing.T) {
	certificate := func(subject, issuer string) []byte {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		testenv.Check(t, err)
		template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: subject}}
		parent := &x509.Certificate{SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: issuer}}
		der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), key)
		testenv.Check(t, err)
		return der
	}
	name := func(der []byte) []byte {
		c, err := x509.ParseCertificate(der)
		testenv.Check(t, err)
		return c.RawSubject
	}
	old, next, other := certificate("old CA", "root"), certificate("new CA", "root"), certificate("other CA", "root")
	present := certificate("acme", "old CA")
	for _, c := range []struct {
		what        string
		named       [][]byte
		ca, present []byte
		want        bool
	}{
		{"the new CA alone", [][]byte{name(next)}, next, present, true},
		{"all CAs", [][]byte{name(old), name(other), name(next)}, next, present, true},
		{"other CAs", [][]byte{name(old), name(other)}, next, present, false},
		{"no CA", nil, next, present, false},
		{"a CA with the name of the present issuer", [][]byte{name(old)}, old, present, false},
		{"a CA that cannot be read", [][]byte{name(next)}, []byte{1}, present, false},
		{"a present certificate that cannot be read", [][]byte{name(next)}, next, []byte{1}, false},
	} {
		if got := (Result{acceptable: c.named}).Names(c.ca, c.present); got != c.want {
			t.Errorf("%s: %v", c.what, got)
		}
	}
}
