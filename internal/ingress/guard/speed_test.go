package guard

import (
	"bufio"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/perennial-pki/perennial/internal/testing/testenv"
)

// answering is an upstream that costs little.
func answering(b *testing.B) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	testenv.Check(b, err)
	b.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				in := bufio.NewReader(c)
				for {
					line, err := in.ReadSlice('\n')
					if err != nil {
						return
					}
					if len(line) == 2 { // the end of a request without a body
						io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\n")
					}
				}
			}()
		}
	}()
	return "http://" + l.Addr().String()
}

func BenchmarkMessages(b *testing.B) {
	f := newFolder(b)
	first := f.tenant()
	g := f.start(frontConfig(answering(b)), inWindow)
	b.ReportAllocs()
	b.SetParallelism(8)
	b.RunParallel(func(all *testing.PB) {
		conn, err := tls.Dial("tcp", strings.TrimPrefix(g.url, "https://"), &tls.Config{InsecureSkipVerify: true,
			Certificates: []tls.Certificate{first}})
		testenv.Check(b, err)
		defer conn.Close()
		in := bufio.NewReader(conn)
		for all.Next() {
			io.WriteString(conn, "GET / HTTP/1.1\r\nHost: erp.example.com\r\n\r\n")
			answer, err := http.ReadResponse(in, nil)
			testenv.Check(b, err)
			io.Copy(io.Discard, answer.Body)
		}
	})
}
