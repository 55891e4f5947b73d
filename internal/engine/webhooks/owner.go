package webhooks

import (
	"context"
	"maps"
	"slices"

	"github.com/perennial-pki/perennial/internal/engine/store"
	"github.com/perennial-pki/perennial/tenancy"
	"github.com/perennial-pki/perennial/webhook"
)

// An Owner has webhooks: a tenant, a counterparty, or the installation, which is the zero value.
type Owner struct {
	tenant       tenancy.Tenant
	counterparty tenancy.Counterparty
}

// OfTenant returns a tenant as an owner; the installation for the zero value.
func OfTenant(t tenancy.Tenant) Owner { return Owner{tenant: t} }

// OfCounterparty returns a counterparty as an owner.
func OfCounterparty(c tenancy.Counterparty) Owner { return Owner{counterparty: c} }

// ID returns the ID of the owner, by which the store finds its webhooks; empty for the installation.
func (o Owner) ID() string { return o.tenant.ID + o.counterparty.ID }

// most returns the maximum number of webhooks of the owner, and its name for errors.
func (o Owner) most() (n int, whose string) {
	switch {
	case o.tenant.ID != "":
		return MostOfTenant, o.tenant.Name
	case o.counterparty.ID != "":
		return MostOfCounterparty, o.counterparty.Name
	}
	return MostOfInstallation, "the installation"
}

// about returns the arrangement or the credential that the data of an event are about; nil if they are about something
// else.
func about(d webhook.Data) (arrangement, credential *string) {
	switch d := d.(type) {
	case *webhook.RolloverVerdictData:
		return &d.Arrangement, nil
	case *webhook.RolloverCutOverData:
		return &d.Arrangement, nil
	case *webhook.RolloverAtRiskData:
		return &d.Arrangement, nil
	case *webhook.FeedSilentData:
		return &d.Arrangement, nil
	case *webhook.CertificateExpiringData:
		return nil, &d.Credential
	case *webhook.CertificateRenewedData:
		return nil, &d.Credential
	case *webhook.CertificateRevokedData:
		return nil, &d.Credential
	case *webhook.CertificateRetiredData:
		return nil, &d.Credential
	}
	return nil, nil
}

// links are the arrangements of some tenants that are linked to counterparties at the moment.
type links map[link][]store.LinkedArrangement

// A link is that of a tenant to a counterparty.
type link struct{ counterpartyID, tenant string }

// linksFor reads the links that decide which of the webhooks get an event; none if no counterparty has one of them.
func linksFor(ctx context.Context, tx *store.Tx, hooks []tenancy.Webhook, tenants []string) (links, error) {
	var ids []string
	for _, h := range hooks {
		if h.CounterpartyID != "" && !slices.Contains(ids, h.CounterpartyID) {
			ids = append(ids, h.CounterpartyID)
		}
	}
	if len(ids) == 0 {
		return nil, nil
	}
	return readLinks(ctx, tx.Reader, ids, tenants)
}

// readLinks reads the links of the tenants with these names to the counterparties with these IDs.
func readLinks(ctx context.Context, r store.Reader, counterpartyIDs, tenants []string) (links, error) {
	all, err := r.LinkedTo(ctx, counterpartyIDs, tenants)
	linked := links{}
	for _, a := range all {
		of := link{a.CounterpartyID, a.Tenant}
		linked[of] = append(linked[of], a)
	}
	return linked, err
}

// reach reports whether a counterparty gets an event: it is about an arrangement that is linked to it, or about a
// certificate that such an arrangement presents.
func (l links) reach(counterpartyID string, e webhook.Event) bool {
	arrangement, credential := about(e.Data)
	return slices.ContainsFunc(l[link{counterpartyID, e.Common().Tenant}], func(a store.LinkedArrangement) bool {
		return arrangement != nil && a.Arrangement == *arrangement || credential != nil && a.Credential == *credential
	})
}

// stillLinked returns the deliveries to a webhook that it may still get. Those to a counterparty about an arrangement
// that is not linked to it any more are deleted: a delivery can wait for days, or be replayed after weeks.
func (w *Webhooks) stillLinked(ctx context.Context, h tenancy.Webhook,
	due []tenancy.WebhookDelivery) (left []tenancy.WebhookDelivery, err error) {
	if h.CounterpartyID == "" || len(due) == 0 {
		return due, nil
	}
	events, tenants := make([]webhook.Event, len(due)), map[string]bool{}
	for i, d := range due {
		if events[i], err = webhook.Parse(d.Payload); err != nil { // it must not block the others
			w.log.ErrorContext(ctx, "a delivery cannot be read, and is deleted", "webhook", title(h), "delivery", d.ID, "error",
				err)
			continue
		}
		tenants[events[i].Common().Tenant] = true
	}
	linked, err := readLinks(ctx, w.store.Reader, []string{h.CounterpartyID}, slices.Collect(maps.Keys(tenants)))
	if err != nil {
		return nil, err
	}
	var ended []string
	for i, d := range due {
		if events[i].Data != nil && linked.reach(h.CounterpartyID, events[i]) {
			left = append(left, d)
		} else {
			ended = append(ended, d.ID)
		}
	}
	if len(ended) == 0 {
		return left, nil
	}
	w.log.InfoContext(ctx, "deliveries about arrangements that are not linked any more are deleted", "webhook", title(h),
		"deliveries", len(ended))
	return left, w.store.InTx(ctx, func(tx *store.Tx) error { return tx.DeleteDeliveries(ctx, ended) })
}
