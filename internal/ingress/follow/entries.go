package follow

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/perennial-pki/perennial/internal/feed"
)

// maxEntries limits the file with the entries of a counterparty's feed. 10,000 entries with two generations have about
// 30 MB.
const maxEntries = 512 << 20

// maxPages and maxDocuments limit what a follower keeps of a sender: the pages of an index, and the certificates and
// CAs in its documents, each CA once. 100,000 entries with two generations have 20 MB and 200 MB. Both together fit
// into [maxEntries] in base64, so that the file can be read again.
const (
	maxPages     = 64 << 20
	maxDocuments = 256 << 20
)

// entries are those of a counterparty's feed: the last index, and the last good document of each entry.
type entries struct {
	Pages map[string]string // the pages of the index, by their SHA-256

	of      map[string]entry // by ID
	size    int              // bytes of the certificates and CAs in of
	cas     map[string][]byte
	missing error // states what is not up to date; nil if everything is
	moved   bool  // set if a document has changed since the index was read
}

// An entry is the last good document of one arrangement.
type entry struct {
	Digest   string
	Document feed.Document
	Reported *feed.InstalledEntry // the last report that the sender has received
	Left     bool                 // the index does not name it any more, and it is kept until --shrink
}

// page returns a page of the index. A nil value has none.
func (e *entries) page(digest string) (text string, known bool) {
	if e == nil {
		return "", false
	}
	text, known = e.Pages[digest]
	return text, known
}

func (e *entries) entry(id string) (found entry, known bool) {
	if e == nil {
		return found, false
	}
	found, known = e.of[id]
	return found, known
}

func (e *entries) all() map[string]entry {
	if e == nil {
		return nil
	}
	return e.of
}

// newEntries returns entries without any.
func newEntries() *entries {
	return &entries{Pages: map[string]string{}, of: map[string]entry{}, cas: map[string][]byte{}}
}

// put adds or replaces an entry. Documents with the same CA share it in memory.
func (e *entries) put(id string, one entry) error {
	size := e.size - certificatesSize(e.of[id].Document) + certificatesSize(one.Document)
	for _, der := range one.Document.CAs {
		if _, known := e.cas[string(der)]; !known {
			size += len(der)
		}
	}
	if size > maxDocuments {
		return fmt.Errorf("the documents have more than %d MiB", maxDocuments>>20)
	}
	shared := make([][]byte, len(one.Document.CAs))
	for i, der := range one.Document.CAs {
		if _, known := e.cas[string(der)]; !known {
			e.cas[string(der)] = der
		}
		shared[i] = e.cas[string(der)]
	}
	one.Document.CAs = shared
	e.of[id], e.size = one, size
	return nil
}

// certificatesSize returns the size of the certificates of a document without its CAs, in bytes.
func certificatesSize(d feed.Document) int {
	d.CAs = nil
	return d.Content()
}

// storedEntries is the form of entries in their file. CAs are stored once.
type storedEntries struct {
	Pages   map[string]string `json:"pages"`
	CAs     [][]byte          `json:"cas,omitempty"`
	Entries []storedEntry     `json:"entries"`
}

type storedEntry struct {
	ID       string               `json:"id"`
	Document feed.Document        `json:"document"` // without its CAs
	CAs      []int                `json:"cas,omitempty"`
	Reported *feed.InstalledEntry `json:"reported,omitempty"`
	Left     bool                 `json:"left,omitempty"`
}

// entriesFile returns the path of the file with the entries.
func (f *Follower) entriesFile() string { return f.state + ".entries" }

// saveEntries replaces the file with the entries. Its first line is the SHA-256 of the rest.
func (f *Follower) saveEntries(e *entries) error {
	stored := storedEntries{Pages: e.Pages, Entries: []storedEntry{}}
	places := map[string]int{}
	for id, of := range e.of {
		one := storedEntry{ID: id, Document: of.Document, Reported: of.Reported, Left: of.Left}
		one.Document.CAs = nil
		for _, der := range of.Document.CAs {
			place, known := places[string(der)]
			if !known {
				place = len(stored.CAs)
				places[string(der)], stored.CAs = place, append(stored.CAs, der)
			}
			one.CAs = append(one.CAs, place)
		}
		stored.Entries = append(stored.Entries, one)
	}
	data, err := json.Marshal(stored)
	if err != nil {
		return err
	}
	sum := sha256.Sum256(data)
	if err := f.files.replace(f.entriesFile(), append(append(hex.AppendEncode(nil, sum[:]), '\n'), data...),
		stateMode); err != nil {
		return fmt.Errorf("save the documents: %w", err)
	}
	return nil
}

// loadEntries reads the file with the entries. It returns nil if there is none, or if it is damaged: the documents are
// then fetched again.
func (f *Follower) loadEntries() (*entries, error) {
	info, err := os.Lstat(f.entriesFile())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	} else if err != nil {
		return nil, fmt.Errorf("read the documents: %w", err)
	}
	if !info.Mode().IsRegular() || info.Size() > maxEntries {
		return nil, fmt.Errorf("%s is not a regular file of a follower: name another state file", f.entriesFile())
	}
	data, err := os.ReadFile(f.entriesFile())
	if err != nil {
		return nil, fmt.Errorf("read the documents: %w", err)
	}
	e, err := parseEntries(data)
	if err != nil {
		f.log.Warn("the file with the documents is damaged, and they are fetched again", "file", f.entriesFile(),
			"error", err)
		return nil, nil
	}
	return e, nil
}

func parseEntries(data []byte) (*entries, error) {
	line, rest, _ := bytes.Cut(data, []byte("\n"))
	if sum := sha256.Sum256(rest); hex.EncodeToString(sum[:]) != string(line) {
		return nil, errors.New("its checksum is wrong")
	}
	var stored storedEntries
	if err := json.Unmarshal(rest, &stored); err != nil {
		return nil, err
	}
	e := newEntries()
	if stored.Pages != nil {
		e.Pages = stored.Pages
	}
	for _, one := range stored.Entries {
		for _, place := range one.CAs {
			if place < 0 || place >= len(stored.CAs) {
				return nil, errors.New("it lacks a CA")
			}
			one.Document.CAs = append(one.Document.CAs, stored.CAs[place])
		}
		digest, err := one.Document.Digest()
		if err != nil {
			return nil, err
		}
		if err := e.put(one.ID, entry{Digest: digest, Document: one.Document, Reported: one.Reported,
			Left: one.Left}); err != nil {
			return nil, err
		}
	}
	return e, nil
}

// readAll reads an answer up to a limit.
func readAll(r io.Reader, limit int64) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err == nil && int64(len(data)) > limit {
		err = fmt.Errorf("the answer is larger than %d KiB", limit>>10)
	}
	return data, err
}
