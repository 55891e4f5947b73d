package guard

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/perennial-pki/perennial/acceptance"
	core "github.com/perennial-pki/perennial/guard"
	"github.com/perennial-pki/perennial/internal/egress/serve"
	"github.com/perennial-pki/perennial/policy"
)

// How often a guard looks at what can change outside: its files, its state, mails that are due, and what has expired.
const (
	filesEvery = 10 * time.Second
	stateEvery = time.Second
	mailEvery  = 10 * time.Second
	pruneEvery = 24 * time.Hour
)

// Options are the edges of a guard.
type Options struct {
	Now      func() time.Time
	Log      *slog.Logger
	Policies func(nameOrFile string) (policy.Policy, error)
}

// A Service is a guard with its listeners and its state.
type Service struct {
	now      func() time.Time
	log      *slog.Logger
	policies func(nameOrFile string) (policy.Policy, error)

	guard   *core.Guard
	state   *State
	metrics *metrics
	calls   *callLog
	own     *callLog // of failures of the guard itself, which strangers must not crowd out
	front   *front
	beside  *serve.Side // nil without a decision endpoint
	monitor *serve.Side // nil if there is none

	mu      sync.Mutex // guards config and waiting
	config  Config
	waiting []Sighting // that are not stored yet
	wake    chan struct{}
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
	s := &Service{now: o.Now, log: o.Log, policies: o.Policies, config: config, metrics: newMetrics(),
		wake: make(chan struct{}, 1)}
	s.calls, s.own = newCallLog(s.log, s.metrics), newCallLog(s.log, s.metrics)
	if s.state, err = OpenState(ctx, config.State); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			s.Close()
		}
	}()
	partners, err := s.remembered(ctx, config)
	if err != nil {
		return nil, err
	}
	s.guard, err = core.New(partners, core.Options{Now: s.now, Learned: s.learned, Decided: s.decided})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	s.metrics.partners(s.guard.Partners())
	if config.Listen != "" {
		if s.front, err = openFront(config, s.guard, s.calls, s.now, s.log); err != nil {
			return nil, err
		}
	}
	if err := s.openSides(); err != nil {
		return nil, err
	}
	return s, nil
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
	monitoring := serve.Monitoring{MetricsListen: s.config.Monitor}
	s.monitor, err = monitoring.Open(promhttp.HandlerFor(s.metrics.registry, promhttp.HandlerOpts{}),
		func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") }, s.log)
	return err
}

// remembered returns the partners of a configuration with what the state knows about them.
func (s *Service) remembered(ctx context.Context, c Config) ([]acceptance.Partner, error) {
	s.mu.Lock()
	waiting := slices.Clone(s.waiting) // before the state, into which they move meanwhile
	s.mu.Unlock()
	all, err := s.state.Sightings(ctx)
	if err != nil {
		return nil, err
	}
	return withSightings(c.Partners, append(all, waiting...))
}

// withSightings returns partners with the certificates that were decided about.
func withSightings(partners []acceptance.Partner, all []Sighting) ([]acceptance.Partner, error) {
	partners = slices.Clone(partners)
	at := map[string]int{}
	for i := range partners {
		at[partners[i].Name] = i
	}
	for _, v := range all {
		i, found := at[v.Partner]
		if !found {
			continue
		}
		c, err := v.certificate()
		if err != nil {
			return nil, err
		}
		p, k := &partners[i], acceptance.NewKnown(c)
		switch listed := slices.ContainsFunc(p.Known, func(o acceptance.Known) bool { return o.Body == k.Body }); {
		case v.Standing == Accepted && !listed:
			p.Known = append(slices.Clip(p.Known), k)
		case v.Standing == Held && !listed && v.Code != acceptance.OtherCA:
			p.Held = append(slices.Clip(p.Held), acceptance.Held{Body: k.Body, Since: v.At})
		case v.Standing == Declined:
			p.Declined = append(slices.Clip(p.Declined), k.Body)
		}
	}
	return partners, nil
}

// learned queues a certificate that was accepted or held for the first time. It does not block.
func (s *Service) learned(l core.Learned) {
	v := Sighting{Partner: l.Decision.Partner, DER: l.Chain[0].Raw, Standing: Held, Code: l.Decision.Code,
		Reason: l.Decision.Reason, At: l.At, By: "rule"}
	if l.Decision.Outcome == acceptance.Accept {
		v.Standing = Accepted
	}
	if before := l.Decision.Predecessor; before != nil {
		v.Was = before.DER
	}
	s.queue(v)
}

// mostWaiting limits the sightings of strangers that are not stored yet.
const mostWaiting = 64

// decided logs and counts a call. A certificate of another CA is queued too, so that a person is asked.
func (s *Service) decided(c core.Call) {
	first := s.calls.add(c)
	if !first || c.Decision.Outcome != acceptance.Hold || c.Decision.Code != acceptance.OtherCA {
		return
	}
	s.mu.Lock()
	full := len(s.waiting) >= mostWaiting
	s.mu.Unlock()
	if !full {
		s.queue(Sighting{Partner: c.Decision.Partner, DER: c.Chain[0].Raw, Standing: Held, Code: c.Decision.Code,
			Reason: c.Decision.Reason, At: c.At, By: "rule"})
	}
}

func (s *Service) queue(v Sighting) {
	s.mu.Lock()
	s.waiting = append(s.waiting, v)
	s.mu.Unlock()
	select {
	case s.wake <- struct{}{}:
	default:
	}
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
	return errors.Join(err, s.state.Close())
}

// Addresses returns where the guard listens: for callers, for a proxy, and for the monitoring. Each may be empty.
func (s *Service) Addresses() (front, decide, monitor string) {
	if s.front != nil {
		front = "https://" + s.front.listener.Addr().String()
	}
	return front, s.beside.URL(), s.monitor.URL()
}

// remember stores sightings as they come.
func (s *Service) remember(ctx context.Context) {
	again := time.NewTicker(stateEvery)
	defer again.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.wake:
		case <-again.C:
		}
		s.store(context.WithoutCancel(ctx)) // a statement that is interrupted may have been executed
	}
}

// store stores the sightings that wait. Those that cannot be stored stay in memory, and count as well.
func (s *Service) store(ctx context.Context) {
	s.mu.Lock()
	waiting := slices.Clone(s.waiting)
	s.mu.Unlock()
	if len(waiting) == 0 {
		return
	}
	for _, v := range waiting {
		added, err := s.state.add(ctx, v)
		s.metrics.failed("state", err)
		if err != nil {
			s.warn(
				"state",
				"cannot store a certificate that was seen: it is kept in memory until that works",
				"partner",
				v.Partner,
				"file",
				s.state.path,
				"error",
				err,
			)
			return
		}
		s.mu.Lock()
		s.waiting = s.waiting[1:]
		s.mu.Unlock()
		if added {
			announce(s.log, v)
		}
	}
	s.metrics.partners(s.guard.Partners())
}

// warn logs a failure of the guard itself, each cause once in a minute.
func (s *Service) warn(cause, message string, attrs ...any) {
	s.own.once(s.now(), cause, slog.LevelWarn, message, attrs...)
}

// follow reads the files and the state again when they change.
func (s *Service) follow(ctx context.Context) {
	files, state, prune := time.NewTicker(filesEvery), time.NewTicker(stateEvery), time.NewTicker(pruneEvery)
	defer files.Stop()
	defer state.Stop()
	defer prune.Stop()
	version, _ := s.state.version(ctx)
	for {
		select {
		case <-ctx.Done():
			return
		case <-files.C:
			if s.settings().Changed() {
				s.Reload(ctx)
			}
		case <-state.C:
			if v, err := s.state.version(ctx); err == nil && v != version {
				version = v
				s.Reload(ctx)
			}
		case <-prune.C:
			if err := s.state.prune(ctx, s.now()); err != nil {
				s.log.Warn("cannot remove certificates that have expired long ago", "error", err)
			}
		}
	}
}

// Reload reads the configuration, the files and the state again. If something is wrong, the guard continues with what
// it has, and logs the error.
func (s *Service) Reload(ctx context.Context) error {
	config, err := s.reload(ctx)
	s.metrics.failed("reload", err)
	if err != nil {
		s.warn("reload", "the configuration is not valid: the guard continues with the one before", "error", err)
		return err
	}
	s.mu.Lock()
	s.config = config
	s.mu.Unlock()
	s.metrics.partners(s.guard.Partners())
	return nil
}

func (s *Service) reload(ctx context.Context) (Config, error) {
	config, err := Load(s.settings().Path, s.policies)
	if err != nil {
		return config, err
	}
	var sites *sites
	if s.front != nil {
		if sites, err = newSites(config, s.guard, s.log); err != nil {
			return config, err
		}
	}
	err = s.guard.Change(func(*acceptance.Partners) (*acceptance.Partners, error) {
		partners, err := s.remembered(ctx, config)
		if err != nil {
			return nil, err
		}
		return acceptance.New(partners)
	})
	if err == nil && s.front != nil {
		s.front.sites.Store(sites)
	}
	return config, err
}

// settings returns the configuration in force.
func (s *Service) settings() Config {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.config
}
