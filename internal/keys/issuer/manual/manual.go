// Package manual is an issuer for CAs without an API: a person sends the request to the CA and uploads the answer.
//
// It promises to read an answer in any form and order, but nothing about the time until then. [issuer.Checked] decides
// whether the certificate is the one that was requested.
package manual

import (
	"context"

	"github.com/perennial-pki/perennial/internal/keys/certfile"
	"github.com/perennial-pki/perennial/internal/keys/issuer"
	"github.com/perennial-pki/perennial/internal/keys/issuer/foreign"
)

// waiting is the handle of a request without an answer.
const waiting = "waits for a person"

// Config are the settings of a CA without an API.
type Config struct {
	Roots string `yaml:"roots"` // PEM file that its certificates must lead to
}

// An Issuer waits for a person. It is safe for concurrent use.
type Issuer struct {
	*foreign.Roots
	form issuer.Form
}

// Open returns an issuer. Certificates without names of their own get those of the form.
func Open(c Config, form issuer.Form) (*Issuer, error) {
	roots, err := foreign.OpenRoots(c.Roots)
	if err != nil {
		return nil, err
	}
	return &Issuer{Roots: roots, form: form}, nil
}

// Issue implements [issuer.Issuer]. It always returns an [*issuer.RequestedError].
func (i *Issuer) Issue(context.Context, issuer.Request) (issuer.Issued, error) {
	return issuer.Issued{}, &issuer.RequestedError{Handle: waiting}
}

// Collect implements [issuer.Collector]. The handle is the answer that a person uploaded.
func (i *Issuer) Collect(_ context.Context, handle string, r issuer.Request) (issuer.Issued, error) {
	if handle == waiting {
		return issuer.Issued{}, &issuer.RequestedError{Handle: waiting}
	}
	return foreign.Issued([]byte(handle), r.Key.Public(), r.At)
}

// SigningRequest implements [issuer.Requester].
func (i *Issuer) SigningRequest(r issuer.Request) ([]byte, error) {
	names, err := i.Names(r)
	if err != nil {
		return nil, err
	}
	return foreign.CSR(r.Key, names)
}

// Names implements [issuer.Namer]: the person asks for these names.
func (i *Issuer) Names(r issuer.Request) (certfile.Names, error) { return i.form.Requested(r) }
