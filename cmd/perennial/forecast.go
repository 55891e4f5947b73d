package main

import (
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/perennial-pki/perennial/internal/front/publish"
	"github.com/perennial-pki/perennial/internal/keys/certfile"
	"github.com/perennial-pki/perennial/internal/service"
	"github.com/perennial-pki/perennial/policy"
)

type forecastCmd struct {
	Files    []string `arg:"" name:"file" help:"PEM, DER, PKCS#7 or PKCS#12 files, or - for standard input."`
	Policy   string   `default:"perennial" env:"PERENNIAL_POLICY" help:"A built-in policy, or the path of a policy file."`
	From     string   `placeholder:"RFC3339|DATE" help:"The first run considered is at or after this instant (default: now)."`
	Output   string   `enum:"table,json,ics" default:"table" help:"table, json or ics (a calendar)."`
	Password string   `name:"pkcs12-password" env:"PERENNIAL_PKCS12_PASSWORD" help:"Password of PKCS#12 files; better set as PERENNIAL_PKCS12_PASSWORD."`
}

type forecastJSON struct {
	Policy       string             `json:"policy"`
	Certificates []*certificateJSON `json:"certificates"`
}

type certificateJSON struct {
	File        string      `json:"file"`
	Subject     string      `json:"subject"`
	Serial      string      `json:"serial"`
	Fingerprint string      `json:"fingerprint_sha256"`
	NotBefore   time.Time   `json:"not_before"`
	NotAfter    time.Time   `json:"not_after"`
	Events      []eventJSON `json:"events"`
	Surprise    bool        `json:"surprise"`
}

type eventJSON struct {
	At       time.Time     `json:"at"`
	Action   policy.Action `json:"action"`
	DaysLeft float64       `json:"days_left"`
	Subject  string        `json:"subject,omitempty"`
}

func (c forecastCmd) Run(e env) error {
	p, err := service.LoadPolicy(c.Policy)
	if err != nil {
		return err
	}
	from := e.now().UTC().Truncate(time.Second)
	if c.From != "" {
		if from, err = parseInstant(c.From); err != nil {
			return misused("--from: %w", err)
		}
	}
	out := forecastJSON{Policy: p.Name}
	var failures []error
	for _, file := range c.Files {
		certs, err := c.read(file, e.in)
		if err != nil {
			failures = append(failures, fmt.Errorf("%s: %w", file, err))
		}
		for _, cert := range certs {
			out.Certificates = append(out.Certificates, forecast(file, cert, p, from))
		}
	}
	if len(out.Certificates) > 0 {
		if err := c.print(e, p, out); err != nil {
			return err
		}
	}
	if len(failures) > 0 {
		return errors.Join(failures...)
	}
	return surprises(out.Certificates)
}

// surprises returns a finding if a certificate is not renewed with an earlier warning.
func surprises(all []*certificateJSON) error {
	var bad []string
	for _, c := range all {
		if c.Surprise || c.Events[len(c.Events)-1].Action == policy.Expired {
			bad = append(bad, c.File)
		}
	}
	if len(bad) == 0 {
		return nil
	}
	return &finding{exitSurprise, "without an earlier warning, or not in time: " + strings.Join(bad, ", ")}
}

func (c forecastCmd) read(file string, stdin io.Reader) ([]*x509.Certificate, error) {
	if file == "-" {
		return certfile.Read(stdin, c.Password)
	}
	f, err := os.Open(file)
	if err != nil {
		return nil, errors.Unwrap(err) // the caller names the file
	}
	defer f.Close()
	certs, err := certfile.Read(f, c.Password)
	if errors.Is(err, certfile.ErrPassword) {
		err = fmt.Errorf("%w: set PERENNIAL_PKCS12_PASSWORD", err)
	}
	return certs, err
}

func forecast(file string, cert *x509.Certificate, p policy.Policy, from time.Time) *certificateJSON {
	f := p.Forecast(policy.Validity{NotBefore: cert.NotBefore, NotAfter: cert.NotAfter}, from)
	c := &certificateJSON{
		File: file, Subject: certfile.Name(cert.RawSubject), Serial: certfile.Serial(cert),
		Fingerprint: certfile.Fingerprint(cert.Raw),
		NotBefore:   cert.NotBefore.UTC(), NotAfter: cert.NotAfter.UTC(), Surprise: f.Surprise,
	}
	for _, ev := range f.Events {
		c.Events = append(c.Events, eventJSON{ev.At, ev.Action, math.Round(ev.DaysLeft*100) / 100, ev.Action.Subject()})
	}
	return c
}

func (c forecastCmd) print(e env, p policy.Policy, out forecastJSON) error {
	switch c.Output {
	case "json":
		return writeJSON(e.out, out)
	case "ics":
		var entries []publish.CalendarEntry
		for _, cert := range out.Certificates {
			for _, ev := range cert.Events {
				entries = append(entries, publish.CalendarEntry{
					UID: fmt.Sprintf("%s-%s-%d@perennial", ev.Action, cert.Fingerprint[:32], ev.At.Unix()), At: ev.At,
					Summary: fmt.Sprintf("%s: %s", planned(ev), cert.Subject),
					Description: fmt.Sprintf("%s\nSerial number: %s\nSHA-256 fingerprint: %s\nValid until: %s (%.2f days "+
						"left)\nPolicy: %s",
						cert.Subject, cert.Serial, cert.Fingerprint, moment(cert.NotAfter), ev.DaysLeft, p.Name),
				})
			}
		}
		return publish.Calendar(e.out, "Tenant certificates", entries, e.now())
	}
	for i, cert := range out.Certificates {
		if i > 0 {
			fmt.Fprintln(e.out)
		}
		fmt.Fprintf(e.out, "%s: %s\n  serial %s, valid %s to %s\n  SHA-256 %s\n", printable(cert.File),
			printable(cert.Subject), cert.Serial, moment(cert.NotBefore), moment(cert.NotAfter), cert.Fingerprint)
		for _, ev := range cert.Events {
			fmt.Fprintf(e.out, "  %s  %-7s  %6.2f days left  %s\n", moment(ev.At), ev.Action, ev.DaysLeft, headline(ev))
		}
		fmt.Fprintf(e.out, "  %s\n", verdict(cert))
	}
	return nil
}

// planned names an event of the future.
func planned(ev eventJSON) string {
	switch ev.Action {
	case policy.Warn:
		return "Warning goes out"
	case policy.Renew:
		return "Renewal planned"
	}
	return headline(ev)
}

// headline returns the notice's subject, or describes the event if there is no notice.
func headline(ev eventJSON) string {
	if ev.Subject != "" {
		return ev.Subject
	}
	return "Certificate has expired without renewal"
}

func verdict(c *certificateJSON) string {
	last := c.Events[len(c.Events)-1]
	switch {
	case last.Action == policy.Expired:
		return "It is not renewed in time: renew it by hand now."
	case c.Surprise:
		return fmt.Sprintf("SURPRISE: it is renewed on %s without an earlier warning. Tell the receivers yourself.",
			moment(last.At))
	default:
		return fmt.Sprintf("You are warned %.0f days before it is renewed.", last.At.Sub(c.Events[0].At).Hours()/24)
	}
}

// parseInstant parses RFC 3339, or a date, which stands for its first instant in UTC.
func parseInstant(s string) (time.Time, error) {
	if t, err := time.Parse(time.RFC3339, s); err == nil {
		return t.UTC(), nil
	}
	if t, err := time.Parse(time.DateOnly, s); err == nil {
		return t, nil
	}
	return time.Time{}, fmt.Errorf("invalid time %q: use 2026-11-01 or 2026-11-01T00:00:00Z", s)
}

// moment formats an instant to the minute, in UTC.
func moment(t time.Time) string { return t.UTC().Format("2006-01-02 15:04 MST") }

// printable escapes unprintable characters.
func printable(s string) string {
	if !strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return s
	}
	q := strconv.Quote(s)
	return q[1 : len(q)-1]
}
