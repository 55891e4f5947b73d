package api

import (
	"archive/zip"
	"bytes"
	"context"
	"encoding/csv"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/perennial-pki/perennial/internal/egress/outbound"
	"github.com/perennial-pki/perennial/internal/egress/prober"
	"github.com/perennial-pki/perennial/internal/engine/standing"
	"github.com/perennial-pki/perennial/internal/engine/store"
	"github.com/perennial-pki/perennial/rollover"
	"github.com/perennial-pki/perennial/tenancy"
)

// bank creates a counterparty with the host of both tenants' arrangements, and returns the path of its page.
func (f *fixture) bank() (page string) {
	f.t.Helper()
	f.ok("operator", "POST", "/counterparties", 201, `{"name":"bank","display_name":"House Bank",`+
		`"hosts":["erp.example.com"]}`)
	return f.bankPage()
}

// bankPage gives the page of the bank an address.
func (f *fixture) bankPage() string {
	f.t.Helper()
	url := f.ok("operator", "POST", "/counterparties/bank/link", 200, "")["url"].(string)
	_, secret, found := strings.Cut(url, "/counterparty/")
	if !found || len(secret) < 26 {
		f.t.Fatalf("the address is %s", url)
	}
	return "/links/" + secret + "/counterparty"
}

func TestAProposedHostIsAcceptedAsACounterpartyOfAllItsTenants(t *testing.T) {
	f := setUp(t)
	proposals := items(f.ok("operator", "GET", "/counterparty-proposals", 200, ""))
	if len(proposals) != 1 || fmt.Sprint(proposals[0]) != "map[host:erp.example.com receivers:2 tenants:2]" {
		t.Fatalf("proposals: %v", proposals)
	}
	const accept = "/counterparty-proposals/erp.example.com/accept"
	if a := f.call("operator", "POST", accept, `{}`); a.status != 422 || !strings.Contains(a.raw, "so name one") {
		t.Errorf("without a name: %d %s", a.status, a.raw)
	}
	made := f.ok("operator", "POST", accept, 200, `{"counterparty":"bank","display_name":"House Bank"}`)
	if made["tenants"] != 2.0 || made["display_name"] != "House Bank" || fmt.Sprint(made["hosts"]) != "[erp.example.com]" {
		t.Errorf("accepted: %v", made)
	}
	if left := items(f.ok("operator", "GET", "/counterparty-proposals", 200, "")); len(left) != 0 {
		t.Errorf("still proposed: %v", left)
	}
	f.ok("acme/alice", "POST", "/tenants/acme/receivers", 201, `{"name":"crm"}`)
	f.ok("acme/alice", "POST", "/tenants/acme/arrangements", 201,
		`{"name":"new","receiver":"crm","endpoint":"https://erp.example.com/new"}`)
	again := items(f.ok("operator", "GET", "/counterparty-proposals", 200, ""))
	if len(again) != 1 || again[0].(map[string]any)["counterparty"] != "bank" {
		t.Fatalf("another receiver with the host: %v", again)
	}
	f.ok("operator", "POST", accept, 200, `{}`)
	f.ok("acme/alice", "GET", "/tenants/acme/receivers/crm/counterparty", 200, "")
	found := items(f.ok("operator", "GET", "/counterparties?host=ERP.example.com", 200, ""))
	if len(found) != 1 || len(items(f.ok("operator", "GET", "/counterparties?host=x.example.com", 200, ""))) != 0 {
		t.Errorf("found by its host: %v", found)
	}
	const dismiss = "/counterparty-proposals/erp.example.com/dismiss"
	if a := f.call("operator", "POST", dismiss, ""); a.status != 409 ||
		!strings.Contains(a.raw, "not proposed any longer") {
		t.Errorf("a host that another operator has accepted is dismissed: %d %s", a.status, a.raw)
	}
	f.ok("acme/alice", "POST", "/tenants/acme/receivers", 201, `{"name":"third"}`)
	f.ok("acme/alice", "POST", "/tenants/acme/arrangements", 201,
		`{"name":"third","receiver":"third","endpoint":"https://erp.example.com/third"}`)
	f.ok("operator", "POST", dismiss, 204, "")
	f.ok("operator", "POST", dismiss, 409, "")
}

// Invariant 11: a tenant learns nothing of the others through a counterparty, and changes nothing of theirs.
func TestATenantSeesTheCounterpartyOfItsReceiverAndNoOtherTenant(t *testing.T) {
	f := setUp(t)
	const path = "/tenants/acme/receivers/erp/counterparty"
	f.ok("acme/alice", "GET", path, 404, "")
	f.bank()
	f.ok("operator", "POST", "/counterparties/bank/contacts", 201, `{"name":"Ada","email":"ada@bank.example"}`)
	a := f.call("acme/alice", "GET", path, "")
	if a.status != 200 || !strings.Contains(a.raw, "ada@bank.example") || strings.Contains(a.raw, "globex") ||
		strings.Contains(a.raw, "tenants") {
		t.Errorf("what acme sees: %d %s", a.status, a.raw)
	}
	f.ok("globex/alice", "GET", path, 404, "")

	// A tenant that sends to another host is not linked any longer, and the others still are.
	read := f.call("acme/alice", "GET", "/tenants/acme/arrangements/crm-to-erp", "")
	f.ok("acme/alice", "PUT", "/tenants/acme/arrangements/crm-to-erp", 200,
		`{"name":"crm-to-erp","receiver":"erp","endpoint":"https://else.example.com/in"}`,
		"If-Match: "+read.header.Get("ETag"))
	f.ok("acme/alice", "GET", path, 404, "")
	f.ok("globex/alice", "GET", "/tenants/globex/receivers/erp/counterparty", 200, "")

	f.ok("operator", "POST", "/counterparties/bank/unlink", 204, `{"tenant":"globex","receiver":"erp"}`)
	f.ok("globex/alice", "GET", "/tenants/globex/receivers/erp/counterparty", 404, "")
	f.ok("operator", "POST", "/counterparties/bank/unlink", 409, `{"tenant":"globex","receiver":"erp"}`)
}

func TestAChangeOfHostsLinksTheReceiversAgain(t *testing.T) {
	f := setUp(t)
	f.bank()
	change := func(hosts string) map[string]any {
		t.Helper()
		read := f.call("operator", "GET", "/counterparties/bank", "")
		return f.ok("operator", "PUT", "/counterparties/bank", 200, `{"name":"bank","hosts":`+hosts+`}`,
			"If-Match: "+read.header.Get("ETag"))
	}
	if v := change(`["other.example.com"]`); v["tenants"] != 0.0 {
		t.Errorf("another host: %v", v)
	}
	if v := change(`[".example.com"]`); v["tenants"] != 2.0 {
		t.Errorf("a suffix: %v", v)
	}
	f.ok("operator", "POST", "/counterparties", 409, `{"name":"bank"}`)
	a := f.call("operator", "POST", "/counterparties", `{"name":"other","hosts":[".example.com"]}`)
	if a.status != 409 || !strings.Contains(a.raw, "belongs to another counterparty") {
		t.Errorf("a host of another one: %d %s", a.status, a.raw)
	}
	read := f.call("operator", "GET", "/counterparties/bank", "")
	f.ok("operator", "DELETE", "/counterparties/bank", 204, "", "If-Match: "+read.header.Get("ETag"))
	f.ok("operator", "GET", "/counterparties/bank", 404, "")
}

func TestThePageOfACounterpartyShowsEachTenantUntilItsAddressIsReplaced(t *testing.T) {
	f := setUp(t)
	page := f.bank()
	f.ok("operator", "POST", "/counterparties/bank/contacts", 201, `{"name":"Ada","email":"ada@bank.example"}`)
	f.ok("operator", "POST", "/tenants/acme/certificates/tenant/renew", 201, `{"reason":"reissue"}`)
	got := f.ok("", "GET", page, 200, "")
	counts := got["counts"].(map[string]any)
	if got["display_name"] != "House Bank" || counts["needed"] != 1.0 || counts["quiet"] != 1.0 || counts["all"] != 2.0 ||
		len(got["contacts"].([]any)) != 1 || len(got["deadlines"].([]any)) != 1 {
		t.Errorf("the page: %v", got)
	}
	first := f.ok("", "GET", page+"/lines?limit=1", 200, "")
	line := items(first)[0].(map[string]any)
	if line["key"] != "acme/tenant" || line["tenant"] != "Tenant acme" || line["old"] == nil || line["deadline"] == nil ||
		fmt.Sprint(line["changes"]) != "map[issuer:false key:true root:false san:false subject:false]" {
		t.Errorf("the first line: %v", line)
	}
	second := f.ok("", "GET", page+"/lines?limit=1&cursor="+first["next"].(string), 200, "")
	if line := items(second)[0].(map[string]any); line["key"] != "globex/tenant" || second["next"] != nil {
		t.Errorf("the second line: %v", second)
	}
	if v := f.ok("operator", "GET", "/counterparties/bank", 200, ""); v["visited_at"] == nil {
		t.Errorf("the visit is not recorded: %v", v)
	}

	contact := got["contacts"].([]any)[0].(map[string]any)["id"].(string)
	linked := f.ok("operator", "POST", "/counterparties/bank/contacts/"+contact+"/link", 200, "")["url"].(string)
	hers := "/links/" + linked[strings.LastIndex(linked, "/")+1:] + "/counterparty"
	if v := f.ok("", "GET", hers, 200, "")["reader"].(map[string]any); v["email"] != "ada@bank.example" {
		t.Errorf("the address of a contact is that of %v", v)
	}
	f.ok("operator", "POST", "/counterparties/bank/contacts/x/link", 404, "")

	other := f.bankPage()
	for _, path := range []string{page, hers, page + "/lines", "/links/x/counterparty"} {
		if a := f.call("", "GET", path, ""); a.status != 404 {
			t.Errorf("%s: %d %s", path, a.status, a.raw)
		}
	}
	f.ok("", "GET", other, 200, "")
	f.ok("operator", "DELETE", "/counterparties/bank/link", 204, "")
	f.ok("operator", "DELETE", "/counterparties/bank/link", 404, "")
	f.ok("", "GET", other, 404, "")
}

func TestThePageOfACounterpartyChangesLittleAndCannotFillAnything(t *testing.T) {
	f := setUp(t)
	page := f.bank()
	f.ok("", "PUT", page+"/product", 204, `{"product":"nginx"}`)
	f.ok("", "PUT", page+"/product", 422, `{"product":"a\u0000b"}`)
	if a := f.call("", "PUT", page+"/product", `{"product":"Apache"}`); a.status != 409 ||
		!strings.Contains(a.raw, "try again in 10 seconds") {
		t.Errorf("another product at once: %d %s", a.status, a.raw)
	}
	for i := range 5 {
		f.ok("", "POST", page+"/contacts", 204, fmt.Sprintf(`{"name":"P","email":"p%d@bank.example"}`, i))
	}
	a := f.call("", "POST", page+"/contacts", `{"name":"P","email":"more@bank.example"}`)
	if a.status != 409 || !strings.Contains(a.raw, "proposed contacts wait") {
		t.Errorf("one contact too many: %d %s", a.status, a.raw)
	}
	if seen := f.call("acme/alice", "GET", "/tenants/acme/receivers/erp/counterparty", ""); strings.Contains(seen.raw,
		"p0@") {
		t.Errorf("a tenant sees a contact that no operator has accepted: %s", seen.raw)
	}
	contact := f.ok("operator", "GET", "/counterparties/bank", 200, "")["contacts"].([]any)[0].(map[string]any)
	if contact["proposed_by"] != "page of bank" {
		t.Errorf("proposed: %v", contact)
	}
	at := "/contacts/" + contact["id"].(string)
	f.ok("operator", "POST", "/counterparties/bank"+at+"/accept", 204, "")
	events := func() int { return len(items(f.ok("operator", "GET", "/events?limit=500", 200, ""))) }
	f.ok("", "POST", page+at+"/confirm", 204, "")
	before := events()
	f.ok("", "POST", page+at+"/confirm", 204, "")
	f.ok("", "PUT", page+"/product", 204, `{"product":"nginx"}`)
	if n := events(); n != before {
		t.Errorf("repetitions add %d events", n-before)
	}
	if v := f.ok("operator", "GET", "/counterparties/bank", 200, ""); v["product"] != "nginx" ||
		v["contacts"].([]any)[0].(map[string]any)["confirmed_at"] == nil {
		t.Errorf("afterwards: %v", v)
	}
	f.ok("operator", "DELETE", "/counterparties/bank"+at, 204, "")
	f.ok("operator", "DELETE", "/counterparties/bank"+at, 404, "")
	f.ok("operator", "POST", "/counterparties/bank"+at+"/accept", 404, "")
}

func TestAReportOfThePageIsAClaimAndTestsAreLimited(t *testing.T) {
	f := setUp(t)
	page := f.bank()
	for _, tenant := range []string{"acme", "globex"} {
		f.ok("operator", "POST", "/tenants/"+tenant+"/certificates/tenant/renew", 201, `{"reason":"reissue"}`)
	}
	tests := func(body string) any { return f.ok("", "POST", page+"/test", 200, body)["tests"] }
	if n := tests(`{}`); n != 0.0 {
		t.Errorf("nothing is chosen: %v tests", n)
	}
	if n := tests(`{"keys":["acme/tenant","unknown/tenant"]}`); n != 1.0 {
		t.Errorf("one is chosen: %v tests", n)
	}
	if n := tests(`{"keys":["acme/tenant"]}`); n != 0.0 {
		t.Errorf("it was just asked for: %v tests", n)
	}
	if n := tests(`{"all":true,"installed":true}`); n != 2.0 {
		t.Errorf("both are reported: %v tests", n)
	}
	if len(f.asked) != 2 {
		t.Errorf("queued %d times", len(f.asked))
	}
	counts := f.ok("", "GET", page, 200, "")["counts"].(map[string]any)
	if counts["waiting"] != 2.0 || counts["claimed"] != 0.0 {
		t.Errorf("before the tests: %v", counts)
	}
	p := prober.New(f.engine.Engine, f.store, &outbound.Network{}, func() time.Time { return f.now })
	if more, err := p.AskCounterparty(t.Context(), f.asked[0]); err != nil || more {
		t.Fatalf("the tests: more %v, %v", more, err)
	}
	counts = f.ok("", "GET", page, 200, "")["counts"].(map[string]any)
	if counts["waiting"] != 0.0 || counts["claimed"] != 2.0 {
		t.Errorf("after the tests: %v", counts)
	}
	rolling := f.ok("acme/alice", "GET", "/tenants/acme/arrangements/crm-to-erp/rollover", 200, "")
	if rolling["at_risk"] != true || rolling["state"] != "claimed" {
		t.Errorf("a claim is not a proof: %v", rolling)
	}
}

func TestTheArchiveHasEveryNewCertificateAndAListOfThem(t *testing.T) {
	f := setUp(t)
	page := f.bank()
	f.ok("operator", "PUT", "/tenants/acme", 200, `{"display_name":"=Acme","key_type":"p256"}`, `If-Match: "1"`)
	for _, tenant := range []string{"acme", "globex"} {
		f.ok("operator", "POST", "/tenants/"+tenant+"/certificates/tenant/renew", 201, `{"reason":"reissue"}`)
	}
	path := "/counterparty/" + strings.Split(page, "/")[2] + "/certificates.zip"
	a := f.call("", "GET", path, "")
	if a.status != 200 || a.header.Get("Content-Type") != "application/zip" {
		t.Fatalf("%d %v", a.status, a.header)
	}
	archive, err := zip.NewReader(strings.NewReader(a.raw), int64(len(a.raw)))
	check(t, err)
	files := map[string][]byte{}
	for _, file := range archive.File {
		r, err := file.Open()
		check(t, err)
		files[file.Name], err = io.ReadAll(r)
		check(t, err)
		if !file.Modified.Equal(f.now.Truncate(time.Second)) {
			t.Errorf("%s was modified at %v", file.Name, file.Modified)
		}
	}
	acme, err := f.store.Tenant(t.Context(), "acme")
	check(t, err)
	newest, err := f.store.Newest(t.Context(), acme.ID, tenancy.ForTenant)
	check(t, err)
	block, _ := pem.Decode(files[fmt.Sprintf("acme-generation-%d.pem", newest.Generation)])
	if len(files) != 3 || block == nil || !bytes.Equal(block.Bytes, newest.DER) {
		t.Errorf("%d files without the certificate of acme", len(files))
	}
	rows, err := csv.NewReader(bytes.NewReader(files["certificates.csv"])).ReadAll()
	if err != nil || len(rows) != 3 || rows[1][1] != "'=Acme" || rows[1][4] != newest.Fingerprint || rows[1][5] == "" {
		t.Errorf("the list: %q, %v", rows, err)
	}
	if a := f.call("", "GET", "/counterparty/x/certificates.zip", ""); a.status != http.StatusNotFound {
		t.Errorf("an unknown address: %d", a.status)
	}
}

// Invariant 11: one tenant fills neither the page nor the tests of a counterparty.
func TestATenantWithManyArrangementsLeavesThePageToTheOthers(t *testing.T) {
	f := setUp(t)
	for i := range 60 {
		f.ok("acme/alice", "POST", "/tenants/acme/arrangements", 201,
			fmt.Sprintf(`{"name":"a%d","receiver":"erp","endpoint":"https://erp.example.com/%[1]d"}`, i))
	}
	page := f.bank()
	for _, tenant := range []string{"acme", "globex"} {
		f.ok("operator", "POST", "/tenants/"+tenant+"/certificates/tenant/renew", 201, `{"reason":"reissue"}`)
	}
	line := items(f.ok("", "GET", page+"/lines?limit=1", 200, ""))[0].(map[string]any)
	if n := len(line["connections"].([]any)); line["key"] != "acme/tenant" || n != 20 || line["more_connections"] != 41.0 {
		t.Errorf("%d connections of %v, and %v more", n, line["key"], line["more_connections"])
	}
	if made := f.ok("", "POST", page+"/test", 200, `{"all":true}`); made["tests"] != 51.0 {
		t.Errorf("%v tests, want 50 of acme and one of globex", made["tests"])
	}
}

func TestACertificateThatIsProvedIsNotReportedAgain(t *testing.T) {
	f := setUp(t)
	page := f.bank()
	f.ok("operator", "POST", "/tenants/acme/certificates/tenant/renew", 201, `{"reason":"reissue"}`)
	t1, err := f.store.Tenant(t.Context(), "acme")
	check(t, err)
	a, err := f.store.Arrangement(t.Context(), t1.ID, "crm-to-erp")
	check(t, err)
	newest, err := f.store.Newest(t.Context(), t1.ID, tenancy.ForTenant)
	check(t, err)
	_, err = f.engine.Observe(t.Context(), a.ID, "gateway", []standing.Observation{{Evidence: rollover.Evidence{
		Generation: newest.Generation, Verdict: rollover.Accepted, By: rollover.Traffic, At: f.now}}}, f.now)
	check(t, err)
	f.ok("", "POST", page+"/test", 200, `{"keys":["acme/tenant"],"installed":true}`)
	check(t, f.store.InTx(t.Context(), func(tx *store.Tx) error { return waitsUnclaimed(t.Context(), tx, f.asked[0]) }))
}

func waitsUnclaimed(ctx context.Context, tx *store.Tx, id string) error {
	waiting, err := tx.WaitingQuestions(ctx, id, time.Now(), 10)
	if err == nil && (len(waiting) != 1 || waiting[0].Claimed) {
		err = fmt.Errorf("waiting: %+v", waiting)
	}
	return err
}
