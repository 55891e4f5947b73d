package importing

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/perennial-pki/perennial/internal/engine/lifecycle"
	"github.com/perennial-pki/perennial/internal/testing/storetest"
	"github.com/perennial-pki/perennial/tenancy"
)

// The tags of the attributes and strings that the test writes.
const (
	utf8String = 12
	bmpString  = 30
	cn, o, ou  = 3, 10, 11 // below 2.5.4
)

func attribute(oid, tag int, value string) pkix.RelativeDistinguishedNameSET {
	return pkix.RelativeDistinguishedNameSET{{Type: asn1.ObjectIdentifier{2, 5, 4, oid},
		Value: asn1.RawValue{Tag: tag, Bytes: []byte(value)}}}
}

// A tenant must not get another tenant's name into a certificate of the local CA, in whatever form it writes it.
func TestTheNameOfAnotherTenantInAnyFormIsNotCertified(t *testing.T) {
	text := func(oid int, value string) pkix.RelativeDistinguishedNameSET {
		return attribute(oid, utf8String, value)
	}
	globexBMP := ""
	for _, r := range "GLOBEX" {
		globexBMP += string([]byte{byte(r >> 8), byte(r)})
	}
	for name, rdns := range map[string]pkix.RDNSequence{
		"spaces at the end":         {text(o, "P"), text(ou, "Tenants "), text(cn, "globex ")},
		"a space in O":              {text(o, "P "), text(ou, "Tenants"), text(cn, "GLOBEX")},
		"another order":             {text(cn, "globex"), text(ou, "Tenants"), text(o, "P")},
		"another organization":      {text(o, "Q"), text(ou, "Tenants"), text(cn, "globex")},
		"capitals":                  {text(cn, "GLOBEX")},
		"two common names":          {text(cn, "globex"), text(cn, "mine")},
		"a multi-valued name":       {{text(cn, "globex")[0], text(cn, "zzzzzzzz")[0]}},
		"full width":                {text(o, "P"), text(ou, "\uff34enants"), attribute(cn, bmpString, globexBMP)},
		"the subject of the root":   {text(o, "P "), text(cn, "P root CA G1")},
		"an end in the middle":      {text(cn, "globex\x00mine")},
		"a character of width 0":    {text(cn, "glo\u200bbex")},
		"the organization, no unit": {text(o, "p"), text(cn, "globex")},
	} {
		t.Run(name, func(t *testing.T) {
			m, e := world(t, storetest.Migrated.SQLite(t))
			check(t, e.Tick(t.Context(), now))
			f := issue(t, now.AddDate(0, 6, 0), x509.ExtKeyUsageClientAuth)
			der, err := asn1.Marshal(rdns)
			check(t, err)
			i, err := m.Check(t.Context(), Files{Tenants: "name\nmallory\n",
				Certificates: []Certificate{f.client(t, "mallory.pem",
					tenancy.P256, func(c *x509.Certificate) { c.RawSubject = der })}}, "test")
			check(t, err)
			if i.Problems != "[]" {
				if !strings.Contains(i.Problems, lifecycle.ApartAdvice) {
					t.Errorf("%s", i.Problems)
				}
				return
			}
			m.move(t, i.ID, tenancy.ImportChecked, tenancy.ImportApplying)
			check(t, m.Work(t.Context(), i.ID))
			next, err := e.RenewByHand(t.Context(), "mallory", tenancy.ForTenant, lifecycle.Reissue, "test", now)
			check(t, err)
			if next.Subject != "CN=mallory,OU=Tenants,O=P" {
				t.Errorf("mallory's certificate has the subject %q", next.Subject)
			}
		})
	}
}

func TestATenantIsNotCreatedWithTheCommonNameOfAnother(t *testing.T) {
	m, e := world(t, "sqlite:"+t.TempDir()+"/p.db")
	f := issue(t, now.AddDate(0, 6, 0), x509.ExtKeyUsageClientAuth)
	i, err := m.Check(t.Context(), Files{Tenants: "name\nmallory\n", Certificates: []Certificate{
		f.client(t, "mallory.pem", tenancy.P256, subject(pkix.Name{CommonName: "Victim"}))}}, "test")
	check(t, err)
	m.move(t, i.ID, tenancy.ImportChecked, tenancy.ImportApplying)
	check(t, m.Work(t.Context(), i.ID))
	_, err = e.CreateTenant(t.Context(), tenancy.Tenant{Name: "victim", DisplayName: "V", KeyType: tenancy.P256}, "test",
		now)
	if !errors.Is(err, tenancy.ErrConflict) || !strings.Contains(err.Error(),
		"the tenant mallory has certificates with the "+
			"common name victim") {
		t.Errorf("%v", err)
	}
	later, err := m.Check(t.Context(), Files{Tenants: "name\nvictim\n"}, "test")
	check(t, err)
	if !strings.Contains(later.Problems, "the tenant mallory has certificates with the common name victim") {
		t.Errorf("%s", later.Problems)
	}
}

// What is planned depends on the day, and a plan holds private keys.
func TestAPlanIsNotAppliedAfterItsDay(t *testing.T) {
	m, e := world(t, "sqlite:"+t.TempDir()+"/p.db")
	i, err := m.Check(t.Context(), Files{Tenants: "name\nmallory\n"}, "test")
	check(t, err)
	m.move(t, i.ID, tenancy.ImportChecked, tenancy.ImportApplying)
	later := *m
	later.now = func() time.Time { return i.CreatedAt.Add(24*time.Hour + time.Microsecond) }
	check(t, later.Work(t.Context(), i.ID))
	if got, err := e.Store.ImportByID(t.Context(), i.ID); err != nil || got.Done != 0 ||
		!strings.Contains(got.LastError, "checked more than a day ago") {
		t.Errorf("%d done, %q, %v", got.Done, got.LastError, err)
	}
	later.now = func() time.Time { return i.CreatedAt.Add(24 * time.Hour) }
	check(t, later.Work(t.Context(), i.ID))
	if got, err := e.Store.ImportByID(t.Context(), i.ID); err != nil || got.Done != 1 {
		t.Errorf("%d done at the end of the day, %q, %v", got.Done, got.LastError, err)
	}
}
