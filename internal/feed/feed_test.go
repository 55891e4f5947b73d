package feed_test

import (
	"crypto/ed25519"
	"encoding/base64"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/perennial-pki/perennial/internal/feed"
	"github.com/perennial-pki/perennial/internal/testing/testca"
)

// secret is that of the address of each document.
const secret = "HfEVf4zV_4R3j88z7b0OUalryBKN70HK4YlfPgTqdoQ"

var january = time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC)

func key(t testing.TB, seed byte) (private ed25519.PrivateKey, thumbprint string) {
	private = ed25519.NewKeyFromSeed(bytesOf(seed))
	thumbprint, err := feed.Thumbprint(private.Public().(ed25519.PublicKey))
	if err != nil {
		t.Fatal(err)
	}
	return private, thumbprint
}

func bytesOf(b byte) []byte { return []byte(strings.Repeat(string(rune(b)), ed25519.SeedSize)) }

func document(t testing.TB) feed.Document {
	ca := testca.New(t, "Partner CA", january)
	return feed.Document{Feed: feed.ID(secret), Tenant: "acme", Arrangement: "crm-to-erp", Sequence: 7,
		PublishedAt: january, ValidUntil: january.AddDate(0, 0, 7), RefreshHint: 3600,
		Certificates: []feed.Certificate{{Generation: 1, State: feed.Active, DER: ca.Root.Raw}}, CAs: [][]byte{ca.Root.Raw}}
}

func sign(t testing.TB, d feed.Document, key ed25519.PrivateKey) string {
	signed, err := feed.Sign(d, key)
	if err != nil {
		t.Fatal(err)
	}
	return signed
}

func TestADocumentArrivesAsItWasSigned(t *testing.T) {
	private, thumbprint := key(t, 1)
	want := document(t)
	after := january.AddDate(0, 1, 0)
	want.Certificates[0].RemoveAfter = &after
	got, err := feed.Verify(sign(t, want, private), secret, thumbprint)
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestADocumentIsRefused(t *testing.T) {
	private, thumbprint := key(t, 1)
	other, _ := key(t, 2)
	changed := func(change func(*feed.Document)) string {
		d := document(t)
		change(&d)
		return sign(t, d, private)
	}
	parts := strings.Split(changed(func(*feed.Document) {}), ".")
	none := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none","typ":"perennial-feed+jws"}`))
	for name, c := range map[string]struct{ signed, want string }{
		"another key":        {sign(t, document(t), other), "another key than the one in its address"},
		"a changed document": {parts[0] + "." + parts[1][:len(parts[1])-9] + "AAAAAAAA9." + parts[2], "not valid"},
		"no algorithm":       {none + "." + parts[1] + ".", "not a signed feed"},
		"no feed":            {"<html>", "not a signed feed"},
		"too large":          {strings.Repeat("A", feed.MaxSize+1), "larger than 1024 KiB"},
		"no certificate":     {changed(func(d *feed.Document) { d.Certificates = nil }), "0 certificates"},
		"many certificates":  {changed(func(d *feed.Document) { d.CAs = make([][]byte, 64) }), "64 CAs"},
		"an unknown state":   {changed(func(d *feed.Document) { d.Certificates[0].State = "lost" }), `unknown state "lost"`},
		"a damaged one": {changed(func(d *feed.Document) { d.Certificates[0].DER = []byte{1} }),
			"generation 1 of the feed"},
		"a damaged CA": {changed(func(d *feed.Document) { d.CAs[0] = []byte{1} }), "a CA of the feed"},
	} {
		if _, err := feed.Verify(c.signed, secret, thumbprint); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", name, err, c.want)
		}
	}
}

// One key signs all feeds of an installation, so the signature alone does not show whose certificates they are.
func TestAnotherFeedOfTheSameKeyIsRefused(t *testing.T) {
	private, thumbprint := key(t, 1)
	other := document(t)
	other.Tenant, other.Feed = "globex", feed.ID("another secret")
	unnamed := document(t)
	unnamed.Feed = ""
	for name, d := range map[string]feed.Document{"of another tenant": other, "without an address": unnamed} {
		got, err := feed.Verify(sign(t, d, private), secret, thumbprint)
		if err == nil || !strings.Contains(err.Error(), "another feed with the same key") ||
			strings.Contains(err.Error(), secret) || got.Certificates != nil {
			t.Errorf("%s: %v, %d certificates", name, err, len(got.Certificates))
		}
	}
	if _, err := feed.Verify(sign(t, other, private), "another secret", thumbprint); err != nil {
		t.Errorf("at its own address: %v", err)
	}
}

func FuzzVerify(f *testing.F) {
	private, thumbprint := key(f, 1)
	f.Add(sign(f, document(f), private))
	f.Add("a.b.c")
	f.Fuzz(func(t *testing.T, signed string) {
		d, err := feed.Verify(signed, secret, thumbprint)
		if err == nil && (len(d.Certificates) == 0 || !strings.Contains(signed, ".")) {
			t.Errorf("accepted %+v", d)
		}
	})
}
