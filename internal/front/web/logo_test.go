package web

import (
	"bytes"
	"image"
	"image/png"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/perennial-pki/perennial/internal/engine/store"
	"github.com/perennial-pki/perennial/internal/front/identity"
	"github.com/perennial-pki/perennial/internal/testing/testenv"
	"github.com/perennial-pki/perennial/tenancy"
)

const svgLogo = `<?xml version="1.0"?>
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 9 3"><script>alert(1)</script><path d="M0 0h9v3"/></svg>`

// webpLogo is one pixel.
const webpLogo = "RIFF\x1a\x00\x00\x00WEBPVP8L\x0d\x00\x00\x00\x2f\x00\x00\x00\x10\x07\x10\x11\x11\x88\x88\xfe\x07\x00"

func pngLogo(t *testing.T, side int) []byte {
	t.Helper()
	var b bytes.Buffer
	testenv.Check(t, png.Encode(&b, image.NewGray(image.Rect(0, 0, side, 1))))
	return b.Bytes()
}

func TestALogoIsAnImageOfAKnownTypeAndSize(t *testing.T) {
	ok := pngLogo(t, 9)
	for what, one := range map[string]struct {
		data      []byte
		want, err string
	}{
		"PNG":                   {data: ok, want: "image/png"},
		"SVG":                   {data: []byte(svgLogo), want: "image/svg+xml"},
		"SVG after a mark":      {data: []byte("\ufeff" + svgLogo), want: "image/svg+xml"},
		"WebP":                  {data: []byte(webpLogo), want: "image/webp"},
		"nothing":               {err: "not a PNG, SVG or WebP image"},
		"JPEG":                  {data: []byte("\xff\xd8\xff\xe0\x00\x10JFIF"), err: "not a PNG, SVG or WebP image"},
		"a PNG that is cut":     {data: ok[:len(ok)-20], err: "the PNG image is damaged"},
		"a wide PNG":            {data: pngLogo(t, mostLogoSide+1), err: "use at most 2048 on a side"},
		"a WebP that is cut":    {data: []byte(webpLogo[:20]), err: "cut off"},
		"a page":                {data: []byte("<html></html>"), err: `root element is "html"`},
		"an SVG of no one":      {data: []byte("<svg/>"), err: "with xmlns="},
		"an SVG that is cut":    {data: []byte(svgLogo[:len(svgLogo)-6]), err: "not a valid SVG image"},
		"a large file":          {data: make([]byte, MostLogo+1), err: "larger than 64 KiB: use a smaller image"},
		"a comment, and no SVG": {data: []byte("<!-- -->"), err: "not a valid SVG image"},
	} {
		l, err := NewLogo(one.data)
		if one.err == "" && (err != nil || l.mimeType != one.want) {
			t.Errorf("%s: %s, %v", what, l.mimeType, err)
		}
		if one.err != "" && (err == nil || !strings.Contains(err.Error(), one.err) || l.exists()) {
			t.Errorf("%s: %v, want %q", what, err, one.err)
		}
	}
}

func TestPagesHaveTheLogoOfThePlatformInsteadOfTheMark(t *testing.T) {
	logo, err := NewLogo([]byte(svgLogo))
	testenv.Check(t, err)
	const img, drawn = `<img src="/platform/logo?`, "<rect "
	for what, one := range map[string]struct {
		platform       Platform
		account        tenancy.Account
		images, drawns int
	}{
		"a logo":                  {platform: Platform{Name: "Acme Cloud", Logo: logo}, images: 1},
		"a logo, signed in":       {platform: Platform{Logo: logo}, account: tenancy.Account{ID: "x"}, images: 2},
		"a name without a logo":   {platform: Platform{Name: "Acme Cloud"}},
		"neither a name nor logo": {drawns: 2},
	} {
		v := &view{r: httptest.NewRequest("GET", "/", nil), lang: "en", zone: time.UTC, platform: one.platform,
			account: one.account}
		var page strings.Builder
		testenv.Check(t, layout(v, "A page", contactOfPlatform(v, v.platform)).Render(t.Context(), &page))
		if n := strings.Count(page.String(), img+logo.hash+`" alt="">`); n != one.images {
			t.Errorf("%s: %d images in %s", what, n, page.String())
		}
		if n := strings.Count(page.String(), drawn); n != one.drawns {
			t.Errorf("%s: the mark has %d parts in %s", what, n, page.String())
		}
	}
}

// An SVG is a document: opened itself, it would run its script with the rights of the console.
func TestALogoIsCachedByItsAddressAndRunsNoScript(t *testing.T) {
	logo, err := NewLogo([]byte(svgLogo))
	testenv.Check(t, err)
	s, err := store.Open(t.Context(), "sqlite:"+filepath.Join(t.TempDir(), "p.db"))
	testenv.Check(t, err)
	t.Cleanup(func() { s.Close() })
	quiet := slog.New(slog.DiscardHandler)
	accounts, err := identity.New(identity.Config{Store: s, BaseURL: "http://127.0.0.1", Log: quiet, Now: time.Now})
	testenv.Check(t, err)
	rest := http.NotFoundHandler()
	get := func(p Platform, path string) *httptest.ResponseRecorder {
		h, err := New(Config{API: rest, Identity: accounts, News: s, Platform: p, Now: time.Now, Ending: t.Context(),
			Log: quiet}, rest)
		testenv.Check(t, err)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, nil))
		return w
	}
	w := get(Platform{Logo: logo}, logo.Address())
	if w.Code != http.StatusOK || w.Body.String() != svgLogo {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	for name, want := range map[string]string{"Content-Type": "image/svg+xml", "X-Content-Type-Options": "nosniff",
		"Cache-Control": "public, max-age=31536000, immutable", "Content-Security-Policy": logoPolicy} {
		if got := w.Header().Get(name); got != want {
			t.Errorf("%s: %s", name, got)
		}
	}
	for _, ban := range []string{"default-src 'none'", "sandbox", "frame-ancestors 'none'"} {
		if !strings.Contains(logoPolicy, ban) || strings.Contains(logoPolicy, "script") {
			t.Errorf("the policy of the logo lacks %s: %s", ban, logoPolicy)
		}
	}
	// During a restart of all replicas, the next logo has the address of the previous one.
	if w := get(Platform{Logo: logo}, logoPath+"?0123456789ab"); w.Header().Get("Cache-Control") != "no-store" {
		t.Errorf("another version is cached: %v", w.Header())
	}
	if w := get(Platform{}, logoPath); w.Code != http.StatusNotFound {
		t.Errorf("without a logo: %d", w.Code)
	}
}
