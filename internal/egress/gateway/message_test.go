package gateway_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/perennial-pki/perennial/tenancy"
)

// BenchmarkMessage measures a message with one generation, with the receiver in the same process.
func BenchmarkMessage(b *testing.B) {
	f := setUp(b)
	f.arrangement("bank", tenancy.Adaptive, f.serve(func(http.ResponseWriter, *http.Request) {}))
	handler := f.gateway.Config.Handler
	b.ReportAllocs()
	for b.Loop() {
		r := httptest.NewRequest(http.MethodPost, "/acme/bank/order", strings.NewReader("<order/>"))
		r.Header.Set("Authorization", "Bearer "+f.token)
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		if w.Code != http.StatusOK {
			b.Fatalf("answered %d: %s", w.Code, w.Body)
		}
	}
}
