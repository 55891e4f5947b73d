package web

import (
	"net/http/httptest"
	"testing"
)

func TestAnAddressIsWhatTheLastProxySaysAndNobodyBeforeIt(t *testing.T) {
	for _, c := range []struct {
		behind    bool
		forwarded []string
		want      string
	}{
		{false, []string{"203.0.113.9"}, "192.0.2.1"},
		{true, nil, "192.0.2.1"},
		{true, []string{"203.0.113.9"}, "203.0.113.9"},
		{true, []string{"10.0.0.1, 203.0.113.9", "2001:db8::1"}, "2001:db8::1"},
		{true, []string{"203.0.113.9, <script>"}, "192.0.2.1"},
	} {
		r := httptest.NewRequest("GET", "/", nil)
		for _, f := range c.forwarded {
			r.Header.Add("X-Forwarded-For", f)
		}
		if got := (&console{Config: Config{BehindProxy: c.behind}}).addressOf(r); got != c.want {
			t.Errorf("%v behind a proxy %v: %s, want %s", c.forwarded, c.behind, got, c.want)
		}
	}
}
