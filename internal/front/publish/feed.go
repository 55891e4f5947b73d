package publish

import (
	"bytes"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/perennial-pki/perennial/internal/feed"
	"github.com/perennial-pki/perennial/internal/keys/certfile"
	"github.com/perennial-pki/perennial/tenancy"
)

// A FeedFile is one form of a feed, below the feed's address.
type FeedFile struct {
	Name        string
	ContentType string
	// ListsCertificates is set for the forms from which a receiver can learn the certificates to accept. The others have
	// the CAs only, or the names of the forms.
	ListsCertificates bool

	about  string // for the page that lists the forms
	render func(f Feed) ([]byte, error)
}

// A Feed is a document to publish.
type Feed struct {
	Document feed.Document
	// Sign returns the document as a JWS.
	Sign func(feed.Document) (string, error)
}

// FeedIndex is the form that lists the others. Its name is empty.
var FeedIndex = FeedFile{ContentType: "text/plain; charset=utf-8", render: index}

// SignedFeed is the name of the signed form. At the address of a counterparty's feed, it is the index.
const SignedFeed = "certificates.jws"

// PartyFeedIndex describes the feed of a counterparty for a person.
func PartyFeedIndex(i feed.Index) []byte {
	return fmt.Appendf(nil, "Client certificates of %d arrangements for %s, now and next. Sequence %d.\n\n"+
		"%-17s the signed index, for perennial follow\n"+
		"%-17s a page of the index, from 0 to %d\n"+
		"%-17s the signed documents of some entries, at most %d\n"+
		"%-17s one entry, with the forms of a feed\n"+
		"\nFetch the index every %d seconds with If-None-Match. Whoever has this address can read it.\n", i.Entries, i.Name,
		i.Sequence, SignedFeed, "pages/N", len(i.Pages)-1, "documents?id=ID", feed.MaxDocuments, "entries/ID/", i.RefreshHint)
}

// FeedFiles are the forms of a feed.
func FeedFiles() []FeedFile {
	return []FeedFile{
		{Name: SignedFeed, ContentType: "application/jose", ListsCertificates: true, render: signed,
			about: "everything below, signed (JWS, EdDSA), for perennial follow"},
		{Name: "jwks.json", ContentType: "application/jwk-set+json", ListsCertificates: true, render: jwks,
			about: "keys with x5c and x5t#S256 (RFC 7517), as jwks_uri (RFC 8705)"},
		{Name: "spiffe.json", ContentType: "application/json", render: spiffe, about: "SPIFFE trust bundle of the CAs"},
		{Name: "certificates.pem", ContentType: "application/x-pem-file", ListsCertificates: true, render: certificatesPEM,
			about: "certificates to accept"},
		{Name: "cas.pem", ContentType: "application/x-pem-file", render: casPEM, about: "certificates of the CAs above them"},
		{Name: "list.txt", ContentType: "text/plain; charset=utf-8", ListsCertificates: true, render: table,
			about: "certificates as a table with tabs, for scripts"},
	}
}

// Render returns the content of the form. It is [tenancy.ErrNotFound] if the feed has nothing for it.
func (t FeedFile) Render(f Feed) ([]byte, error) { return t.render(f) }

// index lists the forms for a person.
func index(f Feed) ([]byte, error) {
	var b bytes.Buffer
	fmt.Fprintf(&b, "Client certificates of %s for %s, now and next. Sequence %d.\n\n", f.Document.Tenant,
		f.Document.Arrangement, f.Document.Sequence)
	for _, t := range FeedFiles() {
		fmt.Fprintf(&b, "%-17s %s\n", t.Name, t.about)
	}
	fmt.Fprintf(&b, "\nFetch every %d seconds with If-None-Match. Whoever has this address can read it.\n"+
		"Report what is installed with POST installed: {\"sequence\":%d,\"generations\":[%d],\"program\":\"...\"}\n",
		f.Document.RefreshHint, f.Document.Sequence, f.Document.Certificates[len(f.Document.Certificates)-1].Generation)
	return b.Bytes(), nil
}

func signed(f Feed) ([]byte, error) {
	text, err := f.Sign(f.Document)
	return []byte(text), err
}

// jwks returns the keys of the certificates.
func jwks(f Feed) ([]byte, error) {
	var all []*x509.Certificate
	for _, c := range f.Document.Certificates {
		parsed, err := c.Parsed()
		if err != nil {
			return nil, err
		}
		all = append(all, parsed)
	}
	return document(feed.WebKeys(all))
}

// spiffe returns the CAs as a trust bundle (SPIFFE Trust Domain and Bundle, section 4).
func spiffe(f Feed) ([]byte, error) {
	bundle := struct {
		Keys     []jose.JSONWebKey `json:"keys"`
		Sequence uint64            `json:"spiffe_sequence"`
		Hint     int               `json:"spiffe_refresh_hint"`
	}{[]jose.JSONWebKey{}, f.Document.Sequence, f.Document.RefreshHint}
	for _, der := range f.Document.CAs {
		parsed, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, err
		}
		if key, ok := feed.WebKey(parsed); ok {
			key.Use, key.KeyID, key.CertificateThumbprintSHA256 = "x509-svid", "", nil
			bundle.Keys = append(bundle.Keys, key)
		}
	}
	return document(bundle)
}

// document returns a value as JSON with a line feed at its end.
func document(v any) ([]byte, error) {
	data, err := json.MarshalIndent(v, "", "  ")
	return append(data, '\n'), err
}

func certificatesPEM(f Feed) ([]byte, error) {
	var all []byte
	for _, c := range f.Document.Certificates {
		all = append(all, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.DER})...)
	}
	return all, nil
}

// casPEM returns the CAs. There may be none for an imported certificate. An empty file could replace a good one, so it
// is an error.
func casPEM(f Feed) ([]byte, error) {
	if len(f.Document.CAs) == 0 {
		return nil, tenancy.Errorf(tenancy.ErrNotFound, "the CAs of these certificates are not known, because they were "+
			"imported without their chain")
	}
	var all []byte
	for _, der := range f.Document.CAs {
		all = append(all, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})...)
	}
	return all, nil
}

// table returns a line for each certificate, with tabs between its fields.
func table(f Feed) ([]byte, error) {
	var b bytes.Buffer
	b.WriteString("sha256\tserial\tsubject\tnot_after\tstate\tremove_after\n")
	for _, c := range f.Document.Certificates {
		parsed, err := c.Parsed()
		if err != nil {
			return nil, err
		}
		removeAfter := ""
		if c.RemoveAfter != nil {
			removeAfter = c.RemoveAfter.UTC().Format(time.RFC3339)
		}
		fmt.Fprintf(&b, "%s\t%s\t%s\t%s\t%s\t%s\n", certfile.Fingerprint(c.DER), certfile.Serial(parsed),
			certfile.Name(parsed.RawSubject), parsed.NotAfter.UTC().Format(time.RFC3339), c.State, removeAfter)
	}
	return b.Bytes(), nil
}
