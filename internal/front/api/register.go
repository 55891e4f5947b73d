package api

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/perennial-pki/perennial/internal/front/principal"
	"github.com/perennial-pki/perennial/tenancy"
)

// access names the callers of an endpoint. There is no default.
type access int

const (
	// operators: an operator's token or account.
	operators access = iota + 1
	// members: operators, and key users for their own tenant. Another tenant does not exist for a key user: the handler
	// finds the tenant with [server.tenant].
	members
	// public: no token is needed, because a secret in the path stands for one.
	public
)

// roles returns the roles that may call an endpoint; nil if no token is needed.
func (a access) roles() []tenancy.Role {
	switch a {
	case operators:
		return []tenancy.Role{tenancy.RoleOperator}
	case members:
		return []tenancy.Role{tenancy.RoleOperator, tenancy.RoleKeyUser}
	}
	return nil
}

// check refuses callers that may not call the endpoint.
func (a access) check(ctx context.Context) error {
	if a != public && !slices.Contains(a.roles(), principal.Of(ctx).Role) {
		return huma.Error403Forbidden("this needs an operator's token")
	}
	return nil
}

// An endpoint is one operation of the API.
type endpoint struct {
	method, path, summary string
	access                access
	status                int   // of success; 200 if left out
	maxBody               int64 // bytes; 1 MiB if left out
}

const defaultMaxBody = 1 << 20

// valid reports whether the path fits the access: a path for members belongs to a tenant, and only links need no token.
func (e endpoint) valid() bool {
	link := strings.HasPrefix(prefix+e.path, linksPath)
	switch e.access {
	case operators:
		return !link
	case members:
		return strings.HasPrefix(e.path, "/tenants/{tenant}")
	case public:
		return link
	}
	return false
}

// register adds an endpoint. Errors of the domain become problems.
func register[I, O any](r *router, e endpoint, handler func(*server, context.Context, *I) (*O, error)) {
	if !e.valid() {
		panic(fmt.Sprintf("%s %s: the access does not fit the path", e.method, e.path))
	}
	if e.maxBody == 0 {
		e.maxBody = defaultMaxBody
	}
	if e.status == 0 {
		e.status = http.StatusOK
	}
	r.endpoints = append(r.endpoints, e)
	huma.Register(r.api, huma.Operation{
		OperationID: operationID(e.method, e.path), Method: e.method, Path: prefix + e.path, Summary: e.summary,
		DefaultStatus: e.status, MaxBodyBytes: e.maxBody,
		Tags: []string{strings.Split(strings.TrimPrefix(strings.TrimPrefix(e.path, "/tenants/{tenant}"), "/"), "/")[0]},
	}, func(ctx context.Context, in *I) (*O, error) {
		if err := e.access.check(ctx); err != nil {
			r.server.logRefused(ctx, principal.Of(ctx), e.method+" "+e.path, "it is for operators")
			return nil, err
		}
		out, err := handler(r.server, ctx, in)
		if err != nil {
			return nil, r.server.problem(ctx, err)
		}
		return out, nil
	})
}

func operationID(method, path string) string {
	id := strings.ToLower(method)
	for _, part := range strings.FieldsFunc(path, func(r rune) bool { return r == '/' || r == '{' || r == '}' }) {
		id += "-" + part
	}
	return id
}
