package gateway

import (
	"errors"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
)

var (
	errForeignHost = errors.New("an open gateway must be addressed as localhost, by a loopback address, or by the " +
		"gateway's own domain: any other name could have been made to point here")
	errForeignSite = errors.New("an open gateway accepts no messages from pages in a browser: send a sender's token")
)

// trustsMachine returns an error if a request without a token could have been caused from outside of this machine: by a
// page in a browser (Fetch Metadata Request Headers, section 2; RFC 6454), or through a name that was made to resolve
// to this machine (DNS rebinding).
func (g *Gateway) trustsMachine(r *http.Request) error {
	if !isLocal(r.Host) {
		if _, ours := hostAddress(r.Host, g.suffix); !ours {
			return errForeignHost
		}
	}
	if site := r.Header.Get("Sec-Fetch-Site"); site != "" && site != "none" { // none: a person typed the address
		return errForeignSite
	}
	if origin := r.Header.Get("Origin"); origin != "" {
		if u, err := url.Parse(origin); err != nil || u.Host != r.Host {
			return errForeignSite
		}
	}
	return nil
}

// isLocal reports whether a Host header names this machine alone.
func isLocal(host string) bool {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	ip, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return err == nil && ip.IsLoopback() || strings.EqualFold(strings.TrimSuffix(host, "."), "localhost")
}
