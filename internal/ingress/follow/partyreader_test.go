package follow

import (
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/perennial-pki/perennial/internal/feed"
	"github.com/perennial-pki/perennial/internal/testing/testenv"
)

// openParty returns a reader of a bank's feed with its state in a file. Its pauses take no time.
func openParty(t testing.TB, b *bank, file string, change ...func(*PartyConfig)) *PartyReader {
	t.Helper()
	c := PartyConfig{Address: b.address, State: file, Program: "test", Client: b.server.Client(),
		Now: func() time.Time { return january }, Log: slog.New(slog.NewTextHandler(io.Discard, nil))}
	for _, one := range change {
		one(&c)
	}
	p, err := OpenParty(c)
	testenv.Check(t, err)
	p.follower.wait = func(ctx context.Context, _ time.Duration) error { return ctx.Err() }
	return p
}

// generationsIn returns the number of certificates of each entry.
func generationsIn(p *PartyReader) map[string][]int {
	all := map[string][]int{}
	for id, d := range p.Documents() {
		for _, c := range d.Certificates {
			all[id] = append(all[id], c.Generation)
		}
	}
	return all
}

func TestAPartyReaderKeepsWhatItHasRead(t *testing.T) {
	b := newBank(t, 3)
	file := filepath.Join(t.TempDir(), "state")
	p := openParty(t, b, file)
	if changed, err := p.Read(t.Context()); err != nil || !changed || len(p.Documents()) != 3 {
		t.Fatalf("changed: %v, %d documents, %v", changed, len(p.Documents()), err)
	}
	if hint, until := p.Hint(); hint != time.Hour || !until.Equal(january.AddDate(1, 0, 0)) {
		t.Errorf("the hint is %v, until %v", hint, until)
	}
	p.Report(t.Context(), generationsIn(p))
	p.Report(t.Context(), generationsIn(p))
	if len(b.reports) != 1 || b.reports[0].Program != "test" || len(b.reports[0].Entries) != 3 {
		t.Errorf("reports: %+v", b.reports)
	}
	if changed, err := p.Read(t.Context()); err != nil || changed {
		t.Errorf("a round without a change: changed: %v, %v", changed, err)
	}
	b.renew(tenant(1), january.AddDate(2, 0, 0))
	b.change(func() { delete(b.documents, tenant(2)) })
	if changed, err := p.Read(t.Context()); err != nil || !changed {
		t.Errorf("a round with a change: changed: %v, %v", changed, err)
	}
	b.answers(func(w http.ResponseWriter, _ string) bool { w.WriteHeader(http.StatusBadGateway); return true })
	again := openParty(t, b, file)
	if changed, err := again.Read(t.Context()); err == nil || changed {
		t.Errorf("a round without a sender: changed: %v, %v", changed, err)
	}
	got := generationsIn(again)
	if len(got) != 2 || !slices.Equal(got[tenant(1)], []int{1, 2}) {
		t.Errorf("after a restart: %v", got)
	}
}

// The new address may be that of another installation, and its documents may not all be there at once.
func TestAPartyReaderKeepsTheDocumentsOfTheFormerAddressUntilTheNewOneIsComplete(t *testing.T) {
	old, next := newBank(t, 2), newBank(t, 3)
	next.secret = ed25519.NewKeyFromSeed([]byte(strings.Repeat("n", ed25519.SeedSize)))
	thumbprint, err := feed.Thumbprint(next.secret.Public().(ed25519.PublicKey))
	testenv.Check(t, err)
	next.address = next.server.URL + "/feeds/unguessable/" + thumbprint + "/"
	file := filepath.Join(t.TempDir(), "state")
	_, err = openParty(t, old, file).Read(t.Context())
	testenv.Check(t, err)

	p := openParty(t, next, file)
	next.answers(func(w http.ResponseWriter, below string) bool {
		if below == "documents" {
			io.WriteString(w, "{}")
		}
		return below == "documents"
	})
	if changed, err := p.Read(t.Context()); err == nil || changed || len(p.Documents()) != 2 {
		t.Errorf("while documents are missing: changed: %v, %d documents, %v", changed, len(p.Documents()), err)
	}
	next.answers(nil)
	if changed, err := p.Read(t.Context()); err != nil || !changed || len(p.Documents()) != 3 {
		t.Errorf("when all are there: changed: %v, %d documents, %v", changed, len(p.Documents()), err)
	}
}

func TestAPartyReaderRefusesTheFeedOfOneArrangement(t *testing.T) {
	b := newBank(t, 1)
	d := b.documents[tenant(0)]
	d.Feed = feed.ID("unguessable")
	signed, err := feed.Sign(d, b.secret)
	testenv.Check(t, err)
	b.answers(func(w http.ResponseWriter, _ string) bool { io.WriteString(w, signed); return true })
	_, err = openParty(t, b, filepath.Join(t.TempDir(), "state")).Read(t.Context())
	if !errors.Is(err, errSingle) || strings.Contains(err.Error(), "unguessable") {
		t.Errorf("got the error %v", err)
	}
}

// A sender that answers with one document at a time would keep a round busy for hours.
func TestARoundHasAnEndHoweverTheSenderAnswers(t *testing.T) {
	b := newBank(t, 3)
	first := func(w http.ResponseWriter, below string) bool {
		if below != "documents" {
			return false
		}
		out := feed.SignedDocuments{Documents: []feed.SignedDocument{{ID: tenant(0), Document: b.signed(tenant(0))}}}
		testenv.Check(t, json.NewEncoder(w).Encode(out))
		return true
	}
	b.answers(first)
	now := january
	p := openParty(t, b, filepath.Join(t.TempDir(), "state"), func(c *PartyConfig) {
		c.Now = func() time.Time { now = now.Add(25 * time.Minute); return now }
	})
	if changed, err := p.Read(t.Context()); !changed || !errors.Is(err, errTooLong) || len(p.Documents()) != 1 {
		t.Errorf("too slow: changed: %v, %d documents, %v", changed, len(p.Documents()), err)
	}
	pace := &pacer{sent: mostRequests, now: func() time.Time { return january }, began: january}
	if err := pace.next(t.Context()); !errors.Is(err, errTooLong) {
		t.Errorf("too many requests: %v", err)
	}
}
