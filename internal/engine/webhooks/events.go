package webhooks

import (
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/perennial-pki/perennial/internal/engine/store"
	"github.com/perennial-pki/perennial/tenancy"
	"github.com/perennial-pki/perennial/webhook"
)

// detail holds the fields of the details of audit events from which events are made.
type detail struct {
	Serial           string    `json:"serial"`
	Fingerprint      string    `json:"fingerprint_sha256"`
	NotAfter         time.Time `json:"not_after"`
	RunDate          string    `json:"run_date"`
	Reason           string    `json:"reason"`
	Replaces         string    `json:"replaces"`
	Generation       int       `json:"generation"`
	From             int       `json:"from"`
	Source           string    `json:"source"`
	MayBreakDelivery bool      `json:"may_break_delivery"`
	Arrangements     []string  `json:"arrangements"`
	Refused          []string  `json:"refused"`
	Expires          time.Time `json:"expires"`
	StageDays        int       `json:"stage_days"`
	SignsFrom        time.Time `json:"signs_from"`
	Failed           int       `json:"failed"`
	Name             string    `json:"name"`
	Role             string    `json:"role"`
	ExpiresAt        time.Time `json:"expires_at"`
	SHA256           string    `json:"sha256"`
	Code             string    `json:"code"`
	Surprises        []string  `json:"surprises"`
	FetchedAt        time.Time `json:"fetched_at"`
}

// facts holds an audit event with its detail.
type facts struct {
	tenancy.Event
	detail
	base string
}

// link returns the address of a page of the console. Its parts are escaped.
func (f facts) link(parts ...string) string {
	out := f.base
	for _, p := range parts {
		out += "/" + url.PathEscape(p)
	}
	return out
}

// common returns the part that all events have.
func (f facts) common(s webhook.Severity, link, summary string, args ...any) webhook.Common {
	return webhook.Common{Tenant: f.Tenant, Severity: s, Link: link, Summary: fmt.Sprintf(summary, args...)}
}

// opens marks an event as one that opens a problem; resolves as one that resolves it.
func opens(c webhook.Common, problem string) webhook.Common {
	c.Problem = problem
	return c
}

func resolves(c webhook.Common, problem string) webhook.Common {
	c.Problem, c.Resolved = problem, true
	return c
}

// A made event has no ID, source and time yet.
type made struct {
	of      webhook.Type
	subject string // empty for the object of the audit event
	data    webhook.Data
}

// translations are the events that follow from each action in the audit log. This is the one place that decides it.
var translations = map[string]func(f facts) []made{
	"certificate.warned":   certificateExpiring,
	"certificate.renewed":  certificateRenewed,
	"certificate.revoked":  certificateRevoked,
	"certificate.retired":  certificateRetired,
	"arrangement.accepted": rolloverAccepted,
	"arrangement.refused":  rolloverRefused,
	"arrangement.cut-over": rolloverCutOver,
	"arrangements.at-risk": rolloversAtRisk,
	"watched.warned":       watched(webhook.WatchedExpiring, webhook.Info, "The certificate %s is going to be renewed"),
	"watched.overdue": watched(webhook.WatchedOverdue, webhook.Warning,
		"The certificate %s has not been renewed as expected"),
	"watched.expired": watched(webhook.WatchedExpired, webhook.Critical,
		"The certificate %s has expired, and no new one was seen"),
	"watched.unseen": watched(webhook.WatchedUnreadable, webhook.Warning,
		"The source of the certificate %s cannot be read"),
	"watched.seen":        watchedSeen,
	"feed.silent":         feedSilent,
	"authority.announced": authorityAnnounced,
	"authority.revoked":   authorityRevoked,
	"run.finished":        runFinished,
	"run.failed":          runFailed,
	"mail.held":           mailHeld,
	"mail.released":       mailReleased,
	"token.expiring":      tokenExpiring,
	"guard.held":          guardHeld,
	"guard.accepted":      guardDecided(webhook.GuardAccepted, "accepted"),
	"guard.declined":      guardDecided(webhook.GuardDeclined, "declined"),

	"counterparty.feed-silent": partyFeedSilent,
}

// translate returns the events that follow from an audit event.
func (w *Webhooks) translate(e tenancy.Event) ([]webhook.Event, error) {
	translate := translations[e.Action]
	if translate == nil {
		return nil, nil
	}
	f := facts{Event: e, base: w.base}
	if err := json.Unmarshal([]byte(e.Detail), &f.detail); err != nil {
		return nil, err
	}
	var all []webhook.Event
	for _, m := range translate(f) {
		if m.subject == "" {
			m.subject = e.Object
		}
		all = append(all, webhook.Event{ID: store.NewID(), Source: w.base, Type: m.of, Subject: m.subject, Time: e.At,
			Data: m.data})
	}
	return all, nil
}

func one(of webhook.Type, data webhook.Data) []made { return []made{{of: of, data: data}} }

// certificate returns the certificate that an audit event is about: its object is TENANT/CREDENTIAL/GENERATION.
func (f facts) certificate() webhook.Certificate {
	c := webhook.Certificate{Serial: f.Serial, Fingerprint: f.Fingerprint, NotAfter: f.NotAfter}
	if parts := strings.Split(f.Object, "/"); len(parts) == 3 {
		c.Credential = parts[1]
		c.Generation, _ = strconv.Atoi(parts[2]) // our own form
	}
	return c
}

func (f facts) runDate() time.Time {
	at, _ := time.Parse(time.RFC3339, f.RunDate) // empty if a person caused it
	return at
}

// noun returns what people call the certificates of a credential.
func noun(credential string) string { return tenancy.Purpose(credential).Noun() }

func (f facts) certificates() string { return f.link("tenants", f.Tenant, "certificates") }

func certificateExpiring(f facts) []made {
	c := f.certificate()
	return one(webhook.CertificateExpiring, &webhook.CertificateExpiringData{Common: f.common(webhook.Info,
		f.certificates(), "The %s of %s expires on %s, and will be renewed soon", noun(c.Credential), f.Tenant,
		tenancy.Moment(f.NotAfter)), Certificate: c, RunDate: f.runDate()})
}

func certificateRenewed(f facts) []made {
	c := f.certificate()
	return one(webhook.CertificateRenewed, &webhook.CertificateRenewedData{Common: f.common(webhook.Info,
		f.certificates(), "The %s of %s has been renewed: generation %d is valid until %s", noun(c.Credential), f.Tenant,
		c.Generation, tenancy.Moment(f.NotAfter)), Certificate: c, Replaces: f.Replaces, Reason: f.Reason})
}

func certificateRevoked(f facts) []made {
	c := f.certificate()
	return one(webhook.CertificateRevoked, &webhook.CertificateRevokedData{Common: f.common(webhook.Warning,
		f.certificates(), "Generation %d of the %s of %s was revoked: %s", c.Generation, noun(c.Credential), f.Tenant,
		f.Reason), Certificate: c, Reason: f.Reason})
}

func certificateRetired(f facts) []made {
	c := f.certificate()
	return one(webhook.CertificateRetired, &webhook.CertificateRetiredData{Common: f.common(webhook.Info,
		f.certificates(), "Generation %d of the %s of %s was retired", c.Generation, noun(c.Credential), f.Tenant),
		Certificate: c})
}

// arrangement returns the name of the arrangement that an audit event is about: its object is TENANT/ARRANGEMENT.
func (f facts) arrangement() string { return strings.TrimPrefix(f.Object, f.Tenant+"/") }

func (f facts) arrangementPage(name string) string {
	return f.link("tenants", f.Tenant, "arrangements", name)
}

func (f facts) rollover(arrangement string) string {
	return fmt.Sprintf("rollover:%s/%s:%d", f.Tenant, arrangement, f.Generation)
}

func rolloverAccepted(f facts) []made {
	a := f.arrangement()
	c := f.common(webhook.Info, f.arrangementPage(a), "%s accepts generation %d", f.Object, f.Generation)
	return one(webhook.RolloverAccepted, &webhook.RolloverVerdictData{Common: resolves(c, f.rollover(a)), Arrangement: a,
		Generation: f.Generation, Source: f.Source})
}

func rolloverRefused(f facts) []made {
	a := f.arrangement()
	c := f.common(webhook.Warning, f.arrangementPage(a), "%s refuses generation %d", f.Object, f.Generation)
	return one(webhook.RolloverRefused, &webhook.RolloverVerdictData{Common: opens(c, f.rollover(a)), Arrangement: a,
		Generation: f.Generation, Source: f.Source})
}

func rolloverCutOver(f facts) []made {
	a := f.arrangement()
	c := f.common(webhook.Info, f.arrangementPage(a), "%s presents generation %d from now on", f.Object, f.Generation)
	if f.MayBreakDelivery {
		c.Severity = webhook.Critical
		c.Summary += ", and messages fail until the receiver accepts it"
	}
	return one(webhook.RolloverCutOver, &webhook.RolloverCutOverData{Common: c, Arrangement: a, From: f.From,
		Generation: f.Generation, MayBreakDelivery: f.MayBreakDelivery})
}

// urgentDays is the stage of reminders from which they are critical. The hosting team is notified from then on.
const urgentDays = 3

func rolloversAtRisk(f facts) []made {
	severity := webhook.Warning
	if f.StageDays <= urgentDays {
		severity = webhook.Critical
	}
	var all []made
	for _, a := range f.Arrangements {
		refused := slices.Contains(f.Refused, a)
		text := "%s/%s is not known to accept the new certificate, and the old one expires on %s"
		if refused {
			text = "%s/%s refuses the new certificate, and the old one expires on %s"
		}
		c := f.common(severity, f.arrangementPage(a), text, f.Tenant, a, tenancy.Moment(f.Expires))
		all = append(all, made{webhook.RolloverAtRisk, f.Tenant + "/" + a, &webhook.RolloverAtRiskData{
			Common: opens(c, f.rollover(a)), Arrangement: a, Generation: f.Generation, ExpiresAt: f.Expires,
			StageDays: f.StageDays, Refused: refused}})
	}
	return all
}

// watchedData returns the data of an event about a watched certificate: the object is TENANT/watched/NAME.
func (f facts) watchedData(s webhook.Severity, text string) *webhook.WatchedData {
	name := strings.TrimPrefix(f.Object, f.Tenant+"/watched/")
	return &webhook.WatchedData{Common: f.common(s, f.link("tenants", f.Tenant, "watched", name), text, name), Name: name,
		Fingerprint: f.Fingerprint, NotAfter: f.NotAfter, Surprises: f.Surprises}
}

func (f facts) watchedProblem() string { return "watched:" + f.Object }

func watched(of webhook.Type, s webhook.Severity, text string) func(f facts) []made {
	return func(f facts) []made {
		d := f.watchedData(s, text)
		if s != webhook.Info {
			d.Common = opens(d.Common, f.watchedProblem())
		}
		return one(of, d)
	}
}

func watchedSeen(f facts) []made {
	if len(f.Surprises) > 0 {
		d := f.watchedData(webhook.Warning, "An unexpected certificate was seen for %s")
		d.Common = opens(d.Common, f.watchedProblem())
		return one(webhook.WatchedSeen, d)
	}
	d := f.watchedData(webhook.Info, "The certificate %s has been renewed")
	d.Common = resolves(d.Common, f.watchedProblem())
	return one(webhook.WatchedSeen, d)
}

func feedSilent(f facts) []made {
	a := f.arrangement()
	c := f.common(webhook.Warning, f.arrangementPage(a), "The feed of %s has not been fetched for 7 days, so the "+
		"receiver may miss the next certificate", f.Object)
	return one(webhook.FeedSilent, &webhook.FeedSilentData{Common: opens(c, "feed:"+f.Object), Arrangement: a,
		FetchedAt: f.FetchedAt})
}

// partyFeedSilent is about a feed for many tenants, so it is an event of the installation.
func partyFeedSilent(f facts) []made {
	c := f.common(webhook.Warning, f.link("counterparties", f.Object), "The feed of the counterparty %s has not been "+
		"fetched for 7 days, so its receivers may miss the next certificates", f.Object)
	return one(webhook.FeedSilent, &webhook.FeedSilentData{Common: opens(c, "feed:counterparty/"+f.Object),
		Counterparty: f.Object, FetchedAt: f.FetchedAt})
}

func authorityAnnounced(f facts) []made {
	return one(webhook.AuthorityAnnounced, &webhook.AuthorityData{Common: f.common(webhook.Info, f.link("authorities"),
		"A new CA will issue certificates from %s", tenancy.Moment(f.SignsFrom)), Authority: f.Object, SignsFrom: f.SignsFrom,
		NotAfter: f.NotAfter})
}

func authorityRevoked(f facts) []made {
	return one(webhook.AuthorityRevoked, &webhook.AuthorityData{Common: f.common(webhook.Critical, f.link("authorities"),
		"A CA was revoked: %s. The certificates that it issued are being renewed", f.Reason), Authority: f.Object,
		Reason: f.Reason})
}

// runOf returns the run date that an audit event is about: it is its object.
func (f facts) runOf() time.Time {
	at, _ := time.Parse(time.RFC3339, f.Object) // our own form
	return at
}

func runFinished(f facts) []made {
	c := f.common(webhook.Info, f.link("runs"), "The run of %s, has finished", tenancy.Moment(f.runOf()))
	return one(webhook.RunFinished, &webhook.RunData{Common: resolves(c, "run:"+f.Object), RunDate: f.runOf()})
}

func runFailed(f facts) []made {
	c := f.common(webhook.Warning, f.link("runs"), "The run of %s, could not renew some certificates, and retries "+
		"every hour", tenancy.Moment(f.runOf()))
	return one(webhook.RunFailed, &webhook.RunData{Common: opens(c, "run:"+f.Object), RunDate: f.runOf(),
		Failed: f.Failed})
}

const mailProblem = "mail"

func mailHeld(f facts) []made {
	return one(webhook.MailHeld, &webhook.MailData{Common: opens(f.common(webhook.Critical, f.link("deliveries"),
		"The mail server refuses this installation, so no mail is sent"), mailProblem)})
}

func mailReleased(f facts) []made {
	return one(webhook.MailReleased, &webhook.MailData{Common: resolves(f.common(webhook.Info, f.link("deliveries"),
		"The mail server accepts mails again"), mailProblem)})
}

func tokenExpiring(f facts) []made {
	c := f.common(webhook.Warning, f.link("tokens"), "The token %s of a %s expires on %s, and has no successor", f.Name,
		f.Role, tenancy.Moment(f.ExpiresAt))
	return one(webhook.TokenExpiring, &webhook.TokenData{Common: opens(c, "token:"+f.Object), Token: f.Object,
		Name: f.Name, Role: f.Role, ExpiresAt: f.ExpiresAt})
}

func (f facts) guardProblem() string { return "guard:" + f.Object + ":" + f.SHA256 }

func (f facts) guarded(c webhook.Common) *webhook.GuardData {
	return &webhook.GuardData{Common: c, Partner: f.Object, Fingerprint: f.SHA256, Code: f.Code}
}

func guardHeld(f facts) []made {
	c := f.common(webhook.Warning, f.link("guard"), "The guard holds a certificate of %s until a person decides", f.Object)
	return one(webhook.GuardHeld, f.guarded(opens(c, f.guardProblem())))
}

func guardDecided(of webhook.Type, verb string) func(f facts) []made {
	return func(f facts) []made {
		c := f.common(webhook.Info, f.link("guard"), "A certificate of %s was %s", f.Object, verb)
		return one(of, f.guarded(resolves(c, f.guardProblem())))
	}
}
