package gateway

import (
	"net/url"
	"path"
	"strings"
	"testing"
)

// A path that is accepted names one arrangement by its first two segments, whatever the sender writes. No way of
// decoding and cleaning the rest leads out of the endpoint's path.
func FuzzAddress(f *testing.F) {
	for _, s := range []string{"/acme/bank/x", "/acme/bank", "/acme/../zeta/bank", "/acme/bank/%2e%2e/x",
		"/acme/bank/..%2f", "/acme/bank/%252e%252e%252f", "//acme/bank", "/acme/bank//x", "/acme/bank/a;..;/b",
		"/acme%2fbank/x/y", `/acme/bank/..\x`, "*", ""} {
		f.Add("gateway", s, "gateway.test")
		f.Add("bank.acme.gateway.test:80", s, "gateway.test")
	}
	f.Fuzz(func(t *testing.T, host, raw, suffix string) {
		to, rest, err := parseAddress(host, raw, suffix)
		if err != nil {
			return
		}
		if to.tenant == "" || to.arrangement == "" || strings.ContainsAny(to.tenant+to.arrangement, "/.%\\ ") {
			t.Fatalf("%q %q: %+v", host, raw, to)
		}
		if rest != "" && !strings.HasPrefix(rest, "/") {
			t.Fatalf("%q %q: rest %q", host, raw, rest)
		}
		for decoded := rest; ; {
			const base = "/endpoint/of/the/receiver"
			if cleaned := path.Clean(base + decoded); cleaned != base && !strings.HasPrefix(cleaned, base+"/") {
				t.Fatalf("%q %q: %q leads to %q", host, raw, decoded, cleaned)
			}
			next, err := url.PathUnescape(decoded)
			if err != nil || next == decoded {
				break
			}
			decoded = next
		}
	})
}
