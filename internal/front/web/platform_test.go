package web

import (
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// A reader who comes from a mail of Acme Cloud must not land on a page of a stranger.
func TestPagesHaveTheNameOfThePlatform(t *testing.T) {
	for name, want := range map[string]string{"Acme Cloud": "Acme Cloud", "": "Perennial"} {
		v := &view{r: httptest.NewRequest("GET", "/", nil), lang: "en", zone: time.UTC, platform: Platform{Name: name}}
		var page strings.Builder
		if err := layout(v, "A page", contactOfPlatform(v, v.platform)).Render(t.Context(), &page); err != nil {
			t.Fatal(err)
		}
		text := page.String()
		if !strings.Contains(text, "<title>A page · "+want+"</title>") || strings.Contains(text, "Questions") ||
			strings.Contains(text, "Perennial") != (want == "Perennial") {
			t.Errorf("%q: %s", name, text)
		}
	}
}
