package main

import (
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/perennial-pki/perennial/client"
	"github.com/perennial-pki/perennial/tenancy"
)

type importCmd struct {
	Check importCheckCmd `cmd:"" default:"withargs" help:"Check files and report every problem by its line. With --apply, import them."`
	List  importListCmd  `cmd:"" help:"List imports."`
	Undo  importUndoCmd  `cmd:"" help:"Undo an import, as long as nothing that it created is in use."`
}

type importCheckCmd struct {
	remote
	Tenants      string   `placeholder:"FILE" help:"CSV: name, display_name, key_type."`
	People       string   `placeholder:"FILE" help:"CSV: tenant, role (key-user, it-contact), name, email, subscribed (yes, no)."`
	Arrangements string   `placeholder:"FILE" help:"CSV: tenant, name, receiver, receiver_name, contact_name, contact_email, scenario, endpoint, strategy, probe_path, server_key_pin, identifies_by (separated by spaces)."`
	Certificates []string `placeholder:"FILE" sep:"none" help:"Certificate and private key of a new tenant: TENANT.pem, TENANT.p12, or TENANT.m-user.p12. May be repeated. FILE.password may contain the password of one file."`
	Password     string   `env:"PERENNIAL_IMPORT_PASSWORD" help:"Password of PKCS#12 files and encrypted keys; better set as PERENNIAL_IMPORT_PASSWORD."`
	Apply        bool     `help:"Import the files if they have no problems."`
}

func (c *importCheckCmd) Run(e env) error {
	files := client.ImportFiles{Password: c.Password}
	for name, to := range map[string]*string{c.Tenants: &files.Tenants, c.People: &files.People,
		c.Arrangements: &files.Arrangements} {
		if name == "" {
			continue
		}
		data, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		*to = string(data)
	}
	for _, name := range c.Certificates {
		data, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		password, err := os.ReadFile(name + ".password")
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		files.Certificates = append(files.Certificates, client.ImportCertificate{Name: filepath.Base(name), Data: data,
			Password: strings.TrimRight(string(password), "\r\n")})
	}
	made, err := post[client.Import](&c.remote, "/imports", files)
	if err != nil {
		return err
	}
	if len(made.Problems) > 0 {
		for _, p := range made.Problems {
			if p.Line > 0 {
				fmt.Fprintf(e.err, "%s:%d: %s\n", p.File, p.Line, p.Text)
			} else {
				fmt.Fprintf(e.err, "%s: %s\n", p.File, p.Text)
			}
		}
		return fmt.Errorf("%d problems: nothing was imported", len(made.Problems))
	}
	if !c.Apply {
		return c.show(e, made, "tenants", fmt.Sprint(made.Total), "problems", "none", "next", "the same with --apply")
	}
	return c.carryOut(e, made.ID, "apply")
}

// importEvery is the time between two requests for an import's progress.
const importEvery = 300 * time.Millisecond

// carryOut starts the application or the undoing of an import, and waits for its end.
func (c *remote) carryOut(e env, id, verb string) error {
	path := "/imports/" + url.PathEscape(id)
	i, err := post[client.Import](c, path+"/"+verb, nil)
	for err == nil && i.LastError == "" && (i.State == tenancy.ImportApplying || i.State == tenancy.ImportUndoing) {
		time.Sleep(importEvery)
		i, err = get[client.Import](c, path)
	}
	switch {
	case err != nil:
		return err
	case i.LastError != "":
		return fmt.Errorf("import %s stopped after %d of %d tenants: %s", i.ID, i.Done, i.Total, i.LastError)
	}
	return c.show(e, i, "id", i.ID, "state", string(i.State), "tenants", fmt.Sprintf("%d of %d", i.Done, i.Total))
}

type importListCmd struct{ remote }

func (c *importListCmd) Run(e env) error {
	return list(&c.remote, e, "/imports", "ID\tSTATE\tTENANTS\tPROBLEMS\tWHEN\tWHO", "No imports.",
		func(i client.Import) []any {
			return []any{i.ID, i.State, fmt.Sprintf("%d of %d", i.Done, i.Total), len(i.Problems), moment(i.CreatedAt),
				i.CreatedBy}
		})
}

type importUndoCmd struct {
	remote
	ID string `arg:"" help:"ID of the import, as perennial import list shows it."`
}

func (c *importUndoCmd) Run(e env) error { return c.carryOut(e, c.ID, "undo") }
