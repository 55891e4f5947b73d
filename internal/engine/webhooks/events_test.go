package webhooks

import (
	"bytes"
	"encoding/json"
	"flag"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/perennial-pki/perennial/internal/engine/standing"
	"github.com/perennial-pki/perennial/internal/engine/store"
	"github.com/perennial-pki/perennial/rollover"
	"github.com/perennial-pki/perennial/tenancy"
	"github.com/perennial-pki/perennial/webhook"
)

var update = flag.Bool("update", false, "write the golden file again")

// recorded are audit events as the other packages write them, one for each action at least.
func recorded() []tenancy.Event {
	at := time.Date(2026, 12, 1, 0, 5, 0, 0, time.UTC)
	until := time.Date(2027, 1, 30, 0, 0, 0, 0, time.UTC)
	of := func(action, tenant, object string, detail map[string]any) tenancy.Event {
		return tenancy.NewEvent(at, "test", action, tenant, object, detail)
	}
	certificate := map[string]any{"serial": "0a", "fingerprint_sha256": "ab", "not_after": until,
		"run_date": "2026-12-01T00:00:00Z", "reason": "reissue", "replaces": "09"}
	watched := map[string]any{"fingerprint_sha256": "ab", "not_after": until}
	guarded := map[string]any{"sha256": "cd", "code": "new-key", "reason": "a text", "decided_by": ""}
	return []tenancy.Event{
		of("certificate.warned", "acme", "acme/tenant/1", certificate),
		of("certificate.renewed", "acme", "acme/m-user/2", certificate),
		of("certificate.revoked", "acme", "acme/bank/1", map[string]any{"reason": "compromised"}),
		of("certificate.retired", "acme", "acme/tenant/1", certificate),
		of("arrangement.accepted", "acme", "acme/erp", map[string]any{"generation": 2, "source": "message", "detail": "x"}),
		of("arrangement.refused", "acme", "acme/erp", map[string]any{"generation": 2, "source": "probe", "detail": "x"}),
		of("arrangement.cut-over", "acme", "acme/erp", map[string]any{"from": 1, "generation": 2, "strategy": "adaptive",
			"why": "x"}),
		of("arrangement.cut-over", "acme", "acme/erp", map[string]any{"from": 1, "generation": 2,
			"may_break_delivery": true}),
		of("arrangements.at-risk", "acme", "acme", map[string]any{"arrangements": []string{"crm", "erp"},
			"refused": []string{"erp"}, "generation": 2, "expires": until, "stage_days": 3}),
		of("watched.warned", "acme", "acme/watched/c4c", watched),
		of("watched.overdue", "acme", "acme/watched/c4c", watched),
		of("watched.expired", "acme", "acme/watched/c4c", watched),
		of("watched.unseen", "acme", "acme/watched/c4c", map[string]any{"since": at, "error": "x"}),
		of("watched.seen", "acme", "acme/watched/c4c", watched),
		of("watched.seen", "acme", "acme/watched/c4c", map[string]any{"fingerprint_sha256": "ab", "not_after": until,
			"surprises": []string{"issuer"}}),
		of("feed.silent", "acme", "acme/erp", map[string]any{"fetched_at": at, "fetched_by": "perennial"}),
		of("counterparty.feed-silent", "", "bank", map[string]any{"fetched_at": at, "fetched_by": "perennial"}),
		of("authority.announced", "", "ca2", map[string]any{"signs_from": at, "not_after": until}),
		of("authority.revoked", "", "ca1", map[string]any{"reason": "compromised"}),
		of("run.finished", "", "2026-12-01T00:00:00Z", nil),
		of("run.failed", "", "2026-12-01T00:00:00Z", map[string]any{"failed": 3, "error": "secret of the CA"}),
		of("mail.held", "", "mails", map[string]any{"error": "535 login failed"}),
		of("mail.released", "", "mails", nil),
		of("token.expiring", "", "id1", map[string]any{"name": "dmz", "role": "gateway", "expires_at": until}),
		of("guard.held", "", "globex", guarded), of("guard.accepted", "", "globex", guarded),
		of("guard.declined", "", "globex", guarded),
	}
}

func TestEachActionHasItsEvents(t *testing.T) {
	w := &Webhooks{base: "https://p.example.com"}
	seen := map[string]bool{}
	var all []webhook.Event
	for _, e := range recorded() {
		seen[e.Action] = true
		made, err := w.translate(e)
		check(t, err)
		for i := range made {
			made[i].ID = "id" // it is random
		}
		all = append(all, made...)
	}
	if want := slices.Sorted(maps.Keys(translations)); !slices.Equal(slices.Sorted(maps.Keys(seen)), want) {
		t.Errorf("the actions %v are tested, and %v are translated", slices.Sorted(maps.Keys(seen)), want)
	}
	types := map[webhook.Type]bool{webhook.Test: true}
	for _, e := range all {
		types[e.Type] = true
		d, ok := webhook.DefinitionOf(e.Type)
		c := e.Common()
		ofMany := strings.HasPrefix(c.Problem, "feed:counterparty/") // the feed of many tenants belongs to none
		if !ok || d.InTenant != (c.Tenant != "" || ofMany) || reflect.TypeOf(d.New()) != reflect.TypeOf(e.Data) ||
			!strings.HasPrefix(c.Link, "https://p.example.com/") || c.Summary == "" || c.Severity == "" {
			t.Errorf("%s does not fit its definition: %+v", e.Type, e.Data)
		}
		if c.Problem != "" && !d.Problem || c.Resolved && c.Problem == "" {
			t.Errorf("%s has a problem %q, which its definition excludes", e.Type, c.Problem)
		}
	}
	if len(types) != len(webhook.Definitions()) {
		t.Errorf("%d types of events of %d are made", len(types), len(webhook.Definitions()))
	}
	got, err := json.MarshalIndent(all, "", "  ")
	check(t, err)
	path := filepath.Join("testdata", "events.json")
	if *update {
		check(t, os.WriteFile(path, append(got, '\n'), 0o644))
	}
	want, err := os.ReadFile(path)
	check(t, err)
	if !bytes.Equal(append(got, '\n'), want) {
		t.Errorf("%s differs: if that is meant, run the test with -update. got\n%s", path, got)
	}
}

func TestAnActionThatIsNoEventExecutesNoStatement(t *testing.T) {
	w := &Webhooks{base: "https://p.example.com"} // without a store
	other := tenancy.NewEvent(time.Time{}, "a", "tenant.created", "t", "t", nil)
	check(t, w.Follow(t.Context(), nil, []tenancy.Event{other}))
}

// The details of audit events are written in other packages. A year of an engine shows that their names are those that
// are read here.
func TestAYearOfTheEngineHasItsEvents(t *testing.T) {
	f := setUp(t)
	h, _ := f.create(tenancy.Tenant{}, "all")
	crm := f.engine.Arrangement(t, tenancy.Arrangement{TenantID: f.acme.ID, Name: "crm"})
	f.engine.Arrangement(t, tenancy.Arrangement{TenantID: f.acme.ID, Name: "erp"})
	begin := f.now
	check(t, f.store.InTx(t.Context(), func(tx *store.Tx) error {
		return tx.CreateToken(t.Context(), tenancy.Token{ID: "dmz", Name: "dmz", Role: tenancy.RoleGateway,
			CreatedAt: begin, ExpiresAt: begin.AddDate(0, 6, 0)}, "hash")
	}))
	sees := func(generation int, v rollover.Verdict) {
		t.Helper()
		_, err := f.engine.Observe(t.Context(), crm.ID, "gateway", []standing.Observation{{Evidence: rollover.Evidence{
			Generation: generation, Verdict: v, By: rollover.Traffic, At: f.now}}}, f.now)
		check(t, err)
	}
	seen := map[webhook.Type]webhook.Data{}
	for ; f.now.Before(begin.AddDate(1, 1, 0)); f.now = f.now.AddDate(0, 0, 1) {
		check(t, f.engine.Tick(t.Context(), f.now))
		switch f.now.Format(time.DateOnly) {
		case "2026-01-16":
			sees(1, rollover.Accepted)
		case "2026-12-05":
			sees(2, rollover.Refused)
		case "2026-12-20":
			sees(2, rollover.Accepted)
		}
		f.run(h)
	}
	for _, r := range f.endpoints.got {
		e, err := webhook.Parse(r.Body)
		check(t, err)
		seen[e.Type] = e.Data
	}
	for _, of := range []webhook.Type{webhook.CertificateExpiring, webhook.CertificateRenewed, webhook.CertificateRetired,
		webhook.RolloverAccepted, webhook.RolloverRefused, webhook.RolloverCutOver, webhook.RolloverAtRisk,
		webhook.RunFinished, webhook.TokenExpiring} {
		if seen[of] == nil {
			t.Errorf("there was no %s", of)
			continue
		}
		if missing := zero(reflect.ValueOf(seen[of]).Elem()); len(missing) > 0 {
			t.Errorf("%s lacks %v: %+v", of, missing, seen[of])
		}
	}
	if risk, ok := seen[webhook.RolloverAtRisk].(*webhook.RolloverAtRiskData); !ok || risk.Arrangement != "erp" ||
		risk.StageDays != 1 || risk.Problem != "rollover:acme/erp:2" {
		t.Errorf("%+v", risk)
	}
}

// zero lists the fields that an event must have, and that are not set.
func zero(v reflect.Value) (names []string) {
	optional := []string{"Problem", "Resolved", "Reason", "MayBreakDelivery", "Refused", "Tenant", "Failed"}
	for i := range v.NumField() {
		field := v.Type().Field(i)
		switch {
		case field.Anonymous:
			names = append(names, zero(v.Field(i))...)
		case v.Field(i).IsZero() && !slices.Contains(optional, field.Name):
			names = append(names, field.Name)
		}
	}
	return names
}
