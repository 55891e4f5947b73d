package lifecycle

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/perennial-pki/perennial/internal/engine/store"
	"github.com/perennial-pki/perennial/policy"
	"github.com/perennial-pki/perennial/tenancy"
)

func TestTheHostingTeamIsWarnedOfTokensThatEndAtEachStageOnce(t *testing.T) {
	begin := date("2026-01-15")
	f := sqlite(t, "perennial", begin)
	acme := f.tenant("acme", begin)
	f.config.Operators = []string{"team@p.example.com", "night@p.example.com"}
	e, err := New(f.config)
	check(t, err)
	other, err := New(f.config) // another replica
	check(t, err)
	create := func(name string, role tenancy.Role, end time.Time) {
		t.Helper()
		token := tenancy.Token{ID: name + "-id", Name: name, Role: role, CreatedAt: begin, ExpiresAt: end}
		if role == tenancy.RoleSender {
			token.TenantID = acme.ID
		}
		check(t, f.store.InTx(t.Context(), func(tx *store.Tx) error { return tx.CreateToken(t.Context(), token, name) }))
	}
	end := begin.Add(90 * policy.Day)
	create("crm", tenancy.RoleSender, end)
	create("dmz", tenancy.RoleGateway, end.Add(time.Hour))
	create("olga", tenancy.RoleOperator, end)
	create("workload", tenancy.RoleGateway, tenancy.NoExpiry)
	var warned []int // days before the end
	for left := 90; left >= -1; left-- {
		now := end.Add(-time.Duration(left) * policy.Day).Add(2 * time.Hour)
		before, err := f.store.Mails(t.Context(), "", "", "", 1000)
		check(t, err)
		check(t, e.WarnOfTokens(t.Context(), now))
		check(t, other.WarnOfTokens(t.Context(), now))
		after, err := f.store.Mails(t.Context(), "", "", "", 1000)
		check(t, err)
		switch len(after) - len(before) {
		case 0:
		case 2:
			warned = append(warned, left)
		default:
			t.Errorf("%d days before: %d mails", left, len(after)-len(before))
		}
		if left == 10 { // the sender's token gets a successor
			create("crm-next", tenancy.RoleSender, end.AddDate(0, 3, 0))
			check(t, f.store.InTx(t.Context(), func(tx *store.Tx) error {
				return tx.RevokeToken(t.Context(), "crm-id", now)
			}))
		}
	}
	if want := []int{30, 14, 7, 3, 1}; !slices.Equal(warned, want) {
		t.Errorf("warned %d days before the end, want %d", warned, want)
	}
	mails, err := f.store.Mails(t.Context(), "", "", "", 1000)
	check(t, err)
	var ids []string
	for _, m := range mails {
		ids = append(ids, m.NoticeID)
	}
	notices, err := f.store.NoticesByID(t.Context(), ids)
	check(t, err)
	both, one := 0, 0
	for _, n := range notices {
		switch {
		case strings.Contains(n.Reason, "crm (sender of acme, ID crm-id) expires on 15 April 2026, 00:00 UTC") &&
			strings.Contains(n.Reason, "dmz (gateway, ID dmz-id)"):
			both++
		case strings.Contains(n.Reason, "dmz (gateway, ID dmz-id)") && !strings.Contains(n.Reason, "crm"):
			one++
		default:
			t.Errorf("%q", n.Reason)
		}
	}
	if both != 2 || one != 3 || len(notices) != 5 {
		t.Errorf("%d notices about both tokens, %d about the gateway's", both, one)
	}
}
