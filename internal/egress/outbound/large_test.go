package outbound

import (
	"crypto/tls"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/perennial-pki/perennial/tenancy"
)

// Several large bodies on one HTTP/2 connection break its window into small frames, for which Tomcat ends it.
func TestLargeBodiesDoNotShareAnHTTP2Connection(t *testing.T) {
	for name, test := range map[string]struct {
		protocols []string
		want      map[int]string // by the size of the body
	}{
		"both": {[]string{"h2", "http/1.1"}, map[int]string{0: "HTTP/2.0", 300: "HTTP/2.0", windowBody: "HTTP/2.0",
			windowBody + 1: "HTTP/1.1"}},
		"HTTP/2 only": {[]string{"h2"}, map[int]string{0: "HTTP/2.0", windowBody + 1: "HTTP/2.0"}},
	} {
		t.Run(name, func(t *testing.T) {
			r := receive(t, tenancy.Egress{}, func(w http.ResponseWriter, q *http.Request) {
				n, _ := io.Copy(io.Discard, q.Body)
				if n != q.ContentLength {
					t.Errorf("%d of %d bytes arrived", n, q.ContentLength)
				}
				io.WriteString(w, q.Proto)
			}, func(s *httptest.Server) {
				s.EnableHTTP2 = true
				s.TLS = &tls.Config{GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { // Go adds http/1.1
					return &tls.Config{Certificates: s.TLS.Certificates, NextProtos: test.protocols}, nil
				}}
			})
			for range 3 {
				for size, want := range test.want {
					method := "POST"
					if size == 0 {
						method = "GET"
					}
					_, got, err := r.send(method, "/", strings.Repeat("x", size))
					if got != want || err != nil {
						t.Errorf("%d bytes: %s, %v", size, got, err)
					}
				}
			}
			q := request(t, "POST", r.URL, strings.Repeat("x", windowBody+1))
			q.Header.Set("Content-Type", "application/grpc+proto")
			if got, err := roundTrip(r.connections, q); got != "HTTP/2.0" || err != nil {
				t.Errorf("gRPC: %s, %v", got, err)
			}
		})
	}
}
