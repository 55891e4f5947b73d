package kms

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
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
	if (k.token == "") == (k.serial == "") || k.object == "" {
		return k, errors.New("the URI needs the label of a key (object), and the label (token) or the serial number " +
			"(serial) of its token")
	}
	return k, nil
}
