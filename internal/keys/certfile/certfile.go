// Package certfile reads certificates in the formats that administrators use: PEM, DER, PKCS#7 and PKCS#12.
//
// If the data contains no certificate, the error describes what it contains instead. Only [ReadPair] returns a private
// key, and no error shows one. Input is untrusted: its size is limited, and [Parse] is fuzzed.
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
	"slices"
	"strings"

	"github.com/smallstep/pkcs7"
	"software.sslmate.com/src/go-pkcs12"

	"github.com/perennial-pki/perennial/tenancy"
)

// MaxSize is the maximum size of a certificate file. A chain with RSA 4096 keys is under 20 KiB, and a trust store is
// under 1 MiB.
const MaxSize = 4 << 20

// ErrPassword is returned if a PKCS#12 file cannot be opened with the password.
var ErrPassword = tenancy.Failure("this PKCS#12 file cannot be opened with that password")

// Read reads all of r and calls [Parse].
func Read(r io.Reader, password string) ([]*x509.Certificate, error) {
	data, err := io.ReadAll(io.LimitReader(r, MaxSize+1))
	if err != nil {
		return nil, err
	}
	if len(data) > MaxSize {
		return nil, tenancy.Failure("the file is larger than %d MiB, so it is not a certificate file", MaxSize>>20)
	}
	return Parse(data, password)
}

// A DamagedError is returned by [Parse] beside the certificates that can be read, if others in the file cannot be read.
type DamagedError struct{ Parts []error }

func (e *DamagedError) Error() string { return errors.Join(e.Parts...).Error() }

// Unwrap returns the parts.
func (e *DamagedError) Unwrap() []error { return e.Parts }

// Parse returns the certificates in data in their order. If there are end-entity certificates, CA certificates beside
// them (a chain) are left out. The password is for PKCS#12 only. The error is [ErrPassword] if it is wrong. If it is a
// [*DamagedError], there are certificates, too. With any other error there is none.
func Parse(data []byte, password string) ([]*x509.Certificate, error) {
	all, err := ParseAll(data, password)
	var leaves []*x509.Certificate
	for _, one := range all {
		if !one.IsCA {
			leaves = append(leaves, one)
		}
	}
	if len(leaves) > 0 {
		return leaves, err
	}
	return all, err
}

// ParseAll is [Parse] with the CA certificates beside end-entity certificates.
func ParseAll(data []byte, password string) ([]*x509.Certificate, error) {
	c, err := read(plain(data), password)
	if err != nil {
		return nil, err
	}
	if len(c.certs) == 0 {
		return nil, tenancy.Failure("the file contains no certificate")
	}
	if len(c.damaged) > 0 {
		err = &DamagedError{c.damaged}
	}
	return c.certs, err
}

// The contents of a file are its parts.
type contents struct {
	certs   []*x509.Certificate
	keys    []pem.Block
	others  []string // types of the other blocks
	damaged []error
}

func read(data []byte, password string) (c contents, err error) {
	switch {
	case len(bytes.TrimSpace(data)) == 0:
		return c, tenancy.Failure("the file is empty")
	case bytes.Contains(data, []byte(beginLine)):
		c = readPEM(data)
		return c, c.problem()
	case data[0] == sequenceTag: // as in all three binary formats
		if c, err = parseDER(data, password); err != nil {
			return c, err
		}
		return c, c.problem()
	}
	if err := keyStore(data); err != nil {
		return c, err
	}
	return c, tenancy.Failure("not a certificate: use PEM (-----BEGIN CERTIFICATE-----), DER, PKCS#7 or PKCS#12")
}

// readPEM reads all blocks. One that cannot be read does not hide the others.
func readPEM(data []byte) (c contents) {
	found, damaged := blocks(string(data))
	c = sorted(found)
	c.damaged = append(damaged, c.damaged...)
	return c
}

// sorted reads the certificates in blocks, and keeps the keys as they are.
func sorted(found []pem.Block) (c contents) {
	for i, block := range found {
		var one *x509.Certificate
		var more []*x509.Certificate
		var err error
		switch block.Type {
		case "CERTIFICATE", "X509 CERTIFICATE":
			one, err = ParseCertificate(first(block.Bytes))
		case "TRUSTED CERTIFICATE":
			one, err = parseTrusted(block.Bytes)
		case "PKCS7", "CMS":
			more, err = parsePKCS7(block.Bytes)
		default:
			if strings.HasSuffix(block.Type, "PRIVATE KEY") {
				c.keys = append(c.keys, block)
			} else {
				c.others = append(c.others, block.Type)
			}
		}
		if one != nil {
			more = append(more, one)
		}
		if c.certs = append(c.certs, more...); err != nil {
			c.damaged = append(c.damaged, tenancy.Failure("certificate %d is malformed: %v", i+1, err))
		}
	}
	return c
}

// problem describes a file without a certificate.
func (c contents) problem() error {
	switch {
	case len(c.certs) > 0:
		return nil
	case len(c.damaged) > 0:
		return errors.Join(c.damaged...)
	case len(c.keys) > 0:
		return tenancy.Failure("the file contains a private key but no certificate: use the certificate, and do not share " +
			"the private key")
	case len(c.others) > 0:
		return tenancy.Failure("the file contains %q but no certificate", c.others[0])
	}
	return nil
}

func parseDER(data []byte, password string) (contents, error) {
	one, errDER := ParseCertificate(data)
	if errDER == nil {
		return contents{certs: []*x509.Certificate{one}}, nil
	}
	if certs, err := parsePKCS7(data); err == nil {
		return contents{certs: certs}, nil
	}
	c, err := parsePKCS12(data, password)
	if !errors.Is(err, errNotPKCS12) {
		return c, err
	}
	if c.certs, err = pkcs12.DecodeTrustStore(data, password); err == nil {
		return c, nil
	}
	return c, tenancy.Failure("neither a DER certificate nor PKCS#7 nor PKCS#12: %v", errDER)
}

func parsePKCS7(data []byte) ([]*x509.Certificate, error) {
	p, err := pkcs7.Parse(data)
	if err != nil {
		return nil, tenancy.Failure("malformed PKCS#7: %v", err)
	}
	return p.Certificates, nil
}

// Fingerprint returns the SHA-256 of the whole certificate, 64 lowercase hexadecimal digits.
func Fingerprint(der []byte) string {
	sum := sha256.Sum256(der)
	return hex.EncodeToString(sum[:])
}

// InGroups returns a fingerprint in groups of four digits, which people can compare.
func InGroups(fingerprint string) string {
	var groups []string
	for group := range slices.Chunk([]byte(fingerprint), 4) {
		groups = append(groups, string(group))
	}
	return strings.Join(groups, " ")
}

// SHA1 returns the SHA-1 of the whole certificate in lowercase hexadecimal, for servers that show no other fingerprint.
func SHA1(der []byte) string {
	sum := sha1.Sum(der)
	return hex.EncodeToString(sum[:])
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

// RequestPEM returns a certificate signing request (PKCS#10, DER) as PEM.
func RequestPEM(csr []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: csr}))
}
