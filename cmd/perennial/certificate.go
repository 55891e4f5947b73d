package main

import (
	"cmp"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/perennial-pki/perennial/client"
	"github.com/perennial-pki/perennial/tenancy"
)

type certificateCmd struct {
	List     certificateListCmd     `cmd:"" help:"List all generations."`
	Show     certificateShowCmd     `cmd:"" help:"Show a certificate and when it will be renewed."`
	Download certificateDownloadCmd `cmd:"" help:"Download a certificate; never its key."`
	Renew    certificateRenewCmd    `cmd:"" help:"Renew now. Refused, with the reason, if much validity is left."`
	Revoke   certificateRevokeCmd   `cmd:"" help:"For operators: revoke one generation. The newest is renewed."`
}

type certificateListCmd struct {
	searched
	Tenant  string `arg:""`
	Purpose string `help:"Only generations of this credential."`
	State   string `enum:",standby,active,retired,revoked" default:"" help:"Only generations in this state: ${enum}."`
}

func (c *certificateListCmd) Run(e env) error {
	return list(&c.listing, e, c.search(in(c.Tenant, "certificates"), "purpose", c.Purpose, "state", c.State),
		"PURPOSE\tGENERATION\tSTATE\tVALID FROM\tVALID UNTIL\tSERIAL", c.none("No certificates."),
		func(v client.Certificate) []any {
			return []any{v.Purpose, v.Generation, v.State, moment(v.NotBefore), moment(v.NotAfter), v.Serial}
		})
}

// oneCertificate names a generation; the newest if none is given.
type oneCertificate struct {
	remote
	Tenant     string `arg:""`
	Purpose    string `default:"tenant" help:"Name of the credential: tenant, m-user, or an added one."`
	Generation count  `least:"1" help:"The generation (default: the newest)."`
}

func (c *oneCertificate) find() (v client.Certificate, err error) {
	if c.Generation > 0 {
		return get[client.Certificate](&c.remote, in(c.Tenant, "certificates", c.Purpose, strconv.Itoa(int(c.Generation))))
	}
	generations, err := all[client.Certificate](&c.remote, in(c.Tenant, "certificates"))
	for _, g := range generations {
		if string(g.Purpose) == c.Purpose && g.Generation > v.Generation {
			v = g
		}
	}
	if err == nil && v.Generation == 0 {
		err = fmt.Errorf("%s has no %s certificate", c.Tenant, c.Purpose)
	}
	return v, err
}

func showCertificate(c *remote, e env, v client.Certificate) error {
	return c.show(e, v, "purpose", v.Purpose, "generation", v.Generation, "state", v.State, "subject", v.Subject,
		"serial", v.Serial, "in decimal", v.SerialDecimal, "in OpenSSL", v.SerialOpenSSL, "in .NET", v.SerialDotNET,
		"SHA-256", v.Fingerprint, "valid from", moment(v.NotBefore), "valid until", moment(v.NotAfter), "key type", v.KeyType,
		"revoked for", v.RevokedFor)
}

type certificateShowCmd struct{ oneCertificate }

func (c *certificateShowCmd) Run(e env) error {
	v, err := c.find()
	if err != nil {
		return err
	}
	if err := showCertificate(&c.remote, e, v); err != nil || c.Output == "json" {
		return err
	}
	f, err := get[client.TenantForecast](&c.remote, in(c.Tenant, "forecast"))
	if err != nil {
		return err
	}
	for _, cert := range f.Certificates {
		if cert.Purpose != v.Purpose || cert.Generation != v.Generation {
			continue
		}
		for _, ev := range cert.Events {
			fmt.Fprintf(e.out, "%-13s %s (%.2f days left)\n", "will "+string(ev.Action), moment(ev.At), ev.DaysLeft)
		}
	}
	return nil
}

type certificateDownloadCmd struct {
	oneCertificate
	Format string `enum:"pem,der,pkcs7" default:"pem" help:"pem, der or pkcs7 (with its chain)."`
	File   string `short:"o" placeholder:"FILE" help:"The file to write (default: standard output)."`
}

func (c *certificateDownloadCmd) Run(e env) error {
	v, err := c.find()
	if err != nil {
		return err
	}
	file, err := c.exchange(client.Request{Method: http.MethodGet, Path: in(c.Tenant, "certificates", c.Purpose,
		strconv.Itoa(v.Generation), "download") + "?format=" + c.Format})
	if err != nil {
		return err
	}
	return c.deliver(e, c.File, file.Body)
}

type certificateRenewCmd struct {
	remote
	Tenant  string `arg:""`
	Purpose string `default:"tenant" help:"Name of the credential: tenant, m-user, or an added one."`
	Reason  string `enum:",lost,compromised,reissue" default:"" help:"For operators, at any time: lost, compromised (both revoke every earlier generation) or reissue."`
}

func (c *certificateRenewCmd) Run(e env) error {
	body := map[string]string{}
	if c.Reason != "" {
		body["reason"] = c.Reason
	}
	v, err := post[client.IssuedCertificate](&c.remote, in(c.Tenant, "certificates", c.Purpose, "renew"), body)
	if err != nil {
		return err
	}
	return showIssued(&c.remote, e, c.Tenant, v)
}

// showIssued prints a generation that its CA may issue later, and what was revoked.
func showIssued(c *remote, e env, tenant string, v client.IssuedCertificate) error {
	if c.Output == "json" {
		return writeJSON(e.out, v)
	}
	show := showCertificate
	if v.State == tenancy.Requested {
		show = func(c *remote, e env, v client.Certificate) error {
			if err := c.show(e, v, "purpose", v.Purpose, "generation", v.Generation, "state", v.State); err != nil {
				return err
			}
			return waitsForCA(e, tenant)
		}
	}
	if err := show(c, e, v.Certificate); err != nil || len(v.Revoked) == 0 {
		return err
	}
	revoked := make([]string, len(v.Revoked))
	for i, n := range v.Revoked {
		revoked[i] = strconv.Itoa(n)
	}
	exposed := cmp.Or(strings.Join(v.Exposed, ", "), "none")
	if err := c.show(e, v, "revoked", strings.Join(revoked, ", "), "exposed", exposed); err != nil {
		return err
	}
	if len(v.Exposed) > 0 {
		fmt.Fprintln(e.out, "\nMessages of the exposed arrangements can be refused, or cannot be sent. See: perennial "+
			"rollover at-risk")
	}
	return nil
}

type certificateRevokeCmd struct {
	remote
	Tenant     string `arg:""`
	Generation count  `arg:"" least:"1"`
	Purpose    string `default:"tenant" help:"Name of the credential: tenant, m-user, or an added one."`
	Reason     string `enum:"lost,compromised" required:"" help:"lost or compromised."`
}

func (c *certificateRevokeCmd) Run(e env) error {
	path := in(c.Tenant, "certificates", c.Purpose, strconv.Itoa(int(c.Generation)), "revoke")
	v, err := post[client.IssuedCertificate](&c.remote, path, map[string]string{"reason": c.Reason})
	if err != nil {
		return err
	}
	if c.Output != "json" {
		fmt.Fprintf(e.out, "Generation %d is revoked. The newest generation:\n\n", c.Generation)
	}
	return showIssued(&c.remote, e, c.Tenant, v)
}

type outlookCmd struct{ remote }

func (c *outlookCmd) Run(e env) error {
	f, err := get[client.FleetForecast](&c.remote, "/forecast")
	if err != nil {
		return err
	}
	if c.Output == "json" {
		return writeJSON(e.out, f)
	}
	return table(e.out, "RUN DATE\tWARNS\tRENEWS", func(row func(...any)) {
		for _, r := range f.Runs {
			row(moment(r.RunDate), r.Warn, r.Renew)
		}
	})
}
