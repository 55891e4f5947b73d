package notify

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/perennial-pki/perennial/internal/keys/certfile"
	"github.com/perennial-pki/perennial/tenancy"
)

// WatchFacts describe the event of a mail about a watched certificate.
type WatchFacts struct {
	Name  string
	Owner string // may be empty
	// Alarm is the reason of an alarm; empty for a warning, and for an expected renewal.
	Alarm tenancy.WatchAlarm
	// Surprises state why a certificate was not expected, each to follow "it".
	Surprises []string
	// From and RenewsAt are the start of the window, and the owner's run; RenewsAt may be zero. Due is true if the owner
	// may have renewed it already.
	From, RenewsAt time.Time
	Due            bool
	Systems        []SystemAdvice
	Source         string // its address; empty without a source
	Since          time.Time
	LookError      string
	Page           string // the address of its page; empty without an address of the service
}

// OwnerName names the owner inside a sentence.
func (f WatchFacts) OwnerName() string { return cmp.Or(f.Owner, "its owner") }

// SystemAdvice states what a system needs that knows a watched certificate.
type SystemAdvice struct {
	System   string
	Contact  string // the administrator of the receiver of this name; may be empty
	Survival tenancy.Survival
	Advice   string
}

// Advise states what each system needs. changes are those by a certificate that was seen; nil before that, and if they
// are not known.
func Advise(systems []tenancy.WatchedSystem, receivers []tenancy.Receiver, seen bool,
	changes *tenancy.Changes) (all []SystemAdvice) {
	for _, s := range systems {
		a := SystemAdvice{System: s.Name}
		for _, r := range receivers {
			if r.Name == s.Name {
				a.Contact = contact(r)
			}
		}
		known := changes
		if known == nil {
			known = &tenancy.Changes{Key: true} // what changes at least
		}
		a.Survival = known.Survival(s.IdentifiesBy)
		if changes == nil && a.Survival == tenancy.Survives {
			a.Survival = tenancy.Unclear
		}
		a.Advice = systemAdvice(a.Survival, checks(s.IdentifiesBy), seen)
		all = append(all, a)
	}
	return all
}

func systemAdvice(survival tenancy.Survival, checks string, seen bool) string {
	switch {
	case survival == tenancy.Survives:
		return "Nothing to do: it checks " + checks + ", and that stays the same."
	case survival == tenancy.Fails && seen:
		return "It checks " + checks + ", so the new certificate must be installed there now."
	case survival == tenancy.Fails:
		return "It checks " + checks + ", so it will refuse the new certificate until that is installed."
	case checks != "" && seen:
		return "It checks " + checks + ". Whether it needs a change depends on the CAs that it trusts."
	case checks != "":
		return "It checks " + checks + ". It needs no change if the subject, the alternative names and the CA stay the " +
			"same."
	case seen:
		return "It is not known how it checks certificates. If it compares the certificate, its fingerprint or its serial " +
			"number, the new one must be installed there now."
	}
	return "It is not known how it checks certificates. If it compares the certificate, its fingerprint or its serial " +
		"number, it will refuse the new one until that is installed."
}

// surpriseTexts state why a certificate was not expected, to follow "it".
var surpriseTexts = map[tenancy.WatchSurprise]string{
	tenancy.SurpriseEarly:   "was issued earlier than the owner renews",
	tenancy.SurpriseOlder:   "was not issued later than the known one",
	tenancy.SurpriseSubject: "has another subject",
	tenancy.SurpriseSAN:     "has other alternative names",
	tenancy.SurpriseIssuer:  "was issued by another CA",
	tenancy.SurpriseUsage:   "is for other uses (extended key usage)",
	tenancy.SurpriseFuture:  "is not valid yet, for more than a day",
	tenancy.SurpriseExpired: "has expired",
}

// SurpriseText states why a certificate was not expected, to follow "it".
func SurpriseText(s tenancy.WatchSurprise) string { return surpriseTexts[s] }

// watched fills in a letter about a watched certificate from the report of its notice.
func (d *Deliverer) watched(l *Letter, n tenancy.Notice, receivers []tenancy.Receiver) error {
	var r tenancy.WatchReport
	if err := json.Unmarshal([]byte(n.Reason), &r); err != nil {
		return fmt.Errorf("notice %s of %s has no report about a watched certificate: %w", n.ID, l.Tenant, err)
	}
	l.Reason, l.Certificate, l.Old = "", "", watchedDetails(r.Old)
	f := &WatchFacts{Name: r.Name, Owner: r.Owner, Alarm: r.Alarm, From: r.From, RenewsAt: r.RenewsAt,
		Due:     !n.DueAt.After(n.CreatedAt),
		Systems: Advise(r.Systems, receivers, r.New != nil, r.Changes), Source: r.Source.Address, Since: r.Since,
		LookError: r.LookError}
	for _, s := range r.Surprises {
		f.Surprises = append(f.Surprises, surpriseTexts[s])
	}
	if r.New != nil {
		next := watchedDetails(r.New)
		l.New = &next
	}
	if r.Changes != nil {
		l.Changes, l.ChangesKnown = *r.Changes, true
	}
	if d.baseURL != "" {
		f.Page = fmt.Sprintf("%s/tenants/%s/watched/%s", d.baseURL, l.Tenant, r.Name)
	}
	l.Watched = f
	return nil
}

// watchedDetails describes a certificate (DER). One that cannot be read any longer has a fingerprint only, because the
// mail must be sent anyway.
func watchedDetails(der []byte) Details {
	details := Details{Fingerprint: certfile.Fingerprint(der), DER: der}
	if c, err := certfile.ParseCertificate(der); err == nil {
		details.Subject, details.Issuer, details.Serial = certfile.Name(c.RawSubject), certfile.Name(c.RawIssuer),
			certfile.Serial(c)
		details.NotBefore, details.NotAfter = c.NotBefore, c.NotAfter
	}
	return details
}

// isAboutWatched reports whether a notice has a [tenancy.WatchReport].
func isAboutWatched(kind tenancy.NoticeKind) bool {
	return slices.Contains([]tenancy.NoticeKind{tenancy.WatchExpected, tenancy.WatchRenewed, tenancy.WatchAlarmed}, kind)
}

// Same lists the parts of a certificate that systems compare and that stay the same, for a sentence.
func (l Letter) Same() string {
	var parts []string
	for _, p := range []struct {
		name    string
		changed bool
	}{
		{"the public key", l.Changes.Key}, {"the subject", l.Changes.Subject},
		{"the alternative names", l.Changes.SAN}, {"the issuing CA", l.Changes.Issuer},
	} {
		if !p.changed {
			parts = append(parts, p.name)
		}
	}
	switch n := len(parts); n {
	case 0, 1:
		return strings.Join(parts, "")
	default:
		return strings.Join(parts[:n-1], ", ") + " and " + parts[n-1]
	}
}
