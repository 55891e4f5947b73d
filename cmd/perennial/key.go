package main

import (
	"context"
	"encoding/hex"
	"fmt"

	"github.com/perennial-pki/perennial/internal/engine/lifecycle"
	"github.com/perennial-pki/perennial/internal/engine/store"
	"github.com/perennial-pki/perennial/internal/keys/issuer/local"
	"github.com/perennial-pki/perennial/internal/keys/keyring"
	"github.com/perennial-pki/perennial/tenancy"
)

type keyCmd struct {
	New    keyNewCmd    `cmd:"" help:"Print the content of a new key file, for installations whose secrets are made before the first start."`
	Rotate keyRotateCmd `cmd:"" help:"Add a new key-encryption key and re-seal every private key with it."`
}

type keyNewCmd struct{}

func (c *keyNewCmd) Run(e env) error {
	k, err := keyring.Ephemeral()
	if err != nil {
		return err
	}
	data, err := k.Export()
	if err == nil {
		_, err = e.out.Write(data)
	}
	return err
}

// resealTold is after how many keys a line says how far it is.
const resealTold = 10_000

type keyRotateCmd struct{ databaseFlags }

// Run is safe to repeat: a rotation that was cut off is finished by the next one, and adds another key.
func (c *keyRotateCmd) Run(e env) error {
	ctx := context.Background()
	if err := store.CheckExists(c.Database); err != nil {
		return err
	}
	s, err := store.OpenExclusive(ctx, c.Database)
	if err != nil {
		return err
	}
	defer s.Close()
	keys, err := c.keyring(ctx, s)
	if err != nil {
		return err
	}
	if err := keys.Rotate(); err != nil {
		return err
	}
	// A line now and then, for a million keys take minutes.
	told := 0
	n, err := lifecycle.Reseal(ctx, s, keys, local.SealContext, func(n int) {
		if n >= told+resealTold {
			told = n
			fmt.Fprintf(e.err, "%d private keys re-sealed so far\n", n)
		}
	})
	if err != nil {
		return fmt.Errorf("after %d keys: %w (the old key still opens the rest: run this again)", n, err)
	}
	if err := resealKeyCheck(ctx, s, keys); err != nil {
		return err
	}
	if err := s.InTx(ctx, func(tx *store.Tx) error {
		return tx.Audit(ctx, tenancy.NewEvent(e.now(), "command line", "key.rotated", "", c.KeyFile,
			map[string]any{"resealed": n}))
	}); err != nil {
		return err
	}
	fmt.Fprintf(e.out, "%d private keys are sealed with the new key. %s holds %d keys: back it up; older ones open "+
		"older backups.\n", n, c.KeyFile, keys.Keys())
	return nil
}

type auditCmd struct {
	Verify auditVerifyCmd `cmd:"" help:"Prove that no entry of the audit log was changed, removed or moved."`
}

type auditVerifyCmd struct {
	databaseFlags
	Head string `placeholder:"HASH" help:"The head that an earlier verification printed, kept elsewhere: it must still be in the log."`
}

func (c *auditVerifyCmd) Run(e env) error {
	ctx := context.Background()
	if err := store.CheckExists(c.Database); err != nil {
		return err
	}
	s, err := store.Open(ctx, c.Database)
	if err != nil {
		return err
	}
	defer s.Close()
	chain, err := s.VerifyEvents(ctx)
	if err != nil {
		return err
	}
	if c.Head != "" {
		found, err := s.HasEvent(ctx, c.Head)
		if err != nil {
			return err
		}
		if !found {
			return fmt.Errorf("audit log: no entry has the hash %s: the log was written anew", c.Head)
		}
	}
	fmt.Fprintf(e.out, "verified %d entries, head %s\n", chain.Seq, hex.EncodeToString(chain.Hash))
	return nil
}

func resealKeyCheck(ctx context.Context, s *store.Store, keys *keyring.Keyring) error {
	sealed, err := sealKeyCheck(keys)
	if err != nil {
		return err
	}
	return s.InTx(ctx, func(tx *store.Tx) error { return tx.SetSetting(ctx, keyCheck, sealed) })
}
