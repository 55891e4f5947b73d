package local

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"io"

	"github.com/perennial-pki/perennial/internal/keys/certfile"
	"github.com/perennial-pki/perennial/internal/keys/issuer"
	"github.com/perennial-pki/perennial/internal/keys/keyring"
	"github.com/perennial-pki/perennial/tenancy"
)

// openKey returns the key of an authority. A key at a URI is called only when it signs, so a service can start while
// the key is unavailable.
func (ca *CA) openKey(sealed []byte, uri, sealContext string, public crypto.PublicKey) (crypto.Signer, error) {
	if uri == "" {
		return ca.keys.OpenKey(sealed, sealContext)
	}
	signatory, err := ca.signatory(uri)
	if err != nil {
		return unusable{public, err}, nil
	}
	return keyring.NewSigner(signatory, public), nil
}

// unusable is a key whose URI cannot be opened here, for example because a variable is missing. Everything else works.
type unusable struct {
	public crypto.PublicKey
	reason error
}

func (u unusable) Public() crypto.PublicKey { return u.public }

func (u unusable) Sign(io.Reader, []byte, crypto.SignerOpts) ([]byte, error) { return nil, u.reason }

func (ca *CA) signatory(uri string) (keyring.Signatory, error) {
	if ca.config.Signatories == nil {
		return nil, errors.New("keys outside the database are not configured")
	}
	return ca.config.Signatories(uri)
}

// A newKey is the key of a new authority.
type newKey struct {
	crypto.Signer
	uri string // names the key from now on; empty for a key in memory, which is to be sealed
}

// newKey returns the key of a new issuing CA: a new one, or the one that a URI names, once it has produced a signature.
func (ca *CA) newKey(ctx context.Context, uri string) (none newKey, err error) {
	if uri == "" {
		key, err := keyring.Generate(tenancy.P256)
		return newKey{Signer: key}, err
	}
	signatory, err := ca.signatory(uri)
	if err != nil {
		return none, tenancy.Invalid("key", "%v", err)
	}
	named, public, err := keyring.NamedKey(ctx, signatory)
	if err != nil {
		return none, keyFailed(uri, err)
	}
	if signatory, err = ca.signatory(named); err != nil {
		return none, tenancy.Invalid("key", "%v", err)
	}
	key := newKey{keyring.NewSigner(signatory, public), named}
	if _, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key.Signer); err != nil {
		return none, keyFailed(uri, err)
	}
	return key, nil
}

// seal returns the sealed key for the database; nil for a key that is at a URI.
func (ca *CA) seal(key newKey, sealContext string) ([]byte, error) {
	if key.uri != "" {
		return nil, nil
	}
	return ca.keys.SealKey(key.Signer, sealContext)
}

// keyFailed returns the error for a key at a URI that an operator named.
func keyFailed(uri string, err error) error {
	if away := (*keyring.Away)(nil); errors.As(err, &away) {
		return &issuer.Error{Fault: issuer.KeyAway, Text: "the key " + uri + " of an issuing CA cannot be used now", Err: err}
	}
	return tenancy.Invalid("key", "%s: %v", uri, err)
}

// signFailed returns the error for a signature of an authority that failed.
func (a *authority) signFailed(err error) error {
	if away := (*keyring.Away)(nil); a.KeyURI != "" && errors.As(err, &away) {
		return &issuer.Error{Fault: issuer.KeyAway, Text: "the key " + a.KeyURI + " of the issuing CA " +
			certfile.Name(a.cert.RawSubject) + " cannot be used now", Err: err}
	}
	return err
}

// keyOf returns the URI of the key for the next issuing CA: the requested one or, by default, that of the present one.
// It is empty for a key that is sealed in the database.
func (ca *CA) keyOf(requested string) string {
	switch requested {
	case "":
		return ca.last().KeyURI
	case issuer.SealedKey:
		return ""
	}
	return requested
}
