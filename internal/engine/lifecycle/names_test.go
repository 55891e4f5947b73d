package lifecycle

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/perennial-pki/perennial/internal/engine/store"
	"github.com/perennial-pki/perennial/internal/testing/testenv"
	"github.com/perennial-pki/perennial/policy"
	"github.com/perennial-pki/perennial/tenancy"
)

func TestTwoTenantsDoNotHaveTheSameName(t *testing.T) {
	now := date("2026-01-15")
	f := sqlite(t, policy.Default, now)
	acme := f.tenant("acme", now)
	check(t, f.store.InTx(t.Context(), func(tx *store.Tx) error {
		return tx.KeepNames(t.Context(), store.KeptName{Name: "dns:acme.example", TenantID: acme.ID},
			store.KeptName{Name: commonName("old"), TenantID: acme.ID})
	}))
	for name, c := range map[string]struct {
		tenant string
		kept   KeptNames
		want   string
	}{
		"nothing in common": {"globex", KeptNames{Claims: []string{"dns:globex.example"}, Common: []string{"g"}}, ""},
		"a name": {"globex", KeptNames{Claims: []string{"x", "dns:acme.example"}},
			"acme has certificates with the same name (dns:acme.example)"},
		"its own name":        {"acme", KeptNames{Claims: []string{"dns:acme.example"}}, ""},
		"a common name":       {"old", KeptNames{}, "acme has certificates with the common name old"},
		"its own common name": {"acme", KeptNames{Common: []string{"old"}}, ""},
		"the name of a tenant": {"globex", KeptNames{Common: []string{"g", "acme"}},
			"its common name is that of the tenant acme"},
		"the common name of both": {"globex", KeptNames{Common: []string{"old"}}, ""}, // both differ from their own names
	} {
		used, err := f.NamesInUse(t.Context(), []string{c.tenant}, []KeptNames{c.kept})
		check(t, err)
		err = used.Conflict(c.tenant, c.kept)
		if c.want == "" && err != nil || c.want != "" && (!errors.Is(err, tenancy.ErrConflict) ||
			!strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: %v", name, err)
		}
	}

	used, err := f.NamesInUse(t.Context(), nil, nil)
	check(t, err)
	used.add("beta", KeptNames{Claims: []string{"dns:beta.example"}, Common: []string{"b"}})
	for _, c := range []struct {
		tenant string
		kept   KeptNames
	}{{"gamma", KeptNames{Claims: []string{"dns:beta.example"}}}, {"gamma", KeptNames{Common: []string{"beta"}}},
		{"b", KeptNames{}}} {
		if err := used.Conflict(c.tenant, c.kept); !errors.Is(err, tenancy.ErrConflict) {
			t.Errorf("%s with %v beside a new tenant: %v", c.tenant, c.kept, err)
		}
	}
	if err := used.Conflict("beta", KeptNames{Claims: []string{"dns:beta.example"}}); err != nil {
		t.Errorf("its own names: %v", err)
	}
	kept := KeptNames{Claims: []string{"b", "a", "b"}, Common: []string{"z"}}
	if got := kept.stored(); !slices.Equal(got, []string{"a", "b", "cn:z"}) ||
		!slices.Equal(kept.Claims, []string{"b", "a", "b"}) {
		t.Errorf("stored as %q", got)
	}
}

func TestNamesAreLookedUpInPages(t *testing.T) {
	now := date("2026-01-15")
	f := sqlite(t, policy.Default, now)
	acme := f.tenant("acme", now)
	check(t, f.store.InTx(t.Context(), func(tx *store.Tx) error {
		return tx.KeepNames(t.Context(), store.KeptName{Name: "last", TenantID: acme.ID})
	}))
	var kept KeptNames
	for i := range namesPage {
		kept.Claims, kept.Common = append(kept.Claims, fmt.Sprint("c", i)), append(kept.Common, fmt.Sprint("n", i))
	}
	kept.Claims, kept.Common = append(kept.Claims, "last"), append(kept.Common, "acme")
	look := func() error {
		used, err := f.NamesInUse(t.Context(), []string{"globex"}, []KeptNames{kept})
		if err == nil && (!slices.Equal(used.owners["last"], []string{"acme"}) || !used.tenants["acme"]) {
			t.Errorf("found %v and %v", used.owners, used.tenants)
		}
		return err
	}
	testenv.FailsWithout(t, f.store.DB(), []string{"kept_names", "tenants"}, look)
	check(t, look())
}

func TestTenantsThatAreCreatedTogetherDoNotExclude(t *testing.T) {
	now := date("2026-01-15")
	f := sqlite(t, policy.Default, now)
	f.tenant("acme", now)
	found := func(names ...string) error {
		var all []Founding
		for _, name := range names {
			all = append(all, Founding{Tenant: tenancy.Tenant{Name: name, DisplayName: name, KeyType: tenancy.P256},
				MailForTasks: tenancy.AnsweredNo})
		}
		created, err := f.AdoptTenants(t.Context(), all, "test", now, func(_ *store.Tx, created []tenancy.Tenant) error {
			if len(created) != len(names) {
				t.Errorf("%d tenants are created", len(created))
			}
			return nil
		})
		if err == nil {
			for i, c := range created {
				if c.Name != names[i] || c.Version != 1 || !c.CreatedAt.Equal(now) {
					t.Errorf("tenant %d is %+v", i, c)
				}
			}
		}
		return err
	}
	if err := found("beta", "acme"); !errors.Is(err, tenancy.ErrConflict) ||
		!strings.Contains(err.Error(), "a tenant acme already exists") {
		t.Errorf("an existing tenant: %v", err)
	}
	if _, err := f.store.Tenant(t.Context(), "beta"); !errors.Is(err, tenancy.ErrNotFound) {
		t.Errorf("the other tenant: %v", err)
	}
	check(t, found("beta", "gamma"))
	for _, name := range []string{"beta", "gamma"} {
		tenant, err := f.store.Tenant(t.Context(), name)
		check(t, err)
		projects, err := f.store.ScopingProjects(t.Context(), tenant.ID)
		check(t, err)
		if len(projects) != 1 || len(projects[0].Answers) != 1 || projects[0].Answers[0].Yes ||
			projects[0].Answers[0].By != "test" {
			t.Errorf("%s has the projects %+v", name, projects)
		}
		events, err := f.store.Events(t.Context(), name, 0, 100)
		check(t, err)
		if len(events) != 3 || !strings.Contains(events[0].Detail, `"mail_for_tasks":"no"`) {
			t.Errorf("%s has the events %+v", name, events)
		}
	}
}
