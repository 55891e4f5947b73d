package main

import (
	"fmt"
	"net/http"
	"os"
	"strconv"

	"github.com/perennial-pki/perennial/internal/front/api"
)

type certificateCmd struct {
	List     certificateListCmd     `cmd:"" help:"List all generations."`
	Show     certificateShowCmd     `cmd:"" help:"Show a certificate and what will happen to it."`
	Download certificateDownloadCmd `cmd:"" help:"Download a certificate; never its key."`
	Renew    certificateRenewCmd    `cmd:"" help:"Renew now; refused with the reason while much validity is left."`
}

type certificateListCmd struct {
	client
	Tenant string `arg:""`
}

func (c *certificateListCmd) Run(e env) error {
	return list(&c.client, e, in(c.Tenant, "certificates"), "PURPOSE\tGENERATION\tSTATE\tVALID FROM\tVALID UNTIL\tSERIAL",
		"No certificates.",
		func(v api.Certificate) []any {
			return []any{v.Purpose, v.Generation, v.State, moment(v.NotBefore), moment(v.NotAfter), v.Serial}
		})
}

// oneCertificate names a generation: the newest where none is given.
type oneCertificate struct {
	client
	Tenant     string `arg:""`
	Purpose    string `enum:"tenant,m-user" default:"tenant" help:"tenant or m-user."`
	Generation int    `help:"Which generation (default: the newest)."`
}

func (c *oneCertificate) get() (v api.Certificate, err error) {
	if c.Generation > 0 {
		_, err = c.send(http.MethodGet, in(c.Tenant, "certificates", c.Purpose, strconv.Itoa(c.Generation)), nil, &v)
		return v, err
	}
	generations, err := all[api.Certificate](&c.client, in(c.Tenant, "certificates"))
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

func showCertificate(c *client, e env, v api.Certificate) error {
	return c.show(e, v, "purpose", v.Purpose, "generation", v.Generation, "state", v.State, "subject", v.Subject, "serial",
		v.Serial, "SHA-256", v.Fingerprint,
		"valid from", moment(v.NotBefore), "valid until", moment(v.NotAfter), "key type", v.KeyType, "revoked for",
		v.RevokedFor)
}

type certificateShowCmd struct{ oneCertificate }

func (c *certificateShowCmd) Run(e env) error {
	v, err := c.get()
	if err != nil {
		return err
	}
	if err := showCertificate(&c.client, e, v); err != nil || c.Output == "json" {
		return err
	}
	var f api.TenantForecast
	if _, err := c.send(http.MethodGet, in(c.Tenant, "forecast"), nil, &f); err != nil {
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
	File   string `short:"o" placeholder:"FILE" help:"Where to write it (default: standard output)."`
}

func (c *certificateDownloadCmd) Run(e env) error {
	v, err := c.get()
	if err != nil {
		return err
	}
	var data []byte
	if _, err := c.send(http.MethodGet, in(c.Tenant, "certificates", c.Purpose, strconv.Itoa(v.Generation),
		"download")+"?format="+c.Format, nil, &data); err != nil {
		return err
	}
	if c.File != "" {
		return os.WriteFile(c.File, data, 0o644)
	}
	_, err = e.out.Write(data)
	return err
}

type certificateRenewCmd struct {
	client
	Tenant  string `arg:""`
	Purpose string `enum:"tenant,m-user" default:"tenant" help:"tenant or m-user."`
	Reason  string `enum:",lost,compromised,reissue" default:"" help:"For operators, at any time: lost, compromised (both revoke the old one) or reissue."`
}

func (c *certificateRenewCmd) Run(e env) error {
	body := map[string]string{}
	if c.Reason != "" {
		body["reason"] = c.Reason
	}
	var v api.Certificate
	if _, err := c.send(http.MethodPost, in(c.Tenant, "certificates", c.Purpose, "renew"), body, &v); err != nil {
		return err
	}
	return showCertificate(&c.client, e, v)
}

type outlookCmd struct{ client }

func (c *outlookCmd) Run(e env) error {
	var f api.FleetForecast
	if _, err := c.send(http.MethodGet, "/forecast", nil, &f); err != nil {
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
