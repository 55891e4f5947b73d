// Package importing imports a fleet: tenants, their people, their arrangements and their certificates.
//
// It promises that nothing is stored as long as there is a problem, and that all problems are reported at once, with
// file and line. An import that has begun is finished after a crash, each tenant in one transaction. An import can be
// undone as long as nothing that it created is in use. Private keys are sealed from the moment they are read.
package importing

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/perennial-pki/perennial/internal/keys/certfile"
	"github.com/perennial-pki/perennial/tenancy"
)

// MaxLines is the maximum number of lines of each table.
const MaxLines = 100_000

// maxProblems is the maximum number of problems that are reported at once.
const maxProblems = 1000

// Files is the content of an import. Tables are CSV with a header line, separated by commas or semicolons, in UTF-8.
type Files struct {
	Tenants string // name, display_name, key_type, mail_for_tasks (yes, no; empty: the default of the installation)
	// tenant, role (key-user, it-contact), name, email, subscribed (yes, no), display_name (of key users), language, zone
	People string
	// tenant, name, receiver, receiver_name, contact_name, contact_email, scenario, endpoint, strategy, probe_path,
	// server_key_pin, identifies_by (separated by spaces)
	Arrangements string
	Certificates []Certificate // each with its private key
	Password     string        // of PKCS#12 files and encrypted keys without a password of their own
	// SpreadExpiry spreads the expiry of issued certificates over the runs of a cycle, so that one run does not renew all
	// of them. Nil: for more than 1,000 certificates.
	SpreadExpiry *bool
}

// A Certificate is a file with a certificate and its private key, in PEM or PKCS#12. Its name identifies the owner:
// acme.pem is the tenant certificate of acme, and acme.m-user.p12 that of its M-user.
type Certificate struct {
	Name     string
	Data     []byte
	Password string // empty: that of the import
}

// A Problem is an error in the files.
type Problem struct {
	File string `json:"file"`
	Line int    `json:"line,omitempty" doc:"0: the file as a whole."`
	Text string `json:"text"`
}

// A Unit is all that an import creates for one tenant.
type Unit struct {
	Tenant       string // name
	Display      string
	KeyType      tenancy.KeyType
	New          bool // the tenant is created, too
	KeyUsers     []Person
	Contacts     []Person
	Arrangements []Arrangement
	Keys         []Key
	NotAfter     time.Time `json:",omitzero"` // end of the certificates that are issued; zero: the policy decides
	// MailForTasks answers the question of that name for a new tenant; empty for the default of the installation.
	MailForTasks tenancy.ScopeAnswer `json:",omitempty"`
	// Issuer names the issuer of a new tenant's later certificates; empty for the default one.
	Issuer string `json:",omitempty"`

	file  string // the table in which the tenant occurs first, with the line
	line  int
	typed bool // the table states the key type
}

// A Person is a key user or an IT contact.
type Person struct {
	Name, Email string
	DisplayName string `json:",omitempty"` // of a key user
	tenancy.Preferences
	Subscribed bool
	line       int
}

// An Arrangement comes with its receiver.
type Arrangement struct {
	tenancy.Arrangement
	Receiver tenancy.Receiver
	line     int
}

// A Key is a certificate with its private key.
type Key struct {
	Purpose tenancy.Purpose
	Leaf    []byte // DER
	// Chain holds the authorities above the leaf (DER, one after the other): first its issuer, without the root. Its name
	// in a stored plan dates from the time when it was a single certificate.
	Chain   []byte `json:"Issuer"`
	Private []byte // PKCS#8
	KeyType tenancy.KeyType
	File    string // in which it was
}

// A reader collects the units and the problems.
type reader struct {
	units    map[string]*Unit
	order    []string
	problems []Problem
	now      time.Time
}

func (r *reader) wrong(file string, line int, format string, args ...any) {
	if len(r.problems) < maxProblems {
		r.problems = append(r.problems, Problem{file, line, fmt.Sprintf(format, args...)})
	}
}

// check adds a problem if a rule of package tenancy is violated.
func (r *reader) check(file string, line int, err error) {
	if err != nil {
		r.wrong(file, line, "%v", err)
	}
}

// unit returns the unit of a tenant that occurs in a line of a table. The unit of a tenant with an invalid name, which
// the caller reports, is checked with the others and not returned by [Read].
func (r *reader) unit(name, file string, line int) *Unit {
	u := r.units[name]
	if u == nil {
		u = &Unit{Tenant: name, Display: name, KeyType: tenancy.P256, file: file, line: line}
		r.units[name] = u
		if tenancy.CheckName("tenant", name) == nil {
			r.order = append(r.order, name)
		}
	}
	return u
}

// The names of the tables in problems.
const (
	tenantsFile      = "tenants"
	peopleFile       = "people"
	arrangementsFile = "arrangements"
)

// Read reads files into one unit for each tenant, in the order in which they occur, and returns the problems. It uses
// only the files.
func Read(f Files, now time.Time) ([]*Unit, []Problem) {
	r := &reader{units: map[string]*Unit{}, now: now}
	r.tenants(f.Tenants)
	r.people(f.People)
	r.arrangements(f.Arrangements)
	for _, c := range f.Certificates {
		if err := r.certificate(c, f.Password); err != nil {
			r.wrong(c.Name, 0, "%v", err)
		}
	}
	var units []*Unit
	for _, name := range r.order {
		units = append(units, r.units[name])
	}
	if len(units) == 0 && len(r.problems) == 0 {
		r.wrong(tenantsFile, 0, "the files are empty")
	}
	return units, r.problems
}

// table reads a CSV table. It calls row with each line's cells by column name.
func (r *reader) table(file, text string, columns, required []string,
	row func(line int, cell func(column string) string)) {
	text = strings.TrimPrefix(text, "\ufeff") // a byte order mark, as spreadsheets write it
	if strings.TrimSpace(text) == "" {
		return
	}
	in := csv.NewReader(strings.NewReader(text))
	if first, _, _ := strings.Cut(text, "\n"); strings.Count(first, ";") > strings.Count(first, ",") {
		in.Comma = ';'
	}
	in.FieldsPerRecord = -1
	in.TrimLeadingSpace = true
	head, err := in.Read()
	if err != nil {
		r.wrong(file, 1, "the header cannot be read: %v", err)
		return
	}
	at := map[string]int{}
	for i, name := range head {
		name = strings.ToLower(strings.TrimSpace(name))
		switch {
		case !slices.Contains(columns, name):
			r.wrong(file, 1, "unknown column %q: the columns are %s", name, strings.Join(columns, ", "))
		case hasKey(at, name):
			r.wrong(file, 1, "the column %s occurs twice", name)
		}
		at[name] = i
	}
	for _, name := range required {
		if !hasKey(at, name) {
			r.wrong(file, 1, "the column %s is missing", name)
		}
	}
	if len(r.problems) > 0 && r.problems[len(r.problems)-1].File == file {
		return
	}
	for n := 0; ; n++ {
		cells, err := in.Read()
		if errors.Is(err, io.EOF) {
			return
		}
		var parse *csv.ParseError
		if errors.As(err, &parse) {
			r.wrong(file, parse.StartLine, "this line and the lines after it cannot be read: %v", parse.Err)
			return
		}
		line, _ := in.FieldPos(0)
		switch {
		case n == MaxLines:
			r.wrong(file, line, "the table is longer than %d lines: import it in parts", MaxLines)
			return
		case len(cells) > len(head):
			r.wrong(file, line, "has %d cells, and the header %d: is there a separator in a cell without quotes?", len(cells),
				len(head))
			continue
		}
		row(line, func(column string) string {
			if i, ok := at[column]; ok && i < len(cells) {
				return strings.TrimSpace(cells[i])
			}
			return ""
		})
	}
}

func hasKey(m map[string]int, key string) bool {
	_, ok := m[key]
	return ok
}

// Columns of the tables.
var (
	tenantColumns = []string{"name", "display_name", "key_type", "mail_for_tasks", "issuer"}
	peopleColumns = []string{"tenant", "role", "name", "email", "subscribed", "display_name", "language", "zone"}

	arrangementColumns = []string{"tenant", "name", "receiver", "receiver_name", "contact_name", "contact_email",
		"scenario", "endpoint", "strategy", "probe_path", "server_key_pin", "identifies_by"}
)

// Columns lists the columns of the tables of tenants, people and arrangements, by the name of the table.
func Columns() map[string][]string {
	return map[string][]string{"tenants": tenantColumns, "people": peopleColumns, "arrangements": arrangementColumns}
}

func (r *reader) tenants(text string) {
	r.table(tenantsFile, text, tenantColumns, []string{"name"},
		func(line int, cell func(string) string) {
			name := cell("name")
			if u := r.units[name]; u != nil {
				r.wrong(tenantsFile, line, "%s is already in line %d", name, u.line)
				return
			}
			u := r.unit(name, tenantsFile, line)
			u.New = true
			if d := cell("display_name"); d != "" {
				u.Display = d
			}
			if k := cell("key_type"); k != "" {
				u.KeyType, u.typed = tenancy.KeyType(strings.ToLower(k)), true
			}
			if u.Issuer = cell("issuer"); u.Issuer != "" {
				r.check(tenantsFile, line, tenancy.CheckName("issuer", u.Issuer))
			}
			switch answer := strings.ToLower(cell("mail_for_tasks")); answer {
			case "", string(tenancy.AnsweredYes), string(tenancy.AnsweredNo):
				u.MailForTasks = tenancy.ScopeAnswer(answer)
			default:
				r.wrong(tenantsFile, line, "mail_for_tasks: write yes or no, not %q", answer)
			}
			r.check(tenantsFile, line, tenancy.Tenant{Name: u.Tenant, DisplayName: u.Display, KeyType: u.KeyType}.Check())
		})
}

func (r *reader) people(text string) {
	r.table(peopleFile, text, peopleColumns,
		[]string{"tenant", "role", "name", "email"}, func(line int, cell func(string) string) {
			p := Person{Name: cell("name"), Email: cell("email"), DisplayName: cell("display_name"), line: line,
				Preferences: tenancy.Preferences{Language: strings.ToLower(cell("language")), Zone: cell("zone")}}
			r.check(peopleFile, line, tenancy.CheckName("tenant", cell("tenant")))
			u := r.unit(cell("tenant"), peopleFile, line)
			switch yes := strings.ToLower(cell("subscribed")); yes {
			case "yes":
				p.Subscribed = true
			case "", "no":
			default:
				r.wrong(peopleFile, line, "subscribed: write yes or no, not %q", yes)
			}
			switch role := cell("role"); role {
			case "key-user":
				r.check(peopleFile, line, tenancy.KeyUser{Name: p.Name, Email: p.Email, DisplayName: p.DisplayName,
					Preferences: p.Preferences}.Check())
				if i := slices.IndexFunc(u.KeyUsers, func(o Person) bool { return o.Name == p.Name }); i >= 0 {
					r.wrong(peopleFile, line, "the key user %s of %s is already in line %d", p.Name, u.Tenant, u.KeyUsers[i].line)
				}
				u.KeyUsers = append(u.KeyUsers, p)
			case "it-contact":
				r.check(peopleFile, line, tenancy.ITContact{Name: p.Name, Email: p.Email, Preferences: p.Preferences}.Check())
				if p.DisplayName != "" {
					r.wrong(peopleFile, line, "display_name: write the full name of an IT contact as its name")
				}
				if p.Subscribed {
					r.wrong(peopleFile, line, "subscribed: IT contacts have no tasks to subscribe to")
				}
				u.Contacts = append(u.Contacts, p)
			default:
				r.wrong(peopleFile, line, "role: write key-user or it-contact, not %q", role)
			}
		})
}

func (r *reader) arrangements(text string) {
	r.table(arrangementsFile, text, arrangementColumns, []string{"tenant", "name", "receiver", "endpoint"},
		func(line int, cell func(string) string) {
			a := Arrangement{line: line, Receiver: tenancy.Receiver{Name: cell("receiver"), DisplayName: cell("receiver_name"),
				ContactName: cell("contact_name"), ContactEmail: cell("contact_email")}}
			if a.Receiver.DisplayName == "" {
				a.Receiver.DisplayName = a.Receiver.Name
			}
			a.Arrangement = tenancy.Arrangement{Name: cell("name"), ReceiverID: "named", Scenario: cell("scenario"),
				Endpoint: cell("endpoint"), Authentication: tenancy.ClientCertificate, Strategy: tenancy.Strategy(cell("strategy")),
				Egress: tenancy.Egress{ServerKeyPin: cell("server_key_pin")}}
			if a.Strategy == "" {
				a.Strategy = tenancy.Adaptive
			}
			for id := range strings.FieldsSeq(cell("identifies_by")) {
				a.Egress.IdentifiesBy = append(a.Egress.IdentifiesBy, tenancy.Identifier(id))
			}
			if path := cell("probe_path"); path != "" {
				a.Egress.Probe = tenancy.Probe{Method: "GET", Path: path}
			}
			r.check(arrangementsFile, line, tenancy.CheckName("tenant", cell("tenant")))
			r.check(arrangementsFile, line, a.Receiver.Check())
			r.check(arrangementsFile, line, a.Arrangement.Check())
			u := r.unit(cell("tenant"), arrangementsFile, line)
			if i := slices.IndexFunc(u.Arrangements, func(o Arrangement) bool { return o.Name == a.Name }); i >= 0 {
				r.wrong(arrangementsFile, line, "the arrangement %s of %s is already in line %d", a.Name, u.Tenant,
					u.Arrangements[i].line)
			}
			if i := slices.IndexFunc(u.Arrangements, func(o Arrangement) bool {
				return o.Receiver.Name == a.Receiver.Name
			}); i >= 0 && u.Arrangements[i].Receiver != a.Receiver {
				r.wrong(arrangementsFile, line, "the receiver %s of %s differs from the one in line %d", a.Receiver.Name, u.Tenant,
					u.Arrangements[i].line)
			}
			u.Arrangements = append(u.Arrangements, a)
		})
}

// certificate reads a certificate with its key, and checks that it can be used.
func (r *reader) certificate(c Certificate, password string) error {
	tenant, purpose := strings.TrimSuffix(path.Base(c.Name), path.Ext(c.Name)), tenancy.ForTenant
	if name, ok := strings.CutSuffix(tenant, ".m-user"); ok {
		tenant, purpose = name, tenancy.ForMUser
	}
	u := r.units[tenant]
	if u == nil || !u.New {
		return fmt.Errorf("belongs to %q according to its name, which is not among the new tenants: name it TENANT.pem, "+
			"TENANT.p12, or TENANT.m-user.p12", tenant)
	}
	if slices.ContainsFunc(u.Keys, func(k Key) bool { return k.Purpose == purpose }) {
		return fmt.Errorf("there is another file with the certificate of %s", tenant)
	}
	if len(c.Data) == 0 {
		return errors.New("is empty")
	}
	if c.Password != "" {
		password = c.Password
	}
	pair, err := certfile.ReadPair(c.Data, password, r.now)
	for _, damaged := range pair.Damaged {
		if err == nil { // otherwise the error contains it
			r.wrong(c.Name, 0, "%v", damaged)
		}
	}
	if errors.Is(err, certfile.ErrPassword) {
		if password == "" {
			return errors.New("is protected by a password, but none was given")
		}
		return errors.New("does not open with the password given")
	}
	if err != nil {
		return err
	}
	leaf := pair.Leaf
	switch {
	case leaf.IsCA:
		return errors.New("is the certificate of a CA, not of a client")
	case !r.now.Before(leaf.NotAfter):
		return fmt.Errorf("expired on %s: leave the file out, and the tenant gets a new certificate",
			tenancy.Moment(leaf.NotAfter))
	case r.now.Before(leaf.NotBefore):
		return fmt.Errorf("is not valid before %s", tenancy.Moment(leaf.NotBefore))
	case len(leaf.ExtKeyUsage) > 0 && !slices.Contains(leaf.ExtKeyUsage, x509.ExtKeyUsageClientAuth) &&
		!slices.Contains(leaf.ExtKeyUsage, x509.ExtKeyUsageAny):
		return errors.New("is not for client authentication (extended key usage)")
	}
	if err := checkAlternatives(leaf.Raw); err != nil {
		return err
	}
	k := Key{Purpose: purpose, Leaf: leaf.Raw, Chain: certfile.JoinChain(pair.Chain), File: c.Name}
	if k.KeyType, err = keyType(pair.Key); err != nil {
		return err
	}
	if k.Private, err = x509.MarshalPKCS8PrivateKey(pair.Key); err != nil {
		return errors.New("the private key cannot be encoded")
	}
	if purpose == tenancy.ForTenant && !u.typed {
		u.KeyType = k.KeyType // the receivers are known to accept it
	}
	u.Keys = append(u.Keys, k)
	return nil
}

// checkAlternatives refuses subject alternative names that programs, and databases, read in different ways.
func checkAlternatives(leaf []byte) error {
	names, err := certfile.NamesOf(leaf)
	if err != nil {
		return errors.New("has names that cannot be read")
	}
	all, err := names.Alternatives()
	if err != nil {
		return errors.New("has subject alternative names that cannot be read")
	}
	for _, a := range all {
		if !utf8.ValidString(a.Value) || strings.ContainsFunc(a.Value, unicode.IsControl) {
			return errors.New("has a subject alternative name with a control character")
		}
	}
	return nil
}

func keyType(key crypto.Signer) (tenancy.KeyType, error) {
	switch k := key.(type) {
	case *ecdsa.PrivateKey:
		switch k.Curve {
		case elliptic.P256():
			return tenancy.P256, nil
		case elliptic.P384():
			return tenancy.P384, nil
		case elliptic.P521():
			return tenancy.P521, nil
		}
	case *rsa.PrivateKey:
		switch k.N.BitLen() {
		case 2048:
			return tenancy.RSA2048, nil
		case 3072:
			return tenancy.RSA3072, nil
		case 4096:
			return tenancy.RSA4096, nil
		}
		return "", fmt.Errorf("unsupported RSA key of %d bits: use 2048, 3072 or 4096", k.N.BitLen())
	case ed25519.PrivateKey:
		return tenancy.Ed25519, nil
	}
	return "", errors.New("unsupported kind of private key: use ECDSA P-256, P-384 or P-521, RSA 2048, 3072 or 4096, or " +
		"Ed25519")
}
