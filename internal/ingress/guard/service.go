package guard

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/perennial-pki/perennial/acceptance"
	core "github.com/perennial-pki/perennial/guard"
	"github.com/perennial-pki/perennial/internal/egress/serve"
	"github.com/perennial-pki/perennial/internal/filelock"
	"github.com/perennial-pki/perennial/internal/recent"
	"github.com/perennial-pki/perennial/policy"
)

// How often a guard looks at what can change outside: its files, its state, mails that are due, and what has expired.
const (
	filesEvery   = 10 * time.Second
	stateEvery   = time.Second
	mailEvery    = 10 * time.Second
	measureEvery = 10 * time.Minute
	pruneEvery   = 24 * time.Hour
)

// Options are the edges of a guard.
type Options struct {
	Now      func() time.Time
	Log      *slog.Logger
	Policies func(nameOrFile string) (policy.Policy, error)
	// Seen is called for each sighting that was stored, and for each decision of a person about one. It may be nil.
	Seen func(context.Context, Sighting) error
	// Certify returns the certificate of a host from the CA of the service; nil if the guard runs without a service.
	Certify func(host string) (Certificate, error)
}

// A Certificate is a server's certificate that is renewed while it is used. Its Get has the signature of
// [tls.Config.GetCertificate].
type Certificate interface {
	Get(*tls.ClientHelloInfo) (*tls.Certificate, error)
}

// A Service is a guard with its listeners and its state.
type Service struct {
	now      func() time.Time
	log      *slog.Logger
	policies func(nameOrFile string) (policy.Policy, error)
	seen     func(context.Context, Sighting) error

	guard   *core.Guard
	state   *State
	lock    *filelock.Lock // of the state
	metrics *metrics
	logs    *callLogs
	front   *front
	beside  *serve.Side // nil without a decision endpoint
	monitor *serve.Side // nil if there is none

	storing   sync.Mutex // held while what waits is stored
	reloading sync.Mutex // held while the configuration is replaced
	version   version    // of the state that the partners contain; guarded by reloading
	decision  int64      // the latest one that was followed; guarded by reloading
	behind    bool       // whether later ones were not followed because of an error; guarded by reloading

	mu      sync.Mutex // guards the following
	config  Config
	listed  map[string]listed // what feeds of counterparties list, by their names
	waiting []Sighting        // that are not stored yet
	held    int               // held ones among them
	wake    chan struct{}

	sources map[string]*feedSource // feeds of counterparties by their names; used by the goroutine of readSources
	read    chan struct{}          // makes all of them due

	shown  *recent.Cache[[sha256.Size]byte, string] // the reasons with which certificates were reported
	parsed *recent.Cache[passedOn, []*x509.Certificate]
}

// Open reads a configuration, opens the state and listens. The caller ends the guard with [Service.Close].
func Open(ctx context.Context, path string, o Options) (_ *Service, err error) {
	config, err := Load(path, o.Policies)
	if err != nil {
		return nil, err
	}
	if config.Listen == "" && config.Decide.Listen == "" {
		return nil, fmt.Errorf("%s: there is nothing to listen at: set listen and upstream, or decide", path)
	}
	s := &Service{now: o.Now, log: o.Log, policies: o.Policies, seen: o.Seen, config: config, metrics: newMetrics(),
		wake: make(chan struct{}, 1), read: make(chan struct{}, 1), sources: map[string]*feedSource{},
		listed: map[string]listed{}, shown: recent.New[[sha256.Size]byte, string](mostReported),
		parsed: recent.New[passedOn, []*x509.Certificate](mostParsed)}
	s.logs = newCallLogs(s.log, s.metrics)
	if s.lock, err = lockState(config.State); err != nil {
		return nil, err
	}
	if s.state, err = OpenState(ctx, config.State); err != nil {
		return nil, errors.Join(err, s.lock.Close())
	}
	defer func() {
		if err != nil {
			s.Close()
		}
	}()
	if err := s.state.prune(ctx, s.now()); err != nil {
		return nil, err
	}
	if s.version, err = s.state.version(ctx); err != nil {
		return nil, err
	}
	if s.decision, err = s.state.lastDecision(ctx); err != nil {
		return nil, err
	}
	if err := s.openPartners(ctx, config); err != nil {
		return nil, err
	}
	if config.Listen != "" {
		if s.front, err = openFront(config, s.guard, s.logs, o); err != nil {
			return nil, err
		}
	}
	if err := s.openSides(); err != nil {
		return nil, err
	}
	s.measure(ctx)
	debug.FreeOSMemory() // what reading the files has used
	return s, nil
}

// openPartners creates the guard of the partners that the configuration and the feeds list, with what was learned.
func (s *Service) openPartners(ctx context.Context, c Config) (err error) {
	if err := s.openSources(); err != nil {
		return err
	}
	s.guard, err = core.New(nil, core.Options{Now: s.now, Learned: s.learned, Decided: s.decided})
	if err != nil {
		return err
	}
	if err := s.apply(ctx, c); err != nil {
		return fmt.Errorf("%s: %w", c.Path, err)
	}
	return nil
}

func (s *Service) openSides() (err error) {
	if address := s.config.Decide.Listen; address != "" {
		endpoint, err := s.endpoint(s.config.Decide)
		if err != nil {
			return fmt.Errorf("%s: decide: %w", s.config.Path, err)
		}
		if s.beside, err = serve.OpenSide("decide", address, endpoint, s.log); err != nil {
			return err
		}
	}
	ready := func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") } // it listens before it serves
	s.monitor, err = serve.OpenSide("monitor", s.config.Monitor,
		serve.Monitor(promhttp.HandlerFor(s.metrics.registry, promhttp.HandlerOpts{}), ready), s.log)
	return err
}

// Run serves until the context ends. ready is called when calls are answered.
func (s *Service) Run(ctx context.Context, ready func()) error {
	ctx, cancel := context.WithCancel(ctx)
	failed := make(chan error, 3)
	if s.front != nil {
		go func() { failed <- s.front.serve() }()
	}
	for _, side := range []*serve.Side{s.beside, s.monitor} {
		if side != nil {
			go func() { failed <- side.Serve() }()
		}
	}
	var all sync.WaitGroup
	all.Go(func() { s.remember(ctx) })
	all.Go(func() { s.follow(ctx) })
	all.Go(func() { s.mail(ctx) })
	all.Go(func() { s.readFeeds(ctx) })
	all.Go(func() { s.readSources(ctx) })
	if s.front != nil {
		go s.front.obtain(ctx, s.log) // an attempt has no context, and ends with the process
	}
	ready()
	var err error
	select {
	case err = <-failed:
	case <-ctx.Done():
		s.log.Info("stopping")
	}
	end, stop := context.WithTimeout(context.WithoutCancel(ctx), serve.ShutdownTime)
	defer stop()
	if s.front != nil {
		err = errors.Join(err, s.front.shutdown(end))
	}
	err = errors.Join(err, s.beside.Shutdown(end), s.monitor.Shutdown(end))
	cancel()
	all.Wait()
	s.store(end) // what the last calls have shown
	return err
}

// Close releases what Open has opened.
func (s *Service) Close() error {
	now, cancel := context.WithCancel(context.Background())
	cancel()
	var err error
	if s.front != nil {
		err = s.front.close()
	}
	s.beside.Shutdown(now)
	s.monitor.Shutdown(now)
	return errors.Join(err, s.closeState(), s.lock.Close())
}

// A Watched is a partner whose certificate the key users of a tenant watch.
type Watched struct {
	Partner, Tenant string
	Window          string // in which it is renewed, as in a policy file
	DER             []byte // the newest certificate
}

// Watched returns the partners that the configuration lets tenants watch.
func (s *Service) Watched() (all []Watched) {
	partners := s.guard.Partners()
	for name, tenant := range s.settings().Watch {
		p, found := partners.Partner(name)
		if !found || len(p.Known) == 0 {
			continue
		}
		newest := slices.MaxFunc(p.Known, func(a, b acceptance.Known) int { return a.NotBefore.Compare(b.NotBefore) })
		all = append(all, Watched{name, tenant, p.Window.String(), newest.DER})
	}
	return all
}

// Held returns the number of certificates that need a decision.
func (s *Service) Held(ctx context.Context) (int, error) { return s.state.held(ctx, s.now()) }

// Addresses returns where the guard listens: for callers, for a proxy, and for the monitoring. Each may be empty.
func (s *Service) Addresses() (front, decide, monitor string) {
	if s.front != nil {
		front = "https://" + serve.Address(s.front.listener)
	}
	return front, s.beside.URL(), s.monitor.URL()
}

// warn logs a failure of the guard itself, each cause once in a minute.
func (s *Service) warn(cause, message string, attrs ...any) {
	s.logs.own.once(s.now(), cause, slog.LevelWarn, message, attrs...)
}
