package web

import (
	"math"
	"testing"
	"time"

	"github.com/perennial-pki/perennial/client"
)

func TestTheHeightsOfAChartAreProportional(t *testing.T) {
	now := time.Date(2026, 3, 10, 0, 0, 0, 0, time.UTC)
	v := &view{lang: "en", zone: time.UTC, now: now}
	c := v.forecastChart([]client.RunForecast{{RunDate: now.AddDate(0, 1, 0), Warn: 2, Renew: 2170},
		{RunDate: now.AddDate(0, 2, 0), Warn: 1085}})
	for _, d := range c.drawings {
		small, large, half := d.columns[1].bars[0], d.columns[1].bars[1], d.columns[2].bars[0]
		if ratio := large.height / small.height; math.Abs(ratio-1085) > .001 {
			t.Errorf("%s: 2,170 is drawn %.1f times as tall as 2", d.class, ratio)
		}
		if math.Abs(large.height-2*half.height) > .001 || large.y < chartTop ||
			math.Abs(large.y+large.height-chartBase) > .001 {
			t.Errorf("%s: %+v, %+v", d.class, large, half)
		}
		var labels []string
		for _, tick := range d.ticks {
			labels = append(labels, tick.label)
		}
		if got := len(labels); got != 4 || labels[0] != "0" || labels[3] != "3,000" {
			t.Errorf("%s: the axis has %q", d.class, labels)
		}
	}
	if label := c.drawings[0].columns[1].bars[0].label; label != "2" {
		t.Errorf("a bar too small to see has the number %q", label)
	}
}

func TestTheYearsOfAChartAreNotSideBySide(t *testing.T) {
	for month, want := range map[time.Month][3]string{time.December: {"Dec", "Jan 2027", "Feb"},
		time.January: {"Jan 2026", "Feb", "Mar"}, time.November: {"Nov 2026", "Dec", "Jan 2027"}} {
		v := &view{lang: "en", zone: time.UTC, now: time.Date(2026, month, 1, 0, 0, 0, 0, time.UTC)}
		wide := v.forecastChart(nil).drawings[0]
		if got := [3]string{wide.columns[0].label, wide.columns[1].label, wide.columns[2].label}; got != want {
			t.Errorf("from %s: %q, want %q", month, got, want)
		}
	}
}

func TestNumbersAreShortAboveBars(t *testing.T) {
	v := &view{lang: "en"}
	for n, want := range map[int]string{1: "1", 950: "950", 999: "999", 1000: "1.0k", 2170: "2.2k", 9949: "9.9k",
		9951: "10k", 14_499: "14k", 999_499: "999k", 999_500: "1.0M", 83_000_000: "83M"} {
		if got := v.short(n); got != want {
			t.Errorf("%d: %s, want %s", n, got, want)
		}
	}
	if got := (&view{lang: "de"}).short(2170); got != "2,2k" {
		t.Errorf("in German: %s", got)
	}
}

func TestDistancesAreRoundedAndCountsHaveTheRightNumber(t *testing.T) {
	now := time.Date(2026, 3, 10, 12, 0, 0, 0, time.UTC)
	v := &view{lang: "en", zone: time.UTC, now: now}
	day := 24 * time.Hour
	for d, want := range map[time.Duration]string{20 * time.Second: "now", 50 * time.Second: "in 1 minute",
		59*time.Minute + 40*time.Second: "in 1 hour", 90 * time.Minute: "in 2 hours",
		47*time.Hour + 40*time.Minute: "in 2 days",
		12*day + 20*time.Hour:         "in 13 days", 12*day + 11*time.Hour: "in 12 days",
		-12*day - 20*time.Hour: "13 days ago",
		-100 * time.Second:     "2 minutes ago"} {
		if got := v.Away(now.Add(d)); got != want {
			t.Errorf("%v: %q, want %q", d, got, want)
		}
	}
	german := &view{lang: "de"}
	for n, want := range map[int][2]string{0: {"0 arrangements", "0 Vereinbarungen"},
		1: {"1 arrangement", "1 Vereinbarung"}, 1200: {"1,200 arrangements", "1.200 Vereinbarungen"}} {
		if got := [2]string{v.Count(n, "arrangement", "arrangements"),
			german.Count(n, "arrangement", "arrangements")}; got != want {
			t.Errorf("%d: %q", n, got)
		}
	}
}

func TestTheAuditLogNamesItsObjects(t *testing.T) {
	operator, user := &view{lang: "en"}, &view{lang: "en"}
	operator.account.Role, user.account.Tenant = "operator", "acme"
	for _, c := range []struct {
		event client.Event
		want  object
		mine  string // path for a key user of acme
	}{
		{client.Event{Action: "token.revoked", Object: "0190", Detail: []byte(`{"name":"crm"}`)},
			object{text: "token crm", path: "/tokens", id: "0190"}, ""},
		{client.Event{Action: "task.completed", Tenant: "acme", Object: "0190", Detail: []byte(`{"user":"bob"}`)},
			object{text: "task of bob", path: "/tenants/acme/tasks", id: "0190"}, "/tenants/acme/tasks"},
		{client.Event{Action: "mail.sent", Tenant: "acme", Object: "0190"},
			object{text: "mail to people of acme", path: "/deliveries", id: "0190"}, ""},
		{client.Event{Action: "certificate.issued", Tenant: "acme", Object: "acme/tenant/1"},
			object{text: "acme/tenant/1", path: "/tenants/acme/certificates"}, "/tenants/acme/certificates"},
		{client.Event{Action: "arrangement.deleted", Tenant: "acme", Object: "acme/x"}, object{text: "acme/x"}, ""},
		{client.Event{Action: "watched.seen", Tenant: "acme", Object: "acme/watched/c4c"},
			object{text: "acme/watched/c4c", path: "/tenants/acme/watched/c4c", own: true}, "/tenants/acme/watched/c4c"},
		{client.Event{Action: "scope.answered", Tenant: "acme", Object: "First/q"},
			object{text: "First/q", path: "/tenants/acme/scope"}, "/tenants/acme/scope"},
		{client.Event{Action: "import.applied", Object: "0190"},
			object{text: "import", path: "/imports/0190", id: "0190", own: true}, ""},
		{client.Event{Action: "counterparty.linked", Object: "bank"},
			object{text: "bank", path: "/counterparties/bank", own: true}, ""},
		{client.Event{Action: "counterparty.proposal-dismissed", Object: "pay.example"}, object{text: "pay.example"}, ""},
		{client.Event{Action: "webhook.changed", Tenant: "acme", Object: "acme/webhooks/crm"},
			object{text: "acme/webhooks/crm", path: "/tenants/acme/webhooks/crm", own: true}, "/tenants/acme/webhooks/crm"},
		{client.Event{Action: "tests.started", Object: "0190"}, object{text: "tests of receivers", path: "/test-rounds/0190",
			id: "0190"}, ""},
		{client.Event{Action: "authority.signs", Object: "0190-0190"}, object{text: "CA 0190-019", path: "/authorities",
			id: "0190-0190"}, ""},
	} {
		if got := operator.object(c.event); got != c.want {
			t.Errorf("%s: %+v, want %+v", c.event.Action, got, c.want)
		}
		if got := user.object(c.event); got.path != c.mine {
			t.Errorf("%s: a key user is led to %q", c.event.Action, got.path)
		}
	}
}
