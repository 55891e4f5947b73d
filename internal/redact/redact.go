// Package redact removes the addresses of the inside network from texts that tenants read.
//
// [Error] knows where the network adds an address to an error. [Addresses] is for texts of other programs, such as the
// reply of a mail server. Neither removes host names: who stores a text for tenants must not put those of the
// installation into it.
package redact

import (
	"errors"
	"net"
	"net/netip"
	"regexp"
	"strings"
)

// Error returns the text of the error of a connection. It does not contain the addresses that the network adds: those
// of this machine, of its DNS server, of a proxy, and that of a name.
func Error(err error) string {
	text := err.Error()
	for at := err; ; {
		var op *net.OpError
		var dns *net.DNSError
		switch {
		case errors.As(at, &op):
			bare := net.OpError{Op: op.Op, Net: op.Net, Err: op.Err}
			text, at = strings.Replace(text, op.Error(), bare.Error(), 1), op.Err
		case errors.As(at, &dns):
			return strings.Replace(text, dns.Error(), Unresolved(dns), 1)
		default:
			return text
		}
	}
}

// Unresolved describes why a name could not be resolved, without the addresses of this machine and of its DNS server.
func Unresolved(err *net.DNSError) string {
	why := "the DNS server failed"
	switch {
	case err.IsNotFound:
		why = "no such host"
	case err.IsTimeout:
		why = "the DNS server did not answer in time"
	}
	return "lookup " + err.Name + ": " + why
}

// inside are the addresses besides those that [netip.Addr] knows: carrier-grade NAT (RFC 6598).
var inside = netip.MustParsePrefix("100.64.0.0/10")

// literal finds what may be an IP address. Whether it is one is decided by parsing it.
var literal = regexp.MustCompile(`[0-9A-Fa-f]*[.:][0-9A-Fa-f.:]*[0-9A-Fa-f]`)

// Addresses replaces the IP addresses of private networks in a text, with their ports. Public addresses stay, because a
// mail server names the one that a block list contains.
func Addresses(text string) string {
	return literal.ReplaceAllStringFunc(text, func(found string) string {
		addr, err := netip.ParseAddr(found)
		if err != nil {
			pair, err := netip.ParseAddrPort(found)
			if err != nil {
				return found
			}
			addr = pair.Addr()
		}
		if addr = addr.Unmap(); addr.IsPrivate() || addr.IsLoopback() || addr.IsLinkLocalUnicast() || inside.Contains(addr) {
			return "(internal address)"
		}
		return found
	})
}
