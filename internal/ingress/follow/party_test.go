package follow

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/perennial-pki/perennial/internal/feed"
	"github.com/perennial-pki/perennial/internal/testing/testenv"
)

// newBankReceiver returns a follower of a bank's feed. Its pauses take no time, and are recorded.
func newBankReceiver(t testing.TB, b *bank, format string) (r *receiver, paused *[]time.Duration) {
	t.Helper()
	r = newReceiver(t, &sender{address: b.address, server: b.server}, january, format)
	paused = new([]time.Duration)
	r.wait = func(_ context.Context, d time.Duration) error {
		*paused = append(*paused, d)
		return nil
	}
	return r, paused
}

// lists fails unless the file lists exactly these generations of tenants, such as "tenant-0001 2".
func (r *receiver) lists(b *bank, want ...string) {
	r.t.Helper()
	text := r.written()
	var got []string
	for id, d := range b.documents {
		for n := range d.Certificates {
			if strings.Contains(text, b.fingerprint(id, n+1)) {
				got = append(got, fmt.Sprint(id, " ", n+1))
			}
		}
	}
	slices.Sort(got)
	if !slices.Equal(got, want) {
		r.t.Errorf("the file lists %q, want %q", got, want)
	}
}

// The costs of a round are those that docs/follow.md states.
func TestABankFollowsThreeThousandTenantsWithFewRequests(t *testing.T) {
	const tenants = 3000
	b := newBank(t, tenants)
	r, paused := newBankReceiver(t, b, "haproxy")
	round := func(what string, mostRequests, mostBytes int) {
		t.Helper()
		requests, bytes := b.cost(r.works)
		t.Logf("%s: %d requests, %d KB", what, requests, bytes/1000)
		if requests > mostRequests || bytes > mostBytes {
			t.Errorf("%s: %d requests and %d bytes, want at most %d and %d", what, requests, bytes, mostRequests, mostBytes)
		}
	}
	// The index, 32 pages, 30 times 100 documents, and 6 reports.
	round("the first round", 69, 14_000_000)
	if got := strings.Count(r.written(), "\n# tenant-"); got != tenants {
		t.Errorf("the file has %d certificates", got)
	}
	round("a round without a change", 1, 0)
	b.now = b.now.Add(time.Hour)
	round("a round after an hour", 1, 4000)
	b.renew(tenant(1234), january.AddDate(2, 0, 0))
	b.renew(tenant(77), january.AddDate(2, 0, 0))
	r.ran = nil
	round("a round after two renewals", 5, 70_000) // the index, 2 pages, the documents and a report
	if !strings.Contains(r.written(), b.fingerprint(tenant(77), 2)) || !slices.Equal(r.ran, []string{"check", "reload"}) {
		t.Errorf("after two renewals, %q ran", r.ran)
	}
	if last := b.reports[len(b.reports)-1]; len(last.Entries) != 2 || last.Entries[0].ID != tenant(77) ||
		!slices.Equal(last.Entries[0].Generations, []int{1, 2}) || last.Program != "perennial follow/haproxy" {
		t.Errorf("the last report is %+v", last)
	}
	if len(*paused) > 10 {
		t.Errorf("%d pauses", len(*paused))
	}
	if info, err := os.Stat(r.follower().entriesFile()); err != nil || info.Size() > 8<<20 || info.Mode() != stateMode {
		t.Errorf("the file with the documents: %v, %v", info, err)
	}
}

func TestEachFormatWritesAllTenants(t *testing.T) {
	b := newBank(t, 3)
	b.change(func() { // two arrangements of one tenant have the same certificate
		same := b.documents[tenant(2)]
		same.Arrangement = "statements"
		b.documents["tenant-0002-2"] = same
	})
	tmpl := t.TempDir() + "/by-tenant.tmpl"
	testenv.Check(t, os.WriteFile(tmpl, []byte("{{range .Certificates}}{{.SHA1}} \"{{plain .Tenant}}\";\n{{end}}"), 0o600))
	for format, line := range map[string]string{"nginx": " 1; # tenant-", "haproxy": "\n# tenant-", "apache": "\nRequire",
		"pem": "BEGIN CERT", "cas": "BEGIN CERT", "jwks": `"kid"`, "list": "\tnext\t", tmpl: ` "tenant-000`} {
		r, _ := newBankReceiver(t, b, format)
		r.works()
		want := 3
		if format == "cas" {
			want = 2
		}
		if got := strings.Count(r.written(), line); got != want {
			t.Errorf("%s: %d lines with %q:\n%s", format, got, line, r.written())
		}
		if format == "nginx" && !strings.HasPrefix(r.written(), "# Certificates for House Bank (all tenants). Written") {
			t.Errorf("the file begins with %.90q", r.written())
		}
	}
}

// One document that is wrong or away keeps nothing else from being followed.
func TestAnEntryKeepsItsLastGoodDocument(t *testing.T) {
	b := newBank(t, 3)
	instead := func(document func() string) func(http.ResponseWriter, string) bool {
		return func(w http.ResponseWriter, below string) bool {
			if below != "documents" {
				return false
			}
			out := feed.SignedDocuments{Documents: []feed.SignedDocument{{ID: tenant(0), Document: b.signed(tenant(0))},
				{ID: tenant(1), Document: document()}}}
			testenv.Check(t, json.NewEncoder(w).Encode(out))
			return true
		}
	}
	first := b.signed(tenant(1))
	other := func() string {
		d := b.documents[tenant(1)]
		d.Feed, d.Sequence = feed.ID("unguessable"), 9
		signed, err := feed.Sign(d, b.secret)
		testenv.Check(t, err)
		return signed
	}
	lower := func() string {
		d := b.documents[tenant(1)]
		d.Feed = feed.ID(feed.EntrySecret("unguessable", tenant(1)))
		signed, err := feed.Sign(d, b.secret)
		testenv.Check(t, err)
		return signed
	}
	for name, c := range map[string]struct {
		document func() string
		want     string
	}{
		"of another entry": {func() string { return b.signed(tenant(2)) }, "another feed with the same key"},
		"of the address":   {other, "another feed with the same key"},
		"an old one":       {func() string { return first }, "not the one that the index names"},
		"an old number":    {lower, "older than"},
		"a login page":     {func() string { return "<html>" }, "not a signed feed"},
	} {
		t.Run(name, func(t *testing.T) {
			r, _ := newBankReceiver(t, b, "haproxy")
			b.answers(nil)
			r.works()
			before := len(b.documents[tenant(1)].Certificates)
			b.renew(tenant(0), january.AddDate(2, 0, 0))
			b.renew(tenant(1), january.AddDate(2, 0, 0))
			b.answers(instead(c.document))
			err := r.once()
			if err == nil || !strings.Contains(err.Error(), c.want) ||
				!strings.Contains(err.Error(), "1 of 3 documents are not up to date") {
				t.Errorf("got the error %v, want %q", err, c.want)
			}
			for id, listed := range map[string]bool{tenant(0): true, tenant(1): false} {
				if strings.Contains(r.written(), b.fingerprint(id, before+1)) != listed {
					t.Errorf("the new certificate of %s is listed: %v", id, !listed)
				}
			}
			if !strings.Contains(r.written(), b.fingerprint(tenant(1), before)) {
				t.Error("the last good certificate has left the file")
			}
			b.answers(nil)
			r.works()
			if !strings.Contains(r.written(), b.fingerprint(tenant(1), before+1)) {
				t.Error("the next round does not repair it")
			}
		})
	}
}

func TestAnEntryThatLeavesTheIndexLeavesTheFile(t *testing.T) {
	b := newBank(t, 3)
	r, _ := newBankReceiver(t, b, "haproxy")
	r.works()
	left := b.documents[tenant(1)]
	b.change(func() { delete(b.documents, tenant(1)) })
	r.works()
	r.lists(b, "tenant-0000 1", "tenant-0002 1")
	b.change(func() { b.documents[tenant(1)] = left })
	r.works()
	r.lists(b, "tenant-0000 1", "tenant-0001 1", "tenant-0002 1")
}

// A wrong decision of an operator at the sender, such as a host that is removed, must not lock all tenants out.
func TestManyEntriesThatLeaveAtOnceAreKept(t *testing.T) {
	b := newBank(t, 25)
	r, _ := newBankReceiver(t, b, "haproxy")
	r.works()
	b.change(func() {
		for i := range 20 {
			delete(b.documents, tenant(i))
		}
	})
	b.renew(tenant(24), january.AddDate(2, 0, 0))
	for range 2 {
		if err := r.once(); err == nil || !strings.Contains(err.Error(), "20 of 25 entries have left the index at once") {
			t.Errorf("got the error %v", err)
		}
		if got := strings.Count(r.written(), "\n# tenant-"); got != 26 {
			t.Errorf("the file has %d certificates", got)
		}
	}
	for i := 25; i < 60; i++ { // those that left are no longer more than half then
		b.renew(tenant(i), january.AddDate(1, 0, 0))
	}
	for range 2 {
		if err := r.once(); err == nil || strings.Count(r.written(), "\n# tenant-") != 26+35 {
			t.Errorf("after others have joined, the file has %d certificates: %v", strings.Count(r.written(), "\n# tenant-"),
				err)
		}
	}
	r.config.Shrink = true
	r.works()
	if got := strings.Count(r.written(), "\n# tenant-"); got != 6+35 {
		t.Errorf("with --shrink, the file has %d certificates", got)
	}
}

func TestNothingThatIsServedInsteadOfTheIndexChangesAFile(t *testing.T) {
	b := newBank(t, 3)
	r, _ := newBankReceiver(t, b, "pem")
	old, _ := b.index()
	b.renew(tenant(0), january.AddDate(2, 0, 0))
	r.works()
	at := func(path, content string) func(http.ResponseWriter, string) bool {
		return func(w http.ResponseWriter, below string) bool {
			if below != path {
				return false
			}
			fmt.Fprint(w, content)
			return true
		}
	}
	now, pages := b.index()
	parts := strings.Split(now, ".")
	none := "eyJhbGciOiJub25lIiwidHlwIjoicGVyZW5uaWFsLWZlZWQtaW5kZXgrandzIn0." + parts[1] + "."
	for name, c := range map[string]struct {
		answer func(http.ResponseWriter, string) bool
		want   string
	}{
		"an old index":       {at(documentName, old), "an old copy is served"},
		"an unsigned index":  {at(documentName, none), "not a signed feed"},
		"a cut index":        {at(documentName, now[:len(now)-9]), "not a signed feed"},
		"a document":         {at(documentName, b.signed(tenant(0))), "another feed with the same key"},
		"an empty answer":    {at(documentName, ""), "not a signed feed"},
		"a cut page":         {at("pages/0", string(pages[0][:40])), "changes faster"},
		"a page without one": {at("pages/0", `{"entries":[]}`), "changes faster"},
	} {
		t.Run(name, func(t *testing.T) {
			within := *r
			within.t = t
			b.change(func() {}) // so that the index is read
			if strings.Contains(name, "page") {
				b.renew(tenant(2), january.AddDate(2, 0, 0))
			}
			b.answers(c.answer)
			within.refuses(c.want)
		})
	}
	b.answers(nil)
	r.works()
}

func TestAnIndexThatChangesWhileItIsReadIsReadAgain(t *testing.T) {
	b := newBank(t, 3)
	r, _ := newBankReceiver(t, b, "haproxy")
	moved := false
	b.answers(func(_ http.ResponseWriter, below string) bool {
		if below == "pages/0" && !moved {
			moved = true
			d := b.documents[tenant(1)]
			d.Arrangement = "renamed"
			b.documents[tenant(1)] = d
			b.sequence++
		}
		return false
	})
	r.works()
	r.lists(b, "tenant-0000 1", "tenant-0001 1", "tenant-0002 1")
}

// While a sender renews many certificates, the index that it serves may be a few seconds old.
func TestADocumentThatChangesWhileItIsFetchedIsFollowedInTheSameRound(t *testing.T) {
	b := newBank(t, 3)
	r, _ := newBankReceiver(t, b, "haproxy")
	renewed := false
	b.answers(func(_ http.ResponseWriter, below string) bool {
		if below == "documents" && !renewed {
			renewed = true
			d := b.documents[tenant(1)]
			d.Certificates = append(d.Certificates, feed.Certificate{Generation: 2, State: feed.Next,
				DER: b.documents[tenant(2)].Certificates[0].DER})
			b.documents[tenant(1)] = d
			b.sequence++
		}
		return false
	})
	requests, _ := b.cost(r.works)
	if of := b.reports[0].Entries[1]; of.ID != tenant(1) || !slices.Equal(of.Generations, []int{1, 2}) {
		t.Errorf("reported as installed: %+v", of)
	}
	if requests != 7 { // the index, its page and the documents, twice, and a report
		t.Errorf("%d requests", requests)
	}
}

// The rule of a single feed holds for each entry: what has expired leaves, and the last one stays.
func TestExpiredCertificatesLeaveAndTheLastOfATenantStays(t *testing.T) {
	b := newBank(t, 2)
	b.renew(tenant(0), january.AddDate(2, 0, 0))
	b.change(func() { // nothing is valid there, and the index states that
		d := b.documents[tenant(1)]
		soon := january.AddDate(0, 1, 0)
		d.Certificates[0].RemoveAfter = &soon
		b.documents[tenant(1)] = d
	})
	r, _ := newBankReceiver(t, b, "haproxy")
	r.works()
	r.lists(b, "tenant-0000 1", "tenant-0000 2", "tenant-0001 1")
	r.now = january.AddDate(1, 1, 0)
	r.works()
	r.lists(b, "tenant-0000 2", "tenant-0001 1")
	r.now = january.AddDate(3, 0, 0)
	r.refuses("every certificate of the feed has expired")
}

func TestARoundKeepsBelowTheRateOfTheSender(t *testing.T) {
	b := newBank(t, 3)
	r, paused := newBankReceiver(t, b, "haproxy")
	refusals := 1
	b.answers(func(w http.ResponseWriter, below string) bool {
		if below != "documents" || refusals == 0 {
			return false
		}
		refusals--
		w.Header().Set("Retry-After", "17")
		w.WriteHeader(http.StatusTooManyRequests)
		return true
	})
	r.works()
	if !slices.Equal(*paused, []time.Duration{17 * time.Second}) {
		t.Errorf("paused %v", *paused)
	}
	refusals = 99
	b.renew(tenant(0), january.AddDate(2, 0, 0))
	if err := r.once(); err == nil || !strings.Contains(err.Error(), "status 429") {
		t.Errorf("got the error %v", err)
	}
}

func TestADamagedFileOfDocumentsIsFetchedAgain(t *testing.T) {
	b := newBank(t, 3)
	r, _ := newBankReceiver(t, b, "haproxy")
	r.works()
	path := r.follower().entriesFile()
	data, err := os.ReadFile(path)
	testenv.Check(t, err)
	testenv.Check(t, os.WriteFile(path, data[:len(data)-5], 0o600))
	requests, _ := b.cost(r.works)
	if requests != 4 || !strings.Contains(r.log.String(), "is damaged, and they are fetched again") {
		t.Errorf("%d requests:\n%s", requests, r.log)
	}
	r.lists(b, "tenant-0000 1", "tenant-0001 1", "tenant-0002 1")
}

// Without earlier documents, such as after a change of the address, an incomplete round would remove certificates.
func TestAnIncompleteRoundWithoutEarlierDocumentsLeavesTheFile(t *testing.T) {
	b := newBank(t, 3)
	partly := func(w http.ResponseWriter, below string) bool {
		if below != "documents" {
			return false
		}
		testenv.Check(t, json.NewEncoder(w).Encode(feed.SignedDocuments{Documents: []feed.SignedDocument{
			{ID: tenant(0), Document: b.signed(tenant(0))}}}))
		return true
	}
	for name, lose := range map[string]func(r *receiver) error{
		"the documents": func(r *receiver) error { return os.Remove(r.follower().entriesFile()) },
		"the state":     func(r *receiver) error { return os.Remove(r.follower().state) },
	} {
		t.Run(name, func(t *testing.T) {
			r, _ := newBankReceiver(t, b, "haproxy")
			b.answers(nil)
			r.works()
			testenv.Check(t, lose(r))
			b.answers(partly)
			r.refuses("2 of 3 documents are not up to date")
			b.answers(nil)
			r.works()
			r.lists(b, "tenant-0000 1", "tenant-0001 1", "tenant-0002 1")
		})
	}
	r, _ := newBankReceiver(t, b, "haproxy")
	testenv.Check(t, os.WriteFile(r.path, nil, 0o600)) // for nginx, the file has to be there before the first round
	b.answers(partly)
	if err := r.once(); err == nil {
		t.Error("an incomplete round reports no error")
	}
	r.lists(b, "tenant-0000 1")
}

// The sender chooses how much it publishes, and a follower must not run out of memory, nor write what it cannot read.
func TestWhatASenderPublishesIsBounded(t *testing.T) {
	b := newBank(t, 1)
	r, _ := newBankReceiver(t, b, "pem")
	r.works()
	page := []byte(`{"entries":[]` + strings.Repeat(" ", feed.MaxPage-20) + "}")
	sum := sha256.Sum256(page)
	index := feed.Index{Feed: feed.ID("unguessable"), Sequence: 9, Entries: 1,
		Pages: slices.Repeat([]string{hex.EncodeToString(sum[:])}, feed.MaxPages)}
	signed, err := feed.SignIndex(index, b.secret)
	testenv.Check(t, err)
	pages := 0
	b.answers(func(w http.ResponseWriter, below string) bool {
		switch {
		case below == documentName:
			fmt.Fprint(w, signed)
		case strings.HasPrefix(below, "pages/"):
			pages++
			w.Write(page)
		}
		return true
	})
	r.refuses("more than 64 MiB")
	if pages > 65 {
		t.Errorf("%d pages were fetched", pages)
	}

	e := newEntries()
	large := feed.Document{Certificates: []feed.Certificate{{DER: make([]byte, 1<<20)}},
		CAs: [][]byte{make([]byte, 1<<19), make([]byte, 1<<19)}} // one CA, twice
	for i := range 255 {
		testenv.Check(t, e.put(tenant(i), entry{Document: large}))
		testenv.Check(t, e.put(tenant(i), entry{Document: large})) // the same one needs no room
	}
	if err := e.put(tenant(255), entry{Document: large}); err == nil || len(e.of) != 255 {
		t.Errorf("%d entries are kept: %v", len(e.of), err)
	}
}

func TestAFileThatCouldNotBeReplacedIsNotWritten(t *testing.T) {
	large := Format{name: "pem", render: func(View) ([]byte, error) { return make([]byte, maxOutput+1), nil }}
	if _, err := large.Render(View{}); err == nil || !strings.Contains(err.Error(), "larger than 64 MiB") {
		t.Errorf("a file of more than 64 MiB: %v", err)
	}
}

func FuzzParseEntries(f *testing.F) {
	f.Add([]byte(`{"pages":{},"entries":[{"id":"a","document":{"certificates":[]},"cas":[0]}]}`))
	f.Add([]byte(`{"cas":["AA=="],"entries":[{"cas":[0,1]}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		sum := sha256.Sum256(data)
		e, err := parseEntries(append(append(hex.AppendEncode(nil, sum[:]), '\n'), data...))
		if (e == nil) != (err != nil) {
			t.Errorf("got %+v, %v", e, err)
		}
		if _, err := parseEntries(data); err == nil {
			t.Error("a file without its checksum is accepted")
		}
	})
}
