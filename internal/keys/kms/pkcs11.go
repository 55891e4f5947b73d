package kms

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/perennial-pki/perennial/internal/keys/keyring"
	"github.com/perennial-pki/perennial/tenancy"
)

// The variables of PKCS#11. The module is not part of the URI, because it is code that the service runs: whoever can
// change the key file must not choose it.
const (
	pkcs11Module  = "PERENNIAL_PKCS11_MODULE"
	pkcs11PIN     = "PERENNIAL_PKCS11_PIN"
	pkcs11PINFile = "PERENNIAL_PKCS11_PIN_FILE"
)

// A tokenKey names a key in a PKCS#11 token: an AES key that wraps, or a key pair that signs.
type tokenKey struct{ token, serial, object string }

// parseToken reads the attributes of a PKCS#11 URI (RFC 7512) that name a key. Others are refused: module-path would
// choose the code that runs, and pin-value is a secret.
func parseToken(name string) (k tokenKey, err error) {
	if k, err = parseAttributes(name); err == nil && (!k.namesOne() || k.object == "") {
		err = errors.New("the URI needs the label of a key (object), and the label (token) or the serial number " +
			"(serial) of its token")
	}
	return k, err
}

// namesOne reports whether exactly one attribute names the token.
func (k tokenKey) namesOne() bool { return (k.token == "") != (k.serial == "") }

// parseAttributes is parseToken for a URI that may name a token without a key.
func parseAttributes(name string) (k tokenKey, err error) {
	fields := map[string]*string{"token": &k.token, "serial": &k.serial, "object": &k.object}
	for attribute := range strings.SplitSeq(name, ";") {
		key, value, _ := strings.Cut(attribute, "=")
		field, known := fields[key]
		text, err := url.PathUnescape(value)
		if !known || err != nil || text == "" || *field != "" {
			return k, fmt.Errorf("the URI has the attributes token or serial, and object, each once; the module is set in %s "+
				"and the PIN in %s or %s", pkcs11Module, pkcs11PIN, pkcs11PINFile)
		}
		*field = text
	}
	return k, nil
}

const tokenScheme = "pkcs11:"

// tokenOf reads the URI of a token, or of a key in one.
func tokenOf(uri string) (k tokenKey, err error) {
	name, ok := strings.CutPrefix(uri, tokenScheme)
	if !ok {
		return k, errors.New("it is not a PKCS#11 token: use a URI such as pkcs11:token=LABEL")
	}
	if err = checkName(name); err == nil {
		k, err = parseAttributes(name)
	}
	if err == nil && !k.namesOne() {
		err = errors.New("the URI needs either the label (token) or the serial number (serial) of the token")
	}
	if err != nil {
		return k, fmt.Errorf("the pkcs11 token: %w", err)
	}
	return k, nil
}

// CheckToken returns an error unless a URI names a token, and no key in it. It calls nothing.
func CheckToken(uri string) error {
	k, err := tokenOf(uri)
	if err != nil {
		return err
	}
	if k.object != "" {
		return errors.New("the pkcs11 token: the URI names a key (object): name the token alone, such as pkcs11:token=LABEL")
	}
	if uri != k.tokenURI() {
		return fmt.Errorf("the pkcs11 token: write the URI as %s", k.tokenURI())
	}
	return nil
}

// tokenURI returns the URI of the token (RFC 7512).
func (k tokenKey) tokenURI() string {
	if k.serial != "" {
		return tokenScheme + "serial=" + url.PathEscape(k.serial)
	}
	return tokenScheme + "token=" + url.PathEscape(k.token)
}

// Tokens returns the tokens of this machine. It calls nothing.
func Tokens() keyring.Tokens { return countedTokens{openedTokens()} }

// countedTokens counts the calls of tokens.
type countedTokens struct{ keyring.Tokens }

func (c countedTokens) Make(ctx context.Context, uri string, kind tenancy.KeyType) (crypto.PublicKey, error) {
	public, err := c.Tokens.Make(ctx, uri, kind)
	return public, count("pkcs11", "make", err)
}

func (c countedTokens) Sign(ctx context.Context, uri string, public crypto.PublicKey, digest []byte,
	opts crypto.SignerOpts) ([]byte, error) {
	signature, err := c.Tokens.Sign(ctx, uri, public, digest, opts)
	return signature, count("pkcs11", "sign", err)
}

func (c countedTokens) Destroy(ctx context.Context, uri string) error {
	return count("pkcs11", "destroy", c.Tokens.Destroy(ctx, uri))
}
