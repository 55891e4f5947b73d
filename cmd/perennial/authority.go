package main

import (
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"

	"github.com/perennial-pki/perennial/client"
	"github.com/perennial-pki/perennial/tenancy"
)

type authorityCmd struct {
	List     authorityListCmd     `cmd:"" help:"List the authorities of the service's CA and when their successors are announced."`
	Announce authorityAnnounceCmd `cmd:"" help:"Create and announce a new issuing CA."`
	CSR      authorityCSRCmd      `cmd:"" name:"csr" help:"Download the request for the next issuing CA, for a root whose key is elsewhere."`
	Install  authorityInstallCmd  `cmd:"" help:"Announce the issuing CA that a root elsewhere has signed."`
	Waiting  authorityWaitingCmd  `cmd:"" help:"List the arrangements whose receivers are not known to trust the announced CA."`
	Probe    authorityProbeCmd    `cmd:"" help:"Test whether a receiver trusts the announced CA."`
	Sign     authoritySignCmd     `cmd:"" help:"Sign with the announced CA from now on."`
	Revoke   authorityRevokeCmd   `cmd:"" help:"Revoke an issuing CA, sign with another one, and renew its certificates at once."`
}

type authorityListCmd struct{ listing }

func (c *authorityListCmd) Run(e env) error {
	return list(&c.listing, e, "/authorities", "KIND\tSUBJECT\tSTAGE\tSIGNS FROM\tVALID UNTIL\t"+
		"SUCCESSOR ANNOUNCED\tKEY\tID", "No authorities.",
		func(a client.Authority) []any {
			return []any{a.Kind, a.Subject, a.Stage, when(a.SignsFrom), moment(a.NotAfter), moment(a.AnnounceAt), a.Key,
				a.ID}
		})
}

type authorityAnnounceCmd struct {
	remote
	SignsFrom string `placeholder:"DATE" help:"Date from which it signs at the latest (default: in 93 days)."`
	NewRoot   bool   `help:"Create a new root too. Every receiver that trusts a CA must then trust the new root."`
}

func (c *authorityAnnounceCmd) Run(e env) error {
	body := map[string]any{"new_root": c.NewRoot}
	if c.SignsFrom != "" {
		at, err := parseInstant(c.SignsFrom)
		if err != nil {
			return fmt.Errorf("--signs-from: %w", err)
		}
		body["signs_from"] = at
	}
	a, err := post[client.Authority](&c.remote, "/authorities", body)
	if err != nil {
		return err
	}
	return c.showAuthority(e, a)
}

type authorityCSRCmd struct {
	remote
	File string `short:"o" placeholder:"FILE" help:"Where to write it (default: standard output)."`
}

func (c *authorityCSRCmd) Run(e env) error {
	r, err := post[client.AuthorityRequest](&c.remote, "/authorities/request", nil)
	if err != nil {
		return err
	}
	if c.File != "" {
		return os.WriteFile(c.File, []byte(r.CSR), 0o644)
	}
	_, err = io.WriteString(e.out, r.CSR)
	return err
}

type authorityInstallCmd struct {
	remote
	File      string `arg:"" help:"Its certificate with those above it up to the self-signed root, in any form and order; - for standard input."`
	SignsFrom string `placeholder:"DATE" help:"Date from which it signs at the latest (default: in 93 days)."`
}

func (c *authorityInstallCmd) Run(e env) error {
	data, err := e.readArgument(c.File)
	if err != nil {
		return err
	}
	body := map[string]any{"chain": data}
	if c.SignsFrom != "" {
		if body["signs_from"], err = parseInstant(c.SignsFrom); err != nil {
			return fmt.Errorf("--signs-from: %w", err)
		}
	}
	a, err := post[client.Authority](&c.remote, "/authorities/install", body)
	if err != nil {
		return err
	}
	return c.showAuthority(e, a)
}

func (c *remote) showAuthority(e env, a client.Authority) error {
	return c.show(e, a, "id", a.ID, "subject", a.Subject, "stage", a.Stage, "signs from", when(a.SignsFrom), "valid until",
		moment(a.NotAfter))
}

// announced returns the ID of the issuing CA that does not sign yet.
func (c *remote) announced() (string, error) {
	authorities, err := all[client.Authority](c, "/authorities")
	if err != nil {
		return "", err
	}
	a, ok := client.AnnouncedAuthority(authorities)
	if !ok {
		return "", errors.New("no new CA is announced: perennial authority list shows when the next one will be")
	}
	return url.PathEscape(a.ID), nil
}

type authorityWaitingCmd struct{ listing }

func (c *authorityWaitingCmd) Run(e env) error {
	id, err := c.announced()
	if err != nil {
		return err
	}
	return list(&c.listing, e, "/authorities/"+id+"/waiting", "ARRANGEMENT\tTRUST\tSINCE\tBY\tANSWER",
		"No receiver is waited for.", func(t client.Trust) []any {
			trust := string(t.Trust)
			if t.Trust == tenancy.TrustUnknown {
				trust = "unknown"
			}
			return []any{t.Tenant + "/" + t.Arrangement, trust, when(t.At), t.By, t.Answer}
		})
}

type authorityProbeCmd struct {
	anArrangement
	Installed bool `help:"Do not test: record that the CA is installed, as the receiver's administrator told you."`
}

func (c *authorityProbeCmd) Run(e env) error {
	t, err := act[client.AskedTrust](&c.anArrangement, map[string]bool{"installed": c.Installed}, "authority")
	if err != nil {
		return err
	}
	trust := string(t.Trust.Trust)
	if t.Trust.Trust == tenancy.TrustUnknown {
		trust = "unknown"
	}
	return c.show(e, t, "arrangement", t.Tenant+"/"+t.Arrangement, "new CA", trust, "answer", t.Answer)
}

type authoritySignCmd struct{ remote }

func (c *authoritySignCmd) Run(e env) error {
	id, err := c.announced()
	if err != nil {
		return err
	}
	a, err := post[client.Authority](&c.remote, "/authorities/"+id+"/sign", nil)
	if err != nil {
		return err
	}
	return c.showAuthority(e, a)
}

type authorityRevokeCmd struct {
	remote
	ID     string `arg:"" help:"ID of the authority, see perennial authority list."`
	Reason string `enum:"compromised,superseded" default:"compromised" help:"compromised: its key may be in the wrong hands; superseded: it must not be used any more for another reason."`
}

func (c *authorityRevokeCmd) Run(e env) error {
	a, err := post[client.Authority](&c.remote, "/authorities/"+url.PathEscape(c.ID)+"/revoke",
		map[string]string{"reason": c.Reason})
	if err != nil {
		return err
	}
	return c.show(e, a, "id", a.ID, "subject", a.Subject, "stage", a.Stage, "revoked", moment(a.RevokedAt),
		"its certificates", "are renewed in the background, and their key users are notified")
}
