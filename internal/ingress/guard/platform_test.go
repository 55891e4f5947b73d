package guard

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"fmt"
	"math/big"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"unicode"

	"github.com/go-jose/go-jose/v4"

	"github.com/perennial-pki/perennial/internal/feed"
	"github.com/perennial-pki/perennial/internal/testing/testenv"
)

// A platform publishes the feed of a counterparty.
type platform struct {
	t   testing.TB
	key ed25519.PrivateKey
	url string

	mu        sync.Mutex               // guards the following
	sequence  uint64                   // of the index; 0 before the first entry
	documents map[string]feed.Document // by the ID of the entry, such as acme-crm-to-erp
	answer    func(w http.ResponseWriter, below string) bool
	reports   []feed.Report
	cached    struct { // the last index, which is the same until the sequence changes
		sequence uint64
		signed   string
		pages    [][]byte
	}
}

func newPlatform(t testing.TB) *platform {
	t.Helper()
	_, key, err := ed25519.GenerateKey(nil)
	testenv.Check(t, err)
	p := &platform{t: t, key: key, documents: map[string]feed.Document{}}
	thumbprint, err := feed.Thumbprint(key.Public().(ed25519.PublicKey))
	testenv.Check(t, err)
	path := "/feeds/" + feedSecret + "/" + thumbprint + "/"
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.serve(w, r, strings.TrimPrefix(r.URL.Path, path))
	}))
	t.Cleanup(server.Close)
	p.url = server.URL + path
	return p
}

// line is the feed in a configuration.
func (p *platform) line() string { return "feeds:\n  - {name: platform, address: '" + p.url + "'}\n" }

// list publishes the certificates of an arrangement, such as acme/crm-to-erp, as its generations from 1 on.
func (p *platform) list(arrangement string, certificates ...[]byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	var d feed.Document
	d.Tenant, d.Arrangement, _ = strings.Cut(arrangement, "/")
	for i, der := range certificates {
		d.Certificates = append(d.Certificates, feed.Certificate{Generation: i + 1, State: feed.Active, DER: der})
	}
	p.documents[idOf(arrangement)] = d
	p.sequence++
}

// end ends the link of an arrangement.
func (p *platform) end(arrangement string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.documents, idOf(arrangement))
	p.sequence++
}

func idOf(arrangement string) string {
	return strings.Trim(strings.Map(func(r rune) rune {
		if unicode.IsLetter(r) || unicode.IsDigit(r) {
			return r
		}
		return '-'
	}, arrangement), "-")
}

// answers sets what is answered instead of the feed; nil for the feed.
func (p *platform) answers(answer func(w http.ResponseWriter, below string) bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.answer = answer
}

// away makes the sender unavailable.
func away(w http.ResponseWriter, _ string) bool {
	w.WriteHeader(http.StatusBadGateway)
	return true
}

// index returns the signed index and its pages.
func (p *platform) index() (signed string, pages [][]byte) {
	if p.cached.sequence == p.sequence {
		return p.cached.signed, p.cached.pages
	}
	var entries []feed.Entry
	for id, d := range p.documents {
		digest, err := d.Digest()
		testenv.Check(p.t, err)
		entries = append(entries, feed.Entry{ID: id, Tenant: d.Tenant, Arrangement: d.Arrangement, Digest: digest})
	}
	pages, digests, err := feed.Paginate(entries)
	testenv.Check(p.t, err)
	signed, err = feed.SignIndex(feed.Index{Feed: feed.ID(feedSecret), Name: "Platform", Sequence: p.sequence,
		PublishedAt: inWindow, ValidUntil: inWindow.AddDate(1, 0, 0), RefreshHint: 3600, Entries: len(entries),
		Pages: digests}, p.key)
	testenv.Check(p.t, err)
	p.cached.sequence, p.cached.signed, p.cached.pages = p.sequence, signed, pages
	return signed, pages
}

// unchecked signs an index that [feed.SignIndex] may refuse.
func unchecked(t testing.TB, i feed.Index, key ed25519.PrivateKey) string {
	t.Helper()
	payload, err := json.Marshal(i)
	testenv.Check(t, err)
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.EdDSA, Key: key},
		(&jose.SignerOptions{EmbedJWK: true}).WithType(feed.IndexType))
	testenv.Check(t, err)
	signed, err := signer.Sign(payload)
	testenv.Check(t, err)
	text, err := signed.CompactSerialize()
	testenv.Check(t, err)
	return text
}

// document returns the signed document of an entry.
func (p *platform) document(id string) string {
	d := p.documents[id]
	d.Feed, d.Sequence, d.RefreshHint = feed.ID(feed.EntrySecret(feedSecret, id)), p.sequence, 3600
	signed, err := feed.Sign(d, p.key)
	testenv.Check(p.t, err)
	return signed
}

func (p *platform) serve(w http.ResponseWriter, r *http.Request, below string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.answer != nil && p.answer(w, below) {
		return
	}
	var page int
	switch below {
	case "certificates.jws":
		signed, _ := p.index()
		fmt.Fprint(w, signed)
	case "documents":
		var out feed.SignedDocuments
		for _, id := range r.URL.Query()["id"] {
			out.Documents = append(out.Documents, feed.SignedDocument{ID: id, Document: p.document(id)})
		}
		testenv.Check(p.t, json.NewEncoder(w).Encode(out))
	case "installed":
		var report feed.Report
		testenv.Check(p.t, json.NewDecoder(r.Body).Decode(&report))
		p.reports = append(p.reports, report)
	default:
		_, pages := p.index()
		if _, err := fmt.Sscanf(below, "pages/%d", &page); err != nil || page >= len(pages) {
			http.NotFound(w, r)
			return
		}
		w.Write(pages[page])
	}
}

// cheap returns a certificate of a name for a year. All of them have one key.
func (f *folder) cheap(name string) []byte {
	f.t.Helper()
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	testenv.Check(f.t, err)
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{SerialNumber: serial,
		Subject: pkix.Name{CommonName: name}, NotBefore: begin, NotAfter: begin.AddDate(1, 0, 0)}, f.ca.Issuing,
		f.ca.Key.Public(), f.ca.Key)
	testenv.Check(f.t, err)
	return der
}
