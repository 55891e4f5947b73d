package store

import (
	"context"
)

// AddForeignIssuer stores the certificate of an authority that is not ours.
func (t *Tx) AddForeignIssuer(ctx context.Context, id string, der []byte) error {
	_, err := t.exec(ctx, "INSERT INTO foreign_issuers (id, der) VALUES (?, ?) ON CONFLICT (id) DO NOTHING", id, der)
	return err
}
