package watching

import (
	"crypto/x509"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/perennial-pki/perennial/acceptance"
	"github.com/perennial-pki/perennial/internal/keys/certfile"
	"github.com/perennial-pki/perennial/policy"
	"github.com/perennial-pki/perennial/tenancy"
)

// defaultWindow is the time before the expiry in which an owner renews whose rules are not known: the longest time at
// which the published policies act.
var defaultWindow = policy.Days(93)

// longestHorizon limits the runs that are computed for an expectation, because key users choose the policies. With a
// longer horizon, only the window is expected.
const longestHorizon = 800 * policy.Day

// check returns an [tenancy.ErrInvalid] if what is to be watched is not valid.
func check(v tenancy.Watched) error {
	if err := v.Check(); err != nil {
		return err
	}
	if v.Policy != "" && v.Window != "" {
		return tenancy.Invalid("window", "use either a policy or a window")
	}
	if v.Window != "" {
		span, err := policy.ParseSpan(v.Window)
		if err != nil {
			return tenancy.Invalid("window", "%v", err)
		}
		if span.Share == 0 && span.Fixed <= 0 {
			return tenancy.Invalid("window", "%s is not a positive duration: use one such as 93d", v.Window)
		}
	}
	if _, err := PolicyOf(v); err != nil {
		return tenancy.Invalid("policy", "%v", err)
	}
	return nil
}

// PolicyOf returns the policy of the owner of a watched certificate. Its name is empty if only a window is known.
func PolicyOf(v tenancy.Watched) (p policy.Policy, err error) {
	if v.Policy == "" {
		return p, nil
	}
	return policy.Read(strings.NewReader(v.Policy))
}

// Expect returns when the owner of a watched certificate is expected to renew it.
func Expect(v tenancy.Watched, c tenancy.WatchedCertificate) (policy.Expectation, error) {
	validity := policy.Validity{NotBefore: c.NotBefore, NotAfter: c.NotAfter}
	p, err := PolicyOf(v)
	if err != nil {
		return policy.Expectation{}, err
	}
	switch {
	case v.Policy == "":
	case p.Horizon(validity.Lifetime()) > longestHorizon:
		return policy.ExpectWithin(p.RenewWithin, validity), nil
	default:
		return p.Expect(validity), nil
	}
	window := defaultWindow
	if v.Window != "" {
		if window, err = policy.ParseSpan(v.Window); err != nil {
			return policy.Expectation{}, err
		}
	}
	return policy.ExpectWithin(window, validity), nil
}

// notices are the notices for the stages of an awaited renewal, and their order.
var notices = map[policy.Stage]tenancy.WatchNotice{
	policy.StageSoon: tenancy.WatchWarned, policy.StageDue: tenancy.WatchWarned,
	policy.StageOverdue: tenancy.WatchOverdue, policy.StageExpired: tenancy.WatchExpired,
}

var order = []tenancy.WatchNotice{"", tenancy.WatchWarned, tenancy.WatchOverdue, tenancy.WatchExpired}

// owed returns the notice that a stage needs; empty if key users had it, or a later one.
func owed(stage policy.Stage, had tenancy.WatchNotice) tenancy.WatchNotice {
	needed := notices[stage]
	if slices.Index(order, needed) > slices.Index(order, had) {
		return needed
	}
	return ""
}

// The times between two looks at a source. A look is a few kilobytes, so one an hour is acceptable while a renewal is
// awaited. A look that failed is repeated at the next tick of the jobs.
const (
	lookEvery   = 23 * time.Hour // so that hourly ticks look once a day
	awaitEvery  = time.Hour
	retryEvery  = time.Hour
	lookLeeway  = 10 * time.Minute // a tick may come a little early
	unseenAfter = 3 * policy.Day
	afterExpiry = 14 * policy.Day // a renewal that is late mostly comes soon after the expiry
)

// nextLook returns the time of the next look at the source of a watched certificate; zero without a source. expiry is
// that of its newest certificate.
func nextLook(v tenancy.Watched, stage policy.Stage, expiry time.Time) time.Time {
	every := lookEvery
	switch {
	case v.Source.Kind == "":
		return time.Time{}
	case v.LookedAt.IsZero():
		return v.CreatedAt
	case !v.FailingSince.IsZero():
		every = retryEvery
	case stage == policy.StageDue, stage == policy.StageOverdue,
		stage == policy.StageExpired && v.LookedAt.Before(expiry.Add(afterExpiry)):
		every = awaitEvery
	}
	return v.LookedAt.Add(every - lookLeeway)
}

// Looks reports whether the source of a watched certificate is due for a look at now.
func Looks(v tenancy.Watched, newest tenancy.WatchedCertificate, now time.Time) bool {
	e, err := Expect(v, newest)
	if err != nil {
		return false
	}
	at := nextLook(v, e.Stage(now), newest.NotAfter)
	return !at.IsZero() && !now.Before(at)
}

// surprises are the differences that make a certificate unexpected.
var surprises = map[certfile.Difference]tenancy.WatchSurprise{
	certfile.IssuerDiffers: tenancy.SurpriseIssuer, certfile.SubjectDiffers: tenancy.SurpriseSubject,
	certfile.SANDiffers: tenancy.SurpriseSAN, certfile.UsageDiffers: tenancy.SurpriseUsage,
}

// ahead is the time by which the clock of an issuer may be ahead, and by which it may issue in advance.
const ahead = policy.Day

// judge states why a new certificate is not the expected successor of another one. A subject that is written in another
// way does not count, and neither does the new key of a self-signed certificate.
func judge(e policy.Expectation, before, after tenancy.WatchedCertificate, now time.Time) (
	all []tenancy.WatchSurprise, err error) {
	old, err1 := known(before.DER)
	next, err2 := known(after.DER)
	differences, err3 := certfile.Differences(before.DER, after.DER)
	forged, err4 := forged(before, after)
	if err := errors.Join(err1, err2, err3, err4); err != nil {
		return nil, err
	}
	if forged && !slices.Contains(differences, certfile.IssuerDiffers) {
		differences = append(differences, certfile.IssuerDiffers)
	}
	switch {
	case !after.NotBefore.After(before.NotBefore):
		all = append(all, tenancy.SurpriseOlder)
	case !e.Covers(after.NotBefore):
		all = append(all, tenancy.SurpriseEarly)
	}
	if after.NotBefore.After(now.Add(ahead)) {
		all = append(all, tenancy.SurpriseFuture)
	}
	if after.NotAfter.Before(now) {
		all = append(all, tenancy.SurpriseExpired)
	}
	for _, d := range differences {
		switch {
		case d == certfile.SubjectDiffers && old.SameSubject(next):
		case d == certfile.IssuerDiffers && old.IsSelfIssued() && next.IsSelfIssued():
		default:
			all = append(all, surprises[d])
		}
	}
	return all, nil
}

// forged reports whether a certificate names the CA of the one before, but the CA did not sign it. Without the
// certificate of the CA, that is not known.
func forged(before, after tenancy.WatchedCertificate) (bool, error) {
	chain, err := chainOf(before)
	if err != nil {
		return false, err
	}
	parsed := make([]*x509.Certificate, len(chain))
	for i, der := range chain {
		if parsed[i], err = certfile.ParseCertificate(der); err != nil {
			return false, err
		}
	}
	next, err := certfile.ParseCertificate(after.DER)
	if err != nil {
		return false, err
	}
	for _, ca := range parsed[1:] {
		if signed(ca, parsed[0]) {
			return !signed(ca, next), nil
		}
	}
	return false, nil
}

// signed reports whether a CA has signed a certificate.
func signed(ca, c *x509.Certificate) bool {
	return certfile.IsIssuer(ca, c) && ca.CheckSignature(c.SignatureAlgorithm, c.RawTBSCertificate, c.Signature) == nil
}

// known returns what decides whose a certificate (DER) is.
func known(der []byte) (k acceptance.Known, err error) {
	c, err := certfile.ParseCertificate(der)
	if err != nil {
		return k, err
	}
	return acceptance.NewKnown(c), nil
}

// samePartner reports whether two certificates (DER) name the same partner or server.
func samePartner(before, after []byte) (bool, error) {
	a, err1 := known(before)
	b, err2 := known(after)
	if err := errors.Join(err1, err2); err != nil {
		return false, err
	}
	return a.SamePartner(b), nil
}

// Choose returns the chain of the certificate among others that a watched one is compared with: of the same partner,
// issued last. Without one, it is the only certificate. If all are CAs, it is the only one that has issued none of the
// others. present is the watched certificate (DER); nil if there is none yet. The error counts what was found.
func Choose(found []*x509.Certificate, present []byte) (chain [][]byte, err error) {
	var leaves, authorities []*x509.Certificate
	var chosen *x509.Certificate
	for _, c := range found {
		same := false
		if present != nil {
			if same, err = samePartner(present, c.Raw); err != nil {
				return nil, err
			}
		}
		switch {
		case same && (chosen == nil || c.NotBefore.After(chosen.NotBefore)):
			chosen = c
		case c.IsCA:
			authorities = append(authorities, c)
		default:
			leaves = append(leaves, c)
		}
	}
	if len(leaves) == 0 {
		leaves = slices.DeleteFunc(slices.Clone(authorities), func(ca *x509.Certificate) bool {
			return certfile.IssuesAnother(ca, authorities)
		})
	}
	switch {
	case chosen != nil:
	case len(leaves) == 1:
		chosen = leaves[0]
	case len(leaves) == 0:
		return nil, tenancy.Invalid("certificate", "there is no certificate")
	case present == nil:
		return nil, tenancy.Invalid("certificate", "there are %d certificates: give one, with the CAs above it",
			len(leaves))
	default:
		return nil, tenancy.Invalid("certificate", "none of %d certificates has the subject or the alternative names of "+
			"the watched one", len(leaves))
	}
	return chainAbove(chosen, authorities), nil
}

// chainAbove returns a certificate with those CAs that are above it, without a root.
func chainAbove(leaf *x509.Certificate, authorities []*x509.Certificate) (chain [][]byte) {
	chain = append(chain, leaf.Raw)
	for at := leaf; len(chain) <= mostAbove; {
		i := slices.IndexFunc(authorities, func(ca *x509.Certificate) bool {
			return certfile.IsIssuer(ca, at) && string(ca.RawSubject) != string(ca.RawIssuer)
		})
		if i < 0 {
			break
		}
		at = authorities[i]
		chain = append(chain, at.Raw)
	}
	return chain
}
