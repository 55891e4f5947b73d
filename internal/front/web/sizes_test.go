package web_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/perennial-pki/perennial/internal/engine/store"
	"github.com/perennial-pki/perennial/tenancy"
)

// mostBytes limits a page of a long list, uncompressed.
const mostBytes = 80_000

// longNames adds 100 tenants at risk with long names: each has a receiver that is not known to accept the second
// generation, a key user and a token.
func (c *console) longNames() {
	c.t.Helper()
	now := c.now().UTC()
	var rows store.Rows
	var events []tenancy.Event
	certificate := func(t tenancy.Tenant, generation int, state tenancy.State) {
		v := tenancy.Certificate{ID: store.NewID(), TenantID: t.ID, Purpose: tenancy.ForTenant, Generation: generation,
			State: state, Serial: fmt.Sprintf("%032x", len(rows.Certificates)+1), Subject: "CN=" + t.Name,
			Fingerprint: fmt.Sprintf("%064x", len(rows.Certificates)+1), NotBefore: now.AddDate(generation-2, 0, 0),
			NotAfter: now.AddDate(generation-1, 0, 20), KeyType: tenancy.P256, DER: []byte{0x30, 0}, IssuerID: "lab",
			CreatedAt: now}
		if generation == 1 {
			v.SuccessorID = "second"
		}
		rows.Certificates = append(rows.Certificates, store.SealedCertificate{Certificate: v, SealedKey: []byte{0}})
	}
	for i := range 100 {
		t := tenancy.Tenant{ID: store.NewID(), Name: fmt.Sprintf("subsidiary-of-the-group-%03d-production", i),
			DisplayName: fmt.Sprintf("Vereinigte Kraftwerke & Stadtwerke Beteiligungs-GmbH %03d", i),
			KeyType:     tenancy.P256, CreatedAt: now, Version: 1}
		rows.Tenants = append(rows.Tenants, t)
		certificate(t, 1, tenancy.Active)
		certificate(t, 2, tenancy.Standby)
		r := tenancy.Receiver{ID: store.NewID(), TenantID: t.ID, Name: "central-payments-hub", DisplayName: "Payments hub",
			CreatedAt: now, Version: 1}
		rows.Receivers = append(rows.Receivers, r)
		a := tenancy.Arrangement{ID: store.NewID(), TenantID: t.ID, ReceiverID: r.ID, Name: "invoices-to-central-payments",
			Endpoint: "https://payments.shared-services.example.com/inbound/invoices", Generation: 1,
			Authentication: tenancy.ClientCertificate, Strategy: tenancy.Adaptive, CreatedAt: now, Version: 1}
		rows.Arrangements = append(rows.Arrangements, a)
		rows.KeyUsers = append(rows.KeyUsers, tenancy.KeyUser{ID: store.NewID(), TenantID: t.ID, Name: "alexandra",
			Email: "alexandra.mustermann@" + t.Name + ".example", UnsubscribeToken: t.ID, CreatedAt: now, Version: 1})
		events = append(events, tenancy.NewEvent(now, "operator token of the deployment pipeline", "arrangement.created",
			t.Name, t.Name+"/"+a.Name, map[string]any{"endpoint": a.Endpoint, "receiver": r.Name, "strategy": a.Strategy}))
	}
	check(c.t, c.engine.Store.InTx(c.t.Context(), func(tx *store.Tx) error {
		if err := tx.Create(c.t.Context(), rows); err != nil {
			return err
		}
		return tx.Audit(c.t.Context(), events...)
	}))
}

func TestAFullPageOfAListIsSmall(t *testing.T) {
	c := open(t)
	c.longNames()
	olga := c.signIn("olga")
	for _, path := range []string{"/tenants?sort=-name", "/tenants?filter=at-risk&sort=-name", "/at-risk",
		"/rollovers?by=list", "/log"} {
		_, page := c.get(olga, path)
		if n := strings.Count(page, "<tr>"); n < 100 {
			t.Errorf("%s has %d rows", path, n)
		}
		if len(page) > mostBytes {
			t.Errorf("%s has %d bytes, at most %d", path, len(page), mostBytes)
		}
	}
}
