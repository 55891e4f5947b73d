package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
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
	Check importCheckCmd `cmd:"" default:"withargs" help:"Check files and report every problem with its line. With --apply, import them."`
	Apply importApplyCmd `cmd:"" help:"Apply a checked import without checking it again."`
	List  importListCmd  `cmd:"" help:"List imports."`
	Undo  importUndoCmd  `cmd:"" help:"Undo an import, as long as nothing that it created is in use."`
}

type importCheckCmd struct {
	remote
	Tenants       string   `placeholder:"FILE" help:"CSV: name, display_name, key_type, mail_for_tasks (yes, no; empty: the default of the installation, see perennial scope default), issuer (which renews its certificate; empty: the default one)."`
	People        string   `placeholder:"FILE" help:"CSV: tenant, role (key-user, it-contact), name, email, subscribed (yes, no), display_name, language (en, de), zone."`
	Arrangements  string   `placeholder:"FILE" help:"CSV: tenant, name, receiver, receiver_name, contact_name, contact_email, scenario, endpoint, strategy, probe_path, server_key_pin, identifies_by (separated by spaces)."`
	Certificates  []string `placeholder:"FILE" sep:"none" help:"Certificate and private key of a new tenant: TENANT.pem, TENANT.p12, or TENANT.m-user.p12. May be repeated. FILE.password may contain the password of one file."`
	Encoding      string   `help:"Encoding of the tables, such as windows-1252 (default: UTF-8)."`
	Password      string   `env:"PERENNIAL_IMPORT_PASSWORD" help:"Password of PKCS#12 files and encrypted keys; better set as PERENNIAL_IMPORT_PASSWORD."`
	Apply         bool     `help:"Import the files if they have no problems."`
	AcceptChanges bool     `help:"With --apply: accept that first renewals change the issuer or names, as listed in the plan."`
	SpreadExpiry  *bool    `negatable:"" help:"Spread the expiry of issued certificates over the runs of a year, so that one run does not renew all of them (default: if more than 1,000 are issued)."`
}

// Validate requires a file.
func (c *importCheckCmd) Validate() error {
	if c.Tenants+c.People+c.Arrangements == "" && len(c.Certificates) == 0 {
		return errors.New("missing files: use one or more of --tenants, --people, --arrangements and --certificates")
	}
	return nil
}

func (c *importCheckCmd) Run(e env) error {
	if c.AcceptChanges && !c.Apply {
		return misused("--accept-changes needs --apply: without it, the files are only checked")
	}
	files := client.ImportFiles{Password: c.Password, SpreadExpiry: c.SpreadExpiry}
	tables := c.tables()
	for table, to := range map[string]*string{"tenants": &files.Tenants, "people": &files.People,
		"arrangements": &files.Arrangements} {
		name := tables[table]
		if name == "" {
			continue
		}
		data, err := readFull(name)
		if err != nil {
			return err
		}
		if *to, err = client.Table(data, c.Encoding); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	for _, name := range c.Certificates {
		data, err := readFull(name)
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
	checking := e.notice("The files are being checked.")
	made, err := post[client.Import](&c.remote, "/imports", files)
	checking()
	if err != nil {
		return err
	}
	if len(made.Problems) > 0 {
		return errors.Join(c.showProblems(e, made), fmt.Errorf("nothing was imported (problems: %d)", len(made.Problems)))
	}
	if c.Apply && (made.Changing == 0 || c.AcceptChanges) {
		return c.carryOut(e, made.ID, "apply", client.ImportApproval{AcceptChanges: c.AcceptChanges})
	}
	if err := c.showPlan(e, made); err != nil || !c.Apply {
		return err
	}
	return fmt.Errorf("nothing was imported: first renewals change what receivers may check (certificates: %d): read the "+
		"plan, then run: perennial import apply %s --accept-changes", made.Changing, made.ID)
}

// showProblems prints the problems of an import by file and line. JSON is the import with them.
func (c *importCheckCmd) showProblems(e env, made client.Import) error {
	if c.Output == "json" {
		return writeJSON(e.out, made)
	}
	files := c.tables()
	for _, p := range made.Problems {
		at := cmp.Or(files[p.File], p.File)
		if p.Line > 0 {
			at += fmt.Sprintf(":%d", p.Line)
		}
		fmt.Fprintf(e.err, "%s: %s\n", printable(at), printable(p.Text))
	}
	return nil
}

// tables returns the file of each table.
func (c *importCheckCmd) tables() map[string]string {
	return map[string]string{"tenants": c.Tenants, "people": c.People, "arrangements": c.Arrangements}
}

// noticeAfter is the time for which a command waits without output.
const noticeAfter = 2 * time.Second

// notice prints a text if done is not called soon.
func (e env) notice(text string) (done func() bool) {
	return time.AfterFunc(noticeAfter, func() { fmt.Fprintln(e.err, text) }).Stop
}

// shownTenants is the number of tenants whose plan is printed as text.
const shownTenants = 50

// showPlan prints the plan of an import.
func (c *importCheckCmd) showPlan(e env, made client.Import) error {
	plan, err := all[client.ImportPlan](&c.remote, "/imports/"+url.PathEscape(made.ID)+"/plan")
	if err != nil {
		return err
	}
	if c.Output == "json" {
		return writeJSON(e.out, struct {
			client.Import
			Plan []client.ImportPlan `json:"plan"`
		}{made, plan})
	}
	for i, p := range plan {
		if i == shownTenants {
			fmt.Fprintf(e.out, "... and %d more tenants: --output json prints all of them\n", len(plan)-i)
			break
		}
		printPlan(e.out, p)
	}
	next := "perennial import apply " + made.ID
	if made.Changing > 0 {
		next += " --accept-changes"
	}
	var certificates, unwarned, users, mailed int
	for _, p := range plan {
		users, mailed = users+p.KeyUsers, mailed+p.Mailed
		certificates += len(p.Certificates)
		for _, r := range p.Certificates {
			if r.Notified == 0 {
				unwarned++
			}
		}
	}
	renewed := 0
	if len(made.Runs) > 0 {
		fmt.Fprintln(e.out, "\nfirst renewals of the certificates of new tenants, by run:")
		for _, run := range made.Runs {
			renewed += run.Renewals
			fmt.Fprintf(e.out, "  %s  %d\n", run.At.UTC().Format(time.DateOnly), run.Renewals)
		}
	}
	fmt.Fprintln(e.out)
	return c.show(e, made, "id", made.ID, "tenants", made.Total,
		"certificates", fmt.Sprintf("%d imported, %d issued", certificates, max(0, renewed-certificates)),
		"changing", made.Changing, "not warned", unwarned,
		"mailed", fmt.Sprintf("%d of %d key users", mailed, users), "problems", "none", "next", next)
}

// printPlan prints the plan for one tenant.
func printPlan(w io.Writer, p client.ImportPlan) {
	var adds []string
	for _, a := range []struct {
		n        int
		one, all string
	}{{p.KeyUsers, "key user", "key users"}, {p.ITContacts, "IT contact", "IT contacts"},
		{p.Arrangements, "arrangement", "arrangements"}} {
		switch a.n {
		case 0:
		case 1:
			adds = append(adds, "1 "+a.one)
		default:
			adds = append(adds, fmt.Sprint(a.n, " ", a.all))
		}
	}
	if p.New {
		adds = append([]string{"a new tenant"}, adds...)
	}
	if p.New && len(p.Certificates) == 0 {
		adds = append(adds, "new certificates")
	}
	fmt.Fprintf(w, "%s: %s\n", printable(p.Tenant), strings.Join(adds, ", "))
	switch {
	case p.Subscribed > 0 && !p.MailForTasks:
		fmt.Fprintf(w, "  mails no key user, because the scoping question is not answered with yes (subscribed: %d)\n",
			p.Subscribed)
	case p.KeyUsers > 0:
		fmt.Fprintf(w, "  mails %d of %d key users about their tasks\n", p.Mailed, p.KeyUsers)
	}
	for _, r := range p.Certificates {
		warned := fmt.Sprintf("recipients warned on %s: %d", r.WarnAt.UTC().Format(time.DateOnly), r.Notified)
		switch {
		case r.WarnAt.IsZero():
			warned = "no warning before"
		case r.Notified == 0:
			warned = "warns no one: add key users"
			if r.Purpose == tenancy.ForMUser {
				warned = "warns no one: add IT contacts"
			}
		}
		fmt.Fprintf(w, "  %s: valid until %s, renewed on %s; %s\n", printable(r.File), moment(r.NotAfter),
			r.RenewAt.UTC().Format(time.DateOnly), warned)
		for _, change := range r.Changes {
			fmt.Fprintf(w, "    %-8s  %s -> %s\n", change.What, cmp.Or(printable(change.From), "none"),
				cmp.Or(printable(change.To), "none"))
		}
	}
}

const (
	// importEvery is the time between two requests for an import's progress.
	importEvery = 300 * time.Millisecond
	// progressEvery is the time between two lines of progress.
	progressEvery = 5 * time.Second
)

// carryOut starts the application or the undoing of an import, and waits for its end.
func (c *remote) carryOut(e env, id, verb string, body any) error {
	path := "/imports/" + url.PathEscape(id)
	i, err := post[client.Import](c, path+"/"+verb, body)
	p := progress{from: i, since: time.Now(), shown: time.Now(), latest: i.Done, moved: time.Now()}
	for err == nil && i.LastError == "" && (i.State == tenancy.ImportApplying || i.State == tenancy.ImportUndoing) {
		time.Sleep(importEvery)
		i, err = get[client.Import](c, path)
		if now := time.Now(); err == nil && now.Sub(p.shown) >= progressEvery {
			fmt.Fprintln(e.err, p.line(i, now))
		}
	}
	switch {
	case err != nil:
		return err
	case i.LastError != "":
		return fmt.Errorf("import %s stopped after %d of %d tenants: %s", i.ID, i.Done, i.Total, i.LastError)
	}
	return c.show(e, i, "id", i.ID, "state", string(i.State), "tenants", fmt.Sprintf("%d of %d", i.Done, i.Total))
}

// progress describes the progress of an import, and estimates its end from the speed so far.
type progress struct {
	from         client.Import
	since, shown time.Time
	latest       int       // number of tenants in the latest line
	moved        time.Time // when it changed
}

// stuckAfter is the time without progress after which to check the log of the service, because a failed job is retried.
const stuckAfter = 20 * time.Second

// line describes the progress at now.
func (p *progress) line(i client.Import, now time.Time) string {
	p.shown = now
	if i.Done != p.latest {
		p.latest, p.moved = i.Done, now
	} else if stuck := now.Sub(p.moved); stuck >= stuckAfter {
		return fmt.Sprintf("%s: %d of %d tenants, no progress for %s: the log of the service may show why", i.State, i.Done,
			i.Total, stuck.Round(time.Second))
	}
	done, left := i.Done-p.from.Done, i.Total-i.Done
	if i.State == tenancy.ImportUndoing {
		done, left = -done, i.Done
	}
	text := fmt.Sprintf("%s: %d of %d tenants", i.State, i.Done, i.Total)
	if done <= 0 {
		return text
	}
	lasts := time.Duration(float64(now.Sub(p.since)) / float64(done) * float64(left))
	return fmt.Sprintf("%s, until about %s (%d a second)", text, now.Add(lasts).UTC().Format("15:04:05 UTC"),
		int(float64(done)/now.Sub(p.since).Seconds()))
}

type importApplyCmd struct {
	remote
	ID            string `arg:"" field:"import" help:"ID of the import, as perennial import list shows it."`
	AcceptChanges bool   `help:"Accept that first renewals change the issuer or names, as listed in the plan."`
}

func (c *importApplyCmd) Run(e env) error {
	return c.carryOut(e, c.ID, "apply", client.ImportApproval{AcceptChanges: c.AcceptChanges})
}

type importListCmd struct{ searched }

func (c *importListCmd) Run(e env) error {
	return list(&c.listing, e, c.search("/imports"), "ID\tSTATE\tTENANTS\tPROBLEMS\tWHEN\tWHO", c.none("No imports."),
		func(i client.Import) []any {
			return []any{i.ID, i.State, fmt.Sprintf("%d of %d", i.Done, i.Total), len(i.Problems), moment(i.CreatedAt),
				i.CreatedBy}
		})
}

type importUndoCmd struct {
	remote
	ID string `arg:"" field:"import" help:"ID of the import, as perennial import list shows it."`
}

func (c *importUndoCmd) Run(e env) error { return c.carryOut(e, c.ID, "undo", nil) }

// readFull reads a file that must not be empty.
func readFull(name string) ([]byte, error) {
	data, err := os.ReadFile(name)
	if err == nil && len(data) == 0 {
		err = fmt.Errorf("%s: the file is empty", name)
	}
	return data, err
}
