package main

import (
	"context"
	"fmt"

	"github.com/perennial-pki/perennial/internal/keys/keyring"
	"github.com/perennial-pki/perennial/internal/keys/kms"
	"github.com/perennial-pki/perennial/internal/service"
	"github.com/perennial-pki/perennial/tenancy"
)

type keyCmd struct {
	New    keyNewCmd    `cmd:"" help:"Print the content of a new key file, to create secrets before the first start."`
	Rotate keyRotateCmd `cmd:"" help:"Add a new key-encryption key and re-seal every private key with it."`
	Move   keyMoveCmd   `cmd:"" help:"Wrap the key-encryption keys with a key of a key management service, or write them to the key file again, without downtime."`
}

// wrapping returns the URI of the wrapping key; empty for cleartext.
func wrapping(to string) string {
	if to == service.InFile {
		return ""
	}
	return to
}

type keyNewCmd struct {
	To string `default:"file" placeholder:"URI" help:"Wrap it with this key, such as hcvault://vault.example.com/transit/keys/perennial (default: file, for cleartext)."`
}

func (c *keyNewCmd) Run(e env) error {
	k, err := keyring.Ephemeral()
	if err != nil {
		return err
	}
	data, err := k.ExportWrapped(context.Background(), wrapping(c.To), kms.Open)
	if err == nil {
		_, err = e.out.Write(data)
	}
	return err
}

type keyMoveCmd struct {
	Database service.Database `embed:""`
	To       string           `required:"" placeholder:"URI" help:"The key that wraps them, such as hcvault://vault.example.com/transit/keys/perennial; file for the key file in cleartext. docs/custody.md lists the kinds."`
}

func (c *keyMoveCmd) Run(e env) error {
	uri := wrapping(c.To)
	if err := service.MoveKeys(context.Background(), c.Database, uri, e.now(), e.log()); err != nil {
		return err
	}
	if uri == "" {
		fmt.Fprintf(e.out, "%s holds the key-encryption keys in cleartext: back it up apart from the database.\n",
			c.Database.KeyFile)
		return nil
	}
	fmt.Fprintf(e.out, "The key-encryption keys in %s are wrapped by %s. Back the file up: it opens nothing without that "+
		"key. Copies of the file from before open everything that is sealed now: destroy them, or run perennial key "+
		"rotate.\n", c.Database.KeyFile, c.To)
	return nil
}

// resealTold is the number of keys between two lines of progress: a million keys take minutes.
const resealTold = 10_000

type keyRotateCmd struct {
	Database service.Database `embed:""`
}

func (c *keyRotateCmd) Run(e env) error {
	told := 0
	r, err := service.RotateKeys(context.Background(), c.Database, e.now(), e.log(), func(n int) {
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
	Verify auditVerifyCmd `cmd:"" help:"Verify that no entry of the audit log has been changed, removed or moved."`
}

type auditVerifyCmd struct {
	Database service.Database `embed:""`
	Head     string           `placeholder:"HEAD|FILE" help:"A head that was kept outside the database, or a file with heads: that of --audit-head-file, a log or a mail. The audit log must still contain them."`
}

func (c *auditVerifyCmd) Run(e env) error {
	var heads []tenancy.Chain
	if c.Head != "" {
		var err error
		if heads, err = service.ReadHeads(c.Head); err != nil {
			return err
		}
	}
	chain, err := service.VerifyAudit(context.Background(), c.Database.URL, heads...)
	if err != nil {
		return err
	}
	fmt.Fprintf(e.out, "verified %d entries, head %s\n", chain.Seq, chain)
	switch len(heads) {
	case 0:
	case 1:
		fmt.Fprintln(e.out, "it has the head that was kept")
	default:
		fmt.Fprintf(e.out, "it has the %d heads that were kept\n", len(heads))
	}
	return nil
}
