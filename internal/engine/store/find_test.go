package store

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/perennial-pki/perennial/internal/testing/tenanttest"
	"github.com/perennial-pki/perennial/tenancy"
)

// names returns the names of what was found.
func names(all []Found) (names []string) {
	for _, f := range all {
		names = append(names, f.Name)
	}
	return names
}

func TestTenantsAreFoundByTheirNameAndByTheWordsOfTheirDisplayName(t *testing.T) {
	each(t, func(t *testing.T, s *Store) {
		ctx := t.Context()
		tenants := map[string]string{"acme": "Acme GmbH", "acme-at": "ACME Österreich GmbH", "house": "House Bank (17) plc",
			"bank-18": "House Bank (18) plc", "x": "a b c d e f g h hidden", "gross": "Groß हिन्दी U\u0308ber"}
		must(t, s.InTx(ctx, func(tx *Tx) error {
			for name, title := range tenants {
				v := tenanttest.Tenant(name)
				v.ID, v.DisplayName = "t-"+name, title
				if err := tx.CreateTenants(ctx, v); err != nil {
					return err
				}
			}
			return nil
		}))
		find := func(text string, limit int) []string {
			t.Helper()
			found, err := s.FindTenants(ctx, Search{Text: text, Limit: limit})
			must(t, err)
			return names(found)
		}
		for text, want := range map[string][]string{
			"acm": {"acme", "acme-at"}, "ACME": {"acme", "acme-at"}, "österr": {"acme-at"}, "gmbh": {"acme", "acme-at"},
			"bank": {"bank-18", "house"}, "house bank 17": {"house"}, "17 hou": {"house"}, "ank": nil, "bank acme": nil,
			"hidden": nil, "": {"acme", "acme-at", "bank-18", "gross", "house", "x"}, "GROSS": {"gross"}, "हिन्": {"gross"},
			"\u00fcb": {"gross"}, "न्द": nil, "%": nil, "' OR 1=1": nil,
		} {
			if got := find(text, 10); !slices.Equal(got, want) {
				t.Errorf("%q finds %q, want %q", text, got, want)
			}
		}
		if got := find("gmbh", 1); !slices.Equal(got, []string{"acme"}) {
			t.Errorf("at most one: %q", got)
		}
		house, err := s.Tenant(ctx, "house")
		must(t, err)
		house.DisplayName = "Mansion"
		must(t, s.InTx(ctx, func(tx *Tx) error { return tx.UpdateTenant(ctx, house) }))
		if got := find("house", 10); !slices.Equal(got, []string{"house", "bank-18"}) {
			t.Errorf("after a change of the display name: %q", got)
		}
		must(t, s.InTx(ctx, func(tx *Tx) error { return tx.EraseTenant(ctx, "t-bank-18") }))
		if got := find("bank", 10); got != nil {
			t.Errorf("an erased tenant is found: %q", got)
		}
	})
}

func TestTenantsOfAnEarlierReleaseAreIndexedOnce(t *testing.T) {
	each(t, func(t *testing.T, s *Store) {
		ctx := t.Context()
		must(t, s.InTx(ctx, func(tx *Tx) error {
			for _, name := range []string{"a", "b"} {
				v := tenanttest.Tenant(name)
				v.ID, v.DisplayName = name, "Old "+name
				if err := tx.CreateTenants(ctx, v); err != nil {
					return err
				}
			}
			_, err := tx.exec(ctx, "DELETE FROM tenant_words")
			return err
		}))
		must(t, s.IndexTenants(ctx))
		found, err := s.FindTenants(ctx, Search{Text: "old", Limit: 10})
		if err != nil || !slices.Equal(names(found), []string{"a", "b"}) {
			t.Errorf("%q, %v", names(found), err)
		}
		must(t, s.InTx(ctx, func(tx *Tx) error {
			_, err := tx.exec(ctx, "DELETE FROM tenant_words WHERE tenant_id = 'a'")
			return err
		}))
		must(t, s.IndexTenants(ctx))
		if found, err = s.FindTenants(ctx, Search{Text: "old", Limit: 10}); err != nil || len(found) != 1 {
			t.Errorf("tenants that were indexed are read again: %q, %v", names(found), err)
		}
	})
}

func TestObjectsOfTenantsAreFound(t *testing.T) {
	eachRows(t, func(r rows, ctx context.Context) {
		a, b := r.tenants()
		certificate := SealedCertificate{Certificate: filled[tenancy.Certificate](500), SealedKey: []byte("key")}
		certificate.TenantID, certificate.Serial, certificate.Fingerprint = a.ID, "4d5e6f70", strings.Repeat("ab", 32)
		receiver := tenancy.Receiver{ID: "r", TenantID: a.ID, Name: "bank", DisplayName: "House Bank",
			ContactEmail: "Bo@bank.example.com", Version: 1}
		user := filled[tenancy.KeyUser](600)
		user.TenantID, user.Email = b.ID, "Alice@acme.example.com"
		contact := filled[tenancy.ITContact](700)
		contact.TenantID, contact.Email = b.ID, "it@acme.example.com"
		arrangement := filled[tenancy.Arrangement](800)
		arrangement.TenantID, arrangement.ReceiverID, arrangement.Name = a.ID, "r", "crm-to-bank"
		r.write(func(ctx context.Context, tx *Tx) error {
			return tx.Create(ctx, Rows{KeyUsers: []tenancy.KeyUser{user}, ITContacts: []tenancy.ITContact{contact},
				Certificates: []SealedCertificate{certificate}, Receivers: []tenancy.Receiver{receiver},
				Arrangements: []tenancy.Arrangement{arrangement}})
		})
		bySerial := func(ctx context.Context, q Search) ([]Found, error) {
			return r.FindCertificates(ctx, Search{Text: "-", TenantID: q.TenantID, Limit: q.Limit}, []string{q.Text, "x"})
		}
		byFingerprint := func(ctx context.Context, q Search) ([]Found, error) { return r.FindCertificates(ctx, q, nil) }
		for _, c := range []struct {
			find   func(context.Context, Search) ([]Found, error)
			text   string
			tenant string
			name   string
		}{
			{bySerial, "4d5e6f70", a.ID, string(certificate.Purpose)},
			{byFingerprint, "abababab", a.ID, string(certificate.Purpose)},
			{r.FindArrangements, "CRM-to", a.ID, "crm-to-bank"}, {r.FindReceivers, "ban", a.ID, "bank"},
			{r.FindReceivers, "house b", a.ID, "bank"}, {r.FindReceiversOf, "BO@bank", a.ID, "bank"},
			{r.FindKeyUsers, "alice@ACME", b.ID, user.Name}, {r.FindITContacts, "it@", b.ID, contact.Name},
		} {
			other := map[string]string{a.ID: b.ID, b.ID: a.ID}[c.tenant]
			for tenant, want := range map[string][]string{"": {c.name}, c.tenant: {c.name}, other: nil} {
				found, err := c.find(ctx, Search{Text: c.text, TenantID: tenant, Limit: 10})
				r.same(c.text+" in "+tenant, err, names(found), want)
			}
			if found, err := c.find(ctx, Search{Text: c.text + "!", Limit: 10}); err != nil || len(found) > 0 {
				t.Errorf("%s!: %v, %v", c.text, found, err)
			}
		}
	})
}

func TestTenantsArePagedInEachOrderAndDirection(t *testing.T) {
	eachRows(t, func(r rows, ctx context.Context) {
		want := map[TenantSort][]string{TenantsByAge: {"a", "b", "c"}, TenantsByName: {"a", "b", "c"},
			TenantsByExpiry: {"c", "a", "b"}} // a and b expire at the same time
		r.write(func(ctx context.Context, tx *Tx) error {
			for i, name := range []string{"a", "b", "c"} {
				v := tenanttest.Tenant(name)
				v.ID = name
				cert := filled[SealedCertificate](100 + i)
				cert.ID, cert.TenantID, cert.Purpose, cert.SuccessorID, cert.Generation = name, name, tenancy.ForTenant, "", 1
				cert.KeyURI = ""
				cert.NotAfter = v.CreatedAt.AddDate(1, 0, -i/2)
				if err := errors.Join(tx.CreateTenants(ctx, v),
					tx.AddCertificates(ctx, []SealedCertificate{cert})); err != nil {
					return err
				}
			}
			u := filled[tenancy.KeyUser](300)
			u.TenantID = "a"
			return tx.CreateKeyUsers(ctx, u)
		})
		for sort, all := range want {
			for _, p := range []TenantPage{{}, {Descending: true}, {Unwarned: true}} {
				expected := slices.Clone(all)
				if p.Descending {
					slices.Reverse(expected)
				}
				if p.Unwarned {
					expected = slices.DeleteFunc(expected, func(s string) bool { return s == "a" })
				}
				var got []string
				for p.Sort, p.Limit = sort, 1; ; {
					page, err := r.TenantPage(ctx, p)
					must(r.t, err)
					if len(page) == 0 {
						break
					}
					got, p.After = append(got, page[0].Name), page[0].Place
				}
				if !slices.Equal(got, expected) {
					r.t.Errorf("%+v: %q, want %q", p, got, expected)
				}
			}
		}
	})
}
