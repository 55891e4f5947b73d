package diagnose

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/perennial-pki/perennial/internal/egress/outbound"
	"github.com/perennial-pki/perennial/internal/engine/standing"
	"github.com/perennial-pki/perennial/internal/testing/testenv"
	"github.com/perennial-pki/perennial/rollover"
	"github.com/perennial-pki/perennial/tenancy"
)

var now = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// issued makes the DER of a certificate whose issuer has these names.
func issued(t *testing.T, commonName, organization string) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	testenv.Check(t, err)
	ca := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: commonName,
		Organization: []string{organization}}}
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{SerialNumber: big.NewInt(2)}, ca, key.Public(), key)
	testenv.Check(t, err)
	return der
}

// The answers of receivers. Each is for the generation that the test gives it.
var (
	taken = outbound.Result{Status: 200, Asked: true, Verdict: rollover.Accepted,
		Reading: outbound.Reading{Meaning: outbound.Answered, Kind: outbound.Kind{Status: 200}, Detail: "200 OK"}}
	handshake = outbound.Result{Reading: outbound.Reading{Meaning: outbound.Answered}, Handshake: true, Asked: true}
	missing   = outbound.Result{Status: 404, Asked: true, Verdict: rollover.Unclear,
		Reading: outbound.Reading{Meaning: outbound.Answered, Kind: outbound.Kind{Status: 404}, Detail: "404 Not Found"}}
	denies  = answers(401, outbound.RefusingAnswer)
	forbids = answers(403, outbound.RefusingAnswer)
	fails   = outbound.Result{Reading: outbound.Reading{Detail: "500"}, Status: 500, Asked: true}
	closes  = outbound.Result{Err: errors.New("EOF"), Asked: true,
		Reading: outbound.Reading{Meaning: outbound.Suspicious, Reason: outbound.ConnectionClosed}}
	unreadable = outbound.Result{Err: errors.New("x"), Asked: true}
)

func answers(status int, reason outbound.Reason) outbound.Result {
	return outbound.Result{Status: status, Asked: true,
		Reading: outbound.Reading{Meaning: outbound.Refused, Reason: reason, Kind: outbound.Kind{Status: status}}}
}

func alerts(a outbound.Alert) outbound.Result {
	return outbound.Result{Reading: outbound.Reading{Meaning: outbound.Refused, Reason: outbound.TLSAlert, Alert: a},
		Err: errors.New("alert"), Asked: true}
}

func cannot(reason outbound.Reason) outbound.Result {
	return outbound.Result{Reading: outbound.Reading{Reason: reason, Detail: "why"}, Err: errors.New("why")}
}

func unasked(r outbound.Result) outbound.Result {
	r.Asked = false
	return r
}

func dated(r outbound.Result, at time.Time) outbound.Result {
	r.ServerDate = at
	return r
}

func naming(r outbound.Result, cas ...string) outbound.Result {
	r.AcceptableCAs = cas
	return r
}

// newFindings are answers to generation 1, 2 and so on, of certificates that are alike.
func newFindings(der []byte, all ...outbound.Result) findings {
	f := findings{now: now, none: unasked(denies)}
	f.none.Asked = true
	f.standing.Tenant.Name, f.standing.Arrangement.Name = "acme", "erp"
	for i := range all {
		all[i].Generation = i + 1
		f.standing.Certificates = append(f.standing.Certificates, tenancy.Certificate{Generation: i + 1, DER: der,
			Subject: "CN=acme", KeyType: tenancy.P256, NotBefore: now.AddDate(0, -1, 0), NotAfter: now.AddDate(0, i+1, 0),
			Fingerprint: "f" + string(rune('1'+i))})
	}
	for i, r := range all {
		compared := slices.ContainsFunc(all, func(r outbound.Result) bool { return r.Verdict == rollover.Accepted })
		if compared && (r.Meaning == outbound.Refused || r.Meaning == outbound.Suspicious) {
			all[i].Verdict = rollover.Refused
		}
	}
	f.all = all
	return f
}

// doubted adds that messages with generation 2 got an answer that cannot be compared.
func doubted(f findings) findings {
	f.standing.Evidence = []standing.Evidence{{Generation: 1, Verdict: rollover.Accepted, Source: rollover.Traffic},
		{Generation: 2, Verdict: rollover.Unclear, Source: rollover.Traffic, Detail: "302 Found to /login"}}
	return f
}

// login is an answer that is found to be a refusal by comparison.
var login = outbound.Result{Status: 302, Asked: true, Verdict: rollover.Refused,
	Reading: outbound.Reading{Meaning: outbound.Answered, Kind: outbound.Kind{Status: 302, Location: "/login"}}}

func TestTheFirstCauseThatFitsIsNamed(t *testing.T) {
	der := issued(t, "Perennial CA", "P")
	change := func(f findings, change func(*tenancy.Certificate)) findings {
		f.standing.Certificates = slices.Clone(f.standing.Certificates)
		change(&f.standing.Certificates[len(f.standing.Certificates)-1])
		return f
	}
	until := func(t time.Time) func(*tenancy.Certificate) { return func(c *tenancy.Certificate) { c.NotAfter = t } }
	subject := func(c *tenancy.Certificate) { c.Subject = "CN=new" }
	keyType := func(c *tenancy.Certificate) { c.KeyType = tenancy.RSA2048 }
	revoked := func(f findings) findings { // and accepted before
		f.standing.Rollover.Generations = []rollover.Generation{{Number: 1, Revoked: true, Verdict: rollover.Accepted}}
		return f
	}
	presents := func(f findings, s tenancy.Strategy, generation int) findings {
		f.standing.Rollover.Strategy, f.standing.Rollover.Presents = s, generation
		return f
	}
	messages := func(f findings, statuses ...int) findings {
		for _, s := range statuses {
			f.recent = append(f.recent, tenancy.Message{Status: s, Method: "POST", Path: "/orders", At: now})
		}
		return f
	}
	proved := func(f findings) findings { // by messages
		for _, r := range f.all {
			f.standing.Rollover.Generations = append(f.standing.Rollover.Generations, rollover.Generation{
				Number: r.Generation, Verdict: rollover.Accepted, By: rollover.Traffic})
		}
		return f
	}
	usually := func(f findings, kind string) findings { // what accepted messages get
		f.standing.Evidence = []standing.Evidence{{Generation: 1, Kinds: []string{"damaged", kind}}}
		return f
	}
	alone := func(f findings, none outbound.Result) findings {
		f.none = none
		return f
	}
	with := func(all ...outbound.Result) findings { return newFindings(der, all...) }
	late, early := now.AddDate(2, 0, 0), now.AddDate(-1, 0, 0)
	hit := map[int]bool{}
	for name, c := range map[string]struct {
		f    findings
		want Cause
		says string // in the summary or the next step
	}{
		"none can be presented": {with(), Expired, "no certificate that can be presented"},
		"forbidden": {
			with(cannot(outbound.ForbiddenAddress)),
			AddressForbidden, "--allow-target",
		},
		"untrusted": {
			with(cannot(outbound.ReceiverUntrusted)),
			ServerNotTrusted, "--server-ca",
		},
		"unresolved": {
			with(cannot(outbound.NameUnresolved)),
			ReceiverDown, "resolved",
		},
		"unreachable": {
			with(cannot(outbound.Unreachable)),
			ReceiverDown, "firewall",
		},
		"only the newest counts": {
			with(cannot(outbound.Unreachable), taken),
			OldRemoved, "generation 2",
		},
		"clock late":  {with(dated(denies, late)), ClockSkew, "off by"},
		"clock early": {with(dated(denies, early)), ClockSkew, "off by"},
		"clock, by the one without": {
			alone(with(denies, denies), dated(denies, late)),
			ClockSkew, "off by",
		},
		"clock off, but accepted": {with(dated(taken, late)), Healthy, "accepts every"},
		"clock off, and still valid": {
			with(dated(forbids, now.Add(time.Hour))),
			Unknown, "do not show",
		},
		"clock off by little at the end": {
			change(with(dated(forbids, now.Add(5*time.Minute))), until(now.Add(time.Minute))),
			Unknown, "do not show",
		},
		"clock off by more at the end": {
			change(with(dated(forbids, now.Add(6*time.Minute))), until(now.Add(time.Minute))),
			ClockSkew, "off by",
		},
		"expired now": {change(with(forbids), until(now)), Expired, "expired on"},
		"expires in a moment": {
			change(with(forbids), until(now.Add(time.Second))),
			Unknown, "",
		},
		"the receiver says expired": {
			with(alerts(outbound.CertificateExpired)),
			ClockSkew, "it is valid from",
		},
		"wrong purpose": {
			with(alerts(outbound.UnsupportedCertificate)),
			WrongPurpose, "client authentication",
		},
		"TLS fails without a certificate, too": {
			alone(with(alerts(outbound.HandshakeFailure)), alerts(outbound.HandshakeFailure)),
			TLSTooOld, "does not help",
		},
		"TLS is too old": {
			alone(with(cannot(outbound.TLSUnsupported)), cannot(outbound.TLSUnsupported)),
			TLSTooOld, "TLS is too old",
		},
		"handshake failure": {
			with(alerts(outbound.HandshakeFailure)),
			KeyTypeRefused, "type p256",
		},
		"no signature": {
			with(cannot(outbound.SignatureUnsupported)),
			KeyTypeRefused, "type p256",
		},
		"unknown CA": {
			with(taken, alerts(outbound.UnknownCA)),
			CANotTrusted, "CN=Perennial CA,O=P",
		},
		"web server's error": {
			with(answers(400, outbound.CertificateError)),
			CANotTrusted, "/pki/ca.pem",
		},
		"web server's error about the new": {
			with(taken, answers(400, outbound.CertificateError)),
			NewNotKnown, "not yet generation 2",
		},
		"other CAs are named": {
			with(naming(alerts(outbound.CertificateUnknown), "CN=Other")),
			CANotTrusted, "",
		},
		"other CAs are named, and it fails":  {with(naming(unreadable, "CN=Other")), CANotTrusted, ""},
		"other CAs are named, and it closes": {with(naming(closes, "CN=Other")), CANotTrusted, ""},
		"other CAs are named, but accepted":  {with(naming(taken, "CN=Other")), Healthy, ""},
		"our CA is named":                    {with(naming(forbids, "CN=Perennial CA,O=P")), Unknown, ""},
		"our organisation is named":          {with(naming(forbids, "CN=Another CA,O=P")), Unknown, ""},
		"the sender is denied": {
			messages(with(taken), 200, 403),
			NotTheCertificate, "authorisation of this sender for /orders",
		},
		"the sender is denied, 401": {
			messages(with(taken, taken), 401),
			NotTheCertificate, "answered 401",
		},
		"the sender got another error":    {messages(with(taken), 404, 500), NotTheCertificate, "answered 404"},
		"the sender got an error before":  {messages(with(taken), 200, 500), Healthy, ""},
		"TLS is asked, and messages fail": {messages(with(handshake), 500), Unknown, "cannot be tested"},
		"the probe gets 404 in any case":  {alone(with(missing, missing), missing), QuestionUseless, "which proves nothing"},
		"the probe gets 404 from a receiver that asks for nothing": {
			alone(with(unasked(missing)), unasked(missing)),
			NoCertificateSeen, "the renewal needs no action",
		},
		"messages get an answer that may be a refusal": {
			doubted(with(handshake, handshake)),
			RefusalUnclear, "or add a refusal rule",
		},
		"messages got such an answer, and a probe tells": {doubted(with(taken, taken)), Healthy, ""},
		"the new one is sent to a login":                 {with(taken, login), NewNotKnown, "not yet generation 2"},
		"three answers that differ":                      {alone(with(taken, missing), login), Unknown, "do not show"},
		"denied, and only TLS was asked": {
			messages(with(handshake), 403),
			Unknown, "without a probe, it cannot be tested",
		},
		"healthy":                      {with(taken, taken), Healthy, "nothing"},
		"only the handshake was asked": {with(handshake), Unknown, "proves nothing about its application"},
		"only the handshake was asked, messages prove it": {proved(with(handshake)), Healthy, "messages show"},
		"the latest message was redirected": {
			messages(with(taken), 302),
			NotTheCertificate, "answered 302",
		},
		"the latest message was redirected as usual": {
			usually(messages(with(taken), 302), "302 - /next"),
			Healthy, "",
		},
		"mapping": {
			change(with(taken, forbids), subject),
			MappingLost, "from CN=acme to CN=new",
		},
		"mapping, but TLS refuses": {
			change(with(taken, alerts(outbound.CertificateUnknown)), subject),
			NewNotKnown, "",
		},
		"key type": {
			change(with(taken, alerts(outbound.CertificateUnknown)), keyType),
			KeyTypeRefused, "from p256 to rsa2048",
		},
		"key type, but TLS accepts": {change(with(taken, forbids), keyType), NewNotKnown, ""},
		"new unknown": {
			with(denies, taken, denies),
			NewNotKnown, "the receiver accepts generation 2 but not yet generation 3 (SHA-256 f3)",
		},
		"new unknown, closed": {
			with(taken, closes),
			NewNotKnown, "installed before 2026-04-01",
		},
		"new answers with an error": {with(taken, fails), Unknown, "do not show"},
		"old removed": {
			with(denies, closes, taken),
			OldRemoved, "removed generation 1, 2",
		},
		"old removed, adaptive": {
			presents(with(denies, taken), tenancy.Adaptive, 1),
			OldRemoved, "nothing: messages are sent with generation 2",
		},
		"old removed, chosen": {
			presents(with(denies, taken), tenancy.Manual, 2),
			OldRemoved, "nothing: messages are sent with generation 2",
		},
		"old removed, manual": {
			presents(with(denies, taken), tenancy.Manual, 1),
			OldRemoved, "choose generation 2; perennial rollover choose",
		},
		"only a revoked one is known": {
			revoked(with(forbids, forbids)),
			NewNotKnown, "accepted generation 1, which is revoked, and does not accept generation 1, 2",
		},
		"no certificate asked": {
			with(unasked(denies)),
			NoCertificateSeen, "enable client certificates",
		},
		"no certificate asked, but closed": {
			with(unasked(closes), unasked(denies)),
			NoCertificateSeen, "",
		},
		"one answer for all": {
			with(forbids, forbids),
			NotTheCertificate, "not a renewal problem",
		},
		"different answers": {with(forbids, denies), Unknown, ""},
		"all unknown": {
			with(denies),
			NewNotKnown, "does not know generation 1; it answers the same",
		},
		"all unknown, differently":     {with(denies, closes), NewNotKnown, "generation 1, 2"},
		"unlike without a certificate": {with(forbids), Unknown, "2026-03-01 12:00 UTC"},
		"closed twice":                 {alone(with(closes), closes), Unknown, ""},
		"closed, closed":               {with(closes, closes), Unknown, ""},
		"fails":                        {with(fails), Unknown, ""},
	} {
		got := c.f.conclude()
		texts := got.Summary.String() + "; " + got.NextStep.String() + "; " + got.Command
		if got.Cause != c.want || !strings.Contains(texts, c.says) || got.NextStep.Format == "" {
			t.Errorf("%s: %s, want %s: %s; %s", name, got.Cause, c.want, got.Summary, got.NextStep)
		}
		for i, fits := range causes {
			if _, ok := fits(c.f); ok {
				hit[i] = true
				break
			}
		}
	}
	for i := range causes {
		if !hit[i] {
			t.Errorf("no case of this test is decided by entry %d of the table", i)
		}
	}
}

func english(texts []tenancy.Text) (all []string) {
	for _, t := range texts {
		all = append(all, t.String())
	}
	return all
}

func TestTheEvidenceHasEveryAnswerAndTheLastFailure(t *testing.T) {
	f := newFindings(nil, naming(taken, "CN=A"), naming(denies, "CN=A", "CN=B"), closes, handshake)
	f.none = cannot(outbound.Unreachable)
	f.recent = []tenancy.Message{{Status: 200, Path: "/fine"}, {Status: 0, Method: "GET", Path: "/gone", At: now,
		Generation: 2, Outcome: "EOF"}, {Status: 500, Path: "/older"}}
	want := []string{
		"with generation 1: the probe was accepted (200 OK)",
		"with generation 2: the probe was refused ()",
		"with generation 3: the receiver closed the connection without an answer",
		"with generation 4: the handshake was completed, which proves nothing about the application",
		"without a certificate: why",
		"the receiver names these CAs: CN=A; CN=B",
		"the latest message that failed: GET /gone at 2026-03-01 12:00:00 UTC, 0 with generation 2: EOF",
	}
	if got := english(f.conclude().Evidence); !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	f.recent = []tenancy.Message{{Status: 304}, {Status: 299}, {Status: 400, Method: "GET", Path: "/", At: now}}
	if got := english(f.conclude().Evidence); got[len(got)-1] !=
		"the latest message that failed: GET / at 2026-03-01 12:00:00 UTC, 400 with generation 0" {
		t.Errorf("got %q", got[len(got)-1])
	}
}

func TestARefusalThatNoRuleDescribesGetsOne(t *testing.T) {
	want := tenancy.RefusalRule{Status: 302, Header: "Location", Contains: "/login"}
	if d := newFindings(nil, taken, login).conclude(); d.Rule == nil || *d.Rule != want {
		t.Errorf("%+v, want %s", d.Rule, want)
	}
	for _, all := range [][]outbound.Result{{taken, denies}, {taken, taken}, {missing}} {
		if d := newFindings(nil, all...).conclude(); d.Rule != nil {
			t.Errorf("%s is proposed without need", d.Rule)
		}
	}
}

func TestAnEndpointThatIsNotAURLIsNamed(t *testing.T) {
	s := standing.Standing{Arrangement: tenancy.Arrangement{Endpoint: "https://%"}}
	if d := Run(t.Context(), &outbound.Network{}, s, nil, nil, now); d.Cause != Unknown || d.NextStep.Format == "" ||
		!strings.Contains(d.Summary.String(), "not a valid URL") {
		t.Errorf("%+v", d)
	}
}
