// Package tenanttest creates the tenants, receivers and arrangements that tests need. It depends only on the
// vocabulary, so the tests of the store and of the engine can use it as well.
package tenanttest

import (
	"cmp"
	"context"
	"errors"
	"time"

	"github.com/google/uuid"

	"github.com/perennial-pki/perennial/tenancy"
)

// Tenant returns a tenant with P-256 keys that can be created. Its name is its display name too.
func Tenant(name string) tenancy.Tenant {
	return tenancy.Tenant{Name: name, DisplayName: name, KeyType: tenancy.P256}
}

// Writer stores receivers and arrangements, as a transaction of the store does.
type Writer interface {
	CreateReceivers(ctx context.Context, receivers ...tenancy.Receiver) error
	CreateArrangements(ctx context.Context, arrangements ...tenancy.Arrangement) error
}

// Arrangement completes an arrangement, of which the tenant's ID is required, and stores it with a receiver of its own.
// By default its name is "erp", and it presents generation 1 with the strategy adaptive. The receiver has the name of
// the arrangement.
func Arrangement(ctx context.Context, w Writer, a tenancy.Arrangement) (tenancy.Arrangement, error) {
	a.ID, a.ReceiverID = cmp.Or(a.ID, newID()), cmp.Or(a.ReceiverID, newID())
	a.Name = cmp.Or(a.Name, "erp")
	a.Endpoint = cmp.Or(a.Endpoint, "https://"+a.Name+".example.com/")
	a.Authentication = cmp.Or(a.Authentication, tenancy.ClientCertificate)
	a.Strategy = cmp.Or(a.Strategy, tenancy.Adaptive)
	a.Generation, a.Version = cmp.Or(a.Generation, 1), cmp.Or(a.Version, 1)
	if a.CreatedAt.IsZero() {
		a.CreatedAt = time.Now()
	}
	r := tenancy.Receiver{ID: a.ReceiverID, TenantID: a.TenantID, Name: a.Name, DisplayName: a.Name,
		CreatedAt: a.CreatedAt, Version: 1}
	if err := errors.Join(r.Check(), a.Check()); err != nil {
		return a, err
	}
	return a, errors.Join(w.CreateReceivers(ctx, r), w.CreateArrangements(ctx, a))
}

func newID() string { return uuid.Must(uuid.NewV7()).String() }
