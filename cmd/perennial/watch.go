package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/perennial-pki/perennial/client"
	"github.com/perennial-pki/perennial/internal/service"
	"github.com/perennial-pki/perennial/policy"
	"github.com/perennial-pki/perennial/tenancy"
)

type watchCmd struct {
	Add    watchAddCmd    `cmd:"" help:"Watch a certificate that belongs to another organisation."`
	List   watchListCmd   `cmd:"" help:"List the watched certificates."`
	Show   watchShowCmd   `cmd:"" help:"Show a watched certificate: when it is renewed, and which systems know it."`
	Update watchUpdateCmd `cmd:"" help:"Upload the new certificate, and compare it with the one before."`
	Look   watchLookCmd   `cmd:"" help:"Look at the source of a watched certificate now."`
	Link   watchLinkCmd   `cmd:"" help:"Create a link for the administrator of a system: the new certificate, with instructions and a button to report it as installed."`
	Links  watchLinksCmd  `cmd:"" help:"List the links of a watched certificate."`
	Unlink watchUnlinkCmd `cmd:"" help:"Revoke a link."`
	Change watchChangeCmd `cmd:"" help:"Change how a certificate is watched."`
	Remove watchRemoveCmd `cmd:"" help:"Stop watching a certificate."`
	Import watchImportCmd `cmd:"" help:"Watch many certificates: those of files, or of tables."`
}

// ofTenant holds the flag that selects the tenant of a watched certificate.
type ofTenant struct {
	Tenant string `env:"PERENNIAL_TENANT" placeholder:"NAME" help:"The tenant whose key users are notified (default: the only one)."`
}

// path returns the path of the watched certificates of the tenant, or of something below it.
func (o ofTenant) path(c *remote, parts ...string) (string, error) {
	tenant := o.Tenant
	if tenant == "" {
		api, err := c.connect()
		if err != nil {
			return "", err
		}
		page, err := client.ListPage[client.Tenant](context.Background(), api, "/tenants", "", 2)
		var refused *client.Error
		switch {
		case errors.As(err, &refused) && refused.Status == http.StatusForbidden:
			return "", misused("name your tenant with --tenant")
		case err != nil:
			return "", err
		case len(page.Items) == 0:
			return "", errors.New("there are no tenants yet: create one for your company, with perennial tenant create acme")
		case len(page.Items) > 1:
			return "", misused("there are several tenants: name one with --tenant")
		}
		tenant = page.Items[0].Name
	}
	return in(tenant, append([]string{"watched"}, parts...)...), nil
}

// oneWatched names a watched certificate.
type oneWatched struct {
	remote
	ofTenant
	Name string `arg:"" field:"watched" help:"The name under which the certificate is watched."`
}

func (c *oneWatched) path(parts ...string) (string, error) {
	return c.ofTenant.path(&c.remote, append([]string{c.Name}, parts...)...)
}

// watchSettings holds the flags that describe how a certificate is watched. A flag that is not given is nil or empty.
type watchSettings struct {
	Policy   *string  `placeholder:"NAME|FILE" field:"policy,policy_file" help:"The policy by which the owner renews: a built-in one, or a policy file."`
	Window   *string  `placeholder:"DURATION" help:"Without a policy: the time before the expiry in which the owner renews (default: 93d)."`
	Owner    *string  `help:"Who renews the certificate, such as SAP. Notices name it."`
	System   []string `sep:"none" placeholder:"NAME[=IDENTIFIER,...]" field:"systems" help:"A system of yours that knows the certificate, and what it compares: certificate, issuer-serial, key, subject-issuer, subject, san, ca or newest-only. May be repeated."`
	Folder   string   `xor:"source" placeholder:"PATH" field:"source" help:"Look for new certificates in this folder of the service's machine. For operators."`
	Download string   `xor:"source" placeholder:"URL" field:"source" help:"Look for new certificates at this https URL."`
	Server   string   `xor:"source" placeholder:"HOST:PORT" field:"source" help:"Watch the certificate of this TLS server."`
}

// apply sets what the flags give.
func (s watchSettings) apply(v *client.Watched) error {
	if s.Policy != nil {
		v.Policy, v.PolicyFile = *s.Policy, ""
		if _, err := policy.Preset(*s.Policy); err != nil && isFile(*s.Policy) {
			p, err := service.ReadPolicy(*s.Policy)
			if err != nil {
				return err
			}
			v.Policy, v.PolicyFile = p.Name, p.YAML()
		}
		if v.Policy != "" {
			v.Window = ""
		}
	}
	if s.Window != nil {
		if v.Window = *s.Window; v.Window != "" && s.Policy == nil {
			v.Policy = ""
		}
	}
	if s.Owner != nil {
		v.Owner = *s.Owner
	}
	if len(s.System) > 0 {
		v.Systems = nil
	}
	for _, text := range s.System {
		name, identifiers, given := strings.Cut(text, "=")
		system := client.WatchSystem{Name: name}
		if given {
			for id := range strings.SplitSeq(identifiers, ",") {
				system.IdentifiesBy = append(system.IdentifiesBy, tenancy.Identifier(strings.TrimSpace(id)))
			}
		}
		v.Systems = append(v.Systems, system)
	}
	for _, source := range []client.WatchSource{{Kind: tenancy.WatchFolder, Address: s.Folder},
		{Kind: tenancy.WatchURL, Address: s.Download}, {Kind: tenancy.WatchServer, Address: s.Server}} {
		if source.Address != "" {
			v.Source = source
		}
	}
	if v.Source.Kind == tenancy.WatchFolder && s.Folder != "" {
		path, err := filepath.Abs(s.Folder)
		v.Source.Address = path
		return err
	}
	return nil
}

func isFile(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

type watchAddCmd struct {
	oneWatched
	watchSettings
	File string `placeholder:"FILE" help:"The present certificate, in any form; - for standard input. May be left out with --folder, --download or --server."`
}

func (c *watchAddCmd) Run(e env) error {
	v := client.Watched{Name: c.Name}
	if err := c.apply(&v); err != nil {
		return err
	}
	if c.File != "" {
		var err error
		if v.File, err = e.readArgument(c.File); err != nil {
			return err
		}
	}
	path, err := c.ofTenant.path(&c.remote)
	if err != nil {
		return err
	}
	if v, err = post[client.Watched](&c.remote, path, v); err != nil {
		return err
	}
	return showWatched(&c.remote, e, v)
}

type watchListCmd struct {
	searched
	ofTenant
}

func (c *watchListCmd) Run(e env) error {
	path, err := c.path(&c.remote)
	if err != nil {
		return err
	}
	return list(&c.listing, e, c.search(path), "NAME\tOWNER\tSTAGE\tRENEWAL\tVALID UNTIL\tSOURCE\tPROBLEM",
		c.none("No watched certificates. Watch one: perennial watch add acme-c4c --file tenant.cer --policy sap-c4c"),
		func(v client.Watched) []any {
			notAfter, renewal := "-", "-"
			if v.Newest != nil {
				notAfter = when(v.Newest.NotAfter)
			}
			if v.Expected != nil {
				renewal = renewalText(*v.Expected)
			}
			return []any{v.Name, cmp.Or(v.Owner, "-"), v.Stage, renewal, notAfter, sourceText(v.Source),
				cmp.Or(v.LookError, "-")}
		})
}

func renewalText(e client.WatchExpected) string {
	if e.RenewsAt.IsZero() {
		return "from " + moment(e.From)
	}
	return moment(e.RenewsAt)
}

func sourceText(s client.WatchSource) string {
	return cmp.Or(s.Address, "uploads")
}

type watchShowCmd struct{ oneWatched }

func (c *watchShowCmd) Run(e env) error {
	path, err := c.path()
	if err != nil {
		return err
	}
	v, err := get[client.Watched](&c.remote, path)
	if err != nil {
		return err
	}
	return showWatched(&c.remote, e, v)
}

func showWatched(c *remote, e env, v client.Watched) error {
	rules := "window of " + cmp.Or(v.Window, "93d")
	if v.Policy != "" {
		rules = "policy " + v.Policy
	}
	lines := []any{"name", v.Name, "owner", v.Owner, "renews by", rules, "source", sourceText(v.Source)}
	if n := v.Newest; n != nil {
		lines = append(lines, "subject", n.Subject, "issuer", n.Issuer, "serial", n.Serial, "in decimal", n.SerialDecimal,
			"SHA-256", n.Fingerprint, "valid from", when(n.NotBefore), "valid until", when(n.NotAfter))
	}
	if x := v.Expected; x != nil {
		lines = append(lines, "stage", v.Stage, "warning", moment(x.WarnAt), "renewal", renewalText(*x), "late from",
			moment(x.OverdueAt))
	}
	if !v.Failing.IsZero() {
		lines = append(lines, "not read", "since "+moment(v.Failing)+": "+v.LookError)
	}
	if err := c.show(e, v, lines...); err != nil || c.Output == "json" {
		return err
	}
	systems := v.Systems
	if v.LastChange != nil && v.Stage == policy.StageQuiet { // the last renewal is nearer than the next one
		systems = v.LastChange.Systems
	}
	if err := showSystems(e, systems); err != nil || len(v.History) < 2 {
		return err
	}
	fmt.Fprintln(e.out)
	return table(e.out, "SEEN\tBY\tVALID UNTIL\tSHA-256\tNOT EXPECTED BECAUSE", func(row func(...any)) {
		for _, h := range v.History {
			row(moment(h.SeenAt), h.SeenBy, moment(h.NotAfter), h.Fingerprint, cmp.Or(surprisesText(h), "-"))
		}
	})
}

func surprisesText(s client.WatchedSeen) string {
	texts := make([]string, len(s.Surprises))
	for i, why := range s.Surprises {
		texts[i] = string(why)
	}
	return strings.Join(texts, ", ")
}

// showSystems prints what to do in each system, and when the certificate was reported as installed there.
func showSystems(e env, systems []client.WatchSystem) error {
	if len(systems) == 0 {
		return nil
	}
	fmt.Fprintln(e.out)
	return table(e.out, "SYSTEM\tADMINISTRATOR\tINSTALLED\tWHAT TO DO", func(row func(...any)) {
		for _, s := range systems {
			row(s.Name, cmp.Or(s.Contact, "-"), when(s.Installed), s.Advice)
		}
	})
}

type watchUpdateCmd struct {
	oneWatched
	File   string `required:"" placeholder:"FILE" field:"certificate" help:"The new certificate, in any form; - for standard input."`
	Accept bool   `help:"Accept a certificate with other names than the watched one."`
}

func (c *watchUpdateCmd) Run(e env) error {
	data, err := e.readArgument(c.File)
	if err != nil {
		return err
	}
	path, err := c.path("certificates")
	if err != nil {
		return err
	}
	s, err := post[client.Sighting](&c.remote, path, client.WatchUpload{Certificate: data, Accept: c.Accept})
	if err != nil {
		return err
	}
	return c.showSighting(e, s)
}

type watchLookCmd struct{ oneWatched }

func (c *watchLookCmd) Run(e env) error {
	path, err := c.path("look")
	if err != nil {
		return err
	}
	s, err := post[client.Sighting](&c.remote, path, nil)
	if err != nil {
		return err
	}
	return c.showSighting(e, s)
}

// showSighting prints what a new certificate changes, and what to do.
func (c *oneWatched) showSighting(e env, s client.Sighting) error {
	if c.Output == "json" {
		return writeJSON(e.out, s)
	}
	if !s.New {
		fmt.Fprintf(e.out, "Nothing new: this certificate of %s was first seen on %s.\n", c.Name, moment(s.Seen.SeenAt))
		return nil
	}
	if why := surprisesText(s.Seen); why != "" {
		fmt.Fprintf(e.out, "NOT EXPECTED (%s): ask the owner whether it is genuine before you install it.\n\n", why)
	} else {
		fmt.Fprintf(e.out, "The certificate %s has been renewed, as expected.\n\n", c.Name)
	}
	row := func(name string, from, to any) []any { return []any{name, from, to} }
	rows := [][]any{
		row("subject", s.Before.Subject, s.Seen.Subject), row("issuer", s.Before.Issuer, s.Seen.Issuer),
		row("serial", s.Before.Serial, s.Seen.Serial), row("SHA-256", s.Before.Fingerprint, s.Seen.Fingerprint),
		row("valid from", moment(s.Before.NotBefore), moment(s.Seen.NotBefore)),
		row("valid until", moment(s.Before.NotAfter), moment(s.Seen.NotAfter)),
	}
	if err := table(e.out, "\tOLD\tNEW", func(print func(...any)) {
		for _, r := range rows {
			print(r...)
		}
	}); err != nil {
		return err
	}
	if s.Changes != nil {
		fmt.Fprintf(e.out, "\nChanges: %s.\n", changesText(*s.Changes))
	}
	return showSystems(e, s.Systems)
}

// changesText lists what changes between two certificates.
func changesText(c tenancy.Changes) string {
	parts := []string{"serial number, dates"}
	for _, p := range []struct {
		changed bool
		name    string
	}{{c.Key, "public key"}, {c.Subject, "subject"}, {c.SAN, "alternative names"}, {c.Issuer, "issuing CA"},
		{c.Root, "root CA"}} {
		if p.changed {
			parts = append(parts, p.name)
		}
	}
	return strings.Join(parts, ", ")
}

type watchChangeCmd struct {
	oneWatched
	watchSettings
	Uploads bool `xor:"source" help:"Look at no source any longer: new certificates are uploaded."`
}

func (c *watchChangeCmd) Run(e env) error {
	path, err := c.path()
	if err != nil {
		return err
	}
	v, err := change(&c.remote, path, func(v *client.Watched) error {
		if c.Uploads {
			v.Source = client.WatchSource{}
		}
		v.Newest, v.Expected, v.History, v.LastChange, v.Stage = nil, nil, nil, nil, ""
		v.LookedAt, v.Failing, v.LookError, v.CreatedAt = time.Time{}, time.Time{}, "", time.Time{}
		for i := range v.Systems {
			v.Systems[i] = client.WatchSystem{Name: v.Systems[i].Name, IdentifiesBy: v.Systems[i].IdentifiesBy}
		}
		return c.apply(v)
	})
	if err != nil {
		return err
	}
	return showWatched(&c.remote, e, v)
}

type watchRemoveCmd struct{ oneWatched }

func (c *watchRemoveCmd) Run(e env) error {
	path, err := c.path()
	if err != nil {
		return err
	}
	return c.remove(e, path, "The certificate "+c.Name+" is no longer watched.")
}
