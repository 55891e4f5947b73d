package importing

import (
	"cmp"
	"context"
	"crypto"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/perennial-pki/perennial/internal/engine/lifecycle"
	"github.com/perennial-pki/perennial/internal/keys/certfile"
	"github.com/perennial-pki/perennial/policy"
	"github.com/perennial-pki/perennial/tenancy"
)

// A Plan describes what an import does for one tenant, and what the first renewals of its certificates will change.
type Plan struct {
	Tenant       string               `json:"tenant"`
	New          bool                 `json:"new"`
	KeyUsers     int                  `json:"key_users"`
	Subscribed   int                  `json:"subscribed"` // key users that are added with a subscription
	MailForTasks bool                 `json:"mail_for_tasks"`
	Mailed       int                  `json:"mailed"` // key users that are added and mailed about their tasks
	ITContacts   int                  `json:"it_contacts"`
	Arrangements int                  `json:"arrangements"`
	Certificates []PlannedCertificate `json:"certificates"`
}

// A PlannedCertificate is an imported certificate with its first renewal.
type PlannedCertificate struct {
	File     string          `json:"file"`
	Purpose  tenancy.Purpose `json:"purpose"`
	NotAfter time.Time       `json:"not_after"`
	RenewAt  time.Time       `json:"renew_at"`
	WarnAt   time.Time       `json:"warn_at,omitzero"` // zero if no run warns before the renewal
	Notified int             `json:"notified"`         // number of people whom the warning reaches
	Changes  []Change        `json:"changes"`
}

// A Change is a difference between an imported certificate and its successor that a receiver may notice. The key and
// the dates always differ.
type Change struct {
	What ChangeKind `json:"what"`
	From string     `json:"from"`
	To   string     `json:"to"`
}

// ChangeKind is the part of a certificate that changes.
type ChangeKind string

// The kinds of changes.
const (
	ChangedIssuer  ChangeKind = "issuer"
	ChangedRoot    ChangeKind = "root"
	ChangedSubject ChangeKind = "subject"
	ChangedSAN     ChangeKind = "san"
	ChangedKeyType ChangeKind = "key type"
)

// Plans reads the plans that [Importer.Check] stored with an import.
func Plans(i tenancy.Import, text string) (plans []Plan, err error) {
	if err := json.Unmarshal([]byte(text), &plans); err != nil {
		return nil, fmt.Errorf("read the plan of import %s: %w", i.ID, err)
	}
	return plans, nil
}

// Changing returns the number of certificates whose first renewal changes more than their key and dates.
func Changing(plans []Plan) (n int) {
	for _, p := range plans {
		for _, c := range p.Certificates {
			if len(c.Changes) > 0 {
				n++
			}
		}
	}
	return n
}

// spreadAbove is the number of issued certificates above which their expiry is spread by default.
const spreadAbove = 1000

// spread chooses the expiry of the certificates that are issued for new tenants, if it is to be spread.
func (m *Importer) spread(units []*Unit, wanted *bool, now time.Time) {
	var founded []*Unit
	issued := 0
	for _, u := range units {
		if n := u.issued(m.engine.Founded()); n > 0 {
			founded, issued = append(founded, u), issued+n
		}
	}
	if wanted == nil && issued <= spreadAbove || wanted != nil && !*wanted || issued == 0 {
		return
	}
	for i, end := range m.engine.Policy().SpreadExpiry(len(founded), now) {
		founded[i].NotAfter = end
	}
}

// issued returns the number of certificates that are issued for the tenant, among those that a new one gets.
func (u *Unit) issued(founded []tenancy.Purpose) (n int) {
	if !u.New {
		return 0
	}
	for _, name := range founded {
		if !slices.ContainsFunc(u.Keys, func(k Key) bool { return k.Purpose == name }) {
			n++
		}
	}
	return n
}

// runs returns the runs that renew the certificates of new tenants first, in their order.
func (m *Importer) runs(units []*Unit, planned []Plan, now time.Time) []tenancy.ImportRun {
	renewals := map[time.Time]int{}
	for _, p := range planned {
		for _, c := range p.Certificates {
			renewals[c.RenewAt]++
		}
	}
	at := map[time.Time]time.Time{} // run by expiry, because many certificates share an expiry
	for _, u := range units {
		n := u.issued(m.engine.Founded())
		if n == 0 {
			continue
		}
		end := u.NotAfter
		if end.IsZero() {
			end = now.Add(m.engine.Policy().Validity)
		}
		if _, known := at[end]; !known {
			at[end] = m.engine.Policy().Forecast(policy.Validity{NotBefore: now, NotAfter: end}, now).Last().At
		}
		renewals[at[end]] += n
	}
	list := make([]tenancy.ImportRun, 0, len(renewals))
	for run, n := range renewals {
		list = append(list, tenancy.ImportRun{At: run, Renewals: n})
	}
	slices.SortFunc(list, func(a, b tenancy.ImportRun) int { return a.At.Compare(b.At) })
	return list
}

// mailing returns the tenants whose scope includes mail for tasks, by name. A new tenant without an answer in the table
// has that of the installation.
func (m *Importer) mailing(ctx context.Context, units []*Unit) (map[string]bool, error) {
	initial, err := m.store.DefaultAnswer(ctx, tenancy.MailForTasks)
	if err != nil {
		return nil, err
	}
	mails := map[string]bool{}
	for some := range slices.Chunk(units, lookUp) {
		var old []string
		for _, u := range some {
			if u.New {
				mails[u.Tenant] = cmp.Or(u.MailForTasks, initial) == tenancy.AnsweredYes
			} else {
				old = append(old, u.Tenant)
			}
		}
		tenants, err := m.store.TenantsNamed(ctx, old)
		if err != nil {
			return nil, err
		}
		var ids []string
		for _, t := range tenants {
			ids = append(ids, t.ID)
		}
		in, err := m.store.InScope(ctx, tenancy.MailForTasks, ids)
		if err != nil {
			return nil, err
		}
		for name, t := range tenants {
			mails[name] = in[t.ID]
		}
	}
	return mails, nil
}

// plan computes who gets mails, and the first renewals of a unit's certificates. mails reports whether the tenant mails
// its key users about their tasks.
func (m *Importer) plan(u *Unit, mails map[string]bool, now time.Time) (Plan, error) {
	p := Plan{Tenant: u.Tenant, New: u.New, KeyUsers: len(u.KeyUsers), ITContacts: len(u.Contacts),
		Arrangements: len(u.Arrangements), Certificates: []PlannedCertificate{}, MailForTasks: mails[u.Tenant]}
	for _, k := range u.KeyUsers {
		if k.Subscribed {
			p.Subscribed++
		}
	}
	if p.MailForTasks {
		p.Mailed = p.Subscribed
	}
	all, err := u.adopted()
	if err != nil {
		return p, err
	}
	for i, a := range all {
		r, err := m.engine.FirstRenewal(u.tenant(), u.Issuer, a, now)
		if err != nil {
			return p, fmt.Errorf("%s: %w", u.Keys[i].File, err)
		}
		c := PlannedCertificate{File: u.Keys[i].File, Purpose: a.Purpose, NotAfter: a.Leaf.NotAfter.UTC(), RenewAt: r.At,
			WarnAt: r.WarnedAt, Changes: changes(a, r)}
		if !r.WarnedAt.IsZero() {
			c.Notified = u.notified(m.engine.Policy(), a, r.WarnedAt)
		}
		p.Certificates = append(p.Certificates, c)
	}
	return p, nil
}

// notified returns the number of people of the unit who get a warning, by task or mail.
func (u *Unit) notified(rules policy.Policy, a lifecycle.Adopted, at time.Time) int {
	v := policy.Validity{NotBefore: a.Leaf.NotBefore, NotAfter: a.Leaf.NotAfter}
	switch {
	case a.Purpose == tenancy.ForMUser && rules.MailsMUser(at):
		return len(u.Contacts)
	case a.Purpose == tenancy.ForMUser:
		return 0
	case rules.MailsITContacts(v, at):
		return len(u.KeyUsers) + len(u.Contacts)
	}
	return len(u.KeyUsers)
}

// changes lists what a first renewal changes.
func changes(a lifecycle.Adopted, r lifecycle.FirstRenewal) []Change {
	list := []Change{}
	add := func(changed bool, what ChangeKind, from, to string) {
		if changed {
			list = append(list, Change{what, from, to})
		}
	}
	add(a.KeyType != r.KeyType, ChangedKeyType, string(a.KeyType), string(r.KeyType))
	if !r.Foreseen {
		return list
	}
	top := a.Leaf
	if n := len(a.Chain); n > 0 {
		if c, err := certfile.ParseCertificate(a.Chain[n-1]); err == nil {
			top = c
		}
	}
	to := r.Expected
	add(to.Changes.Issuer, ChangedIssuer, certfile.Name(a.Leaf.RawIssuer), to.Issuer)
	add(to.Changes.Root, ChangedRoot, certfile.Name(top.RawIssuer), to.Root)
	has, err := certfile.NamesOf(a.Leaf.Raw)
	if err != nil {
		return list // FirstRenewal has read them already
	}
	subject, san := has.Text()
	nextSubject, nextSAN := to.Names.Text()
	add(to.Changes.Subject, ChangedSubject, subject, nextSubject)
	add(to.Changes.SAN, ChangedSAN, san, nextSAN)
	return list
}

// tenant returns the tenant that the unit creates.
func (u *Unit) tenant() tenancy.Tenant {
	return tenancy.Tenant{Name: u.Tenant, DisplayName: u.Display, KeyType: u.KeyType}
}

// adopted returns the unit's certificates for the engine, in the order of its keys.
func (u *Unit) adopted() (all []lifecycle.Adopted, err error) {
	for _, k := range u.Keys {
		leaf, err := certfile.ParseCertificate(k.Leaf)
		if err != nil {
			return nil, err
		}
		private, err := x509.ParsePKCS8PrivateKey(k.Private)
		if err != nil {
			return nil, errors.New("a private key of the plan cannot be read")
		}
		chain, err := certfile.SplitChain(k.Chain)
		if err != nil {
			return nil, err
		}
		all = append(all, lifecycle.Adopted{Purpose: k.Purpose, Leaf: leaf, Chain: chain,
			Key: private.(crypto.Signer), KeyType: k.KeyType})
	}
	return all, nil
}

// A named certificate is one of a new tenant, with the names that later generations keep.
type named struct {
	unit *Unit
	file string
	kept lifecycle.KeptNames
}

// checkNames returns a problem for each certificate whose names another tenant has, in the database or in this import,
// and for each new tenant whose name is the common name of another one's certificates.
func (m *Importer) checkNames(ctx context.Context, units []*Unit) (problems []Problem, err error) {
	created := make(map[string]bool, len(units))
	var tenants []string
	var certificates []named
	var kept []lifecycle.KeptNames
	for _, u := range units {
		if !u.New {
			continue
		}
		created[u.Tenant] = true
		tenants = append(tenants, u.Tenant)
		adopted, err := u.adopted()
		if err != nil {
			return nil, err
		}
		for i, a := range adopted {
			names, err := m.engine.KeptNames(u.Tenant, []lifecycle.Adopted{a})
			if err != nil {
				return nil, err
			}
			certificates, kept = append(certificates, named{u, u.Keys[i].File, names}), append(kept, names)
		}
	}
	used, err := m.engine.NamesInUse(ctx, tenants, kept)
	if err != nil {
		return nil, err
	}
	refused := map[string]bool{}
	for _, u := range units {
		if err := used.Conflict(u.Tenant, lifecycle.KeptNames{}); u.New && err != nil {
			problems = append(problems, Problem{tenantsFile, u.line, err.Error()})
			refused[u.Tenant] = true
		}
	}
	owner := map[string]string{} // by name
	for _, c := range certificates {
		if refused[c.unit.Tenant] {
			continue
		}
		if problem := c.conflict(used, owner, created); problem != "" {
			problems = append(problems, Problem{File: c.file, Text: problem})
		}
	}
	return problems, nil
}

// conflict returns what is wrong with the names of a certificate; empty if nothing is. It adds them to owner.
func (c named) conflict(used *lifecycle.Names, owner map[string]string, created map[string]bool) string {
	if err := used.Conflict(c.unit.Tenant, c.kept); err != nil {
		return err.Error()
	}
	for _, name := range c.kept.Claims {
		if other := owner[name]; other != "" && other != c.unit.Tenant {
			return fmt.Sprintf("the certificate of the new tenant %s has the same name (%s): "+lifecycle.ApartAdvice, other,
				name)
		}
		owner[name] = c.unit.Tenant
	}
	for _, cn := range c.kept.Common {
		if created[cn] {
			return fmt.Sprintf("its common name is that of the new tenant %s: "+lifecycle.ApartAdvice, cn)
		}
	}
	return ""
}
