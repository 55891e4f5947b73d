package service

import (
	"github.com/perennial-pki/perennial/internal/egress/poster"
	"github.com/perennial-pki/perennial/internal/engine/jobs"
	"github.com/perennial-pki/perennial/internal/engine/webhooks"
)

// openWebhooks lets the events in the audit log reach webhooks.
func (s *Service) openWebhooks() error {
	queue, err := jobs.NewWebhookQueue(s.core.store, s.log)
	if err != nil {
		return err
	}
	s.webhooks, err = webhooks.New(webhooks.Config{Store: s.core.store, Seal: s.core.keys, Queue: queue,
		Network: poster.New(s.network), BaseURL: s.settings.Transport.BaseURL, Now: s.now, Log: s.log})
	if err != nil {
		return err
	}
	s.core.store.OnAudit(s.webhooks.Follow)
	return nil
}
