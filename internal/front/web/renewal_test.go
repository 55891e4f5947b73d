package web

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/perennial-pki/perennial/client"
	"github.com/perennial-pki/perennial/tenancy"
)

func TestAPageNamesWhatChangesAndWhatHasToBeDone(t *testing.T) {
	v := &view{lang: "en"}
	for _, c := range []struct {
		by      []tenancy.Identifier
		changes tenancy.Changes
		changed []string
		toDo    string
	}{
		{nil, tenancy.Changes{Key: true},
			[]string{"The subject, the subject alternative name and the issuing CA stay the same."}, "which is not known"},
		{[]tenancy.Identifier{tenancy.BySubject}, tenancy.Changes{Key: true},
			[]string{"The subject, the subject alternative name and the issuing CA stay the same."},
			"The receiver checks the subject. That stays the same"},
		{[]tenancy.Identifier{tenancy.ByCertificate}, tenancy.Changes{Key: true, Subject: true, SAN: true},
			[]string{"The subject changes.", "The subject alternative name changes."}, "That changes"},
		{[]tenancy.Identifier{tenancy.BySubject}, tenancy.Changes{Key: true, Issuer: true},
			[]string{"The issuing CA changes, and its root stays the same. A system that trusts the root needs no change."},
			"only if it trusts the new CA"},
		{[]tenancy.Identifier{tenancy.ByCA}, tenancy.Changes{Key: true, Issuer: true, Root: true},
			[]string{"The issuing CA and its root change. A system that trusts the old CA must trust the new one too."},
			"That changes"},
	} {
		r := client.Renewal{Changes: c.changes, IdentifiesBy: c.by, Survival: c.changes.Survival(c.by)}
		if got := v.whatChanges(c.changes); !slices.Equal(got, c.changed) {
			t.Errorf("%+v: %q", c.changes, got)
		}
		if got := v.whatToDo(r); !strings.Contains(got, c.toDo) {
			t.Errorf("%v, %+v: %q, want %q", c.by, c.changes, got, c.toDo)
		}
	}
}

func TestTheOverviewNamesTheFirstDeadlineAndTheReceiversWithoutOne(t *testing.T) {
	v := &view{lang: "en", zone: time.UTC}
	day := func(d int) time.Time { return time.Date(2027, 1, d, 12, 0, 0, 0, time.UTC) }
	calm, late := client.Rollover{}, client.Rollover{AtRisk: true, Deadline: day(20)}
	later, exposed := client.Rollover{AtRisk: true, Deadline: day(25)}, client.Rollover{AtRisk: true, Exposed: true}
	for _, c := range []struct {
		rollovers []client.Rollover
		ready     int
		want      string
	}{
		{[]client.Rollover{calm, calm}, 2, "every receiver accepts the new one"},
		{[]client.Rollover{later, late}, 0,
			"No receiver is known to accept the new one yet. The first deadline is 20 January"},
		{[]client.Rollover{calm, later, late}, 1, "1 of 3 receivers are ready for the new one. The first deadline is 20 " +
			"January"},
		{[]client.Rollover{calm, exposed, late}, 1, "2 of 3 receivers are not known to accept the new one, and messages " +
			"to 1 of"},
	} {
		if got := v.progress(situation{rollovers: c.rollovers, ready: c.ready}); !strings.Contains(got, c.want) {
			t.Errorf("%q, want %q", got, c.want)
		}
	}
}
