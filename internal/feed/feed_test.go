package feed_test

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

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

// forge signs a payload as [feed.Sign] does, whatever it contains.
func forge(t testing.TB, d feed.Document, key ed25519.PrivateKey) string {
	payload, err := json.Marshal(d)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.EdDSA, Key: key},
		(&jose.SignerOptions{EmbedJWK: true}).WithType(feed.Type))
	if err != nil {
		t.Fatal(err)
	}
	jws, err := signer.Sign(payload)
	if err != nil {
		t.Fatal(err)
	}
	signed, err := jws.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return signed
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

func TestAForgedAnswerIsRefused(t *testing.T) {
	private, thumbprint := key(t, 1)
	other, _ := key(t, 2)
	parts := strings.Split(sign(t, document(t), private), ".")
	none := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none","typ":"perennial-feed+jws"}`))
	for name, c := range map[string]struct{ signed, want string }{
		"another key":        {sign(t, document(t), other), "another key than the one in its address"},
		"a changed document": {parts[0] + "." + parts[1][:len(parts[1])-9] + "AAAAAAAA9." + parts[2], "not valid"},
		"no algorithm":       {none + "." + parts[1] + ".", "not a signed feed"},
		"no feed":            {"<html>", "not a signed feed"},
		"too large":          {strings.Repeat("A", feed.MaxSize+1), "larger than 1024 KiB"},
	} {
		if _, err := feed.Verify(c.signed, secret, thumbprint); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", name, err, c.want)
		}
	}
}

// Both sides apply the same rules, so a sender never publishes a document that followers refuse.
func TestADocumentThatIsNotValidIsNeitherSignedNorAccepted(t *testing.T) {
	private, thumbprint := key(t, 1)
	large := testca.Padded(t, january, 9<<10)
	for name, c := range map[string]struct {
		change func(*feed.Document)
		want   string
	}{
		"no certificate":    {func(d *feed.Document) { d.Certificates = nil }, "0 certificates"},
		"many certificates": {func(d *feed.Document) { d.CAs = make([][]byte, 64) }, "64 CAs"},
		"an unknown state":  {func(d *feed.Document) { d.Certificates[0].State = "lost" }, `unknown state "lost"`},
		"a damaged one":     {func(d *feed.Document) { d.Certificates[0].DER = []byte{1} }, "generation 1 of the feed"},
		"a damaged CA":      {func(d *feed.Document) { d.CAs[0] = []byte{1} }, "a CA of the feed"},
		"too much content":  {func(d *feed.Document) { d.CAs = slices.Repeat([][]byte{large}, 60) }, "at most 512 KiB"},
	} {
		d := document(t)
		c.change(&d)
		got, err := feed.Verify(forge(t, d, private), secret, thumbprint)
		if err == nil || !strings.Contains(err.Error(), c.want) || !reflect.DeepEqual(got, feed.Document{}) {
			t.Errorf("%s: %+v, %v, want %q", name, got, err, c.want)
		}
		if signed, err := feed.Sign(d, private); err == nil || !strings.Contains(err.Error(), c.want) || signed != "" {
			t.Errorf("%s: signed with %v, want %q", name, err, c.want)
		}
	}
	if _, err := feed.Sign(feed.Document{Certificates: document(t).Certificates}, private); err == nil {
		t.Error("a document without its address is signed")
	}
}

// The limit of the content leaves room for the two encodings and for everything else in the document.
func TestTheLargestDocumentIsAccepted(t *testing.T) {
	private, thumbprint := key(t, 1)
	d := document(t)
	d.Tenant, d.Arrangement = strings.Repeat("t", 255), strings.Repeat("a", 255)
	rest := feed.MaxContent - len(d.Certificates[0].DER)
	d.CAs = nil
	for range 63 {
		d.CAs = append(d.CAs, testca.Padded(t, january, rest/63))
	}
	if got := d.Content(); got > feed.MaxContent || got < feed.MaxContent*98/100 {
		t.Fatalf("the content has %d bytes", got)
	}
	if got, err := feed.Verify(sign(t, d, private), secret, thumbprint); err != nil || len(got.CAs) != 63 {
		t.Errorf("%d CAs, %v", len(got.CAs), err)
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
		got, err := feed.Verify(forge(t, d, private), secret, thumbprint)
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
