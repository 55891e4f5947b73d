package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/perennial-pki/perennial/internal/service"
	"github.com/perennial-pki/perennial/policy"
)

type policyCmd struct {
	List  policyListCmd  `cmd:"" help:"List the built-in policies."`
	Show  policyShowCmd  `cmd:"" help:"Show a policy in the form of a policy file."`
	Audit policyAuditCmd `cmd:"" help:"Compute how often a policy renews without an earlier warning. The exit status is 3 if the policy is not sound."`
}

type policyListCmd struct {
	Output string `enum:"table,json" default:"table" help:"table or json."`
}

// policyJSON is the JSON form of a policy. Its fields are those of a policy file.
type policyJSON struct {
	Name                 string  `json:"name"`
	Source               string  `json:"source"`
	Default              bool    `json:"default"`
	Schedule             string  `json:"schedule"`
	RenewWithin          string  `json:"renew_within"`
	WarnFrom             string  `json:"warn_from"`
	WarnTo               string  `json:"warn_to"`
	WarnOnce             bool    `json:"warn_once"`
	MailITContactsWithin *string `json:"mail_it_contacts_within,omitempty"`
	MailMUserSince       *string `json:"mail_m_user_since,omitempty"`
	Validity             string  `json:"validity"`
	Spread               *string `json:"spread,omitempty"`
}

func viewPolicy(p policy.Policy) policyJSON {
	v := policyJSON{
		Name: p.Name, Source: p.Source, Default: p.Name == policy.Default, Schedule: p.Schedule.String(),
		RenewWithin: p.RenewWithin.String(), WarnFrom: p.WarnFrom.String(), WarnTo: p.WarnTo.String(),
		WarnOnce: p.WarnOnce, Validity: policy.FormatDuration(p.Validity),
	}
	if p.Spread != 0 {
		v.Spread = new(policy.FormatDuration(p.Spread))
	}
	if !p.MailITContactsWithin.IsZero() {
		v.MailITContactsWithin = new(p.MailITContactsWithin.String())
	}
	if !p.MailMUserSince.IsZero() {
		v.MailMUserSince = new(p.MailMUserSince.Format(time.DateOnly))
	}
	return v
}

func (c policyListCmd) Run(e env) error {
	if c.Output == "json" {
		var all []policyJSON
		for _, p := range policy.Presets() {
			all = append(all, viewPolicy(p))
		}
		return writeJSON(e.out, all)
	}
	return table(e.out, "NAME\tRENEWS WITHIN\tWARNS\tRUNS\tSOURCE", func(row func(...any)) {
		for _, p := range policy.Presets() {
			name := p.Name
			if name == policy.Default {
				name += " (default)"
			}
			row(name, p.RenewWithin, fmt.Sprintf("%s to %s", p.WarnFrom, p.WarnTo), p.Schedule, p.Source)
		}
	})
}

type policyShowCmd struct {
	Name   string `arg:"" help:"A built-in policy, or the path of a policy file."`
	Output string `enum:"table,json" default:"table" help:"table (the form of a policy file) or json."`
}

func (c policyShowCmd) Run(e env) error {
	p, err := service.LoadPolicy(c.Name)
	if err != nil {
		return err
	}
	if c.Output == "json" {
		return writeJSON(e.out, viewPolicy(p))
	}
	_, err = io.WriteString(e.out, p.YAML())
	return err
}

type policyAuditCmd struct {
	Name   string `arg:"" help:"A built-in policy, or the path of a policy file."`
	Output string `enum:"table,json" default:"table" help:"table or json."`
}

func (c policyAuditCmd) Run(e env) error {
	p, err := service.ReadPolicy(c.Name)
	if err != nil {
		return err
	}
	r, err := policy.Audit(p)
	if err != nil {
		return fmt.Errorf("policy %s: %w", p.Name, err)
	}
	var unsound error
	if !r.Sound {
		unsound = &finding{exitUnsound, fmt.Sprintf("policy %s is not sound", p.Name)}
	}
	if c.Output == "json" {
		return errors.Join(writeJSON(e.out, r), unsound)
	}
	fmt.Fprintf(e.out, "policy %s: renews within %s, warns from %s to %s, %s\n", p.Name, p.RenewWithin, p.WarnFrom,
		p.WarnTo, p.Schedule)
	if r.Sound {
		fmt.Fprintln(e.out, "sound: every certificate is renewed before it expires")
	} else {
		fmt.Fprintf(e.out, "NOT SOUND, will be refused: %s\n", r.CounterExample)
	}
	if r.SurpriseFree {
		fmt.Fprintln(e.out, "no surprise: every renewal is announced by an earlier warning")
	}
	return errors.Join(unsound, table(e.out, "WITHOUT AN EARLIER WARNING\tSHARE\tCOUNT\tOF", func(row func(...any)) {
		row("over all expiry instants, 2025 to mid-2028", fmt.Sprintf("%.2f %%", r.Single.Share*100), r.Single.WithoutWarning,
			r.Single.Expiries)
		row(fmt.Sprintf("renewal after renewal, every %g to %g days", r.SteadyState.IntervalDays.Min,
			r.SteadyState.IntervalDays.Max),
			fmt.Sprintf("%.2f %%", r.SteadyState.Share*100), r.SteadyState.WithoutWarning, r.SteadyState.Renewals)
	}))
}

func writeJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}

// table prints rows under a header, with columns aligned. Rows that continue a table have no header. It escapes control
// characters, so that an external name cannot control the terminal.
func table(w io.Writer, header string, rows func(row func(cells ...any))) error {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	if header != "" {
		fmt.Fprintln(tw, header)
	}
	rows(func(cells ...any) {
		texts := make([]string, len(cells))
		for i, c := range cells {
			texts[i] = printable(fmt.Sprint(c))
		}
		fmt.Fprintln(tw, strings.Join(texts, "\t"))
	})
	return tw.Flush()
}
