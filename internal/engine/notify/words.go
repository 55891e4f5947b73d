package notify

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/text/language"
	"golang.org/x/text/message"

	"github.com/perennial-pki/perennial/internal/keys/certfile"
	"github.com/perennial-pki/perennial/policy"
	"github.com/perennial-pki/perennial/tenancy"
)

// A Reader reads a mail.
type Reader struct {
	DisplayName string // empty for the name
	Language    string // one of [tenancy.Languages]
	Zone        *time.Location
}

// FullName returns the name for the salutation.
func (l Letter) FullName() string { return cmp.Or(l.DisplayName, l.Name) }

// german returns one of two texts, by the language of the reader.
func (r Reader) german(english, german string) string {
	if r.Language == tenancy.German {
		return german
	}
	return english
}

func (r Reader) in(t time.Time) time.Time {
	if r.Zone == nil {
		return t.UTC()
	}
	return t.In(r.Zone)
}

var germanMonths = [...]string{"Januar", "Februar", "März", "April", "Mai", "Juni", "Juli", "August", "September",
	"Oktober", "November", "Dezember"}

// Day returns a date in the reader's zone, such as 1 December 2026.
func (r Reader) Day(t time.Time) string {
	t = r.in(t)
	if r.Language == tenancy.German {
		return fmt.Sprintf("%d. %s %d", t.Day(), germanMonths[t.Month()-1], t.Year())
	}
	return t.Format("2 January 2006")
}

// Local returns an instant in the reader's zone, such as 1 December 2026, 01:00 CET.
func (r Reader) Local(t time.Time) string {
	local := r.in(t)
	zone, _ := local.Zone()
	if strings.HasPrefix(zone, "+") || strings.HasPrefix(zone, "-") { // it has no abbreviation
		zone = "UTC" + zone
	}
	return r.Day(t) + local.Format(", 15:04 ") + zone
}

// Time returns an instant in the reader's zone, and in UTC in brackets if that is another time.
func (r Reader) Time(t time.Time) string {
	local, utc := r.in(t), t.UTC()
	text := r.Local(t)
	switch _, offset := local.Zone(); {
	case offset == 0:
		return text
	case local.Day() != utc.Day():
		return fmt.Sprintf("%s (%s UTC)", text, Reader{Language: r.Language}.Day(utc)+utc.Format(", 15:04"))
	}
	return text + utc.Format(" (15:04 UTC)")
}

// In returns the time that is left until an instant: today, tomorrow, or a number of days, rounded up.
func (l Letter) In(t time.Time) string {
	switch day := l.in(t).Format(time.DateOnly); {
	case !t.After(l.Now):
		return l.german("now", "jetzt")
	case day == l.in(l.Now).Format(time.DateOnly):
		return l.german("today", "heute")
	case day == l.in(l.Now).AddDate(0, 0, 1).Format(time.DateOnly):
		return l.german("tomorrow", "morgen")
	}
	return fmt.Sprintf(l.german("in %s days", "in %s Tagen"), l.Number(l.days(t)))
}

func (l Letter) days(t time.Time) int { return int((t.Sub(l.Now) + policy.Day - 1) / policy.Day) }

// lateFrom is the number of days before a deadline from which a reminder is urgent.
const lateFrom = 3

// Late reports whether the deadline is near.
func (l Letter) Late() bool {
	deadline := l.Deadline()
	return !deadline.IsZero() && l.days(deadline) <= lateFrom
}

// MUser reports whether the mail is about the technical user's certificate.
func (l Letter) MUser() bool { return l.Purpose == tenancy.ForMUser }

// Noun names the certificate inside a sentence.
func (l Letter) Noun() string {
	if l.Purpose.IsBuiltIn() || l.Purpose == "" {
		return l.german("certificate", "Zertifikat")
	}
	return fmt.Sprintf(l.german("certificate \"%s\"", "Zertifikat „%s“"), l.Purpose)
}

// Number returns a number with its digits in groups, such as 2,170, as the console shows it.
func (r Reader) Number(n int) string {
	if -1000 < n && n < 1000 { // most numbers, and a printer costs more than the rest of its sentence
		return strconv.Itoa(n)
	}
	return message.NewPrinter(language.Make(r.Language)).Sprint(n)
}

// Count returns a number of systems of partners, in German in the nominative.
func (l Letter) Count(systems int) string {
	if systems == 1 {
		return l.german("1 system", "1 System")
	}
	return l.Number(systems) + l.german(" systems", " Systeme")
}

// CountDative is [Letter.Count] in the German dative.
func (l Letter) CountDative(systems int) string {
	if systems == 1 || l.Language != tenancy.German {
		return l.Count(systems)
	}
	return l.Count(systems) + "n"
}

// RevokedBecause completes "is revoked, because ...", or "are revoked, because ..." for several certificates.
func (l Letter) RevokedBecause() string {
	several := len(l.AlsoRevoked) > 0
	switch {
	case l.Reason == "lost" && several:
		return l.german("one of their keys was lost", "einer der Schlüssel verloren ging")
	case l.Reason == "lost":
		return l.german("its key was lost", "der Schlüssel verloren ging")
	case l.Reason == "authority-revoked":
		return l.german("the CA that issued it was revoked", "die ausstellende CA widerrufen wurde")
	case several:
		return l.german("one of their keys may be in the wrong hands", "einer der Schlüssel in fremde Hände geraten sein "+
			"kann")
	}
	return l.german("its key may be in the wrong hands", "der Schlüssel in fremde Hände geraten sein kann")
}

// RevokedSerials returns the serial numbers of the certificates that were revoked together, the newest first.
func (l Letter) RevokedSerials() string {
	all := []string{l.Old.Serial}
	for _, serial := range slices.Backward(l.AlsoRevoked) {
		all = append(all, serial)
	}
	last := len(all) - 1
	if last == 0 {
		return all[0]
	}
	return strings.Join(all[:last], ", ") + l.german(" and ", " und ") + all[last]
}

// Print returns a fingerprint in groups of four digits, which people can compare.
func (Letter) Print(fingerprint string) string { return certfile.InGroups(fingerprint) }

// IssuerName returns the common name of the issuer of the old certificate, or its whole name without one.
func (l Letter) IssuerName() string { return commonName(l.Old.Issuer) }

// AuthorityName returns the common name of the announced CA.
func (l Letter) AuthorityName() string { return commonName(l.Authority.Subject) }

// commonName returns the common name in a distinguished name (RFC 4514), or the name itself without one.
func commonName(name string) string {
	for part := range strings.SplitSeq(name, ",") {
		if cn, found := strings.CutPrefix(strings.TrimSpace(part), "CN="); found && !strings.HasSuffix(cn, "\\") {
			return cn
		}
	}
	return name
}

// Changed states which names of the certificate change, to follow "this time"; empty if none does.
func (l Letter) Changed() string {
	var all []string
	if l.Changes.Issuer {
		all = append(all, l.german("the issuing CA", "der Aussteller"))
	}
	if l.Changes.Root {
		all = append(all, l.german("its root", "seine Root"))
	}
	if l.Changes.Subject {
		all = append(all, l.german("the subject", "das Subject"))
	}
	if l.Changes.SAN {
		all = append(all, l.german("the subject alternative name", "der Subject Alternative Name"))
	}
	switch len(all) {
	case 0:
		return ""
	case 1:
		return fmt.Sprintf(l.german("%s changes", "ändert sich %s"), all[0])
	}
	return fmt.Sprintf(l.german("%s change", "ändern sich %s"), l.join(all))
}

// join joins parts of a sentence.
func (r Reader) join(parts []string) string {
	n := len(parts) - 1
	if n <= 0 {
		return strings.Join(parts, "")
	}
	return strings.Join(parts[:n], ", ") + r.german(" and ", " und ") + parts[n]
}

// Same lists the parts of a certificate that systems compare and that stay the same, for a sentence.
func (l Letter) Same() string {
	if !l.ChangesKnown {
		return ""
	}
	var parts []string
	for _, p := range []struct {
		english, german string
		changed         bool
	}{
		{"the public key", "der öffentliche Schlüssel", l.Changes.Key}, {"the subject", "das Subject", l.Changes.Subject},
		{"the alternative names", "die alternativen Namen", l.Changes.SAN},
		{"the issuing CA", "die ausstellende CA", l.Changes.Issuer},
	} {
		if !p.changed {
			parts = append(parts, l.german(p.english, p.german))
		}
	}
	return l.join(parts)
}

// germanDifferences are the German names of what a notice lists as differences.
var germanDifferences = map[string]string{"key type": "Schlüsseltyp", "subject": "Subject", "issuer": "Aussteller",
	"subject alternative name": "Subject Alternative Name", "extended key usage": "Verwendungszweck (Extended Key Usage)"}

// Differ lists what differs, in the reader's language.
func (l Letter) Differ() string {
	if l.Language != tenancy.German {
		return l.Differences
	}
	var parts []string
	for part := range strings.SplitSeq(strings.ReplaceAll(l.Differences, " and ", ", "), ", ") {
		parts = append(parts, cmp.Or(germanDifferences[part], part))
	}
	return l.join(parts)
}
