package web

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/perennial-pki/perennial/client"
	"github.com/perennial-pki/perennial/internal/front/identity/password"
)

func TestAnAddressIsTakenFromTheLastProxyOnly(t *testing.T) {
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
		if got := (&console{behindProxy: c.behind}).addressOf(r); got != c.want {
			t.Errorf("%v behind a proxy %v: %s, want %s", c.forwarded, c.behind, got, c.want)
		}
	}
}

func TestEveryCookieIsForThisHostOnlyAndHiddenFromScript(t *testing.T) {
	for secure, prefix := range map[bool]string{true: "__Host-", false: ""} {
		c := &console{secure: secure}
		w := httptest.NewRecorder()
		v := &view{w: w, r: httptest.NewRequest("GET", "/", nil)}
		c.begin(v, "secret")
		c.keepCeremony(v, "ceremony's secret")
		c.setFlash(w, "Saved.")
		cookies := w.Result().Cookies()
		if len(cookies) != 3 {
			t.Fatalf("%d cookies", len(cookies))
		}
		for i, name := range []string{"perennial", "ceremony", "flash"} {
			if got := cookies[i]; got.Name != prefix+name || got.Value == "" || got.Path != "/" || got.Domain != "" ||
				!got.HttpOnly || got.Secure != secure || got.SameSite != http.SameSiteLaxMode {
				t.Errorf("secure %v: %+v", secure, got)
			}
			v.r.AddCookie(cookies[i])
		}
		if got := c.takeCeremony(v); got != "ceremony's secret" {
			t.Errorf("secure %v: the ceremony is %q", secure, got)
		}
		if got := c.takeFlash(w, v.r); got != "Saved." {
			t.Errorf("secure %v: the flash is %q", secure, got)
		}
	}
}

func TestBrowsersKeepToHTTPSIfTheServiceHasAnHTTPSAddress(t *testing.T) {
	for secure, want := range map[bool]string{true: "max-age=31536000", false: ""} {
		w := httptest.NewRecorder()
		(&console{secure: secure}).headers(http.NotFoundHandler()).ServeHTTP(w, httptest.NewRequest("GET", "/", nil))
		if got := w.Header().Get("Strict-Transport-Security"); got != want {
			t.Errorf("secure %v: %q", secure, got)
		}
	}
}

func TestTheHeadingOfAnErrorFitsWhatWasTried(t *testing.T) {
	for pattern, want := range map[string]string{
		"GET /tenants":                                                       "Page not available",
		"POST /tenants":                                                      "Could not save",
		"POST /sign-in/passkey":                                              "Could not sign in",
		"POST /imports":                                                      "Could not check the files",
		"POST /imports/{import}/{verb}":                                      "Could not start",
		"POST /tokens/{token}/revoke":                                        "Could not revoke",
		"POST /accounts/{account}/delete":                                    "Could not delete",
		"POST " + tenantPages + "/people/x/remove":                           "Could not delete",
		"POST " + tenantPages + "/certificates/{purpose}/renew":              "Could not renew the certificate",
		"POST " + tenantPages + "/certificates/{purpose}/1/revoke":           "Could not revoke",
		"POST " + tenantPages + "/arrangements/{arrangement}/probe":          "Could not test the receiver",
		"POST " + tenantPages + "/arrangements/{arrangement}/choose":         "Could not switch the generation",
		"POST " + tenantPages + "/arrangements/{arrangement}/link":           "Could not create the link",
		"POST " + tenantPages + "/arrangements/{arrangement}/strategy":       "Could not save",
		"POST " + tenantPages + "/arrangements/{arrangement}/links/x/revoke": "Could not revoke",
	} {
		method := "POST"
		if pattern[:3] == "GET" {
			method = "GET"
		}
		r := httptest.NewRequest(method, "/", nil)
		r.Pattern = pattern
		if got := (&view{r: r, lang: "en"}).failure(); got != want {
			t.Errorf("%s: %q, want %q", pattern, got, want)
		}
	}
}

func TestAnErrorOfTheAPIIsShownOnlyIfTheReaderCanActOnIt(t *testing.T) {
	for status, shown := range map[int]bool{404: true, 409: true, 412: true, 422: true, 503: true, 500: false,
		502: false} {
		var r *refusal
		if got := errors.As(refused(&client.Error{Status: status, Detail: "detail"}), &r); got != shown {
			t.Errorf("%d: shown %v", status, got)
		}
	}
	var r *refusal
	if errors.As(refused(&client.Error{Status: 409}), &r) || errors.As(refused(errors.New("of the database")), &r) {
		t.Error("an error without an explanation is shown")
	}
}

func TestABusyServiceAsksToTryAgainLater(t *testing.T) {
	w := httptest.NewRecorder()
	r := (&view{w: w, lang: "en"}).explain(password.ErrBusy)
	if r == nil || r.Status != http.StatusServiceUnavailable || w.Header().Get("Retry-After") != "5" {
		t.Errorf("%+v, with Retry-After %q", r, w.Header().Get("Retry-After"))
	}
}
