package guard

import (
	"context"
	"fmt"
	"runtime/debug"
	"time"

	"github.com/perennial-pki/perennial/acceptance"
)

// follow reads the files and the state again when they change.
func (s *Service) follow(ctx context.Context) {
	files, state := time.NewTicker(filesEvery), time.NewTicker(stateEvery)
	measure, prune := time.NewTicker(measureEvery), time.NewTicker(pruneEvery)
	for _, t := range []*time.Ticker{files, state, measure, prune} {
		defer t.Stop()
	}
	for {
		select {
		case <-ctx.Done():
			return
		case <-files.C:
			if s.settings().Changed() {
				s.Reload(ctx)
			}
		case <-state.C:
			s.keepState(ctx)
			if err := s.applyState(ctx); err != nil {
				s.metrics.failed("state", err)
				s.warn("state", "cannot read what a person has decided: another attempt follows in a second", "file", s.state.path,
					"error", err)
			}
		case <-measure.C:
			s.measure(ctx)
		case <-prune.C:
			if err := s.state.prune(ctx, s.now()); err != nil {
				s.log.Warn("cannot remove certificates that have expired long ago", "error", err)
			}
		}
	}
}

// applyState follows decisions that another process has stored, with the configuration in force.
func (s *Service) applyState(ctx context.Context) error {
	s.reloading.Lock()
	defer s.reloading.Unlock()
	version, err := s.state.version(ctx)
	if err != nil || version == s.version && !s.behind {
		return err
	}
	if err := s.obey(ctx); err != nil {
		return err
	}
	s.version = version
	return nil
}

// obey makes the guard follow the decisions in the state, and reports those of people to the service. The caller holds
// reloading.
func (s *Service) obey(ctx context.Context) error {
	s.behind = true
	if err := s.apply(ctx, s.settings()); err != nil {
		return err
	}
	s.measure(ctx)
	decisions, last, err := s.state.byPeople(ctx, s.decision)
	for i := 0; err == nil && s.seen != nil && i < len(decisions); i++ {
		err = s.seen(ctx, decisions[i])
	}
	if err == nil {
		s.decision, s.behind = last, false
	}
	return err
}

// Decide stores the decision of a person about a certificate that was seen, or that the feed of a counterparty lists,
// and follows it.
func (s *Service) Decide(ctx context.Context, partner, sha256, by string, standing Standing) (Sighting, error) {
	s.reloading.Lock()
	defer s.reloading.Unlock()
	v, err := s.state.decide(ctx, s.guard.Partners(), partner, sha256, by, standing, s.now())
	if err != nil {
		return v, err
	}
	return v, s.obey(ctx)
}

// Certificates returns what the guard knows of its partners, as [StatusOf] does.
func (s *Service) Certificates(ctx context.Context) ([]Status, error) {
	seen, err := s.state.Sightings(ctx)
	if err != nil {
		return nil, err
	}
	return StatusOf(s.settings(), s.guard.Partners(), seen, s.now())
}

// apply replaces the partners by those of a configuration and of its feeds, with what the state knows.
func (s *Service) apply(ctx context.Context, c Config) error {
	listed := s.listedBy(c)
	var leftOut []error
	err := s.guard.Change(func(*acceptance.Partners) (ps *acceptance.Partners, err error) {
		seen, err := s.remembered(ctx)
		if err != nil {
			return nil, err
		}
		ps, leftOut, err = newPartners(c.Partners, listed, seen)
		return ps, err
	})
	s.metrics.leftOut.Set(float64(len(leftOut)))
	if len(leftOut) > 0 {
		s.warn("left out", "certificates that a feed lists are left out", "partners", len(leftOut), "first", leftOut[0])
	}
	return err
}

// Reload reads the configuration, the files and the state again. If something is wrong, the guard continues with what
// it has, and logs the error.
func (s *Service) Reload(ctx context.Context) error {
	s.reloading.Lock()
	defer s.reloading.Unlock()
	before := s.settings()
	config, err := s.reload(ctx)
	s.metrics.failed("reload", err)
	if err != nil {
		s.warn("reload", "the configuration is not valid: the guard continues with the one before", "error", err)
		return err
	}
	for _, setting := range []struct{ name, was, is string }{{"listen", before.Listen, config.Listen},
		{"decide", fmt.Sprint(before.Decide), fmt.Sprint(config.Decide)}, {"monitor", before.Monitor, config.Monitor},
		{"state", before.State, config.State}} {
		if setting.was != setting.is {
			s.log.Warn("a changed setting needs a restart of the guard", "setting", setting.name)
		}
	}
	s.mu.Lock()
	s.config = config
	s.mu.Unlock()
	s.measure(ctx)
	debug.FreeOSMemory()
	s.readAgain()
	return nil
}

func (s *Service) reload(ctx context.Context) (Config, error) {
	config, err := Load(s.settings().Path, s.policies)
	if err != nil {
		return config, err
	}
	var sites *sites
	if s.front != nil {
		if sites, err = s.front.newSites(config, s.guard, s.log); err != nil {
			return config, err
		}
	}
	err = s.apply(ctx, config)
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

// measure updates the metrics of what does not change with each call.
func (s *Service) measure(ctx context.Context) {
	stale, now := 0, s.now()
	held, err := s.state.held(ctx, now)
	s.metrics.failed("state", err)
	counted := map[*acceptance.Revocations]bool{}
	for _, p := range s.settings().Partners {
		for _, list := range p.CRLs {
			if !counted[list] && !list.NextUpdate.IsZero() && now.After(list.NextUpdate) {
				counted[list] = true
				stale++
				s.warn("list of "+string(list.Issuer), "a revocation list is out of date: revocations may be missing",
					"issuer", shown(list.Issuer), "next_update", list.NextUpdate)
			}
		}
	}
	s.metrics.partners(s.guard.Partners())
	s.measureFeeds()
	s.metrics.held.Set(float64(held))
	s.metrics.stale.Set(float64(stale))
	if s.front != nil {
		s.metrics.ownUntil(s.front.expiry())
	}
}
