package api

import (
	"context"
	"net/http"

	"github.com/perennial-pki/perennial/client"
	"github.com/perennial-pki/perennial/tenancy"
)

func registerAccounts(r *router) {
	register(r, endpoint{
		method: http.MethodGet, path: "/accounts", summary: "List the accounts of the console", access: operators,
	}, (*server).listAccounts)
}

func (s *server) listAccounts(ctx context.Context, in *struct {
	Begun
	Sort string `query:"sort" enum:"created,-created,name,-name" default:"name" doc:"Order: by creation, or by name. A minus sign reverses it."`
}) (*List[client.Account], error) {
	page, err := in.page(in.Sort, in.Query)
	if err != nil {
		return nil, err
	}
	rows, next, err := s.store.Accounts(ctx, page)
	return listed(rows, next, in.Sort, viewAccount), err
}

func viewAccount(a tenancy.Account) client.Account {
	return client.Account{ID: a.ID, Name: a.Name, Role: a.Role, Tenant: a.Tenant, User: a.KeyUser,
		Company: a.Password == "", CreatedAt: a.CreatedAt}
}
