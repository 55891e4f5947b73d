package bench

import (
	"context"
	"fmt"
	"net/url"
	"strings"

	"github.com/perennial-pki/perennial/internal/engine/store"
	"github.com/perennial-pki/perennial/tenancy"
)

// watchPages are the pages that an operator watches.
var watchPages = []string{"/", "/at-risk", "/at-risk?host=erp.example.com", "/rollovers", "/rollovers?by=receiver",
	"/rollovers?by=days", "/rollovers?state=announced", "/runs", "/forecast", "/deliveries",
	"/deliveries?state=dead", "/parked", "/authorities", "/policy", "/imports", "/tokens", "/accounts", "/log",
	"/log?q=tenant-77", "/log?q=nothing+has+this"}

// workPages are the work list with each filter and order.
var workPages = []string{"/tenants", "/tenants?sort=-created", "/tenants?sort=name", "/tenants?sort=-name",
	"/tenants?sort=not-after", "/tenants?sort=-not-after", "/tenants?sort=deadline", "/tenants?filter=at-risk",
	"/tenants?filter=at-risk&sort=-deadline", "/tenants?filter=at-risk&sort=name",
	"/tenants?filter=at-risk&sort=-created", "/tenants?filter=unwarned", "/tenants?filter=unwarned&sort=-name",
	"/tenants?filter=unwarned&sort=not-after", "/tenants?filter=unwarned&sort=-not-after", "/tenants?q=tenant-77",
	"/tenants?q=gmbh+firma+77"}

// findPages returns a search of each kind. Of a search with very many results, it is the worst case.
func (f *fleet) findPages(ctx context.Context, n int) ([]string, error) {
	t, err := f.store.Tenant(ctx, fmt.Sprintf("tenant-%d", n/4))
	if err != nil {
		return nil, err
	}
	c, err := f.store.Newest(ctx, t.ID, tenancy.ForTenant)
	if err != nil {
		return nil, err
	}
	var colons []string
	for i := 0; i < len(c.Fingerprint); i += 2 {
		colons = append(colons, strings.ToUpper(c.Fingerprint[i:i+2]))
	}
	number := strings.TrimPrefix(t.Name, "tenant-")
	var pages []string
	for _, text := range []string{t.Name, "tenant-", "firma " + number, "firma gmbh", "gmbh nothing", c.Serial,
		strings.Join(colons, ":"), c.Fingerprint[:60], "alice@" + t.Name, "alice@", "crm-to-erp", t.Name + "/crm-to-erp",
		"erp", "nothing-has-this"} {
		pages = append(pages, "/find?list=yes&q="+url.QueryEscape(text))
	}
	return pages, nil
}

// addSilent adds tenants without key users.
func (f *fleet) addSilent(ctx context.Context, n int) error {
	var tenants []tenancy.Tenant
	for i := range n {
		tenants = append(tenants, tenancy.Tenant{ID: store.NewID(), Name: fmt.Sprintf("silent-%d", i),
			DisplayName: fmt.Sprintf("Silent %d", i), KeyType: tenancy.P256, CreatedAt: runDate, Version: 1})
	}
	return f.store.InTx(ctx, func(tx *store.Tx) error { return tx.Create(ctx, store.Rows{Tenants: tenants}) })
}
