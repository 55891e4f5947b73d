package tenancy

import (
	"errors"
	"strings"
	"testing"
	"unicode"
)

func TestNamesThatCannotStandInAURLOrACertificateAreRefused(t *testing.T) {
	for _, good := range []string{"a", "acme", "acme-2", "0x", strings.Repeat("a", 63)} {
		if err := CheckName("name", good); err != nil {
			t.Error(err)
		}
	}
	for _, bad := range []string{"", "-a", "a-", "Acme", "a b", "a/b", "a\nb", "ä", "a'b", `a"b`, "..",
		strings.Repeat("a", 64), "a\x00"} {
		err := CheckName("name", bad)
		if !errors.Is(err, ErrInvalid) {
			t.Errorf("%q is accepted", bad)
		} else if strings.ContainsFunc(err.Error(), unicode.IsControl) {
			t.Errorf("the message carries a control character: %q", err)
		}
	}
}

func TestTextOfEveryScriptIsAcceptedButNothingInvisible(t *testing.T) {
	for _, good := range []string{"Ácme GmbH & Co. \"KG\"", "株式会社", "O'Brien", "Ελλάδα", "👩\u200d💻 team"} {
		if err := CheckText("name", good); err != nil {
			t.Error(err)
		}
	}
	for _, bad := range []string{"", "  ", "a\r\nBcc: x@example.com", "a\x1b[31m", "\u202eevil", "\xff",
		strings.Repeat("x", 201), "a\u2028b"} {
		if err := CheckText("name", bad); !errors.Is(err, ErrInvalid) {
			t.Errorf("%q is accepted", bad)
		}
	}
}

func TestOnlyPlainAddressesAreAddresses(t *testing.T) {
	for _, good := range []string{"alice@example.com", "a.b+c@sub.example.com", "alice@bücher.example",
		"alice@xn--bcher-kva.example"} {
		if err := CheckEmail("email", good); err != nil {
			t.Error(err)
		}
	}
	for _, bad := range []string{"", "alice", "Alice <alice@example.com>", "a@b, c@d", "a@b\r\nBcc: c@d",
		"\"a b\"@example.com", strings.Repeat("a", 250) + "@example.com",
		"a@-ü.example", "a@ü..example"} {
		if err := CheckEmail("email", bad); !errors.Is(err, ErrInvalid) {
			t.Errorf("%q is accepted", bad)
		}
	}
}

func TestAnAddressThatNeedsSMTPUTF8IsRefusedWithTheReason(t *testing.T) {
	for _, bad := range []string{"jürgen@example.com", "用户@example.com", "ü@bücher.example"} {
		if err := CheckEmail("email", bad); !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), "SMTPUTF8") {
			t.Errorf("%s: %v", bad, err)
		}
	}
}

func TestEndpointsAreCheckedAgainstTheirAuthentication(t *testing.T) {
	for endpoint, auth := range map[string]Authentication{"https://erp.example.com/a": ClientCertificate,
		"http://127.0.0.1:80": Basic} {
		if err := checkEndpoint(endpoint, auth); err != nil {
			t.Error(err)
		}
	}
	for _, bad := range []string{"", "erp", "ftp://x", "https://", "https://u:p@x", "https://x/?a=b", "https://x/#f",
		"http://x", "https://x/\x00"} {
		if err := checkEndpoint(bad, ClientCertificate); !errors.Is(err, ErrInvalid) {
			t.Errorf("%q is accepted", bad)
		}
	}
}

func FuzzChecksNeverLetAControlCharacterThrough(f *testing.F) {
	f.Add("acme")
	f.Add("a\r\nb@example.com")
	f.Fuzz(func(t *testing.T, s string) {
		for _, check := range []func(string, string) error{CheckName, CheckUserName, CheckText, CheckEmail} {
			if check("f", s) == nil && strings.ContainsFunc(s, unicode.IsControl) {
				t.Fatalf("%q", s)
			}
		}
	})
}
