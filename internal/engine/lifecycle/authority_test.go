package lifecycle

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/perennial-pki/perennial/internal/keys/issuer"
	"github.com/perennial-pki/perennial/internal/keys/issuer/local"
	"github.com/perennial-pki/perennial/internal/testing/storetest"
	"github.com/perennial-pki/perennial/policy"
	"github.com/perennial-pki/perennial/rollover"
	"github.com/perennial-pki/perennial/tenancy"
)

func (f *fixture) announce(now time.Time) tenancy.Authority {
	f.t.Helper()
	a, err := f.authorities.(*local.CA).Announce(f.t.Context(), now, issuer.Succession{})
	check(f.t, err)
	return a
}

func (f *fixture) announcements(t tenancy.Tenant) (subjects []string) {
	f.t.Helper()
	for _, task := range f.tasks(t) {
		if task.Kind == tenancy.NewAuthority {
			subjects = append(subjects, task.KeyUser+": "+task.Subject)
		}
	}
	slices.Sort(subjects)
	return subjects
}

func TestANewAuthorityIsAnnouncedOnceToEveryKeyUserWhoseReceiversItConcerns(t *testing.T) {
	storetest.Migrated.EachEngine(t, func(t *testing.T, url string) {
		now := date("2026-01-15")
		f := setUp(t, url, policy.Default, now)
		var concerned []tenancy.Tenant
		for i := range rollPage + 3 { // more than a page
			acme := f.tenant(fmt.Sprintf("t%d", i), now)
			f.arrangement(acme, "bank", tenancy.Adaptive)
			concerned = append(concerned, acme)
		}
		quiet := f.tenant("quiet", now)
		a := f.announce(now)
		var replicas sync.WaitGroup
		for i := range 3 {
			e := f.replica(now)
			replicas.Go(func() {
				if err := e.Announce(t.Context(), now.Add(time.Duration(i)*time.Second)); err != nil {
					t.Error(err)
				}
			})
		}
		replicas.Wait()
		check(t, f.Announce(t.Context(), now.Add(time.Hour)))
		for _, acme := range concerned {
			subject := "A new CA will issue your certificates from 18 April 2026, 00:00 UTC"
			if got := f.announcements(acme); !slices.Equal(got,
				[]string{"alice: " + subject, "bob: " + subject, "carol: " + subject}) {
				t.Fatalf("%s: %v", acme.Name, got)
			}
			if mails := f.mailed(acme); len(mails) != 1 || !strings.HasPrefix(mails[0], "alice: ") {
				t.Fatalf("%s: mails to %v", acme.Name, mails)
			}
		}
		if got := f.announcements(quiet); len(got) != 0 {
			t.Errorf("a tenant that presents no certificate: %v", got)
		}
		if got := f.actions("", a.ID); !slices.Equal(got, []string{"authority.announced"}) {
			t.Errorf("events %v", got)
		}
	})
}

func TestAnAuthoritySignsOnItsDateOrSoonerIfEveryReceiverTrustsIt(t *testing.T) {
	for _, trusted := range []bool{true, false} {
		t.Run(fmt.Sprintf("trusted=%v", trusted), func(t *testing.T) {
			now := date("2026-01-15")
			f := sqlite(t, policy.Default, now)
			acme := f.tenant("acme", now)
			bank, shop := f.arrangement(acme, "bank", tenancy.Adaptive), f.arrangement(acme, "shop", tenancy.Adaptive)
			a := f.announce(now)
			said := func(id string, v tenancy.Trust) {
				t.Helper()
				_, err := f.RecordTrust(t.Context(), a.ID, id, "test", v, rollover.Person, "", now)
				check(t, err)
			}
			said(bank.ID, tenancy.Trusted)
			if said(shop.ID, tenancy.Untrusted); trusted {
				said(shop.ID, tenancy.Trusted)
			}
			signs := map[bool]time.Time{true: now.Add(28 * policy.Day), false: a.SignsFrom}[trusted]
			for ; now.Before(a.SignsFrom.Add(5 * policy.Day)); now = now.Add(policy.Day) {
				check(t, f.Announce(t.Context(), now))
				if got := f.authorities.Signing(now).ID == a.ID; got != !now.Before(signs) {
					t.Fatalf("%s: signs %v, want from %s on", now, got, signs)
				}
			}
			want := []string{"authority.announced", "authority.signs"}
			if trusted {
				want = []string{"authority.announced", "authority.brought-forward", "authority.signs"}
			}
			if got := f.actions("", a.ID); !slices.Equal(got, want) {
				t.Errorf("events %v", got)
			}
			next, err := f.RenewByHand(t.Context(), "acme", tenancy.ForTenant, Reissue, "test", now)
			check(t, err)
			if next.IssuerID != a.ID {
				t.Error("a renewal is of the old authority")
			}
			// A change of the CA is a roll-over like any other. The old generation stays in use until the receiver
			// accepts the new one.
			if s := f.standing(acme, "shop"); s.Arrangement.Generation != 1 ||
				!slices.Equal(s.Rollover.Order(now), []int{1, 2}) {
				t.Errorf("presents %d, tries %v", s.Arrangement.Generation, s.Rollover.Order(now))
			}
		})
	}
}

func TestAnAuthorityWithoutAnyReceiverSignsAfterItsNotice(t *testing.T) {
	now := date("2026-01-15")
	f := sqlite(t, policy.Default, now)
	a := f.announce(now)
	check(t, f.Announce(t.Context(), now.Add(29*policy.Day)))
	if got := f.authorities.Signing(now.Add(29 * policy.Day)); got.ID != a.ID {
		t.Error("the authority does not sign")
	}
}
