package testenv

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"testing"
)

// Ports of tests are below the range from which Linux chooses the port of an outgoing connection or of a listener
// (net.ipv4.ip_local_port_range), so that no connection takes one before its program listens.
const (
	firstPort = 10000
	lastPort  = 32767
)

// ports are those of this process. A name in Linux's abstract namespace of sockets reserves each until the process
// ends, so that tests in other processes choose others.
var ports struct {
	mu       sync.Mutex // guards reserved
	reserved []net.Listener
}

// Port returns a port of loopback on which nothing listens. No other call returns it, in any process of the machine.
func Port(t testing.TB) int {
	t.Helper()
	port, err := freePort()
	Check(t, err)
	return port
}

// PortPair returns a [Port] whose next one is such a port too.
func PortPair(t testing.TB) int {
	t.Helper()
	for {
		port := Port(t)
		if next, free := reserve(port + 1); free {
			ports.mu.Lock()
			defer ports.mu.Unlock()
			ports.reserved = append(ports.reserved, next)
			return port
		}
	}
}

// Address returns an address of loopback with a [Port].
func Address(t testing.TB) string {
	t.Helper()
	return address(Port(t))
}

func address(port int) string { return fmt.Sprintf("127.0.0.1:%d", port) }

func freePort() (int, error) {
	for range 1000 {
		port := firstPort + rand.IntN(lastPort-firstPort+1)
		if name, free := reserve(port); free {
			ports.mu.Lock()
			ports.reserved = append(ports.reserved, name)
			ports.mu.Unlock()
			return port, nil
		}
	}
	return 0, errors.New("no free port between 10000 and 32767 in 1000 attempts")
}

// reserve returns the name that reserves a port until it is closed, unless the port is reserved or in use.
func reserve(port int) (name net.Listener, free bool) {
	name, err := net.Listen("unix", fmt.Sprintf("@perennial-test-port-%d", port))
	if err != nil {
		return nil, false
	}
	l, err := net.Listen("tcp", address(port))
	if err != nil {
		name.Close()
		return nil, false
	}
	l.Close()
	return name, true
}
