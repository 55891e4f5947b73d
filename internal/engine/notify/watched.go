package notify

import (
	"cmp"
	"encoding/json"
	"fmt"
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
	// Surprises state why a certificate was not expected, each to follow "it", and surprises are their codes.
	Surprises []string
	surprises []tenancy.WatchSurprise
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

// OwnerName names the owner inside an English sentence.
func (f WatchFacts) OwnerName() string { return cmp.Or(f.Owner, "its owner") }

// Unexpected reports whether the mail is about a new certificate that may be forged.
func (l Letter) Unexpected() bool {
	return l.Watched != nil && l.Watched.Alarm == tenancy.AlarmUnexpected
}

// SystemAdvice states what a system needs that knows a watched certificate.
type SystemAdvice struct {
	System   string
	Contact  string // the administrator of the receiver of this name; may be empty
	Survival tenancy.Survival
	Advice   string // in English

	by   []tenancy.Identifier
	seen bool // a new certificate was seen
}

// Text returns the advice in a language.
func (a SystemAdvice) Text(language string) string {
	return Reader{Language: language}.systemAdvice(a)
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
		a.by, a.seen = s.IdentifiesBy, seen
		a.Advice = a.Text(tenancy.English)
		all = append(all, a)
	}
	return all
}

func (r Reader) systemAdvice(a SystemAdvice) string {
	checks := r.checks(a.by)
	text := r.german("It is not known how it checks certificates. If it compares the certificate, its fingerprint or its "+
		"serial number, it will refuse the new one until that is installed.",
		"Es ist nicht bekannt, wie es Zertifikate prüft. Vergleicht es das Zertifikat, den Fingerabdruck oder die "+
			"Seriennummer, lehnt es das neue ab, bis das installiert ist.")
	switch {
	case a.Survival == tenancy.Survives:
		text = r.german("Nothing to do: it checks {checks}, and that stays the same.",
			"Nichts zu tun: Es prüft {checks}, und das bleibt gleich.")
	case a.Survival == tenancy.Fails && a.seen:
		text = r.german("It checks {checks}, so the new certificate must be installed there now.",
			"Es prüft {checks}, daher muss das neue Zertifikat dort jetzt installiert werden.")
	case a.Survival == tenancy.Fails:
		text = r.german("It checks {checks}, so it will refuse the new certificate until that is installed.",
			"Es prüft {checks}, lehnt also das neue Zertifikat ab, bis das installiert ist.")
	case checks != "" && a.seen:
		text = r.german(adviceTexts[dependsOnTrust][0], adviceTexts[dependsOnTrust][1])
	case checks != "":
		text = r.german("It checks {checks}. It needs no change if the subject, the alternative names and the CA stay the "+
			"same.", "Es prüft {checks}. Eine Änderung ist nicht nötig, wenn Subject, alternative Namen und CA gleich bleiben.")
	case a.seen:
		text = r.german("It is not known how it checks certificates. If it compares the certificate, its fingerprint or its "+
			"serial number, the new one must be installed there now.",
			"Es ist nicht bekannt, wie es Zertifikate prüft. Vergleicht es das Zertifikat, den Fingerabdruck oder die "+
				"Seriennummer, muss das neue dort jetzt installiert werden.")
	}
	return strings.ReplaceAll(text, "{checks}", checks)
}

// surpriseTexts state why a certificate was not expected, to follow "it", in English and in German.
var surpriseTexts = map[tenancy.WatchSurprise][2]string{
	tenancy.SurpriseEarly: {"was issued earlier than the owner renews",
		"wurde früher ausgestellt, als der Inhaber erneuert"},
	tenancy.SurpriseOlder: {"was not issued later than the known one",
		"wurde nicht später ausgestellt als das bekannte"},
	tenancy.SurpriseSubject: {"has another subject", "hat ein anderes Subject"},
	tenancy.SurpriseSAN:     {"has other alternative names", "hat andere alternative Namen"},
	tenancy.SurpriseIssuer:  {"was issued by another CA", "wurde von einer anderen CA ausgestellt"},
	tenancy.SurpriseUsage:   {"is for other uses (extended key usage)", "ist für andere Zwecke (Extended Key Usage)"},
	tenancy.SurpriseFuture: {"is not valid yet, for more than a day",
		"ist noch nicht gültig, und das für mehr als einen Tag"},
	tenancy.SurpriseExpired: {"has expired", "ist abgelaufen"},
}

// SurpriseText states why a certificate was not expected, to follow "it".
func SurpriseText(s tenancy.WatchSurprise) string { return surpriseTexts[s][0] }

// SurprisesIn states why a certificate was not expected, each as a sentence of a language, without its full stop.
func (f WatchFacts) SurprisesIn(language string) (all []string) {
	r := Reader{Language: language}
	for _, s := range f.surprises {
		all = append(all, r.german("It ", "Es ")+r.german(surpriseTexts[s][0], surpriseTexts[s][1]))
	}
	return all
}

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
		LookError: d.say(l.Language, tenancy.ReadText(r.LookError))}
	for _, s := range r.Surprises {
		f.Surprises, f.surprises = append(f.Surprises, SurpriseText(s)), append(f.surprises, s)
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
