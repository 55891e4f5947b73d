package diagnose

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/perennial-pki/perennial/internal/egress/outbound"
	"github.com/perennial-pki/perennial/internal/keys/certfile"
	"github.com/perennial-pki/perennial/rollover"
	"github.com/perennial-pki/perennial/tenancy"
)

// Cause names the reason for failing messages.
type Cause string

// The causes that can be distinguished.
const (
	Healthy           Cause = "healthy"
	NewNotKnown       Cause = "new-certificate-not-known"
	OldRemoved        Cause = "old-certificate-removed"
	CANotTrusted      Cause = "ca-not-trusted"
	Expired           Cause = "certificate-expired"
	ClockSkew         Cause = "clock-skew"
	WrongPurpose      Cause = "wrong-purpose"
	MappingLost       Cause = "subject-mapping-lost"
	KeyTypeRefused    Cause = "key-type-refused"
	NoCertificateSeen Cause = "receiver-asks-for-no-certificate"
	NotTheCertificate Cause = "not-the-certificate"
	QuestionUseless   Cause = "question-proves-nothing"
	TLSTooOld         Cause = "tls-too-old"
	RefusalUnclear    Cause = "answer-may-be-a-refusal"
	ReceiverDown      Cause = "receiver-down"
	ServerNotTrusted  Cause = "receiver-not-trusted"
	AddressForbidden  Cause = "address-not-allowed"
	Unknown           Cause = "unknown"
)

// An Action is a next step that a program can offer.
type Action string

// The actions. Other next steps are for people alone.
const (
	Renew             Action = "renew"
	SendLink          Action = "send-link"
	Choose            Action = "choose"
	SetProbe          Action = "set-probe"
	ChangeArrangement Action = "change-arrangement"
)

// causes are the rules, in order: first general problems, then those that TLS shows, then differences between
// generations. The first one that matches names the cause.
var causes = []func(findings) (Diagnosis, bool){
	nothingToPresent,
	addressForbidden,
	receiverUntrusted,
	nameUnresolved,
	receiverDown,
	receiversClockOff,
	newestExpired,
	calledExpired,
	wrongPurpose,
	tlsTooOld,
	keyTypeUnsupported,
	authorityUntrusted,
	answerUnclear,
	senderDenied,
	applicationUnasked,
	senderFails,
	healthy,
	questionUseless,
	mappingLost,
	keyTypeChanged,
	newUnknown,
	oldRemoved,
	noCertificateAsked,
	revokedKnown,
	everyoneDenied,
	allUnknown,
}

// skew is the smallest difference between the receiver's clock and ours that can be a cause.
const skew = 5 * time.Minute

func nothingToPresent(f findings) (Diagnosis, bool) {
	return Diagnosis{
		Cause:    Expired,
		Summary:  tenancy.Say("the tenant has no certificate that can be presented"),
		NextStep: tenancy.Say("renew the certificate"), Action: Renew, Command: f.renewal(),
	}, len(f.all) == 0
}

func addressForbidden(f findings) (Diagnosis, bool) {
	return Diagnosis{
		Cause:    AddressForbidden,
		Summary:  tenancy.Say("the host of the endpoint is, or resolves to, an address that is not allowed"),
		NextStep: tenancy.Say("ask an operator to allow the range with --allow-target, or correct the endpoint"),
		Action:   ChangeArrangement,
	}, f.newest().Reason == outbound.ForbiddenAddress
}

func receiverUntrusted(f findings) (Diagnosis, bool) {
	return Diagnosis{
		Cause:   ServerNotTrusted,
		Summary: tenancy.Say("we do not trust the receiver's own certificate: %s", f.newest().Text()),
		NextStep: tenancy.Say("check that the endpoint is the right host; then give the arrangement the CA or the key of " +
			"the receiver's certificate"),
		Action: ChangeArrangement, Command: f.change("--server-ca FILE"),
	}, f.newest().Reason == outbound.ReceiverUntrusted
}

func nameUnresolved(f findings) (Diagnosis, bool) {
	return Diagnosis{
		Cause:    ReceiverDown,
		Summary:  tenancy.Say("the receiver's name cannot be resolved: %s", f.newest().Text()),
		NextStep: tenancy.Say("check the endpoint's host name; then ask the receiver's administrator"),
		Action:   ChangeArrangement,
	}, f.newest().Reason == outbound.NameUnresolved
}

func receiverDown(f findings) (Diagnosis, bool) {
	return Diagnosis{
		Cause:   ReceiverDown,
		Summary: tenancy.Say("the receiver does not answer: %s", f.newest().Text()),
		NextStep: tenancy.Say("ask the receiver's administrator whether the system runs and its firewall lets us through; " +
			"the certificate is not the cause"),
	}, f.newest().Reason == outbound.Unreachable
}

// receiversClockOff fits if our certificate is not valid by the clock that the receiver's answers show.
func receiversClockOff(f findings) (Diagnosis, bool) {
	if f.acceptsNewest() {
		return Diagnosis{}, false
	}
	c := f.certificate(f.newest().Generation)
	for _, r := range append(slices.Clone(f.all), f.none) {
		off := r.ServerDate.Sub(f.now)
		if r.ServerDate.IsZero() || off.Abs() <= skew ||
			!r.ServerDate.Before(c.NotBefore) && !r.ServerDate.After(c.NotAfter) {
			continue
		}
		return Diagnosis{
			Cause: ClockSkew,
			Summary: tenancy.Say("the receiver's clock is off by %s: according to it, our certificate (%s) is not valid",
				off.Abs().Round(time.Minute), validity(c)),
			NextStep: tenancy.Say("ask the receiver's administrator to set the clock (NTP)"),
		}, true
	}
	return Diagnosis{}, false
}

func newestExpired(f findings) (Diagnosis, bool) {
	c := f.certificate(f.newest().Generation)
	return Diagnosis{
		Cause:    Expired,
		Summary:  tenancy.Say("the newest certificate expired on %s", moment(c.NotAfter)),
		NextStep: tenancy.Say("renew the certificate"), Action: Renew, Command: f.renewal(),
	}, !f.now.Before(c.NotAfter)
}

func calledExpired(f findings) (Diagnosis, bool) {
	return Diagnosis{
		Cause: ClockSkew,
		Summary: tenancy.Say("the receiver reports that our certificate is expired or not yet valid; it is valid %s",
			validity(f.certificate(f.newest().Generation))),
		NextStep: tenancy.Say("ask the receiver's administrator to check its clock (NTP)"),
	}, f.newest().Alert == outbound.CertificateExpired
}

func wrongPurpose(f findings) (Diagnosis, bool) {
	return Diagnosis{
		Cause: WrongPurpose,
		Summary: tenancy.Say("the receiver does not accept the certificate for this purpose: it is for TLS client " +
			"authentication (extended key usage 1.3.6.1.5.5.7.3.2)"),
		NextStep: tenancy.Say("ask the receiver's administrator to accept certificates for client authentication, not for " +
			"servers"),
	}, f.newest().Alert == outbound.UnsupportedCertificate
}

// tlsTooOld fits if TLS fails in the same way without a certificate: then the certificate cannot be the cause.
func tlsTooOld(f findings) (Diagnosis, bool) {
	r := f.newest()
	isTLS := r.Alert == outbound.HandshakeFailure || r.Alert == outbound.ProtocolVersion ||
		r.Alert == outbound.InsufficientSecurity || r.Reason == outbound.TLSUnsupported
	return Diagnosis{
		Cause: TLSTooOld,
		Summary: tenancy.Say("the receiver's TLS is too old: %s, with and without a certificate. It may offer only RSA key "+
			"exchange, SHA-1 or versions before TLS 1.2", r.Text()),
		NextStep: tenancy.Say("ask the receiver's administrator to enable TLS 1.2 with ECDHE and SHA-256. Until then, an " +
			"operator can start the gateway with GODEBUG=tlsrsakex=1,tlssha1=1, which weakens every connection. A new " +
			"certificate or another key type does not help"),
	}, isTLS && !f.accepts() && f.none.Alert == r.Alert && f.none.Reason == r.Reason
}

func keyTypeUnsupported(f findings) (Diagnosis, bool) {
	r := f.newest()
	return Diagnosis{
		Cause:   KeyTypeRefused,
		Summary: tenancy.Say("the receiver does not accept keys of the type %s", f.certificate(r.Generation).KeyType),
		NextStep: tenancy.Say("change the tenant's key type to one that it accepts (rsa2048 is accepted nearly " +
			"everywhere), and renew the certificate with the reason reissue"),
		Action: Renew, Command: f.renewal() + " --reason reissue",
	}, r.Alert == outbound.HandshakeFailure || r.Reason == outbound.SignatureUnsupported
}

func authorityUntrusted(f findings) (Diagnosis, bool) {
	r := f.newest()
	issuer := issuerOf(f.certificate(r.Generation))
	untrusted := r.Alert == outbound.UnknownCA || r.Reason == outbound.CertificateError && !f.accepts() ||
		f.namesOthers(issuer)
	return Diagnosis{
		Cause:    CANotTrusted,
		Summary:  tenancy.Say("the receiver does not trust the CA of our certificate (%s)", issuer),
		NextStep: tenancy.Say("ask the receiver's administrator to add our CA: download it at /pki/ca.pem of the service"),
	}, f.refusesNewest() && untrusted
}

// answerUnclear fits if messages got an answer that may be a refusal, and only TLS can be tested.
func answerUnclear(f findings) (Diagnosis, bool) {
	for _, e := range f.standing.Evidence {
		if e.Verdict != rollover.Unclear || e.Source != rollover.Traffic || !f.newest().Handshake {
			continue
		}
		return Diagnosis{
			Cause: RefusalUnclear,
			Summary: tenancy.Say("messages with generation %d get an answer that may be a refusal: %s", e.Generation,
				tenancy.ReadText(e.Detail)),
			NextStep: tenancy.Say("give the arrangement a probe that shows the difference, or add a refusal rule"),
			Action:   SetProbe, Command: f.change(`--probe "GET /path"`),
		}, true
	}
	return Diagnosis{}, false
}

// senderDenied fits if the receiver accepts every certificate but denied a message.
func senderDenied(f findings) (Diagnosis, bool) {
	m, denied := f.lastDenied()
	return Diagnosis{
		Cause: NotTheCertificate,
		Summary: tenancy.Say("every generation is accepted, and a message was answered %d: the sender's permissions are the "+
			"cause", m.Status),
		NextStep: tenancy.Say("ask the receiver's administrator to check the authorisation of this sender for %s", m.Path),
	}, denied && f.acceptsAll() && !f.first().Handshake
}

// applicationUnasked fits if a message was denied and only TLS was tested.
func applicationUnasked(f findings) (Diagnosis, bool) {
	_, denied := f.lastDenied()
	return Diagnosis{
		Cause: Unknown,
		Summary: tenancy.Say("TLS accepts every generation; without a probe, it cannot be tested whether the receiver's " +
			"application accepts them"),
		NextStep: giveProbe, Action: SetProbe, Command: f.change(`--probe "GET /path"`),
	}, denied && f.acceptsAll()
}

// senderFails fits if the receiver accepts every certificate but the latest message failed.
func senderFails(f findings) (Diagnosis, bool) {
	m, fails := f.failing()
	d := Diagnosis{
		Cause: NotTheCertificate,
		Summary: tenancy.Say("every generation is accepted, and the latest message (%s %s) was answered %d: the certificate "+
			"is not the cause", m.Method, m.Path, m.Status),
		NextStep: tenancy.Say("check the message and its answer, or ask the receiver's administrator for its log of %s",
			moment(m.At)),
	}
	if f.first().Handshake {
		m, fails = f.lastFailure()
		fails = fails && f.now.Sub(m.At) < time.Hour
		d.Cause = Unknown
		d.Summary = tenancy.Say("TLS accepts every generation, and a message (%s %s) was answered %d. Without a probe, it "+
			"cannot be tested whether the receiver's application accepts them", m.Method, m.Path, m.Status)
		d.NextStep, d.Action, d.Command = giveProbe, SetProbe, f.change(`--probe "GET /path"`)
	}
	return d, fails && f.acceptsAll()
}

// questionUseless fits if the probe gets the same answer with every generation and without a certificate, and no rule
// calls it a refusal.
func questionUseless(f findings) (Diagnosis, bool) {
	differs := func(r outbound.Result) bool { return !sameAnswer(r, f.none) || r.Meaning != outbound.Answered }
	d := Diagnosis{
		Cause: QuestionUseless,
		Summary: tenancy.Say("the receiver answers %s to the probe %s %s with every generation and without a certificate, "+
			"which proves nothing", f.none.Text(), f.standing.Arrangement.Egress.Probe.Method,
			f.standing.Arrangement.Egress.Probe.Path),
		NextStep: tenancy.Say("choose a path that the receiver answers only with a certificate, such as one that messages " +
			"use"),
		Action: SetProbe, Command: f.change(`--probe "GET /path"`),
	}
	if (outbound.Answers{Control: f.none, Results: f.all}).Unasked() {
		d.Cause = NoCertificateSeen
		d.Summary = tenancy.Say("the receiver does not ask for a client certificate in TLS, and answers without one")
		d.NextStep = tenancy.Say("ask the receiver's administrator whether that is intended: if so, the renewal needs no " +
			"action")
		d.Action, d.Command = "", ""
	}
	return d, len(f.all) > 0 && !slices.ContainsFunc(f.all, differs)
}

func healthy(f findings) (Diagnosis, bool) {
	if !f.acceptsAll() {
		return Diagnosis{}, false
	}
	d := Diagnosis{Cause: Healthy, Summary: tenancy.Say("the receiver accepts every generation that can be presented"),
		NextStep: tenancy.Say("nothing")}
	if f.first().Handshake && f.provedByMessages() {
		d.Summary = tenancy.Say("messages show that the receiver accepts every generation that can be presented")
	} else if f.first().Handshake {
		d.Cause = Unknown
		d.Summary = tenancy.Say("the receiver completes the TLS handshake with every generation, which proves nothing " +
			"about its application")
		d.NextStep, d.Action, d.Command = giveProbe, SetProbe, f.change(`--probe "GET /path"`)
	}
	return d, true
}

// provedByMessages reports whether messages have proved that the receiver accepts every generation.
func (f findings) provedByMessages() bool {
	return !slices.ContainsFunc(f.all, func(r outbound.Result) bool {
		g, _ := f.standing.Rollover.Generation(r.Generation)
		return g.Verdict != rollover.Accepted || g.By != rollover.Traffic
	})
}

// refusesNewOnly reports whether the receiver refuses the newest generation and accepts an older one, and returns both.
func (f findings) refusesNewOnly() (old, newest tenancy.Certificate, yes bool) {
	accepted, r := f.accepted(), f.newest()
	if len(accepted) == 0 {
		accepted = f.answered()
	}
	if len(accepted) == 0 || !slices.Contains(f.refused(), r.Generation) {
		return old, newest, false
	}
	return f.certificate(accepted[len(accepted)-1]), f.certificate(r.Generation), true
}

func mappingLost(f findings) (Diagnosis, bool) {
	old, c, yes := f.refusesNewOnly()
	return Diagnosis{
		Cause: MappingLost,
		Summary: tenancy.Say("the subject changed from %s to %s, and the receiver maps the old one to a user", old.Subject,
			c.Subject),
		NextStep: tenancy.Say("ask the receiver's administrator to map the new subject as well"),
	}, yes && old.Subject != c.Subject && f.newest().Status != 0
}

func keyTypeChanged(f findings) (Diagnosis, bool) {
	old, c, yes := f.refusesNewOnly()
	return Diagnosis{
		Cause: KeyTypeRefused,
		Summary: tenancy.Say("the key type changed from %s to %s, and the receiver refuses the new one", old.KeyType,
			c.KeyType),
		NextStep: tenancy.Say("set the tenant's key type back, and renew the certificate with the reason reissue"),
		Action:   Renew, Command: f.renewal() + " --reason reissue",
	}, yes && old.KeyType != c.KeyType && f.newest().Status == 0
}

func newUnknown(f findings) (Diagnosis, bool) {
	old, c, yes := f.refusesNewOnly()
	return Diagnosis{
		Cause: NewNotKnown,
		Summary: tenancy.Say("the receiver accepts generation %d but not yet generation %d (SHA-256 %s)", old.Generation,
			c.Generation, c.Fingerprint),
		NextStep: tenancy.Say("send the receiver's administrator a link with the new certificate; it must be installed "+
			"before %s", moment(old.NotAfter)),
		Action: SendLink, Command: "perennial rollover link " + f.standing.Name(),
	}, yes
}

func oldRemoved(f findings) (Diagnosis, bool) {
	newest := f.newest().Generation
	d := Diagnosis{
		Cause: OldRemoved,
		Summary: tenancy.Say("the receiver has installed generation %d and removed generation %s", newest,
			numbers(f.refused())),
		NextStep: tenancy.Say("choose generation %d", newest),
		Action:   Choose, Command: fmt.Sprintf("perennial rollover choose %s %d", f.standing.Name(), newest),
	}
	if r := f.standing.Rollover; r.Presents == newest || r.Strategy == tenancy.Adaptive {
		d.NextStep, d.Action, d.Command = tenancy.Say("nothing: messages are sent with generation %d", newest), "", ""
	}
	return d, f.acceptsNewest()
}

// revokedKnown fits if the receiver accepted a generation that has been revoked since then, and refuses the others.
func revokedKnown(f findings) (Diagnosis, bool) {
	for _, g := range f.standing.Rollover.Generations {
		if !g.Revoked || g.Verdict != rollover.Accepted || !f.refusesAll() {
			continue
		}
		return Diagnosis{
			Cause: NewNotKnown,
			Summary: tenancy.Say("the receiver accepted generation %d, which is revoked, and does not accept generation %s",
				g.Number, numbers(f.refused())),
			NextStep: tenancy.Say("send the receiver's administrator a link with the new certificate, and ask for the revoked " +
				"one to be removed"),
			Action: SendLink, Command: "perennial rollover link " + f.standing.Name(),
		}, true
	}
	return Diagnosis{}, false
}

func noCertificateAsked(f findings) (Diagnosis, bool) {
	return Diagnosis{
		Cause: NoCertificateSeen,
		Summary: tenancy.Say("the receiver does not ask for a client certificate in TLS, so it cannot identify the sender: " +
			"a proxy in front of it may terminate TLS"),
		NextStep: tenancy.Say("ask the receiver's administrator to enable client certificates at this address"),
	}, f.refusesAll() && !f.asksForCertificates()
}

// everyoneDenied fits if several generations get the same refusal.
func everyoneDenied(f findings) (Diagnosis, bool) {
	differs := func(r outbound.Result) bool { return !sameAnswer(r, f.first()) || r.Meaning != outbound.Refused }
	return Diagnosis{
		Cause: NotTheCertificate,
		Summary: tenancy.Say("the receiver answers %s to every generation: this is not a renewal problem",
			f.first().Text()),
		NextStep: tenancy.Say("ask the receiver's administrator to check the authorisation of this sender, and the " +
			"receiver's other checks"),
	}, f.refusesAll() && len(f.all) > 1 && !slices.ContainsFunc(f.all, differs)
}

// allUnknown fits if our certificate gets the answer that no certificate gets.
func allUnknown(f findings) (Diagnosis, bool) {
	return Diagnosis{
		Cause: NewNotKnown,
		Summary: tenancy.Say("the receiver does not know generation %s; it answers the same (%s) without a certificate",
			numbers(f.refused()), f.first().Text()),
		NextStep: tenancy.Say("send the receiver's administrator a link with the certificate"),
		Action:   SendLink, Command: "perennial rollover link " + f.standing.Name(),
	}, f.refusesAll() && sameAnswer(f.first(), f.none)
}

// issuerOf returns the name of a certificate's issuer, or its ID if the certificate cannot be read.
func issuerOf(c tenancy.Certificate) string {
	parsed, err := certfile.ParseCertificate(c.DER)
	if err != nil {
		return c.IssuerID
	}
	return certfile.Name(parsed.RawIssuer)
}

// numbers lists generations.
func numbers(all []int) string {
	parts := make([]string, len(all))
	for i, n := range all {
		parts[i] = fmt.Sprint(n)
	}
	return strings.Join(parts, ", ")
}

func validity(c tenancy.Certificate) tenancy.Text {
	return tenancy.Say("from %s until %s", moment(c.NotBefore), moment(c.NotAfter))
}

// renewal is the command that renews the certificate of the tenant.
func (f findings) renewal() string { return "perennial certificate renew " + f.standing.Tenant.Name }

// change is the command that changes the arrangement.
func (f findings) change(flags string) string {
	return "perennial arrangement change " + f.standing.Tenant.Name + " " + f.standing.Arrangement.Name + " " + flags
}

var giveProbe = tenancy.Say("give the arrangement a probe, and diagnose again")

func moment(t time.Time) string { return t.UTC().Format("2006-01-02 15:04 MST") }
