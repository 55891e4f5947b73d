package gateway_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/perennial-pki/perennial/internal/egress/control/inprocess"
	"github.com/perennial-pki/perennial/internal/egress/workload"
	"github.com/perennial-pki/perennial/internal/engine/store"
	"github.com/perennial-pki/perennial/internal/testing/testenv"
	"github.com/perennial-pki/perennial/tenancy"
)

func TestAWorkloadSendsWithItsIdentityTokenForItsTenantAlone(t *testing.T) {
	e := newEdge(t)
	issuer := testenv.NewTokenIssuer(t)
	var err error
	e.workloads, err = workload.New(workload.Options{Issuers: []string{issuer.URL}, Audience: "perennial",
		CA: issuer.CAFile}, time.Now)
	check(t, err)
	e.stop()
	e.start(inprocess.Control{Rollovers: e.engine.Rollovers(), Now: time.Now})
	const crm = "system:serviceaccount:acme:crm"
	check(t, e.engine.Store.InTx(t.Context(), func(tx *store.Tx) error {
		return tx.CreateToken(t.Context(), tenancy.Token{ID: store.NewID(), Name: "crm", Role: tenancy.RoleSender,
			TenantID: e.acme.ID, Issuer: issuer.URL, Subject: crm, CreatedAt: time.Now(), ExpiresAt: tenancy.NoExpiry},
			tenancy.WorkloadHash(issuer.URL, crm))
	}))
	token := issuer.Token(t, crm, time.Now())
	stranger := issuer.Token(t, "system:serviceaccount:acme:other", time.Now())
	for _, c := range []struct {
		name, path, lines string
		status            int
	}{
		{"in Authorization", "/acme/crm/x", "Authorization: Bearer " + token, 204},
		{"in Proxy-Authorization, beside one for the receiver", "/acme/crm/x",
			"Proxy-Authorization: bearer " + token + "\r\nAuthorization: Bearer a.b.c", 204},
		{"twice", "/acme/crm/x", "Proxy-Authorization: Bearer " + token + "\r\nAuthorization: bearer   " + token, 204},
		{"at another tenant", "/zeta/crm/x", "Authorization: Bearer " + token, 404},
		{"without a token of ours", "/acme/crm/x", "Authorization: Bearer " + stranger, 401},
		{"that was changed", "/acme/crm/x", "Authorization: Bearer " + token[:len(token)-4] + "AAAA", 401},
		{"the stored form of the workload", "/acme/crm/x",
			"Authorization: Bearer " + tenancy.WorkloadHash(issuer.URL, crm), 401},
	} {
		statuses, _ := e.raw("GET " + c.path + " HTTP/1.1\r\nHost: g\r\n" + c.lines + "\r\n\r\n")
		got := e.received()
		if c.status == 401 { // raw ends with it
			statuses = append(statuses, 401)
		}
		if len(statuses) != 1 || statuses[0] != c.status || len(got) > 0 != (c.status == http.StatusNoContent) {
			t.Errorf("%s: %d, %d requests at the receiver", c.name, statuses, len(got))
		}
		for _, r := range got {
			if all := strings.Join(r.Header.Values("Authorization"), " "); strings.Contains(all, token) {
				t.Errorf("%s: the receiver got the token", c.name)
			}
		}
	}
	issuer.Down.Store(true)
	if statuses, _ := e.raw("GET /acme/crm/x HTTP/1.1\r\nHost: g\r\nAuthorization: Bearer " + token +
		"\r\n\r\n"); len(statuses) != 1 || statuses[0] != http.StatusNoContent {
		t.Errorf("while the issuer is down: %d", statuses)
	}
}
