package webhooks

import (
	"context"
	"fmt"

	"github.com/perennial-pki/perennial/internal/engine/store"
	"github.com/perennial-pki/perennial/internal/keys/keyring"
)

// resealPage limits the webhooks that are read together.
const resealPage = 500

// Reseal seals again, in pages, the credentials of every webhook that are not sealed with the newest key-encryption
// key. It can be stopped at any point, and continues when it is called again.
func Reseal(ctx context.Context, s *store.Store, keys *keyring.Keyring) error {
	for after := ""; ; {
		hooks, err := s.AllWebhooks(ctx, after, resealPage)
		if err != nil {
			return err
		}
		for _, h := range hooks {
			after = h.ID
			if keys.Current(h.Sealed) {
				continue
			}
			plain, err := keys.Open(h.Sealed, sealContext(h.ID))
			if err != nil {
				return fmt.Errorf("open the credentials of the webhook %s: %w", title(h), err)
			}
			fresh, err := keys.Seal(plain, sealContext(h.ID))
			if err != nil {
				return err
			}
			// A webhook that was changed in the meantime was sealed with the newest key.
			if err := s.InTx(ctx, func(tx *store.Tx) error {
				_, err := tx.ResealWebhook(ctx, h.ID, h.Sealed, fresh)
				return err
			}); err != nil {
				return err
			}
		}
		if len(hooks) < resealPage {
			return nil
		}
	}
}
