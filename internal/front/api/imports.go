package api

import (
	"context"
	"database/sql"
	"encoding/json"
	"net/http"
	"time"

	"github.com/perennial-pki/perennial/internal/engine/importing"
	"github.com/perennial-pki/perennial/internal/engine/store"
	"github.com/perennial-pki/perennial/tenancy"
)

// mostImport bounds what is handed over for one import.
const mostImport = 64 << 20

// ImportFiles are what is handed over for an import.
type ImportFiles struct {
	Tenants      string              `json:"tenants,omitempty" doc:"CSV: name, display_name, key_type."`
	People       string              `json:"people,omitempty" doc:"CSV: tenant, role (key-user, it-contact), name, email, subscribed (yes, no)."`
	Arrangements string              `json:"arrangements,omitempty" doc:"CSV: tenant, name, receiver, receiver_name, contact_name, contact_email, scenario, endpoint, strategy, probe_path, server_key_pin."`
	Certificates []ImportCertificate `json:"certificates,omitempty" doc:"Of new tenants, each with its private key."`
	Password     string              `json:"password,omitempty" doc:"Of PKCS#12 files."`
}

// ImportCertificate is a file with a certificate and its private key.
type ImportCertificate struct {
	Name string `json:"name" example:"acme.p12" doc:"TENANT.pem or TENANT.p12; TENANT.m-user.p12 for the M-user's."`
	Data []byte `json:"data" doc:"PEM or PKCS#12, in base64."`
}

// Import is a fleet that comes from elsewhere.
type Import struct {
	ID        string              `json:"id"`
	State     tenancy.ImportState `json:"state" enum:"checked,applying,applied,undoing,undone"`
	CreatedBy string              `json:"created_by"`
	CreatedAt time.Time           `json:"created_at"`
	Total     int                 `json:"total" doc:"Tenants that it is about."`
	Done      int                 `json:"done" doc:"Of those."`
	Problems  []importing.Problem `json:"problems" doc:"What is wrong with the files: nothing is imported while there is any."`
	LastError string              `json:"last_error,omitempty" doc:"Why it does not go on."`
}

func viewImport(i tenancy.Import) Import {
	v := Import{i.ID, i.State, i.CreatedBy, i.CreatedAt, i.Total, i.Done, []importing.Problem{}, i.LastError}
	json.Unmarshal([]byte(i.Problems), &v.Problems) // it was written by us
	return v
}

func (s *server) imports() {
	register(s, http.MethodGet, "/imports", "List imports, the latest first", 200,
		func(ctx context.Context, in *Paged) (*List[Import], error) {
			if err := operator(ctx); err != nil {
				return nil, err
			}
			rows, err := s.Store.Imports(ctx, in.Cursor, in.Limit+1)
			return pageOf(rows, in.Limit, func(i tenancy.Import) string { return i.ID }, viewImport), err
		})
	registerLarge(s, http.MethodPost, "/imports", "Check files for an import: nothing is changed yet", 201, mostImport,
		func(ctx context.Context, in *struct{ Body ImportFiles }) (*Created[Import], error) {
			if err := operator(ctx); err != nil {
				return nil, err
			}
			f := importing.Files{Tenants: in.Body.Tenants, People: in.Body.People, Arrangements: in.Body.Arrangements,
				Password: in.Body.Password}
			for _, c := range in.Body.Certificates {
				f.Certificates = append(f.Certificates, importing.Certificate{Name: c.Name, Data: c.Data})
			}
			i, err := s.importer().Check(ctx, f, actor(ctx))
			return &Created[Import]{Location: "/api/v1/imports/" + i.ID, Body: viewImport(i)}, err
		})
	register(s, http.MethodGet, "/imports/{import}", "Get an import", 200,
		func(ctx context.Context, in *oneImport) (*Entity[Import], error) {
			if err := operator(ctx); err != nil {
				return nil, err
			}
			i, err := s.Store.ImportByID(ctx, in.ID)
			return &Entity[Import]{Body: viewImport(i)}, err
		})
	register(s, http.MethodPost, "/imports/{import}/apply", "Apply an import, in the background", 202,
		func(ctx context.Context, in *oneImport) (*Entity[Import], error) {
			return s.moveImport(ctx, in.ID, tenancy.ImportChecked, tenancy.ImportApplying)
		})
	register(s, http.MethodPost, "/imports/{import}/undo", "Take an import back, in the background, as far as nobody "+
		"uses it", 202, func(ctx context.Context, in *oneImport) (*Entity[Import], error) {
		return s.moveImport(ctx, in.ID, tenancy.ImportApplied, tenancy.ImportUndoing)
	})
}

// An ImportQueue lets imports go on in the background.
type ImportQueue interface {
	EnqueueImport(ctx context.Context, tx *sql.Tx, id string) error
}

func (s *server) importer() *importing.Importer {
	return &importing.Importer{Engine: s.Engine, Now: s.Now}
}

type oneImport struct {
	ID string `path:"import" maxLength:"64"`
}

// moveImport lets an import go on in the background. One that stands still because of an error may be turned back or
// tried again.
func (s *server) moveImport(ctx context.Context, id string, from, to tenancy.ImportState) (*Entity[Import], error) {
	if err := operator(ctx); err != nil {
		return nil, err
	}
	i, err := s.Store.ImportByID(ctx, id)
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
	case i.State != from:
		return nil, tenancy.Errorf(tenancy.ErrRefused, "this import is %s: %s needs one that is %s", i.State, to, from)
	case len(problems) > 0:
		return nil, tenancy.Errorf(tenancy.ErrRefused, "this import has %d problems: mend the files and check them again",
			len(problems))
	}
	if plan, err := s.Store.ImportPlan(ctx, id); err != nil {
		return nil, err
	} else if plan == nil && to == tenancy.ImportApplying {
		return nil, tenancy.Errorf(tenancy.ErrRefused, "this import was checked more than a day ago, and its plan is "+
			"forgotten: check the files again")
	}
	err = s.change(ctx, "import."+string(to), "", id, nil, func(tx *store.Tx) error {
		if err := tx.MoveImport(ctx, id, from, to); err != nil {
			return err
		}
		return s.Imports.EnqueueImport(ctx, tx.SQL(), id)
	})
	if err != nil {
		return nil, err
	}
	i, err = s.Store.ImportByID(ctx, id)
	return &Entity[Import]{Body: viewImport(i)}, err
}
