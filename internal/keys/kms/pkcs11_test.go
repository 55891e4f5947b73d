package kms

import "testing"

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
