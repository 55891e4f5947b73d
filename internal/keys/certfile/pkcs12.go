package certfile

import (
	"crypto/x509"
	"encoding/pem"
	"errors"

	"software.sslmate.com/src/go-pkcs12"
)

var (
	// errNoMAC is returned for PKCS#12 without integrity protection.
	errNoMAC = errors.New("this PKCS#12 file has no MAC, so nothing shows whether it was changed: export it again " +
		"with a password and a MAC")
	// errNotPKCS12 is returned for data that is not PKCS#12 with a private key and its certificate.
	errNotPKCS12 = errors.New("not PKCS#12 with a private key and its certificate")
)

// parsePKCS12 reads a private key and its certificates. The error is [ErrPassword], errNoMAC or errNotPKCS12.
func parsePKCS12(data []byte, password string) (contents, error) {
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
