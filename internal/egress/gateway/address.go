package gateway

import (
	"errors"
	"net"
	"net/url"
	"strings"

	"github.com/perennial-pki/perennial/tenancy"
)

// An address names an arrangement.
type address struct{ tenant, arrangement string }

func (a address) String() string { return a.tenant + "/" + a.arrangement }

var (
	errAddress = errors.New("address a message as /TENANT/ARRANGEMENT/rest/of/path")
	errPath    = errors.New(`the path has "." or ".." segments, or a backslash: it could mean another place at the receiver than it says`)
)

// parseAddress takes a request apart: by its host name, {arrangement}.{tenant}.suffix, where there is a suffix and the
// host ends in it; else by the first two segments of its path. rest is the escaped path that is left: empty, or with a
// leading "/".
//
// What a path means is decided on its escaped form, before anything is decoded: an encoded slash separates nothing. Dot
// segments (RFC 3986, section 3.3), also encoded ones, are refused, since the receiver could resolve them.
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

// misleading says whether a segment could lead a receiver elsewhere, however often it decodes it.
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
	return true // nobody encodes five times in good faith
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

// unescape is the decoded form of a path that net/url has parsed before.
func unescape(escaped string) string {
	if path, err := url.PathUnescape(escaped); err == nil {
		return path
	}
	return escaped
}
