package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/perennial-pki/perennial/internal/keys/certfile"
	"github.com/perennial-pki/perennial/internal/keys/issuer"
	"github.com/perennial-pki/perennial/internal/keys/issuers"
)

type issuerCmd struct {
	List issuerListCmd `cmd:"" help:"List the issuers of a file and their capabilities."`
	Test issuerTestCmd `cmd:"" help:"Issue and check one certificate for a throw-away name, and revoke it if the CA supports that."`
}

// issuersFile names the file of issuers and the names in their certificates.
type issuersFile struct {
	Issuers      string `required:"" env:"PERENNIAL_ISSUERS" placeholder:"FILE" help:"The file of issuers (YAML), see docs/issuers.md."`
	TrustDomain  string `default:"perennial.internal" env:"PERENNIAL_TRUST_DOMAIN" placeholder:"NAME" help:"Name of the installation in certificates."`
	Organization string `default:"Perennial" env:"PERENNIAL_ORGANIZATION" placeholder:"NAME" help:"O in the subject of certificates."`
}

func (f issuersFile) env(w io.Writer) issuers.Env {
	return issuers.Env{Form: issuer.Form{TrustDomain: f.TrustDomain, Organization: f.Organization},
		Log: slog.New(slog.NewTextHandler(w, nil))}
}

type issuerListCmd struct {
	issuersFile
	Output string `enum:"table,json" default:"table" help:"table or json."`
}

func (c *issuerListCmd) Run(e env) error {
	entries, err := issuers.Read(c.Issuers)
	if err != nil {
		return err
	}
	type row struct {
		Name         string   `json:"name"`
		Kind         string   `json:"kind"`
		Rate         float64  `json:"rate,omitempty"`
		Capabilities []string `json:"capabilities"`
	}
	var rows []row
	for _, one := range entries {
		opened, err := one.Open(c.env(e.err))
		if err != nil {
			return err
		}
		rows = append(rows, row{one.Name, one.Kind, one.Rate, issuers.Capabilities(opened)})
	}
	if c.Output == "json" {
		return writeJSON(e.out, rows)
	}
	return table(e.out, "NAME\tKIND\tRATE\tCAPABILITIES", func(line func(...any)) {
		for _, r := range rows {
			rate := "unlimited"
			if r.Rate > 0 {
				rate = fmt.Sprintf("%g/s", r.Rate)
			}
			line(r.Name, r.Kind, rate, strings.Join(r.Capabilities, ", "))
		}
	})
}

type issuerTestCmd struct {
	Name string `arg:"" help:"An issuer of the file."`
	issuersFile
	Validity time.Duration `default:"720h" help:"The validity to request."`
	Output   string        `enum:"table,json" default:"table" help:"table or json."`
}

func (c *issuerTestCmd) Run(e env) error {
	entries, err := issuers.Read(c.Issuers)
	if err != nil {
		return err
	}
	entry, err := issuers.Find(entries, c.Name)
	if err != nil {
		return err
	}
	settings := c.env(e.err)
	opened, err := entry.Open(settings)
	if err != nil {
		return err
	}
	report, err := issuers.Try(context.Background(), opened, settings.Form, issuer.Request{Validity: c.Validity}, e.now)
	if err != nil {
		return fmt.Errorf("issuer %s (%s), after %s: %w", c.Name, entry.Kind, report.Taken.Round(time.Millisecond), err)
	}
	if c.Output == "json" {
		return writeJSON(e.out, report)
	}
	return printReport(e.out, c.Name, entry.Kind, report)
}

func printReport(out io.Writer, name, kind string, r issuers.Report) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	line := func(what, text string) { fmt.Fprintf(w, "%s\t%s\n", what, printable(text)) }
	line("issuer", name+" ("+kind+")")
	if r.Later != "" {
		line("request", r.Later+", which the CA accepted and answers later; withdraw it there")
		return w.Flush()
	}
	line("subject", r.Subject)
	line("alternative names", r.SAN)
	line("serial number", r.Serial)
	line("valid", fmt.Sprintf("%s to %s, %.1f days", r.NotBefore.UTC().Format(time.RFC3339),
		r.NotAfter.UTC().Format(time.RFC3339), r.NotAfter.Sub(r.NotBefore).Hours()/24))
	line("key usage", r.KeyUsage)
	line("extended key usage", strings.ReplaceAll(strings.Join(r.Usages, ", "), certfile.ClientAuth, "clientAuth"))
	for _, authority := range r.Chain {
		line("chain", authority)
	}
	line("root", r.Root)
	line("time taken", r.Taken.Round(time.Millisecond).String())
	line("revoked", r.Revoked)
	for _, difference := range r.Differences() {
		line("note", difference)
	}
	return w.Flush()
}
