package service

import (
	"context"
	"errors"
	"fmt"

	"github.com/perennial-pki/perennial/internal/engine/store"
	"github.com/perennial-pki/perennial/internal/engine/watching"
	"github.com/perennial-pki/perennial/internal/ingress/guard"
	"github.com/perennial-pki/perennial/internal/keys/certfile"
	"github.com/perennial-pki/perennial/internal/keys/issuer"
	"github.com/perennial-pki/perennial/tenancy"
)

// openGuard opens the guard that runs in the service, if there is one. The certificates of its partners are watched for
// the tenants that its configuration names.
func (s *Service) openGuard(ctx context.Context) (err error) {
	if s.settings.Guard == "" {
		return nil
	}
	s.guard, err = guard.Open(ctx, s.settings.Guard, guard.Options{Now: s.now, Log: s.log, Policies: ReadPolicy,
		Seen: s.sighted, Certify: s.certify})
	if err != nil {
		return fmt.Errorf("--guard: %w", err)
	}
	for _, w := range s.guard.Watched() {
		if err := s.watch(ctx, w); err != nil {
			return fmt.Errorf("--guard: partner %q: watch: %w", w.Partner, err)
		}
	}
	return nil
}

// certify returns a certificate of the service's CA for a host of the guard.
func (s *Service) certify(host string) (guard.Certificate, error) {
	ca, ok := issuer.As[issuer.ServerCertifier](s.core.issuer)
	if !ok {
		return nil, errors.New("the issuer of this service has no server certificates: use cert and key, or acme")
	}
	return ca.NewServerCertificate(host, s.now)
}

// watch adds the certificate of a partner to those that a tenant watches, unless it does so already.
func (s *Service) watch(ctx context.Context, w guard.Watched) error {
	t, err := s.core.store.Tenant(ctx, w.Tenant)
	if err != nil {
		return err
	}
	_, err = s.core.store.Watched(ctx, t.ID, w.Partner)
	if !errors.Is(err, tenancy.ErrNotFound) {
		return err
	}
	v := tenancy.Watched{Name: w.Partner, Window: w.Window}
	_, err = s.watching().Add(ctx, t, v, [][]byte{w.DER}, "guard", s.now())
	return err
}

func (s *Service) watching() *watching.Watching {
	return watching.New(s.core.store, s.core.engine, s.log)
}

// sighted records what the guard has seen, and what people have decided about it, in the audit log. Key users who watch
// the partner are notified of a certificate that is accepted.
func (s *Service) sighted(ctx context.Context, v guard.Sighting) error {
	actor := "guard"
	if v.ByPerson() {
		actor = v.By
	}
	err := s.core.store.InTx(ctx, func(tx *store.Tx) error {
		return tx.Audit(ctx, tenancy.NewEvent(v.At, actor, "guard."+string(v.Standing), "", v.Partner, map[string]any{
			"sha256": certfile.Fingerprint(v.DER), "code": v.Code, "reason": v.Reason, "decided_by": v.By}))
	})
	if err != nil || v.Standing != guard.Accepted {
		return err
	}
	for _, w := range s.guard.Watched() {
		if w.Partner != v.Partner {
			continue
		}
		t, err := s.core.store.Tenant(ctx, w.Tenant)
		if err == nil {
			_, err = s.watching().Seen(ctx, t, w.Partner, [][]byte{v.DER}, watching.Witness{By: "guard", Verified: true},
				v.At)
		}
		return err
	}
	return nil
}
