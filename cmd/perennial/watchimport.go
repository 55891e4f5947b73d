package main

import (
	"bytes"
	"cmp"
	"crypto/x509"
	"encoding/csv"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/perennial-pki/perennial/client"
	"github.com/perennial-pki/perennial/internal/keys/certfile"
)

type watchImportCmd struct {
	remote
	ofTenant
	watchSettings
	Files []string `arg:"" name:"file" help:"Certificate files of any form and number of certificates, or tables (.csv) with the columns name, file, tenant, owner, policy, window, systems, folder, download and server, of which name is required. Systems are separated by semicolons or spaces."`
}

// A watchLine is one certificate of an import.
type watchLine struct {
	from    string // the file, and the line of a table
	tenant  string // empty for that of the command
	skipped string // why it is not imported; empty if it is
	client.Watched
}

// Run adds every certificate of the files. It adds none if a file cannot be read. Those that are watched already are
// left out, so that an import that failed can be repeated.
func (c *watchImportCmd) Run(e env) error {
	var lines []watchLine
	var problems []error
	for _, file := range c.Files {
		read := c.certificates
		if strings.EqualFold(filepath.Ext(file), ".csv") {
			read = c.table
		}
		more, err := read(file)
		lines, problems = append(lines, more...), append(problems, err)
	}
	names := map[string]string{}
	for _, l := range lines {
		if l.skipped != "" {
			continue
		}
		key := l.tenant + "/" + l.Name
		if first := names[key]; first != "" {
			problems = append(problems, fmt.Errorf("%s: the name %s is used in %s too", l.from, l.Name, first))
		}
		names[key] = cmp.Or(names[key], l.from)
	}
	if err := errors.Join(problems...); err != nil {
		return fmt.Errorf("nothing was imported: %w", err)
	}
	results := make([]watchResult, len(lines))
	var failures []error
	for i, l := range lines {
		result := "skipped: " + l.skipped
		if l.skipped == "" {
			var err error
			if result, err = c.add(l); err != nil {
				failures, result = append(failures, fmt.Errorf("%s: %w", l.from, err)), "failed"
			}
		}
		results[i] = watchResult{Name: l.Name, Result: result}
	}
	return errors.Join(append(failures, c.report(e, results))...)
}

// A watchResult is the outcome of an import for one certificate.
type watchResult struct {
	Name   string `json:"name"`
	Result string `json:"result"`
}

func (c *watchImportCmd) report(e env, results []watchResult) error {
	if c.Output == "json" {
		return writeJSON(e.out, results)
	}
	return table(e.out, "NAME\tRESULT", func(row func(...any)) {
		for _, r := range results {
			row(r.Name, r.Result)
		}
	})
}

// add adds a certificate, unless it is watched already.
func (c *watchImportCmd) add(l watchLine) (result string, err error) {
	of := c.ofTenant
	of.Tenant = cmp.Or(l.tenant, of.Tenant)
	path, err := of.path(&c.remote)
	if err != nil {
		return "", err
	}
	_, err = post[client.Watched](&c.remote, path, l.Watched)
	var refused *client.Error
	switch {
	case err == nil:
		return "added", nil
	case !errors.As(err, &refused):
		return "", err
	case refused.Status != http.StatusConflict && refused.Status != http.StatusUnprocessableEntity:
		return "", err
	}
	// The service reads a source before it notices that the name is taken, so 422 may come first.
	if present, unread := get[client.Watched](&c.remote, path+"/"+l.Name); unread != nil || !l.is(present) {
		return "", err
	}
	return "already watched", nil
}

// is reports whether a watched certificate is that of an import: it is or was a certificate of the file, or it has the
// same source if there is no file.
func (l watchLine) is(present client.Watched) bool {
	if len(l.File) == 0 {
		return l.Source.Kind != "" && l.Source == present.Source
	}
	return slices.ContainsFunc(present.History, func(seen client.WatchedSeen) bool {
		return seen.Adopted && contains(l.File, seen.Fingerprint)
	})
}

// contains reports whether a file has the certificate with a fingerprint.
func contains(file []byte, fingerprint string) bool {
	found, err := certfile.ParseAll(file, "")
	return err == nil && slices.ContainsFunc(found, func(c *x509.Certificate) bool {
		return certfile.Fingerprint(c.Raw) == fingerprint
	})
}

// certificates returns the certificates of a file, each with the CAs above it. CAs that have issued others in the file
// are skipped. A single certificate has the name of the file, and several have those of their subjects.
func (c *watchImportCmd) certificates(file string) (lines []watchLine, err error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	all, err := certfile.ParseAll(data, "")
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	var leaves, authorities []*x509.Certificate
	for _, one := range all {
		switch {
		case slices.ContainsFunc(slices.Concat(leaves, authorities), one.Equal): // it is in the file twice
		case certfile.IssuesAnother(one, all):
			authorities = append(authorities, one)
			lines = append(lines, watchLine{from: file, skipped: "it is the CA of another certificate in " + file,
				Watched: client.Watched{Name: certfile.Name(one.RawSubject)}})
		default:
			leaves = append(leaves, one)
		}
	}
	if len(leaves) == 0 {
		return nil, fmt.Errorf("%s: it has only CAs that have issued each other: give the certificate of the partner", file)
	}
	taken := map[string]int{}
	for _, leaf := range leaves {
		base := filepath.Base(file)
		name := nameOf(strings.TrimSuffix(base, filepath.Ext(base)))
		if len(leaves) > 1 {
			name = nameOf(cmp.Or(leaf.Subject.CommonName, name))
		}
		if taken[name]++; taken[name] > 1 {
			name += "-" + strconv.Itoa(taken[name])
		}
		l := watchLine{from: file, Watched: client.Watched{Name: name, File: bundle(leaf, authorities)}}
		if err := c.apply(&l.Watched); err != nil {
			return nil, err
		}
		lines = append(lines, l)
	}
	return lines, nil
}

// bundle returns a certificate as PEM, with those CAs that are above it.
func bundle(leaf *x509.Certificate, authorities []*x509.Certificate) []byte {
	chain := []*x509.Certificate{leaf}
	for i := 0; i < len(chain); i++ {
		for _, ca := range authorities {
			if certfile.IsIssuer(ca, chain[i]) && !slices.ContainsFunc(chain, ca.Equal) {
				chain = append(chain, ca)
			}
		}
	}
	var out bytes.Buffer
	for _, c := range chain {
		pem.Encode(&out, &pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})
	}
	return out.Bytes()
}

// nameOf returns a text in the form of a name.
func nameOf(text string) string {
	text = strings.Map(func(r rune) rune {
		if r = unicode.ToLower(r); r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
			return r
		}
		return '-'
	}, text)
	words := strings.FieldsFunc(text, func(r rune) bool { return r == '-' })
	name := strings.Join(words, "-")
	const most, number = 63, 4 // room for a number
	return strings.Trim(name[:min(len(name), most-number)], "-")
}

// tableColumns are the columns of a table, and the setting that each of them is.
var tableColumns = map[string]func(l *watchLine, s *watchSettings, value string){
	"name":     func(l *watchLine, _ *watchSettings, v string) { l.Name = v },
	"tenant":   func(l *watchLine, _ *watchSettings, v string) { l.tenant = v },
	"file":     func(*watchLine, *watchSettings, string) {}, // it is read relative to the table
	"owner":    func(_ *watchLine, s *watchSettings, v string) { s.Owner = &v },
	"policy":   func(_ *watchLine, s *watchSettings, v string) { s.Policy, s.Window = &v, nil },
	"window":   func(_ *watchLine, s *watchSettings, v string) { s.Policy, s.Window = nil, &v },
	"folder":   func(_ *watchLine, s *watchSettings, v string) { s.Folder = v },
	"download": func(_ *watchLine, s *watchSettings, v string) { s.Download = v },
	"server":   func(_ *watchLine, s *watchSettings, v string) { s.Server = v },
	"systems": func(_ *watchLine, s *watchSettings, v string) {
		s.System = strings.FieldsFunc(v, func(r rune) bool { return r == ';' || r == ' ' })
	},
}

// table returns the certificates of a table. The flags of the command apply to cells that are empty.
func (c *watchImportCmd) table(file string) (lines []watchLine, err error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	data = bytes.TrimPrefix(data, []byte("\ufeff"))
	r := csv.NewReader(bytes.NewReader(data))
	if header, _, _ := bytes.Cut(data, []byte("\n")); bytes.Contains(header, []byte(";")) {
		r.Comma = ';'
	}
	r.TrimLeadingSpace = true
	header, err := r.Read()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	for _, name := range header {
		if tableColumns[name] == nil {
			return nil, fmt.Errorf("%s: unknown column %q", file, name)
		}
	}
	if !slices.Contains(header, "name") {
		return nil, fmt.Errorf("%s: the column name is missing", file)
	}
	rows, err := r.ReadAll()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	var problems []error
	for i, row := range rows {
		l, err := c.line(filepath.Dir(file), header, row)
		l.from = fmt.Sprintf("%s, entry %d", file, i+1)
		if err != nil {
			err = fmt.Errorf("%s: %w", l.from, err)
		}
		lines, problems = append(lines, l), append(problems, err)
	}
	return lines, errors.Join(problems...)
}

// line reads a row of a table in a folder.
func (c *watchImportCmd) line(dir string, header, row []string) (l watchLine, err error) {
	settings := c.watchSettings
	for i, value := range row {
		value = strings.TrimSpace(value)
		if value == "" {
			continue
		}
		tableColumns[header[i]](&l, &settings, value)
		if header[i] != "file" {
			continue
		}
		if !filepath.IsAbs(value) {
			value = filepath.Join(dir, value)
		}
		if l.File, err = os.ReadFile(value); err != nil {
			return l, err
		}
	}
	if l.Name == "" {
		return l, errors.New("the name is missing")
	}
	err = settings.apply(&l.Watched)
	return l, err
}
