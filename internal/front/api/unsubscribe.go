package api

import (
	"errors"
	"fmt"
	"html"
	"net/http"
	"strings"

	"github.com/perennial-pki/perennial/internal/front/faults"
	"github.com/perennial-pki/perennial/internal/front/words"
	"github.com/perennial-pki/perennial/tenancy"
)

// handleUnsubscribe registers the links about subscriptions in mails. Opening a link changes nothing, because mail
// scanners follow links.
func (s *server) handleUnsubscribe(mux *http.ServeMux) {
	mux.HandleFunc("GET /unsubscribe/{purpose}/{secret}", s.subscriptionPage)
	mux.HandleFunc("POST /unsubscribe/{purpose}/{secret}", s.changeSubscription)
	// Mails of earlier releases have these links, in their headers and in their bodies, and the links do not expire. The
	// mails may have been forwarded, so the links only ask.
	mux.HandleFunc("GET /unsubscribe/{token}", s.subscriptionPage)
	mux.HandleFunc("POST /unsubscribe/{token}", s.changeSubscription)
}

// A subscription link is the link to which a request about a subscription refers.
type subscriptionLink struct {
	purpose tenancy.LinkPurpose
	user    tenancy.KeyUser
	tenant  tenancy.Tenant
}

// subscriptionOf finds the link of a request. The error is [tenancy.ErrNotFound] if it is not valid.
func (s *server) subscriptionOf(r *http.Request) (l subscriptionLink, err error) {
	ctx := r.Context()
	if token := r.PathValue("token"); token != "" {
		l.purpose = tenancy.LinkAsk
		l.user, err = s.store.KeyUserByUnsubscribeToken(ctx, token)
	} else {
		l.purpose = tenancy.LinkPurpose(r.PathValue("purpose"))
		secret := r.PathValue("secret")
		l.user, err = s.store.KeyUserByID(ctx, tenancy.LinkUser(secret))
		if err == nil && !l.user.Opens(l.purpose, secret, s.clock()) {
			err = tenancy.Errorf(tenancy.ErrNotFound, "the link is not valid")
		}
	}
	if err != nil {
		return l, err
	}
	tenants, err := s.store.TenantsByID(ctx, []string{l.user.TenantID})
	l.tenant = tenants[l.user.TenantID]
	return l, err
}

// subscriptionPage asks before anything changes, and names the person and the tenant.
func (s *server) subscriptionPage(w http.ResponseWriter, r *http.Request) {
	l, err := s.subscriptionOf(r)
	if err != nil {
		s.subscriptionFailed(w, r, err)
		return
	}
	t := textsFor(r)
	subscribed := !l.user.SubscribedAt.IsZero()
	switch {
	case l.purpose == tenancy.LinkUndo && subscribed:
		l.write(w, t, t.resumed, form{})
	case l.purpose == tenancy.LinkUndo:
		l.write(w, t, t.undo, form{button: t.undoButton})
	case !subscribed:
		l.write(w, t, t.stopped, form{})
	case l.purpose == tenancy.LinkConfirm:
		l.write(w, t, t.ask, form{button: t.stopButton})
	default:
		l.write(w, t, t.ask, form{s.subscriptionAddress(l.user, tenancy.LinkAsk), t.askButton})
	}
}

// changeSubscription serves the purpose of a link. For the link in the header of a mail, that is the one-click POST of
// RFC 8058, which has no cookies. The same address without the content of such a POST only asks.
func (s *server) changeSubscription(w http.ResponseWriter, r *http.Request) {
	l, err := s.subscriptionOf(r)
	if err != nil {
		s.subscriptionFailed(w, r, err)
		return
	}
	ctx, t := r.Context(), textsFor(r)
	var done titled
	r.Body = http.MaxBytesReader(w, r.Body, 4096)
	oneClick := r.PostFormValue("List-Unsubscribe") == "One-Click"
	subscribed := !l.user.SubscribedAt.IsZero()
	switch {
	case l.purpose == tenancy.LinkUndo:
		err = s.engine.ResumeMails(ctx, l.user.ID, s.clock())
		done = t.resumed
	case !subscribed:
		done = t.stopped
	case l.purpose == tenancy.LinkConfirm, l.purpose == tenancy.LinkStop && oneClick:
		err = s.engine.StopMails(ctx, l.user.ID, s.clock())
		done = t.stopped
	default:
		err = s.engine.AskToStop(ctx, l.user, s.clock())
		done = t.asked
	}
	switch {
	case errors.Is(err, tenancy.ErrStale): // a second click was faster
		s.subscriptionPage(w, r)
	case err != nil:
		s.subscriptionFailed(w, r, err)
	case l.purpose == tenancy.LinkConfirm:
		l.write(w, t, done, form{s.subscriptionAddress(l.user, tenancy.LinkUndo), t.undoButton})
	default:
		l.write(w, t, done, form{})
	}
}

// subscriptionAddress returns the path of a link to a key user's subscription that was just written.
func (s *server) subscriptionAddress(u tenancy.KeyUser, p tenancy.LinkPurpose) string {
	return "/unsubscribe/" + string(p) + "/" + u.LinkSecret(p, s.clock())
}

func (s *server) subscriptionFailed(w http.ResponseWriter, r *http.Request, err error) {
	t := textsFor(r)
	text, status := t.failed, http.StatusInternalServerError
	if errors.Is(err, tenancy.ErrNotFound) {
		text, status = t.invalid, http.StatusNotFound
	} else {
		faults.Log(r.Context(), s.log, "subscription link", err)
	}
	writePage(w, status, t.language, text[0], html.EscapeString(text[1]))
}

// A titled text is the heading of a page and its paragraph. The heading takes the address of the person and the name of
// the tenant, in this order.
type titled [2]string

// subscriptionTexts are the texts of the pages behind links about subscriptions, in one language.
type subscriptionTexts struct {
	ask, asked, stopped, undo, resumed titled
	askButton, stopButton, undoButton  string
	invalid, failed                    titled // without a person
	language                           string
}

var english = subscriptionTexts{
	ask: titled{"Stop mails for %s about %s?", "Without them, you will not be notified when partners refuse messages. " +
		"The tasks remain. To keep the mails, close this page."},
	asked: titled{"We have sent a mail to %s", "Open the link in it within three days to stop the mails about %s. Until " +
		"then, nothing changes."},
	stopped: titled{"No more mails for %s about %s", "A mail confirms this, with a link that undoes it. The " +
		"tasks remain."},
	undo:       titled{"Send mails to %s about %s again?", "They begin with the next event."},
	resumed:    titled{"%s gets mails about %s", "They begin with the next event."},
	askButton:  "Send me a mail to confirm",
	stopButton: "Stop mails",
	undoButton: "Get mails again",
	invalid: titled{"This link is not valid", "It may be incomplete or expired, or the subscription has changed since. " +
		"Copy the whole link from the mail, or change the subscription after signing in."},
	failed:   titled{"Something went wrong", "Please try again later."},
	language: "en",
}

var german = subscriptionTexts{
	ask: titled{"Keine Mails mehr an %s zu %s?", "Ohne diese Mails werden Sie nicht benachrichtigt, wenn Partner " +
		"Nachrichten ablehnen. Die Aufgaben bleiben bestehen. Wenn Sie die Mails weiterhin erhalten möchten, schließen Sie " +
		"diese Seite."},
	asked: titled{"Wir haben eine Mail an %s geschickt", "Öffnen Sie den Link darin innerhalb von drei Tagen, um die " +
		"Mails zu %s abzubestellen. Bis dahin ändert sich nichts."},
	stopped: titled{"Keine Mails mehr an %s zu %s", "Eine Mail bestätigt dies und enthält einen Link, mit dem Sie es " +
		"rückgängig machen können. Die Aufgaben bleiben bestehen."},
	undo:       titled{"Wieder Mails an %s zu %s senden?", "Sie beginnen mit dem nächsten Ereignis."},
	resumed:    titled{"%s erhält Mails zu %s", "Sie beginnen mit dem nächsten Ereignis."},
	askButton:  "Mail zur Bestätigung senden",
	stopButton: "Mails abbestellen",
	undoButton: "Wieder Mails erhalten",
	invalid: titled{"Dieser Link ist nicht gültig", "Möglicherweise ist er unvollständig oder abgelaufen, oder das " +
		"Abonnement wurde inzwischen geändert. Kopieren Sie den vollständigen Link aus der Mail, oder ändern Sie das " +
		"Abonnement nach der Anmeldung."},
	failed:   titled{"Etwas ist schiefgegangen", "Bitte versuchen Sie es später noch einmal."},
	language: "de",
}

func textsFor(r *http.Request) subscriptionTexts {
	if words.Accepted(r.Header.Get("Accept-Language")) == words.German {
		return german
	}
	return english
}

// A form is the action that a page about a subscription offers. Without a button, the page has none. An empty address
// posts to the page itself.
type form struct{ address, button string }

// write writes a page about a subscription.
func (l subscriptionLink) write(w http.ResponseWriter, t subscriptionTexts, text titled, f form) {
	named := fmt.Sprintf(text[0]+"\n"+text[1], l.user.Email, l.tenant.DisplayName)
	title, body, _ := strings.Cut(named, "\n")
	body = html.EscapeString(body)
	if f.button != "" {
		action := ""
		if f.address != "" {
			action = ` action="` + html.EscapeString(f.address) + `"`
		}
		body += `</p><form method="post"` + action + `><button>` + html.EscapeString(f.button) + `</button></form><p>`
	}
	writePage(w, http.StatusOK, t.language, title, body)
}

const pageHTML = `<!doctype html>
<html lang="%[1]s"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>%[2]s</title></head>
<body><main><h1>%[2]s</h1><p>%[3]s</p></main></body></html>
`

// writePage writes a page with a title and a body in HTML.
func writePage(w http.ResponseWriter, status int, lang, title, body string) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	fmt.Fprintf(w, pageHTML, lang, html.EscapeString(title), body)
}

// page writes a page in English with a title and a text.
func page(w http.ResponseWriter, status int, title, text string) {
	writePage(w, status, "en", title, html.EscapeString(text))
}
