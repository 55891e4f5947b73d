package certfile

import (
	"crypto/x509"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"math/big"

	"software.sslmate.com/src/go-pkcs12"

	"github.com/perennial-pki/perennial/tenancy"
)

var (
	// errNoMAC is returned for PKCS#12 without integrity protection.
	errNoMAC = tenancy.Failure("this PKCS#12 file has no MAC, so nothing shows whether it was changed: export it again " +
		"with a password and a MAC")
	// errNotPKCS12 is returned for data that is not PKCS#12 with a private key and its certificate.
	errNotPKCS12 = tenancy.Failure("not PKCS#12 with a private key and its certificate")
)

// errIterations is returned for PKCS#12 that would keep a processor busy.
var errIterations = tenancy.Failure("this PKCS#12 file asks for more than %d iterations of its key derivation: export "+
	"it again with fewer", maxIterations)

// maxNesting is deeper than any PKCS#12 file.
const maxNesting = 24

// tooManyIterations reports whether DER has a derivation with more than [maxIterations]. In each form (RFC 7292,
// section 4 and appendix C; RFC 8018, appendix A), the count follows the salt: an INTEGER behind an OCTET STRING. It
// looks into octet strings too, because PKCS#12 nests its parts in them. What is encrypted is not seen.
func tooManyIterations(der []byte, depth int) bool {
	salted := false
	for len(der) > 0 && depth < maxNesting {
		var v asn1.RawValue
		rest, err := asn1.Unmarshal(der, &v)
		if err != nil {
			return false
		}
		der = rest
		octets := v.Class == asn1.ClassUniversal && v.Tag == asn1.TagOctetString
		if salted && v.Class == asn1.ClassUniversal && v.Tag == asn1.TagInteger &&
			new(big.Int).SetBytes(v.Bytes).Cmp(big.NewInt(maxIterations)) > 0 {
			return true
		}
		if (v.IsCompound || octets) && tooManyIterations(v.Bytes, depth+1) {
			return true
		}
		salted = octets
	}
	return false
}

// parsePKCS12 reads a private key and its certificates. The error is [ErrPassword], errNoMAC, errIterations or
// errNotPKCS12.
func parsePKCS12(data []byte, password string) (contents, error) {
	if tooManyIterations(data, 0) {
		return contents{}, errIterations
	}
	private, leaf, chain, err := pkcs12.DecodeChain(data, password)
	switch {
	case err == nil:
		key, err := x509.MarshalPKCS8PrivateKey(private)
		if err != nil {
			return contents{}, errNotPKCS12
		}
		return contents{certs: append([]*x509.Certificate{leaf}, chain...),
			keys: []pem.Block{{Type: "PRIVATE KEY", Bytes: key}}}, nil
	case errors.Is(err, pkcs12.ErrIncorrectPassword):
		return contents{}, ErrPassword
	case err.Error() == "pkcs12: no MAC in data":
		return contents{}, errNoMAC
	}
	// DecodeChain fails at the first certificate that crypto/x509 refuses. ToPEM is deprecated because it has no types,
	// but it returns certificates unread, so that [ParseCertificate] can read them.
	//lint:ignore SA1019 no other function of the package returns a certificate that crypto/x509 refuses
	found, err := pkcs12.ToPEM(data, password)
	if err != nil {
		return contents{}, errNotPKCS12
	}
	blocks := make([]pem.Block, len(found))
	for i, b := range found {
		blocks[i] = pem.Block{Type: b.Type, Bytes: b.Bytes} // the headers are attributes, not those of a PEM file
	}
	return sorted(blocks), nil
}
