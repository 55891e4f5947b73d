package notify

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/textproto"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/perennial-pki/perennial/internal/engine/jobs"
	"github.com/perennial-pki/perennial/internal/engine/store"
	"github.com/perennial-pki/perennial/tenancy"
)

func TestAReplyIsReadByItsEnhancedStatusAndThenByItsCode(t *testing.T) {
	for _, c := range []struct {
		at    stage
		reply string
		want  reading
	}{
		{atRecipient, "550 5.1.1 no such user", gone},
		{atRecipient, "550 no such user", gone},
		{atRecipient, "551 user not local", gone},
		{atRecipient, "550 5.2.1 mailbox disabled", gone},
		{atRecipient, "556 5.1.10 null MX", gone},
		{atRecipient, "550 5.4.4 host not found", gone},
		{atRecipient, "550 5.7.17 mailbox has another owner", gone},
		{atRecipient, "550 5.5.0 mailbox unavailable", perhaps},
		{atContent, "552 5.3.4 too big", gone},
		{atContent, "554 5.6.1 media not supported", gone},
		{atRecipient, "552 5.2.2 mailbox full", passes},
		{atRecipient, "552 mailbox full", passes},
		{atRecipient, "452 4.2.2 mailbox full", passes},
		{atRecipient, "450 4.7.1 greylisted", passes},
		{atRecipient, "452 4.5.3 too many recipients", passes},
		{atRecipient, "421 4.3.2 going down", passes},
		{atRecipient, "554 5.7.1 relay access denied", ours},
		{atRecipient, "554 relay access denied", ours},
		{atRecipient, "550 5.7.1 not permitted by SPF", ours},
		{atRecipient, "550 5.7.23 SPF validation failed", ours},
		{atContent, "550 5.7.26 not authenticated: DMARC", ours},
		{atContent, "554 5.7.1 listed at a block list", ours},
		{atContent, "554 listed at a block list", ours},
		{atRecipient, "571 delivery not authorized", ours},
		{atRecipient, "553 5.7.1 sender not owned", ours},
		{atRecipient, "553 not in my list of hosts", ours},
		{atRecipient, "550 5.1.8 sender's domain not found", ours},
		{atSession, "553 5.7.1 sender not owned", ours},
		{atSession, "535 5.7.8 authentication failed", ours},
		{atSession, "530 5.7.0 authentication required", ours},
		{atSession, "550 5.1.1 sender unknown", ours},
		{atSession, "454 4.7.0 try later", passes},
		{atRecipient, "550 5.1.1no status", gone},
		{atRecipient, "500 what", ours},
		{atRecipient, "521 takes no mails", passes},
		{atContent, "523 too big", gone},
		{atContent, "541 refused by a filter", perhaps},
		{atRecipient, "556 takes no mails", gone},
	} {
		var reply textproto.Error
		fmt.Sscanf(c.reply, "%d", &reply.Code)
		reply.Msg = c.reply[4:]
		r := readReply(c.at, &reply)
		if (reading{r.Fault, r.Final}) != c.want || r.Session != (c.at == atSession && c.want == ours) {
			t.Errorf("%s: %+v", c.reply, r)
		}
	}
	for status, read := range byStatus {
		if read.final && read.fault != OfRecipient {
			t.Errorf("%s is final, but not about the recipient", status)
		}
	}
	for code, read := range byCode {
		if read.final && read.fault != OfRecipient {
			t.Errorf("%d is final, but not about the recipient", code)
		}
	}
}

func to(id, address string) Addressed {
	l := letter(id)
	l.Address = address
	return l
}

func TestARecipientAtWhichTheServerEndsTheConnectionHoldsUpNoOther(t *testing.T) {
	for name, answer := range map[string]string{"421": "421 4.3.0 too busy", "end": ""} {
		t.Run(name, func(t *testing.T) {
			url, seen := scripted(t, map[string]string{"RCPT TO:<bad@acme.example.com>": answer})
			answers := send(t, server(t, url), to("m1", "a@acme.example.com"), to("m2", "bad@acme.example.com"),
				to("m3", "b@acme.example.com"), to("m4", "c@acme.example.com"))
			for i, err := range answers {
				if (err != nil) != (i == 1) {
					t.Errorf("letter %d: %v", i, err)
				}
			}
			if faultOf(answers[1]).Fault != OfServer {
				t.Errorf("%+v", answers[1])
			}
			if n := strings.Count(strings.Join(seen(), "\n"), "EHLO"); n != 2 {
				t.Errorf("%d connections", n)
			}
		})
	}
}

func TestAServerThatEndsEveryConnectionIsNotAskedForEachMail(t *testing.T) {
	url, seen := scripted(t, map[string]string{"RCPT": "421 4.3.0 too busy"})
	var letters []Addressed
	for i := range 20 {
		letters = append(letters, to(fmt.Sprint("m", i), fmt.Sprintf("u%d@acme.example.com", i)))
	}
	tried := 0
	check(t, server(t, url).Send(t.Context(), letters, func(_ int, answer error) error {
		tried++
		if answer == nil {
			t.Error("a letter was accepted")
		}
		return nil
	}))
	if n := strings.Count(strings.Join(seen(), "\n"), "EHLO"); tried != maxLost || n != maxLost {
		t.Errorf("%d letters in %d connections, want %d", tried, n, maxLost)
	}
}

// limited starts a mail server that ends each connection with 421 after some mails.
func limited(t *testing.T, mails int) (url string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	check(t, err)
	t.Cleanup(func() { l.Close() })
	serve := func(c net.Conn) {
		defer c.Close()
		fmt.Fprint(c, "220 ready\r\n")
		left := mails
		for in := bufio.NewScanner(c); in.Scan(); {
			switch line := in.Text(); {
			case strings.HasPrefix(line, "MAIL") && left == 0:
				fmt.Fprint(c, "421 4.7.0 too many mails in this connection\r\n")
				return
			case line == "DATA":
				fmt.Fprint(c, "354 go on\r\n")
				for in.Scan() && in.Text() != "." {
				}
				left--
			}
			fmt.Fprint(c, "250 ok\r\n")
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
	return "smtp://" + l.Addr().String() + "?tls=none"
}

func TestAServerThatLimitsTheMailsOfAConnectionGetsThemAll(t *testing.T) {
	s := server(t, limited(t, 2))
	for i, err := range send(t, s, letter("m1"), letter("m2"), letter("m3"), letter("m4"), letter("m5")) {
		if err != nil {
			t.Errorf("letter %d: %v", i, err)
		}
	}
}

func TestARefusedSessionEndsTheConversation(t *testing.T) {
	url, seen := scripted(t, map[string]string{"MAIL": "553 5.7.1 sender not owned"})
	tried := 0
	check(t, server(t, url).Send(t.Context(), []Addressed{letter("m1"), letter("m2")}, func(_ int, answer error) error {
		tried++
		if !faultOf(answer).Session {
			t.Errorf("%v", answer)
		}
		return nil
	}))
	if n := strings.Count(strings.Join(seen(), "\n"), "MAIL FROM"); tried != 1 || n != 1 {
		t.Errorf("%d letters were tried, %d were offered", tried, n)
	}
}

func TestAddressesGoOutWithoutSMTPUTF8(t *testing.T) {
	url, seen := scripted(t, map[string]string{"EHLO": "250-ready\r\n250-8BITMIME\r\n250 SMTPUTF8"})
	s, err := NewServer(url, "Perennial <noreply@bücher.example>", templates(t), nil)
	check(t, err)
	answers := send(t, s, to("m1", "alice@müller.example"), to("m2", "jürgen@acme.example.com"), letter("m3"))
	if answers[0] != nil || answers[2] != nil {
		t.Errorf("%v", answers)
	}
	if !faultOf(answers[1]).Final || !strings.Contains(answers[1].Error(), "RFC 6531") {
		t.Errorf("%v", answers[1])
	}
	text := strings.Join(seen(), "\n")
	for _, want := range []string{"MAIL FROM:<noreply@xn--bcher-kva.example> BODY=8BITMIME\n",
		"RCPT TO:<alice@xn--mller-kva.example>\n", "<alice@xn--mller-kva.example>\n", "<noreply@xn--bcher-kva.example>\n"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q was not sent:\n%s", want, text)
		}
	}
	if strings.Contains(text, "SMTPUTF8") || strings.ContainsFunc(text, func(r rune) bool { return r > 127 }) {
		t.Errorf("not only ASCII was sent:\n%s", text)
	}
	if domain, err := ParseSender("noreply@bücher.example"); domain != "xn--bcher-kva.example" || err != nil {
		t.Errorf("%q, %v", domain, err)
	}
	for _, bad := range []string{"jürgen@acme.example.com", "a@-ü.example", "a"} {
		if _, err := ParseSender(bad); err == nil {
			t.Errorf("%s is accepted as a sender", bad)
		}
	}
}

// queuedMails returns a world whose mails are queued, with its log.
func queuedMails(t *testing.T, s Sender) (w *world, d *Deliverer, logged *bytes.Buffer) {
	t.Helper()
	w = newWorld(t)
	check(t, w.Tick(t.Context(), date(2026, 11, 1)))
	logged = &bytes.Buffer{}
	check(t, jobs.Migrate(t.Context(), w.Store, slog.New(slog.DiscardHandler)))
	d, err := NewDeliverer(DelivererConfig{Store: w.Store, Sender: s, Log: slog.New(slog.NewTextHandler(logged, nil))})
	check(t, err)
	return w, d, logged
}

func (w *world) sent() int {
	w.t.Helper()
	mails, err := w.Store.Mails(w.t.Context(), "", tenancy.MailSent, "", 1000)
	check(w.t, err)
	return len(mails)
}

var (
	relayDenied = &Refusal{Fault: Ours, Reply: errors.New("554 5.7.1 relay denied")}
	loginFailed = &Refusal{Fault: Ours, Session: true, Reply: errors.New("535 5.7.8 login failed")}
)

func TestMailsAreHeldAsAWholeIfTheServerRefusesThisInstallation(t *testing.T) {
	for _, refusal := range []*Refusal{relayDenied, loginFailed} {
		t.Run(refusal.Error(), func(t *testing.T) {
			answer := error(refusal)
			server := &answers{answer: func(Addressed) error { return answer }}
			w, d, logged := queuedMails(t, server)
			ids, now := w.queued(), date(2026, 11, 1)
			deliver := func() {
				t.Helper()
				later := (*HeldError)(nil)
				// Even on the last try of the queue, no mail dies of it.
				if err := d.Deliver(t.Context(), ids, true, now); !errors.As(err, &later) || !later.Until().After(now) {
					t.Fatalf("%v", err)
				}
			}
			deliver()
			hold, err := w.Store.MailHold(t.Context())
			if err != nil || !hold.Since.Equal(now) || hold.Reason != refusal.Error() {
				t.Errorf("%+v, %v", hold, err)
			}
			tried := len(server.letters)
			deliver()
			if len(server.letters) != tried {
				t.Error("a mail was tried while all are held")
			}
			for range 3 { // one mail each time, and one line in the log in all
				now = now.Add(heldPause)
				deliver()
				if tried++; len(server.letters) != tried {
					t.Errorf("%d mails were tried, want %d", len(server.letters), tried)
				}
			}
			if n := strings.Count(logged.String(), "all mails are held"); n != 1 {
				t.Errorf("logged %d times:\n%s", n, logged)
			}
			if n := w.count(tenancy.MailQueued); n != len(ids) || len(ids) < 2 {
				t.Errorf("%d of %d mails are queued", n, len(ids))
			}
			mail, err := w.Store.Mail(t.Context(), ids[0])
			check(t, err)
			if mail.Attempts != 0 || mail.LastError != tenancy.Stored(toldOf(refusal)) {
				t.Errorf("%+v", mail)
			}
			const accepts = "the mail server accepts mails again"
			if strings.Contains(logged.String(), accepts) {
				t.Errorf("logged while all are held:\n%s", logged)
			}
			answer = nil
			now = now.Add(heldPause)
			check(t, d.Deliver(t.Context(), ids, false, now))
			if n := strings.Count(logged.String(), accepts); n != 1 {
				t.Errorf("the end is logged %d times:\n%s", n, logged)
			}
			if n := w.sent(); n != len(ids) {
				t.Errorf("%d of %d mails are sent", n, len(ids))
			}
			if hold, err := w.Store.MailHold(t.Context()); err != nil || !hold.Since.IsZero() {
				t.Errorf("%+v, %v", hold, err)
			}
			if events := w.mailEvents(); !slices.Contains(events, "mail.held ") || !slices.Contains(events, "mail.released ") {
				t.Errorf("%v", events)
			}
		})
	}
}

func TestOneReplicaTriesAMailWhileAllAreHeld(t *testing.T) {
	server := &answers{answer: func(Addressed) error { return loginFailed }}
	w, d, _ := queuedMails(t, server)
	other := w.deliverer(server)
	now := date(2026, 11, 1)
	d.Deliver(t.Context(), w.queued(), false, now)
	now = now.Add(heldPause)
	tried := len(server.letters)
	for _, d := range []*Deliverer{other, d, other} {
		if err := d.Deliver(t.Context(), w.queued(), false, now); !errors.As(err, new(*HeldError)) {
			t.Errorf("%v", err)
		}
	}
	if n := len(server.letters) - tried; n != 1 {
		t.Errorf("%d mails were tried", n)
	}
}

// A recipient's domain that refuses by policy looks like a server that refuses this installation.
func TestThePolicyOfOneDomainHoldsUpNoOtherMails(t *testing.T) {
	server := &answers{}
	w, d, logged := queuedMails(t, server)
	ids, now := w.queued(), date(2026, 11, 1)
	check(t, w.Store.InTx(t.Context(), func(tx *store.Tx) error {
		_, err := tx.SQL().ExecContext(t.Context(), "UPDATE mails SET address = 'ina@strict.example' WHERE id = '"+ids[0]+"'")
		return err
	}))
	server.answer = func(l Addressed) error {
		if l.Address == "ina@strict.example" {
			return relayDenied
		}
		return nil
	}
	// Alone in its round, it is counted, because others are queued. With others, one that is accepted shows it.
	if err := d.Deliver(t.Context(), ids[:1], false, now); err == nil || errors.As(err, new(*HeldError)) {
		t.Errorf("%v", err)
	}
	if err := d.Deliver(t.Context(), ids, false, now); err == nil || errors.As(err, new(*HeldError)) {
		t.Errorf("%v", err)
	}
	mail, err := w.Store.Mail(t.Context(), ids[0])
	check(t, err)
	if mail.Attempts != 2 || mail.State != tenancy.MailQueued || w.sent() != len(ids)-1 {
		t.Errorf("%+v", mail)
	}
	check(t, d.Deliver(t.Context(), ids, true, now))
	if w.count(tenancy.MailDead) != 1 || strings.Contains(logged.String(), "held") {
		t.Errorf("not dead after the last try, or held:\n%s", logged)
	}
}

func TestTwoDomainsThatRefuseHoldAllMails(t *testing.T) {
	w, d, _ := queuedMails(t, &answers{answer: func(Addressed) error { return relayDenied }})
	ids, now := w.queued(), date(2026, 11, 1)
	check(t, w.Store.InTx(t.Context(), func(tx *store.Tx) error {
		_, err := tx.SQL().ExecContext(t.Context(), "UPDATE mails SET address = 'ina@strict.example' WHERE id = '"+ids[0]+"'")
		return err
	}))
	if err := d.Deliver(t.Context(), ids[:1], false, now); errors.As(err, new(*HeldError)) {
		t.Errorf("%v", err)
	}
	if err := d.Deliver(t.Context(), ids[1:2], false, now); !errors.As(err, new(*HeldError)) {
		t.Errorf("%v", err)
	}
}

func TestAHoldThatOneDomainShowedHoldsUpNoMailToAnother(t *testing.T) {
	server := &answers{answer: func(l Addressed) error {
		if strings.HasSuffix(l.Address, "@strict.example") {
			return relayDenied
		}
		return nil
	}}
	w, d, _ := queuedMails(t, server)
	ids, now := w.queued(), date(2026, 11, 1)
	set := func(column, value, ids string) {
		t.Helper()
		check(t, w.Store.InTx(t.Context(), func(tx *store.Tx) error {
			_, err := tx.SQL().ExecContext(t.Context(), "UPDATE mails SET "+column+" = '"+value+"' WHERE "+ids)
			return err
		}))
	}
	set("address", "ina@strict.example", "id = '"+ids[0]+"'")
	set("state", "waiting", "id <> '"+ids[0]+"'")
	if err := d.Deliver(t.Context(), ids, false, now); !errors.As(err, new(*HeldError)) {
		t.Errorf("%v", err)
	}
	set("state", "queued", "id <> '"+ids[0]+"'") // another mail comes, while the first one waits
	if err := d.Deliver(t.Context(), ids[:1], false, now); !errors.As(err, new(*HeldError)) {
		t.Errorf("%v", err)
	}
	if err := d.Deliver(t.Context(), ids, false, now); err == nil || errors.As(err, new(*HeldError)) {
		t.Errorf("%v", err)
	}
	if n := w.sent(); n != len(ids)-1 {
		t.Errorf("%d of %d mails to another domain were sent", n, len(ids)-1)
	}
	if hold, err := w.Store.MailHold(t.Context()); err != nil || !hold.Since.IsZero() {
		t.Errorf("%+v, %v", hold, err)
	}
}

func TestAMailThatFailedIsTriedAfterThoseThatDidNot(t *testing.T) {
	first := ""
	server := &answers{}
	w, d, _ := queuedMails(t, server)
	ids := w.queued()
	server.answer = func(l Addressed) error {
		if first == "" {
			first = l.MessageID
			return errors.New("the connection ended")
		}
		return nil
	}
	if err := d.Deliver(t.Context(), ids[:1], false, date(2026, 11, 1)); err == nil {
		t.Error("no error")
	}
	check(t, d.Deliver(t.Context(), ids, false, date(2026, 11, 1)))
	if last := server.letters[len(server.letters)-1]; last.MessageID != first {
		t.Errorf("%s was not tried last", first)
	}
}

// untried answers no letter, as a server that cannot be reached again.
type untried struct{}

func (u *untried) Send(_ context.Context, _ []Addressed, _ func(int, error) error) error { return nil }

func TestAMailThatWasNotTriedDoesNotDieWithTheLastTry(t *testing.T) {
	w, d, _ := queuedMails(t, &untried{})
	ids, now := w.queued(), date(2026, 11, 1)
	if err := d.Deliver(t.Context(), ids, false, now); err == nil || errors.As(err, new(*HeldError)) {
		t.Errorf("%v", err)
	}
	later := (*HeldError)(nil)
	if err := d.Deliver(t.Context(), ids, true, now); !errors.As(err, &later) || later.At.Sub(now) != 15*time.Minute {
		t.Errorf("%v", err)
	}
	if n := w.count(tenancy.MailQueued); n != len(ids) {
		t.Errorf("%d of %d mails are queued", n, len(ids))
	}
}

// A tenant chooses the addresses and parts of the text of its mails.
func TestOneTenantDoesNotHoldTheMailsOfOthers(t *testing.T) {
	w, _, _ := queuedMails(t, &untried{})
	now := date(2026, 11, 1)
	for _, c := range []struct {
		name   string
		owners [2]string
		lately bool // a mail was accepted
		hold   bool
	}{
		{"two domains of one tenant", [2]string{"mallory", "mallory"}, true, false},
		{"two domains of two tenants", [2]string{"mallory", "acme"}, true, true},
		{"two domains of one tenant, and nothing was accepted", [2]string{"mallory", "mallory"}, false, true},
	} {
		d := &Deliverer{store: w.Store}
		if c.lately {
			d.doubt.acceptedAt = now.Add(-time.Minute)
		}
		ours := []refused{{mail: 0}, {mail: 1}}
		hold, _, err := d.suspect(t.Context(), &round{d: d, ours: ours, now: now, mails: []tenancy.Mail{
			{Address: "a@one.example", TenantID: c.owners[0]}, {Address: "b@two.example", TenantID: c.owners[1]}}})
		if err != nil || hold != c.hold {
			t.Errorf("%s: held %t, %v", c.name, hold, err)
		}
	}
}
