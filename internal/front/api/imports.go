package api

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"

	"github.com/perennial-pki/perennial/client"
	"github.com/perennial-pki/perennial/internal/engine/importing"
	"github.com/perennial-pki/perennial/internal/engine/store"
	"github.com/perennial-pki/perennial/tenancy"
)

// mostImport limits the files of one import, in bytes.
const mostImport = 64 << 20

func viewImport(i tenancy.Import) (client.Import, error) {
	v := client.Import{
		ID: i.ID, State: i.State, CreatedBy: i.CreatedBy, CreatedAt: i.CreatedAt, Total: i.Total,
		Changing: i.Changing, Done: i.Done,
		Problems: []client.Problem{}, LastError: i.LastError, Runs: []client.ImportRun{},
	}
	for _, run := range i.Runs {
		v.Runs = append(v.Runs, client.ImportRun{At: run.At, Renewals: run.Renewals})
	}
	if err := json.Unmarshal([]byte(i.Problems), &v.Problems); err != nil {
		return v, fmt.Errorf("read the problems of import %s: %w", i.ID, err)
	}
	return v, nil
}

func registerImports(r *router) {
	register(r, endpoint{
		method: http.MethodGet, path: "/imports", summary: "List imports, latest first", access: operators,
	}, (*server).listImports)
	register(r, endpoint{
		method: http.MethodPost, path: "/imports", summary: "Check the files of an import. Nothing is changed yet",
		status: http.StatusCreated, maxBody: mostImport, access: operators,
	}, (*server).checkImport)
	register(r, endpoint{
		method: http.MethodGet, path: "/imports/{import}", summary: "Get an import", access: operators,
	}, (*server).getImport)
	register(r, endpoint{
		method: http.MethodGet, path: "/imports/{import}/plan", summary: "List what an import does, per tenant",
		access: operators,
	}, (*server).listImportPlan)
	register(r, endpoint{
		method: http.MethodPost, path: "/imports/{import}/apply", summary: "Apply an import in the background",
		status: http.StatusAccepted, access: operators,
	}, (*server).applyImport)
	register(r, endpoint{
		method: http.MethodPost, path: "/imports/{import}/undo",
		summary: "Undo an import in the background, unless a tenant of it is in use", status: http.StatusAccepted,
		access: operators,
	}, (*server).undoImport)
}

func (s *server) listImports(ctx context.Context, in *struct {
	Paged
	Query string              `query:"q" maxLength:"200" doc:"Only imports by accounts or tokens whose name contains this text."`
	State tenancy.ImportState `query:"state" enum:"checked,applying,applied,undoing,undone" doc:"Only imports in this state."`
	Sort  string              `query:"sort" enum:"created,-created" default:"-created" doc:"Order: the earliest or the latest first."`
}) (*List[client.Import], error) {
	page, err := in.page(in.Sort, in.Query)
	if err != nil {
		return nil, err
	}
	rows, next, err := s.store.Imports(ctx, in.State, page)
	if err != nil {
		return nil, err
	}
	views := make([]client.Import, len(rows))
	for i, row := range rows {
		if views[i], err = viewImport(row); err != nil {
			return nil, err
		}
	}
	return listed(views, next, in.Sort, func(i client.Import) client.Import { return i }), nil
}

// errNoImports is the answer of a service without an importer.
var errNoImports = tenancy.Errorf(tenancy.ErrRefused, "this service does not import fleets")

func (s *server) checkImport(ctx context.Context, in *struct {
	Body client.ImportFiles
}) (*Created[client.Import], error) {
	f := importing.Files{Tenants: in.Body.Tenants, People: in.Body.People, Arrangements: in.Body.Arrangements,
		Password: in.Body.Password, SpreadExpiry: in.Body.SpreadExpiry}
	for _, c := range in.Body.Certificates {
		f.Certificates = append(f.Certificates, importing.Certificate{Name: c.Name, Data: c.Data,
			Password: c.Password})
	}
	if s.importer == nil {
		return nil, errNoImports
	}
	i, err := s.importer.Check(ctx, f, actor(ctx))
	if err != nil {
		return nil, err
	}
	view, err := viewImport(i)
	return &Created[client.Import]{Location: prefix + "/imports/" + i.ID, Body: view}, err
}

func (s *server) getImport(ctx context.Context, in *OneImport) (*Entity[client.Import], error) {
	i, err := s.store.ImportByID(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	view, err := viewImport(i)
	return &Entity[client.Import]{Body: view}, err
}

func (s *server) listImportPlan(ctx context.Context, in *struct {
	OneImport
	Searched
}) (*List[client.ImportPlan], error) {
	i, err := s.store.ImportByID(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	text, err := s.store.ImportPlanned(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	plans, err := importing.Plans(i, text)
	if err != nil {
		return nil, err
	}
	plans = matching(plans, in.Query, func(p importing.Plan) []string {
		words := []string{p.Tenant}
		for _, c := range p.Certificates {
			words = append(words, c.File)
		}
		return words
	})
	tenant := func(p importing.Plan) string { return p.Tenant }
	if in.Cursor != "" {
		after := slices.IndexFunc(plans, func(p importing.Plan) bool { return p.Tenant == in.Cursor })
		if after < 0 {
			return nil, tenancy.Invalid("cursor", "the plan has no tenant %q", in.Cursor)
		}
		plans = plans[after+1:]
	}
	return pageOf(plans[:min(len(plans), in.Limit+1)], in.Limit, tenant, viewPlan), nil
}

func viewPlan(p importing.Plan) client.ImportPlan {
	v := client.ImportPlan{Tenant: p.Tenant, New: p.New, KeyUsers: p.KeyUsers, ITContacts: p.ITContacts,
		Subscribed: p.Subscribed, MailForTasks: p.MailForTasks, Mailed: p.Mailed,
		Arrangements: p.Arrangements, Certificates: make([]client.ImportedRenewal, len(p.Certificates))}
	for i, c := range p.Certificates {
		r := client.ImportedRenewal{File: c.File, Purpose: c.Purpose, NotAfter: c.NotAfter, RenewAt: c.RenewAt,
			WarnAt: c.WarnAt, Notified: c.Notified, Changes: make([]client.ImportChange, len(c.Changes))}
		for j, change := range c.Changes {
			r.Changes[j] = client.ImportChange{What: string(change.What), From: change.From, To: change.To}
		}
		v.Certificates[i] = r
	}
	return v
}

func (s *server) applyImport(ctx context.Context, in *struct {
	OneImport
	Body *client.ImportApproval
}) (*Entity[client.Import], error) {
	i, err := s.store.ImportByID(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	if i.State == tenancy.ImportChecked && i.Changing > 0 && (in.Body == nil || !in.Body.AcceptChanges) {
		return nil, tenancy.Errorf(tenancy.ErrRefused,
			"the first renewals of %d imported certificates change what receivers may check: read the plan of the import, "+
				"then apply it with accept_changes (--accept-changes)", i.Changing)
	}
	return s.moveImport(ctx, in.ID, tenancy.ImportChecked, tenancy.ImportApplying)
}

func (s *server) undoImport(ctx context.Context, in *OneImport) (*Entity[client.Import], error) {
	return s.moveImport(ctx, in.ID, tenancy.ImportApplied, tenancy.ImportUndoing)
}

// An ImportQueue queues work on imports.
type ImportQueue interface {
	EnqueueImport(ctx context.Context, tx *sql.Tx, id string) error
}

// An ImportChecker checks the files of an import and keeps its plan.
type ImportChecker interface {
	Check(ctx context.Context, f importing.Files, actor string) (tenancy.Import, error)
}

// OneImport is the path of an import.
type OneImport struct {
	ID string `path:"import" maxLength:"64"`
}

// moveImport starts to apply or to undo an import in the background. An import that an error stopped can be undone or
// tried again.
func (s *server) moveImport(ctx context.Context, id string,
	from, to tenancy.ImportState) (*Entity[client.Import], error) {
	i, err := s.store.ImportByID(ctx, id)
	if err != nil {
		return nil, err
	}
	if i.LastError != "" && (i.State == to || i.State == tenancy.ImportApplying) {
		from = i.State
	}
	var problems []importing.Problem
	if err := json.Unmarshal([]byte(i.Problems), &problems); err != nil {
		return nil, err
	}
	switch {
	case s.imports == nil:
		return nil, errNoImports
	case i.State != from:
		end := tenancy.ImportApplied
		if to == tenancy.ImportUndoing {
			end = tenancy.ImportUndone
		}
		return nil, tenancy.Errorf(tenancy.ErrRefused, "this import is %s: only an import that is %s can be %s", i.State,
			from, end)
	case len(problems) > 0:
		return nil, tenancy.Errorf(tenancy.ErrRefused, "this import has %d problems: fix the files and check them again",
			len(problems))
	}
	if plan, err := s.store.ImportPlan(ctx, id); err != nil {
		return nil, err
	} else if plan == nil && to == tenancy.ImportApplying {
		return nil, tenancy.Errorf(tenancy.ErrRefused, "this import was checked more than a day ago, and its plan has been "+
			"deleted: check the files again")
	}
	err = s.change(ctx, "import."+string(to), "", id, nil, func(tx *store.Tx) error {
		if err := tx.MoveImport(ctx, id, from, to); err != nil {
			return err
		}
		return s.imports.EnqueueImport(ctx, tx.SQL(), id)
	})
	if err != nil {
		return nil, err
	}
	i, err = s.store.ImportByID(ctx, id)
	if err != nil {
		return nil, err
	}
	view, err := viewImport(i)
	return &Entity[client.Import]{Body: view}, err
}
