// Package api serves the JSON API under /api/v1 and a few public pages: health, the certificates and revocation lists
// of the CA, and the one-click link in mails.
//
// It promises: the OpenAPI 3.1 description is generated from the code. Errors are RFC 9457 problems that name the next
// step. Changes are guarded by ETag and If-Match. Creations can be repeated under an Idempotency-Key. Every endpoint
// names its callers when it is registered. A tenant's token can neither see nor guess data of another tenant: a request
// for it gets exactly the same answer as a request for something that does not exist.
package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/perennial-pki/perennial/client"
	"github.com/perennial-pki/perennial/internal/egress/control"
	"github.com/perennial-pki/perennial/internal/egress/outbound"
	"github.com/perennial-pki/perennial/internal/egress/workload"
	"github.com/perennial-pki/perennial/internal/engine/feeds"
	"github.com/perennial-pki/perennial/internal/engine/lifecycle"
	"github.com/perennial-pki/perennial/internal/engine/parties"
	"github.com/perennial-pki/perennial/internal/engine/store"
	"github.com/perennial-pki/perennial/internal/engine/webhooks"
	"github.com/perennial-pki/perennial/internal/front/faults"
	"github.com/perennial-pki/perennial/internal/front/principal"
	"github.com/perennial-pki/perennial/internal/front/refusals"
	"github.com/perennial-pki/perennial/internal/front/words"
	"github.com/perennial-pki/perennial/internal/keys/issuer"
	"github.com/perennial-pki/perennial/tenancy"
)

// Config holds the dependencies of the API. Store, Engine, Issuer, Seal, Now and Log are required.
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
	// Questions queues the tests that the pages of counterparties ask for; nil if the service tests nothing for them.
	Questions QuestionQueue
	// Network connects to receivers; nil reaches public addresses only.
	Network *outbound.Network
	// BaseURL is the address of the service in links.
	BaseURL string
	// Gateways returns the handler below [control.Path] for the separate gateway with a name; nil if there are none.
	Gateways func(name string) http.Handler
	// Guard runs in the service; nil if none does.
	Guard Guard
	// Webhooks send events; nil if the service has none.
	Webhooks *webhooks.Webhooks
	// Workloads verifies the identity tokens of gateways; nil if none is accepted.
	Workloads *workload.Verifier
	// Ceilings bound the settings that key users may choose.
	Ceilings tenancy.Ceilings
	// Quota limits the parked messages of each tenant.
	Quota tenancy.ParkedQuota
	// Collectors provide metrics of other parts of the process.
	Collectors []prometheus.Collector
	// RootServes is true if the TLS certificate of the service is below its own root, whose key must then stay.
	RootServes bool
	Version    string
	Now        func() time.Time
	Log        *slog.Logger
}

// A Sealer encrypts data for a context. It can only be decrypted with the same context.
type Sealer interface {
	Seal(plain []byte, context string) ([]byte, error)
	Open(sealed []byte, context string) ([]byte, error)
}

// A server handles the requests. It has everything that its handlers use.
type server struct {
	store      *store.Store
	engine     *lifecycle.Engine
	feeds      *feeds.Feeds
	issuer     issuer.Issuer
	seal       Sealer
	importer   ImportChecker // nil if the service does not import
	imports    ImportQueue   // nil if the service does not import
	questions  QuestionQueue // nil if the service tests nothing for counterparties
	parties    *parties.Parties
	outbox     lifecycle.Outbox // nil if no mail server is configured
	network    *outbound.Network
	baseURL    string
	ceilings   tenancy.Ceilings
	quota      tenancy.ParkedQuota // with its defaults
	guard      Guard               // nil if none runs in the service
	webhooks   *webhooks.Webhooks  // nil if the service has none
	workloads  *workload.Verifier
	collectors []prometheus.Collector
	rootServes bool
	clock      func() time.Time
	log        *slog.Logger
	refused    *refusals.Log
	watcher    watcher

	failingMu sync.Mutex
	failing   []string // IDs of the arrangements that failed when the metrics were read last

	crls           crlCache
	fleetRollovers *rollSurvey
	fleetForecast  *survey[client.FleetForecast]
	fleetCounts    *survey[workSurvey]
	workOrders     workOrders
	riskHosts      riskHosts
}

// prefix is the path prefix of this version of the API.
const prefix = "/api/v1"

// A Handler serves all paths of the API.
type Handler struct {
	http.Handler
	metrics http.Handler
}

// Metrics returns the handler for Prometheus. It requires no token, and belongs on a separate listener.
func (h *Handler) Metrics() http.Handler { return h.metrics }

// New returns the handler of all paths. The error names the missing part of the configuration.
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
	published, err := feeds.New(c.Store, c.Engine.Rollovers(), c.Seal, c.Log)
	if err != nil {
		return nil, err
	}
	counterparties, err := parties.New(c.Store)
	if err != nil {
		return nil, err
	}
	s := &server{
		questions: c.Questions, parties: counterparties,
		store: c.Store, engine: c.Engine, feeds: published, issuer: c.Issuer, seal: c.Seal, importer: c.Importer,
		imports: c.Imports, outbox: c.Outbox, network: c.Network, baseURL: c.BaseURL, rootServes: c.RootServes,
		ceilings: c.Ceilings, quota: c.Quota.Limits(), guard: c.Guard, workloads: c.Workloads, collectors: c.Collectors,
		webhooks: c.Webhooks, clock: c.Now, log: c.Log, refused: refusals.New(c.Log, c.Now), watcher: newWatcher(c),
	}
	s.fleetRollovers = &rollSurvey{survey[openRollovers]{walk: s.surveyRollovers, now: c.Now, log: c.Log}}
	s.fleetCounts = &survey[workSurvey]{walk: s.surveyCounts, now: c.Now, log: c.Log}
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
		writeProblem(w, http.StatusNotFound, "unknown operation: see /openapi.json")
	})
	return &Handler{s.observe(speak(s.authenticate(s.remember(mux)))), s.metrics()}, nil
}

// speak gives each request the language of its reader, unless the caller in the same process has set it.
func speak(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if words.Of(r.Context()) == "" {
			r = r.WithContext(words.With(r.Context(), words.Accepted(r.Header.Get("Accept-Language"))))
		}
		next.ServeHTTP(w, r)
	})
}

const description = `Client certificates of many tenants, renewed on schedule without one message failing.

* Every request needs a token: "Authorization: Bearer perennial_...". The token of a key user gives access to one
  tenant. For this token, other tenants do not exist.
* Errors are problem details (RFC 9457). The detail names the next step.
* A change needs If-Match with the ETag of the version that was read. Without it the answer is 428. If the object was
  changed in the meantime, the answer is 412.
* A creation (POST) may have an Idempotency-Key of up to 255 bytes. If it is repeated within 24 hours, the answer is the
  same as the first time, with "Idempotency-Replayed: true".
* Lists are paged. If there is a next page, next is its cursor.
* Texts for people are in the language of Accept-Language: English, or German. Programs decide by codes.`

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
	config.Formats = strictFormats()
	config.DocsPath = ""     // the page would load scripts from another site
	config.CreateHooks = nil // no "$schema" in answers
	config.SchemasPath = ""  // they are in the OpenAPI document
	config.Components.SecuritySchemes = map[string]*huma.SecurityScheme{"token": {Type: "http", Scheme: "bearer"}}
	config.Security = []map[string][]string{{"token": {}}}
	r := &router{api: humago.New(mux, config), server: s}
	for _, register := range []func(*router){
		registerTenants, registerPeople, registerArrangements, registerCredentials, registerTrial, registerRollovers,
		registerBoard, registerLinks, registerReceiverLinks,
		registerFeeds, registerCertificates, registerTasks, registerScope,
		registerOperations, registerDeliveries,
		registerTokens, registerAccounts, registerAuthorities, registerOverview, registerImports, registerParked,
		registerWatched, registerWatchLinks, registerGuard, registerFind, registerWorkList, registerTestRounds,
		registerAttention,
		registerTraffic, registerInvitations,
		registerWebhooks, registerWebhookActions, registerWebhookDeliveries,
		registerCounterparties, registerCounterpartyProposals, registerCounterpartyPage, registerAdministrators,
	} {
		register(r)
	}
	describeEvents(r.api)
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

// problem returns the RFC 9457 answer to an error. An error that the caller did not cause is logged, and the answer has
// no details.
func (s *server) problem(ctx context.Context, err error) error {
	var rule *tenancy.RuleError
	var status huma.StatusError
	message := words.Error(words.Of(ctx), err)
	fault, _ := issuer.FaultOf(err)
	switch {
	case errors.As(err, &status):
		return err
	case fault == issuer.KeyAway && principal.Of(ctx).Role == tenancy.RoleOperator:
		return huma.Error503ServiceUnavailable(message)
	case fault == issuer.KeyAway: // the message names the service or the token that holds the key
		s.log.ErrorContext(ctx, "request failed", "error", err)
		return huma.Error503ServiceUnavailable(words.Say(ctx, tenancy.Say("the key that signs this is not available now: "+
			"try again later")))
	case errors.Is(err, tenancy.ErrNotFound):
		return huma.Error404NotFound(message)
	case errors.Is(err, tenancy.ErrInvalid):
		if errors.As(err, &rule) && rule.Field != "" {
			return huma.Error422UnprocessableEntity(message,
				&huma.ErrorDetail{Location: "body." + rule.Field, Message: words.Say(ctx, rule.Text)})
		}
		return huma.Error422UnprocessableEntity(message)
	case errors.Is(err, tenancy.ErrConflict), errors.Is(err, tenancy.ErrRefused):
		return huma.Error409Conflict(message)
	case errors.Is(err, tenancy.ErrStale):
		return huma.Error412PreconditionFailed(message)
	case errors.Is(err, context.Canceled):
		return huma.Error503ServiceUnavailable("the request was cancelled before it was completed")
	}
	faults.Log(ctx, s.log, "request failed", err)
	return huma.Error500InternalServerError("internal error: see the service's log")
}

// writeProblem writes an answer outside of huma in the same form.
func writeProblem(w http.ResponseWriter, status int, detail string) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(&huma.ErrorModel{Status: status, Title: http.StatusText(status), Detail: detail})
}

// tenant returns the tenant of a request. For a key user, other tenants do not exist.
func (s *server) tenant(ctx context.Context, name string) (tenancy.Tenant, error) {
	if p := principal.Of(ctx); p.Role != tenancy.RoleOperator && p.Tenant != name {
		s.logRefused(ctx, p, "tenant "+name, "it is another tenant's")
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
