// Package words shows the texts of the API in the reader's language.
//
// The code has the texts in English. A text is identified by its English format, and the catalogue has the German ones.
// A test requires a translation for every text, so that no page mixes languages. Data is never translated: names, the
// answers of receivers, and what other programs report.
package words

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/text/language"

	"github.com/perennial-pki/perennial/tenancy"
)

// The languages. English is the default.
const (
	English = "en"
	German  = "de"
)

var matcher = language.NewMatcher([]language.Tag{language.English, language.German})

// Accepted returns the language that fits an Accept-Language header best (RFC 9110, section 12.5.4).
func Accepted(header string) string {
	tag, _ := language.MatchStrings(matcher, header)
	base, _ := tag.Base()
	return base.String()
}

type key struct{}

// With returns a context with the language of its reader.
func With(ctx context.Context, language string) context.Context {
	return context.WithValue(ctx, key{}, language)
}

// Of returns the language of a reader; empty if the context has none.
func Of(ctx context.Context) string {
	language, _ := ctx.Value(key{}).(string)
	return language
}

// Say returns a text in the language of a context's reader.
func Say(ctx context.Context, t tenancy.Text) string { return In(Of(ctx), t) }

// In returns a text in a language.
func In(language string, t tenancy.Text) string {
	if language != German {
		return t.String()
	}
	format := cmp.Or(german[t.Format], germanMoves[t.Format], t.Format)
	if t.Format == absent && len(t.Args) == 1 {
		return germanAbsent(fmt.Sprint(t.Args[0]))
	}
	args := make([]any, len(t.Args))
	for i, arg := range t.Args {
		switch arg := arg.(type) {
		case tenancy.Text:
			args[i] = In(language, arg)
		case error:
			args[i] = Error(language, arg)
		default:
			args[i] = arg
		}
	}
	return fmt.Sprintf(format, args...)
}

// absent is the format of what does not exist: a kind with a name, such as "key user alice".
const absent = "there is no %s"

// germanAbsent states that something does not exist. The kind decides the article.
func germanAbsent(what string) string {
	if german, found := absentThings[what]; found {
		return "Es gibt " + german
	}
	for kind, german := range absentKinds {
		if name, found := strings.CutPrefix(what, kind+" "); found {
			return "Es gibt " + german + " " + name
		}
	}
	return "Es gibt dies nicht: " + what
}

// absentKinds are the kinds whose things have a name.
var absentKinds = map[string]string{
	"account":             "kein Konto",
	"arrangement":         "keine Vereinbarung",
	"authority":           "keine CA",
	"counterparty":        "keine Gegenpartei",
	"credential":          "kein Credential",
	"delivery":            "keine Zustellung",
	"import":              "keinen Import",
	"key user":            "keinen Key-User",
	"message":             "keine Nachricht",
	"receiver":            "keinen Empfänger",
	"request":             "keinen Antrag",
	"run for":             "keinen Lauf für",
	"task":                "keine Aufgabe",
	"tenant":              "keinen Mandanten",
	"token":               "kein Token",
	"watched certificate": "kein beobachtetes Zertifikat",
	"webhook":             "keinen Webhook",

	"proposal for the host": "keinen Vorschlag für den Host",
}

// absentThings are the things that the reader has not named.
var absentThings = map[string]string{
	"account":                       "dieses Konto nicht",
	"announcement":                  "diese Ankündigung nicht",
	"audit log":                     "kein Audit-Protokoll",
	"event":                         "dieses Ereignis nicht",
	"feed of this arrangement":      "keinen Feed dieser Vereinbarung",
	"feed of this counterparty":     "keinen Feed dieser Gegenpartei",
	"queued mails":                  "keine wartenden Mails",
	"run yet":                       "noch keinen Lauf",
	"subscription for this link":    "zu diesem Link kein Abonnement",
	"such account":                  "dieses Konto nicht",
	"such administrator":            "diesen Ansprechpartner nicht",
	"such arrangement":              "diese Vereinbarung nicht",
	"such calendar":                 "diesen Kalender nicht",
	"such certificate":              "dieses Zertifikat nicht",
	"such delivery to this webhook": "diese Zustellung an diesen Webhook nicht",
	"such feed":                     "diesen Feed nicht",
	"such generation":               "diese Generation nicht",
	"such import":                   "diesen Import nicht",
	"such link":                     "diesen Link nicht",
	"such message":                  "diese Nachricht nicht",
	"such page":                     "diese Seite nicht",
	"such round of tests":           "diese Tests nicht",
	"such session":                  "diese Sitzung nicht",
	"such token":                    "dieses Token nicht",
	"webhook with this ID":          "keinen Webhook mit dieser ID",
}

// Error returns the text of an error in a language. An error without a [tenancy.Text] stays as it is.
func Error(language string, err error) string {
	if language != German {
		return err.Error()
	}
	if several, ok := err.(interface{ Unwrap() []error }); ok {
		if parts := several.Unwrap(); errors.Join(parts...).Error() == err.Error() {
			lines := make([]string, len(parts))
			for i, part := range parts {
				lines[i] = Error(language, part)
			}
			return strings.Join(lines, "\n")
		}
	}
	var rule *tenancy.RuleError
	if !errors.As(err, &rule) || err.Error() != rule.Error() {
		return err.Error()
	}
	if rule.Field != "" {
		return rule.Field + ": " + In(language, rule.Text)
	}
	return In(language, rule.Text)
}

// german holds the German formats by the English ones, with the same verbs in the same order or numbered.
//
// One word stands for one thing, here, in the console and in mails. [TestGermanHasOneWordForOneThing] finds others.
//
//	accept a certificate, a contact      akzeptieren; a mail, a message or an event: annehmen
//	administrator of a receiver          Ansprechpartner
//	arrangement, counterparty, tenant    Vereinbarung, Gegenpartei, Mandant
//	audit log, log of the service        Audit-Protokoll, Log
//	check a certificate, a file, a log   prüfen
//	contact                              Kontakt
//	create an object with settings       anlegen; a link, an address, a feed or a token: erstellen
//	deadline                             Frist
//	failed                               fehlgeschlagen
//	owner of a watched certificate       Inhaber
//	policy                               Regelwerk
//	present a certificate                vorlegen
//	probe                                Testanfrage
//	refuse a certificate                 ablehnen
//	request to a CA                      Antrag, beantragen
//	retired                              stillgelegt
//	revoke                               widerrufen, but Sperrliste for a CRL
//	roll-over, cut over                  Umstellung, umgestellt
//	sender (a client of the gateway)     Sender
//	subject of a certificate             Subject
//	test a receiver, an endpoint         testen, Test
var german = catalogue(germanDomain, germanEngine, germanAPI, germanAuthorities, germanDiagnoses,
	germanWebhooks, germanCounterparties, germanWatched, germanFiles, germanRoom, germanMessages)

// A translation is a format in English and in German.
type translation struct{ english, german string }

func catalogue(parts ...[]translation) map[string]string {
	all := map[string]string{}
	for _, part := range parts {
		for _, t := range part {
			all[t.english] = t.german
		}
	}
	return all
}
