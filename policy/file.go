package policy

import (
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// maxFileSize limits the size of a policy file. A real one has ten lines.
const maxFileSize = 64 << 10

// Read reads a policy file (YAML) strictly. An unknown, repeated or missing key and an invalid value are errors with
// the line. Read does not check that the policy is sound: see [Policy.Check].
func Read(r io.Reader) (Policy, error) {
	data, err := io.ReadAll(io.LimitReader(r, maxFileSize+1))
	if err != nil {
		return Policy{}, err
	}
	if len(data) > maxFileSize {
		return Policy{}, fmt.Errorf("the file is larger than %d KiB, so it is not a policy", maxFileSize>>10)
	}
	dec := yaml.NewDecoder(strings.NewReader(string(data)))
	var doc yaml.Node
	if err := dec.Decode(&doc); err != nil {
		if errors.Is(err, io.EOF) {
			return Policy{}, errors.New("the file is empty: write at least name, schedule, renew_within, warn_from, warn_to " +
				"and validity")
		}
		return Policy{}, errors.New(strings.TrimPrefix(err.Error(), "yaml: "))
	}
	var more yaml.Node
	if err := dec.Decode(&more); !errors.Is(err, io.EOF) {
		return Policy{}, errors.New("the file contains more than one document: write one policy per file")
	}
	var p Policy
	err = eachKey(doc.Content[0], []field{
		{"name", true, func(n *yaml.Node) error {
			p.Name = n.Value
			if strings.TrimSpace(p.Name) == "" || len(p.Name) > 64 || strings.ContainsFunc(p.Name, func(r rune) bool {
				return r < ' ' || r == 0x7f
			}) {
				return errors.New("use 1 to 64 printable characters")
			}
			return nil
		}},
		{"source", false, func(n *yaml.Node) error { p.Source = n.Value; return nil }},
		{"schedule", true, func(n *yaml.Node) (err error) { p.Schedule, err = readSchedule(n); return err }},
		{"renew_within", true, span(&p.RenewWithin)},
		{"warn_from", true, span(&p.WarnFrom)},
		{"warn_to", true, span(&p.WarnTo)},
		{"warn_once", false, func(n *yaml.Node) error { return n.Decode(&p.WarnOnce) }},
		{"mail_it_contacts_within", false, span(&p.MailITContactsWithin)},
		{"mail_m_user_since", false, func(n *yaml.Node) (err error) {
			if p.MailMUserSince, err = time.Parse(time.DateOnly, n.Value); err != nil {
				return fmt.Errorf("invalid date %q: use a date such as 2024-11-01", n.Value)
			}
			return nil
		}},
		{"validity", true, func(n *yaml.Node) (err error) {
			p.Validity, err = ParseDuration(n.Value)
			return err
		}},
		{"spread", false, func(n *yaml.Node) (err error) {
			p.Spread, err = ParseDuration(n.Value)
			return err
		}},
	})
	if err != nil {
		return Policy{}, err
	}
	if err := p.checkValues(); err != nil {
		return Policy{}, located(doc.Content[0], err)
	}
	return p, nil
}

// A lineError is an error at a line of a policy file.
type lineError struct {
	line int
	err  error
}

func (e *lineError) Error() string { return fmt.Sprintf("line %d: %v", e.line, e.err) }

func (e *lineError) Unwrap() error { return e.err }

func lineErrorf(n *yaml.Node, format string, args ...any) error {
	return &lineError{n.Line, fmt.Errorf(format, args...)}
}

// located adds the line to an error about a key of the file.
func located(file *yaml.Node, err error) error {
	var problem *KeyError
	if !errors.As(err, &problem) {
		return err
	}
	line, n := 0, file
	for _, key := range strings.Split(problem.Key, ".") {
		for i := 0; i+1 < len(n.Content); i += 2 {
			if n.Content[i].Value == key {
				line, n = n.Content[i].Line, n.Content[i+1]
				break
			}
		}
	}
	if line == 0 { // the key is optional and missing
		return err
	}
	return &lineError{line, err}
}

type field struct {
	key      string
	required bool
	read     func(*yaml.Node) error
}

func eachKey(n *yaml.Node, fields []field) error {
	if n.Kind != yaml.MappingNode {
		return lineErrorf(n, "expected keys and values")
	}
	names := make([]string, len(fields))
	for i, f := range fields {
		names[i] = f.key
	}
	seen := map[string]bool{}
next:
	for i := 0; i+1 < len(n.Content); i += 2 {
		k, v := n.Content[i], n.Content[i+1]
		if seen[k.Value] {
			return lineErrorf(k, "%s is given twice", k.Value)
		}
		seen[k.Value] = true
		for _, f := range fields {
			if f.key != k.Value {
				continue
			}
			if err := f.read(v); err != nil {
				if nested := (*lineError)(nil); errors.As(err, &nested) {
					return err
				}
				return lineErrorf(k, "%s: %w", k.Value, err)
			}
			continue next
		}
		return lineErrorf(k, "unknown key %q: use %s", k.Value, strings.Join(names, ", "))
	}
	for _, f := range fields {
		if f.required && !seen[f.key] {
			return lineErrorf(n, "%s is missing", f.key)
		}
	}
	return nil
}

func span(to *Span) func(*yaml.Node) error {
	return func(n *yaml.Node) (err error) {
		if n.Kind != yaml.ScalarNode {
			return errors.New("use a duration such as 62d, or a share of the lifetime such as 0.33")
		}
		*to, err = ParseSpan(n.Value)
		if err == nil && to.Fixed < 0 {
			return fmt.Errorf("%s is negative: use 0d or more", n.Value)
		}
		return err
	}
}

func readSchedule(n *yaml.Node) (Schedule, error) {
	s := Schedule{Zone: time.UTC}
	var day *yaml.Node
	err := eachKey(n, []field{
		{"every", true, func(n *yaml.Node) error {
			s.Every = Every(n.Value)
			if s.Every != Month && s.Every != Week && s.Every != Daily {
				return fmt.Errorf("invalid period %q: use month, week or day", n.Value)
			}
			return nil
		}},
		{"day", false, func(n *yaml.Node) error { day = n; return nil }},
		{"at", false, func(n *yaml.Node) error {
			t, err := time.Parse("15:04", n.Value)
			if err != nil {
				return fmt.Errorf("invalid time of day %q: use \"00:00\" to \"23:59\"", n.Value)
			}
			s.Hour, s.Minute = t.Hour(), t.Minute()
			return nil
		}},
		{"zone", false, func(n *yaml.Node) error {
			zone, err := time.LoadLocation(n.Value)
			if err != nil || n.Value == "" || n.Value == "Local" {
				return fmt.Errorf("invalid time zone %q: use an IANA name such as UTC or Europe/Berlin", n.Value)
			}
			s.Zone = zone
			return nil
		}},
	})
	if err != nil {
		return s, err
	}
	if day == nil { // the first day of the period
		switch s.Every {
		case Month:
			s.Day = 1
		case Week:
			s.Weekday = time.Monday
		}
		return s, nil
	}
	switch s.Every {
	case Month:
		if s.Day, err = strconv.Atoi(day.Value); err != nil || s.Day < 1 || s.Day > 31 {
			return s, lineErrorf(day, "day: invalid day of the month %q: use 1 to 31", day.Value)
		}
	case Week:
		for d := time.Sunday; d <= time.Saturday; d++ {
			if strings.EqualFold(d.String(), day.Value) {
				s.Weekday = d
				return s, nil
			}
		}
		return s, lineErrorf(day, "day: invalid weekday %q: use monday to sunday", day.Value)
	default:
		return s, lineErrorf(day, "day needs every: month or every: week")
	}
	return s, nil
}

// YAML returns the policy as a file that [Read] accepts.
func (p Policy) YAML() string {
	var b strings.Builder
	fmt.Fprintf(&b, "name: %s\n", quoted(p.Name))
	if p.Source != "" {
		fmt.Fprintf(&b, "source: %s\n", quoted(p.Source))
	}
	fmt.Fprintf(&b, "schedule: {every: %s", p.Schedule.Every)
	switch p.Schedule.Every {
	case Month:
		fmt.Fprintf(&b, ", day: %d", p.Schedule.Day)
	case Week:
		fmt.Fprintf(&b, ", day: %s", strings.ToLower(p.Schedule.Weekday.String()))
	}
	fmt.Fprintf(&b, ", at: \"%02d:%02d\", zone: %s}\n", p.Schedule.Hour, p.Schedule.Minute, p.Schedule.Zone)
	fmt.Fprintf(&b, "renew_within: %s\nwarn_from: %s\nwarn_to: %s\n", p.RenewWithin, p.WarnFrom, p.WarnTo)
	if p.WarnOnce {
		b.WriteString("warn_once: true\n")
	}
	if !p.MailITContactsWithin.IsZero() {
		fmt.Fprintf(&b, "mail_it_contacts_within: %s\n", p.MailITContactsWithin)
	}
	if !p.MailMUserSince.IsZero() {
		fmt.Fprintf(&b, "mail_m_user_since: %s\n", p.MailMUserSince.Format(time.DateOnly))
	}
	fmt.Fprintf(&b, "validity: %s\n", FormatDuration(p.Validity))
	if p.Spread != 0 {
		fmt.Fprintf(&b, "spread: %s\n", FormatDuration(p.Spread))
	}
	return b.String()
}

// quoted returns s as a YAML scalar on one line, without quotes if that is safe.
func quoted(s string) string {
	n := yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: s}
	if strings.ContainsAny(s, "\n\r") {
		n.Style = yaml.DoubleQuotedStyle
	}
	out, err := yaml.Marshal(&n)
	if err != nil {
		return strconv.Quote(s)
	}
	return strings.TrimSuffix(string(out), "\n")
}
