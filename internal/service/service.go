// Package service opens, wires, runs and closes the whole service: everything that "perennial serve" does, without a
// command line and without a process.
//
// It promises that [Open] checks every setting before anything starts, so that a service that opened can run; that a
// failure while starting stops what was started; and that [Service.Run] returns only after requests, messages and jobs
// in flight have ended or their time is up. A second process on the same SQLite file is refused.
package service

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/perennial-pki/perennial/internal/egress/calm"
	"github.com/perennial-pki/perennial/internal/egress/control"
	"github.com/perennial-pki/perennial/internal/egress/control/inprocess"
	"github.com/perennial-pki/perennial/internal/egress/gateway"
	"github.com/perennial-pki/perennial/internal/egress/lookout"
	"github.com/perennial-pki/perennial/internal/egress/outbound"
	"github.com/perennial-pki/perennial/internal/egress/poster"
	"github.com/perennial-pki/perennial/internal/egress/prober"
	"github.com/perennial-pki/perennial/internal/egress/serve"
	"github.com/perennial-pki/perennial/internal/egress/workload"
	"github.com/perennial-pki/perennial/internal/engine/importing"
	"github.com/perennial-pki/perennial/internal/engine/jobs"
	"github.com/perennial-pki/perennial/internal/engine/lifecycle"
	"github.com/perennial-pki/perennial/internal/engine/store"
	"github.com/perennial-pki/perennial/internal/engine/webhooks"
	"github.com/perennial-pki/perennial/internal/front/api"
	"github.com/perennial-pki/perennial/internal/front/identity"
	"github.com/perennial-pki/perennial/internal/front/web"
	"github.com/perennial-pki/perennial/internal/ingress/guard"
	"github.com/perennial-pki/perennial/internal/keys/issuer"
	"github.com/perennial-pki/perennial/internal/keys/keyring"
	"github.com/perennial-pki/perennial/internal/keys/kms"
	"github.com/perennial-pki/perennial/policy"
	"github.com/perennial-pki/perennial/tenancy"
)

// Config holds the settings of a service, its clock, its log, and the seams for tests.
type Config struct {
	Settings Settings
	// Version is shown by the API.
	Version string
	Now     func() time.Time
	Log     *slog.Logger
	// WrapIssuer returns the issuer to use in front of the CA, for tests of an issuer that fails. It may be nil.
	WrapIssuer func(issuer.Issuer) issuer.Issuer
	// PartSize is the number of certificates in a part of a run; 0 for the engine's own size.
	PartSize int
	// Tokens hold private keys; nil for the PKCS#11 tokens of this machine.
	Tokens keyring.Tokens
}

// A Service is opened by [Open], runs in [Service.Run], and is released by [Service.Close].
type Service struct {
	settings   Settings
	now        func() time.Time
	log        *slog.Logger
	core       *core
	network    *outbound.Network
	listener   net.Listener
	http       *http.Server
	gateway    *serve.Server  // nil if it is off
	monitor    *serve.Side    // nil if there is none
	guard      *guard.Service // nil if there is none
	running    sync.WaitGroup // what [Service.Close] must not overtake
	pki        *serve.Side    // nil if there is none
	webhooks   *webhooks.Webhooks
	queue      *jobs.Jobs
	firstToken string
	// started reports that Run was called. Run stops the jobs and the gateway itself. Only Run and Close use it.
	started bool
	// ending is done when the service begins to stop, so that streams end.
	ending context.Context
	end    context.CancelFunc
}

// Open checks the settings, listens, opens the database, and wires everything. Nothing runs yet. The caller closes the
// service.
func Open(ctx context.Context, c Config) (_ *Service, err error) {
	s := &Service{settings: c.Settings, now: c.Now, log: c.Log}
	s.ending, s.end = context.WithCancel(context.Background())
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Close())
		}
	}()
	if err := s.settings.check(); err != nil {
		return nil, err
	}
	if s.network, err = s.settings.Gateway.Network(); err != nil {
		return nil, err
	}
	in, err := s.settings.inputs()
	if err != nil {
		return nil, err
	}
	transport := &s.settings.Transport
	if s.listener, err = net.Listen("tcp", transport.Listen); err != nil {
		return nil, serve.ListenError("--listen", transport.Listen, err)
	}
	crlURL := transport.crlAddress()
	log := calm.New(c.Log.Handler())
	s.log = slog.New(log)
	c.Log = s.log
	if transport.BaseURL == "" {
		transport.BaseURL = transport.scheme() + "://" + serve.Address(s.listener)
		if s.listener.Addr().(*net.TCPAddr).IP.IsUnspecified() {
			s.log.WarnContext(ctx, "the links in mails and on pages for administrators have an address that other machines "+
				"cannot open: set --base-url", "address", transport.BaseURL)
		}
	}
	if transport.servesNoLists() {
		s.log.WarnContext(ctx, "certificates name a revocation list that this service does not serve, because it serves "+
			"only TLS: set --pki-listen :80, or --crl-url", "list", crlURL)
	}
	if s.core, err = openCore(ctx, c, s.settings, in, crlURL); err != nil {
		return nil, err
	}
	if s.core.store.Engine() == store.Postgres {
		log.Watch(s.ending, outage(s.core.store))
	}
	if err := s.openWebhooks(); err != nil {
		return nil, err
	}
	s.settings.Certificates.TrustDomain = s.core.rules.TrustDomain // for senders' certificates
	config := in.tls
	if transport.TLS == "self" {
		if config, err = transport.self(s.core.issuer, s.now); err != nil {
			return nil, err
		}
	}
	importer, err := importing.New(s.core.engine, s.core.store, s.core.keys, s.now)
	if err != nil {
		return nil, err
	}
	if s.queue, err = s.newQueue(ctx, importer); err != nil {
		return nil, err
	}
	workloads, err := workload.New(s.settings.Gateway.Workloads, s.now)
	if err != nil {
		return nil, err
	}
	if err := s.openGuard(ctx); err != nil {
		return nil, err
	}
	handler, metrics, err := s.newHandler(c.Version, importer, workloads)
	if err != nil {
		return nil, err
	}
	if s.monitor, err = s.settings.Monitoring.Open(metrics, handler.ServeHTTP, s.log); err != nil {
		return nil, err
	}
	public := http.NewServeMux()
	public.Handle("GET /pki/", handler)
	if s.pki, err = serve.OpenSide("--pki-listen", transport.PKIListen, public, s.log); err != nil {
		return nil, err
	}
	s.http = &http.Server{
		Handler: handler, TLSConfig: config, ReadHeaderTimeout: 10 * time.Second, ReadTimeout: time.Minute,
		IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 64 << 10,
		ErrorLog: slog.NewLogLogger(s.log.Handler(), slog.LevelWarn),
	}
	s.http.RegisterOnShutdown(s.end)
	s.gateway, err = s.settings.gateway().Open(gateway.Config{
		Control: s.control(""), Network: s.network, Now: s.now,
		ArrangementSeries: s.settings.Monitoring.ArrangementMetrics, Workloads: workloads, Log: s.log,
	})
	if err != nil {
		return nil, err
	}
	s.firstToken, err = firstToken(ctx, s.core.store, s.now())
	return s, err
}

func (s *Service) newQueue(ctx context.Context, importer *importing.Importer) (*jobs.Jobs, error) {
	asking := prober.New(s.core.engine, s.core.store, s.network, s.now)
	return jobs.New(ctx, jobs.Config{
		Store: s.core.store, URL: s.settings.Database.URL, Engine: s.core.engine, Deliverer: s.core.deliverer,
		Prober: asking, Asker: asking, Tester: asking,
		Watcher:  lookout.New(s.core.store, s.watching(), s.network, s.now, s.log),
		Webhooks: s.webhooks,
		Importer: importer, Lease: s.settings.JobLease, MailRate: s.settings.Mail.MailRate, Now: s.now, Log: s.log,
	})
}

// control returns the control of a gateway. The service's own one has no name.
func (s *Service) control(gateway string) inprocess.Control {
	return inprocess.Control{Rollovers: s.core.engine.Rollovers(), Now: s.now, Name: gateway,
		Quota: tenancy.ParkedQuota(s.settings.Quota)}
}

// newHandler returns the API with the console in front of it, and the handler for Prometheus.
func (s *Service) newHandler(version string, importer *importing.Importer,
	workloads *workload.Verifier) (handler, metrics http.Handler, err error) {
	gateways := func(name string) http.Handler {
		return control.Handler{Control: s.control(name), KeysStay: s.settings.GatewayKeys == KeysStay,
			CopyFor: s.settings.GatewayKeyCopies, Ending: s.ending, Log: s.log}
	}
	base := s.settings.Transport.BaseURL
	config := api.Config{
		Store: s.core.store, Engine: s.core.engine, Issuer: s.core.authority, Seal: s.core.keys, Importer: importer,
		Imports: s.queue, Questions: s.queue, Network: s.network, BaseURL: base, Gateways: gateways, Workloads: workloads,
		Webhooks: s.webhooks, Ceilings: tenancy.Ceilings(s.settings.Ceilings),
		Quota: tenancy.ParkedQuota(s.settings.Quota),
		Collectors: append(slices.Concat(gateway.Collectors(), control.Collectors(), kms.Collectors(), poster.Collectors()),
			info(version, s.core.rules, s.settings.fingerprint())),
		RootServes: s.settings.Transport.TLS == "self",
		Now:        s.now, Log: s.log, Version: version,
	}
	if s.core.outbox != nil {
		config.Outbox = s.core.outbox
	}
	if s.guard != nil {
		config.Guard = s.guard
	}
	service, err := api.New(config)
	if err != nil {
		return nil, nil, err
	}
	accounts, err := identity.New(identity.Config{Store: s.core.store, BaseURL: base, OIDC: s.settings.OIDC.provider(),
		SecondFactor: identity.SecondFactor(s.settings.SignIn.SecondFactor),
		Passwords:    s.settings.SignIn.passwords(s.core.rules), Now: s.now, Log: s.log})
	if err != nil {
		return nil, nil, err
	}
	platform, err := s.settings.Platform.web()
	if err != nil {
		return nil, nil, err
	}
	handler, err = web.New(web.Config{
		API: service, Identity: accounts, News: s.core.store, BaseURL: base, BehindProxy: s.settings.Transport.BehindProxy,
		Platform: platform, Guard: s.guard != nil, Now: s.now, Ending: s.ending, Log: s.log,
	}, service)
	return handler, service.Metrics(), err
}

// indexTenants makes the tenants findable that an earlier release has created.
func (s *Service) indexTenants(ctx context.Context) {
	if err := s.core.store.IndexTenants(ctx); err != nil && ctx.Err() == nil {
		s.log.WarnContext(ctx, "not every tenant is found by its display name: the next start continues", "error", err)
	}
}

// outage describes an outage of the database.
func outage(s *store.Store) calm.Outage {
	return calm.Outage{What: "the database", Means: store.IsAway, Probe: s.Writable}
}

// info is a metric that is always 1. Its labels show whether replicas differ.
func info(version string, r Rules, settings string) prometheus.Collector {
	g := prometheus.NewGauge(prometheus.GaugeOpts{Name: "perennial_info",
		Help: "Version of the replica, fingerprint of its rules (policy, organization and trust domain), and fingerprint " +
			"of the other settings that all replicas share.",
		ConstLabels: prometheus.Labels{"version": version, "rules": r.Fingerprint(), "settings": settings}})
	g.Set(1)
	return g
}

// self returns the TLS configuration of the listener with a certificate of the service's own CA.
func (t *Transport) self(i issuer.Issuer, now func() time.Time) (*tls.Config, error) {
	authority := strings.TrimPrefix(t.BaseURL, "https://")
	host, _, err := net.SplitHostPort(authority)
	if err != nil {
		host = authority
	}
	ca, ok := issuer.As[issuer.ServerCertifier](i)
	if !ok {
		return nil, errors.New("--tls self: the issuer has no server certificates: use --tls-cert and --tls-key")
	}
	server, err := ca.NewServerCertificate(host, now)
	if err != nil {
		return nil, err
	}
	return &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: server.Get}, nil
}

// files returns the TLS configuration of the listener with the certificate of --tls-cert; nil without one.
func (t *Transport) files() (*tls.Config, error) {
	if t.TLSCert == "" {
		return nil, nil
	}
	pair, err := tls.LoadX509KeyPair(t.TLSCert, t.TLSKey)
	if err != nil {
		return nil, fmt.Errorf("--tls-cert, --tls-key: %w", err)
	}
	return &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{pair}}, nil
}

// Run serves until ctx is done or a listener fails, then stops within [serve.ShutdownTime]. It calls ready, if it is
// not nil, when everything has started. It is called once.
func (s *Service) Run(ctx context.Context, ready func()) error {
	s.started = true
	background, stop := context.WithCancel(ctx)
	defer stop()
	if err := s.queue.Start(background); err != nil {
		return errors.Join(err, s.shutdown())
	}
	if s.gateway != nil {
		if err := s.gateway.Start(); err != nil {
			return errors.Join(err, s.shutdown())
		}
	}
	s.checkpoint(background)
	failed := make(chan error, 6)
	s.running.Go(func() {
		if err := s.tendDatabase(background); err != nil {
			failed <- err
		}
	})
	go s.core.fillPool(background, s.log)
	go keepKeys(background, s.core.keys, s.log)
	go s.indexTenants(background)
	go s.core.store.Listen(background, s.settings.Database.URL, s.log)
	go func() { failed <- serve.HTTP(s.http, s.listener) }()
	if s.gateway != nil {
		go func() { failed <- s.gateway.Serve() }()
	}
	for _, side := range []*serve.Side{s.monitor, s.pki} {
		if side != nil {
			go func() { failed <- side.Serve() }()
		}
	}
	if s.guard != nil {
		s.running.Go(func() { failed <- s.guard.Run(background, func() {}) })
	}
	if ready != nil {
		ready()
	}
	var err error
	select {
	case err = <-failed:
	case <-ctx.Done():
		s.log.Info("stopping")
	}
	stop()
	s.running.Wait()
	return errors.Join(err, s.shutdown())
}

// keepFileEvery is the time for which a deleted file of a SQLite database can stay unnoticed.
const keepFileEvery = 10 * time.Second

// tendDatabase brings the file of a SQLite database up to date periodically, and frees the memory of its connections,
// until ctx is done. If the file was deleted or replaced, or another service uses it, it returns an error: what this
// service stores would end with it.
func (s *Service) tendDatabase(ctx context.Context) error {
	due, keep := time.NewTicker(store.CheckpointEvery), time.NewTicker(keepFileEvery)
	defer due.Stop()
	defer keep.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-keep.C:
			if err := s.keepFile(); err != nil {
				return err
			}
		case <-due.C:
			if err := s.keepFile(); err != nil {
				return err
			}
			s.checkpoint(ctx)
			if err := s.core.store.ReleaseMemory(ctx); err != nil && ctx.Err() == nil {
				s.log.Warn("cannot free memory of the database", "error", err)
			}
		}
	}
}

// keepFile returns an error if the service must stop using the file of its database. If that would lose what it has
// stored, because no copy can be written, it logs this instead, and the service continues. It also continues if the
// file was overwritten, because the next start is refused until a person restores a backup.
func (s *Service) keepFile() error {
	err := s.core.store.KeepFile()
	gone := (*store.GoneError)(nil)
	switch {
	case err == nil:
		return nil
	case !errors.As(err, &gone):
		s.log.Warn("cannot check the file of the database", "error", err)
		return nil
	case gone.Damaged:
		s.log.Error("the gateway continues with the state that it has in memory", "error", err)
		return nil
	case gone.Lost:
		copied, failed := s.core.store.SaveCopy()
		if failed != nil {
			s.log.Error("the database ends with this process, because no copy can be written: do not stop the service. It "+
				"tries again in "+keepFileEvery.String(), "reason", err, "error", failed)
			return nil
		}
		s.log.Error("the database was saved before the service stops", "reason", err, "copy", copied)
	}
	return fmt.Errorf("%w: the service stops. Start it again", err)
}

func (s *Service) checkpoint(ctx context.Context) {
	if err := s.core.store.Checkpoint(ctx); err != nil && ctx.Err() == nil {
		s.log.Warn("cannot checkpoint the database: a copy of its file alone is not up to date",
			"error", err)
	}
}

// shutdown stops what [Service.Run] started: first the listeners, so that no job is added, then the jobs.
func (s *Service) shutdown() error {
	ctx, cancel := context.WithTimeout(context.Background(), serve.ShutdownTime)
	defer cancel()
	var err error
	if s.gateway != nil {
		err = s.gateway.Shutdown(ctx)
	}
	return errors.Join(err, s.http.Shutdown(ctx), s.monitor.Shutdown(ctx), s.pki.Shutdown(ctx), s.queue.Stop(ctx))
}

// Close releases the listeners and the database. [Service.Run] must have returned.
func (s *Service) Close() error {
	s.end()
	var err error
	if s.queue != nil && !s.started {
		err = s.queue.Stop(context.Background())
	}
	if s.gateway != nil && !s.started {
		err = errors.Join(err, s.gateway.Shutdown(context.Background()))
	}
	if s.listener != nil {
		s.listener.Close()
	}
	if s.guard != nil {
		err = errors.Join(err, s.guard.Close())
	}
	err = errors.Join(err, s.monitor.Shutdown(context.Background()), s.pki.Shutdown(context.Background()))
	if s.core != nil {
		err = errors.Join(err, s.core.store.Close())
	}
	return err
}

// BaseURL returns the public address of the service.
func (s *Service) BaseURL() string { return s.settings.Transport.BaseURL }

// GatewayURL returns the address for messages; empty if the gateway is off.
func (s *Service) GatewayURL() string {
	if s.gateway == nil {
		return ""
	}
	return s.gateway.URL
}

// MetricsURL returns the base address of the monitoring; empty if it has no listener.
func (s *Service) MetricsURL() string { return s.monitor.URL() }

// PKIURL returns the base address of the listener for CA certificates and revocation lists; empty if there is none.
func (s *Service) PKIURL() string { return s.pki.URL() }

// GuardURL returns where the guard takes calls; empty without one.
func (s *Service) GuardURL() string {
	if s.guard == nil {
		return ""
	}
	front, _, _ := s.guard.Addresses()
	return front
}

// FirstToken returns the secret of the first operator's token, which is created once for each database; empty at every
// later start.
func (s *Service) FirstToken() string { return s.firstToken }

// Policy returns the policy in force.
func (s *Service) Policy() policy.Policy { return s.core.policy }

// Store returns the database, for filling a new one before the service runs.
func (s *Service) Store() *store.Store { return s.core.store }

// Engine returns the engine, for filling a new database before the service runs.
func (s *Service) Engine() *lifecycle.Engine { return s.core.engine }

// Issuer returns the issuer, for filling a new database and for its capabilities.
func (s *Service) Issuer() issuer.Issuer { return s.core.issuer }
