package feed_test

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/perennial-pki/perennial/internal/feed"
)

func entries(n int) (all []feed.Entry) {
	for i := range n {
		all = append(all, feed.Entry{ID: fmt.Sprintf("id-%d", i), Tenant: "acme", Arrangement: "crm-to-erp",
			Digest: strings.Repeat("d", 64)})
	}
	return all
}

func indexOf(t testing.TB, all []feed.Entry) (feed.Index, [][]byte) {
	t.Helper()
	pages, digests, err := feed.Paginate(all)
	if err != nil {
		t.Fatal(err)
	}
	return feed.Index{Feed: feed.ID(secret), Name: "House Bank", Sequence: 7, PublishedAt: january,
		ValidUntil: january.AddDate(0, 0, 7), RefreshHint: 3600, Entries: len(all), Pages: digests}, pages
}

func TestAnIndexArrivesAsItWasSigned(t *testing.T) {
	private, thumbprint := key(t, 1)
	for _, n := range []int{1, 128, 256, 10_000} {
		all := entries(n)
		want, pages := indexOf(t, all)
		signed, err := feed.SignIndex(want, private)
		if err != nil || !feed.IsIndex(signed) {
			t.Fatalf("%d entries: %v, an index: %v", n, err, feed.IsIndex(signed))
		}
		got, err := feed.VerifyIndex(signed, secret, thumbprint)
		if err != nil || got.Entries != n || !slices.Equal(got.Pages, want.Pages) {
			t.Errorf("%d entries: %+v, %v", n, got, err)
		}
		var read []feed.Entry
		for i, page := range pages {
			part, err := feed.ReadPage(page, got.Pages[i])
			if err != nil || len(page) > 64<<10 {
				t.Errorf("page %d of %d has %d bytes: %v", i, len(pages), len(page), err)
			}
			read = append(read, part...)
		}
		slices.SortFunc(read, func(a, b feed.Entry) int { return strings.Compare(a.ID, b.ID) })
		slices.SortFunc(all, func(a, b feed.Entry) int { return strings.Compare(a.ID, b.ID) })
		if !slices.Equal(read, all) {
			t.Errorf("%d entries: %d were read", n, len(read))
		}
		if len(signed) > 20_000 {
			t.Errorf("the index of %d entries has %d bytes", n, len(signed))
		}
	}
}

// A follower fetches the pages that have changed, so the others must stay as they are.
func TestAChangeOfOneEntryChangesOnePage(t *testing.T) {
	all := entries(3000)
	_, before := indexOf(t, all)
	changed := func(what string, after [][]byte, most int) {
		t.Helper()
		n := 0
		for i := range after {
			if string(after[i]) != string(before[i]) {
				n++
			}
		}
		if n < 1 || n > most || len(after) != len(before) {
			t.Errorf("%s: %d of %d pages change, of %d before", what, n, len(after), len(before))
		}
	}
	all[1234].Digest = strings.Repeat("e", 64)
	_, after := indexOf(t, all)
	changed("one other document", after, 1)
	_, after = indexOf(t, slices.Delete(all, 7, 8))
	changed("an entry less", after, 2)
}

func TestAForgedIndexIsRefused(t *testing.T) {
	private, thumbprint := key(t, 1)
	other, _ := key(t, 2)
	good, pages := indexOf(t, entries(3))
	signed := func(change func(*feed.Index), by ed25519.PrivateKey) string {
		i := good
		change(&i)
		text, err := feed.SignIndex(i, by)
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	same := func(*feed.Index) {}
	for name, c := range map[string]struct{ signed, want string }{
		"another key":     {signed(same, other), "another key than the one in its address"},
		"another address": {signed(func(i *feed.Index) { i.Feed = feed.ID("other") }, private), "that of another feed"},
		"a document":      {sign(t, document(t), private), "its header lacks the type"},
		"no index":        {"<html>", "not a signed feed"},
	} {
		got, err := feed.VerifyIndex(c.signed, secret, thumbprint)
		if err == nil || !strings.Contains(err.Error(), c.want) || got.Pages != nil {
			t.Errorf("%s: %+v, %v, want %q", name, got, err, c.want)
		}
	}
	if _, err := feed.Verify(signed(same, private), secret, thumbprint); err == nil ||
		!strings.Contains(err.Error(), "only perennial follow reads it") {
		t.Errorf("an index as a document: %v", err)
	}
	for what, data := range map[string][]byte{"a cut page": pages[0][:20], "another page": []byte(`{"entries":[]}`)} {
		if got, err := feed.ReadPage(data, good.Pages[0]); !errors.Is(err, feed.ErrPage) || got != nil {
			t.Errorf("%s: %v, %v", what, got, err)
		}
	}
}

func TestAnIndexThatIsNotValidIsNotSigned(t *testing.T) {
	private, _ := key(t, 1)
	for what, change := range map[string]func(*feed.Index){
		"no entry":     func(i *feed.Index) { i.Entries = 0 },
		"many entries": func(i *feed.Index) { i.Entries = feed.MaxEntries + 1 },
		"no page":      func(i *feed.Index) { i.Pages = nil },
		"many pages":   func(i *feed.Index) { i.Pages = make([]string, feed.MaxPages+1) },
		"no address":   func(i *feed.Index) { i.Feed = "" },
	} {
		i, _ := indexOf(t, entries(3))
		change(&i)
		if text, err := feed.SignIndex(i, private); err == nil || text != "" {
			t.Errorf("%s: it is signed", what)
		}
	}
	bad := entries(1)
	bad[0].ID = "../secret"
	i, pages := indexOf(t, bad)
	if got, err := feed.ReadPage(pages[0], i.Pages[0]); err == nil || got != nil {
		t.Errorf("an ID that is not one: %v", got)
	}
}

func FuzzIndex(f *testing.F) {
	private, thumbprint := key(f, 1)
	good, pages := indexOf(f, entries(3))
	signed, err := feed.SignIndex(good, private)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(signed, pages[0])
	f.Add("a.b.c", []byte(`{"entries":[{"id":"../x"}]}`))
	f.Fuzz(func(t *testing.T, signed string, page []byte) {
		if i, err := feed.VerifyIndex(signed, secret, thumbprint); err == nil && (i.Entries == 0 || !feed.IsIndex(signed)) {
			t.Errorf("accepted %+v", i)
		}
		digest := sha256.Sum256(page)
		all, err := feed.ReadPage(page, hex.EncodeToString(digest[:]))
		for _, e := range all {
			if err == nil && !feed.ValidID(e.ID) {
				t.Errorf("accepted the ID %q", e.ID)
			}
		}
	})
}
