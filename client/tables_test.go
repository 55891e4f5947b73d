package client_test

import (
	"strings"
	"testing"

	"github.com/perennial-pki/perennial/client"
)

func TestATableIsReadInItsEncodingOrRefused(t *testing.T) {
	const want = "name,display_name\nacme,Größe\n"
	latin := strings.NewReplacer("ö", "\xf6", "ß", "\xdf").Replace(want)
	utf16 := "\xff\xfe"
	for _, r := range want {
		utf16 += string([]byte{byte(r), byte(r >> 8)})
	}
	for name, c := range map[string]struct{ file, encoding, text, err string }{
		"UTF-8":                           {want, "", want, ""},
		"UTF-8 by name":                   {want, "utf-8", want, ""},
		"UTF-8 with a mark":               {"\ufeff" + want, "windows-1252", "\ufeff" + want, ""},
		"UTF-16 with a mark":              {utf16, "", want, ""},
		"UTF-16 that is cut off":          {utf16[:len(utf16)-1], "", "", "is it cut off?"},
		"Latin-1 that is not stated":      {latin, "", "", "line 2 is not in UTF-8: save the file as UTF-8"},
		"Latin-1":                         {latin, "iso-8859-1", want, ""},
		"Windows":                         {latin, "Windows-1252", want, ""},
		"Latin-1 that is stated as UTF-8": {latin, "utf-8", "", "is not in utf-8"},
		"an unknown encoding":             {want, "klingon", "", `unknown encoding "klingon": use utf-8`},
		"empty":                           {"", "", "", ""},
	} {
		text, err := client.Table([]byte(c.file), c.encoding)
		if err == nil && text != c.text || (err == nil) != (c.err == "") || err != nil &&
			!strings.Contains(err.Error(), c.err) {
			t.Errorf("%s: %q, %v", name, text, err)
		}
	}
}
