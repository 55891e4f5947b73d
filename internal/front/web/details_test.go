package web

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/perennial-pki/perennial/client"
	"github.com/perennial-pki/perennial/tenancy"
)

// shown returns the details of an entry as one text.
func shown(v *view, e client.Event) string {
	var lines []string
	for _, d := range v.details(e) {
		lines = append(lines, d.label+": "+d.value.text)
	}
	return strings.Join(lines, "; ")
}

const someID = "0193b6a2-0000-7000-8000-00005a6b7c8d"

func TestDetailsOfTheAuditLogAreInTheLanguageOfTheReader(t *testing.T) {
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ action, object, detail, english, german string }{
		{"certificate.renewed", "acme/tenant/2", `{"serial":"12","not_after":"2026-12-01T09:00:00Z","reason":"lost"}`,
			"Serial number: 12; Valid until: 1 December 2026, 10:00 CET; Reason: the key is lost",
			"Seriennummer: 12; Gültig bis: 1. Dezember 2026, 10:00 CET; Grund: der Schlüssel ist verloren"},
		{"token.created", someID, `{"name":"ci","role":"sender","user":""}`, "Role: Sender", "Rolle: Sender"},
		{"link.created", "acme/shop", `{"expires_at":"2026-12-01T09:00:00Z","generation":2,"link":"` + someID + `"}`,
			"Expires: 1 December 2026, 10:00 CET; Generation: 2; Link: …5a6b7c8d",
			"Läuft ab: 1. Dezember 2026, 10:00 CET; Generation: 2; Link: …5a6b7c8d"},
		{"tests.started", someID, `{"choice":{"host":"pay.example"},"round":"` + someID + `","tests":1200}`,
			"Chosen: pay.example; Tests: 1,200", "Ausgewählt: pay.example; Tests: 1.200"},
		{"arrangement.changed", "acme/shop", `{"name":"shop","receiver":"shop","authentication":"basic",` +
			`"egress":{"probe":{"method":"GET","path":"/"},"refusal_rules":[{"status":302,"text":"login"}],"park":true,` +
			`"identifies_by":["subject","san"]},"created_at":"0001-01-01T00:00:00Z"}`,
			"Receiver: shop; Authentication: user and password; Probe: Method: GET, Path: /; Refusal rules: Status: 302, " +
				"Text: login; Parks every message: Yes; Receiver checks: the subject, the SAN (URI or DNS)",
			"Empfänger: shop; Authentifizierung: Benutzer und Passwort; Testanfrage: Methode: GET, Pfad: /; " +
				"Ablehnungsregeln: Status: 302, Text: login; Parkt jede Nachricht: Ja; Empfänger prüft: das Subject, den " +
				"SAN (URI oder DNS)"},
		{"authority.trusted", "acme/shop", `{"authority":"` + someID + `","detail":"200 OK","source":"probe"}`,
			"CA: CA 0193b6a2; Answer: 200 OK; Source: test", "CA: CA 0193b6a2; Antwort: 200 OK; Quelle: Test"},
		{"arrangement.cut-over", "acme/shop", `{"from":1,"generation":2,"strategy":"manual","why":"selected by a person"}`,
			"Before: 1; Generation: 2; Strategy: Manual; Reason: selected by a person",
			"Vorher: 1; Generation: 2; Strategie: Manuell; Grund: von einer Person gewählt"},
		{"watched.changed", "acme/watched/bank", `{"owner":"","source":{"kind":"server","address":"b.example:443"}}`,
			"Source: TLS server, b.example:443", "Quelle: TLS-Server, b.example:443"},
		{"credential.created", "acme/edi", `{"validity_seconds":7776000,"subject":null,"san":[]}`, "Validity: 90 days",
			"Gültigkeit: 90 Tage"},
		{"import.taken-back", "acme", `{"tenant_id":"` + someID + `","new":false,"contacts":["` + someID + `"]}`,
			"New tenant: No; Contacts: 1", "Neuer Mandant: Nein; Kontakte: 1"},
		{"account.created", "alice", `{"origin":"token ` + someID + `"}`, "Created with: token …5a6b7c8d",
			"Angelegt mit: Token …5a6b7c8d"},
		{"guard.held", "bank", `{"sha256":"ab","code":"weak-key","reason":"the key is weaker","decided_by":"rule"}`,
			"SHA-256: ab; Finding: its key is too weak; Decided by: rule",
			"SHA-256: ab; Befund: sein Schlüssel ist zu schwach; Entschieden durch: Regel"},
		{"guard.held", "bank", `{"code":"newer-code","reason":"the key is older"}`,
			"Finding: newer-code; Reason: the key is older", "Befund: newer-code; Grund: the key is older"},
		{"administrator.stopped", "acme/bo@b.example", `{"address":"bo@b.example","why":"passed-on","other":"Eve"}`,
			"Address: bo@b.example; Reason: another person is responsible; Named instead: Eve",
			"Adresse: bo@b.example; Grund: jemand anders ist zuständig; Stattdessen genannt: Eve"},
		{"thing.former", "x", `{"some_key":"value","other":1.5,"flags":{"is_set":true},"gone":{}}`,
			"some key: value; Named instead: 1.5; flags: is set: Yes",
			"some key: value; Stattdessen genannt: 1.5; flags: is set: Ja"},
		{"account.rights", "eve", `{"key_user":"","role":""}`, "Role: none", "Rolle: keine"},
		{"arrangement.created", "acme/shop", `{"strategy":"newer","scenario":""}`, "Strategy: newer", "Strategie: newer"},
		{"thing.former", "x", `["a"]`, `Details: ["a"]`, `Details: ["a"]`},
		{"run.finished", "x", `{}`, "", ""},
		{"tenant.changed", "acme", `{"display_name":"acme"}`, "Display name: acme", "Anzeigename: acme"},
		{"counterparty.changed", "bank", `{"product":"bank"}`, "Product: bank", "Produkt: bank"},
		{"token.created", "ci", `{"subject":"` + someID + `","of":"` + someID + `"}`,
			"Subject: " + someID + "; Tenant: " + someID, "Subject: " + someID + "; Mandant: " + someID},
		{"arrangements.at-risk", "acme", `{"arrangements":["` + someID + `"]}`, "Arrangements: " + someID,
			"Vereinbarungen: " + someID},
		{"arrangement.changed", "acme/shop", `{"display_name":"2026-12-01T09:00:00Z","contact_name":"` + someID + `"}`,
			"Display name: 2026-12-01T09:00:00Z; Administrator: " + someID,
			"Anzeigename: 2026-12-01T09:00:00Z; Ansprechpartner: " + someID},
		{"certificate.warned", "acme/tenant/1", `{"run":"2026-12-01T00:00:00Z","generation":2}`, "Generation: 2",
			"Generation: 2"},
	} {
		e := client.Event{Actor: "run 2026-12-01T00:00:00Z", Action: c.action, Object: c.object,
			Detail: json.RawMessage(c.detail)}
		for language, want := range map[string]string{"en": c.english, "de": c.german} {
			v := &view{lang: language, zone: berlin}
			if got := shown(v, e); got != want {
				t.Errorf("%s %s:\n%s\nwant\n%s", language, c.action, got, want)
			}
		}
	}
}

func TestDetailsLeadOnlyOperatorsToPagesOfTheInstallation(t *testing.T) {
	e := client.Event{Action: "tenant.imported-into", Object: "acme", Tenant: "acme",
		Detail: json.RawMessage(`{"import":"` + someID + `"}`)}
	for role, want := range map[tenancy.Role]string{tenancy.RoleOperator: "/imports/" + someID, tenancy.RoleKeyUser: ""} {
		v := &view{lang: "en", zone: time.UTC}
		v.account.Role = role
		if got := v.details(e); len(got) != 1 || got[0].value.path != want || got[0].value.id != someID {
			t.Errorf("%s: %+v", role, got)
		}
	}
}
