package api

import (
	"strings"
	"testing"

	"github.com/perennial-pki/perennial/internal/engine/store"
	"github.com/perennial-pki/perennial/tenancy"
)

func TestTextsAreInTheLanguageOfTheCaller(t *testing.T) {
	f := setUp(t)
	for language, wants := range map[string][]string{
		"en": {"there is no tenant x", "invalid name", "the user chose Subscribe to Task"},
		"de": {"Es gibt keinen Mandanten x", "Ungültiger Name", "Der Benutzer hat die Aufgabe abonniert"},
		"fr": {"there is no tenant x", "invalid name", "the user chose Subscribe to Task"},
	} {
		answers := []answer{
			f.call("acme/alice", "GET", "/tenants/x", "", "Accept-Language: "+language),
			f.call("operator", "POST", "/tenants/acme/key-users", `{"name":"","email":"a@example.com"}`,
				"Accept-Language: "+language),
			f.call("acme/alice", "GET", "/tenants/acme/mail-check?user=alice", "", "Accept-Language: "+language),
		}
		for i, want := range wants {
			if !strings.Contains(answers[i].raw, want) {
				t.Errorf("%s: no %q in %s", language, want, answers[i].raw)
			}
		}
	}
}

func TestTheEndOfAMessageIsInTheLanguageOfTheCaller(t *testing.T) {
	f := setUp(t)
	a := f.arrangement()
	refused := tenancy.Say("refused with generation %d: %s", 2, tenancy.Say("%s instead of %s", "302 Found", "200 OK"))
	check(t, f.store.InTx(t.Context(), func(tx *store.Tx) error {
		var sent []tenancy.Message
		for _, outcome := range []string{refused.Stored(), "EOF", "an outcome of an earlier release"} {
			sent = append(sent, tenancy.Message{ID: store.NewID(), ArrangementID: a.ID, At: f.now, Method: "POST", Path: "/in",
				Status: 502, Attempts: 1, Count: 1, Outcome: outcome})
		}
		if err := tx.AddMessages(t.Context(), sent); err != nil {
			return err
		}
		parked := tenancy.Parked{ID: store.NewID(), ArrangementID: a.ID, TenantID: a.TenantID, IdempotencyKey: "k",
			Digest: []byte("d"), Method: "POST", Path: "/in", State: tenancy.ParkedWaiting, NextAt: f.now, CreatedAt: f.now}
		if _, err := tx.Park(t.Context(), parked, []byte("sealed")); err != nil {
			return err
		}
		parked.Attempts, parked.LastError = 1, tenancy.Say("the receiver accepts no certificate: %s", "401").Stored()
		return tx.UpdateParked(t.Context(), parked)
	}))
	for language, want := range map[string]string{
		"en": "refused with generation 2: 302 Found instead of 200 OK, EOF, an outcome of an earlier release",
		"de": "mit Generation 2 abgelehnt: 302 Found statt 200 OK, EOF, an outcome of an earlier release",
	} {
		var got []string
		for _, m := range items(f.ok("acme/alice", "GET", "/tenants/acme/arrangements/crm-to-erp/messages", 200, "",
			"Accept-Language: "+language)) {
			got = append([]string{m.(map[string]any)["outcome"].(string)}, got...)
		}
		if all := strings.Join(got, ", "); all != want {
			t.Errorf("%s: %s", language, all)
		}
	}
	parked := items(f.ok("operator", "GET", "/parked", 200, "", "Accept-Language: de"))
	if len(parked) != 1 || parked[0].(map[string]any)["last_error"] != "der Empfänger akzeptiert kein Zertifikat: 401" {
		t.Errorf("parked: %v", parked)
	}
}
