package main

import (
	"testing"
	"time"

	"github.com/perennial-pki/perennial/client"
	"github.com/perennial-pki/perennial/tenancy"
)

func TestTheProgressOfAnImportForeseesItsEnd(t *testing.T) {
	began := time.Date(2026, 11, 28, 9, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		begunAt, now client.Import
		want         string
	}{
		{client.Import{State: tenancy.ImportApplying, Total: 5000},
			client.Import{State: tenancy.ImportApplying, Total: 5000, Done: 1000},
			"applying: 1000 of 5000 tenants, until about 09:00:50 UTC (100 a second)"},
		// Continued, and the tenants that were done before do not count.
		{client.Import{State: tenancy.ImportApplying, Total: 5000, Done: 4000},
			client.Import{State: tenancy.ImportApplying, Total: 5000, Done: 4500},
			"applying: 4500 of 5000 tenants, until about 09:00:20 UTC (50 a second)"},
		{client.Import{State: tenancy.ImportUndoing, Total: 5000, Done: 5000},
			client.Import{State: tenancy.ImportUndoing, Total: 5000, Done: 3000},
			"undoing: 3000 of 5000 tenants, until about 09:00:25 UTC (200 a second)"},
		{client.Import{State: tenancy.ImportApplying, Total: 5000}, client.Import{State: tenancy.ImportApplying, Total: 5000},
			"applying: 0 of 5000 tenants"},
	} {
		p := progress{from: c.begunAt, since: began, latest: c.begunAt.Done, moved: began}
		if got := p.line(c.now, began.Add(10*time.Second)); got != c.want {
			t.Errorf("got  %s\nwant %s", got, c.want)
		}
	}
}

func TestAnImportWithoutProgressSaysWhereToLook(t *testing.T) {
	began := time.Date(2026, 11, 28, 9, 0, 0, 0, time.UTC)
	i := client.Import{State: tenancy.ImportApplying, Total: 5000}
	p := progress{from: i, since: began, moved: began}
	for _, c := range []struct {
		after time.Duration
		done  int
		want  string
	}{
		{19 * time.Second, 0, "applying: 0 of 5000 tenants"},
		{20 * time.Second, 0, "applying: 0 of 5000 tenants, no progress for 20s: the log of the service may show why"},
		{50 * time.Second, 1000, "applying: 1000 of 5000 tenants, until about 09:04:10 UTC (20 a second)"},
		{69 * time.Second, 1000, "applying: 1000 of 5000 tenants, until about 09:05:45 UTC (14 a second)"},
		{75 * time.Second, 1000, "applying: 1000 of 5000 tenants, no progress for 25s: the log of the service may show why"},
	} {
		i.Done = c.done
		if got := p.line(i, began.Add(c.after)); got != c.want {
			t.Errorf("got  %s\nwant %s", got, c.want)
		}
	}
}
