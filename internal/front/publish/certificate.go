package publish

import (
	"bytes"
	"encoding/pem"
	"fmt"

	"github.com/smallstep/pkcs7"
)

// A Format is a file format of certificates.
type Format string

// The formats that receivers need.
const (
	PEM   Format = "pem"
	DER   Format = "der"
	PKCS7 Format = "pkcs7"
)

// A File is a certificate as a file.
type File struct {
	Extension   string // ".pem"
	ContentType string
	Data        []byte
}

// Certificate returns a certificate (DER) as a file. A PKCS#7 file also contains the chain (PEM).
func Certificate(f Format, der, chain []byte) (File, error) {
	switch f {
	case PEM:
		return File{".pem", "application/x-pem-file", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})}, nil
	case DER:
		return File{".cer", "application/pkix-cert", der}, nil
	case PKCS7:
		all := bytes.Clone(der)
		for block, rest := pem.Decode(chain); block != nil; block, rest = pem.Decode(rest) {
			all = append(all, block.Bytes...)
		}
		data, err := pkcs7.DegenerateCertificate(all)
		return File{".p7b", "application/x-pkcs7-certificates", data}, err
	}
	return File{}, fmt.Errorf("unknown format %q: use pem, der or pkcs7", f)
}
