package bench

import (
	"bufio"
	"errors"
	"net"
	"net/http"
	"net/url"

	"github.com/perennial-pki/perennial/internal/egress/outbound"
)

// serveDirect is a prototype that shows the cost of net/http's server. No message of a tenant passes through it. It
// reads a request, forwards it and writes the answer in one goroutine, with net/http's parsers. It does nothing else
// that a proxy must do: it does not notice that a sender has disconnected, and has no time-outs, HTTP/2, upgrades or
// bodies.
func serveDirect(l net.Listener, endpoint *url.URL, to *outbound.Connections) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			defer c.Close()
			in, out := bufio.NewReader(c), bufio.NewWriter(c)
			for {
				r, err := http.ReadRequest(in)
				if err != nil {
					return
				}
				r.URL.Scheme, r.URL.Host = endpoint.Scheme, endpoint.Host
				res, err := to.RoundTrip(r)
				if err != nil {
					return
				}
				err = errors.Join(res.Write(out), out.Flush())
				res.Body.Close()
				if err != nil {
					return
				}
			}
		}()
	}
}
