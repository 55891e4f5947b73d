package outbound

import (
	"bytes"
	"compress/gzip"
	"compress/zlib"
	"io"
	"net/http"
	"slices"
	"strings"

	"github.com/perennial-pki/perennial/tenancy"
)

// Refusals are the rules that describe the refusals of one receiver. nginx's own answers are always among them.
type Refusals struct{ rules []refusal }

// A refusal is a rule in the form in which it is compared.
type refusal struct {
	tenancy.RefusalRule
	text   []byte // in lower case
	reason Reason
}

// nginx answers 495 and 496 itself if its configuration shows them, and 400 with a text otherwise.
const (
	nginxCertificateError   = 495
	nginxCertificateMissing = 496
)

var nginxRefusals = []refusal{
	{RefusalRule: tenancy.RefusalRule{Status: nginxCertificateError}, reason: CertificateError},
	{RefusalRule: tenancy.RefusalRule{Status: nginxCertificateMissing}, reason: CertificateMissing},
	{RefusalRule: tenancy.RefusalRule{Status: 400, Text: "No required SSL certificate was sent"},
		text: []byte("no required ssl certificate was sent"), reason: CertificateMissing},
	{RefusalRule: tenancy.RefusalRule{Status: 400, Text: "The SSL certificate error"},
		text: []byte("the ssl certificate error"), reason: CertificateError},
}

// NewRefusals returns the rules of an arrangement, as [tenancy.Egress.Refusals] lists them.
func NewRefusals(rules []tenancy.RefusalRule) Refusals {
	all := slices.Clone(nginxRefusals)
	for _, r := range rules {
		one := refusal{RefusalRule: r, text: []byte(strings.ToLower(r.Text)), reason: RefusingAnswer}
		one.Contains, one.ContentType = strings.ToLower(r.Contains), strings.ToLower(r.ContentType)
		all = append(all, one)
	}
	return Refusals{all}
}

// match returns the rule that matches a response. It may read the beginning of the body, and puts it back.
func (rs Refusals) match(res *http.Response, kind Kind) (r refusal, matches bool) {
	var head []byte
	read := false
	for _, r := range rs.rules {
		if !r.fits(res, kind) {
			continue
		}
		if len(r.text) == 0 {
			return r, true
		}
		if !read {
			head, read = bytes.ToLower(Peek(res)), true
		}
		if bytes.Contains(head, r.text) {
			return r, true
		}
	}
	return r, false
}

// fits reports whether everything except the text matches.
func (r refusal) fits(res *http.Response, kind Kind) bool {
	switch {
	case r.Status != 0 && r.Status != kind.Status, r.Status == 0 && kind.Status < 300 && len(r.text) == 0:
		return false
	case r.ContentType != "" && r.ContentType != kind.Type:
		return false
	}
	return r.Header == "" || slices.ContainsFunc(res.Header.Values(r.Header), func(value string) bool {
		return strings.Contains(strings.ToLower(value), r.Contains)
	})
}

// Peek returns the beginning of a body, and puts it back. It decompresses gzip and deflate (RFC 9110, section 8.4.1).
// With another content coding, it returns nothing.
func Peek(res *http.Response) []byte {
	if res.Body == nil {
		return nil
	}
	switch coding := strings.ToLower(res.Header.Get("Content-Encoding")); coding {
	case "", "identity":
		return raw(res)
	case "gzip", "x-gzip":
		if z, err := gzip.NewReader(bytes.NewReader(raw(res))); err == nil {
			return beginning(z)
		}
	case "deflate":
		if z, err := zlib.NewReader(bytes.NewReader(raw(res))); err == nil {
			return beginning(z)
		}
	}
	return nil
}

// beginning returns the readable part of a stream that may be truncated.
func beginning(r io.Reader) []byte {
	head, _ := io.ReadAll(io.LimitReader(r, tenancy.RefusalTextBytes))
	return head
}

// raw returns the beginning of a body as it was sent, and puts it back.
func raw(res *http.Response) []byte {
	head, err := io.ReadAll(io.LimitReader(res.Body, tenancy.RefusalTextBytes))
	var rest io.Reader = res.Body
	if err != nil {
		rest = failing{err}
	}
	res.Body = struct {
		io.Reader
		io.Closer
	}{io.MultiReader(bytes.NewReader(head), rest), res.Body}
	return head
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }
