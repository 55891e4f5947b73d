// Package certfile reads certificates in the formats that administrators use: PEM, DER, PKCS#7 and PKCS#12.
//
// If the data contains no certificate, the error describes what it contains instead. A private key beside a certificate
// is never returned or mentioned. Input is untrusted: its size is limited, and [Parse] is fuzzed.
package certfile

import (
	"bytes"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/smallstep/pkcs7"
	"software.sslmate.com/src/go-pkcs12"
)

// MaxSize is the maximum size of a certificate file. A chain with RSA 4096 keys is under 20 KiB, and a trust store is
// under 1 MiB.
const MaxSize = 4 << 20

// ErrPassword is returned if a PKCS#12 file cannot be opened with the password.
var ErrPassword = errors.New("this PKCS#12 file cannot be opened with that password")

// Read reads all of r and calls [Parse].
func Read(r io.Reader, password string) ([]*x509.Certificate, error) {
	data, err := io.ReadAll(io.LimitReader(r, MaxSize+1))
	if err != nil {
		return nil, err
	}
	if len(data) > MaxSize {
		return nil, fmt.Errorf("the file is larger than %d MiB, so it is not a certificate file", MaxSize>>20)
	}
	return Parse(data, password)
}

// Parse returns the certificates in data in their order, at least one. If there are end-entity certificates, CA
// certificates beside them (a chain) are left out. The password is for PKCS#12 only. The error is [ErrPassword] if it
// is wrong.
func Parse(data []byte, password string) ([]*x509.Certificate, error) {
	certs, err := parse(data, password)
	if err != nil {
		return nil, err
	}
	if len(certs) == 0 {
		return nil, errors.New("the file contains no certificate")
	}
	var leaves []*x509.Certificate
	for _, c := range certs {
		if !c.IsCA {
			leaves = append(leaves, c)
		}
	}
	if len(leaves) > 0 {
		return leaves, nil
	}
	return certs, nil
}

func parse(data []byte, password string) ([]*x509.Certificate, error) {
	switch {
	case len(bytes.TrimSpace(data)) == 0:
		return nil, errors.New("the file is empty")
	case bytes.Contains(data, []byte("-----BEGIN ")):
		return parsePEM(data)
	case data[0] == 0x30: // an ASN.1 SEQUENCE, as in all three binary formats
		return parseDER(data, password)
	default:
		return nil, errors.New("not a certificate: use PEM (-----BEGIN CERTIFICATE-----), DER, PKCS#7 or PKCS#12")
	}
}

func parsePEM(data []byte) (certs []*x509.Certificate, err error) {
	var others []string
	for rest := data; ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		switch block.Type {
		case "CERTIFICATE", "X509 CERTIFICATE", "TRUSTED CERTIFICATE":
			c, err := x509.ParseCertificate(block.Bytes)
			if err != nil {
				return nil, fmt.Errorf("certificate %d is malformed: %w", len(certs)+1, err)
			}
			certs = append(certs, c)
		case "PKCS7", "CMS":
			more, err := parsePKCS7(block.Bytes)
			if err != nil {
				return nil, err
			}
			certs = append(certs, more...)
		default:
			others = append(others, block.Type)
		}
	}
	switch {
	case len(certs) > 0:
		return certs, nil
	case len(others) == 0:
		return nil, errors.New("malformed PEM: a BEGIN line without a complete block (is the file cut off?)")
	case strings.Contains(others[0], "PRIVATE KEY"):
		return nil, errors.New("the file contains a private key but no certificate: use the certificate, and do not share " +
			"the private key")
	default:
		return nil, fmt.Errorf("the file contains %q but no certificate", others[0])
	}
}

func parseDER(data []byte, password string) ([]*x509.Certificate, error) {
	c, errDER := x509.ParseCertificate(data)
	if errDER == nil {
		return []*x509.Certificate{c}, nil
	}
	if certs, err := parsePKCS7(data); err == nil {
		return certs, nil
	}
	_, leaf, chain, err := pkcs12.DecodeChain(data, password)
	if err == nil {
		return append([]*x509.Certificate{leaf}, chain...), nil
	}
	if errors.Is(err, pkcs12.ErrIncorrectPassword) {
		return nil, ErrPassword
	}
	if certs, err := pkcs12.DecodeTrustStore(data, password); err == nil {
		return certs, nil
	}
	return nil, fmt.Errorf("neither a DER certificate nor PKCS#7 nor PKCS#12: %w", errDER)
}

func parsePKCS7(data []byte) ([]*x509.Certificate, error) {
	p, err := pkcs7.Parse(data)
	if err != nil {
		return nil, fmt.Errorf("malformed PKCS#7: %w", err)
	}
	return p.Certificates, nil
}

// Fingerprint returns the SHA-256 of the whole certificate, 64 lowercase hexadecimal digits.
func Fingerprint(der []byte) string {
	sum := sha256.Sum256(der)
	return hex.EncodeToString(sum[:])
}

// SHA1 returns the SHA-1 of the whole certificate in lowercase hexadecimal, for servers that show no other fingerprint.
func SHA1(der []byte) string {
	sum := sha1.Sum(der)
	return hex.EncodeToString(sum[:])
}

// Serial returns the serial number in lowercase hexadecimal, two digits per byte.
func Serial(c *x509.Certificate) string {
	if c.SerialNumber.Sign() == 0 {
		return "00"
	}
	return hex.EncodeToString(c.SerialNumber.Bytes())
}

// ReadRoots reads CA certificates from a PEM file, as a pool to verify with. It returns nil, which stands for the
// system's CAs, if path is empty. A file without a certificate is an error.
func ReadRoots(path string) (*x509.CertPool, error) {
	if path == "" {
		return nil, nil
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(data) {
		return nil, fmt.Errorf("%s contains no PEM certificate", path)
	}
	return pool, nil
}
