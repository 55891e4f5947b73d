package follow

import (
	"encoding/base64"
	"errors"
	"net/netip"
	"net/url"
	"strings"
)

// documentName is the signed document below the address of a feed.
const documentName = "certificates.jws"

// An address is that of a feed. Its path contains a secret, so neither is ever printed.
type address struct {
	base       url.URL // with a slash at the end
	secret     string  // names the feed among those of one key
	thumbprint string  // of the key that signs the feed (RFC 7638)
}

// parseAddress reads the address of a feed, with or without the name of the document at the end. An error does not
// quote it.
func parseAddress(text string) (a address, err error) {
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Host == "" || u.Opaque != "":
		return a, errors.New("invalid address of a feed: use https://HOST/feeds/SECRET/THUMBPRINT/")
	case u.Scheme != "https" && !(u.Scheme == "http" && loopback(u.Hostname())):
		return a, errors.New("invalid address of a feed: use https (http is for loopback only)")
	case u.User != nil || u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		return a, errors.New("invalid address of a feed: it has no user, query or fragment")
	}
	path := strings.TrimSuffix(strings.TrimSuffix(u.EscapedPath(), documentName), "/")
	a.base = url.URL{Scheme: u.Scheme, Host: u.Host, Path: "/"}
	a.base = *a.base.JoinPath(path, "/")
	segments := strings.Split(strings.Trim(a.base.Path, "/"), "/")
	last := len(segments) - 1
	a.thumbprint = segments[last]
	if sum, err := base64.RawURLEncoding.Strict().DecodeString(a.thumbprint); err != nil || len(sum) != 32 {
		return address{}, errors.New("invalid address of a feed: it must end with the thumbprint of the feed's key, " +
			"43 characters, so copy the whole address")
	}
	if last == 0 {
		return address{}, errors.New("invalid address of a feed: the secret before the thumbprint is missing, so copy the " +
			"whole address")
	}
	a.secret = segments[last-1]
	return a, nil
}

// loopback reports whether a host is this machine.
func loopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}

// host returns the only part of the address that is not secret.
func (a address) host() string { return a.base.Host }

// below returns the URL of a resource of the feed.
func (a address) below(name string) string { return a.base.JoinPath(name).String() }
