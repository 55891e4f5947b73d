//go:build pkcs11

package kms

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"sync"
	"testing"

	"github.com/perennial-pki/perennial/internal/keys/keyring"
	"github.com/perennial-pki/perennial/internal/testing/tpmtest"
	"github.com/perennial-pki/perennial/tenancy"
)

// One TPM has the keys of a CA and of more tenants than it can have loaded, and each of them signs.
func TestATPMSignsForACAAndForTenants(t *testing.T) {
	tpmtest.Start(t)
	open := closing(t)
	const issuing = tpmtest.URI + ";object=issuing"
	signingPeer{uris: map[string]string{issuing: issuing}, open: open, secrets: []string{tpmtest.PIN}}.conforms(t)
	named, err := open(issuing)
	check(t, err)
	_, public, err := keyring.NamedKey(t.Context(), named)
	check(t, err)
	tokens := Tokens()
	check(t, tokens.Check(t.Context(), tpmtest.URI))
	signers := map[string]crypto.Signer{issuing: keyring.NewSigner(named, public)}
	for label, kind := range map[string]tenancy.KeyType{"a": tenancy.P256, "b": tenancy.P256, "c": tenancy.P256,
		"d": tenancy.P384, "e": tenancy.RSA2048} {
		uri := keyring.KeyInToken(tpmtest.URI, label)
		public, err := tokens.Make(t.Context(), uri, kind)
		check(t, err)
		signers[uri] = keyring.NewTokenSigner(tokens, uri, public)
	}
	digest := sha256.Sum256([]byte("m"))
	var workers sync.WaitGroup
	for uri, signer := range signers {
		options := []crypto.SignerOpts{crypto.SHA256}
		if _, ok := signer.Public().(*rsa.PublicKey); ok { // TLS 1.3 has PSS only
			options = append(options, &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: crypto.SHA256})
		}
		workers.Go(func() {
			for range 3 {
				for _, o := range options {
					if _, err := signer.Sign(rand.Reader, digest[:], o); err != nil { // it is verified
						t.Errorf("%s: %v", uri, err)
					}
				}
			}
		})
	}
	workers.Wait()
	for uri, signer := range signers {
		if uri == issuing {
			continue
		}
		check(t, tokens.Destroy(t.Context(), uri))
		_, err := signer.Sign(rand.Reader, digest[:], crypto.SHA256)
		wantError(t, "destroyed", err, "the token has no key pair with the label")
	}
}
