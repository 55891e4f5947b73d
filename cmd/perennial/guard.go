package main

import (
	"encoding/json"
	"fmt"
	"text/tabwriter"
	"time"

	"github.com/perennial-pki/perennial/acceptance"
	"github.com/perennial-pki/perennial/internal/ingress/guard"
	"github.com/perennial-pki/perennial/internal/service"
)

type guardCmd struct {
	Explain guardExplainCmd `cmd:"" help:"Explain which certificates of partners a system accepts. Nothing is changed."`
}

type guardExplainCmd struct {
	Files  []string `arg:"" name:"file" help:"Certificates, each with the CAs above it: PEM, DER or PKCS#7 files, or - for standard input."`
	Config string   `default:"guard.yaml" placeholder:"FILE" help:"The partners and their rules (default: guard.yaml)."`
	At     string   `placeholder:"RFC3339|DATE" help:"The instant of the decision (default: now)."`
	Output string   `enum:"table,json" default:"table" help:"table or json."`
}

// explainedJSON is the JSON form of a decision.
type explainedJSON struct {
	File     string             `json:"file"`
	Decision acceptance.Outcome `json:"decision"`
	Partner  string             `json:"partner"`
	Code     acceptance.Code    `json:"code"`
	Reason   string             `json:"reason"`
}

func (c guardExplainCmd) Run(e env) error {
	now := e.now()
	if c.At != "" {
		var err error
		if now, err = parseInstant(c.At); err != nil {
			return fmt.Errorf("--at: %w", err)
		}
	}
	config, err := guard.Load(c.Config, service.ReadPolicy)
	if err != nil {
		return err
	}
	partners, err := acceptance.New(config.Partners)
	if err != nil {
		return fmt.Errorf("%s: %w", c.Config, err)
	}
	all := []explainedJSON{}
	for _, file := range c.Files {
		for _, d := range explain(e, partners, file, now) {
			all = append(all, explainedJSON{file, d.Outcome, d.Partner, d.Code, d.Reason})
		}
	}
	if c.Output == "json" {
		return json.NewEncoder(e.out).Encode(all)
	}
	table := tabwriter.NewWriter(e.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "FILE\tDECISION\tPARTNER\tCODE\tREASON")
	for _, d := range all {
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\n", d.File, d.Decision, d.Partner, d.Code, d.Reason)
	}
	return table.Flush()
}

// explain returns the decisions about a file. One that cannot be read is refused.
func explain(e env, partners *acceptance.Partners, file string, now time.Time) []acceptance.Decision {
	data, err := e.readArgument(file)
	if err != nil {
		return []acceptance.Decision{guard.Unreadable(err)}
	}
	return guard.Explain(partners, data, now)
}
