package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/perennial-pki/perennial/client"
	"github.com/perennial-pki/perennial/internal/front/instructions"
	"github.com/perennial-pki/perennial/tenancy"
)

type receiverCmd struct {
	Create receiverCreateCmd `cmd:"" help:"Create a receiver."`
	List   receiverListCmd   `cmd:"" help:"List receivers."`
	Delete receiverDeleteCmd `cmd:"" help:"Delete a receiver that no arrangement uses."`
}

type receiverCreateCmd struct {
	remote
	Tenant       string `arg:""`
	Name         string `arg:""`
	DisplayName  string `help:"Name shown to people (default: the name)."`
	ContactName  string `help:"Name of its administrator."`
	ContactEmail string `help:"E-mail address of its administrator."`
}

func (c *receiverCreateCmd) Run(e env) error {
	r, err := post[client.Receiver](&c.remote, in(c.Tenant, "receivers"),
		client.Receiver{Name: c.Name, DisplayName: c.DisplayName, ContactName: c.ContactName, ContactEmail: c.ContactEmail})
	if err != nil {
		return err
	}
	return c.show(e, r, "name", r.Name, "display name", r.DisplayName, "contact", r.ContactName, "email", r.ContactEmail)
}

type receiverListCmd struct {
	remote
	Tenant string `arg:""`
}

func (c *receiverListCmd) Run(e env) error {
	return list(&c.remote, e, in(c.Tenant, "receivers"), "NAME\tDISPLAY NAME\tCONTACT\tEMAIL",
		"No receivers yet. Add one: perennial receiver create "+c.Tenant+" erp",
		func(r client.Receiver) []any { return []any{r.Name, r.DisplayName, r.ContactName, r.ContactEmail} })
}

type receiverDeleteCmd struct {
	remote
	Tenant string `arg:""`
	Name   string `arg:""`
}

func (c *receiverDeleteCmd) Run(env) error { return c.remove(in(c.Tenant, "receivers", c.Name)) }

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
	egressFlags    `embed:""`
}

// egressFlags configure how the gateway sends messages.
type egressFlags struct {
	Probe        string   `placeholder:"\"GET /PATH\"" help:"A request that shows whether the receiver accepts a certificate, such as \"GET /health\"."`
	ServerCA     string   `name:"server-ca" placeholder:"FILE" help:"CAs (PEM) to verify the receiver's certificate with, instead of the system's."`
	ServerKeyPin string   `name:"server-key-pin" placeholder:"sha256/..." help:"Hash of the receiver's public key, to verify instead of a CA."`
	KeepBytes    int64    `help:"The largest body that is kept for another attempt (default 64 MiB)."`
	Timeout      int      `placeholder:"SECONDS" help:"Seconds until the receiver's response must begin (default 60)."`
	IdentifiesBy []string `placeholder:"RULE" help:"What the receiver compares to recognise a certificate: certificate, issuer-serial, key, subject-issuer, subject, san, ca, newest-only, or several of them. \"\" means that it is not known."`
	Product      string   `placeholder:"NAME" help:"The product that the receiver runs on, such as nginx. It sets --identifies-by to what the product usually compares. An unknown name lists the products."`
	RefusedBy    []int    `placeholder:"STATUS" help:"Statuses with which the receiver refuses a certificate (default 401,403)."`
}

// apply copies the flags that were given.
func (f egressFlags) apply(e *tenancy.Egress) error {
	if f.Probe != "" {
		method, path, ok := strings.Cut(f.Probe, " ")
		if !ok {
			return fmt.Errorf("--probe: use a method and a path, such as \"GET /health\"")
		}
		e.Probe.Method, e.Probe.Path = method, path
	}
	if f.ServerCA != "" {
		data, err := os.ReadFile(f.ServerCA)
		if err != nil {
			return fmt.Errorf("--server-ca: %w", err)
		}
		e.ServerCA, e.ServerKeyPin = string(data), ""
	}
	if f.ServerKeyPin != "" {
		e.ServerKeyPin, e.ServerCA = f.ServerKeyPin, ""
	}
	if f.KeepBytes != 0 {
		e.KeepBytes = f.KeepBytes
	}
	if f.Timeout != 0 {
		e.TimeoutSeconds = f.Timeout
	}
	if f.Product != "" {
		by, found := instructions.IdentifiesOf(f.Product)
		if !found {
			return fmt.Errorf("--product: there are no instructions for %q: use one of %s", f.Product, products())
		}
		e.IdentifiesBy = by
	}
	if f.IdentifiesBy != nil {
		e.IdentifiesBy = nil
		for _, rule := range f.IdentifiesBy {
			if rule != "" {
				e.IdentifiesBy = append(e.IdentifiesBy, tenancy.Identifier(rule))
			}
		}
	}
	if len(f.RefusedBy) > 0 {
		e.RefusalStatuses = f.RefusedBy
	}
	return nil
}

func (c *arrangementCreateCmd) Run(e env) error {
	a := client.Arrangement{
		Name: c.Name, Receiver: c.Receiver, Endpoint: c.Endpoint, Scenario: c.Scenario,
		Authentication: tenancy.Authentication(c.Authentication), Strategy: tenancy.Strategy(c.Strategy),
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
	Tenant      string `arg:""`
	Name        string `arg:""`
	Endpoint    string `help:"Endpoint of the receiver."`
	Strategy    string `enum:",adaptive,confirmed,manual,immediate" default:"" help:"Roll-over strategy: adaptive, confirmed, manual or immediate."`
	egressFlags `embed:""`
}

func (c *arrangementChangeCmd) Run(e env) error {
	a, err := change(&c.remote, in(c.Tenant, "arrangements", c.Name), func(a *client.Arrangement) error {
		if c.Endpoint != "" {
			a.Endpoint = c.Endpoint
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
	return c.show(e, a, "name", a.Name, "receiver", a.Receiver, "endpoint", a.Endpoint, "scenario", a.Scenario,
		"authenticates", a.Authentication, "strategy", a.Strategy, "generation", a.Generation,
		"identifies by", identifiers(a.Egress.IdentifiesBy))
}

func products() string {
	var names []string
	for _, p := range instructions.Products() {
		names = append(names, strconv.Quote(p.Product))
	}
	return strings.Join(names, ", ")
}

// identifiers formats what a receiver compares.
func identifiers(all []tenancy.Identifier) string {
	if len(all) == 0 {
		return "unknown"
	}
	names := make([]string, len(all))
	for i, id := range all {
		names[i] = string(id)
	}
	return strings.Join(names, ", ")
}

type arrangementListCmd struct {
	remote
	Tenant string `arg:""`
}

func (c *arrangementListCmd) Run(e env) error {
	return list(&c.remote, e, in(c.Tenant, "arrangements"),
		"NAME\tRECEIVER\tENDPOINT\tAUTHENTICATES\tSTRATEGY\tGENERATION", "No arrangements yet. Add one: perennial "+
			"arrangement create "+c.Tenant+" crm-to-erp --receiver erp --endpoint https://...",
		func(a client.Arrangement) []any {
			return []any{a.Name, a.Receiver, a.Endpoint, a.Authentication, a.Strategy, a.Generation}
		})
}

type arrangementShowCmd struct {
	remote
	Tenant string `arg:""`
	Name   string `arg:""`
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
	Name   string `arg:""`
}

func (c *arrangementDeleteCmd) Run(env) error { return c.remove(in(c.Tenant, "arrangements", c.Name)) }
