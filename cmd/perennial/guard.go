package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"os/user"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/perennial-pki/perennial/acceptance"
	"github.com/perennial-pki/perennial/internal/egress/serve"
	"github.com/perennial-pki/perennial/internal/ingress/guard"
	"github.com/perennial-pki/perennial/internal/keys/certfile"
	"github.com/perennial-pki/perennial/internal/service"
	"github.com/perennial-pki/perennial/tenancy"
)

type guardCmd struct {
	Run     guardRunCmd     `cmd:"" default:"withargs" help:"Run the guard: in front of a system, or beside its proxy."`
	Init    guardInitCmd    `cmd:"" help:"Write the first configuration, from a partner's certificate."`
	Explain guardExplainCmd `cmd:"" help:"Explain which certificates of partners a system accepts. Nothing is changed."`
	Status  guardStatusCmd  `cmd:"" help:"List the certificates that are accepted, and those that you must decide about."`
	Accept  guardAcceptCmd  `cmd:"" help:"Accept a certificate that is held."`
	Refuse  guardRefuseCmd  `cmd:"" help:"Refuse a certificate that is held, or that was accepted by the rule."`
}

type guardRunCmd struct {
	Config string    `default:"guard.yaml" placeholder:"FILE" help:"The partners and their rules (default: guard.yaml)."`
	Log    serve.Log `embed:""`
}

// Run serves until the process is asked to stop. SIGHUP makes the guard read its files at once.
func (c guardRunCmd) Run(e env) error {
	ctx, stop := serve.UntilSignal()
	defer stop()
	log := c.Log.Logger(e.err)
	g, err := guard.Open(ctx, c.Config, guard.Options{Now: e.now, Log: log, Policies: service.ReadPolicy})
	if err != nil {
		return err
	}
	defer g.Close()
	reload := make(chan os.Signal, 1)
	signal.Notify(reload, syscall.SIGHUP)
	defer signal.Stop(reload)
	go func() {
		for {
			select {
			case <-ctx.Done():
				return
			case <-reload:
				if g.Reload(ctx) == nil {
					log.Info("the configuration was read again")
				}
			}
		}
	}()
	return g.Run(ctx, func() { c.welcome(e.out, g) })
}

// welcome prints the addresses, in the format of the log.
func (c guardRunCmd) welcome(out io.Writer, g *guard.Service) {
	front, decide, monitor := g.Addresses()
	if log := c.Log.Greeting(out); log != nil {
		log.Info("the guard is ready", "calls", front, "decisions", decide, "metrics", monitor)
		return
	}
	fmt.Fprintln(out, "The guard is ready")
	for _, line := range []struct{ name, address string }{{"calls", front}, {"decisions", decide}, {"metrics", monitor}} {
		if line.address != "" {
			fmt.Fprintf(out, "  %-10s %s\n", line.name, line.address)
		}
	}
}

type guardInitCmd struct {
	From       string   `required:"" placeholder:"FILE" help:"The partner's certificate: a PEM, DER or PKCS#7 file, or - for standard input."`
	Upstream   string   `required:"" placeholder:"URL" help:"The system that calls are passed on to, such as http://127.0.0.1:8000."`
	Policy     string   `placeholder:"NAME|FILE" xor:"when" help:"The policy by which the partner renews, such as sap-c4c."`
	Window     string   `placeholder:"SPAN" xor:"when" help:"The time before the expiry in which the partner renews, such as 62d (default: 93d)."`
	Name       string   `help:"The partner's name (default: from the certificate)."`
	Listen     string   `default:"0.0.0.0:443" placeholder:"HOST:PORT" help:"Where the guard takes calls (default: 0.0.0.0:443)."`
	ServerCert string   `placeholder:"FILE" and:"pair" xor:"certificate" help:"The guard's own certificate (PEM). Without it, a self-signed one is created."`
	ServerKey  string   `placeholder:"FILE" and:"pair" help:"Its private key (PEM)."`
	ACME       []string `name:"acme" xor:"certificate" placeholder:"HOST" help:"Get the guard's own certificate from Let's Encrypt, for these names."`
	Config     string   `default:"guard.yaml" placeholder:"FILE" help:"The file to write (default: guard.yaml)."`
}

func (c guardInitCmd) Run(e env) error {
	data, err := e.readArgument(c.From)
	if err != nil {
		return err
	}
	host, err := os.Hostname()
	if err != nil {
		host = "localhost"
	}
	created, err := guard.Plan{
		Path:         c.Config,
		From:         data,
		Name:         c.Name,
		Policy:       c.Policy,
		Window:       c.Window,
		Listen:       c.Listen,
		Upstream:     c.Upstream,
		Cert:         c.ServerCert,
		Key:          c.ServerKey,
		ACMEHosts:    c.ACME,
		Hostname:     host,
		PolicySource: service.ReadPolicy,
	}.Write(
		e.now(),
	)
	if err != nil {
		return fmt.Errorf("%s: %w", c.From, err)
	}
	fmt.Fprintf(e.out, "%s is known by the certificate of %s, valid until %s.\n", created.Partner,
		certfile.Name(created.Known.RawSubject), tenancy.Moment(created.Known.NotAfter))
	if created.Unrecognisable != "" {
		fmt.Fprintf(e.out, "No successor can be recognised, because %s: accept each new certificate yourself.\n",
			created.Unrecognisable)
	} else {
		fmt.Fprintf(e.out, "Its successor is accepted from %s on, beside it.\n", tenancy.Moment(created.From))
	}
	if created.WithoutCA && created.Unrecognisable == "" {
		fmt.Fprintln(e.out, "The file has no certificate of its CA: the partner must send that with its calls, as most do, "+
			"or add it to known.")
	}
	if created.SelfSigned {
		fmt.Fprintf(e.out, "The guard's own certificate is self-signed, for %s: use --server-cert and --server-key, or "+
			"--acme, if callers verify it.\n", host)
	}
	fmt.Fprintf(e.out, "Written: %s\nNext: perennial guard --config %s\n", strings.Join(created.Files, ", "),
		quoted(c.Config))
	return nil
}

// quoted quotes an argument for a shell if needed.
func quoted(argument string) string {
	if strings.Trim(argument, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./") == "" {
		return argument
	}
	return "'" + strings.ReplaceAll(argument, "'", `'\''`) + "'"
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
			return misused("--at: %w", err)
		}
	}
	config, err := guard.Load(c.Config, service.ReadPolicy)
	if err != nil {
		return err
	}
	partners, err := guard.Remembered(context.Background(), config)
	if err != nil {
		return err
	}
	all := []explainedJSON{}
	var unread []error
	for _, file := range c.Files {
		data, err := e.readArgument(file)
		var decisions []acceptance.Decision
		if err == nil {
			decisions, err = guard.Explain(partners, data, now)
		}
		if err != nil {
			decisions = []acceptance.Decision{guard.Unreadable(err)}
			unread = append(unread, fmt.Errorf("%s: %w", file, err))
		}
		for _, d := range decisions {
			all = append(all, explainedJSON{file, d.Outcome, d.Partner, d.Code, d.Reason})
		}
	}
	return errors.Join(c.print(e, all), errors.Join(unread...))
}

func (c guardExplainCmd) print(e env, all []explainedJSON) error {
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

type guardStatusCmd struct {
	Config string `default:"guard.yaml" placeholder:"FILE" help:"The partners and their rules (default: guard.yaml)."`
	Output string `enum:"table,json" default:"table" help:"table or json."`
}

// statusJSON is the JSON form of a certificate of a partner.
type statusJSON struct {
	Partner       string         `json:"partner"`
	SHA256        string         `json:"sha256"`
	Standing      guard.Standing `json:"standing"`
	NotAfter      time.Time      `json:"not_after"`
	By            string         `json:"by"`
	Feed          string         `json:"feed,omitempty"`
	Tenant        string         `json:"tenant,omitempty"`
	Arrangements  string         `json:"arrangements,omitempty"`
	Reason        string         `json:"reason,omitempty"`
	ExpectedFrom  *time.Time     `json:"successor_from,omitempty"`
	ExpectedUntil *time.Time     `json:"successor_until,omitempty"`
}

func (c guardStatusCmd) Run(e env) error {
	config, err := guard.Load(c.Config, service.ReadPolicy)
	if err != nil {
		return err
	}
	all, err := guard.ReadStatus(context.Background(), config, e.now())
	if err != nil {
		return err
	}
	if c.Output == "json" {
		lines := []statusJSON{}
		for _, v := range all {
			line := statusJSON{
				Partner:  v.Partner,
				SHA256:   v.Fingerprint.String(),
				Standing: v.Standing,
				NotAfter: v.NotAfter.UTC(),
				By:       v.By,
				Feed:     v.Source.Feed,
				Tenant:   v.Source.Tenant,
				Reason:   v.Reason,

				Arrangements: v.Arrangements,
			}
			if !v.ExpectedFrom.IsZero() {
				line.ExpectedFrom, line.ExpectedUntil = &v.ExpectedFrom, &v.ExpectedUntil
			}
			lines = append(lines, line)
		}
		return json.NewEncoder(e.out).Encode(lines)
	}
	held := 0
	table := tabwriter.NewWriter(e.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "PARTNER\tSHA-256\tSTANDING\tBY\tVALID UNTIL\tNEXT")
	for _, v := range all {
		next := ""
		switch {
		case v.Standing == guard.Held:
			held++
			next = "decide: " + v.Reason
		case v.Source.Feed != "":
			next = "feed " + v.Source.Feed + ", for " + v.Arrangements
		case !v.ExpectedFrom.IsZero():
			next = "successor from " + moment(v.ExpectedFrom)
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\n", v.Partner, v.Fingerprint.String()[:16], v.Standing, v.By,
			moment(v.NotAfter), next)
	}
	if err := table.Flush(); err != nil {
		return err
	}
	if held > 0 {
		fmt.Fprintf(e.out, "\n%d held: decide with perennial guard accept SHA-256, or perennial guard refuse SHA-256.\n",
			held)
	}
	return nil
}

// guardDecision is the decision of a person about a certificate.
type guardDecision struct {
	SHA256  string `arg:"" name:"sha-256" help:"The SHA-256 of the certificate, or at least its first 8 digits."`
	Partner string `help:"The partner, if several have presented the certificate."`
	Config  string `default:"guard.yaml" placeholder:"FILE" help:"The partners and their rules (default: guard.yaml)."`
}

type (
	guardAcceptCmd struct{ guardDecision }
	guardRefuseCmd struct{ guardDecision }
)

func (c guardAcceptCmd) Run(e env) error { return c.decide(e, guard.Accepted) }

func (c guardRefuseCmd) Run(e env) error { return c.decide(e, guard.Declined) }

func (d guardDecision) decide(e env, standing guard.Standing) error {
	config, err := guard.Load(d.Config, service.ReadPolicy)
	if err != nil {
		return err
	}
	by := "a person"
	if u, err := user.Current(); err == nil {
		by = u.Username
	}
	v, err := guard.StoreDecision(context.Background(), config, d.Partner, d.SHA256, by, standing, e.now())
	if err != nil {
		return err
	}
	what := "is accepted from now on, and known as a certificate of"
	if standing == guard.Declined {
		what = "is refused from now on, also if the rule would accept it, as a certificate of"
	}
	fmt.Fprintf(e.out, "The certificate %s %s %s. A running guard follows within a second.\n",
		certfile.Fingerprint(v.DER)[:16], what, v.Partner)
	return nil
}
