package api

import (
	"fmt"
	"net/url"
	"path"
	"testing"
	"time"

	"github.com/perennial-pki/perennial/internal/engine/standing"
	"github.com/perennial-pki/perennial/rollover"
)

// receiverLink creates a link for the receiver of acme, and returns the path of its content.
func (f *fixture) receiverLink() (id, at string) {
	f.t.Helper()
	made := f.ok("acme/alice", "POST", "/tenants/acme/arrangements/crm-to-erp/rollover/links", 201, "")
	u, err := url.Parse(made["url"].(string))
	check(f.t, err)
	return made["id"].(string), "/links/" + path.Base(u.Path)
}

// accepts records that the receiver of acme has accepted a generation.
func (f *fixture) accepts(generation int) {
	f.t.Helper()
	tenant, err := f.store.Tenant(f.t.Context(), "acme")
	check(f.t, err)
	a, err := f.store.Arrangement(f.t.Context(), tenant.ID, "crm-to-erp")
	check(f.t, err)
	_, err = f.engine.Observe(f.t.Context(), a.ID, "test", []standing.Observation{{Evidence: rollover.Evidence{
		Generation: generation, Verdict: rollover.Accepted, By: rollover.Traffic, At: f.now}}}, f.now)
	check(f.t, err)
}

// tick moves the clock to a day, and executes its run and what else is due.
func (f *fixture) tick(day string) {
	f.t.Helper()
	var err error
	f.now, err = time.Parse(time.DateOnly, day)
	check(f.t, err)
	if f.now.Day() == 1 {
		_, err = f.engine.Run(f.t.Context(), f.now, f.now)
		check(f.t, err)
	}
	check(f.t, f.engine.Tick(f.t.Context(), f.now))
}

// A mail with a link is found again a year later. The page then shows what is due at that time.
func TestALinkOutlivesItsGenerationOverTwoRenewals(t *testing.T) {
	f := setUp(t)
	id, link := f.receiverLink()
	shows := func(when, state string, generation float64) map[string]any {
		t.Helper()
		page := f.ok("", "GET", link, 200, "")
		if got := page["certificate"].(map[string]any)["generation"]; page["state"] != state || got != generation {
			t.Errorf("%s, the page shows %v, generation %v, want %s, generation %v", when, page["state"], got, state, generation)
		}
		return page
	}
	if shows("before the renewal", "quiet", 1)["renews_at"] != "2026-12-01T00:00:00Z" {
		t.Error("the page does not announce the renewal")
	}
	f.tick("2026-12-01")
	if shows("after the renewal", "needed", 2)["old_until"] == nil {
		t.Error("the page has no deadline")
	}
	f.accepts(2)
	shows("when the receiver accepts it", "done", 2)
	f.tick("2027-01-20")
	shows("when the old certificate is gone", "quiet", 2)
	f.tick("2027-10-01")
	shows("after the next renewal", "needed", 3)
	f.tick("2027-12-20") // more than 400 days after the link was created, and less after it was opened
	shows("a year later", "exposed", 3)
	f.ok("operator", "DELETE", "/tenants/acme/arrangements/crm-to-erp/rollover/links/"+id, 204, "")
	f.ok("", "GET", link, 404, "")
}

// A receiver that stores single certificates accepts a revoked one until its administrator removes it.
func TestThePageOfALinkNamesTheRevokedCertificates(t *testing.T) {
	f := setUp(t)
	_, link := f.receiverLink()
	if page := f.ok("", "GET", link, 200, ""); page["revoked"] != nil {
		t.Errorf("before: %v", page["revoked"])
	}
	serial := f.ok("acme/alice", "GET", "/tenants/acme/certificates/tenant/1", 200, "")["serial"]
	f.ok("operator", "POST", "/tenants/acme/certificates/tenant/1/revoke", 200, `{"reason":"compromised"}`)
	page := f.ok("", "GET", link, 200, "")
	if revoked, _ := page["revoked"].([]any); len(revoked) != 1 || revoked[0] != serial {
		t.Errorf("%v are named, want %v", page["revoked"], serial)
	}
	owned := f.ok("acme/alice", "GET", "/tenants/acme/arrangements/crm-to-erp/rollover", 200, "")
	if fmt.Sprint(owned["revoked"]) != fmt.Sprint(page["revoked"]) {
		t.Errorf("the page of the arrangement names %v, and that of the link %v", owned["revoked"], page["revoked"])
	}
	// Its names are those that the receiver can compare.
	renewal, _ := page["renewal"].(map[string]any)
	if old, _ := renewal["old"].(map[string]any); old["serial"] != serial || old["state"] != "revoked" {
		t.Errorf("the new certificate is compared with %v", renewal)
	}
}

// Of several revoked certificates, the receiver has the one that it accepted.
func TestAfterSeveralRevocationsTheLastAcceptedCertificateIsCompared(t *testing.T) {
	f := setUp(t)
	_, link := f.receiverLink()
	f.accepts(1)
	serial := f.ok("acme/alice", "GET", "/tenants/acme/certificates/tenant/1", 200, "")["serial"]
	for generation := 1; generation <= 2; generation++ {
		f.ok("operator", "POST", fmt.Sprintf("/tenants/acme/certificates/tenant/%d/revoke", generation), 200,
			`{"reason":"compromised"}`)
	}
	page := f.ok("", "GET", link, 200, "")
	renewal, _ := page["renewal"].(map[string]any)
	if old, _ := renewal["old"].(map[string]any); old["serial"] != serial {
		t.Errorf("the new certificate is compared with %v, want serial number %v", renewal["old"], serial)
	}
}

// Someone who has the page open during a renewal must not report the newer certificate as installed.
func TestOnlyTheShownGenerationIsReportedAsInstalled(t *testing.T) {
	f := setUp(t)
	_, link := f.receiverLink()
	f.tick("2026-12-01")
	f.ok("", "POST", link+"/installed?generation=1", 409, "")
	f.ok("", "POST", link+"/installed?generation=2", 200, "")
	links := items(f.ok("acme/alice", "GET", "/tenants/acme/arrangements/crm-to-erp/rollover/links", 200, ""))
	if l := links[0].(map[string]any); l["used_at"] == nil || l["tested_at"] == nil || l["opened_at"] != nil {
		t.Errorf("the link is %v", l)
	}
}
