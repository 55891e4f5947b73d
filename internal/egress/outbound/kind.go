package outbound

import (
	"cmp"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/perennial-pki/perennial/tenancy"
)

// A Kind classifies answers of a receiver: those of one kind mean the same for a certificate. A login page and the
// application's answer are different kinds, although both have the status 200.
type Kind struct {
	Status int
	// Type is the media type without parameters, in lower case.
	Type string
	// Location is the target of a redirect without query and fragment.
	Location string
}

// html is the media type of login pages.
const html = "text/html"

// longestMark limits the length of a type or a location that is compared.
const longestMark = 200

// KindOf returns the kind of a response.
func KindOf(res *http.Response) Kind {
	k := Kind{Status: res.StatusCode}
	if values := res.Header["Content-Type"]; len(values) > 0 {
		media, _, _ := strings.Cut(values[0], ";")
		k.Type = mark(strings.ToLower(strings.TrimSpace(media)))
	}
	if code := res.Header["Grpc-Status"]; len(code) == 1 && strings.HasPrefix(k.Type, grpcType) {
		k.Status = statusOfGRPC(code[0])
	}
	if k.Status >= 300 && k.Status < 400 {
		if to, err := url.Parse(res.Header.Get("Location")); err == nil {
			to.RawQuery, to.Fragment, to.User = "", "", nil
			k.Location = mark(to.String())
		}
	}
	return k
}

// grpcType begins the media types of gRPC.
const grpcType = "application/grpc"

// IsGRPC reports whether headers are those of a gRPC call. Its client may wait for an answer before it sends the rest
// of its body.
func IsGRPC(h http.Header) bool { return strings.HasPrefix(h.Get("Content-Type"), grpcType) }

// statusOfGRPC returns the status of HTTP with the meaning of a code of gRPC (google.rpc.Code). A receiver that refuses
// a call sends the code with the status 200, in the headers.
func statusOfGRPC(code string) int {
	switch code {
	case "0":
		return http.StatusOK
	case "3", "9", "11":
		return http.StatusBadRequest
	case "5":
		return http.StatusNotFound
	case "7":
		return http.StatusForbidden
	case "8":
		return http.StatusTooManyRequests
	case "12":
		return http.StatusNotImplemented
	case "14":
		return http.StatusServiceUnavailable
	case "16":
		return http.StatusUnauthorized
	}
	return http.StatusInternalServerError
}

// mark returns a text that fits into the written form of a kind.
func mark(text string) string {
	if len(text) <= longestMark && !strings.ContainsFunc(text, unicode.IsSpace) && utf8.ValidString(text) {
		return text
	}
	text = strings.Join(strings.Fields(text), "")
	return strings.ToValidUTF8(text[:min(len(text), longestMark)], "")
}

// Succeeds reports whether an answer of the kind is the success of a message.
func (k Kind) Succeeds() bool {
	return k.Status/100 == 2 || k.Status == http.StatusNotModified || k.Status == http.StatusSwitchingProtocols
}

// IsPage reports whether answers of the kind are pages of HTML, as login pages are.
func (k Kind) IsPage() bool { return k.Type == html }

// Temporary reports whether an answer of the kind may differ at the next attempt, and so proves nothing about a
// certificate: a limit, a lock, or a time-out (RFC 6585, section 4; RFC 4918, section 11.3; RFC 8470, section 5.2; RFC
// 9110, section 15.5.9).
func (k Kind) Temporary() bool {
	switch k.Status {
	case http.StatusRequestTimeout, http.StatusLocked, http.StatusTooEarly, http.StatusTooManyRequests:
		return true
	}
	return false
}

// String returns the form that [ParseKind] reads.
func (k Kind) String() string {
	if k.Type == "" && k.Location == "" {
		return strconv.Itoa(k.Status)
	}
	text := strconv.Itoa(k.Status) + " " + cmp.Or(k.Type, "-")
	if k.Location != "" {
		text += " " + k.Location
	}
	return text
}

// ParseKind reads the written form of a kind.
func ParseKind(text string) (k Kind, err error) {
	status, rest, _ := strings.Cut(text, " ")
	k.Type, k.Location, _ = strings.Cut(rest, " ")
	if k.Type == "-" {
		k.Type = ""
	}
	if k.Status, err = strconv.Atoi(status); err != nil || k.Status < 100 || k.Status > 999 {
		return Kind{}, fmt.Errorf("%q is not the kind of an answer", text)
	}
	return k, nil
}

// describe returns the kind for a person.
func (k Kind) describe() string {
	text := strings.TrimSpace(strconv.Itoa(k.Status) + " " + http.StatusText(k.Status))
	if k.Location != "" {
		text += redirect + k.Location
	}
	return text
}

// Rule returns the refusal rule that matches answers of the kind; nil if no rule could distinguish them from a success.
func (k Kind) Rule() *tenancy.RefusalRule {
	r := tenancy.RefusalRule{Status: k.Status}
	switch {
	case k.Location != "":
		r.Header, r.Contains = "Location", k.Location
		if to, err := url.Parse(k.Location); err == nil && to.Path != "" {
			r.Contains = to.Path
		}
	case k.Status < 300 && k.Type == html:
		r.ContentType = k.Type
	}
	if r.Check() != nil {
		return nil
	}
	return &r
}

// Kinds are the kinds of answers that messages of an arrangement are known to get with accepted generations. The zero
// value knows none. It is not safe for concurrent use.
type Kinds struct {
	known     map[Kind]bool
	successes int
	pages     int // successes that are pages of HTML
}

// mostKinds limits the kinds that are stored for one arrangement.
const mostKinds = 64

// Add stores a kind, and reports whether it is new.
func (k *Kinds) Add(one Kind) bool {
	if k.known[one] || len(k.known) >= mostKinds {
		return false
	}
	if k.known == nil {
		k.known = map[Kind]bool{}
	}
	k.known[one] = true
	if one.Succeeds() {
		k.successes++
		if one.Type == html {
			k.pages++
		}
	}
	return true
}

// All returns the kinds in no particular order.
func (k *Kinds) All() (all []Kind) {
	for one := range k.known {
		all = append(all, one)
	}
	return all
}
