// Package diagnose names the cause of failing messages of one arrangement, with the evidence and the next step.
//
// It promises to ask the receiver itself, with every generation that is within reach and with none, over fresh
// connections that change nothing there, and to name a cause only where the answers show it. What the answers cannot
// tell apart is named as such.
package diagnose

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/perennial-pki/perennial/internal/egress/outbound"
	"github.com/perennial-pki/perennial/internal/engine/standing"
	"github.com/perennial-pki/perennial/tenancy"
)

// Cause is why messages fail.
type Cause string

// The causes that can be told apart.
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
	ReceiverDown      Cause = "receiver-down"
	ServerNotTrusted  Cause = "receiver-not-trusted"
	AddressForbidden  Cause = "address-not-allowed"
	Unknown           Cause = "unknown"
)

// A Diagnosis is what was found.
type Diagnosis struct {
	Cause    Cause
	Summary  string
	Evidence []string
	NextStep string
	Results  []outbound.Result // the questions that were asked
}

// skew is how far the receiver's clock may be from ours before it is named.
const skew = 5 * time.Minute

// Run asks the receiver, and says why messages fail. recent are the latest entries of the message log.
func Run(ctx context.Context, n *outbound.Network, s standing.Standing, identities []standing.Identity,
	recent []tenancy.Message, now time.Time) Diagnosis {
	endpoint, err := url.Parse(s.Arrangement.Endpoint)
	if err != nil {
		return Diagnosis{Cause: Unknown, Summary: "the endpoint is no URL", NextStep: "correct the arrangement's endpoint"}
	}
	f := findings{standing: s, now: now, byGeneration: map[int]outbound.Result{}}
	for _, id := range identities {
		r := outbound.Ask(ctx, n, endpoint, s.Arrangement.Egress, &id)
		f.byGeneration[id.Generation] = r
		f.all = append(f.all, r)
	}
	f.none = outbound.Ask(ctx, n, endpoint, s.Arrangement.Egress, nil)
	f.recent = recent
	d := f.conclude()
	d.Results = append(f.all, f.none)
	return d
}

// findings are the answers.
type findings struct {
	standing     standing.Standing
	now          time.Time
	byGeneration map[int]outbound.Result
	all          []outbound.Result // by generation, the oldest first
	none         outbound.Result
	recent       []tenancy.Message
}

// conclude names the cause: what is wrong with everything first, then what sets one generation apart from another.
func (f findings) conclude() Diagnosis {
	if len(f.all) == 0 {
		return Diagnosis{Cause: Expired, Summary: "the tenant has no certificate that can be presented",
			NextStep: "renew it: perennial certificate renew " + f.standing.Tenant.Name}
	}
	var d Diagnosis
	newest := f.all[len(f.all)-1]
	c, _ := f.standing.Certificate(newest.Generation)
	switch {
	case f.unreachable(&d), f.expired(&d), f.alert(&d, newest, c), f.set(&d):
	default:
		d.Cause, d.Summary, d.NextStep = Unknown, "the answers do not show the cause",
			"look at the evidence, and ask the receiver's administrator for its log of "+
				f.now.UTC().Format("2006-01-02 15:04 MST")
	}
	for _, r := range f.all {
		d.Evidence = append(d.Evidence, fmt.Sprintf("with generation %d: %s", r.Generation, answer(r)))
	}
	d.Evidence = append(d.Evidence, "without a certificate: "+answer(f.none))
	if names := f.acceptable(); len(names) > 0 {
		d.Evidence = append(d.Evidence, "the receiver names these CAs: "+strings.Join(names, "; "))
	}
	for _, m := range f.recent {
		if m.Status >= 400 || m.Status == 0 {
			d.Evidence = append(d.Evidence, fmt.Sprintf("the latest message that failed: %s %s at %s, %d with generation %d%s",
				m.Method, m.Path, m.At.UTC().Format("2006-01-02 15:04:05 MST"), m.Status, m.Generation, after(m.Outcome)))
			break
		}
	}
	return d
}

func after(outcome string) string {
	if outcome == "" {
		return ""
	}
	return ": " + outcome
}

func answer(r outbound.Result) string {
	how := "the probe"
	if r.Handshake {
		how = "the handshake"
	}
	switch r.Meaning {
	case outbound.Accepted:
		return how + " was accepted (" + r.Detail + ")"
	case outbound.Refused:
		return how + " was refused (" + r.Detail + ")"
	case outbound.Suspicious:
		return "the receiver closed the connection without a word"
	}
	return r.Detail
}

func (f findings) acceptable() (names []string) {
	for _, r := range append(slices.Clone(f.all), f.none) {
		for _, n := range r.AcceptableCAs {
			if !slices.Contains(names, n) {
				names = append(names, n)
			}
		}
	}
	return names
}

// unreachable: nobody could ask.
func (f findings) unreachable(d *Diagnosis) bool {
	err := f.all[len(f.all)-1].Err
	var op *net.OpError
	var dns *net.DNSError
	var unknown x509.UnknownAuthorityError
	var invalid x509.CertificateInvalidError
	var host x509.HostnameError
	switch {
	case err == nil:
		return false
	case errors.Is(err, outbound.ErrForbiddenAddress):
		d.Cause, d.Summary, d.NextStep = AddressForbidden, err.Error(), "let an operator allow the range with "+
			"--allow-target, or correct the endpoint"
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired, errors.As(err, &unknown), errors.As(err, &invalid),
		errors.As(err, &host), strings.Contains(err.Error(), "is pinned"):
		d.Cause, d.Summary = ServerNotTrusted, "we do not trust the receiver's own certificate: "+err.Error()
		d.NextStep = "check that the endpoint is the right host; then give its CA with --server-ca, or its key with " +
			"--server-key-pin"
	case errors.As(err, &dns):
		d.Cause, d.Summary, d.NextStep = ReceiverDown, "the receiver's name cannot be resolved: "+err.Error(),
			"check the endpoint's host name; then ask the receiver's administrator"
	case errors.As(err, &op) && op.Op == "dial", errors.Is(err, context.DeadlineExceeded):
		d.Cause, d.Summary, d.NextStep = ReceiverDown, "the receiver does not answer: "+err.Error(),
			"ask the receiver's administrator whether the system runs and lets us through its firewall; the certificate is "+
				"not the reason"
	default:
		return false
	}
	return true
}

// expired: what is presented is not valid, here or by the receiver's clock.
func (f findings) expired(d *Diagnosis) bool {
	newest := f.all[len(f.all)-1]
	c, _ := f.standing.Certificate(newest.Generation)
	for _, r := range append(slices.Clone(f.all), f.none) {
		if r.ServerDate.IsZero() || newest.Meaning == outbound.Accepted {
			continue
		}
		if off := r.ServerDate.Sub(f.now); off.Abs() > skew &&
			(r.ServerDate.Before(c.NotBefore) || r.ServerDate.After(c.NotAfter)) {
			d.Cause, d.Summary = ClockSkew, fmt.Sprintf("the receiver's clock is off by %s: by it, our certificate (%s) is "+
				"not valid", off.Abs().Round(time.Minute), validity(c))
			d.NextStep = "let the receiver's administrator set the clock (NTP)"
			return true
		}
	}
	if !f.now.Before(c.NotAfter) {
		d.Cause, d.Summary, d.NextStep = Expired, fmt.Sprintf("the newest certificate expired on %s", moment(c.NotAfter)),
			"renew it: perennial certificate renew "+f.standing.Tenant.Name
		return true
	}
	return false
}

// alert: TLS says why.
func (f findings) alert(d *Diagnosis, newest outbound.Result, c tenancy.Certificate) bool {
	if newest.Meaning != outbound.Refused && newest.Err == nil {
		return false
	}
	has := func(words ...string) bool {
		return slices.ContainsFunc(words, func(w string) bool { return strings.Contains(newest.Detail, w) })
	}
	issuer := issuerOf(c)
	switch {
	case has("expired certificate"):
		d.Cause, d.Summary = ClockSkew, fmt.Sprintf("the receiver says that our certificate is expired or not yet valid; "+
			"it is valid %s", validity(c))
		d.NextStep = "let the receiver's administrator check its clock (NTP)"
	case has("unsupported certificate"):
		d.Cause, d.Summary = WrongPurpose, "the receiver does not take the certificate for this purpose: it is for TLS "+
			"client authentication (extended key usage 1.3.6.1.5.5.7.3.2)"
		d.NextStep = "let the receiver's administrator accept certificates for client authentication, not for servers"
	case has("signature algorithm", "handshake failure"):
		d.Cause, d.Summary = KeyTypeRefused, fmt.Sprintf("the receiver does not take keys of the type %s", c.KeyType)
		d.NextStep = "change the tenant's key type to one that it takes (rsa2048 is taken nearly everywhere), and renew " +
			"with --reason reissue"
	case has("unknown certificate authority"), has("The SSL certificate error") && !f.oneIsAccepted(),
		f.namesOthers(issuer):
		if f.oneIsAccepted() && !f.namesOthers(issuer) && !has("authority") {
			return false
		}
		d.Cause, d.Summary = CANotTrusted, fmt.Sprintf("the receiver does not trust the CA of our certificate (%s)", issuer)
		d.NextStep = "let the receiver's administrator add our CA: " + "download it at /pki/ca.pem of the service"
	default:
		return false
	}
	return true
}

func issuerOf(c tenancy.Certificate) string {
	parsed, err := x509.ParseCertificate(c.DER)
	if err != nil {
		return c.IssuerID
	}
	return parsed.Issuer.String()
}

// namesOthers says whether the receiver names CAs, and neither our issuer nor one of its organisation is among them.
func (f findings) namesOthers(issuer string) bool {
	names := f.acceptable()
	_, organization, _ := strings.Cut(issuer, ",")
	return len(names) > 0 && !slices.ContainsFunc(names, func(n string) bool {
		return n == issuer || organization != "" && strings.HasSuffix(n, organization)
	})
}

func (f findings) oneIsAccepted() bool {
	return slices.ContainsFunc(f.all, func(r outbound.Result) bool { return r.Meaning == outbound.Accepted })
}

// set compares the generations, and the answer that nobody's certificate gets.
func (f findings) set(d *Diagnosis) bool {
	name := f.standing.Name()
	newest := f.all[len(f.all)-1]
	var accepted, refused []int
	for _, r := range f.all {
		switch r.Meaning {
		case outbound.Accepted:
			accepted = append(accepted, r.Generation)
		case outbound.Refused, outbound.Suspicious:
			refused = append(refused, r.Generation)
		}
	}
	switch {
	case len(refused) == 0 && len(accepted) == len(f.all):
		return f.healthy(d)
	case len(accepted) > 0 && slices.Contains(refused, newest.Generation):
		return f.newRefused(d, accepted[len(accepted)-1], newest)
	case len(accepted) > 0 && slices.Contains(accepted, newest.Generation):
		d.Cause, d.Summary = OldRemoved, fmt.Sprintf("the receiver has taken generation %d and removed generation %s",
			newest.Generation, numbers(refused))
		d.NextStep = fmt.Sprintf("nothing with the strategy adaptive, which presents the new one by itself; else: "+
			"perennial rollover choose %s %d", name, newest.Generation)
	case len(refused) == len(f.all) && !asked(f.all):
		d.Cause, d.Summary = NoCertificateSeen, "the receiver does not ask for a client certificate in TLS, and so cannot "+
			"know who calls: a proxy in front of it may end TLS"
		d.NextStep = "let the receiver's administrator switch on client certificates at this address"
	case len(refused) == len(f.all):
		return f.everyRefused(d)
	default:
		return false
	}
	return true
}

func (f findings) healthy(d *Diagnosis) bool {
	handshake := f.all[0].Handshake
	for _, m := range f.recent {
		if m.Status == 401 || m.Status == 403 {
			d.Cause, d.Summary = NotTheCertificate, fmt.Sprintf("every generation is accepted, and a message was answered %d: "+
				"what the sender may do is the reason", m.Status)
			d.NextStep = "let the receiver's administrator look at the authorisation of this sender for " + m.Path
			if handshake {
				d.Cause, d.Summary = Unknown, "TLS accepts every generation; what the receiver's application thinks of them "+
					"cannot be asked without a probe"
				d.NextStep = "give the arrangement a probe (--probe \"GET /path\"), and diagnose again"
			}
			return true
		}
	}
	d.Cause, d.Summary, d.NextStep = Healthy, "the receiver accepts every generation that is within reach", "nothing"
	if handshake {
		d.Summary += ", as far as a TLS handshake shows"
		d.NextStep = "give the arrangement a probe (--probe \"GET /path\") to ask the application as well"
	}
	return true
}

func (f findings) newRefused(d *Diagnosis, works int, newest outbound.Result) bool {
	before, _ := f.standing.Certificate(works)
	c, _ := f.standing.Certificate(newest.Generation)
	switch {
	case before.Subject != c.Subject && newest.Status != 0:
		d.Cause, d.Summary = MappingLost, fmt.Sprintf("the subject changed from %s to %s, and the receiver maps the old "+
			"one to a user", before.Subject, c.Subject)
		d.NextStep = "let the receiver's administrator map the new subject as well"
	case before.KeyType != c.KeyType && newest.Status == 0:
		d.Cause, d.Summary = KeyTypeRefused, fmt.Sprintf("the key type changed from %s to %s, and the receiver refuses the "+
			"new one", before.KeyType, c.KeyType)
		d.NextStep = "set the tenant's key type back, and renew with --reason reissue"
	default:
		d.Cause, d.Summary = NewNotKnown, fmt.Sprintf("the receiver knows generation %d, and not yet generation %d "+
			"(SHA-256 %s)", works, newest.Generation, c.Fingerprint)
		d.NextStep = fmt.Sprintf("send the receiver's administrator a link with the new certificate: perennial rollover "+
			"link %s; it has to be installed before %s", f.standing.Name(), moment(before.NotAfter))
	}
	return true
}

func (f findings) everyRefused(d *Diagnosis) bool {
	first := f.all[0]
	same := !slices.ContainsFunc(f.all, func(r outbound.Result) bool {
		return r.Detail != first.Detail || r.Meaning != outbound.Refused || r.Status == 0
	})
	if len(f.all) > 1 && same {
		d.Cause, d.Summary = NotTheCertificate, fmt.Sprintf("the receiver answers %s to every generation: this is not a "+
			"renewal problem", first.Detail)
		d.NextStep = "let the receiver's administrator look at the authorisation of this sender, or at what else it checks"
		return true
	}
	if first.Status != 0 && f.none.Detail == first.Detail {
		d.Cause, d.Summary = NewNotKnown, fmt.Sprintf("the receiver does not know generation %s; it answers the same (%s) "+
			"without a certificate", numbers(generations(f.all)), first.Detail)
		d.NextStep = "send the receiver's administrator a link with the certificate: perennial rollover link " +
			f.standing.Name()
		return true
	}
	return false
}

func asked(all []outbound.Result) bool {
	return slices.ContainsFunc(all, func(r outbound.Result) bool { return r.Asked })
}

func generations(all []outbound.Result) (n []int) {
	for _, r := range all {
		n = append(n, r.Generation)
	}
	return n
}

func numbers(all []int) string {
	parts := make([]string, len(all))
	for i, n := range all {
		parts[i] = fmt.Sprint(n)
	}
	return strings.Join(parts, " and ")
}

func validity(c tenancy.Certificate) string {
	return "from " + moment(c.NotBefore) + " until " + moment(c.NotAfter)
}

func moment(t time.Time) string { return t.UTC().Format("2006-01-02 15:04 MST") }
