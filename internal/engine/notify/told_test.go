package notify

import (
	"bytes"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/textproto"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/perennial-pki/perennial/tenancy"
)

func TestTenantsDoNotReadWhereTheMailServerIs(t *testing.T) {
	s := server(t, "smtp://relay.inside.example:25")
	to := &net.TCPAddr{IP: net.IPv4(10, 1, 2, 3), Port: 25}
	reply := func(code int, text string) error { return &textproto.Error{Code: code, Msg: text} }
	for _, c := range []struct {
		at   stage
		err  error
		want string
	}{
		{atRecipient, reply(550, "5.1.1 unknown mailbox"), "the mail server refused the mail: 550 5.1.1 unknown mailbox"},
		{atRecipient, reply(554, "5.7.1 RELAY.inside.example[10.1.2.3]: denied"),
			"the mail server refused the mail: 554 5.7.1 (mail server)[(internal address)]: denied"},
		{atSession, reply(535, "5.7.8 login failed at 10.1.2.3"),
			"the mail server does not accept mails of this installation (535): an operator must fix this"},
		{atSession, &net.OpError{Op: "dial", Net: "tcp", Addr: to, Err: os.NewSyscallError("connect",
			syscall.ECONNREFUSED)}, "the mail server is not running (connection refused)"},
		{atSession, &net.OpError{Op: "dial", Net: "tcp", Addr: to, Err: os.ErrDeadlineExceeded},
			"the mail server did not answer in time"},
		{atSession, &net.DNSError{Name: "relay.inside.example", Server: "10.1.2.4:53"},
			"the name of the mail server could not be resolved"},
		{atSession, x509.HostnameError{Certificate: &x509.Certificate{}, Host: "relay.inside.example"},
			"no TLS connection to the mail server was possible"},
		{atContent, fmt.Errorf("DATA: %w", io.ErrUnexpectedEOF), "the connection to the mail server failed"},
		{atContent, io.EOF, "the mail server closed the connection"},
	} {
		answer := s.refusal(c.at, c.err)
		if got := toldOf(answer).Error(); got != c.want {
			t.Errorf("%v: %q, want %q", c.err, got, c.want)
		}
		if !strings.Contains(answer.Error(), "relay.inside.example") {
			t.Errorf("operators do not read which server it is: %v", answer)
		}
	}
	if got := toldOf(errors.New("template of 10.1.2.3")).Error(); strings.Contains(got, "10.1") {
		t.Error(got)
	}
}

func TestADeadMailIsExplainedToItsTenantWithoutTheMailServerAndInTheLogWithIt(t *testing.T) {
	s := server(t, "smtp://relay.inside.example:25")
	w := newWorld(t)
	check(t, w.Tick(t.Context(), date(2026, 11, 1)))
	var logged bytes.Buffer
	d, err := NewDeliverer(DelivererConfig{Store: w.Store, Log: slog.New(slog.NewTextHandler(&logged, nil)),
		Sender: &answers{answer: func(Addressed) error { return s.refusal(atContent, io.EOF) }}})
	check(t, err)
	ids := w.queued()
	check(t, d.Deliver(t.Context(), ids, true, date(2026, 11, 1)))
	dead, err := w.Store.Mail(t.Context(), ids[0])
	check(t, err)
	if got := tenancy.ReadText(dead.LastError).String(); got != "the mail server closed the connection" {
		t.Error(got)
	}
	events, err := w.Store.Events(t.Context(), "acme", 0, 100)
	check(t, err)
	deaths := 0
	for _, e := range events {
		if e.Action == "mail.dead" {
			deaths++
		}
		if strings.Contains(e.Detail, "relay.inside") {
			t.Errorf("%s: %s", e.Action, e.Detail)
		}
	}
	if deaths != len(ids) || !strings.Contains(logged.String(), "mail server relay.inside.example: EOF") {
		t.Errorf("%d mails are dead in the audit log, of %d; the log has\n%s", deaths, len(ids), logged.String())
	}
}
