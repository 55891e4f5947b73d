package feed

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// IndexType is the "typ" of the signature's header of an index.
const IndexType = "perennial-feed-index+jws"

// The limits of an index.
const (
	MaxEntries = 100_000
	MaxPages   = 1024
	MaxPage    = 1 << 20 // bytes of a page

	// MaxDocuments is the number of documents, and MaxReports that of reports, in one request. Both keep a round of 10,000
	// entries at a few hundred requests. MaxDocumentsSize limits an answer with documents, in bytes.
	MaxDocuments     = 100
	MaxReports       = 500
	MaxDocumentsSize = 16 << 20

	// entriesOnPage is the number of entries up to which a page is not divided. A page of 128 entries has about 24 KB, so
	// the change of one entry costs a follower little, and the index of 10,000 entries names 128 pages in 12 KB.
	entriesOnPage = 128
)

// An Index lists the documents of a counterparty's feed: one for each arrangement with it. Its entries are on pages,
// which are not signed. The index names the SHA-256 of each page, and each entry the digest of its document, so the
// signature of the index covers all of them.
type Index struct {
	// Feed is the [ID] of the address at which the index is published. At any other address it is not valid.
	Feed string `json:"feed"`
	// Name is that of the counterparty. It is for people.
	Name string `json:"name"`
	// Sequence grows with every change of the index.
	Sequence uint64 `json:"sequence"`
	// PublishedAt, ValidUntil and RefreshHint are as in a [Document].
	PublishedAt time.Time `json:"published_at"`
	ValidUntil  time.Time `json:"valid_until"`
	RefreshHint int       `json:"refresh_hint"`
	// Entries is the number of entries on all pages.
	Entries int `json:"entries"`
	// Pages has the SHA-256 of each page, in hexadecimal.
	Pages []string `json:"pages"`
}

// An Entry is an arrangement in an [Index].
type Entry struct {
	ID string `json:"id"` // stays the same for the life of the arrangement
	// Tenant and Arrangement name the sender. They are for people.
	Tenant      string `json:"tenant"`
	Arrangement string `json:"arrangement"`
	// Digest is the [Document.Digest] of its document. It is empty if the sender has no valid certificate to publish at
	// the moment: a follower then keeps what it has.
	Digest string `json:"digest,omitempty"`
}

// SignedDocuments is the answer to a request for the documents of some entries, a wire format. Documents that are not
// available are left out, and those that would make the answer larger than [MaxDocumentsSize].
type SignedDocuments struct {
	Documents []SignedDocument `json:"documents"`
}

// A SignedDocument is the document of an entry as a JWS.
type SignedDocument struct {
	ID       string `json:"id"`
	Document string `json:"document"`
}

// A Report states which certificates a follower of a counterparty's feed has installed, a wire format.
type Report struct {
	Program string           `json:"program"`
	Entries []InstalledEntry `json:"entries"` // at most [MaxReports]
}

// An InstalledEntry has the generations of an entry that are installed, and the sequence number of its document.
type InstalledEntry struct {
	ID          string `json:"id"`
	Sequence    uint64 `json:"sequence"`
	Generations []int  `json:"generations"`
}

// A page is the wire format of a part of the entries.
type page struct {
	Entries []Entry `json:"entries"`
}

// entryID is the form of the ID of an entry. It is a part of addresses.
var entryID = regexp.MustCompile(`^[A-Za-z0-9-]{1,64}$`)

// ValidID reports whether a text can be the ID of an entry.
func ValidID(id string) bool { return entryID.MatchString(id) }

// EntrySecret returns what stands for the secret of the address in the document of an entry, see [Verify].
func EntrySecret(secret, id string) string { return secret + "/" + id }

// IsIndex reports whether a JWS states that it is an index. It verifies nothing.
func IsIndex(signed string) bool {
	if len(signed) > MaxSize {
		return false
	}
	jws, err := jose.ParseSignedCompact(signed, []jose.SignatureAlgorithm{jose.EdDSA})
	return err == nil && jws.Signatures[0].Protected.ExtraHeaders[jose.HeaderType] == IndexType
}

// Paginate divides entries into pages, and returns them with their SHA-256. An entry stays on its page when others come
// and go, unless the number of pages changes.
func Paginate(entries []Entry) (pages [][]byte, digests []string, err error) {
	n := 1
	for len(entries)/n > entriesOnPage && n < MaxPages {
		n *= 2
	}
	parts := make([]page, n)
	for _, e := range entries {
		hash := sha256.Sum256([]byte(e.ID))
		i := int(binary.BigEndian.Uint32(hash[:4])) % n
		parts[i].Entries = append(parts[i].Entries, e)
	}
	for _, p := range parts {
		slices.SortFunc(p.Entries, func(a, b Entry) int { return strings.Compare(a.ID, b.ID) })
		data, err := json.Marshal(p)
		if err != nil {
			return nil, nil, err
		}
		if len(data) > MaxPage {
			return nil, nil, fmt.Errorf("a page of the index is larger than %d KiB", MaxPage>>10)
		}
		pages, digests = append(pages, data), append(digests, sum(data))
	}
	return pages, digests, nil
}

// ErrPage is returned for a page that is not the one in the index. The index may have changed in the meantime.
var ErrPage = errors.New("a page is not the one that the index names")

// ReadPage returns the entries of a page with a digest.
func ReadPage(data []byte, digest string) ([]Entry, error) {
	if len(data) > MaxPage || sum(data) != digest {
		return nil, ErrPage
	}
	var p page
	if err := json.Unmarshal(data, &p); err != nil {
		return nil, fmt.Errorf("a page of the index cannot be read: %w", err)
	}
	for _, e := range p.Entries {
		if !ValidID(e.ID) {
			return nil, errors.New("an entry of the index has an invalid ID")
		}
	}
	return p.Entries, nil
}

// SignIndex returns an index as a JWS, as [Sign] does with a document.
func SignIndex(i Index, key ed25519.PrivateKey) (string, error) {
	if err := i.check(); err != nil {
		return "", err
	}
	return sign(i, IndexType, key)
}

// VerifyIndex returns the index in a JWS, as [Verify] does with a document.
func VerifyIndex(signed, secret, thumbprint string) (i Index, err error) {
	if err := open(signed, IndexType, thumbprint, &i); err != nil {
		return Index{}, err
	}
	if i.Feed != ID(secret) {
		return Index{}, errOtherFeed
	}
	if err := i.check(); err != nil {
		return Index{}, err
	}
	return i, nil
}

// check refuses an index that would leave a receiver without a certificate, or that is larger than followers read.
func (i Index) check() error {
	switch {
	case i.Feed == "":
		return errors.New("the index does not name its address")
	case i.Entries < 1 || i.Entries > MaxEntries:
		return fmt.Errorf("the index has %d entries: from 1 to %d are supported", i.Entries, MaxEntries)
	case len(i.Pages) < 1 || len(i.Pages) > MaxPages:
		return fmt.Errorf("the index has %d pages: from 1 to %d are supported", len(i.Pages), MaxPages)
	}
	return nil
}
