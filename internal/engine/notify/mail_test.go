package notify

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/mail"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/perennial-pki/perennial/internal/testing/testenv"
	"github.com/perennial-pki/perennial/tenancy"
)

func templates(t *testing.T) *Templates {
	t.Helper()
	ts, err := LoadTemplates("")
	check(t, err)
	return ts
}

func letter(id string) Addressed {
	at := time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC)
	old := Details{Generation: 3, Subject: "CN=acme", Issuer: "CN=CA", Serial: "0a", Fingerprint: strings.Repeat("a", 64),
		NotBefore: at.AddDate(-1, 0, 0), NotAfter: at.AddDate(0, 1, 0), DER: []byte{1}}
	next := Details{Generation: 4, Subject: "CN=acme", Issuer: "CN=CA", Serial: "0b", Fingerprint: strings.Repeat("b", 64),
		NotBefore: at, NotAfter: at.AddDate(1, 0, 0), DER: []byte{0x30, 2}}
	return Addressed{tenancy.Renewed, Letter{
		MessageID: id + "@p.example.com", Subject: "Tenant Certificate has been renewed", Date: at, Name: "Álice \"A\" <x@y>",
		Address: "alice@acme.example.com",
		Tenant:  "acme", TenantTitle: "Acme & <Söhne>", Certificate: "Tenant Certificate", Old: old, New: &next,
		Arrangements: []Affected{{Arrangement: "crm-to-erp", Scenario: "orders", Receiver: "ERP",
			Endpoint: "https://erp.example.com/orders", Contact: "Eve, eve@erp.example.com", Switched: true,
			contactName: "Eve", contactEmail: "eve@erp.example.com",
			Advice: "It is not known whether it accepts the new certificate."}},
		Reader: Reader{Language: tenancy.English}, Kind: tenancy.Renewed, Now: at, Purpose: tenancy.ForTenant,
		ServiceURL: "https://p.example.com", CAFile: "https://p.example.com/pki/ca.pem",
		Unsubscribe: "https://p.example.com/unsubscribe/ask/abc",
		OneClick:    "https://p.example.com/unsubscribe/stop/abc",
	}}
}

// certificateFile is the attachment of [letter].
const certificateFile = "acme-tenant-generation-4-until-2027-12-01-bbbbbbbb.pem"

func server(t *testing.T, url string) *Server {
	t.Helper()
	s, err := NewServer(url, "Perennial <noreply@p.example.com>", templates(t), nil)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// send collects the answers.
func send(t *testing.T, s *Server, letters ...Addressed) []error {
	t.Helper()
	answers := make([]error, len(letters))
	if err := s.Send(t.Context(), letters, func(i int, answer error) error {
		answers[i] = answer
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return answers
}

func TestSendingStopsIfAnAnswerCannotBeStored(t *testing.T) {
	url, seen := scripted(t, nil)
	full := errors.New("disk full")
	if err := server(t, url).Send(t.Context(), []Addressed{letter("m1"), letter("m2")}, func(int, error) error {
		return full
	}); !errors.Is(err, full) {
		t.Errorf("got %v", err)
	}
	if n := strings.Count(strings.Join(seen(), "\n"), "RCPT TO"); n != 1 {
		t.Errorf("%d mails were sent", n)
	}
}

func TestAMailPassesARealServerWithSTARTTLSAndPassword(t *testing.T) {
	pit := testenv.StartMailpit(t)
	s, err := NewServer(pit.URL, "Perennial <noreply@p.example.com>", templates(t), pit.Roots)
	if err != nil {
		t.Fatal(err)
	}
	warning := letter("m2")
	warning.Kind, warning.New, warning.OneClick, warning.Subject = tenancy.Expiring, nil, "",
		"Tenant Certificate is going to expire soon"
	warning.Unsubscribe = ""
	warning.ITContact, warning.Designated, warning.RenewalOn = true, true, time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC)
	for i, err := range send(t, s, letter("m1"), warning) {
		if err != nil {
			t.Errorf("letter %d: %v", i, err)
		}
	}
	got := pit.Messages()
	if len(got) != 2 {
		t.Fatalf("%d mails arrived", len(got))
	}
	w, r := got[0], got[1]
	if r.Subject == "Tenant Certificate is going to expire soon" {
		w, r = r, w
	}
	if r.MessageID != "m1@p.example.com" || r.Subject != "Tenant Certificate has been renewed" ||
		r.To[0].Name != "Álice \"A\" <x@y>" {
		t.Errorf("got %+v", r)
	}
	for _, want := range []string{"Serial number: 0b", strings.TrimSpace(strings.Repeat("bbbb ", 16)),
		strings.TrimSpace(strings.Repeat("aaaa ", 16)), "crm-to-erp (erp.example.com)", "Acme & <Söhne>",
		"Eve · eve@erp.example.com"} {
		if !strings.Contains(strings.Join(strings.Fields(r.Text), " "), want) {
			t.Errorf("the text lacks %q:\n%s", want, r.Text)
		}
	}
	if !strings.Contains(r.HTML, "Acme &amp; &lt;Söhne&gt;") {
		t.Errorf("HTML is not escaped:\n%s", r.HTML)
	}
	for _, want := range []string{"Auto-Submitted: auto-generated",
		"List-Unsubscribe: <https://p.example.com/unsubscribe/stop/abc>",
		"List-Unsubscribe-Post: List-Unsubscribe=One-Click"} {
		if !strings.Contains(r.Raw, want) {
			t.Errorf("the mail lacks %q", want)
		}
	}
	if file := pit.Attachment(r, certificateFile); !strings.HasPrefix(file, "-----BEGIN CERTIFICATE-----") {
		t.Errorf("attachment %q", file)
	}
	if strings.Contains(w.Raw, "List-Unsubscribe") || len(w.Attachments) != 0 ||
		!strings.Contains(w.Text, "the first IT contact of") || !strings.Contains(w.Text, "On 1 January 2027 we renew") {
		t.Errorf("the warning: %+v", w)
	}
}

func TestTheMailAboutANewCACarriesTheCAAndANewRoot(t *testing.T) {
	pit := testenv.StartMailpit(t)
	s, err := NewServer(pit.URL, "Perennial <noreply@p.example.com>", templates(t), pit.Roots)
	if err != nil {
		t.Fatal(err)
	}
	same, fresh := letter("m1"), letter("m2")
	ca, root := *same.New, *same.New
	ca.Subject, root.Subject, root.DER = "CN=P issuing CA G2,O=P", "CN=P root CA G2,O=P", []byte{0x30, 3}
	for _, l := range []*Addressed{&same, &fresh} {
		l.Kind, l.New, l.Authority, l.RenewalOn = tenancy.NewAuthority, nil, &ca, time.Date(2027, 3, 1, 0, 0, 0, 0, time.UTC)
		l.Subject = "A new CA will issue your certificates from 1 March 2027 on"
	}
	fresh.NewRoot = &root
	send(t, s, same, fresh)
	for _, got := range pit.Messages() {
		isNew := got.MessageID == "m2@p.example.com"
		got.Text = strings.Join(strings.Fields(got.Text), " ")
		if strings.Contains(got.Text, "CN=P root CA G2,O=P") != isNew ||
			strings.Contains(got.Text, "the root stays the same") == isNew ||
			strings.Contains(got.HTML, "the root stays the same") == isNew {
			t.Errorf("new root %v:\n%s", isNew, got.Text)
		}
		for _, want := range []string{"From 1 March 2027 on, new certificates of", "CN=P issuing CA G2,O=P",
			"https://p.example.com/pki/ca.pem"} {
			if !strings.Contains(got.Text, want) {
				t.Errorf("the text lacks %q:\n%s", want, got.Text)
			}
		}
		file := pit.Attachment(got, "new-ca-until-2027-12-01-bbbbbbbb.pem")
		if n := strings.Count(file, "-----BEGIN CERTIFICATE-----"); n != 1 && !isNew || n != 2 && isNew {
			t.Errorf("new root %v: the attachment has %d certificates", isNew, n)
		}
	}
}

// scripted starts a mail server that answers each command by its whole line or by its first word. An empty answer drops
// the connection, "hang" never answers, and 421 ends the connection (RFC 5321, section 3.8).
func scripted(t *testing.T, answers map[string]string) (url string, seen func() []string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	var mu sync.Mutex
	var lines []string
	serve := func(c net.Conn) {
		defer c.Close()
		fmt.Fprint(c, "220 ready\r\n")
		in := bufio.NewScanner(c)
		body := false
		for in.Scan() {
			line := in.Text()
			mu.Lock()
			lines = append(lines, line)
			mu.Unlock()
			word, _, _ := strings.Cut(strings.ToUpper(line), " ")
			if body {
				if line != "." {
					continue
				}
				body, word = false, "BODY"
			}
			answer, known := answers[line]
			if !known {
				answer, known = answers[word]
			}
			switch {
			case answer == "hang":
				in.Scan() // until the client gives up
				return
			case known && answer == "":
				return
			case known:
			case word == "DATA":
				answer = "354 go on"
			default:
				answer = "250 ok"
			}
			body = word == "DATA" && strings.HasPrefix(answer, "354")
			fmt.Fprint(c, answer+"\r\n")
			if strings.HasPrefix(answer, "421") {
				return
			}
		}
	}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go serve(c)
		}
	}()
	return "smtp://" + l.Addr().String() + "?tls=none", func() []string {
		mu.Lock()
		defer mu.Unlock()
		return append([]string(nil), lines...)
	}
}

func TestAnswersOfAServerAreFinalOnlyIfAnotherTryIsUseless(t *testing.T) {
	for _, c := range []struct {
		name    string
		answers map[string]string
		final   bool
		want    string
	}{
		{"busy", map[string]string{"MAIL": "451 try later"}, false, "451"},
		{"mailbox full", map[string]string{"RCPT": "452 mailbox full"}, false, "452"},
		{"no such user", map[string]string{"RCPT": "550 5.1.1 no such user"}, true, "no such user"},
		{"content refused", map[string]string{"BODY": "554 5.6.0 spam"}, false, "554"},
		{"data refused", map[string]string{"DATA": "554 5.6.0 spam"}, false, "554"},
		{"too big", map[string]string{"BODY": "552 5.3.4 too big"}, true, "552"},
		{"sender not allowed: configuration", map[string]string{"MAIL": "530 authentication required"}, false, "530"},
		{"drops after DATA", map[string]string{"BODY": ""}, false, "mail server 127.0.0.1"},
		{"drops at once", map[string]string{"EHLO": "", "HELO": ""}, false, "mail server 127.0.0.1"},
		{"hangs", map[string]string{"RCPT": "hang"}, false, "mail server 127.0.0.1"},
		{"no TLS offered but required", nil, false, "STARTTLS"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			url, _ := scripted(t, c.answers)
			if c.answers == nil {
				url = strings.TrimSuffix(url, "?tls=none")
			}
			s := server(t, url)
			if s.timeout = time.Minute; c.name == "hangs" {
				s.timeout = 500 * time.Millisecond
			}
			err := send(t, s, letter("m1"))[0]
			if err == nil || faultOf(err).Final != c.final || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestARefusedRecipientDoesNotAffectTheOtherMails(t *testing.T) {
	url, seen := scripted(t, map[string]string{"RCPT": "550 no such user"})
	answers := send(t, server(t, url), letter("m1"), letter("m2"))
	if !faultOf(answers[0]).Final || !faultOf(answers[1]).Final {
		t.Errorf("got %v", answers)
	}
	if n := strings.Count(strings.Join(seen(), "\n"), "RCPT TO"); n != 2 {
		t.Errorf("%d recipients were offered", n)
	}
}

func TestServerURLsAreReadWithoutShowingThePassword(t *testing.T) {
	for _, good := range []string{"smtp://mail.example.com", "smtp://u:p@mail.example.com:2525",
		"smtps://u:p@mail.example.com", "smtp://127.0.0.1:25?tls=none", "smtp://[::1]?tls=none",
		"smtp://localhost?tls=none"} {
		if _, err := NewServer(good, "a@b.example", templates(t), nil); err != nil {
			t.Errorf("%s: %v", good, err)
		}
	}
	for _, bad := range []string{"", "mail.example.com", "http://u:s3cret@h", "smtp://u:s3cret@h:x",
		"smtp://u:s3cret@mail.example.com?tls=none", "smtp://u:s3cret@h?tls=maybe", "smtp://u:s3cret@h/path",
		"smtp://u:s3cret@192.0.2.1?tls=none", "smtp://u:s3cret@[2001:db8::1]?tls=none", "smtp://u:s3cret@%zz"} {
		_, err := NewServer(bad, "a@b.example", templates(t), nil)
		if err == nil || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%q: %v", bad, err)
		}
	}
	if _, err := NewServer("smtp://h", "nobody", templates(t), nil); err == nil {
		t.Error("a sender without address")
	}
}

func TestAServerHasTheStandardPortOfItsScheme(t *testing.T) {
	for url, want := range map[string]int{"smtp://h": 587, "smtps://h": 465, "smtp://localhost?tls=none": 25,
		"smtp://h?tls=required": 587, "smtp://h:2525": 2525, "smtps://h:99": 99} {
		if s := server(t, url); s.port != want || s.host == "" {
			t.Errorf("%s: port %d of %q", url, s.port, s.host)
		}
	}
}

func TestThePasswordIsSentWithoutTLSOnlyOnThisMachine(t *testing.T) {
	url, seen := scripted(t, map[string]string{"EHLO": "250-hello\r\n250 AUTH PLAIN", "AUTH": "235 welcome"})
	url = strings.Replace(url, "smtp://", "smtp://user:secret@", 1)
	if err := send(t, server(t, url), letter("m1"))[0]; err != nil {
		t.Fatal(err)
	}
	want := "AUTH PLAIN " + base64.StdEncoding.EncodeToString([]byte("\x00user\x00secret"))
	if !slices.Contains(seen(), want) {
		t.Errorf("the conversation: %q", seen())
	}
}

func TestATemplateWithAMisspeltNameIsRefusedWhenLoaded(t *testing.T) {
	dir := t.TempDir()
	names := []string{"expiring.txt", "expiring.html", "renewed.txt", "renewed.html"}
	write := func(name, text string) { check(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600)) }
	for _, name := range names {
		write(name, "Dear {{.Name}}")
	}
	_, err := LoadTemplates(dir)
	check(t, err)
	for _, name := range names {
		write(name, "Dear {{.Nmae}}")
		if _, err := LoadTemplates(dir); err == nil || !strings.Contains(err.Error(), name+":1") ||
			!strings.Contains(err.Error(), "Nmae") {
			t.Errorf("%s: %v", name, err)
		}
		write(name, "Dear {{")
		if _, err := LoadTemplates(dir); err == nil || !strings.Contains(err.Error(), name+":1") {
			t.Errorf("%s, unreadable: %v", name, err)
		}
		write(name, "Dear {{.Name}}")
	}
	if _, err := LoadTemplates(t.TempDir()); err == nil || !strings.Contains(err.Error(), "has none") {
		t.Errorf("got %v", err)
	}
}

func FuzzServerURLs(f *testing.F) {
	ts, err := LoadTemplates("")
	if err != nil {
		f.Fatal(err)
	}
	f.Add("smtp://u:s3cret@mail.example.com:587?tls=required")
	f.Add("smtps://h")
	f.Add("smtp://%zz")
	f.Fuzz(func(t *testing.T, url string) {
		if s, err := NewServer(url, "a@b.example", ts, nil); err == nil && s.host == "" {
			t.Fatalf("%q is a server without a host", url)
		}
	})
}

func TestAMailHasTheHeadersAndAttachmentsOfItsLetter(t *testing.T) {
	l := letter("m1")
	l.NewCAs = []Details{{DER: []byte{0x30, 1}}, {DER: []byte{0x30, 2}}}
	l.Thread, l.Platform = "m0@p.example.com", Platform{Name: "Acme Cloud", HelpAddress: "help@acme.example.com"}
	l.Platform.Imprint = "Acme AG, Bern"
	m, err := templates(t).compose(l.Kind, l.Letter, mail.Address{Address: "noreply@p.example.com"})
	check(t, err)
	var names []string
	for _, file := range m.GetAttachments() {
		names = append(names, file.Name)
	}
	if want := []string{certificateFile, "new-ca.pem"}; !slices.Equal(names, want) {
		t.Errorf("attachments %q, want %q", names, want)
	}
	var raw bytes.Buffer
	_, err = m.WriteTo(&raw)
	check(t, err)
	whole := raw.String()
	sent, err := mail.ReadMessage(&raw)
	check(t, err)
	for name, want := range map[string]string{"Date": "Tue, 01 Dec 2026 00:00:00 +0000",
		"Message-Id": "<m1@p.example.com>", "Subject": l.Subject,
		"Auto-Submitted": "auto-generated", "From": `"Acme Cloud certificates" <noreply@p.example.com>`,
		"Reply-To": "<help@acme.example.com>", "In-Reply-To": "<m0@p.example.com>", "References": "<m0@p.example.com>",
		"Content-Language": "en",
		"List-Unsubscribe": "<" + l.OneClick + ">", "List-Unsubscribe-Post": "List-Unsubscribe=One-Click"} {
		if got := sent.Header.Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	// The bodies are quoted-printable, so the search is for a part of the link that is never broken or escaped.
	if n := strings.Count(whole, "/stop/"); n != 1 {
		t.Errorf("the link that stops mails at once is %d times in the mail, want once: in the header alone", n)
	}
	l.OneClick = ""
	m, err = templates(t).compose(l.Kind, l.Letter, mail.Address{Address: "noreply@p.example.com"})
	check(t, err)
	if got := m.GetGenHeader("List-Unsubscribe-Post"); len(got) != 0 {
		t.Errorf("a mail without a link has the header %q", got)
	}
}

func TestATelephoneNumberIsALinkOnlyIfItCanBeDialled(t *testing.T) {
	for phone, want := range map[string]string{"+41 31 123 45 67": "+41311234567", "+41 (0)31 123 45 67": "+41311234567",
		"031/123 45 67": "0311234567", "+41 31 123 45 67 ext. 12": "", "+41 31 1 or +41 31 2": "", "": ""} {
		if got := (Platform{HelpPhone: phone}).DialString(); got != want {
			t.Errorf("%q: %q, want %q", phone, got, want)
		}
	}
}
