package policy

import (
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
	"time"
)

const good = `name: ours
schedule: {every: month, day: 1, at: "00:00", zone: UTC}
renew_within: 62d
warn_from: 60d
warn_to: 93d
validity: 365d
`

func TestPolicyFilesAreReadStrictly(t *testing.T) {
	if p, err := Read(strings.NewReader(good)); err != nil || p.Check() != nil || p.Name != "ours" {
		t.Fatalf("the documented form: %+v, %v", p, err)
	}
	for _, c := range []struct{ name, old, new, want string }{
		{"unknown key", "warn_from", "warn_form", `line 4: unknown key "warn_form": use name,`},
		{"twice", "warn_to: 93d", "warn_to: 93d\nwarn_to: 94d", "line 6: warn_to is given twice"},
		{"no schedule", `schedule: {every: month, day: 1, at: "00:00", zone: UTC}`, "", "schedule is missing"},
		{"no name", "name: ours\n", "", "name is missing"},
		{"control character in the name", "name: ours", `name: "a\u0007b"`, "line 1: name: use 1 to 64 printable"},
		{"too long a name", "name: ours", "name: " + strings.Repeat("x", 65), "line 1: name: use 1 to 64 printable"},
		{"a name of blanks", "name: ours", `name: "  "`, "line 1: name: use 1 to 64 printable"},
		{"a delete character in the name", "name: ours", `name: "a\x7f"`, "line 1: name: use 1 to 64 printable"},
		{"negative", "60d", "-60d", "line 4: warn_from: -60d is negative"},
		{"renewal switched off", "renew_within: 62d", "renew_within: 0d", "line 3: renew_within is 0d; it must be longer " +
			"than 0: renewal cannot be switched off"},
		{"no window", "warn_to: 93d", "warn_to: 50d", "line 5: warn_to (50d) must not be shorter than warn_from (60d)"},
		{"warning inside renewal", "warn_to: 93d", "warn_to: 61d", "line 5: warn_to (61d) must be longer than renew_within " +
			"(62d), or no warning would ever be sent"},
		{"warning longer than the lifetime", "warn_to: 93d", "warn_to: 365d", "line 5: warn_to (365d) must be shorter than " +
			"validity (365d), or every run would warn"},
		{"too short a lifetime", "validity: 365d", "validity: 59m", "line 6: validity is 59m; it must be 1h to 3650d"},
		{"too long a lifetime", "validity: 365d", "validity: 3651d", "line 6: validity is 3651d; it must be 1h to 3650d"},
		{"negative spread", "validity: 365d", "validity: 365d\nspread: -1h", "line 7: spread is -1h; it must not be"},
		{"a key on a later line", "warn_to: 93d\n", "mail_it_contacts_within: 92d\nwarn_to: 50d\n", "line 6: warn_to (50d)"},
		{"no mapping in the schedule", `{every: month, day: 1, at: "00:00", zone: UTC}`, "monthly",
			"line 2: expected keys and values"},
		{"a date", "validity: 365d", "validity: 365d\nmail_m_user_since: soon",
			`line 7: mail_m_user_since: invalid date "soon"`},
		{"a list as a span", "renew_within: 62d", "renew_within: [1]", "line 3: renew_within: use a duration such as 62d"},
		{"longer than the lifetime", "renew_within: 62d", "renew_within: 400d", "line 3: renew_within (400d) must be " +
			"shorter than validity (365d), or every run would renew"},
		{"share above one", "renew_within: 62d", "renew_within: 1.5",
			`line 3: renew_within: invalid share of the lifetime "1.5"`},
		{"no duration", "validity: 365d", "validity: a year", `line 6: validity: invalid duration "a year"`},
		{"zone", "zone: UTC", "zone: Mars/Base", `line 2: zone: invalid time zone "Mars/Base"`},
		{"time of day", `"00:00"`, `"24:00"`, `line 2: at: invalid time of day "24:00"`},
		{"day", "day: 1,", "day: 32,", `line 2: day: invalid day of the month "32": use 1 to 31`},
		{"day of a daily schedule", "every: month", "every: day", "line 2: day needs every: month or every: week"},
		{"weekday", "every: month, day: 1", "every: week, day: someday", `line 2: day: invalid weekday "someday"`},
		{"period", "every: month", "every: fortnight", `line 2: every: invalid period "fortnight": use month, week or day`},
		{"half-written", "validity: 365d", "validity: {", "line 6"},
		{"second document", "validity: 365d", "validity: 365d\n---\nname: b", "more than one document"},
		{"list", good, "- a\n", "line 1: expected keys and values"},
		{"empty", good, "", "the file is empty"},
		{"only a comment", good, "# nothing\n", "the file is empty"},
		{"huge", good, strings.Repeat("#", 70<<10), "larger than 64 KiB"},
	} {
		_, err := Read(strings.NewReader(strings.Replace(good, c.old, c.new, 1)))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
}

func TestAPolicyThatLetsACertificateExpireIsRefusedWithTheDate(t *testing.T) {
	p, err := Read(strings.NewReader(strings.Replace(good, "renew_within: 62d", "renew_within: 20d", 1)))
	if err != nil {
		t.Fatal(err)
	}
	var unsound *UnsoundError
	if err := p.Check(); !errors.As(err, &unsound) ||
		!strings.Contains(err.Error(), "expires at 2025-02-21T00:00:01Z would not be renewed") {
		t.Fatalf("got %v", err)
	}
	if r, err := Audit(p); err != nil || r.Sound || r.CounterExample == "" {
		t.Errorf("the audit calls it sound: %+v, %v", r, err)
	}
}

func TestAFileOfTheMaximumSizeIsRead(t *testing.T) {
	longest := strings.Replace(good, "name: ours", "name: "+strings.Repeat("x", 64), 1)
	longest += strings.Repeat("#", 64<<10-len(longest))
	if p, err := Read(strings.NewReader(longest)); err != nil || len(p.Name) != 64 {
		t.Errorf("%d bytes: %v", len(longest), err)
	}
	if _, err := Read(strings.NewReader(longest + "#")); err == nil {
		t.Error("a byte more is read")
	}
	if _, err := Read(iotest.ErrReader(io.ErrUnexpectedEOF)); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("a broken reader: %v", err)
	}
}

func TestEveryKeyOfAFileIsReadAndWritten(t *testing.T) {
	p := preset(t, "sap-c4c-92")
	p.Source, p.WarnOnce, p.Spread = "two\nlines: a \"quote\"", true, 6*time.Hour
	for _, s := range []Schedule{
		{Every: Month, Day: 31, Hour: 23, Minute: 59, Zone: time.UTC},
		{Every: Week, Weekday: time.Sunday, Zone: time.UTC}, {Every: Daily, Hour: 1, Zone: time.UTC},
	} {
		p.Schedule = s
		if again, err := Read(strings.NewReader(p.YAML())); err != nil || again != p {
			t.Errorf("%s\nis read as %+v, %v", p.YAML(), again, err)
		}
	}
	for every, want := range map[string]Schedule{"month": {Every: Month, Day: 1, Zone: time.UTC},
		"week": {Every: Week, Weekday: time.Monday, Zone: time.UTC}, "day": {Every: Daily, Zone: time.UTC}} {
		short := strings.Replace(good, `{every: month, day: 1, at: "00:00", zone: UTC}`, "{every: "+every+"}", 1)
		if p, err := Read(strings.NewReader(short)); err != nil || p.Schedule != want {
			t.Errorf("every %s without more is %+v, %v", every, p.Schedule, err)
		}
	}
}

func TestEveryPresetReadsBackAsItself(t *testing.T) {
	if got := len(Presets()); got != 5 {
		t.Errorf("%d presets", got)
	}
	for _, p := range Presets() {
		if err := p.Check(); err != nil {
			t.Error(err)
		}
		got, err := Read(strings.NewReader(p.YAML()))
		if err != nil || got != p {
			t.Errorf("%s:\n%s\ngot %+v\n%v", p.Name, p.YAML(), got, err)
		}
	}
}

func FuzzRead(f *testing.F) {
	f.Add(good)
	for _, p := range Presets() {
		f.Add(p.YAML())
	}
	f.Add("a: &a [*a]")
	f.Add("&a : *a")
	f.Fuzz(func(t *testing.T, in string) {
		p, err := Read(strings.NewReader(in))
		if err != nil {
			return
		}
		// Zones compare by name: two loads of one zone are two pointers.
		if again, err := Read(strings.NewReader(p.YAML())); err != nil || again.YAML() != p.YAML() {
			t.Fatalf("%+v reads back as %+v: %v\n%s", p, again, err, p.YAML())
		}
		_ = p.Check()
	})
}
