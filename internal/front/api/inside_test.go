package api

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/perennial-pki/perennial/internal/engine/standing"
	"github.com/perennial-pki/perennial/internal/engine/store"
	"github.com/perennial-pki/perennial/internal/front/principal"
	"github.com/perennial-pki/perennial/internal/keys/issuer"
	"github.com/perennial-pki/perennial/rollover"
	"github.com/perennial-pki/perennial/tenancy"
)

// lastErrors returns the texts of a list.
func (f *fixture) lastErrors(who, path string, headers ...string) []string {
	f.t.Helper()
	var all []string
	for _, item := range items(f.ok(who, "GET", path, 200, "", headers...)) {
		if text, _ := item.(map[string]any)["last_error"].(string); text != "" {
			all = append(all, text)
		}
	}
	return all
}

func TestOnlyOperatorsReadTheAddressesOfTheInstallationInStoredErrors(t *testing.T) {
	f := setUp(t)
	f.ok("operator", "PUT", "/tenants/acme/it-contacts", 200,
		`[{"name":"Ina","email":"ina@acme.example.com"},{"name":"Ivo","email":"ivo@acme.example.com"}]`, `If-Match: "0"`)
	_, err := f.engine.Run(t.Context(), time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC), f.now)
	check(t, err)
	mails, err := f.store.Mails(t.Context(), "", tenancy.MailQueued, "", 10)
	check(t, err)
	f.ok("operator", "POST", "/tenants/acme/credentials", 201, `{"name":"bank","issuer":"swish","key_type":"rsa2048",`+
		`"subject":"CN=1234,O=Bank"}`)
	requests, _, err := f.store.Requests(t.Context(), store.Page{Limit: 10})
	check(t, err)
	if len(mails) != 2 || len(requests) != 1 {
		t.Fatalf("%d mails, %d requests", len(mails), len(requests))
	}
	const address = "relay.inside.example: dial tcp 10.1.2.3:25: refused"
	mails[0].LastError = tenancy.Stored(tenancy.Failure("the mail server closed the connection"))
	mails[1].LastError = "mail server " + address // of an earlier release
	requests[0].LastError = "no answer from " + address
	check(t, f.store.InTx(t.Context(), func(tx *store.Tx) error {
		for _, m := range mails {
			check(t, tx.UpdateMail(t.Context(), m))
		}
		return tx.UpdateRequest(t.Context(), requests[0])
	}))
	for path, texts := range map[string]int{"/tenants/acme/deliveries": 2, "/tenants/acme/requests": 1} {
		mine, all := f.lastErrors("acme/alice", path), f.lastErrors("operator", path)
		if told := strings.Join(mine, "\n"); len(mine) != texts || strings.Contains(told, "inside") ||
			strings.Contains(told, "10.1.2.3") {
			t.Errorf("a key user reads in %s: %q", path, mine)
		}
		if told := strings.Join(all, "\n"); len(all) != texts || !strings.Contains(told, address) {
			t.Errorf("an operator reads in %s: %q", path, all)
		}
	}
	german := strings.Join(f.lastErrors("acme/alice", "/tenants/acme/deliveries", "Accept-Language: de"), "\n")
	if !strings.Contains(german, "Der Mailserver hat die Verbindung geschlossen") {
		t.Errorf("in German: %s", german)
	}
}

func TestOnlyOperatorsReadWhereAKeyIs(t *testing.T) {
	f := setUp(t)
	s := &server{log: f.engine.Log}
	away := fmt.Errorf("sign: %w", issuer.Failed(issuer.KeyAway, "the key https://10.1.2.3/key cannot be used now"))
	for role, reads := range map[tenancy.Role]bool{tenancy.RoleOperator: true, tenancy.RoleKeyUser: false} {
		ctx := principal.With(t.Context(), tenancy.Token{Role: role})
		if got := s.problem(ctx, away).Error(); strings.Contains(got, "10.1.2.3") != reads {
			t.Errorf("%s: %s", role, got)
		}
	}
}

func TestTheReasonWhyASourceCannotBeReadIsInTheLanguageOfTheReader(t *testing.T) {
	f := setUp(t)
	const one = "/tenants/acme/watched/acme-c4c"
	f.ok("acme/alice", "POST", "/tenants/acme/watched", 201, fmt.Sprintf(`{"name":"acme-c4c","certificate":%q}`,
		f.partner()("acme", day("2026-01-20"))))
	acme, err := f.store.Tenant(t.Context(), "acme")
	check(t, err)
	for stored, want := range map[string]string{
		tenancy.Stored(tenancy.Failure("the server answers %d %s", 503, "Busy")): "Der Server antwortet mit 503 Busy",
		"dial tcp: connection refused":                                           "dial tcp: connection refused",
	} {
		v, err := f.store.Watched(t.Context(), acme.ID, "acme-c4c")
		check(t, err)
		v.LookError = stored
		check(t, f.store.InTx(t.Context(), func(tx *store.Tx) error { return tx.UpdateWatched(t.Context(), v) }))
		if got := f.ok("acme/alice", "GET", one, 200, "", "Accept-Language: de")["look_error"]; got != want {
			t.Errorf("%s: %v", stored, got)
		}
	}
}

func TestTheAnswerOfAReceiverIsInTheLanguageOfTheReader(t *testing.T) {
	f := setUp(t)
	acme, err := f.store.Tenant(t.Context(), "acme")
	check(t, err)
	a, err := f.store.Arrangement(t.Context(), acme.ID, "crm-to-erp")
	check(t, err)
	stored := tenancy.Say("%s with and without a certificate", tenancy.Say("%s", "401 Unauthorized")).Stored()
	for detail, want := range map[string]string{
		stored: "401 Unauthorized mit und ohne Zertifikat",
		"401 Unauthorized with and without a certificate": "401 Unauthorized with and without a certificate",
	} {
		check(t, f.store.InTx(t.Context(), func(tx *store.Tx) error {
			return tx.SetEvidence(t.Context(), standing.Evidence{ArrangementID: a.ID, Generation: 1, Detail: detail,
				Verdict: rollover.Unclear, VerdictAt: f.now, Source: rollover.Probe})
		}))
		v := f.ok("acme/alice", "GET", "/tenants/acme/arrangements/crm-to-erp/rollover", 200, "", "Accept-Language: de")
		if got := v["generations"].([]any)[0].(map[string]any)["answer"]; got != want {
			t.Errorf("stored as %s: %v", detail, got)
		}
	}
}
