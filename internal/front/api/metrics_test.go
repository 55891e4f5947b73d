package api

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/perennial-pki/perennial/internal/engine/store"
)

// scrape returns the lines of /metrics that begin with a prefix.
func (f *fixture) scrape(prefix string) (lines []string) {
	f.t.Helper()
	res, err := http.Get(f.http.URL + "/metrics")
	check(f.t, err)
	defer res.Body.Close()
	data, err := io.ReadAll(res.Body)
	check(f.t, err)
	for line := range strings.Lines(string(data)) {
		if strings.HasPrefix(line, prefix) {
			lines = append(lines, strings.TrimSpace(line))
		}
	}
	return lines
}

func TestInventedMethodsAddNoSeries(t *testing.T) {
	f := setUp(t)
	send := func(method string) {
		r, err := http.NewRequestWithContext(t.Context(), method, f.http.URL+"/healthz", nil)
		check(t, err)
		res, err := http.DefaultClient.Do(r)
		check(t, err)
		res.Body.Close()
	}
	send("GET")
	send("INVENTED")
	before := f.scrape("perennial_http_requests_total")
	for i := range 200 {
		send(fmt.Sprintf("INVENTED%d", i))
	}
	after := f.scrape("perennial_http_requests_total")
	if len(before) == 0 || len(after) > len(before)+1 { // /metrics itself was counted in between
		t.Errorf("%d series before 200 invented methods, %d after", len(before), len(after))
	}
	if all := strings.Join(after, "\n"); strings.Contains(all, "INVENTED") || !strings.Contains(all, `method="other"`) {
		t.Errorf("got %s", all)
	}
}

func TestAStrangersIdempotencyKeyIsNotStored(t *testing.T) {
	f := setUp(t)
	for i := range 3 {
		r, err := http.NewRequestWithContext(t.Context(), "POST", f.http.URL+linksPath+"unknown/confirm",
			strings.NewReader("{}"))
		check(t, err)
		r.Header.Set("Idempotency-Key", fmt.Sprint("k", i))
		r.Header.Set("Content-Type", "application/json")
		res, err := http.DefaultClient.Do(r)
		check(t, err)
		res.Body.Close()
	}
	var rows int
	check(t, f.store.InTx(t.Context(), func(tx *store.Tx) error {
		return tx.SQL().QueryRowContext(t.Context(), "SELECT COUNT(*) FROM idempotency_keys").Scan(&rows)
	}))
	if rows != 0 {
		t.Errorf("strangers wrote %d rows", rows)
	}
}
