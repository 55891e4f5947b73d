package notify

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/perennial-pki/perennial/internal/engine/links"
	"github.com/perennial-pki/perennial/tenancy"
)

// mostAdministered limits the systems with a link in a mail to their administrator.
const mostAdministered = 8

// Administered holds the facts that only mails to the administrators of receivers have.
type Administered struct {
	// Party is set in a mail to a counterparty, which is about several tenants.
	Party *PartyFacts
	// ContactName and ContactEmail are of the person at the tenant to ask; empty if none is known.
	ContactName, ContactEmail string
	// Stop is the page that ends the mails, or passes them on.
	Stop string
}

// Contact returns the person at the tenant to ask with the address; empty if none is known.
func (a Administered) Contact() string {
	if a.ContactEmail == "" {
		return ""
	}
	return a.ContactName + ", " + a.ContactEmail
}

// PartyFacts describe the subject matter of a mail to a counterparty.
type PartyFacts struct {
	DisplayName string // of the counterparty
	Lines       []tenancy.ReportedCertificate
	Total       int
	First       time.Time
	Page        string // of the counterparty; empty without an address of the service
	files       []Details
}

// More returns the number of certificates that are not listed.
func (p PartyFacts) More() int { return p.Total - len(p.Lines) }

// Attached returns the number of certificates that are attached.
func (p PartyFacts) Attached() int { return len(p.files) }

// Over reports whether the first deadline has passed.
func (p PartyFacts) Over(now time.Time) bool { return !now.Before(p.First) }

// baseKinds are the kinds of notices to key users that concern the same receivers.
var baseKinds = map[tenancy.NoticeKind]tenancy.NoticeKind{
	tenancy.AdministratorExpiring: tenancy.Expiring, tenancy.AdministratorRenewed: tenancy.Renewed,
	tenancy.AdministratorUnready: tenancy.Unready, tenancy.AdministratorDone: tenancy.Done,
	tenancy.AdministratorRetired: tenancy.Done,
}

// forAdministrators reports whether a notice is to the administrators of receivers.
func forAdministrators(kind tenancy.NoticeKind) bool {
	_, found := baseKinds[kind]
	return found
}

// baseKind returns the kind by which receivers are selected and described. A reminder after the expiry is about those
// that are not ready, whether or not they can still be reached.
func baseKind(n tenancy.Notice, expires, now time.Time) tenancy.NoticeKind {
	if n.Kind == tenancy.AdministratorUnready && !now.Before(expires) {
		return tenancy.Over
	}
	if base, found := baseKinds[n.Kind]; found {
		return base
	}
	return n.Kind
}

// reportOf returns the report of a notice to a counterparty. found is false for another notice.
func reportOf(n tenancy.Notice) (r tenancy.CounterpartyReport, found bool, err error) {
	if !forAdministrators(n.Kind) || n.CertificateID != "" {
		return r, false, nil
	}
	if err := json.Unmarshal([]byte(n.Reason), &r); err != nil {
		return r, false, fmt.Errorf("the report of the notice %s is damaged: %w", n.ID, err)
	}
	return r, true, nil
}

// administered completes a mail to the administrator of receivers: the systems of that person with their links, the
// person to ask, and the link that stops the mails.
func (d *Deliverer) administered(l *Letter, all records, m tenancy.Mail, n tenancy.Notice) error {
	to, known := all.administrators[m.AdministratorID]
	if !known {
		return nil // it was deleted with its tenant or counterparty, and so is this mail soon
	}
	l.Administered = &Administered{}
	if d.mailsLinks() {
		l.Administered.Stop = d.baseURL + "/administrator/" + to.ID + "-" + d.linkKey.Secret(links.Stop, to.ID)
		l.OneClick = l.Administered.Stop
	}
	l.Board, l.CheckPage, l.AccountPage, l.ITContact = "", "", "", false
	report, found, err := reportOf(n)
	if err != nil {
		return err
	}
	if found {
		l.Reason = ""
		l.Administered.Party = d.party(all, report, n, to)
		return nil
	}
	if contacts := all.contacts[m.TenantID]; len(contacts) > 0 {
		l.Administered.ContactName, l.Administered.ContactEmail = contacts[0].Name, contacts[0].Email
	}
	l.Arrangements = slices.DeleteFunc(l.Arrangements, func(a Affected) bool {
		return tenancy.MailKey(a.contactEmail) != to.Address
	})
	for i := range l.Arrangements {
		a := &l.Arrangements[i]
		a.Page = ""
		for _, link := range all.links[a.id] {
			if link.Address == to.Address && d.mailsLinks() {
				a.Page = d.receiverPage(d.linkKey.Secret(links.Page, link.ID))
			}
		}
		a.Advice = l.administratorAdvice(n.Kind, *a)
	}
	if n.Kind == tenancy.AdministratorDone || n.Kind == tenancy.AdministratorRetired {
		l.New, l.NewCAs = nil, nil // nothing is to be installed
	}
	return nil
}

// party describes a report to a counterparty. The new certificates are attached if all of them are listed.
func (d *Deliverer) party(all records, r tenancy.CounterpartyReport, n tenancy.Notice,
	to tenancy.Administrator) *PartyFacts {
	facts := &PartyFacts{DisplayName: r.DisplayName, Lines: r.Lines, Total: r.Total, First: r.First}
	if d.mailsLinks() {
		facts.Page = d.baseURL + "/counterparty/" + d.linkKey.Secret(links.Counterparty, n.ID, to.ID)
	}
	if n.Kind != tenancy.AdministratorRenewed && n.Kind != tenancy.AdministratorUnready || facts.More() > 0 {
		return facts
	}
	for _, line := range r.Lines {
		if c, found := all.certs[line.CertificateID]; found {
			facts.files = append(facts.files, DetailsOf(c))
		}
	}
	return facts
}

// administratorPreferences returns those of the administrator of receivers to whom a mail is: of a contact of the
// counterparty, or of the receiver.
func (r records) administratorPreferences(m tenancy.Mail, n tenancy.Notice) tenancy.Preferences {
	if report, found, err := reportOf(n); found && err == nil {
		for _, c := range r.partyContacts[report.CounterpartyID] {
			if c.Email == m.Address {
				return tenancy.Preferences{Language: c.Language, Zone: c.Zone}
			}
		}
	}
	for _, v := range r.receivers[m.TenantID] {
		if tenancy.MailKey(v.ContactEmail) == tenancy.MailKey(m.Address) && v.Contact != (tenancy.Preferences{}) {
			return v.Contact
		}
	}
	return tenancy.Preferences{}
}

// readAdministrators reads what the mails to the administrators of receivers need.
func (d *Deliverer) readAdministrators(ctx context.Context, all *records, mails []tenancy.Mail) error {
	var ids, partyIDs []string
	for _, m := range mails {
		if m.AdministratorID != "" {
			ids = append(ids, m.AdministratorID)
		}
	}
	if len(ids) == 0 {
		return nil
	}
	for _, n := range all.notices {
		if r, found, err := reportOf(n); err != nil {
			return err
		} else if found {
			partyIDs = append(partyIDs, r.CounterpartyID)
		}
	}
	var err1, err2 error
	all.administrators, err1 = d.store.AdministratorsByID(ctx, ids)
	all.partyContacts, err2 = d.store.CounterpartyContacts(ctx, partyIDs)
	return errors.Join(err1, err2)
}

// Administrated returns the systems of the reader that are listed.
func (l Letter) Administrated() []Affected {
	return l.Arrangements[:min(len(l.Arrangements), mostAdministered)]
}

// MoreAdministrated returns how many systems are not listed.
func (l Letter) MoreAdministrated() int { return len(l.Arrangements) - len(l.Administrated()) }

// ToTest reports whether the administrator of a system is asked to test it.
func (l Letter) ToTest(a Affected) bool {
	asked := l.Kind == tenancy.AdministratorRenewed || l.Kind == tenancy.AdministratorUnready ||
		l.Kind == tenancy.AdministratorDone
	return asked && !a.Accepts && !a.Unasked
}

// Reverted reports whether a system of the reader is not known to accept the new certificate, in a mail that all of
// them did when it was written.
func (l Letter) Reverted() bool {
	return slices.ContainsFunc(l.Arrangements, func(a Affected) bool { return !a.Accepts && !a.Unasked })
}

// AllRefuse reports whether every system of the reader has refused the new certificate, so that no test is needed.
func (l Letter) AllRefuse() bool {
	return len(l.Arrangements) > 0 &&
		!slices.ContainsFunc(l.Arrangements, func(a Affected) bool { return !a.Refuses || a.Unasked })
}

// Host returns the host of the endpoint, or the end of a long one.
func (a Affected) Host() string { return a.host() }

// administratorAdvice states what is known about a receiver, and the next step, for its administrator.
func (l Letter) administratorAdvice(kind tenancy.NoticeKind, a Affected) string {
	by := l.german("today", "noch heute")
	until := l.german("Please test it, and install the new certificate today if the test fails.",
		"Bitte testen Sie es, und installieren Sie das neue noch heute, wenn der Test nicht klappt.")
	if !a.Deadline.IsZero() {
		if !l.Revoked() {
			by = l.german("by ", "bis ") + l.Local(a.Deadline)
		}
		older := l.german("the old certificate", "das alte Zertifikat")
		if l.Revoked() {
			older = l.german("an older certificate", "ein älteres Zertifikat")
		}
		until = fmt.Sprintf(l.german("It gets %s until it accepts the new one, at most until %s.",
			"Es erhält %s, bis es das neue akzeptiert, längstens bis zum %s."), older, l.Local(a.Deadline))
	}
	answer := ""
	if a.Answer != "" && !a.AnsweredAt.IsZero() {
		answer = " (" + a.Answer + ", " + l.Day(a.AnsweredAt) + ")"
	}
	switch {
	case a.Unasked:
		return l.german("Nothing to do, because it asks for no certificate.",
			"Nichts zu tun, denn es verlangt kein Zertifikat.")
	case kind == tenancy.AdministratorExpiring && a.Unaffected:
		return fmt.Sprintf(l.german("Probably nothing to do. It checks %s, which stays the same.",
			"Wahrscheinlich nichts zu tun: Es prüft %s, und das bleibt gleich."), a.Checks)
	case kind == tenancy.AdministratorExpiring && a.Immediate:
		return l.german("It gets only the new certificate from that day on. Please plan to install it on that day.",
			"Es erhält von dem Tag an nur das neue Zertifikat. Bitte planen Sie die Installation für diesen Tag.")
	case kind == tenancy.AdministratorExpiring:
		return l.german("It gets the present certificate until it accepts the new one.",
			"Es erhält das jetzige Zertifikat, bis es das neue akzeptiert.")
	case a.Accepts:
		return l.german("It accepts the new certificate. Thank you.", "Es akzeptiert das neue Zertifikat, danke.")
	case a.Refuses && a.Exposed:
		return fmt.Sprintf(l.german("It gets only the new certificate and refuses it%s: messages fail until it is installed.",
			"Es erhält nur das neue Zertifikat und lehnt es ab%s: Nachrichten schlagen fehl, bis es installiert ist."), answer)
	case a.Refuses:
		return fmt.Sprintf(l.german("It refuses the new certificate%s. Please install it %s.",
			"Es lehnt das neue Zertifikat ab%s. Bitte installieren Sie es %s."), answer, by)
	case a.Exposed && a.MustChange:
		return l.german("It gets only the new certificate. Messages are refused until it is installed.",
			"Es erhält nur das neue Zertifikat. Nachrichten werden abgelehnt, bis es installiert ist.")
	case a.Exposed:
		return l.german("It gets only the new certificate, and is not known to accept it. Please test it today, and install "+
			"the certificate if the test fails.", "Es erhält nur das neue Zertifikat, und es ist nicht bekannt, ob es das "+
			"akzeptiert. Bitte testen Sie es heute, und installieren Sie das Zertifikat, wenn der Test nicht klappt.")
	case a.Claimed:
		return l.german("The new certificate was reported as installed, and nothing proves it yet. Please test it.",
			"Das neue Zertifikat wurde als installiert gemeldet, aber noch nichts belegt es. Bitte testen Sie es.")
	case a.Unaffected:
		return fmt.Sprintf(l.german("Perhaps nothing to do. It checks %s, which stays the same. Please test it.",
			"Vielleicht nichts zu tun: Es prüft %s, und das bleibt gleich. Bitte testen Sie es."), a.Checks)
	}
	return until
}

// administratorSubject returns the subject of a mail to the administrator of receivers.
func (l Letter) administratorSubject(n tenancy.Notice) string {
	if l.Administered.Party != nil {
		return l.partySubject(n)
	}
	deadline, systems := l.Deadline(), len(l.Arrangements)
	switch n.Kind {
	case tenancy.AdministratorExpiring:
		return fmt.Sprintf(l.german("%s: the certificate for your system changes on %s",
			"%s: Das Zertifikat für Ihr System ändert sich am %s"), l.TenantTitle, l.Day(l.RenewalOn))
	case tenancy.AdministratorDone:
		if l.Reverted() {
			return fmt.Sprintf(l.german("Action needed: %s: please test the new certificate again",
				"Handeln nötig: %s: bitte das neue Zertifikat noch einmal testen"), l.TenantTitle)
		}
		return l.TenantTitle + l.german(": the new certificate is accepted, thank you",
			": Das neue Zertifikat wird akzeptiert, danke")
	case tenancy.AdministratorRetired:
		return l.TenantTitle + l.german(": you can remove the old certificate",
			": Sie können das alte Zertifikat entfernen")
	}
	switch {
	case n.Kind == tenancy.AdministratorRenewed && l.Revoked():
		return fmt.Sprintf(l.german("Action needed: %s: please remove the revoked certificate today",
			"Handeln nötig: %s: bitte heute das widerrufene Zertifikat entfernen"), l.TenantTitle)
	case systems == 0:
		return l.TenantTitle + l.german(": the new certificate is accepted", ": Das neue Zertifikat wird akzeptiert")
	case deadline.IsZero():
		return fmt.Sprintf(l.german("Action needed: %s: please install the new certificate today",
			"Handeln nötig: %s: bitte heute das neue Zertifikat installieren"), l.TenantTitle)
	}
	text := fmt.Sprintf(l.german("%s: please install the new certificate by %s",
		"%s: bitte bis %s das neue Zertifikat installieren"), l.TenantTitle, l.Day(deadline))
	if n.Kind == tenancy.AdministratorUnready && l.Late() {
		return l.german("Action needed: ", "Handeln nötig: ") + text
	}
	return text
}

// partySubject returns the subject of a mail to a counterparty.
func (l Letter) partySubject(n tenancy.Notice) string {
	p := l.Administered.Party
	count, day := l.Certificates(p.Total), l.Day(p.First)
	switch n.Kind {
	case tenancy.AdministratorExpiring:
		if p.Total == 1 {
			return fmt.Sprintf(l.german("%s for %s changes on %s", "%s für %s ändert sich am %s"), count, p.DisplayName, day)
		}
		return fmt.Sprintf(l.german("%s for %s change from %s on", "%s für %s ändern sich ab %s"), count, p.DisplayName, day)
	case tenancy.AdministratorDone:
		return fmt.Sprintf(l.german("%s: new certificates are accepted (%s), thank you",
			"%s: neue Zertifikate werden akzeptiert (%s), danke"), p.DisplayName, count)
	case tenancy.AdministratorRetired:
		return fmt.Sprintf(l.german("%s: you can remove old certificates (%s)",
			"%s: Sie können alte Zertifikate entfernen (%s)"), p.DisplayName, count)
	}
	please := l.german("%s: please install %s, the first by %s", "%s: bitte %s installieren, das erste bis %s")
	if p.Total == 1 {
		please = l.german("%s: please install %s by %s", "%s: bitte %s installieren bis %s")
	}
	text := fmt.Sprintf(please, p.DisplayName, count, day)
	if n.Kind == tenancy.AdministratorUnready && l.days(p.First) <= lateFrom {
		return l.german("Action needed: ", "Handeln nötig: ") + text
	}
	return text
}

// Certificates returns a number of certificates.
func (l Letter) Certificates(n int) string {
	if n == 1 {
		return l.german("1 certificate", "1 Zertifikat")
	}
	return l.Number(n) + l.german(" certificates", " Zertifikate")
}

// links reads the valid links of all arrangements.
func (d *Deliverer) links(ctx context.Context, all records, now time.Time) (map[string][]tenancy.Link, error) {
	var ids []string
	for _, arrangements := range all.arrangements {
		for _, a := range arrangements {
			ids = append(ids, a.ID)
		}
	}
	return d.store.LinksOf(ctx, ids, now)
}

// shortPrint is the number of digits of a fingerprint by which people find a certificate in a list.
const shortPrint = 16

// Short returns the first digits of a fingerprint.
func (l Letter) Short(fingerprint string) string {
	return l.Print(fingerprint[:min(len(fingerprint), shortPrint)])
}

// DaysTo returns the number of days until an instant, rounded up.
func (l Letter) DaysTo(t time.Time) int { return l.days(t) }
