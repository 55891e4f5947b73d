package api

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/perennial-pki/perennial/internal/testing/testca"
	"github.com/perennial-pki/perennial/policy"
	"github.com/perennial-pki/perennial/tenancy"
)

// partner returns a function that issues a client certificate of a year as PEM in base64, with the CA above it.
func (f *fixture) partner() func(name string, from time.Time) string {
	f.t.Helper()
	ca := testca.New(f.t, "Passport", f.now)
	return func(name string, from time.Time) string {
		f.t.Helper()
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		check(f.t, err)
		der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{SerialNumber: big.NewInt(from.Unix()),
			Subject: pkix.Name{CommonName: name}, NotBefore: from, NotAfter: from.Add(365 * policy.Day),
			ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}, ca.Issuing, key.Public(), ca.Key)
		check(f.t, err)
		return base64.StdEncoding.EncodeToString(testca.PEM(der, ca.Issuing.Raw))
	}
}

func day(text string) time.Time {
	at, err := time.Parse(time.DateOnly, text)
	if err != nil {
		panic(err)
	}
	return at
}

func TestAKeyUserWatchesACertificateThroughItsRenewal(t *testing.T) {
	f := setUp(t)
	issue := f.partner()
	const all, one = "/tenants/acme/watched", "/tenants/acme/watched/acme-c4c"
	added := f.call("acme/alice", "POST", all, fmt.Sprintf(`{"name":"acme-c4c","owner":"SAP","policy":"sap-c4c",
		"systems":[{"name":"erp","identifies_by":["certificate"]}],"certificate":%q}`, issue("acme", day("2026-01-20"))))
	if added.status != 201 || added.header.Get("Location") != "/api/v1"+one || added.body["stage"] != "soon" ||
		added.body["policy"] != "sap-c4c" || added.body["certificate"] != nil {
		t.Fatalf("added: %d %s", added.status, added.raw)
	}
	newest, expected := added.body["newest"].(map[string]any), added.body["expected"].(map[string]any)
	if newest["subject"] != "CN=acme" || newest["seen_by"] != "key user acme/alice" ||
		expected["renews_at"] != "2026-12-01T00:00:00Z" || expected["overdue_at"] != "2026-12-04T00:00:00Z" {
		t.Errorf("added: %s", added.raw)
	}
	if listed := items(f.ok("acme/bob", "GET", all, 200, "")); len(listed) != 1 ||
		listed[0].(map[string]any)["history"] != nil {
		t.Errorf("listed: %v", listed)
	}

	f.now = day("2026-12-02")
	upload := fmt.Sprintf(`{"certificate":%q}`, issue("acme", day("2026-12-01")))
	s := f.ok("acme/alice", "POST", one+"/certificates", 200, upload)
	changes := s["changes"].(map[string]any)
	system := s["systems"].([]any)[0].(map[string]any)
	if s["new"] != true || changes["key"] != true || changes["issuer"] != false || system["survival"] != "fails" ||
		!strings.Contains(system["advice"].(string), "must be installed there now") {
		t.Errorf("uploaded: %v", s)
	}
	if again := f.ok("acme/alice", "POST", one+"/certificates", 200, upload); again["new"] != false ||
		again["changes"] != nil {
		t.Errorf("uploaded again: %v", again)
	}
	got := f.call("acme/alice", "GET", one, "")
	history := got.body["history"].([]any)
	if len(history) != 2 || history[0].(map[string]any)["not_after"] != "2027-12-01T00:00:00Z" {
		t.Errorf("the history: %s", got.raw)
	}
	last := got.body["last_change"].(map[string]any)
	if fmt.Sprint(last["changes"]) != fmt.Sprint(changes) || fmt.Sprint(last["systems"]) != fmt.Sprint(s["systems"]) {
		t.Errorf("the last change: %s", got.raw)
	}
	fingerprint := history[1].(map[string]any)["fingerprint_sha256"].(string)
	for format, begin := range map[string]string{"pem": "-----BEGIN CERTIFICATE-----", "der": "0", "pkcs7": "0"} {
		file := f.call("acme/alice", "GET", one+"/certificates/"+fingerprint+"/download?format="+format, "")
		if file.status != 200 || !strings.HasPrefix(file.raw, begin) ||
			!strings.Contains(file.header.Get("Content-Disposition"), `filename="acme-c4c-generation-1.`) {
			t.Errorf("%s: %d %q", format, file.status, file.header)
		}
	}
	f.ok("acme/alice", "GET", one+"/certificates/x/download", 404, "")

	var kinds []tenancy.NoticeKind
	for _, task := range items(f.ok("acme/alice", "GET", "/tenants/acme/tasks?user=alice", 200, "")) {
		kinds = append(kinds, tenancy.NoticeKind(task.(map[string]any)["type"].(string)))
		about, _ := task.(map[string]any)["watched"].(string)
		if kinds[len(kinds)-1].IsAboutWatched() != (about == "acme-c4c") {
			t.Errorf("a task of the kind %s is about %q", kinds[len(kinds)-1], about)
		}
	}
	if !slices.Contains(kinds, tenancy.WatchRenewed) {
		t.Errorf("the tasks are %v", kinds)
	}

	// What was read can be written back.
	got.body["owner"] = "SAP SE"
	body, err := json.Marshal(got.body)
	check(t, err)
	changed := f.call("acme/alice", "PUT", one, string(body), "If-Match: "+got.header.Get("ETag"))
	if changed.status != 200 || changed.body["owner"] != "SAP SE" || changed.body["policy"] != "sap-c4c" ||
		len(changed.body["systems"].([]any)) != 1 {
		t.Errorf("changed: %d %s", changed.status, changed.raw)
	}
	f.ok("acme/alice", "PUT", one, 412, string(body), "If-Match: "+got.header.Get("ETag"))
	f.ok("acme/alice", "DELETE", one, 412, "", "If-Match: "+got.header.Get("ETag"))
	f.ok("acme/alice", "DELETE", one, 204, "", "If-Match: "+changed.header.Get("ETag"))
	f.ok("acme/alice", "GET", one, 404, "")
}

func TestWhatCannotBeWatchedIsRefusedWithTheNextStep(t *testing.T) {
	f := setUp(t)
	issue := f.partner()
	good := issue("acme", day("2026-01-20"))
	const all = "/tenants/acme/watched"
	at := func(kind, address string) string {
		return fmt.Sprintf(`{"name":"x","source":{"kind":%q,"address":%q}}`, kind, address)
	}
	for name, c := range map[string]struct {
		who, body string
		status    int
		want      string
	}{
		"none":    {"acme/alice", `{"name":"x"}`, 422, "upload it, or name a source"},
		"damaged": {"acme/alice", `{"name":"x","certificate":"eA=="}`, 422, "not a certificate"},
		"policy":  {"acme/alice", fmt.Sprintf(`{"name":"x","policy":"y","certificate":%q}`, good), 422, "unknown policy"},
		"file":    {"acme/alice", fmt.Sprintf(`{"name":"x","policy_file":"y","certificate":%q}`, good), 422, "policy_file"},
		"kind":    {"acme/alice", at("ftp", "x"), 422, "folder, url, server"},
		"server":  {"acme/alice", at("server", "127.0.0.1:1"), 422, "not allowed"},
		"URL":     {"acme/alice", at("url", "https://169.254.169.254/"), 422, "not allowed"},
		"folder":  {"acme/alice", at("folder", "/etc"), 409, "only be set by an operator"},
		"no such": {"operator", at("folder", "/no/such"), 422, "no file or folder"},
	} {
		if a := f.call(c.who, "POST", all, c.body); a.status != c.status || !strings.Contains(a.raw, c.want) {
			t.Errorf("%s: %d %s", name, a.status, a.raw)
		}
	}
	damaged := f.call("acme/alice", "POST", all, `{"name":"x","certificate":"eA=="}`, "Accept-Language: de")
	if !strings.Contains(damaged.raw, "Kein Zertifikat: Verwenden Sie PEM") {
		t.Errorf("damaged, in German: %d %s", damaged.status, damaged.raw)
	}
	f.ok("acme/alice", "POST", all, 201, fmt.Sprintf(`{"name":"acme-c4c","certificate":%q}`, good))
	f.ok("acme/alice", "POST", all, 409, fmt.Sprintf(`{"name":"acme-c4c","certificate":%q}`, good))
	other := issue("globex", day("2026-10-30"))
	const upload = all + "/acme-c4c/certificates"
	if a := f.call("acme/alice", "POST", upload, fmt.Sprintf(`{"certificate":%q}`, other)); a.status != 409 ||
		!strings.Contains(a.raw, "wrong file") {
		t.Errorf("another partner's: %d %s", a.status, a.raw)
	}
	s := f.ok("acme/alice", "POST", upload, 200, fmt.Sprintf(`{"certificate":%q,"accept":true}`, other))
	if seen := s["seen"].(map[string]any); seen["adopted"] != true || fmt.Sprint(seen["surprises"]) != "[subject]" {
		t.Errorf("accepted: %v", s)
	}
	f.ok("acme/alice", "POST", all+"/acme-c4c/look", 409, "")
	// A source that an operator has set stays when a key user changes something else.
	dir := t.TempDir()
	read := f.call("acme/alice", "GET", all+"/acme-c4c", "")
	set := fmt.Sprintf(`{"name":"acme-c4c","source":{"kind":"folder","address":%q}}`, dir)
	f.ok("acme/alice", "PUT", all+"/acme-c4c", 409, set, "If-Match: "+read.header.Get("ETag"))
	by := f.call("operator", "PUT", all+"/acme-c4c", set, "If-Match: "+read.header.Get("ETag"))
	kept := f.call("acme/alice", "PUT", all+"/acme-c4c", strings.Replace(set, "{", `{"owner":"SAP",`, 1),
		"If-Match: "+by.header.Get("ETag"))
	if kept.status != 200 || kept.body["owner"] != "SAP" {
		t.Errorf("kept: %d %s", kept.status, kept.raw)
	}
}

func TestALinkIsForOneSystemAndOneCertificate(t *testing.T) {
	f := setUp(t)
	issue := f.partner()
	const one = "/tenants/acme/watched/acme-c4c"
	f.ok("acme/alice", "POST", "/tenants/acme/watched", 201, fmt.Sprintf(`{"name":"acme-c4c","owner":"SAP",
		"systems":[{"name":"erp","identifies_by":["certificate"]},{"name":"portal"}],"certificate":%q}`,
		issue("acme", day("2026-01-20"))))
	upload := func(from string) {
		f.ok("acme/alice", "POST", one+"/certificates", 200, fmt.Sprintf(`{"certificate":%q}`, issue("acme", day(from))))
	}
	upload("2026-11-02")
	f.ok("acme/alice", "POST", one+"/links", 422, `{"system":"archive"}`)
	link := func() string {
		made := f.ok("acme/alice", "POST", one+"/links", 201, `{"system":"erp"}`)
		return "/links/" + strings.TrimPrefix(made["url"].(string), "/watched/") + "/watched"
	}
	first := link()
	page := f.call("", "GET", first, "")
	system := page.body["system"].(map[string]any)
	contact := page.body["contact"].(map[string]any)
	if page.status != 200 || page.body["tenant"] != "Tenant acme" || system["name"] != "erp" ||
		system["survival"] != "fails" || contact["email"] != "alice@acme.example.com" ||
		strings.Contains(page.raw, "portal") || strings.Contains(page.raw, "key user") {
		t.Errorf("%d %s", page.status, page.raw)
	}
	if file := f.call("", "GET", first+"/download?format=pem", ""); file.status != 200 ||
		!strings.Contains(file.header.Get("Content-Disposition"), "acme-c4c-generation-2.pem") {
		t.Errorf("the file: %d %v", file.status, file.header)
	}
	f.ok("", "POST", first+"/installed", 204, "")
	f.ok("", "POST", first+"/installed", 204, "") // pressed twice
	reported := 0
	for _, e := range items(f.ok("acme/alice", "GET", "/tenants/acme/events", 200, "")) {
		if e.(map[string]any)["action"] == "watch-link.installed" {
			reported++
		}
	}
	shown := f.ok("acme/alice", "GET", one, 200, "")["last_change"].(map[string]any)["systems"].([]any)
	if reported != 1 || shown[0].(map[string]any)["installed_at"] != "2026-11-02T00:00:00Z" ||
		shown[1].(map[string]any)["installed_at"] != nil {
		t.Errorf("%d reports, shown as %v", reported, shown)
	}
	links := items(f.ok("acme/alice", "GET", one+"/links", 200, ""))
	if len(links) != 1 || links[0].(map[string]any)["used_at"] == nil || links[0].(map[string]any)["url"] != nil {
		t.Errorf("the links: %v", links)
	}

	second := link()
	id := items(f.ok("acme/alice", "GET", one+"/links", 200, ""))[1].(map[string]any)["id"].(string)
	f.ok("acme/alice", "DELETE", one+"/links/"+id, 204, "")
	f.ok("acme/alice", "DELETE", one+"/links/"+id, 404, "")
	f.ok("", "GET", second, 404, "")
	upload("2026-11-03")
	third := link()
	for _, gone := range []string{first, first + "/download", second, "/links/nothing/watched"} {
		f.ok("", "GET", gone, 404, "")
	}
	f.ok("", "GET", third, 200, "")
	f.now = f.now.AddDate(0, 0, 91)
	f.ok("", "GET", third, 404, "")
	f.ok("", "POST", third+"/installed", 404, "")
}

func TestTheValidLinksOfAWatchedCertificateAreLimited(t *testing.T) {
	f := setUp(t)
	const one = "/tenants/acme/watched/acme-c4c"
	f.ok("acme/alice", "POST", "/tenants/acme/watched", 201, fmt.Sprintf(`{"name":"acme-c4c","systems":[{"name":"erp"}],
		"certificate":%q}`, f.partner()("acme", day("2026-01-20"))))
	var last string
	for range mostWatchLinks {
		last = f.ok("acme/alice", "POST", one+"/links", 201, `{"system":"erp"}`)["id"].(string)
	}
	if a := f.call("acme/alice", "POST", one+"/links", `{"system":"erp"}`); a.status != 409 ||
		!strings.Contains(a.raw, "revoke one first") {
		t.Errorf("one more: %d %s", a.status, a.raw)
	}
	f.ok("acme/alice", "DELETE", one+"/links/"+last, 204, "")
	f.ok("acme/alice", "POST", one+"/links", 201, `{"system":"erp"}`)
}

// What a link has reported is a claim of whoever has the link.
func TestTheReportOfARevokedLinkDoesNotCount(t *testing.T) {
	f := setUp(t)
	issue := f.partner()
	const one = "/tenants/acme/watched/acme-c4c"
	f.ok("acme/alice", "POST", "/tenants/acme/watched", 201, fmt.Sprintf(`{"name":"acme-c4c","systems":[{"name":"erp"}],
		"certificate":%q}`, issue("acme", day("2026-01-20"))))
	f.ok("acme/alice", "POST", one+"/certificates", 200, fmt.Sprintf(`{"certificate":%q}`, issue("acme",
		day("2026-11-02"))))
	made := f.ok("acme/alice", "POST", one+"/links", 201, `{"system":"erp"}`)
	installed := "/links/" + strings.TrimPrefix(made["url"].(string), "/watched/") + "/watched/installed"
	reports := func() (n int) {
		for _, e := range items(f.ok("acme/alice", "GET", "/tenants/acme/events", 200, "")) {
			if e.(map[string]any)["action"] == "watch-link.installed" {
				n++
			}
		}
		return n
	}
	f.ok("", "POST", installed, 204, "")
	f.now = f.now.Add(23 * time.Hour)
	f.ok("", "POST", installed, 204, "")
	if n := reports(); n != 1 {
		t.Errorf("%d reports within a day", n)
	}
	f.now = f.now.Add(time.Hour)
	f.ok("", "POST", installed, 204, "")
	if n := reports(); n != 2 {
		t.Errorf("%d reports on two days", n)
	}
	system := func() map[string]any {
		return f.ok("acme/alice", "GET", one, 200, "")["last_change"].(map[string]any)["systems"].([]any)[0].(map[string]any)
	}
	if system()["installed_at"] == nil {
		t.Errorf("before the revocation: %v", system())
	}
	f.ok("acme/alice", "DELETE", one+"/links/"+made["id"].(string), 204, "")
	if system()["installed_at"] != nil {
		t.Errorf("after the revocation: %v", system())
	}
}

func TestWatchedCertificatesThatNeedAttentionAreCounted(t *testing.T) {
	f := setUp(t)
	issue := f.partner()
	for name, from := range map[string]string{"valid": "2026-10-20", "overdue": "2025-11-10", "expired": "2025-10-01"} {
		f.ok("acme/alice", "POST", "/tenants/acme/watched", 201,
			fmt.Sprintf(`{"name":%q,"certificate":%q}`, name, issue("acme", day(from))))
	}
	for problem, want := range map[string]string{"overdue": "1", "expired": "1", "unread": "0"} {
		if got := f.scrape(`perennial_watched_certificates{problem="` + problem + `"}`); len(got) != 1 ||
			!strings.HasSuffix(got[0], "} "+want) {
			t.Errorf("%s: %q", problem, got)
		}
	}
}
