package notify

import (
	"strings"
	"testing"
)

// bounced is a report as Postfix writes it.
const bounced = `From: MAILER-DAEMON@mx.example.com (Mail Delivery System)
To: noreply@p.example.com
Subject: Undelivered Mail Returned to Sender
MIME-Version: 1.0
Content-Type: multipart/report; report-type=delivery-status; boundary="B"

--B
Content-Description: Notification
Content-Type: text/plain; charset=us-ascii

This is the mail system at host mx.example.com.

--B
Content-Description: Delivery report
Content-Type: message/delivery-status

Reporting-MTA: dns; mx.example.com
X-Postfix-Queue-ID: 4F1

Final-Recipient: rfc822; eve@bank.example.com
Action: failed
Status: 5.1.1
Diagnostic-Code: smtp; 550 5.1.1 no such user

--B
Content-Description: Undelivered Message Headers
Content-Type: text/rfc822-headers

From: noreply@p.example.com
To: eve@bank.example.com
Message-ID: <m1@p.example.com>
Subject: Acme

--B--
`

func TestABounceIsReadAsTheFailureOfOneMail(t *testing.T) {
	crlf := strings.NewReplacer("\n", "\r\n")
	for name, c := range map[string]struct {
		message string
		want    Bounce
		fails   string
	}{
		"no such user": {crlf.Replace(bounced), Bounce{"m1@p.example.com", true}, ""},
		"unix lines":   {bounced, Bounce{"m1@p.example.com", true}, ""},
		"the whole mail is returned": {strings.Replace(bounced, "text/rfc822-headers", "message/rfc822", 1),
			Bounce{"m1@p.example.com", true}, ""},
		"delayed": {strings.Replace(bounced, "Action: failed", "Action: delayed", 1), Bounce{"m1@p.example.com", false}, ""},
		"temporary": {strings.Replace(bounced, "Status: 5.1.1", "Status: 4.2.2", 1), Bounce{"m1@p.example.com", false},
			""},
		"one of two recipients": {strings.Replace(bounced, "\n--B\nContent-Description: Undelivered",
			"\nFinal-Recipient: rfc822; b@x\nAction: relayed\nStatus: 2.1.9\n\n--B\nContent-Description: Undelivered", 1),
			Bounce{"m1@p.example.com", false}, ""},
		"without the headers": {strings.Replace(bounced, "Message-ID", "X-ID", 1), Bounce{Final: true},
			"include its headers"},
		"another mail": {"Subject: x\nContent-Type: text/plain\n\nout of office", Bounce{}, "its type is"},
		"no status": {strings.Replace(bounced, "message/delivery-status", "text/plain", 1),
			Bounce{MessageID: "m1@p.example.com"}, "no delivery status"},
		"no mail": {"", Bounce{}, "EOF"},
	} {
		got, err := ReadBounce([]byte(c.message))
		if c.fails == "" && err != nil || c.fails != "" && (err == nil || !strings.Contains(err.Error(), c.fails)) ||
			got != c.want {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
	if id := (Bounce{MessageID: "m1@p.example.com"}).MailID(); id != "m1" {
		t.Errorf("the mail is %q", id)
	}
}

func FuzzReadBounce(f *testing.F) {
	f.Add([]byte(bounced))
	f.Fuzz(func(t *testing.T, message []byte) {
		if b, err := ReadBounce(message); err == nil && b.MessageID == "" {
			t.Error("a bounce names no mail")
		}
	})
}
