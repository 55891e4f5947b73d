package gateway

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"

	"github.com/perennial-pki/perennial/tenancy"
)

// An address names an arrangement.
type address struct{ tenant, arrangement string }

func (a address) String() string { return a.tenant + "/" + a.arrangement }

// LogValue implements [slog.LogValuer]. Without it, a log in JSON has {}.
func (a address) LogValue() slog.Value { return slog.StringValue(a.String()) }

var (
	errAddress = errors.New("address a message as /TENANT/ARRANGEMENT/rest/of/path")
	errPath    = errors.New(`the path has "." or ".." segments, or a backslash: a receiver could resolve it otherwise`)
)

// parseAddress splits a request's address. If there is a suffix and the host name is {arrangement}.{tenant}.suffix, the
// host names the arrangement. Otherwise the first two segments of the path do. rest is the escaped path behind the
// address: empty, or with a leading "/".
//
// The escaped form of a path counts, before anything is decoded: an encoded slash separates nothing. Dot segments (RFC
// 3986, section 3.3) are refused, encoded ones too, since the receiver could resolve them.
func parseAddress(host, escapedPath, suffix string) (to address, rest string, err error) {
	rest = escapedPath
	if name, ok := hostAddress(host, suffix); ok {
		to.arrangement, to.tenant, _ = strings.Cut(name, ".")
		if rest == "/" {
			rest = ""
		}
	} else {
		var ok bool
		if to.tenant, rest, ok = strings.Cut(strings.TrimPrefix(escapedPath, "/"), "/"); !ok ||
			!strings.HasPrefix(escapedPath, "/") {
			return address{}, "", errAddress
		}
		to.arrangement, rest, ok = strings.Cut(rest, "/")
		if ok {
			rest = "/" + rest
		}
	}
	if rest != "" && rest[0] != '/' || // "*", as OPTIONS may ask for
		tenancy.CheckName("tenant", to.tenant) != nil || tenancy.CheckName("arrangement", to.arrangement) != nil {
		return address{}, "", errAddress
	}
	for segment := range strings.SplitSeq(rest, "/") {
		if misleading(segment) {
			return address{}, "", errPath
		}
	}
	return to, rest, nil
}

// misleading reports whether a segment could lead a receiver elsewhere, however often the receiver decodes it.
func misleading(segment string) bool {
	for range 4 {
		parts := strings.FieldsFunc(segment, func(r rune) bool { return r == '/' || r == ';' })
		for _, p := range parts {
			if p == "." || p == ".." {
				return true
			}
		}
		if strings.ContainsAny(segment, "\\\x00\r\n") {
			return true
		}
		decoded, err := url.PathUnescape(segment)
		if err != nil || decoded == segment {
			return false
		}
		segment = decoded
	}
	return true // encoded more than four times
}

func hostAddress(host, suffix string) (name string, ok bool) {
	if suffix == "" {
		return "", false
	}
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	return strings.CutSuffix(strings.ToLower(strings.TrimSuffix(host, ".")), "."+suffix)
}

// escapedPath returns the path of a request as its sender escaped it. Only bytes that a path cannot have are escaped.
// [url.URL.EscapedPath] escapes the decoded path if there is one such byte, so that an encoded slash would become a
// separator.
func escapedPath(r *http.Request) string {
	path, _, _ := strings.Cut(r.RequestURI, "?")
	if !strings.HasPrefix(path, "/") {
		_, rest, ok := strings.Cut(path, "://")
		if !ok {
			return r.URL.EscapedPath() // "*", or a request that no server has read
		}
		_, path, _ = strings.Cut(rest, "/")
		path = "/" + path
	}
	var out strings.Builder
	clean := 0 // the bytes before it are in out
	for i := range len(path) {
		if b := path[i]; b <= ' ' || b >= 0x7f || strings.IndexByte("\"<>\\^`{|}", b) >= 0 {
			out.WriteString(path[clean:i])
			fmt.Fprintf(&out, "%%%02X", b)
			clean = i + 1
		}
	}
	if clean == 0 { // as nearly all are
		return path
	}
	out.WriteString(path[clean:])
	return out.String()
}

// unescape decodes a path that net/url has parsed before.
func unescape(escaped string) string {
	if path, err := url.PathUnescape(escaped); err == nil {
		return path
	}
	return escaped
}
