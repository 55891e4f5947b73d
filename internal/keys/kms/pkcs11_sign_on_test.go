//go:build pkcs11

package kms

import (
	"crypto"
	"crypto/elliptic"
	"crypto/rand"
	"testing"

	"github.com/ThalesGroup/crypto11"

	"github.com/perennial-pki/perennial/internal/keys/keyring"
)

func TestATokenMakesAndFindsKeysThatSign(t *testing.T) {
	p := startToken(t)
	withToken(t, func(token *crypto11.Context) {
		_, err := token.GenerateRSAKeyPairWithLabel([]byte("9"), []byte("rsa"), 2048)
		check(t, err)
	})
	const made, found = "pkcs11:token=perennial;object=issuing%20CA", "pkcs11:token=perennial;object=rsa"
	signingPeer{uris: map[string]string{made: made, found: found}, open: closing(t),
		secrets: p.secrets}.conforms(t)
	open := closing(t)
	first, err := open(made)
	check(t, err)
	_, public, err := keyring.NamedKey(t.Context(), first)
	check(t, err)
	again, err := open(made)
	check(t, err)
	if _, other, err := keyring.NamedKey(t.Context(), again); err != nil || !same(other, public) {
		t.Errorf("the token made another key: %v", err)
	}
	withToken(t, func(token *crypto11.Context) {
		_, err := token.GenerateECDSAKeyPairWithLabel([]byte("8"), []byte("issuing CA"), elliptic.P256())
		check(t, err)
	})
	two, err := open(made)
	check(t, err)
	_, _, err = keyring.NamedKey(t.Context(), two)
	wantError(t, "two keys", err, "has 2 key pairs with the label issuing CA: use another label for the new one")
	p.signsWith(t, two, public)
}

// closing opens signers. The sessions of their tokens end with the test, because the module is shared by the process.
func closing(t *testing.T) keyring.Signatories {
	t.Cleanup(processTokens.closeAll)
	return OpenSigner
}

// signsWith signs for a public key of several that have the label.
func (p peer) signsWith(t *testing.T, s keyring.Signatory, public crypto.PublicKey) {
	t.Helper()
	if _, err := keyring.NewSigner(s, public).Sign(rand.Reader, make([]byte, 32), crypto.SHA256); err != nil {
		t.Error(err)
	}
}

func TestATokenThatIsAwayDoesNotSignForAWhile(t *testing.T) {
	p := startToken(t)
	const uri = "pkcs11:token=perennial;object=issuing"
	made, err := closing(t)(uri)
	check(t, err)
	_, public, err := keyring.NamedKey(t.Context(), made)
	check(t, err)
	processTokens.closeAll()
	p.away(true)
	_, err = made.Sign(t.Context(), public, make([]byte, 32), crypto.SHA256)
	p.clean(t, err)
	if !isAway(err) {
		t.Errorf("while it is away: %v", err)
	}
	p.away(false)
	signingPeer{}.signs(t, keyring.NewSigner(made, public))
}
