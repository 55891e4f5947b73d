package api

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/perennial-pki/perennial/internal/engine/store"
	"github.com/perennial-pki/perennial/tenancy"
)

// allowed lets acme mail the administrator of its receiver, Eve.
func (f *fixture) allowed() {
	f.t.Helper()
	f.edit("acme/alice", "/tenants/acme", `{"display_name":"Acme","key_type":"p256","mails_administrators":true}`)
	f.edit("acme/alice", "/tenants/acme/receivers/erp", `{"name":"erp","contact_name":"Eve",`+
		`"contact_email":"Eve@bank.example","contact_language":"de","contact_zone":"Europe/Berlin"}`)
}

// edit changes a thing as a user who has just read it.
func (f *fixture) edit(who, path, body string) map[string]any {
	f.t.Helper()
	a := f.call(who, "GET", path, "")
	return f.ok(who, "PUT", path, 200, body, "If-Match: "+a.header.Get("ETag"))
}

// administrator returns the entry of acme's receiver.
func (f *fixture) administrator() map[string]any {
	f.t.Helper()
	return items(f.ok("acme/alice", "GET", "/tenants/acme/administrators?receiver=erp", 200, ""))[0].(map[string]any)
}

// mailed returns the mail to Eve about a kind of event, and records that it was sent.
func (f *fixture) mailed(kind tenancy.NoticeKind) tenancy.Mail {
	f.t.Helper()
	mails, err := f.store.Mails(f.t.Context(), "", "", "", 1000)
	check(f.t, err)
	for _, m := range mails {
		if m.Kind == kind && m.AdministratorID != "" {
			m.State, m.SentAt = tenancy.MailSent, f.now
			check(f.t, f.store.InTx(f.t.Context(), func(tx *store.Tx) error { return tx.UpdateMail(f.t.Context(), m) }))
			return m
		}
	}
	f.t.Fatalf("there is no mail of the kind %s", kind)
	return tenancy.Mail{}
}

func TestAKeyUserSeesWhatAnAdministratorWasMailedAndDid(t *testing.T) {
	f := setUp(t)
	if got := f.administrator(); got["email"] != nil || got["receiver"] != "erp" {
		t.Errorf("without an administrator: %v", got)
	}
	f.allowed()
	f.tick("2026-12-01")
	f.mailed(tenancy.AdministratorRenewed)
	f.tick("2026-12-16")
	f.mailed(tenancy.AdministratorUnready)
	got := f.administrator()
	for field, day := range map[string]string{"sent_at": "2026-12-01", "reminded_at": "2026-12-16"} {
		if at, _ := got[field].(string); !strings.HasPrefix(at, day) {
			t.Errorf("%s is %v, want %s", field, got[field], day)
		}
	}
	if got["opened_at"] != nil || got["email"] != "Eve@bank.example" || got["language"] != "de" {
		t.Errorf("the administrator is %v", got)
	}
	f.ok("acme/alice", "POST", "/tenants/acme/receivers/erp/administrator/resume", 409, "")
	if other := items(f.ok("globex/alice", "GET", "/tenants/globex/administrators", 200, "")); len(other) != 1 ||
		other[0].(map[string]any)["sent_at"] != nil {
		t.Errorf("another tenant sees %v", other)
	}
}

func TestABouncedMailStopsTheMailsToItsReaderUntilAKeyUserResumesThem(t *testing.T) {
	f := setUp(t)
	f.allowed()
	f.tick("2026-12-01")
	mail := f.mailed(tenancy.AdministratorRenewed)
	report := func(messageID, status string) string {
		body, err := json.Marshal(map[string]string{"message": "Content-Type: multipart/report; " +
			"report-type=delivery-status; boundary=B\r\n\r\n--B\r\nContent-Type: message/delivery-status\r\n\r\n" +
			"Reporting-MTA: dns; mx\r\n\r\nFinal-Recipient: rfc822; x@y\r\nAction: failed\r\nStatus: " + status +
			"\r\n\r\n--B\r\nContent-Type: text/rfc822-headers\r\n\r\nMessage-ID: <" + messageID + ">\r\n\r\n--B--\r\n"})
		check(t, err)
		return string(body)
	}
	stopped := func(what, body string, want int) {
		t.Helper()
		got := f.ok("operator", "POST", "/deliveries/bounces", 200, body)["stopped"].([]any)
		if len(got) != want || (f.administrator()["stopped_for"] == "bounced") != (want > 0) {
			t.Errorf("%s: %v stopped, and the administrator is %v", what, got, f.administrator())
		}
	}
	stopped("a temporary failure", report(mail.MessageID, "4.2.2"), 0)
	stopped("a mail of another service", report(mail.ID+"@elsewhere.example", "5.1.1"), 0)
	stopped("an unknown mail", report("nothing@p.example.com", "5.1.1"), 0)
	f.ok("operator", "POST", "/deliveries/bounces", 422, `{"message":"Subject: out of office\r\n\r\nback on Monday"}`)
	stopped("an address that does not exist", report(mail.MessageID, "5.1.1"), 1)
	tasks := items(f.ok("acme/alice", "GET", "/tenants/acme/tasks", 200, ""))
	if last := tasks[len(tasks)-1].(map[string]any); last["title"] != "The administrator eve@bank.example gets no more "+
		"mails: name another one" {
		t.Errorf("the task is %v", last)
	}
	f.ok("acme/alice", "POST", "/tenants/acme/receivers/erp/administrator/resume", 204, "")
	if got := f.administrator(); got["stopped_at"] != nil {
		t.Errorf("the administrator is %v", got)
	}
}

// A client that knows only the address must not clear what others have entered.
func TestAChangeOfAKeyUserKeepsWhatItDoesNotContain(t *testing.T) {
	f := setUp(t)
	const path = "/tenants/acme/key-users/bob"
	f.edit("operator", path, `{"email":"bob@x.example","display_name":"Bob Brown","language":"de","zone":"Europe/Berlin"}`)
	kept := f.edit("operator", path, `{"email":"bob@y.example"}`)
	if kept["email"] != "bob@y.example" || kept["display_name"] != "Bob Brown" || kept["language"] != "de" ||
		kept["zone"] != "Europe/Berlin" {
		t.Errorf("after a change of the address: %v", kept)
	}
	cleared := f.edit("operator", path, `{"email":"bob@y.example","display_name":"","language":"","zone":""}`)
	if cleared["display_name"] != nil || cleared["language"] != nil || cleared["zone"] != nil {
		t.Errorf("after the fields were cleared: %v", cleared)
	}
}

// The service mails the administrator of the receiver until the counterparty has a page and a contact.
func TestAnAdministratorIsNamedWhileTheCounterpartyHasNoContact(t *testing.T) {
	f := setUp(t)
	f.allowed()
	f.tick("2026-12-01")
	f.mailed(tenancy.AdministratorRenewed)
	f.ok("operator", "POST", "/counterparties", 201, `{"name":"bank","display_name":"House Bank",`+
		`"hosts":[".example.com"]}`)
	f.ok("operator", "POST", "/counterparties/bank/link", 200, "")
	if got := f.administrator(); got["counterparty"] != nil || got["email"] != "Eve@bank.example" ||
		got["sent_at"] == nil {
		t.Errorf("without a contact: %v", got)
	}
	f.ok("operator", "POST", "/counterparties/bank/contacts", 201, `{"name":"Ada","email":"ada@bank.example"}`)
	if got := f.administrator(); got["counterparty"] != "House Bank" || got["email"] != nil {
		t.Errorf("with a contact: %v", got)
	}
}
