package main

import (
	"context"
	"fmt"

	"github.com/perennial-pki/perennial/internal/service"
)

type rulesCmd struct {
	Show   rulesShowCmd   `cmd:"" help:"Show the rules of a database, and their fingerprint."`
	Change rulesChangeCmd `cmd:"" help:"Change the rules for all replicas. Without --apply, only print the effects."`
}

type rulesShowCmd struct {
	Database string `default:"sqlite:perennial.db" env:"PERENNIAL_DATABASE" help:"The database. A service may use it at the same time."`
	Output   string `enum:"table,json" default:"table" help:"table or json."`
}

func (c *rulesShowCmd) Run(e env) error {
	r, err := service.ReadRules(context.Background(), c.Database)
	if err != nil {
		return err
	}
	p, err := r.LoadPolicy()
	if err != nil {
		return err
	}
	if c.Output == "json" {
		return writeJSON(e.out, struct {
			Policy       policyJSON `json:"policy"`
			Organization string     `json:"organization"`
			TrustDomain  string     `json:"trust_domain"`
			Issuer       string     `json:"issuer"`
			MUser        string     `json:"m_user"`
			TenantKeys   string     `json:"tenant_keys"`
			Fingerprint  string     `json:"fingerprint"`
		}{viewPolicy(p), r.Organization, r.TrustDomain, r.Issuer, r.MUser, r.TenantKeys, r.Fingerprint()})
	}
	_, err = fmt.Fprintf(e.out, "policy        %s\norganization  %s\ntrust domain  %s\nissuer        %s\n"+
		"M-users       %s\ntenants' keys %s\nfingerprint   %s\n", p.Name, printable(r.Organization),
		printable(r.TrustDomain), printable(r.Issuer), r.MUser, printable(r.TenantKeys), r.Fingerprint())
	return err
}

type rulesChangeCmd struct {
	Database     string `default:"sqlite:perennial.db" env:"PERENNIAL_DATABASE" help:"The database. A service may use it at the same time."`
	Policy       string `placeholder:"NAME|FILE" help:"A built-in policy, or the path of a policy file."`
	Organization string `placeholder:"NAME" help:"O in the subject of certificates."`
	TrustDomain  string `placeholder:"NAME" help:"Always refused, with the reason: the trust domain is part of every CA."`
	Issuer       string `placeholder:"NAME" help:"The CA of every credential that does not name another one: local, or an issuer in the file of --issuers."`
	MUser        string `name:"m-user" enum:",on,off" default:"" placeholder:"on|off" help:"Whether new tenants get an M-user."`
	TenantKeys   string `name:"tenant-keys" placeholder:"sealed|URI" help:"Where the private keys of the next generations are: sealed in the database, or made in the token pkcs11:token=LABEL."`
	Apply        bool   `help:"Make the change."`
}

func (c *rulesChangeCmd) Run(e env) error {
	wanted := service.Certificates{Policy: c.Policy, Organization: c.Organization, TrustDomain: c.TrustDomain,
		Issuer: c.Issuer, MUser: c.MUser, TenantKeys: c.TenantKeys}
	if wanted == (service.Certificates{}) {
		return misused("nothing to change: set --policy, --organization, --issuer, --m-user or --tenant-keys")
	}
	mode := service.Preview
	if c.Apply {
		mode = service.Apply
	}
	changes, err := service.ChangeRules(context.Background(), c.Database, wanted, mode, e.now())
	if err != nil {
		return err
	}
	for _, change := range changes {
		fmt.Fprintf(e.out, "%s: %s -> %s\n  %s\n", change.Flag, printable(change.From), printable(change.To), change.Meaning)
	}
	switch {
	case len(changes) == 0:
		fmt.Fprintln(e.out, "The database has these rules already.")
	case c.Apply:
		fmt.Fprintln(e.out, "Changed. Restart every replica, and remove the flag from its settings or set the new value.")
	default:
		fmt.Fprintln(e.out, "Nothing has been changed yet. To make the change, run the same command with --apply.")
	}
	return nil
}
