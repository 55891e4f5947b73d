package kms

import (
	"strings"
	"testing"
)

func TestAPKCS11URINamesAKeyAndNoSecretAndNoModule(t *testing.T) {
	for name, want := range map[string]tokenKey{
		"token=perennial;object=kek":                   {token: "perennial", object: "kek"},
		"object=kek;serial=0a1b":                       {serial: "0a1b", object: "kek"},
		"token=Perennial%20HSM;object=":                {},
		"token=my%20HSM;object=k%3Bk":                  {token: "my HSM", object: "k;k"},
		"":                                             {},
		"token=a":                                      {},
		"object=a":                                     {},
		"token=a;serial=b;object=c":                    {},
		"token=a;token=b;object=c":                     {},
		"token=a;object=c;pin-value=s3cr3t":            {},
		"token=a;object=c;module-path=/tmp/evil.so":    {},
		"token=a;object=c;pin-source=file:/etc/passwd": {},
		"token=%zz;object=c":                           {},
	} {
		got, err := parseToken(name)
		if (err == nil) != (want != tokenKey{}) || err == nil && got != want {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
	for _, uri := range []string{"pkcs11:token=a;object=c?pin-value=s3cr3t", "pkcs11:token=a;object=c;pin-value=s3cr3t"} {
		_, err := Open(uri)
		wantError(t, uri, err, "pkcs11 key: the URI has")
	}
}

func TestTheURIOfATokenNamesNoKey(t *testing.T) {
	for uri, want := range map[string]string{
		"pkcs11:token=a;object=b":                 "the URI names a key (object): name the token alone",
		"pkcs11:token=a;serial=b":                 "the URI needs either the label (token) or the serial number",
		"pkcs11:":                                 "the URI has the attributes token or serial",
		"pkcs11:object=b":                         "the URI needs either the label (token) or the serial number",
		"pkcs11:token=a;pin-value=s3cr3t":         "the URI has the attributes token or serial",
		"pkcs11:token=a?pin-value=s3cr3t":         "the URI has parameters or a fragment",
		"pkcs11:token=%61":                        "write the URI as pkcs11:token=a",
		"hcvault://vault.example.com/transit/k":   "use a URI such as pkcs11:token=LABEL",
		"aws-kms://arn:aws:kms:eu-central-1:1:k1": "use a URI such as pkcs11:token=LABEL",
	} {
		err := CheckToken(uri)
		wantError(t, uri, err, want)
		if err != nil && strings.Contains(err.Error(), "s3cr3t") {
			t.Errorf("the error quotes the PIN: %v", err)
		}
	}
	for _, uri := range []string{"pkcs11:token=perennial", "pkcs11:serial=0a1b", "pkcs11:token=my%20HSM"} {
		check(t, CheckToken(uri))
	}
}
