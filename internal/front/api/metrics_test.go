package api

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/perennial-pki/perennial/internal/engine/store"
	"github.com/perennial-pki/perennial/tenancy"
)

// scrape returns the lines of the metrics that begin with a prefix.
func (f *fixture) scrape(prefix string) (lines []string) {
	f.t.Helper()
	answer := httptest.NewRecorder()
	f.http.Config.Handler.(*Handler).Metrics().ServeHTTP(answer, httptest.NewRequest("GET", "/metrics", nil))
	for line := range strings.Lines(answer.Body.String()) {
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
	if len(before) == 0 || len(after) != len(before) {
		t.Errorf("%d series before 200 invented methods, %d after", len(before), len(after))
	}
	if all := strings.Join(after, "\n"); strings.Contains(all, "INVENTED") || !strings.Contains(all, `method="other"`) {
		t.Errorf("got %s", all)
	}
}

func TestMetricsAreNotAtTheAddressOfTheAPI(t *testing.T) {
	f := setUp(t)
	for _, want := range []string{"perennial_last_run_date_seconds 1.7934912e+09", // 2026-11-01
		"perennial_next_run_date_seconds 1.7960832e+09"} { // 2026-12-01
		name, _, _ := strings.Cut(want, " ")
		if got := f.scrape(name); len(got) != 1 || got[0] != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	res, err := http.Get(f.http.URL + "/metrics")
	check(t, err)
	res.Body.Close()
	if res.StatusCode != http.StatusNotFound {
		t.Errorf("a stranger gets %d", res.StatusCode)
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

func TestTheNumberOfArrangementsThatFailIsAMetricWithoutTheirNames(t *testing.T) {
	f := setUp(t)
	want := func(what string, lines ...string) {
		t.Helper()
		got := append(f.scrape("perennial_arrangements_failing"), f.scrape("perennial_database_up")...)
		if !slices.Equal(got, lines) {
			t.Errorf("%s: %q, want %q", what, got, lines)
		}
	}
	want("at first", "perennial_arrangements_failing 0", "perennial_database_up 1")
	check(t, f.store.InTx(t.Context(), func(tx *store.Tx) error {
		return tx.AddMessages(t.Context(), []tenancy.Message{{ID: store.NewID(), ArrangementID: store.NewID(), At: f.now,
			Status: 401, Count: 3}})
	}))
	want("after three failures", "perennial_arrangements_failing 1", "perennial_database_up 1")
	f.now = f.now.Add(failingFor + time.Second)
	want("long after", "perennial_arrangements_failing 0", "perennial_database_up 1")
	check(t, f.store.Close())
	want("without the database", "perennial_database_up 0")
}
