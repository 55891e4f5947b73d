package demo

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"html"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/perennial-pki/perennial/internal/egress/control/inprocess"
	"github.com/perennial-pki/perennial/internal/egress/gateway"
	"github.com/perennial-pki/perennial/internal/egress/outbound"
	"github.com/perennial-pki/perennial/internal/engine/store"
	"github.com/perennial-pki/perennial/internal/keys/certfile"
	"github.com/perennial-pki/perennial/internal/lab/picture"
	"github.com/perennial-pki/perennial/internal/lab/receiver"
	"github.com/perennial-pki/perennial/policy"
	"github.com/perennial-pki/perennial/tenancy"
)

// compared are the strategies side by side.
var compared = []tenancy.Strategy{tenancy.Immediate, tenancy.Adaptive}

// A deed is a change by a receiver's administrator: the generations that are installed from then on.
type deed struct {
	after     time.Duration // after the renewal; if negative, before the old certificate expires
	installed []int
}

// A party is a receiver of the comparison, with the outcome of the messages to it.
type party struct {
	name, checks, administrator string
	pins                        bool
	accept                      func(leaf *x509.Certificate, first tenancy.Certificate) bool
	deeds                       []deed

	receiver *system
	done     int      // of the deeds
	hours    [2][]int // the status of each hour's message, by strategy
}

func parties() []*party {
	const hour, day = time.Hour, 24 * time.Hour
	return []*party{
		{name: "erp", checks: "any certificate of the CA", administrator: "does nothing",
			accept: func(*x509.Certificate, tenancy.Certificate) bool {
				return true
			}},
		{name: "shop", checks: "the subject", administrator: "does nothing",
			accept: func(leaf *x509.Certificate, first tenancy.Certificate) bool {
				return certfile.Name(leaf.RawSubject) == first.Subject
			}},
		{name: "bank", checks: "one fingerprint", administrator: "replaces it 29 hours later", pins: true,
			deeds: []deed{{29 * hour, []int{2}}}},
		{name: "depot", checks: "two fingerprints", administrator: "adds it after 9 days, removes the old one after 30",
			pins: true, deeds: []deed{{9 * day, []int{1, 2}}, {30 * day, []int{2}}}},
		{name: "port", checks: "one fingerprint", administrator: "replaces it after 3 days, restores a backup, and again",
			pins: true, deeds: []deed{{3 * day, []int{2}}, {5 * day, []int{1}}, {20 * day, []int{2}}}},
		{name: "agency", checks: "one fingerprint", administrator: "replaces it 6 hours before the old one expires",
			pins: true, deeds: []deed{{-6 * hour, []int{2}}}},
	}
}

// Compare simulates one year with the strategies immediate and adaptive, with the same receivers. It prints a table. If
// svg is not nil, it writes a picture of the hours around the renewal to it.
func Compare(ctx context.Context, out, svg io.Writer, p policy.Policy) error {
	return compare(ctx, out, svg, p, time.Hour)
}

func compare(ctx context.Context, out, svg io.Writer, p policy.Policy, step time.Duration) error {
	if err := p.Check(); err != nil {
		return err
	}
	s := &story{out: io.Discard, policy: p, now: begin}
	defer s.end()
	if err := s.setUp(ctx); err != nil {
		return err
	}
	var err error
	if s.tenant, err = s.engine.CreateTenant(ctx, tenancy.Tenant{Name: "acme", DisplayName: "Acme GmbH",
		KeyType: tenancy.P256}, "hosting team", begin); err != nil {
		return err
	}
	c := comparison{story: s, parties: parties(), step: step}
	if err := c.open(ctx); err != nil {
		return err
	}
	if err := c.live(ctx); err != nil {
		return err
	}
	c.table(out)
	if svg != nil {
		return c.picture(svg)
	}
	return nil
}

type comparison struct {
	*story
	parties        []*party
	step           time.Duration // between two messages
	gateway        *gateway.Gateway
	from, renewal  time.Time // the first message, and the renewal
	first, renewed tenancy.Certificate
}

// open starts the receivers and the gateway, with an arrangement of each strategy to every receiver.
func (c *comparison) open(ctx context.Context) (err error) {
	if c.first, err = c.store.Newest(ctx, c.tenant.ID, tenancy.ForTenant); err != nil {
		return err
	}
	certificate, err := c.ca.NewServerCertificate("127.0.0.1", c.clock)
	if err != nil {
		return err
	}
	for _, p := range c.parties {
		o := receiver.Options{Certificate: certificate.Get, Clock: c.clock}
		if !p.pins {
			o.Trust = c.roots
			o.Decide = func(_ *http.Request, leaf *x509.Certificate) bool { return p.accept(leaf, c.first) }
		}
		if p.receiver, err = startSystem(p.name, p.checks, o, c.first.Fingerprint); err != nil {
			return err
		}
		c.cleanup = append(c.cleanup, p.receiver.Close)
		err = c.store.InTx(ctx, func(tx *store.Tx) error {
			row := tenancy.Receiver{ID: store.NewID(), TenantID: c.tenant.ID, Name: p.name, DisplayName: p.name,
				CreatedAt: begin, Version: 1}
			if err := tx.CreateReceivers(ctx, row); err != nil {
				return err
			}
			for _, strategy := range compared {
				a := tenancy.Arrangement{
					ID: store.NewID(), TenantID: c.tenant.ID, ReceiverID: row.ID, Name: p.name + "-" + string(strategy),
					Endpoint: p.receiver.URL, Authentication: tenancy.ClientCertificate,
					Strategy: strategy, Generation: 1, Egress: tenancy.Egress{ServerCA: string(c.ca.Bundle())}, CreatedAt: begin,
					Version: 1,
				}
				if err := errors.Join(a.Check(), tx.CreateArrangements(ctx, a)); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	c.gateway, err = gateway.New(gateway.Config{
		Control: inprocess.Control{Rollovers: c.engine.Rollovers(), Now: c.clock},
		Network: &outbound.Network{Allowed: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, Now: c.clock},
		Open:    true, Now: c.clock, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		return err
	}
	c.cleanup = append(c.cleanup, c.gateway.Close)
	return nil
}

// around is the time before the renewal, and after the expiry of the old certificate, for which messages are sent.
const around = 10 * 24 * time.Hour

// live executes the runs until ten days before the renewal. Then it sends a message through each arrangement every
// hour, until ten days after the expiry of the old certificate.
func (c *comparison) live(ctx context.Context) error {
	f := c.policy.Forecast(policy.Validity{NotBefore: c.first.NotBefore, NotAfter: c.first.NotAfter}, begin)
	c.renewal = f.Last().At
	c.from = c.renewal.Add(-around)
	for run := c.policy.Schedule.Next(begin); run.Before(c.from); run = c.policy.Schedule.Next(run) {
		c.at(run)
		if err := c.engine.Tick(ctx, run); err != nil {
			return err
		}
	}
	for now := c.from; now.Before(c.first.NotAfter.Add(around)); now = now.Add(c.step) {
		c.at(now)
		if err := c.engine.Tick(ctx, now); err != nil {
			return err
		}
		if c.renewed.ID == "" && !now.Before(c.renewal) {
			var err error
			if c.renewed, err = c.store.Certificate(ctx, c.tenant.ID, tenancy.ForTenant, 2); err != nil {
				return err
			}
		}
		for _, p := range c.parties {
			c.act(p, now)
			for i, strategy := range compared {
				r := httptest.NewRequestWithContext(ctx, http.MethodPost,
					"http://localhost/acme/"+p.name+"-"+string(strategy)+"/order",
					strings.NewReader("<order/>"))
				w := httptest.NewRecorder()
				c.gateway.ServeHTTP(w, r)
				p.hours[i] = append(p.hours[i], w.Code)
			}
		}
	}
	return nil
}

// act applies the changes of a receiver's administrator up to now.
func (c *comparison) act(p *party, now time.Time) {
	for _, d := range p.deeds[p.done:] {
		at := c.renewal.Add(d.after)
		if d.after < 0 {
			at = c.first.NotAfter.Add(d.after)
		}
		if at.After(now) {
			return
		}
		var installed []string
		for _, generation := range d.installed {
			installed = append(installed, map[int]string{1: c.first.Fingerprint, 2: c.renewed.Fingerprint}[generation])
		}
		p.receiver.Install(installed...)
		p.done++
	}
}

func failures(hours []int) (n int) {
	for _, status := range hours {
		if status != http.StatusOK {
			n++
		}
	}
	return n
}

func (c *comparison) table(out io.Writer) {
	fmt.Fprintf(out, "One renewal under the policy %s, with each strategy: one message an hour to each receiver, "+
		"from %s to %s.\nThe certificate is renewed on %s; the old one expires on %s.\n\n",
		c.policy.Name, day(c.from), day(c.clock()), moment(c.renewal), moment(c.first.NotAfter))
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "RECEIVER\tCHECKS\tITS ADMINISTRATOR\tIMMEDIATE: SENT\tFAILED\tHOURS WITHOUT DELIVERY\tADAPTIVE: "+
		"SENT\tFAILED\tHOURS WITHOUT DELIVERY")
	var sent, failed [2]int
	for _, p := range c.parties {
		fmt.Fprintf(w, "%s\t%s\t%s", p.name, p.checks, p.administrator)
		for i := range compared {
			n := failures(p.hours[i])
			sent[i], failed[i] = sent[i]+len(p.hours[i]), failed[i]+n
			fmt.Fprintf(w, "\t%d\t%d\t%d", len(p.hours[i]), n, n) // one message an hour
		}
		fmt.Fprintln(w)
	}
	fmt.Fprintf(w, "all\t\t\t%d\t%d\t%d\t%d\t%d\t%d\n", sent[0], failed[0], failed[0], sent[1], failed[1], failed[1])
	w.Flush()
}

// picture draws the hours: a row for each receiver and strategy.
func (c *comparison) picture(out io.Writer) error {
	const left, right, top, row, gap, width = 150, 90, 86, 16, 12, 1000
	hours := len(c.parties[0].hours[0])
	x := func(hour int) float64 { return left + float64(hour)*float64(width)/float64(hours) }
	at := func(t time.Time) float64 { return x(int(t.Sub(c.from) / c.step)) }
	height := top + len(c.parties)*(2*row+gap) + 40
	p := picture.New(left+width+right, height, "One renewal with two strategies",
		"One renewal with two strategies: delivery in each hour",
		"Hours with and without delivery for each receiver, with the strategies immediate and adaptive.")
	p.Draw(`<rect x="20" y="38" width="12" height="12" fill="#2e7d5b"/><text x="37" y="48">delivered</text>
<rect x="110" y="38" width="12" height="12" fill="#c0392b"/><text x="127" y="48">refused with 401</text>
`)
	for _, mark := range []struct {
		at   time.Time
		text string
	}{{c.renewal, "renewed " + day(c.renewal)}, {c.first.NotAfter, "the old one expires " + day(c.first.NotAfter)}} {
		p.Draw(`<line x1="%[1]f" x2="%[1]f" y1="%[2]d" y2="%[3]d" stroke="#333" stroke-dasharray="4 3"/><text`+
			` x="%[1]f" y="%[4]d" text-anchor="middle">%[5]s</text>`+"\n", at(mark.at), top-8, height-30, top-14, mark.text)
	}
	for i, one := range c.parties {
		y := top + i*(2*row+gap)
		p.Draw(`<text x="20" y="%d" font-weight="bold">%s</text>`+"\n", y+row+4, html.EscapeString(one.name))
		for j, strategy := range compared {
			p.Draw(`<text x="%d" y="%d" text-anchor="end" font-size="10">%s</text>`, left-5, y+j*row+row-5, strategy)
			for from := 0; from < hours; {
				to := from
				good := one.hours[j][from] == http.StatusOK
				for to < hours && (one.hours[j][to] == http.StatusOK) == good {
					to++
				}
				color := "#2e7d5b"
				if !good {
					color = "#c0392b"
				}
				p.Draw(`<rect x="%.2f" y="%d" width="%.2f" height="%d" fill="%s"/>`, x(from), y+j*row, x(to)-x(from),
					row-3, color)
				from = to
			}
			p.Draw(`<text x="%d" y="%d" font-size="10">%d failed</text>`+"\n", left+width+8, y+j*row+row-5,
				failures(one.hours[j]))
		}
	}
	_, err := p.WriteTo(out)
	return err
}
