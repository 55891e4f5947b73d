package notify

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/perennial-pki/perennial/policy"
	"github.com/perennial-pki/perennial/tenancy"
)

// address sets how a letter addresses its reader: the name, the language, the zone, and the pages and links. A key
// user's own preferences come first, then those of the user's account, then those of the installation.
func (d *Deliverer) address(l *Letter, all records, m tenancy.Mail, n tenancy.Notice) {
	var p tenancy.Preferences
	for _, u := range all.users[m.TenantID] {
		if m.KeyUserID == "" || u.ID != m.KeyUserID {
			continue
		}
		p, l.DisplayName = u.Preferences.Or(all.preferences[u.ID]), u.DisplayName
		if d.baseURL == "" {
			continue
		}
		if d.link(l, n, u); u.Preferences == (tenancy.Preferences{}) { // those of the account apply
			l.AccountPage = d.baseURL + "/account"
		}
	}
	if i := slices.IndexFunc(all.contacts[m.TenantID], func(c tenancy.ITContact) bool {
		return m.KeyUserID == "" && c.Email == m.Address
	}); i >= 0 {
		p = all.contacts[m.TenantID][i].Preferences
	}
	if m.AdministratorID != "" {
		p = all.administratorPreferences(m, n)
	}
	p = p.Or(d.platform.Preferences)
	l.Language, l.Zone = p.Language, p.Location()
	if l.Language == "" || slices.Contains(toOperators, n.Kind) {
		l.Language = tenancy.English
	}
	if d.baseURL == "" || l.Tenant == "" {
		return
	}
	pages := fmt.Sprintf("%s/tenants/%s/", d.baseURL, l.Tenant)
	l.Board, l.CAFile = pages+"rollovers", d.baseURL+"/pki/ca.pem"
	switch {
	case n.Kind == tenancy.NewAuthority:
		l.CheckPage = l.CAFile
	case n.CertificateID != "" && !l.ITContact: // IT contacts need not have an account
		l.CheckPage = pages + "certificates"
	}
}

// thread returns the Message-ID of the first mail to the reader about the same certificate; empty if that is this mail.
func (r records) thread(m tenancy.Mail, n tenancy.Notice) string {
	if n.CertificateID == "" {
		return ""
	}
	for _, first := range r.threads[n.CertificateID] {
		if first.KeyUserID == m.KeyUserID && (m.KeyUserID != "" || first.Address == m.Address) {
			if first.MessageID == m.MessageID {
				return ""
			}
			return first.MessageID
		}
	}
	return ""
}

// subject returns the subject in the reader's language. What the policy prescribes stays to the letter.
func (l Letter) subject(n tenancy.Notice) string {
	if prescribed := n.Kind == tenancy.Expiring || n.Kind == tenancy.Renewed; l.Superseded() && !prescribed {
		return l.TenantTitle + l.german(": the certificate was revoked", ": Das Zertifikat wurde widerrufen")
	}
	if l.Administered != nil {
		return l.administratorSubject(n)
	}
	systems := len(l.Arrangements)
	if systems == 0 && (n.Kind == tenancy.Unready || n.Kind == tenancy.Over) { // they have accepted it in the meantime
		return l.TenantTitle + l.german(": every system accepts the new certificate", ": Alle Systeme akzeptieren das "+
			"neue Zertifikat")
	}
	switch n.Kind {
	case tenancy.Unready:
		return l.reminderSubject(systems)
	case tenancy.Done:
		if left := l.needing(); left > 0 {
			return fmt.Sprintf(l.german("Action needed: %s: %s not known to accept the new certificate any more",
				"Handeln nötig: %s: %s ohne Beleg, dass das neue Zertifikat noch akzeptiert wird"), l.TenantTitle, l.Count(left))
		}
		if systems == 1 {
			return l.TenantTitle + l.german(": the system accepts the new certificate", ": Das System akzeptiert das "+
				"neue Zertifikat")
		}
		return fmt.Sprintf(l.german("%s: all %s systems accept the new certificate",
			"%s: Alle %s Systeme akzeptieren das neue Zertifikat"), l.TenantTitle, l.Number(systems))
	case tenancy.Over:
		return fmt.Sprintf(l.german("Action needed: %s: the old certificate has expired, %s not ready",
			"Handeln nötig: %s: das alte Zertifikat ist abgelaufen, %s nicht bereit"), l.TenantTitle, l.Count(systems))
	}
	if n.Kind == tenancy.NewAuthority {
		return l.authoritySubject()
	}
	if l.Language != tenancy.German {
		return n.Subject
	}
	switch n.Kind {
	case tenancy.StopAsked:
		return "Bitte bestätigen: keine Mails mehr zu " + l.TenantTitle
	case tenancy.AdministratorStopped:
		return "Der Ansprechpartner " + l.Stopped.Address + " erhält keine Mails mehr"
	case tenancy.MailsStopped:
		return "Sie erhalten keine Mails mehr zu " + l.TenantTitle
	case tenancy.ByHand:
		return fmt.Sprintf("%s: neues %s muss von Hand angefordert werden", l.TenantTitle, l.Noun())
	case tenancy.Differs:
		if l.New == nil {
			return fmt.Sprintf("%s: %s wird sich ändern: %s", l.TenantTitle, l.Noun(), l.Differ())
		}
		return fmt.Sprintf("%s: %s hat sich geändert: %s", l.TenantTitle, l.Noun(), l.Differ())
	case tenancy.WatchExpected:
		return "Das Zertifikat " + l.Watched.Name + " wird bald erneuert"
	case tenancy.WatchRenewed:
		return "Das Zertifikat " + l.Watched.Name + " wurde erneuert"
	case tenancy.WatchAlarmed:
		return l.alarmSubject()
	}
	return n.Subject
}

// needing counts the systems that need something.
func (l Letter) needing() (n int) {
	for _, a := range l.Arrangements {
		if !a.Idle {
			n++
		}
	}
	return n
}

func (l Letter) authoritySubject() string {
	name := cmp.Or(l.Platform.Name, defaultPlatform)
	text := fmt.Sprintf(l.german("%s: new issuing CA from %s", "%s: neue ausstellende CA ab %s"), name, l.Day(l.RenewalOn))
	if !l.FirstOfCA.IsZero() {
		text += l.german("; your first certificate of it: ", "; Ihr erstes Zertifikat von ihr: ") + l.Day(l.FirstOfCA)
	}
	return text
}

// firstRenewal returns the planned renewal of a certificate if a CA that begins to sign then signs it; else zero.
func (d *Deliverer) firstRenewal(c tenancy.Certificate, signsFrom, now time.Time) (at time.Time) {
	if d.policy == nil {
		return at
	}
	for _, e := range d.policy.Forecast(policy.Validity{NotBefore: c.NotBefore, NotAfter: c.NotAfter}, now).Events {
		if e.Action == policy.Renew && !e.At.Before(signsFrom) {
			return e.At
		}
	}
	return at
}

func (l Letter) reminderSubject(systems int) string {
	ready := fmt.Sprintf(l.german("%s: %s not ready", "%s: %s nicht bereit"), l.TenantTitle, l.partnerSystems(systems))
	deadline := l.Deadline()
	if deadline.IsZero() {
		return l.german("Action needed: ", "Handeln nötig: ") + ready
	}
	ready += fmt.Sprintf(l.german(", certificate expires %s", ", Zertifikat läuft am %s ab"), l.Day(deadline))
	if l.Late() {
		return l.german("Action needed: ", "Handeln nötig: ") + ready
	}
	return ready
}

func (l Letter) partnerSystems(n int) string {
	if n == 1 {
		return l.german("1 partner system", "1 Partnersystem")
	}
	return l.Number(n) + l.german(" partner systems", " Partnersysteme")
}

func (l Letter) alarmSubject() string {
	name := l.Watched.Name
	switch l.Watched.Alarm {
	case tenancy.AlarmUnexpected:
		return "Unerwartetes Zertifikat für " + name
	case tenancy.AlarmExpired:
		return "Das Zertifikat " + name + " ist abgelaufen, und kein neues wurde gesehen"
	case tenancy.AlarmUnseen:
		return "Die Quelle des Zertifikats " + name + " kann nicht gelesen werden"
	}
	return "Das Zertifikat " + name + " wurde nicht wie erwartet erneuert"
}

// requested returns the certificate that a notice requests. Its subject begins with it.
func requested(n tenancy.Notice) string {
	certificate, _, _ := strings.Cut(n.Subject, " must be requested")
	return certificate
}
