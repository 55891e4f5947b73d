//go:build !pkcs11

package kms

import (
	"crypto"
	"testing"

	"github.com/perennial-pki/perennial/tenancy"
)

func TestAProgramWithoutPKCS11RefusesTokens(t *testing.T) {
	const want = "the pkcs11 token: this program was built without PKCS#11: use the one that \"make release-hsm\" builds"
	tokens, ctx, key := Tokens(), t.Context(), "pkcs11:token=a;object=b"
	_, made := tokens.Make(ctx, key, tenancy.P256)
	_, signed := tokens.Sign(ctx, key, nil, nil, crypto.SHA256)
	for what, err := range map[string]error{"make": made, "sign": signed,
		"check": tokens.Check(ctx, "pkcs11:token=a"), "destroy": tokens.Destroy(ctx, key)} {
		if err == nil || err.Error() != want || isAway(err) {
			t.Errorf("%s: %v", what, err)
		}
	}
}
