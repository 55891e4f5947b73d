package lifecycle

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/perennial-pki/perennial/policy"
	"github.com/perennial-pki/perennial/tenancy"
)

func TestEventsHaveTheDetailsOfWhatHappened(t *testing.T) {
	begin := date("2026-01-15")
	f := sqlite(t, policy.Default, begin)
	ctx := t.Context()
	acme := f.tenant("acme", begin)
	check(t, f.Tick(ctx, begin))
	f.arrangement(acme, "bank", tenancy.Adaptive)
	for _, day := range []string{"2026-11-01", "2026-12-01"} {
		check(t, f.Tick(ctx, date(day)))
	}
	now := date("2026-12-02")
	_, err := f.RenewByHand(ctx, "acme", tenancy.ForMUser, Lost, "alice", now)
	check(t, err)
	a := f.announce(now)
	check(t, f.Announce(ctx, now))
	check(t, f.SignFrom(ctx, a.ID, "alice", now))
	check(t, f.RevokeAuthority(ctx, a.ID, Superseded, "alice", now))

	certs := map[string]tenancy.Certificate{}
	for _, c := range f.certificates(acme) {
		certs[object(acme, c)] = c
	}
	text := func(t time.Time) string { return t.UTC().Format(time.RFC3339) }
	about := func(name string, more map[string]any) map[string]any {
		c := certs[name]
		detail := map[string]any{"serial": c.Serial, "fingerprint_sha256": c.Fingerprint, "not_after": text(c.NotAfter)}
		for k, v := range more {
			detail[k] = v
		}
		return detail
	}
	const november, december = "2026-11-01T00:00:00Z", "2026-12-01T00:00:00Z"
	want := map[string]map[string]any{
		"run " + november + " run.started " + november:  {"policy": "perennial"},
		"run " + november + " run.finished " + november: nil,
		"run " + november + " certificate.warned acme/tenant/1": about("acme/tenant/1", map[string]any{
			"run_date": november}),
		"run " + december + " certificate.renewed acme/tenant/2": about("acme/tenant/2", map[string]any{
			"run_date": december, "replaces": certs["acme/tenant/1"].Serial}),
		"alice certificate.revoked acme/m-user/2": {"reason": Lost},
		"alice certificate.renewed acme/m-user/3": about("acme/m-user/3", map[string]any{"reason": Lost,
			"replaces": certs["acme/m-user/2"].Serial}),
		"issuer authority.announced " + a.ID:      {"signs_from": text(a.SignsFrom), "not_after": text(a.NotAfter)},
		"alice authority.brought-forward " + a.ID: nil,
		"alice authority.revoked " + a.ID:         {"reason": Superseded},
		"test tenant.created acme":                {"key_type": "p256"},
		"test certificate.issued acme/m-user/1":   about("acme/m-user/1", nil),
	}
	events, err := f.store.Events(ctx, "", 0, 1000)
	check(t, err)
	for _, e := range events {
		name := e.Actor + " " + e.Action + " " + e.Object
		detail, wanted := want[name]
		if !wanted {
			continue
		}
		delete(want, name)
		var got map[string]any
		if e.Detail != "" {
			check(t, json.Unmarshal([]byte(e.Detail), &got))
		}
		if fmt.Sprint(got) != fmt.Sprint(detail) {
			t.Errorf("%s: %v, want %v", name, got, detail)
		}
	}
	for name := range want {
		t.Errorf("the audit log lacks %s", name)
	}
}
