package est

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	"encoding/asn1"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/perennial-pki/perennial/internal/keys/issuer"
)

// The object identifiers of CSR attributes that matter here.
const (
	challengePassword = "1.2.840.113549.1.9.7"
	rsaEncryption     = "1.2.840.113549.1.1.1"
	ecPublicKey       = "1.2.840.10045.2.1"
)

var curves = map[string]string{"1.2.840.10045.3.1.7": "P-256", "1.3.132.0.34": "P-384", "1.3.132.0.35": "P-521"}

// attributes are the CSR attributes that a server asks for (RFC 7030, section 4.5.2): object identifiers, with the
// values of those that have some. A server lists its requirements for a request. This issuer checks those that would
// make the request fail, and ignores those that it cannot know.
type attributes map[string][]string

// parseAttributes reads a CsrAttrs (DER): a sequence of object identifiers and attributes.
func parseAttributes(der []byte) (attributes, error) {
	unreadable := func(err error) error {
		return &issuer.Error{Fault: issuer.Broken, Text: "the answer of the CA cannot be read", Err: err}
	}
	var items []asn1.RawValue
	if rest, err := asn1.Unmarshal(der, &items); err != nil || len(rest) > 0 {
		return nil, unreadable(errors.Join(err, errors.New("it is not a CsrAttrs (RFC 7030, section 4.5.2)")))
	}
	all := attributes{}
	for _, item := range items {
		var oid asn1.ObjectIdentifier
		if _, err := asn1.Unmarshal(item.FullBytes, &oid); err == nil {
			all[oid.String()] = nil
			continue
		}
		var attribute struct {
			Type   asn1.ObjectIdentifier
			Values []asn1.RawValue `asn1:"set"`
		}
		if _, err := asn1.Unmarshal(item.FullBytes, &attribute); err != nil {
			return nil, unreadable(err)
		}
		name := attribute.Type.String()
		all[name] = []string{}
		for _, value := range attribute.Values {
			if _, err := asn1.Unmarshal(value.FullBytes, &oid); err == nil {
				all[name] = append(all[name], oid.String())
			}
		}
	}
	return all, nil
}

// check returns an error if a request with the key cannot have what the server asks for.
func (a attributes) check(key crypto.PublicKey) error {
	if _, asked := a[challengePassword]; asked {
		return errors.New("the CA requires a challenge password that proves the TLS connection (RFC 7030, section 3.5), " +
			"which TLS 1.3 does not have: disable this at the CA")
	}
	_, wantsRSA := a[rsaEncryption]
	wantedCurves, wantsEC := a[ecPublicKey]
	switch k := key.(type) {
	case *rsa.PublicKey:
		if wantsEC && !wantsRSA {
			return errors.New("the CA requires a key on an elliptic curve: change the key type of the tenant")
		}
	case *ecdsa.PublicKey:
		if wantsRSA && !wantsEC {
			return errors.New("the CA requires an RSA key: change the key type of the tenant")
		}
		if len(wantedCurves) == 0 {
			return nil
		}
		var names []string
		for _, oid := range wantedCurves {
			names = append(names, curves[oid])
		}
		if !slices.Contains(names, k.Params().Name) {
			return fmt.Errorf("the CA requires a key on the curve %s: change the key type of the tenant",
				strings.Join(names, " or "))
		}
	}
	return nil
}
