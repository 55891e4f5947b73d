package notify

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	htmltemplate "html/template"
	"io"
	"net"
	"net/mail"

	"net/textproto"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	texttemplate "text/template"
	"time"

	"github.com/wneessen/go-mail/smtp"

	"github.com/perennial-pki/perennial/internal/engine/notify/markup"
	"github.com/perennial-pki/perennial/internal/engine/store"
	"github.com/perennial-pki/perennial/internal/testing/testca"
	"github.com/perennial-pki/perennial/internal/testing/testenv"
	"github.com/perennial-pki/perennial/tenancy"
)

// A patient mail server never ends a connection itself. It answers with 421 to each mail of a connection after the
// first ones, and counts the commands and the connections that are open.
type patient struct {
	url   string
	hello string // its reply to EHLO
	mails int    // of a connection that are accepted
	reset string

	mu       sync.Mutex // guards the fields below
	open     int
	commands map[string]int
}

func newPatient(t *testing.T, hello string, mails int, reset string) *patient {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	check(t, err)
	t.Cleanup(func() { l.Close() })
	p := &patient{url: "smtp://" + l.Addr().String() + "?tls=none", hello: hello, mails: mails, reset: reset,
		commands: map[string]int{}}
	p.accept(l)
	return p
}

// accept serves the connections of a listener until it is closed.
func (p *patient) accept(l net.Listener) {
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			p.count("CONNECT", 1)
			go p.serve(c)
		}
	}()
}

func (p *patient) count(command string, opened int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.commands[command]++
	p.open += opened
}

func (p *patient) serve(c net.Conn) {
	defer p.count("CLOSE", -1)
	defer c.Close()
	fmt.Fprint(c, "220 ready\r\n")
	left, known := p.mails, true
	for in := bufio.NewScanner(c); in.Scan(); {
		word, _, _ := strings.Cut(strings.ToUpper(in.Text()), " ")
		p.count(word, 0)
		switch {
		case word == "MAIL" && left == 0:
			fmt.Fprint(c, "421 4.7.0 too many mails\r\n")
		case word == "EHLO":
			fmt.Fprint(c, p.hello+"\r\n")
		case word == "RCPT":
			if known = !strings.Contains(in.Text(), "gone@"); known {
				fmt.Fprint(c, "250 ok\r\n")
			} else {
				fmt.Fprint(c, "550 5.1.1 no such user\r\n")
			}
		case word == "RSET":
			fmt.Fprint(c, p.reset+"\r\n")
		case word == "DATA":
			fmt.Fprint(c, "354 go on\r\n")
			for in.Scan() && in.Text() != "." {
				if !known {
					p.count("CONTENT FOR NOBODY", 0)
				}
			}
			if known {
				left--
			}
			fmt.Fprint(c, "250 ok\r\n")
		default:
			fmt.Fprint(c, "250 ok\r\n")
		}
	}
}

func TestAServerWithTLSFromTheStartIsVerified(t *testing.T) {
	at := time.Now()
	ca, other := testca.New(t, "Mail", at), testca.New(t, "Other", at)
	l, err := tls.Listen("tcp", "127.0.0.1:0", testca.ServerTLS(ca.Server(t, at.Add(-time.Hour), at.Add(time.Hour))))
	check(t, err)
	t.Cleanup(func() { l.Close() })
	p := &patient{mails: 9, reset: "250 ok", commands: map[string]int{}}
	p.accept(l)
	for name, c := range map[string]struct {
		roots []byte
		want  string
	}{"the CA of the server": {ca.RootPEM(), ""}, "another CA": {other.RootPEM(), "certificate signed by unknown"}} {
		roots := x509.NewCertPool()
		roots.AppendCertsFromPEM(c.roots)
		s, err := NewServer("smtps://"+l.Addr().String(), "a@b.example", templates(t), &tls.Config{RootCAs: roots})
		check(t, err)
		s.timeout = time.Minute
		answer := send(t, s, letter("m1"))[0]
		if (answer == nil) != (c.want == "") || answer != nil && !strings.Contains(answer.Error(), c.want) {
			t.Errorf("%s: %v", name, answer)
		}
	}
}

func TestEveryConnectionToAMailServerIsClosed(t *testing.T) {
	for _, c := range []struct {
		name        string
		mails       int
		reset       string
		letters     []string
		accepted    int
		connections int
		resets      int
		quits       int
	}{
		{"one connection", 9, "250 ok", []string{"a", "b", "c"}, 3, 1, 0, 1},
		{"a limit of mails", 2, "250 ok", []string{"a", "b", "c", "d", "e"}, 5, 3, 0, 1},
		{"no mail is accepted", 0, "250 ok", []string{"a", "b"}, 0, 2, 0, 0},
		{"a recipient is unknown", 9, "250 ok", []string{"a", "gone", "c"}, 2, 1, 1, 1},
		{"a server that does not forget the recipient", 9, "502 what", []string{"a", "gone", "c"}, 2, 2, 1, 1},
	} {
		// A server with pipelining gets all commands of a mail at once. This one replies 354 to DATA even if it has refused
		// the recipient. The content must be empty then.
		for _, hello := range []string{"250 ready", "250-ready\r\n250 PIPELINING"} {
			p := newPatient(t, hello, c.mails, c.reset)
			var letters []Addressed
			for _, name := range c.letters {
				letters = append(letters, to(name, name+"@acme.example.com"))
			}
			accepted := 0
			for i, err := range send(t, server(t, p.url), letters...) {
				if err == nil {
					accepted++
				} else if c.letters[i] == "gone" && !strings.Contains(err.Error(), "550 5.1.1 no such user") {
					t.Errorf("%s: %v", c.name, err)
				}
			}
			testenv.Eventually(t, func() bool { p.mu.Lock(); defer p.mu.Unlock(); return p.open == 0 })
			p.mu.Lock()
			if accepted != c.accepted || p.commands["CONNECT"] != c.connections || p.commands["RSET"] != c.resets ||
				p.commands["QUIT"] != c.quits || p.commands["CONTENT FOR NOBODY"] != 0 {
				t.Errorf("%s, %q: %d mails are accepted, the commands are %v", c.name, hello, accepted, p.commands)
			}
			p.mu.Unlock()
		}
	}
}

// A server that announces pipelining gets the sender, the recipient and DATA before it has answered any of them.
func TestTheCommandsOfAMailAreSentAtOnceIfTheServerAllowsIt(t *testing.T) {
	ours, theirs := net.Pipe()
	at := make(chan []string, 1)
	go func() {
		defer theirs.Close()
		in := bufio.NewScanner(theirs)
		next := func() string { in.Scan(); return in.Text() }
		fmt.Fprint(theirs, "220 ready\r\n")
		next()
		fmt.Fprint(theirs, "250-ready\r\n250 PIPELINING\r\n")
		at <- []string{next(), next(), next()}
		fmt.Fprint(theirs, "250 ok\r\n250 ok\r\n354 go on\r\n")
		for next() != "." {
		}
		fmt.Fprint(theirs, "250 ok\r\n")
	}()
	client, err := smtp.NewClient(ours, "mail.example.com")
	check(t, err)
	check(t, client.Hello("localhost"))
	c := &conversation{server: server(t, "smtp://mail.example.com"), client: client}
	_, err = c.hand([]byte("Subject: x\r\n\r\n"), "alice@acme.example.com")
	check(t, err)
	if got := <-at; !strings.HasPrefix(got[0], "MAIL FROM:<") || got[1] != "RCPT TO:<alice@acme.example.com>" ||
		got[2] != "DATA" {
		t.Errorf("%q", got)
	}
}

// An accepted mail shows that the server works, so that connections that ended before it do not count any more.
func TestLostConnectionsCountInARowOnly(t *testing.T) {
	url, _ := scripted(t, map[string]string{"RCPT TO:<bad@acme.example.com>": ""})
	var letters []Addressed
	for range 2 {
		for range maxLost - 1 {
			letters = append(letters, to("bad", "bad@acme.example.com"))
		}
		letters = append(letters, to("good", "good@acme.example.com"))
	}
	accepted, answers := 0, 0
	check(t, server(t, url).Send(t.Context(), letters, func(_ int, answer error) error {
		if answers++; answer == nil {
			accepted++
		}
		return nil
	}))
	if answers != len(letters) || accepted != 2 {
		t.Errorf("%d of %d letters have an answer, %d are accepted", answers, len(letters), accepted)
	}
}

func TestAServerThatCannotBeReachedAnswersTheFirstLetterOnly(t *testing.T) {
	s := server(t, "smtp://"+testenv.Address(t)+"?tls=none")
	var answers []error
	check(t, s.Send(t.Context(), []Addressed{letter("m1")}, func(_ int, answer error) error {
		answers = append(answers, answer)
		return nil
	}))
	if len(answers) != 1 || faultOf(answers[0]).Fault != OfServer || faultOf(answers[0]).Session ||
		!strings.Contains(answers[0].Error(), "mail server 127.0.0.1") {
		t.Errorf("%v", answers)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	p := newPatient(t, "250 ready", 9, "250 ok")
	check(t, server(t, p.url).Send(ended, []Addressed{letter("m1")}, func(_ int, answer error) error {
		if answer == nil {
			t.Error("a mail is sent by a process that ends")
		}
		return nil
	}))
}

func TestOnlyAReplyOfTheServerDecidesAboutAMail(t *testing.T) {
	unavailable, busy := &textproto.Error{Code: 421, Msg: "4.3.2 closing"}, &textproto.Error{Code: 450, Msg: "4.2.0 busy"}
	for _, c := range []struct {
		err  error
		want bool
	}{{nil, false}, {errors.New("EOF"), true}, {unavailable, true}, {busy, false},
		{fmt.Errorf("write: %w", noReply{busy}), true}} {
		if got := ended(c.err); got != c.want {
			t.Errorf("%v ends the connection: %v", c.err, got)
		}
	}
	s := server(t, "smtp://mail.example.com")
	err := s.refusal(atRecipient, fmt.Errorf("RCPT: %w", &textproto.Error{Code: 550, Msg: "5.1.1 unknown"}))
	if r := (*Refusal)(nil); !errors.As(err, &r) || !r.Final || r.Session || r.Fault != OfRecipient ||
		err.Error() != "mail server mail.example.com: 550 5.1.1 unknown" {
		t.Errorf("%v", err)
	}
	if err := s.refusal(atSession, errors.New("EOF")); errors.As(err, new(*Refusal)) ||
		err.Error() != "mail server mail.example.com: EOF" {
		t.Errorf("%v", err)
	}
	if r := faultOf(errors.New("EOF")); r.Fault != OfServer || r.Final || r.Session || r.Reply.Error() != "EOF" {
		t.Errorf("%+v", r)
	}
}

func TestALetterThatCannotBeComposedIsNotSent(t *testing.T) {
	ts := templates(t)
	from := mail.Address{Address: "noreply@p.example.com"}
	l := letter("m1")
	l.Address = "jürgen@acme.example.com"
	if m, err := ts.compose(l.Kind, l.Letter, from); m != nil || err == nil || !strings.Contains(err.Error(), "RFC 6531") {
		t.Errorf("an address that needs SMTPUTF8: %v", err)
	}
	l.Address = "a@-ü.example"
	if m, err := ts.compose(l.Kind, l.Letter, from); m != nil || err == nil {
		t.Errorf("a domain that is not valid: %v", err)
	}
	p := newPatient(t, "250 ready", 9, "250 ok")
	const broken = "{{index .Tokens 5}}"
	own, err := markup.Parse(fstest.MapFS{"x.mail": {Data: []byte(broken)}}, "x.mail", nil, nil)
	check(t, err)
	fine := pair{texttemplate.Must(texttemplate.New("").Parse("")), htmltemplate.Must(htmltemplate.New("").Parse(""))}
	badText, badHTML := fine, fine
	badText.text = texttemplate.Must(texttemplate.New("").Parse(broken))
	badHTML.html = htmltemplate.Must(htmltemplate.New("").Parse(broken))
	for form, ts := range map[string]*Templates{
		"own":  {own: map[tenancy.NoticeKind]map[string]*markup.Template{tenancy.Renewed: {"en": own}}},
		"text": {pairs: map[tenancy.NoticeKind]pair{tenancy.Renewed: badText}},
		"html": {pairs: map[tenancy.NoticeKind]pair{tenancy.Renewed: badHTML}},
	} {
		if text, html, err := ts.render(tenancy.Renewed, letter("m1").Letter); err == nil || text+html != "" {
			t.Errorf("%s: %v", form, err)
		}
		s := server(t, p.url)
		s.templates = ts
		if err := send(t, s, letter("m1"))[0]; err == nil || !strings.Contains(err.Error(), "write the mail") ||
			faultOf(err).Fault != OfServer {
			t.Errorf("%s: %v", form, err)
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.commands["MAIL"] != 0 {
		t.Errorf("the commands are %v", p.commands)
	}
}

func TestAFolderOfTemplatesReplacesWhatItHas(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		check(t, os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o700))
		check(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
	}
	for _, name := range []string{"expiring.txt", "expiring.html"} { // as in earlier releases, for every language
		write(name, "Ours: {{.Name}}")
	}
	write("de/renewed.mail", "Ours: {{.Name}}\n\n{{template \"footer\" .}}")
	ts, err := LoadTemplates(dir)
	check(t, err)
	for _, kind := range noticeKinds {
		for _, language := range tenancy.Languages() {
			l := sampleLetter
			l.Name, l.Language = "alice", language
			text, html, err := ts.render(kind, l)
			check(t, err)
			ours := kind == tenancy.Expiring || kind == tenancy.Renewed && language == "de"
			if strings.HasPrefix(text, "Ours: alice") != ours || strings.Contains(html, "Ours: alice") != ours {
				t.Errorf("%s in %s: %q", kind, language, text[:20])
			}
		}
	}
	check(t, os.Remove(filepath.Join(dir, "expiring.html")))
	if _, err := LoadTemplates(dir); err == nil || !strings.Contains(err.Error(), "expiring.html") {
		t.Errorf("a text file without its HTML file: %v", err)
	}
	check(t, os.Remove(filepath.Join(dir, "expiring.txt")))
	write("de/renewed.mail", "{{.Nmae}}")
	if _, err := LoadTemplates(dir); err == nil || !strings.Contains(err.Error(), "de/renewed.mail:1") {
		t.Errorf("a misspelt name: %v", err)
	}
}

// Answers that are stored together are stored once.
func TestAnswersOfSeveralConversationsAreStoredOnceEach(t *testing.T) {
	w := newWorld(t)
	now := date(2026, 11, 1)
	check(t, w.Tick(t.Context(), now))
	mails, err := w.Store.Mails(t.Context(), w.acme.ID, "", "", 2)
	check(t, err)
	var answers []answered
	for _, m := range mails {
		m.State, m.SentAt = tenancy.MailSent, now
		answers = append(answers, answered{mail: m, events: []tenancy.Event{tenancy.NewEvent(now, "mail", "mail.sent", "acme",
			m.ID, nil)}})
	}
	other := entry{answers[:1], make(chan error, 1)}
	l := ledger{waiting: []entry{other}} // of another conversation
	check(t, l.store(t.Context(), w.Store, answers[1]))
	check(t, <-other.stored)
	if got := w.mailEvents(); len(got) != 2 || len(l.waiting) != 0 {
		t.Errorf("the events are %q, %d answers wait", got, len(l.waiting))
	}
	if n := w.sent(); n != 2 {
		t.Errorf("%d mails are sent", n)
	}
	check(t, w.Store.InTx(t.Context(), func(tx *store.Tx) error {
		_, err := tx.SQL().ExecContext(t.Context(), "DELETE FROM mails")
		return err
	}))
	if err := l.store(t.Context(), w.Store, answers[0]); !errors.Is(err, tenancy.ErrStale) {
		t.Errorf("a mail that is gone: %v", err)
	}
	if got := w.mailEvents(); len(got) != 2 {
		t.Errorf("an answer that is not stored has an event: %q", got)
	}
}

func TestDeadlinesOpenReceiversAndReasonsOfALetter(t *testing.T) {
	early, late := date(2027, 1, 1), date(2027, 2, 1)
	l := Letter{Arrangements: []Affected{{Arrangement: "none"}, {Arrangement: "late", Deadline: late, Exposed: true},
		{Arrangement: "early", Deadline: early}, {Arrangement: "late again", Deadline: late, Accepts: true},
		{Arrangement: "unaffected", Unaffected: true}, {Arrangement: "unasked", Unasked: true}}}
	names := func(all []Affected) (text string) {
		for _, a := range all {
			text += a.Arrangement + ";"
		}
		return text
	}
	if !l.Deadline().Equal(early) || !(Letter{}).Deadline().IsZero() || l.AtOnce() || !(Letter{}).AtOnce() {
		t.Errorf("the deadline is %v", l.Deadline())
	}
	if open, exposed := names(l.Open()), names(l.Exposed()); open != "none;late;early;" || exposed != "late;" {
		t.Errorf("open %q, exposed %q", open, exposed)
	}
	for reason, want := range map[string]struct {
		revoked bool
		because string
	}{"lost": {true, "its key was lost"}, "compromised": {true, "its key may be in the wrong hands"},
		"authority-revoked": {true, "the CA that issued it was revoked"}, "reissue": {false, ""}, "": {false, ""}} {
		l := Letter{Reason: reason}
		if l.Revoked() != want.revoked || want.revoked && l.RevokedBecause() != want.because {
			t.Errorf("%q: %v, because %s", reason, l.Revoked(), l.RevokedBecause())
		}
	}
	for r, want := range map[tenancy.Receiver]string{{ContactName: "Eve", ContactEmail: "eve@x"}: "Eve, eve@x",
		{ContactName: "Eve"}: "Eve", {ContactEmail: "eve@x"}: "eve@x", {}: ""} {
		if got := contact(r); got != want {
			t.Errorf("%+v: %q", r, got)
		}
	}
	at := time.Date(2027, 1, 14, 1, 30, 0, 0, time.FixedZone("", 7200))
	if got := (Reader{}).Time(at); got != "13 January 2027, 23:30 UTC" {
		t.Errorf("%q", got)
	}
}

// What changes with a renewal follows from the chains of both certificates.
func TestALetterNeedsTheChainsOfItsCertificates(t *testing.T) {
	w := newWorld(t)
	d := w.deliverer(&answers{})
	check(t, w.Store.Close())
	all := records{tenants: map[string]tenancy.Tenant{"t": {ID: "t", Name: "acme"}},
		chains: map[string][][]byte{"known": nil},
		certs: map[string]tenancy.Certificate{"1": {ID: "1", IssuerID: "known"}, "2": {ID: "2", IssuerID: "imported"},
			"3": {ID: "3", IssuerID: "known"}},
		notices: map[string]tenancy.Notice{"warning": {CertificateID: "2"}, "renewed": {CertificateID: "1", SuccessorID: "2"},
			"from": {CertificateID: "2", SuccessorID: "1"}, "same": {CertificateID: "1", SuccessorID: "3"},
			"announced": {Kind: tenancy.NewAuthority, CertificateID: "1", SuccessorID: "unknown"}},
		authorities: []tenancy.Authority{{ID: "other"}}}
	for notice, fails := range map[string]bool{"warning": true, "renewed": true, "from": true, "same": false,
		"announced": true} {
		_, err := d.letter(t.Context(), all, tenancy.Mail{NoticeID: notice, TenantID: "t"}, date(2026, 11, 1))
		if (err != nil) != fails {
			t.Errorf("%s: %v", notice, err)
		}
	}
}

// A sending answers each letter in turn, and then does something else.
type sending struct {
	answers []error
	then    func() error
}

func (s *sending) Send(_ context.Context, _ []Addressed, answered func(int, error) error) error {
	for i, answer := range s.answers {
		if err := answered(i, answer); err != nil {
			return err
		}
	}
	return s.then()
}

func TestARefusalThatCannotBeCountedIsReported(t *testing.T) {
	w := newWorld(t)
	now := date(2026, 11, 1)
	check(t, w.Tick(t.Context(), now))
	s := &sending{answers: []error{relayDenied, nil}}
	s.then = func() error { // the mails are gone when the round ends
		_, err := w.Store.DB().ExecContext(t.Context(), "DELETE FROM mails")
		return err
	}
	if err := w.deliverer(s).Deliver(t.Context(), w.queued(), false, now); !errors.Is(err, tenancy.ErrStale) {
		t.Errorf("%v", err)
	}
}

func TestTheContentOfAMailIsEscapedAsSMTPRequires(t *testing.T) {
	for content, want := range map[string]string{
		"Subject: x\r\n\r\nText\r\n": "Subject: x\r\n\r\nText\r\n.\r\n",
		"Text\r\n.\r\nMAIL\r\n":      "Text\r\n..\r\nMAIL\r\n.\r\n",
		".\r\n":                      "..\r\n.\r\n",
		"Text\n.\nMAIL\n":            "Text\r\n..\r\nMAIL\r\n.\r\n",
		"two\nlines\r\n":             "two\r\nlines\r\n.\r\n",
		"no end":                     "no end\r\n.\r\n",
		"":                           "\r\n.\r\n",
	} {
		var wire bytes.Buffer
		conn := textproto.NewConn(struct {
			io.ReadCloser
			io.Writer
		}{nil, &wire})
		check(t, writeContent(conn, []byte(content)))
		if wire.String() != want {
			t.Errorf("%q becomes %q, want %q", content, wire.String(), want)
		}
	}
}
