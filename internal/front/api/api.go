// Package api serves the JSON API under /api/v1 and a few public pages: health, the certificates and revocation lists
// of the CA, and the one-click link in mails.
//
// It promises: the OpenAPI 3.1 description is generated from the code. Errors are RFC 9457 problems that name the next
// step. Changes are guarded by ETag and If-Match. Creations can be repeated under an Idempotency-Key. Every endpoint
// names its callers when it is registered. A tenant's token can neither see nor guess data of another tenant: a request
// for it is answered exactly like a request for something that does not exist.
package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/perennial-pki/perennial/client"
	"github.com/perennial-pki/perennial/internal/egress/control"
	"github.com/perennial-pki/perennial/internal/egress/outbound"
	"github.com/perennial-pki/perennial/internal/egress/workload"
	"github.com/perennial-pki/perennial/internal/engine/lifecycle"
	"github.com/perennial-pki/perennial/internal/engine/standing"
	"github.com/perennial-pki/perennial/internal/engine/store"
	"github.com/perennial-pki/perennial/internal/front/principal"
	"github.com/perennial-pki/perennial/internal/keys/issuer"
	"github.com/perennial-pki/perennial/tenancy"
)

// Config describes what the API needs. Store, Engine, Issuer, Seal, Now and Log are required.
type Config struct {
	Store  *store.Store
	Engine *lifecycle.Engine
	Issuer issuer.Issuer
	// Seal seals the answers that are kept for an Idempotency-Key.
	Seal Sealer
	// Importer checks the files of an import, and Imports queues imports; nil if the service does not import.
	Importer ImportChecker
	// Outbox queues mails that an operator sends again; nil if no mail server is configured.
	Outbox  lifecycle.Outbox
	Imports ImportQueue
	// Network connects to receivers; nil reaches public addresses only.
	Network *outbound.Network
	// BaseURL is the address of the service in links.
	BaseURL string
	// Gateways returns the handler below [control.Path] for the separate gateway with a name; nil if there are none.
	Gateways func(name string) http.Handler
	// Workloads verifies the identity tokens of gateways; nil if none is accepted.
	Workloads *workload.Verifier
	// Ceilings bound the settings that key users may choose.
	Ceilings tenancy.Ceilings
	// Quota limits the parked messages of each tenant.
	Quota tenancy.ParkedQuota
	// Collectors provide metrics of other parts of the process.
	Collectors []prometheus.Collector
	Version    string
	Now        func() time.Time
	Log        *slog.Logger
}

// A Sealer encrypts data for a context. It can only be decrypted with the same context.
type Sealer interface {
	Seal(plain []byte, context string) ([]byte, error)
	Open(sealed []byte, context string) ([]byte, error)
}

// A server handles the requests. It exists only with everything that its handlers use.
type server struct {
	store      *store.Store
	engine     *lifecycle.Engine
	issuer     issuer.Issuer
	seal       Sealer
	importer   ImportChecker    // nil if the service does not import
	imports    ImportQueue      // nil if the service does not import
	outbox     lifecycle.Outbox // nil if no mail server is configured
	network    *outbound.Network
	baseURL    string
	ceilings   tenancy.Ceilings
	quota      tenancy.ParkedQuota // with its defaults
	workloads  *workload.Verifier
	collectors []prometheus.Collector
	clock      func() time.Time
	log        *slog.Logger

	failingMu sync.Mutex
	failing   []string // IDs of the arrangements that failed when the metrics were read last

	crls          crlCache
	fleetAtRisk   *survey[[]standing.Standing]
	fleetForecast *survey[client.FleetForecast]
}

// prefix is the path prefix of this version of the API.
const prefix = "/api/v1"

// A Handler serves all paths of the API.
type Handler struct {
	http.Handler
	metrics http.Handler
}

// Metrics returns the handler for Prometheus. It asks for no token, and belongs at a listener of its own.
func (h *Handler) Metrics() http.Handler { return h.metrics }

// New returns the handler of all paths. The error names what the configuration lacks.
func New(c Config) (*Handler, error) {
	for name, missing := range map[string]bool{"store": c.Store == nil, "engine": c.Engine == nil,
		"issuer": c.Issuer == nil, "sealer": c.Seal == nil, "clock": c.Now == nil, "log": c.Log == nil} {
		if missing {
			return nil, fmt.Errorf("the API needs a %s", name)
		}
	}
	if c.Network == nil {
		c.Network = &outbound.Network{}
	}
	s := &server{
		store: c.Store, engine: c.Engine, issuer: c.Issuer, seal: c.Seal, importer: c.Importer, imports: c.Imports,
		outbox: c.Outbox, network: c.Network, baseURL: c.BaseURL, ceilings: c.Ceilings, quota: c.Quota.Limits(),
		workloads:  c.Workloads,
		collectors: c.Collectors, clock: c.Now, log: c.Log,
	}
	s.fleetAtRisk = &survey[[]standing.Standing]{walk: s.surveyRisk, now: c.Now, log: c.Log}
	s.fleetForecast = &survey[client.FleetForecast]{walk: s.surveyForecast, now: c.Now, log: c.Log}
	mux := http.NewServeMux()
	routes(c.Version, mux, s)
	s.handlePublic(mux)
	if c.Gateways != nil {
		mux.HandleFunc(control.Path,
			func(w http.ResponseWriter, r *http.Request) {
				c.Gateways(principal.Of(r.Context()).Name).ServeHTTP(w, r)
			})
	}
	mux.HandleFunc("/api/", func(w http.ResponseWriter, _ *http.Request) {
		writeProblem(w, http.StatusNotFound, "there is no such operation: see /openapi.json")
	})
	return &Handler{s.observe(s.authenticate(s.remember(mux))), s.metrics()}, nil
}

const description = `Client certificates of many tenants, renewed on schedule without one message failing.

* Every request needs a token: "Authorization: Bearer perennial_...". The token of a key user gives access to one
  tenant. For this token, other tenants do not exist.
* Errors are problem details (RFC 9457). The detail names the next step.
* A change needs If-Match with the ETag of the version that was read. Without it the answer is 428. If the object was
  changed in the meantime, the answer is 412.
* A creation (POST) may have an Idempotency-Key of up to 255 bytes. If it is repeated within 24 hours, the answer is the
  same as the first time, with "Idempotency-Replayed: true".
* Lists are paged. If there is a next page, next is its cursor.`

// A router describes the endpoints, and sends their requests to a server.
type router struct {
	api       huma.API
	endpoints []endpoint
	server    *server // nil if the endpoints are only described
}

// routes registers every endpoint at mux. Requests go to the server, which is nil if mux serves none.
func routes(version string, mux *http.ServeMux, s *server) *router {
	config := huma.DefaultConfig("Perennial", version)
	config.Info.Description = description
	config.DocsPath = ""     // the page would load scripts from another site
	config.CreateHooks = nil // no "$schema" in answers
	config.SchemasPath = ""  // they are in the OpenAPI document
	config.Components.SecuritySchemes = map[string]*huma.SecurityScheme{"token": {Type: "http", Scheme: "bearer"}}
	config.Security = []map[string][]string{{"token": {}}}
	r := &router{api: humago.New(mux, config), server: s}
	for _, register := range []func(*router){
		registerTenants, registerPeople, registerArrangements, registerCredentials, registerTrial, registerRollovers,
		registerLinks, registerReceiverLinks, registerCertificates, registerTasks, registerScope, registerOperations,
		registerDeliveries,
		registerTokens, registerAuthorities, registerOverview, registerImports, registerParked,
	} {
		register(r)
	}
	return r
}

// OpenAPI returns the description of the API (OpenAPI 3.1) as indented JSON.
func OpenAPI(version string) ([]byte, error) {
	out, err := json.MarshalIndent(routes(version, http.NewServeMux(), nil).api.OpenAPI(), "", "  ")
	return append(out, '\n'), err
}

// buffer keeps an answer.
type buffer struct {
	header http.Header
	status int
	body   []byte
}

func (b *buffer) Header() http.Header { return b.header }

func (b *buffer) WriteHeader(status int) {
	if b.status == 0 {
		b.status = status
	}
}

func (b *buffer) Write(p []byte) (int, error) {
	b.WriteHeader(http.StatusOK)
	b.body = append(b.body, p...)
	return len(p), nil
}

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

// check refuses callers that the endpoint is not for.
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

// valid reports whether the path fits the access: what members call belongs to a tenant, and only links need no token.
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

// problem returns the RFC 9457 answer to an error. An error that the caller did not cause is logged, and the answer has
// no details.
func (s *server) problem(ctx context.Context, err error) error {
	var rule *tenancy.RuleError
	var status huma.StatusError
	message := err.Error()
	switch {
	case errors.As(err, &status):
		return err
	case errors.Is(err, tenancy.ErrNotFound):
		return huma.Error404NotFound(message)
	case errors.Is(err, tenancy.ErrInvalid):
		if errors.As(err, &rule) && rule.Field != "" {
			return huma.Error422UnprocessableEntity(message,
				&huma.ErrorDetail{Location: "body." + rule.Field, Message: rule.Message})
		}
		return huma.Error422UnprocessableEntity(message)
	case errors.Is(err, tenancy.ErrConflict), errors.Is(err, tenancy.ErrRefused):
		return huma.Error409Conflict(message)
	case errors.Is(err, tenancy.ErrStale):
		return huma.Error412PreconditionFailed(message)
	case errors.Is(err, context.Canceled):
		return huma.Error503ServiceUnavailable("the request was ended before it was done")
	}
	s.log.ErrorContext(ctx, "request failed", "error", err)
	return huma.Error500InternalServerError("internal error: see the service's log")
}

// writeProblem writes an answer outside of huma in the same form.
func writeProblem(w http.ResponseWriter, status int, detail string) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(&huma.ErrorModel{Status: status, Title: http.StatusText(status), Detail: detail})
}

// actor returns the name of the caller for the audit log.
func actor(ctx context.Context) string {
	p := principal.Of(ctx)
	if p.Role == tenancy.RoleKeyUser {
		return "key user " + p.Tenant + "/" + p.KeyUser
	}
	if p.ID == "" { // signed in to the console
		return string(p.Role) + " " + p.Name
	}
	return string(p.Role) + " token " + p.Name
}

// touchAfter is the precision of the last use of a token. A finer one would make every read a write.
const touchAfter = 10 * time.Minute

// authenticate requires a valid token for requests to the API. Other requests pass without one.
func (s *server) authenticate(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasPrefix(r.URL.Path, "/api/") || strings.HasPrefix(r.URL.Path, linksPath) {
			next.ServeHTTP(w, r)
			return
		}
		if principal.Of(r.Context()).Role != "" { // the console has set the caller
			next.ServeHTTP(w, r)
			return
		}
		refuse := func(detail string) {
			w.Header().Set("WWW-Authenticate", `Bearer realm="perennial"`)
			writeProblem(w, http.StatusUnauthorized, detail)
		}
		secret, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		if !ok {
			refuse("send a token: Authorization: Bearer ...")
			return
		}
		now := s.clock()
		hash, err := s.hashOf(r.Context(), secret)
		var t tenancy.Token
		if err == nil {
			t, err = s.store.TokenByHash(r.Context(), hash)
		}
		switch {
		case errors.Is(err, workload.ErrInvalid):
			refuse(err.Error())
			return
		case errors.Is(err, workload.ErrUnavailable):
			s.log.WarnContext(r.Context(), "an identity token cannot be verified", "error", err)
			writeProblem(w, http.StatusServiceUnavailable, "the issuer of this identity token does not answer: try again")
			return
		case errors.Is(err, tenancy.ErrNotFound) && s.workloads.Claimed(secret):
			refuse("no token is bound to this workload: perennial token create NAME --role gateway --workload SUBJECT")
			return
		case errors.Is(err, tenancy.ErrNotFound):
			refuse("this token is unknown")
			return
		case err != nil:
			s.log.ErrorContext(r.Context(), "authentication failed", "error", err)
			writeProblem(w, http.StatusServiceUnavailable, "the database does not answer: try again")
			return
		case !t.RevokedAt.IsZero():
			expiredTokens.WithLabelValues(string(t.Role)).Inc()
			refuse("this token was revoked on " + t.RevokedAt.Format("2006-01-02 15:04 MST"))
			return
		case !now.Before(t.ExpiresAt):
			expiredTokens.WithLabelValues(string(t.Role)).Inc()
			refuse("this token expired on " + t.ExpiresAt.Format("2006-01-02 15:04 MST"))
			return
		case t.Role == tenancy.RoleSender:
			writeProblem(w, http.StatusForbidden, "a sender's token is for sending messages, not for the API")
			return
		case (t.Role == tenancy.RoleGateway) != strings.HasPrefix(r.URL.Path, control.Path):
			writeProblem(w, http.StatusForbidden, "paths below "+control.Path+" need the token of a gateway, and no other "+
				"path accepts it: create one with perennial token create NAME --role gateway")
			return
		}
		if now.Sub(t.LastUsedAt) > touchAfter {
			if err := s.store.InTx(r.Context(), func(tx *store.Tx) error {
				return tx.TouchToken(r.Context(), t.ID, now)
			}); err != nil {
				s.log.WarnContext(r.Context(), "the last use of a token was not stored", "token", t.ID, "error", err)
			}
		}
		next.ServeHTTP(w, r.WithContext(principal.With(r.Context(), t)))
	})
}

// hashOf returns the hash that a credential is stored under. A workload's identity token is verified.
func (s *server) hashOf(ctx context.Context, secret string) (string, error) {
	if !s.workloads.Claimed(secret) {
		return tenancy.HashSecret(secret), nil
	}
	id, err := s.workloads.Verify(ctx, secret)
	return tenancy.WorkloadHash(id.Issuer, id.Subject), err
}

// tenant returns the tenant of a request. For a key user, other tenants do not exist.
func (s *server) tenant(ctx context.Context, name string) (tenancy.Tenant, error) {
	if p := principal.Of(ctx); p.Role != tenancy.RoleOperator && p.Tenant != name {
		return tenancy.Tenant{}, tenancy.Errorf(tenancy.ErrNotFound, "there is no tenant %s", name)
	}
	return s.store.Tenant(ctx, name)
}

// change writes a change and its audit event in one transaction.
func (s *server) change(ctx context.Context, action, tenant, object string, detail any,
	fn func(tx *store.Tx) error) error {
	return s.store.InTx(ctx, func(tx *store.Tx) error {
		if err := fn(tx); err != nil {
			return err
		}
		return tx.Audit(ctx, tenancy.NewEvent(s.clock(), actor(ctx), action, tenant, object, detail))
	})
}

// discard deletes something of a tenant if the version that the caller read is current. It stores that version in
// *version first.
func (s *server) discard(ctx context.Context, g Guarded, version *int64, action, tenant, name string,
	fn func(tx *store.Tx) error) (_ *struct{}, err error) {
	if *version, err = g.version(); err != nil {
		return nil, err
	}
	return nil, s.change(ctx, action, tenant, tenant+"/"+name, nil, fn)
}

// now returns the time of a change, in the precision in which it is stored.
func (s *server) now() time.Time { return s.clock().UTC().Truncate(time.Microsecond) }

// InTenant holds the path parameter of everything that belongs to a tenant.
type InTenant struct {
	Tenant string `path:"tenant" maxLength:"63" doc:"Name of the tenant."`
}

// Guarded is the precondition of a change (RFC 9110, section 13.1.1).
type Guarded struct {
	IfMatch string `header:"If-Match" doc:"ETag of the version that was read."`
}

// version returns the version that the caller read. It returns an error if the precondition is missing or can never
// hold.
func (g Guarded) version() (v int64, err error) {
	switch {
	case g.IfMatch == "":
		return 0, huma.NewError(http.StatusPreconditionRequired, "send If-Match with the ETag of the version that "+
			"you read, so that no other change is lost")
	default:
		if _, err := fmt.Sscanf(g.IfMatch, `"%d"`, &v); err != nil {
			return 0, tenancy.Errorf(tenancy.ErrStale, "If-Match %s is not an ETag of this service: read the object again",
				g.IfMatch)
		}
	}
	return v, nil
}

func etag(version int64) string { return fmt.Sprintf(`"%d"`, version) }

// Entity is an answer with one object and its ETag.
type Entity[T any] struct {
	ETag string `header:"ETag"`
	Body T
}

// Created is the answer to a creation, with the address of the new object.
type Created[T any] struct {
	ETag     string `header:"ETag"`
	Location string `header:"Location"`
	Body     T
}

// Paged holds the parameters of a page.
type Paged struct {
	Cursor string `query:"cursor" doc:"Start of the page: next of the previous page."`
	Limit  int    `query:"limit" minimum:"1" maximum:"500" default:"100"`
}

// List is an answer with a page.
type List[T any] struct {
	Body client.Page[T]
}

// pageOf returns a page of at most limit rows. The caller has read one row more, if there is one.
func pageOf[T, V any](rows []T, limit int, cursor func(T) string, view func(T) V) *List[V] {
	out := &List[V]{client.Page[V]{Items: []V{}}}
	for i, row := range rows {
		if i == limit {
			out.Body.Next = cursor(rows[i-1])
			break
		}
		out.Body.Items = append(out.Body.Items, view(row))
	}
	return out
}
