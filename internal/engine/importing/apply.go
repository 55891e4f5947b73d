package importing

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/perennial-pki/perennial/internal/engine/lifecycle"
	"github.com/perennial-pki/perennial/internal/engine/store"
	"github.com/perennial-pki/perennial/internal/keys/keyring"
	"github.com/perennial-pki/perennial/tenancy"
)

// An Importer checks, applies and undoes imports.
type Importer struct {
	engine *lifecycle.Engine
	store  *store.Store
	seal   *keyring.Keyring
	now    func() time.Time
	batch  int // number of tenants that one transaction creates
}

// New returns an importer. Plans are sealed with seal, because they contain private keys. Each argument is required.
func New(engine *lifecycle.Engine, s *store.Store, seal *keyring.Keyring, now func() time.Time) (*Importer, error) {
	switch {
	case engine == nil:
		return nil, errors.New("importing: no engine is given")
	case s == nil:
		return nil, errors.New("importing: no store is given")
	case seal == nil:
		return nil, errors.New("importing: no keyring is given")
	case now == nil:
		return nil, errors.New("importing: no clock is given")
	}
	return &Importer{engine, s, seal, now, engine.FoundTogether(batchSize)}, nil
}

// sealedFor returns the context that a plan is sealed with.
func sealedFor(id string) string { return "import/" + id }

// Check reads files and compares them with the database. If nothing is wrong, it stores the plan of the import. Nothing
// else is changed yet.
func (m *Importer) Check(ctx context.Context, f Files, actor string) (tenancy.Import, error) {
	now := m.now().UTC().Truncate(time.Microsecond)
	units, problems := Read(f, now)
	existing, err1 := m.against(ctx, units)
	alike, err2 := m.checkNames(ctx, units)
	if err := errors.Join(err1, err2); err != nil {
		return tenancy.Import{}, err
	}
	problems = slices.Concat(problems, existing, alike, m.issuers(units))
	if len(problems) > maxProblems {
		problems = problems[:maxProblems]
	}
	slices.SortStableFunc(problems, func(a, b Problem) int {
		if a.File != b.File {
			return slices.Index([]string{tenantsFile, peopleFile, arrangementsFile},
				a.File) - slices.Index([]string{tenantsFile, peopleFile, arrangementsFile}, b.File)
		}
		return a.Line - b.Line
	})
	i := tenancy.Import{ID: store.NewID(), State: tenancy.ImportChecked, CreatedBy: actor, CreatedAt: now,
		Total: len(units)}
	list, err := json.Marshal(append([]Problem{}, problems...))
	if err != nil {
		return i, err
	}
	i.Problems = string(list)
	var sealed []byte
	planned := []Plan{}
	if len(problems) == 0 {
		m.spread(units, f.SpreadExpiry, now)
		mails, err := m.mailing(ctx, units)
		if err != nil {
			return i, err
		}
		for _, u := range units {
			p, err := m.plan(u, mails, now)
			if err != nil {
				return i, err
			}
			planned = append(planned, p)
		}
		content, err := json.Marshal(units)
		if err != nil {
			return i, err
		}
		if sealed, err = m.seal.Seal(content, sealedFor(i.ID)); err != nil {
			return i, err
		}
	}
	if list, err = json.Marshal(planned); err != nil {
		return i, err
	}
	i.Changing = Changing(planned)
	if len(problems) == 0 {
		i.Runs = m.runs(units, planned, now)
	}
	return i, m.store.InTx(ctx, func(tx *store.Tx) error {
		if err := tx.CreateImport(ctx, i, sealed, string(list)); err != nil {
			return err
		}
		return tx.Audit(ctx, tenancy.NewEvent(now, actor, "import.checked", "", i.ID,
			map[string]any{"tenants": i.Total, "problems": len(problems)}))
	})
}

// issuers returns a problem for each new tenant whose issuer is not configured.
func (m *Importer) issuers(units []*Unit) (problems []Problem) {
	for _, u := range units {
		if err := m.engine.CheckIssuer(u.Issuer); err != nil {
			problems = append(problems, Problem{tenantsFile, u.line, err.Error()})
		}
	}
	return problems
}

// lookUp is the number of tenants that are looked up together.
const lookUp = 500

// against returns the conflicts of the units with the database: objects that already exist, and objects that are
// missing.
func (m *Importer) against(ctx context.Context, units []*Unit) (problems []Problem, err error) {
	for some := range slices.Chunk(units, lookUp) {
		here, err := readExisting(ctx, m.store.Reader, some)
		if err != nil {
			return nil, err
		}
		for _, u := range some {
			problems = append(problems, here.problems(u)...)
		}
	}
	return problems, nil
}

// problems returns the conflicts of a unit with what exists.
func (e *existing) problems(u *Unit) (problems []Problem) {
	wrong := func(file string, line int, format string, args ...any) {
		problems = append(problems, Problem{file, line, fmt.Sprintf(format, args...)})
	}
	t, exists := e.tenants[u.Tenant]
	switch {
	case !exists && !u.New:
		wrong(u.file, u.line, "there is no tenant %q, either in this installation or in the table of tenants", u.Tenant)
	case exists && u.New:
		wrong(tenantsFile, u.line, "the tenant %s already exists: leave it out; its people and arrangements can still be "+
			"added", u.Tenant)
	}
	for _, p := range u.KeyUsers {
		if e.hasKeyUser(t, p.Name) {
			wrong(peopleFile, p.line, "%s has a key user %s already", u.Tenant, p.Name)
		}
	}
	for _, a := range u.Arrangements {
		if e.hasArrangement(t, a.Name) {
			wrong(arrangementsFile, a.line, "%s has an arrangement %s already", u.Tenant, a.Name)
		}
	}
	return problems
}

// Work continues an import that is being applied or undone. It may be called again after a crash. A tenant is created,
// and undone, as a whole.
func (m *Importer) Work(ctx context.Context, id string) error {
	s := m.store
	i, err := s.ImportByID(ctx, id)
	if err != nil {
		return err
	}
	switch i.State {
	case tenancy.ImportApplying:
		err = m.apply(ctx, i)
	case tenancy.ImportUndoing:
		err = m.undo(ctx, i)
	default:
		return nil
	}
	var rule *tenancy.RuleError
	if errors.As(err, &rule) { // another try would not help: an operator must see it
		return s.InTx(ctx, func(tx *store.Tx) error { return tx.FailImport(ctx, id, rule.Error()) })
	}
	return err
}

func (m *Importer) apply(ctx context.Context, i tenancy.Import) error {
	s := m.store
	sealed, err := s.ImportPlan(ctx, i.ID)
	if err != nil {
		return err
	}
	plan, err := m.seal.Open(sealed, sealedFor(i.ID))
	if err != nil {
		return err
	}
	var units []*Unit
	if err := json.Unmarshal(plan, &units); err != nil {
		return err
	}
	done, err := m.done(ctx, i.ID)
	if err != nil {
		return err
	}
	if len(done) == 0 && m.now().Sub(i.CreatedAt) > tenancy.PlanLife {
		return tenancy.Errorf(tenancy.ErrRefused,
			"this import was checked more than a day ago, and the changes by its renewals may be different now: check the "+
				"files again")
	}
	open := slices.DeleteFunc(units, func(u *Unit) bool { return done[u.Tenant] })
	for batch := range slices.Chunk(open, m.batch) {
		if err := m.makeAll(ctx, i, batch); err != nil {
			return err
		}
	}
	return m.end(ctx, i, tenancy.ImportApplied, "import.applied")
}

func (m *Importer) done(ctx context.Context, id string) (map[string]bool, error) {
	done, after := map[string]bool{}, ""
	for {
		page, err := m.store.Imported(ctx, id, after, 1000)
		if err != nil || len(page) == 0 {
			return done, err
		}
		for _, one := range page {
			done[one.Tenant] = true
			after = one.Tenant
		}
	}
}

func (m *Importer) end(ctx context.Context, i tenancy.Import, state tenancy.ImportState, action string) error {
	return m.store.InTx(ctx, func(tx *store.Tx) error {
		if err := tx.MoveImport(ctx, i.ID, i.State, state); err != nil {
			return err
		}
		return tx.Audit(ctx, tenancy.NewEvent(m.now(), i.CreatedBy, action, "", i.ID, map[string]any{"tenants": i.Total}))
	})
}

func (m *Importer) undo(ctx context.Context, i tenancy.Import) error {
	for {
		page, err := m.store.Imported(ctx, i.ID, "", 100)
		if err != nil {
			return err
		}
		if len(page) == 0 {
			return m.end(ctx, i, tenancy.ImportUndone, "import.undone")
		}
		for _, one := range page {
			if err := m.undoTenant(ctx, i, one); err != nil {
				return err
			}
		}
	}
}

// undoTenant deletes what an import created for a tenant, unless it is in use.
func (m *Importer) undoTenant(ctx context.Context, i tenancy.Import, one tenancy.Imported) error {
	var done made
	if err := json.Unmarshal([]byte(one.Made), &done); err != nil {
		return err
	}
	now := m.now()
	return m.store.InTx(ctx, func(tx *store.Tx) error {
		if err := m.unused(ctx, tx, one.Tenant, done); err != nil {
			return err
		}
		var err error
		if done.New {
			err = tx.EraseTenant(ctx, done.TenantID)
		} else {
			err = m.empty(ctx, tx, done)
		}
		if err != nil {
			return err
		}
		tx.Changed(done.TenantID)
		if err := tx.DropImported(ctx, i.ID, one.Tenant); err != nil {
			return err
		}
		return tx.Audit(ctx, tenancy.NewEvent(now, i.CreatedBy, "import.taken-back", one.Tenant, one.Tenant, done))
	})
}

// unused returns an error if what was imported has a history: a renewal, or messages.
func (m *Importer) unused(ctx context.Context, tx *store.Tx, tenant string, done made) error {
	if done.New {
		certs, err := tx.Certificates(ctx, done.TenantID, "", 10)
		if err != nil {
			return err
		}
		for _, c := range certs {
			if c.SuccessorID != "" || !c.WarnedAt.IsZero() {
				return tenancy.Errorf(tenancy.ErrRefused, "%s has been renewed or warned about since: it cannot be undone, and "+
					"neither can the tenants after it", tenant)
			}
		}
	}
	for _, name := range done.Arrangements {
		a, err := tx.Arrangement(ctx, done.TenantID, name)
		if errors.Is(err, tenancy.ErrNotFound) {
			continue
		} else if err != nil {
			return err
		}
		if messages, err := tx.Messages(ctx, a.ID, "", 1); err != nil {
			return err
		} else if len(messages) > 0 {
			return tenancy.Errorf(tenancy.ErrRefused, "messages were sent on %s/%s: it cannot be undone, and neither can "+
				"the tenants after it",
				tenant, name)
		}
	}
	return nil
}

// empty deletes the objects that the import added to an existing tenant.
func (m *Importer) empty(ctx context.Context, tx *store.Tx, done made) error {
	gone := func(err error) error { // it was deleted already
		if errors.Is(err, tenancy.ErrNotFound) {
			return nil
		}
		return err
	}
	for _, name := range done.Arrangements {
		a, err := tx.Arrangement(ctx, done.TenantID, name)
		if err == nil {
			err = tx.DeleteArrangement(ctx, a)
		}
		if gone(err) != nil {
			return err
		}
	}
	for _, name := range done.Receivers {
		r, err := tx.Receiver(ctx, done.TenantID, name)
		if err == nil {
			err = tx.DeleteReceiver(ctx, r)
		}
		if errors.Is(err, tenancy.ErrConflict) {
			return tenancy.Errorf(tenancy.ErrRefused, "another arrangement uses the receiver %s: delete that one first", name)
		}
		if gone(err) != nil {
			return err
		}
	}
	for _, name := range done.KeyUsers {
		u, err := tx.KeyUser(ctx, done.TenantID, name)
		if err == nil {
			err = tx.DeleteKeyUser(ctx, u)
		}
		if gone(err) != nil {
			return err
		}
	}
	if len(done.Contacts) == 0 {
		return nil
	}
	contacts, err := tx.ITContacts(ctx, done.TenantID)
	if err != nil {
		return err
	}
	return tx.SetITContacts(ctx, done.TenantID, slices.DeleteFunc(contacts, func(c tenancy.ITContact) bool {
		return slices.Contains(done.Contacts, c.ID)
	}))
}
