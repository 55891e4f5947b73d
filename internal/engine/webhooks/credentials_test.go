package webhooks

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/perennial-pki/perennial/tenancy"
	"github.com/perennial-pki/perennial/webhook"
)

// Whoever may change a webhook could otherwise have its credentials sent to a server of their own, and read them.
func TestCredentialsAreNotSentToAHostForWhichTheyWereNotSet(t *testing.T) {
	f := setUp(t)
	ticket := Settings{Name: "ticket", Format: webhook.Ticket, URL: "https://jira.example.com/rest",
		Authorization: "Bearer sesame", Enabled: true}
	alert := Settings{Name: "alert", Format: webhook.PagerDuty, RoutingKey: "sesame", Enabled: true}
	for _, s := range []Settings{ticket, alert} {
		h, _, err := f.hooks.Create(f.t.Context(), OfTenant(f.acme), s, "alice", f.now)
		check(t, err)
		s.Authorization, s.RoutingKey = "", ""
		for _, url := range []string{"https://evil.example.com/rest", "https://jira.example.com:8443/rest"} {
			s.URL = url
			_, err = f.hooks.Change(t.Context(), OfTenant(f.acme), s, h.Version, "mallory", f.now)
			if !errors.Is(err, tenancy.ErrInvalid) || !strings.Contains(err.Error(), "set it again") ||
				strings.Contains(err.Error(), "sesame") {
				t.Errorf("%s to %s: %v", s.Name, url, err)
			}
		}
	}
	h, err := f.store.Webhook(t.Context(), f.acme.ID, "ticket")
	check(t, err)
	ticket.URL, ticket.Authorization = "https://JIRA.example.com:443/other", ""
	h, err = f.hooks.Change(t.Context(), OfTenant(f.acme), ticket, h.Version, "alice", f.now)
	check(t, err)
	ticket.URL, ticket.Authorization = "https://new.example.com/rest", "Bearer other"
	_, err = f.hooks.Change(t.Context(), OfTenant(f.acme), ticket, h.Version, "alice", f.now)
	check(t, err)
	_, failure, err := f.hooks.Test(t.Context(), OfTenant(f.acme), "ticket", "alice", f.now)
	check(t, errors.Join(failure, err))
	if r := f.endpoints.got[0]; r.URL != ticket.URL || r.Authorization != "Bearer other" {
		t.Errorf("%+v", r)
	}
}

// A second rotation, such as by a form that was sent twice, must not end the secret that receivers still use.
func TestEachFormerSecretSignsUntilItsOverlapIsOver(t *testing.T) {
	f := setUp(t)
	h, first := f.create(f.acme, "crm")
	secrets := []webhook.Secret{first}
	rotate := func(overlap time.Duration) error {
		_, text, err := f.hooks.Rotate(t.Context(), OfTenant(f.acme), "crm", overlap, "alice", f.now)
		if err == nil {
			secret, err := webhook.ParseSecret(text)
			check(t, err)
			secrets = append(secrets, secret)
		}
		return err
	}
	verify := func(when string, want ...bool) {
		t.Helper()
		f.refuse(f.acme, 2)
		f.run(h)
		r := f.endpoints.got[len(f.endpoints.got)-1]
		for i, secret := range secrets {
			if got := webhook.Verify(r.Signature, r.Body, secret, f.now) == nil; got != want[i] {
				t.Errorf("%s: secret %d verifies: %v", when, i+1, got)
			}
		}
	}
	check(t, rotate(2*time.Hour))
	check(t, rotate(time.Hour))
	verify("after two rotations", true, true, true)
	f.now = f.now.Add(time.Hour)
	verify("an hour later", true, false, true)
	for range mostFormer - 1 {
		check(t, rotate(time.Hour))
	}
	if err := rotate(time.Hour); !errors.Is(err, tenancy.ErrRefused) || !strings.Contains(err.Error(), "overlap of 0") {
		t.Errorf("one rotation too many: %v", err)
	}
	check(t, rotate(0))
	verify("after a rotation without overlap", false, false, false, false, false, false, true)
}
