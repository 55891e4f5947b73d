package follow

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math/big"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/perennial-pki/perennial/internal/feed"
	"github.com/perennial-pki/perennial/internal/testing/testca"
	"github.com/perennial-pki/perennial/internal/testing/testenv"
)

// A bank publishes the feed of a counterparty, as a platform does.
type bank struct {
	t       testing.TB
	ca      *testca.CA
	private *ecdsa.PrivateKey // of each certificate
	secret  ed25519.PrivateKey
	server  *httptest.Server
	address string

	mu        sync.Mutex // guards the fields below
	now       time.Time  // of the signatures
	sequence  uint64
	documents map[string]feed.Document // by the ID of the entry
	sequences map[string]uint64
	// answer answers instead of the feed if it returns true. below is the path below the address.
	answer   func(w http.ResponseWriter, below string) bool
	requests int
	sent     int // bytes
	reports  []feed.Report
	// cached is the last index, which is the same until the sequence or the time changes.
	cached struct {
		sequence uint64
		now      time.Time
		signed   string
		pages    [][]byte
	}
}

func newBank(t testing.TB, tenants int) *bank {
	t.Helper()
	b := &bank{t: t, ca: testca.New(t, "Partner CA", january), now: january, documents: map[string]feed.Document{},
		secret: ed25519.NewKeyFromSeed([]byte(strings.Repeat("k", ed25519.SeedSize))), sequences: map[string]uint64{}}
	var err error
	b.private, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	testenv.Check(t, err)
	thumbprint, err := feed.Thumbprint(b.secret.Public().(ed25519.PublicKey))
	testenv.Check(t, err)
	b.server = httptest.NewServer(http.HandlerFunc(b.serve))
	t.Cleanup(b.server.Close)
	b.address = b.server.URL + "/feeds/unguessable/" + thumbprint + "/"
	for i := range tenants {
		b.renew(tenant(i), january.AddDate(1, 0, 0))
	}
	return b
}

func tenant(i int) string { return fmt.Sprintf("tenant-%04d", i) }

// renew publishes one more generation of a tenant.
func (b *bank) renew(id string, notAfter time.Time) {
	b.t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	d := b.documents[id]
	n := len(d.Certificates) + 1
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	testenv.Check(b.t, err)
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{SerialNumber: serial,
		Subject: pkix.Name{CommonName: id}, NotBefore: january.AddDate(-1, 0, 0), NotAfter: notAfter}, b.ca.Issuing,
		b.private.Public(), b.ca.Key)
	testenv.Check(b.t, err)
	d.Tenant, d.Arrangement, d.CAs = id, "to-bank", [][]byte{b.ca.Issuing.Raw, b.ca.Root.Raw}
	d.Certificates = append(d.Certificates[:len(d.Certificates):len(d.Certificates)],
		feed.Certificate{Generation: n, State: feed.Next, DER: der})
	b.documents[id] = d
	b.sequence++
	b.sequences[id]++
}

// fingerprint returns the fingerprint of a generation as it is in a list of HAProxy.
func (b *bank) fingerprint(id string, generation int) string {
	sum := sha256.Sum256(b.documents[id].Certificates[generation-1].DER)
	return strings.ToUpper(hex.EncodeToString(sum[:]))
}

// change changes the published state.
func (b *bank) change(change func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.sequence++
	change()
}

// answers sets what is answered instead of the feed; nil for the feed.
func (b *bank) answers(answer func(w http.ResponseWriter, below string) bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.answer = answer
}

// index returns the signed index and its pages.
func (b *bank) index() (signed string, pages [][]byte) {
	if b.cached.sequence == b.sequence && b.cached.now.Equal(b.now) {
		return b.cached.signed, b.cached.pages
	}
	var entries []feed.Entry
	for id, d := range b.documents {
		digest, err := d.Digest()
		testenv.Check(b.t, err)
		entries = append(entries, feed.Entry{ID: id, Tenant: d.Tenant, Arrangement: d.Arrangement, Digest: digest})
	}
	pages, digests, err := feed.Paginate(entries)
	testenv.Check(b.t, err)
	signed, err = feed.SignIndex(feed.Index{Feed: feed.ID("unguessable"), Name: "House Bank", Sequence: b.sequence,
		PublishedAt: b.now, ValidUntil: b.now.AddDate(1, 0, 0), RefreshHint: 3600, Entries: len(entries), Pages: digests},
		b.secret)
	testenv.Check(b.t, err)
	b.cached.sequence, b.cached.now, b.cached.signed, b.cached.pages = b.sequence, b.now, signed, pages
	return signed, pages
}

// signed returns the signed document of an entry.
func (b *bank) signed(id string) string {
	d := b.documents[id]
	d.Feed, d.Sequence, d.RefreshHint = feed.ID(feed.EntrySecret("unguessable", id)), b.sequences[id], 3600
	signed, err := feed.Sign(d, b.secret)
	testenv.Check(b.t, err)
	return signed
}

func (b *bank) serve(w http.ResponseWriter, r *http.Request) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.requests++
	counted := &counter{ResponseWriter: w, n: &b.sent}
	below := strings.TrimPrefix(b.server.URL+r.URL.Path, b.address)
	if b.answer != nil && b.answer(counted, below) {
		return
	}
	signed, pages := b.index()
	var n int
	switch {
	case below == documentName:
		sum := sha256.Sum256([]byte(signed))
		etag := `"` + hex.EncodeToString(sum[:]) + `"`
		w.Header().Set("ETag", etag)
		if r.Header.Get("If-None-Match") == etag {
			w.WriteHeader(http.StatusNotModified)
			return
		}
		fmt.Fprint(counted, signed)
	case below == "documents" && len(r.URL.Query()["id"]) <= feed.MaxDocuments:
		out := feed.SignedDocuments{}
		for _, id := range r.URL.Query()["id"] {
			if _, known := b.documents[id]; known {
				out.Documents = append(out.Documents, feed.SignedDocument{ID: id, Document: b.signed(id)})
			}
		}
		testenv.Check(b.t, json.NewEncoder(counted).Encode(out))
	case r.Method == http.MethodPost && below == "installed":
		var report feed.Report
		testenv.Check(b.t, json.NewDecoder(r.Body).Decode(&report))
		b.reports = append(b.reports, report)
		fmt.Fprint(counted, "{}")
	default:
		if _, err := fmt.Sscanf(below, "pages/%d", &n); err != nil || n >= len(pages) {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		counted.Write(pages[n])
	}
}

// counter counts the bytes of an answer.
type counter struct {
	http.ResponseWriter
	n *int
}

func (c *counter) Write(p []byte) (int, error) {
	n, err := c.ResponseWriter.Write(p)
	*c.n += n
	return n, err
}

// cost returns the requests and bytes of an action.
func (b *bank) cost(action func()) (requests, bytes int) {
	b.mu.Lock()
	requests, bytes = b.requests, b.sent
	b.mu.Unlock()
	action()
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.requests - requests, b.sent - bytes
}
