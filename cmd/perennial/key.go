package main

import (
	"context"
	"encoding/hex"
	"fmt"

	"github.com/perennial-pki/perennial/internal/keys/keyring"
	"github.com/perennial-pki/perennial/internal/service"
)

type keyCmd struct {
	New    keyNewCmd    `cmd:"" help:"Print the content of a new key file, for installations that create secrets before the first start."`
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

// resealTold is the number of keys between two lines of progress: a million keys take minutes.
const resealTold = 10_000

type keyRotateCmd struct {
	Database service.Database `embed:""`
}

func (c *keyRotateCmd) Run(e env) error {
	told := 0
	r, err := service.RotateKeys(context.Background(), c.Database, e.now(), func(n int) {
		if n >= told+resealTold {
			told = n
			fmt.Fprintf(e.err, "%d private keys re-sealed so far\n", n)
		}
	})
	if err != nil {
		return err
	}
	fmt.Fprintf(e.out, "%d private keys are sealed with the new key. %s holds %d keys: back it up; older ones open "+
		"older backups.\n", r.Resealed, c.Database.KeyFile, r.Keys)
	return nil
}

type auditCmd struct {
	Verify auditVerifyCmd `cmd:"" help:"Verify that no entry of the audit log was changed, removed or moved."`
}

type auditVerifyCmd struct {
	Database service.Database `embed:""`
	Head     string           `placeholder:"HASH" help:"The head that an earlier verification printed. It must still be in the log."`
}

func (c *auditVerifyCmd) Run(e env) error {
	chain, err := service.VerifyAudit(context.Background(), c.Database.URL, c.Head)
	if err != nil {
		return err
	}
	fmt.Fprintf(e.out, "verified %d entries, head %s\n", chain.Seq, hex.EncodeToString(chain.Hash))
	return nil
}
