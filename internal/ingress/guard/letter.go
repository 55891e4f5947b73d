package guard

import (
	"crypto/x509"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/perennial-pki/perennial/acceptance"
	"github.com/perennial-pki/perennial/internal/keys/certfile"
	"github.com/perennial-pki/perennial/tenancy"
)

// german is the value of language for German mails. The others are in English.
const german = "de"

// checkLanguage refuses a language that mails are not written in.
func checkLanguage(language string) error {
	if language != "" && language != "en" && language != german {
		return errors.New("mail: language: use en or de")
	}
	return nil
}

// A letter is a mail about sightings.
type letter struct {
	sightings []Sighting
	config    string // path of the configuration, for commands
	language  string
	onHold    map[string]time.Duration // the time for which a partner's held certificates are accepted; 0 to refuse them
}

// say returns one of two texts, by the language.
func (l letter) say(english, inGerman string) string {
	if l.language == german {
		return inGerman
	}
	return english
}

// count returns how many sightings have a standing.
func (l letter) count(s Standing) (n int) {
	for _, v := range l.sightings {
		if v.Standing == s {
			n++
		}
	}
	return n
}

func (l letter) subject() string {
	all, held, declined := len(l.sightings), l.count(Held), l.count(Declined)
	first := l.sightings[0].Partner
	switch {
	case all == 1 && held == 1:
		return l.say("Action needed: decide about a new certificate of ", "Handeln nötig: Entscheidung über ein neues "+
			"Zertifikat von ") + first
	case held > 0:
		return fmt.Sprintf(l.say("Action needed: decide about %d of %d new certificates of partners",
			"Handeln nötig: Entscheidung über %d von %d neuen Zertifikaten von Partnern"), held, all)
	case all == 1 && declined == 1:
		return l.say("A certificate is refused: ", "Ein Zertifikat wird abgelehnt: ") + first
	case all == 1 && l.sightings[0].Code == acceptance.IsSuccessor:
		return first + l.say(" has renewed its certificate: accepted, nothing to do",
			" hat sein Zertifikat erneuert: angenommen, nichts zu tun")
	case declined == all:
		return fmt.Sprintf(l.say("%d certificates of partners are refused", "%d Zertifikate von Partnern werden abgelehnt"),
			all)
	case declined > 0:
		return fmt.Sprintf(l.say("%d new certificates of partners: %d accepted, %d refused",
			"%d neue Zertifikate von Partnern: %d angenommen, %d abgelehnt"), all, all-declined, declined)
	case all == 1: // it may be announced only
		return first + l.say(" has a new certificate: accepted, nothing to do",
			" hat ein neues Zertifikat: angenommen, nichts zu tun")
	}
	return fmt.Sprintf(l.say("%d new certificates of partners: accepted, nothing to do",
		"%d neue Zertifikate von Partnern: angenommen, nichts zu tun"), all)
}

// body states what has happened, what to do, how to check it, and the data last.
func (l letter) body() string {
	var b strings.Builder
	for _, v := range l.sightings {
		c, err := v.certificate()
		if err != nil {
			continue
		}
		fingerprint := certfile.Fingerprint(c.Raw)
		fmt.Fprintf(&b, "%s.\n\n%s", l.sentence(v, c), l.next(v, fingerprint[:16]))
		fmt.Fprintf(&b, "%s\n%s\n", l.say("The new certificate:", "Das neue Zertifikat:"), l.data(c))
		if was, err := x509.ParseCertificate(v.Was); err == nil {
			fmt.Fprintf(&b, "%s\n%s\n", l.say("The known certificate:", "Das bekannte Zertifikat:"), l.data(was))
		}
	}
	b.WriteString(l.say("-- \nSent by the guard in front of your system. It never asks for passwords or keys.\n",
		"-- \nGesendet vom Guard vor Ihrem System. Er fragt nie nach Passwörtern oder Schlüsseln.\n"))
	return b.String()
}

// next states what to do about a sighting. short identifies the certificate.
func (l letter) next(v Sighting, short string) string {
	accept := fmt.Sprintf("    perennial guard accept %s --config %s\n", short, l.config)
	refuse := fmt.Sprintf("    perennial guard refuse %s --config %s\n", short, l.config)
	switch v.Standing {
	case Held:
		ask := fmt.Sprintf(l.say("Please ask %s, over a channel that you know, whether this certificate is theirs.\n"+
			"Then run one of:\n\n", "Bitte fragen Sie %s auf einem Weg, den Sie kennen, ob dieses Zertifikat echt ist.\n"+
			"Führen Sie dann einen dieser Befehle aus:\n\n"), v.Partner)
		return l.meanwhile(v) + ask + accept + refuse + "\n"
	case Declined:
		return l.say("Calls with it are refused. If that is a mistake, run:\n\n",
			"Aufrufe damit werden abgelehnt. Wenn das ein Irrtum ist, führen Sie aus:\n\n") + accept + "\n"
	}
	first := l.say("You have nothing to do.\n", "Sie müssen nichts tun.\n")
	if len(v.Was) > 0 && v.By != byFeed { // a feed also ends a certificate before it expires
		first = l.say("You have nothing to do: both certificates are accepted until the old one expires.\n",
			"Sie müssen nichts tun: Beide Zertifikate werden angenommen, bis das alte abläuft.\n")
	}
	return first + l.say("If you do not expect this certificate, run:\n\n",
		"Wenn Sie dieses Zertifikat nicht erwarten, führen Sie aus:\n\n") + refuse + "\n"
}

// meanwhile states what happens to calls with a held certificate until a person decides. The guard follows
// [acceptance.Partner.OnHold].
func (l letter) meanwhile(v Sighting) string {
	d := l.onHold[v.Partner]
	if d == 0 || v.Code == acceptance.OtherCA {
		return l.say("Until you decide, calls with it are refused.\n",
			"Bis Sie entscheiden, werden Aufrufe damit abgelehnt.\n")
	}
	return fmt.Sprintf(l.say("Until you decide, calls with it are accepted, but not after %s.\n",
		"Bis Sie entscheiden, werden Aufrufe damit angenommen, aber nicht nach dem %s.\n"), l.moment(v.At.Add(d)))
}

// sentence states what has happened. The German one has the same cases as [Sighting.sentence].
func (l letter) sentence(v Sighting, c *x509.Certificate) string {
	if l.language != german {
		return v.sentence(c)
	}
	until := l.moment(c.NotAfter)
	switch {
	case v.Standing == Held:
		return fmt.Sprintf("%s verwendet ein Zertifikat, über das Sie entscheiden müssen (gültig bis %s): %s", v.Partner,
			until, germanReason(v))
	case v.Standing == Declined:
		return fmt.Sprintf("%s hat ein Zertifikat von %s abgelehnt (gültig bis %s)", v.By, v.Partner, until)
	case v.By == byFeed:
		return fmt.Sprintf("%s hat in seinem Feed ein neues Zertifikat angekündigt (gültig bis %s): angenommen", v.Partner,
			until)
	case v.By != byRule:
		return fmt.Sprintf("%s hat ein Zertifikat von %s angenommen (gültig bis %s)", v.By, v.Partner, until)
	case v.Code == acceptance.IsSuccessor:
		return fmt.Sprintf("%s hat sein Zertifikat erneuert (gültig bis %s): als Nachfolger angenommen", v.Partner, until)
	}
	return fmt.Sprintf("%s hat ein neues Zertifikat (gültig bis %s): angenommen, denn %s", v.Partner, until,
		germanReason(v))
}

// germanReasons explain the codes of decisions.
var germanReasons = map[acceptance.Code]string{
	acceptance.Pinned:          "es ist ein bekanntes Zertifikat des Partners",
	acceptance.IsSuccessor:     "es folgt einem bekannten Zertifikat des Partners, mit derselben CA und denselben Namen",
	acceptance.FromAuthority:   "die CA des Partners hat es dem Partner ausgestellt",
	acceptance.OtherCA:         "eine andere CA hat es ausgestellt",
	acceptance.OtherSubject:    "es hat einen anderen Namen",
	acceptance.Older:           "es wurde nicht später ausgestellt als das bekannte",
	acceptance.Expired:         "es ist abgelaufen",
	acceptance.NotYetValid:     "es ist noch nicht gültig",
	acceptance.NotForClients:   "es ist nicht für Clients bestimmt",
	acceptance.WeakKey:         "sein Schlüssel ist zu schwach",
	acceptance.OutsideWindow:   "es wurde außerhalb des Zeitraums einer Erneuerung ausgestellt",
	acceptance.SecondSuccessor: "es gibt schon einen anderen Nachfolger des bekannten Zertifikats",
	acceptance.Revoked:         "es ist gesperrt",
	acceptance.BrokenChain:     "seine Kette führt zu keiner CA, der vertraut wird",
	acceptance.NotListed:       "es steht nicht in der Liste",
	acceptance.Declined:        "es wurde abgelehnt",
	acceptance.Malformed:       "es kann nicht gelesen werden",
	acceptance.Ambiguous:       "der Partner wäre danach nicht mehr von einem anderen zu unterscheiden",
}

// germanReason explains a decision. A code that has no German text yet keeps its English one.
func germanReason(v Sighting) string {
	if reason, found := germanReasons[v.Code]; found {
		return reason
	}
	return v.Reason
}

// data describes a certificate in a list.
func (l letter) data(c *x509.Certificate) string {
	return fmt.Sprintf(l.say("- serial number: %s\n- SHA-256: %s\n- subject: %s\n- issued by: %s\n- valid until: %s\n",
		"- Seriennummer: %s\n- SHA-256: %s\n- Subject: %s\n- Aussteller: %s\n- gültig bis: %s\n"), certfile.Serial(c),
		certfile.InGroups(certfile.Fingerprint(c.Raw)), shown(c.RawSubject), shown(c.RawIssuer), l.moment(c.NotAfter))
}

var germanMonths = [...]string{"Januar", "Februar", "März", "April", "Mai", "Juni", "Juli", "August", "September",
	"Oktober", "November", "Dezember"}

func (l letter) moment(t time.Time) string {
	if l.language != german {
		return tenancy.Moment(t)
	}
	t = t.UTC()
	return fmt.Sprintf("%d. %s %d, %s", t.Day(), germanMonths[t.Month()-1], t.Year(), t.Format("15:04 UTC"))
}
