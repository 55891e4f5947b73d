package testenv

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"net/http"
	"runtime"
	"testing"
)

// AllocationsOf sends a request n times over one connection, and returns how many allocations this process makes for
// each. It allocates nothing itself, so they are those of the server. Each answer must have a status such as 200 or
// 204, and the length of the first one.
func AllocationsOf(t testing.TB, conn net.Conn, request []byte, n int) float64 {
	t.Helper()
	length := answerLength(t, conn, request)
	answer := make([]byte, length)
	send := func() {
		if _, err := conn.Write(request); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(conn, answer); err != nil {
			t.Fatal(err)
		}
		if !bytes.HasPrefix(answer, []byte("HTTP/1.1 20")) {
			t.Fatalf("answered %q", answer)
		}
	}
	for range n / 10 { // until pools and caches are full
		send()
	}
	var start, end runtime.MemStats
	runtime.ReadMemStats(&start)
	for range n {
		send()
	}
	runtime.ReadMemStats(&end)
	return float64(end.Mallocs-start.Mallocs) / float64(n)
}

// answerLength sends a request, and returns the number of bytes of its answer.
func answerLength(t testing.TB, conn net.Conn, request []byte) int {
	t.Helper()
	if _, err := conn.Write(request); err != nil {
		t.Fatal(err)
	}
	var read bytes.Buffer
	in := bufio.NewReader(io.TeeReader(conn, &read))
	answer, err := http.ReadResponse(in, nil)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode/100 != 2 {
		t.Fatalf("answered %s: %s: %v", answer.Status, body, err)
	}
	return read.Len() - in.Buffered()
}
