package redact

import (
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
)

func TestAnErrorForTenantsHasNoInternalAddress(t *testing.T) {
	source := &net.TCPAddr{IP: net.IPv4(10, 1, 2, 3), Port: 4711}
	to := &net.TCPAddr{IP: net.IPv4(10, 1, 2, 4), Port: 3128}
	read := &net.OpError{Op: "read", Net: "tcp", Source: source, Addr: to, Err: os.NewSyscallError("read", syscall.EPIPE)}
	dial := &net.OpError{Op: "dial", Net: "tcp", Addr: to, Err: os.NewSyscallError("connect", syscall.EHOSTUNREACH)}
	proxy := &net.OpError{Op: "dial", Net: "tcp", Err: fmt.Errorf("the proxy x: %w", dial)}
	lookup := &net.DNSError{Name: "a.example", Server: "10.1.2.5:53", Err: "server misbehaving"}
	for want, err := range map[string]error{
		"read tcp: read: broken pipe":                        read,
		"http2: read tcp: read: broken pipe":                 fmt.Errorf("http2: %w", read),
		"dial tcp: the proxy x: dial tcp: connect: no route": proxy,
		"dial tcp: lookup a.example: the DNS server failed":  &net.OpError{Op: "dial", Net: "tcp", Addr: to, Err: lookup},
		"EOF": io.EOF,
	} {
		if got := Error(err); !strings.HasPrefix(got, want) || strings.Contains(got, "10.1.") {
			t.Errorf("%v: %q", err, got)
		}
	}
}

func TestPrivateAddressesAreRemovedFromTheTextsOfOtherPrograms(t *testing.T) {
	for text, want := range map[string]string{
		"dial tcp 10.1.2.3:25: refused":          "dial tcp (internal address): refused",
		"client host [192.168.7.9] blocked":      "client host [(internal address)] blocked",
		"from [fd00::25]: no. [::1]:25: no":      "from [(internal address)]: no. [(internal address)]:25: no",
		"100.64.1.1, 169.254.1.1 and 127.0.0.1.": "(internal address), (internal address) and (internal address).",
		"host 203.0.113.5 is listed":             "host 203.0.113.5 is listed",
		"550 5.1.1 unknown: at 10:42:17, v1.2.3": "550 5.1.1 unknown: at 10:42:17, v1.2.3",
		"":                                       "",
	} {
		if got := Addresses(text); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}
