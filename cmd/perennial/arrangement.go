package main

import (
	"cmp"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/perennial-pki/perennial/client"
	"github.com/perennial-pki/perennial/internal/front/instructions"
	"github.com/perennial-pki/perennial/internal/keys/certfile"
	"github.com/perennial-pki/perennial/tenancy"
)

type receiverCmd struct {
	Create receiverCreateCmd `cmd:"" help:"Create a receiver."`
	List   receiverListCmd   `cmd:"" help:"List receivers."`
	Set    receiverSetCmd    `cmd:"" help:"Change the display name or the administrator of a receiver."`
	People receiverPeopleCmd `cmd:"" help:"List the administrators of the receivers, and what they were mailed."`
	Delete receiverDeleteCmd `cmd:"" help:"Delete a receiver that no arrangement uses."`
}

type receiverCreateCmd struct {
	remote
	Tenant string `arg:""`
	Name   string `arg:""`
	receiverFlags
}

// receiverFlags describe a receiver and its administrator.
type receiverFlags struct {
	DisplayName     string `help:"Name shown to people (default: the name)."`
	ContactName     string `help:"Name of its administrator."`
	ContactEmail    string `help:"E-mail address of its administrator."`
	ContactLanguage string `enum:",en,de" default:"" help:"Language of mails to its administrator: en or de (default: that of the installation)."`
	ContactZone     string `placeholder:"NAME" help:"Time zone of mails to its administrator, such as Europe/Berlin (default: that of the installation)."`
}

// apply sets what the flags give.
func (f receiverFlags) apply(r *client.Receiver) {
	r.DisplayName, r.ContactName = cmp.Or(f.DisplayName, r.DisplayName), cmp.Or(f.ContactName, r.ContactName)
	r.ContactEmail = cmp.Or(f.ContactEmail, r.ContactEmail)
	r.ContactLanguage, r.ContactZone = cmp.Or(f.ContactLanguage, r.ContactLanguage), cmp.Or(f.ContactZone, r.ContactZone)
}

func (c *receiverCreateCmd) Run(e env) error {
	r := client.Receiver{Name: c.Name}
	c.apply(&r)
	r, err := post[client.Receiver](&c.remote, in(c.Tenant, "receivers"), r)
	if err != nil {
		return err
	}
	return showReceiver(&c.remote, e, r)
}

func showReceiver(c *remote, e env, r client.Receiver) error {
	return c.show(e, r, "name", r.Name, "display name", r.DisplayName, "contact", r.ContactName, "email", r.ContactEmail)
}

type receiverSetCmd struct {
	remote
	Tenant string `arg:""`
	Name   string `arg:"" field:"receiver"`
	receiverFlags
}

func (c *receiverSetCmd) Run(e env) error {
	r, err := change(&c.remote, in(c.Tenant, "receivers", c.Name), func(r *client.Receiver) error {
		c.apply(r)
		return nil
	})
	if err != nil {
		return err
	}
	return showReceiver(&c.remote, e, r)
}

type receiverPeopleCmd struct {
	searched
	Tenant string `arg:""`
}

func (c *receiverPeopleCmd) Run(e env) error {
	const header = "RECEIVER\tADMINISTRATOR\tSENT\tOPENED\tTESTED\tREMINDED\t"
	return list(&c.listing, e, c.search(in(c.Tenant, "administrators")), header,
		c.none("No receivers yet. Add one: perennial receiver create "+c.Tenant+" erp"),
		func(a client.Administrator) []any {
			note := a.Failure
			if !a.StoppedAt.IsZero() {
				note = "stopped: " + a.StoppedFor
			}
			return []any{a.Receiver, cmp.Or(a.Counterparty, a.Email), when(a.SentAt), when(a.OpenedAt), when(a.TestedAt),
				when(a.RemindedAt), note}
		})
}

type receiverListCmd struct {
	searched
	Tenant string `arg:""`
}

func (c *receiverListCmd) Run(e env) error {
	return list(&c.listing, e, c.search(in(c.Tenant, "receivers")), "NAME\tDISPLAY NAME\tCONTACT\tEMAIL",
		c.none("No receivers yet. Add one: perennial receiver create "+c.Tenant+" erp"),
		func(r client.Receiver) []any { return []any{r.Name, r.DisplayName, r.ContactName, r.ContactEmail} })
}

type receiverDeleteCmd struct {
	remote
	Tenant string `arg:""`
	Name   string `arg:"" field:"receiver"`
}

func (c *receiverDeleteCmd) Run(e env) error {
	return c.remove(e, in(c.Tenant, "receivers", c.Name), "The receiver "+c.Name+" of "+c.Tenant+" is deleted.")
}

type arrangementCmd struct {
	Create arrangementCreateCmd `cmd:"" help:"Create an arrangement."`
	List   arrangementListCmd   `cmd:"" help:"List arrangements."`
	Change arrangementChangeCmd `cmd:"" help:"Change an arrangement. Settings that are not given stay as they are."`
	Show   arrangementShowCmd   `cmd:"" help:"Show an arrangement."`
	Delete arrangementDeleteCmd `cmd:"" help:"Delete an arrangement."`
}

type arrangementCreateCmd struct {
	remote
	Tenant         string `arg:""`
	Name           string `arg:""`
	Receiver       string `required:"" help:"The receiver's name."`
	Endpoint       string `required:"" help:"Endpoint of the receiver, for example https://erp.example.com/orders."`
	Scenario       string `help:"Its purpose."`
	Authentication string `enum:"client-certificate,basic,none" default:"client-certificate" help:"client-certificate, basic or none."`
	Strategy       string `enum:"adaptive,confirmed,manual,immediate" default:"adaptive" help:"Roll-over strategy: adaptive, confirmed, manual or immediate."`
	Credential     string `default:"tenant" help:"Credential whose certificates it presents. It cannot be changed."`
	egressFlags    `embed:""`
}

// egressFlags configure how the gateway sends messages. An empty value, or 0, resets a setting to its default.
type egressFlags struct {
	Probe        *string  `placeholder:"\"GET /PATH\"" field:"egress.probe" help:"A request that shows whether the receiver accepts a certificate, such as \"GET /orders\". It must get a different answer without a certificate."`
	ProbeStatus  []string `placeholder:"STATUS" field:"egress.probe.statuses" help:"Statuses of the answer to the probe if the receiver accepts the certificate (default: all that are not refusals)."`
	ServerCA     *string  `name:"server-ca" placeholder:"FILE" field:"egress.server_ca" help:"CAs (PEM) to verify the receiver's certificate with, instead of the system's."`
	ServerKeyPin *string  `name:"server-key-pin" placeholder:"sha256/..." field:"egress.server_key_pin" help:"Hash of the receiver's public key, to verify instead of a CA."`
	TLSMax       *string  `name:"tls-max" placeholder:"1.2" field:"egress.max_tls" help:"The newest TLS version to use, 1.2 or 1.3. A receiver that requests the certificate late needs 1.2, which the gateway detects by itself."`
	EgressProxy  *string  `name:"egress-proxy" placeholder:"URL" field:"egress.proxy" help:"HTTP proxy to connect through, such as http://proxy.example.com:3128, or none (default: the proxy of the service)."`
	KeepBytes    *count   `field:"egress.keep_bytes" help:"The largest body that is kept for another attempt (default 64 MiB)."`
	Timeout      *count   `placeholder:"SECONDS" field:"egress.timeout_seconds" help:"Seconds until the receiver's response must begin (default 60)."`
	Connections  *count   `placeholder:"N" field:"egress.connections" help:"The maximum number of connections to the receiver (default 200)."`
	Park         *bool    `negatable:"" field:"egress.park" help:"Store every message and answer 202 immediately, as if each had requested it. --no-park ends this."`
	IdentifiesBy []string `placeholder:"RULE" field:"egress.identifies_by" help:"What the receiver compares to identify a certificate: certificate, issuer-serial, key, subject-issuer, subject, san, ca, newest-only, or several of them. \"\" means unknown."`
	Product      string   `placeholder:"NAME" field:"egress.identifies_by" help:"The product that the receiver runs on, such as nginx. It sets --identifies-by to what the product usually compares. An unknown name lists the products."`
	RefusedBy    []string `placeholder:"STATUS" field:"egress.refusal_statuses" help:"Statuses that mean a refusal of the certificate (default 401,403)."`
	RefusalRule  []string `sep:"none" placeholder:"RULE" field:"egress.refusal_rules" help:"Another answer that means a refusal, such as \"status=302 header=Location contains=/login\" or preset=sap-login. May be repeated."`
}

// apply copies the flags that were given.
func (f egressFlags) apply(e *tenancy.Egress) error {
	if f.Probe != nil {
		method, path, ok := strings.Cut(*f.Probe, " ")
		if *f.Probe != "" && !ok {
			return misused("--probe: use a method and a path, such as \"GET /health\"")
		}
		e.Probe = tenancy.Probe{Method: method, Path: path}
	}
	if f.ServerCA != nil && *f.ServerCA != "" {
		data, err := os.ReadFile(*f.ServerCA)
		if err != nil {
			return fmt.Errorf("--server-ca: %w", err)
		}
		if !x509.NewCertPool().AppendCertsFromPEM(data) {
			return fmt.Errorf("--server-ca: %s contains no certificate in PEM", *f.ServerCA)
		}
		e.ServerCA, e.ServerKeyPin = string(data), ""
	} else if f.ServerCA != nil {
		e.ServerCA = ""
	}
	if f.ServerKeyPin != nil {
		if e.ServerKeyPin = *f.ServerKeyPin; e.ServerKeyPin != "" {
			e.ServerCA = ""
		}
	}
	if f.TLSMax != nil {
		e.MaxTLS = *f.TLSMax
	}
	if f.EgressProxy != nil {
		e.Proxy = *f.EgressProxy
	}
	if f.KeepBytes != nil {
		e.KeepBytes = int64(*f.KeepBytes)
	}
	if f.Timeout != nil {
		e.TimeoutSeconds = int(*f.Timeout)
	}
	if f.Connections != nil {
		e.Connections = int(*f.Connections)
	}
	if f.Park != nil {
		e.Park = *f.Park
	}
	return errors.Join(f.applyIdentifiers(e), f.applyStatuses(e))
}

func (f egressFlags) applyIdentifiers(e *tenancy.Egress) error {
	if f.Product != "" {
		by, found := instructions.IdentifiesOf(f.Product)
		if !found {
			return misused("--product: unknown product %q: use one of %s", f.Product, products())
		}
		e.IdentifiesBy = by
	}
	if f.IdentifiesBy != nil {
		e.IdentifiesBy = nil
		for _, rule := range given(f.IdentifiesBy) {
			e.IdentifiesBy = append(e.IdentifiesBy, tenancy.Identifier(rule))
		}
	}
	return nil
}

// applyStatuses sets the meaning of the receiver's statuses.
func (f egressFlags) applyStatuses(e *tenancy.Egress) (err error) {
	if f.ProbeStatus != nil {
		if e.Probe.Statuses, err = statuses("--probe-status", f.ProbeStatus); err != nil {
			return err
		}
	}
	if f.RefusedBy != nil {
		if e.RefusalStatuses, err = statuses("--refused-by", f.RefusedBy); err != nil {
			return err
		}
	}
	if f.RefusalRule != nil {
		e.RefusalRules = nil
		for _, text := range given(f.RefusalRule) {
			rule, err := tenancy.ParseRefusalRule(text)
			if err != nil {
				return misused("--refusal-rule: %w", err)
			}
			e.RefusalRules = append(e.RefusalRules, rule)
		}
	}
	return nil
}

// statuses reads the values of a flag.
func statuses(flag string, values []string) (all []int, err error) {
	for _, text := range given(values) {
		status, err := strconv.Atoi(text)
		if err != nil {
			return nil, misused("%s: invalid status %q: use numbers such as 401,403", flag, text)
		}
		all = append(all, status)
	}
	return all, nil
}

// given returns the values of a flag without empty ones.
func given(values []string) []string {
	return slices.DeleteFunc(slices.Clone(values), func(v string) bool { return v == "" })
}

func (c *arrangementCreateCmd) Run(e env) error {
	a := client.Arrangement{
		Name: c.Name, Receiver: c.Receiver, Endpoint: c.Endpoint, Scenario: c.Scenario,
		Authentication: tenancy.Authentication(c.Authentication), Strategy: tenancy.Strategy(c.Strategy),
		Credential: tenancy.Purpose(c.Credential),
	}
	if err := c.apply(&a.Egress); err != nil {
		return err
	}
	created, err := post[client.Arrangement](&c.remote, in(c.Tenant, "arrangements"), a)
	if err != nil {
		return err
	}
	return showArrangement(&c.remote, e, created)
}

type arrangementChangeCmd struct {
	remote
	Tenant      string  `arg:""`
	Name        string  `arg:"" field:"arrangement"`
	Endpoint    string  `help:"Endpoint of the receiver."`
	Scenario    *string `help:"Its purpose."`
	Strategy    string  `enum:",adaptive,confirmed,manual,immediate" default:"" help:"Roll-over strategy: adaptive, confirmed, manual or immediate."`
	egressFlags `embed:""`
}

func (c *arrangementChangeCmd) Run(e env) error {
	a, err := change(&c.remote, in(c.Tenant, "arrangements", c.Name), func(a *client.Arrangement) error {
		if c.Endpoint != "" {
			a.Endpoint = c.Endpoint
		}
		if c.Scenario != nil {
			a.Scenario = *c.Scenario
		}
		if c.Strategy != "" {
			a.Strategy = tenancy.Strategy(c.Strategy)
		}
		return c.apply(&a.Egress)
	})
	if err != nil {
		return err
	}
	return showArrangement(&c.remote, e, a)
}

func showArrangement(c *remote, e env, a client.Arrangement) error {
	rows := []any{"name", a.Name, "receiver", a.Receiver, "endpoint", a.Endpoint, "scenario", a.Scenario,
		"authenticates", a.Authentication, "strategy", a.Strategy, "credential", a.Credential, "generation",
		a.Generation}
	return c.show(e, a, append(rows, settings(a.Egress)...)...)
}

// settings lists every setting for sending messages, including defaults.
func settings(e tenancy.Egress) []any {
	probe := "TLS handshake only, which proves nothing about the application"
	if e.Probe.Method != "" {
		probe = e.Probe.Method + " " + e.Probe.Path
		if len(e.Probe.Statuses) > 0 {
			probe += " (expected: " + joined(e.Probe.Statuses, ", ") + ")"
		}
	}
	server := "the system's CAs"
	switch {
	case e.ServerKeyPin != "":
		server = "the key " + e.ServerKeyPin
	case e.ServerCA != "":
		server = "the CAs " + authorities(e.ServerCA)
	}
	proxy := "the one of the service, if it has any"
	if e.Proxy != "" {
		proxy = e.Proxy
	}
	parks := "on request"
	if e.Park {
		parks = "every message"
	}
	version := "1.3, or 1.2 if the receiver asks for the certificate late"
	if e.MaxTLS != "" {
		version = e.MaxTLS
	}
	return []any{"identifies by", identifiers(e.IdentifiesBy), "probe", probe, "refused by", joined(e.Refusals(), "; "),
		"server trust", server, "TLS up to", version, "proxy", proxy,
		"keeps bodies", "up to " + fmt.Sprintf("%d bytes", e.Keep()), "timeout", e.Timeout(),
		"connections", fmt.Sprintf("up to %d", e.MaxConnections()), "parks", parks}
}

// authorities names the certificates in PEM.
func authorities(text string) string {
	var names []string
	for block, rest := pem.Decode([]byte(text)); block != nil; block, rest = pem.Decode(rest) {
		if c, err := certfile.ParseCertificate(block.Bytes); err == nil {
			names = append(names, certfile.Name(c.RawSubject)+", valid until "+moment(c.NotAfter))
		}
	}
	return joined(names, "; ")
}

func joined[T any](all []T, separator string) string {
	parts := make([]string, len(all))
	for i, one := range all {
		parts[i] = fmt.Sprint(one)
	}
	return strings.Join(parts, separator)
}

func products() string {
	var names []string
	for _, p := range instructions.Products() {
		names = append(names, strconv.Quote(p.Product))
	}
	return strings.Join(names, ", ")
}

// identifiers formats the properties that a receiver compares.
func identifiers(all []tenancy.Identifier) string {
	if len(all) == 0 {
		return "unknown"
	}
	return joined(all, ", ")
}

type arrangementListCmd struct {
	searched
	Tenant   string `arg:""`
	Receiver string `help:"Only arrangements with this receiver."`
}

func (c *arrangementListCmd) Run(e env) error {
	path := in(c.Tenant, "arrangements")
	if c.Receiver != "" {
		path += "?receiver=" + url.QueryEscape(c.Receiver)
	}
	return list(&c.listing, e, c.search(path), "NAME\tRECEIVER\tENDPOINT\tAUTHENTICATES\tSTRATEGY\tGENERATION",
		c.none("No arrangements yet. Add one: perennial arrangement create "+c.Tenant+" crm-to-erp --receiver erp "+
			"--endpoint https://..."),
		func(a client.Arrangement) []any {
			return []any{a.Name, a.Receiver, a.Endpoint, a.Authentication, a.Strategy, a.Generation}
		})
}

type arrangementShowCmd struct {
	remote
	Tenant string `arg:""`
	Name   string `arg:"" field:"arrangement"`
}

func (c *arrangementShowCmd) Run(e env) error {
	a, err := get[client.Arrangement](&c.remote, in(c.Tenant, "arrangements", c.Name))
	if err != nil {
		return err
	}
	return showArrangement(&c.remote, e, a)
}

type arrangementDeleteCmd struct {
	remote
	Tenant string `arg:""`
	Name   string `arg:"" field:"arrangement"`
}

func (c *arrangementDeleteCmd) Run(e env) error {
	return c.remove(e, in(c.Tenant, "arrangements", c.Name), "The arrangement "+c.Tenant+"/"+c.Name+" is deleted.")
}
