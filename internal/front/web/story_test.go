package web

import (
	"math"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/perennial-pki/perennial/client"
	"github.com/perennial-pki/perennial/rollover"
	"github.com/perennial-pki/perennial/tenancy"
)

// renewedAt is the day of renewedRoll.
var renewedAt = time.Date(2026, 11, 20, 0, 0, 0, 0, time.UTC)

// renewedRoll is an arrangement in the middle of a roll-over.
func renewedRoll() (*view, roll) {
	day := func(m time.Month, d int) time.Time { return time.Date(2026, m, d, 0, 0, 0, 0, time.UTC) }
	v := &view{lang: "en", zone: time.UTC, now: renewedAt}
	old := client.Certificate{Purpose: tenancy.ForTenant, Generation: 1, State: tenancy.Active, NotBefore: day(1, 1),
		NotAfter: day(12, 31), Subject: "CN=acme", Issuer: "CN=CA G1", KeyType: "p256"}
	fresh := client.Certificate{Purpose: tenancy.ForTenant, Generation: 2, State: tenancy.Active, NotBefore: day(11, 1),
		NotAfter: day(11, 1).AddDate(1, 0, 0), Subject: "CN=acme", Issuer: "CN=CA G2", KeyType: "p256"}
	r := roll{certificates: []client.Certificate{old, fresh}, newest: fresh, rollover: &client.Rollover{
		Arrangement: "acme/crm", State: rollover.Announced, Strategy: tenancy.Adaptive, Presents: 1, AtRisk: true,
		Deadline: old.NotAfter, DaysLeft: 41, Wanted: 2, Next: &client.NextStep{Reason: "waiting"},
		Generations: []client.RolloverKnowledge{{Generation: 1, Verdict: rollover.Accepted, Source: rollover.Traffic,
			Answer: "200 OK", VerdictAt: day(11, 19), PresentedAt: day(1, 1)}, {Generation: 2}}}}
	return v, r
}

func TestTheOverlapOfTwoGenerationsIsDrawnToScaleAndNamed(t *testing.T) {
	v, r := renewedRoll()
	for _, line := range v.overlapLines(r) {
		if len(line.overlaps) != 1 {
			t.Fatalf("%s: %d overlaps", line.class, len(line.overlaps))
		}
		o, older, newer := line.overlaps[0], line.bars[0], line.bars[1]
		if math.Abs(o.x-newer.x) > .001 || math.Abs(o.x+o.width-older.x-older.width) > .001 {
			t.Errorf("%s: it is from %.1f to %.1f", line.class, o.x, o.x+o.width)
		}
		if o.label != "both valid: 60 days" || !strings.Contains(o.text, "1 November 2026 to 31 December 2026 (60 days)") {
			t.Errorf("%q: %q", o.label, o.text)
		}
		if len(line.runs) != 1 || math.Abs(line.runs[0].x-older.x-older.width) > .001 {
			t.Errorf("%s: the deadline is not at the end of the older generation: %+v", line.class, line.runs)
		}
		if older.class != "bar-now" || newer.class != "bar-next" {
			t.Errorf("the generation in use is %s, and the new one %s", older.class, newer.class)
		}
	}
	r.certificates[0].State = tenancy.Revoked
	if o := v.overlapLines(r)[0].overlaps; len(o) > 0 {
		t.Errorf("a revoked generation overlaps: %+v", o)
	}
}

func TestEachStepHasItsEvidenceAndItsMark(t *testing.T) {
	v, r := renewedRoll()
	at := v.now.AddDate(0, 0, -1)
	for _, c := range []struct {
		state rollover.State
		g     client.RolloverKnowledge
		step  int
		mark  proofMark
		text  string
		here  int
	}{
		{rollover.Announced, client.RolloverKnowledge{}, 1, "", "The receiver has not answered yet", 0},
		{rollover.RefusedBy, client.RolloverKnowledge{Verdict: rollover.Refused, Source: rollover.Probe, Answer: "401",
			VerdictAt: at}, 1, isRefused, "Refused: 401 (test)", 0},
		{rollover.Claimed, client.RolloverKnowledge{ClaimedBy: rollover.Person, ClaimedAt: at}, 1, byPerson, "", 0},
		{rollover.Trusted, client.RolloverKnowledge{Verdict: rollover.Accepted, Source: rollover.Probe, Answer: "200",
			VerdictAt: at, NoticedUntil: v.now.AddDate(0, 0, 9)}, 1, byQuestion, "Accepted: 200 (test)", 1},
		{rollover.Trusted, client.RolloverKnowledge{Verdict: rollover.Accepted, Source: rollover.Traffic, Answer: "200",
			VerdictAt: at, NoticedUntil: v.now.AddDate(0, 0, 9)}, 1, byMessages, "Accepted: 200 (message)", 1},
		{rollover.Trusted, client.RolloverKnowledge{Verdict: rollover.Accepted, Source: rollover.Probe, VerdictAt: at,
			NoticedUntil: v.now.AddDate(0, 0, 9)}, 2, "", "Expected on 29 November 2026, when the notice period ends", 1},
	} {
		c.g.Generation = 2
		r.rollover.State, r.rollover.Generations[1] = c.state, c.g
		steps := v.steps(r)
		got := steps[c.step]
		if got.mark != c.mark || !strings.Contains(got.text, c.text) || got.text == "" || !steps[c.here].here {
			t.Errorf("%s: %+v", c.state, got)
		}
	}
	r.rollover.Presents, r.rollover.State, r.rollover.QuietUntil = 2, rollover.CutOver, v.now.AddDate(0, 0, 20)
	if got := v.steps(r)[3].text; !strings.HasPrefix(got, "On 10 December 2026 at the earliest") {
		t.Errorf("the end of the roll-over: %q", got)
	}
}

func TestNobodyIsAskedToSendALinkThatTheServiceMailed(t *testing.T) {
	v, r := renewedRoll()
	v.lang = "de"
	sent := client.Administrator{Name: "Barbara", Email: "b@bank.example", SentAt: renewedAt.AddDate(0, 0, -3)}
	stopped, failed, earlier := sent, sent, sent
	stopped.StoppedAt, failed.Failure, earlier.SentAt = renewedAt, "550", r.certificates[0].NotBefore
	for _, c := range []struct {
		reason string
		told   *client.Administrator
		want   string
	}{
		{"waiting", nil, "Erstellen Sie einen Link"},
		{"waiting", &sent, "hat das neue Zertifikat am 17. November 2026 per Mail erhalten und wird erinnert."},
		{"refused", &sent, "wurde am 17. November 2026 per Mail benachrichtigt und wird erinnert."},
		{"exposed-refused", &sent, "Rufen Sie ihn jetzt an."},
		{"waiting", &stopped, "Erstellen Sie einen Link"},
		{"refused", &failed, "Erstellen Sie einen Link"},
		{"waiting", &earlier, "Erstellen Sie einen Link"},
	} {
		r.administrator = c.told
		r.rollover.Next = &client.NextStep{Action: client.ActionLink, Reason: c.reason}
		if got := v.advice(r); !strings.Contains(got, c.want) {
			t.Errorf("%s, %+v: %q", c.reason, c.told, got)
		}
	}
}

func TestMarksOfEvidenceDifferInShape(t *testing.T) {
	v, shapes := &view{lang: "en"}, map[string]proofMark{}
	for _, m := range v.marks() {
		var drawn strings.Builder
		if err := markSign(m.mark).Render(t.Context(), &drawn); err != nil {
			t.Fatal(err)
		}
		_, shape, _ := strings.Cut(drawn.String(), "viewBox")
		if other, same := shapes[shape]; same || !strings.Contains(shape, "<path") {
			t.Errorf("%s is drawn as %q: %s", m.mark, other, shape)
		}
		shapes[shape] = m.mark
	}
	if len(shapes) != 4 {
		t.Errorf("%d marks", len(shapes))
	}
}

func TestOnlyTheNewerCertificateIsMarkedWithWhatChanged(t *testing.T) {
	v, r := renewedRoll()
	got := map[string]string{}
	for _, f := range v.fields(v.pair(r)[1]) {
		got[f.name] = f.differs
	}
	if got["Subject"] != "same" || got["Issued by"] != "changed" || got["Serial number"] != "" {
		t.Errorf("the newer one: %q", got)
	}
	for _, f := range v.fields(v.pair(r)[0]) {
		if f.differs != "" {
			t.Errorf("the older one: %+v", f)
		}
	}
}

func TestTheChartOfADayIsToScaleAndLeadsToItsMessages(t *testing.T) {
	v, _ := renewedRoll()
	v.r = httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil)
	v.r.SetPathValue("tenant", "acme")
	v.r.SetPathValue("arrangement", "crm")
	hours := make([]client.MessageHour, 24)
	for i := range hours {
		hours[i].At = v.now.Add(time.Duration(i) * time.Hour)
	}
	if c := v.hourChart(hours); c.text != "" {
		t.Errorf("a chart without messages: %+v", c)
	}
	hours[3].Delivered, hours[3].Retried, hours[3].Failed, hours[3].Cursor = 1000, 500, 2, "0190"
	hours[4].Delivered, hours[4].Cancelled, hours[4].Cursor = 1, 4, "0191"
	for _, d := range v.hourChart(hours).drawings {
		delivered, retried, failed := d.columns[3].bars[0], d.columns[3].bars[1], d.columns[3].bars[2]
		for name, pair := range map[string][2]float64{"retried": {delivered.height, 2 * retried.height},
			"failed":             {delivered.height, 500 * failed.height},
			"delivered later":    {delivered.height, 1000 * d.columns[4].bars[0].height},
			"end of the stack":   {retried.y + retried.height, delivered.y},
			"failures are below": {failed.y, d.axis}} {
			if math.Abs(pair[0]-pair[1]) > .001 {
				t.Errorf("%s, %s: %v", d.class, name, pair)
			}
		}
		if got := d.columns[3].path; got != "/tenants/acme/arrangements/crm/messages?from=0190" || d.columns[5].path != "" {
			t.Errorf("an hour leads to %q", got)
		}
		if retried.y < hoursTop || failed.y+failed.height > d.bottom {
			t.Errorf("%s: the bars leave the chart: %+v, %+v", d.class, retried, failed)
		}
	}
	if total := v.hourChart(hours).total; total.Delivered != 1001 || total.Failed != 2 || total.Cancelled != 4 {
		t.Errorf("in all: %+v", total)
	}
}

func TestTheOverviewCountsItsTasksExactlyIfItHasAll(t *testing.T) {
	five := make([]client.Task, homeTasks)
	for want, s := range map[string]situation{"0": {}, "5": {tasks: five}, "5+": {tasks: five, moreTasks: true}} {
		if got := openTasks(s); got != want {
			t.Errorf("%d tasks, more %v: %s", len(s.tasks), s.moreTasks, got)
		}
	}
}

func TestCertificatesHaveAGermanName(t *testing.T) {
	v := &view{lang: "de"}
	for p, want := range map[tenancy.Purpose]string{tenancy.ForTenant: "Mandantenzertifikat",
		tenancy.ForMUser: "M-User-Zertifikat", "edi": "Zertifikat edi"} {
		if got := v.purpose(p); got != want {
			t.Errorf("%s: %q", p, got)
		}
	}
}
