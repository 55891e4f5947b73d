package notify

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/perennial-pki/perennial/tenancy"
)

// A situation is a letter of a kind, before it has a language.
type situation struct {
	name   string
	kind   tenancy.NoticeKind
	letter func(l *Letter)
}

// systems are receivers in every state that a mail describes.
func systems(kind tenancy.NoticeKind, r Reader) (all []Affected) {
	deadline := date(2027, 1, 14)
	for i, a := range []Affected{
		{Arrangement: "crm-to-bank", Endpoint: "https://bank.example.com/in", contactName: "Eve Evans",
			contactEmail: "eve@bank.example.com", Refuses: true, Answer: "401", Deadline: deadline, MustChange: true},
		{Arrangement: "erp-to-bank", Endpoint: "https://erp.bank.example.com/in", contactName: "Eve Evans",
			contactEmail: "eve@bank.example.com", Deadline: deadline, MustChange: true},
		{Arrangement: "crm-to-shop", Endpoint: "https://shop.example.com/in", contactName: "Sam Smith", Exposed: true,
			Immediate: true},
		{Arrangement: "crm-to-tax", Endpoint: "https://tax.example.com/in", Deadline: deadline},
		{Arrangement: "crm-to-post", Endpoint: "https://post.example.com/in", contactEmail: "ops@post.example.com",
			Unaffected: true, Deadline: deadline},
		{Arrangement: "crm-to-done", Endpoint: "https://done.example.com/in", contactName: "Dora", Accepts: true,
			Answer: "200"},
		{Arrangement: "crm-to-claim", Endpoint: "https://claim.example.com/in", contactName: "Carl", Claimed: true,
			Deadline: deadline},
	} {
		by := []tenancy.Identifier{tenancy.ByCertificate}
		if a.Unaffected {
			by = []tenancy.Identifier{tenancy.BySubject}
		}
		if i != 3 {
			a.Checks = r.checks(by)
		}
		all = append(all, complete(kind, r, a))
	}
	return all
}

func complete(kind tenancy.NoticeKind, r Reader, a Affected) Affected {
	a.Page = "https://p.example.com/tenants/acme/arrangements/" + a.Arrangement
	said := adviceOf(kind, a)
	a.Advice, a.Idle = r.advice(said, a), said.idle()
	return a
}

// many returns systems of one administrator, or each of its own.
func many(kind tenancy.NoticeKind, r Reader, n int, apart bool) (all []Affected) {
	for i := range n {
		a := Affected{Arrangement: fmt.Sprintf("crm-to-partner-%d", i), contactName: "Eve Evans",
			contactEmail: "eve@bank.example.com", Deadline: date(2027, 1, 14), MustChange: true,
			Endpoint: fmt.Sprintf("https://gateway-%d.%s.bank.example.com/%s", i, strings.Repeat("a-long-part.", 8),
				strings.Repeat("path/", 40))}
		if apart {
			a.contactName, a.contactEmail = fmt.Sprintf("Person %d", i), fmt.Sprintf("person-%d@bank.example.com", i)
		}
		a.Checks = r.checks([]tenancy.Identifier{tenancy.ByCertificate})
		all = append(all, complete(kind, r, a))
	}
	return all
}

// situations are those of all kinds of mails to readers in both languages.
func situations() (all []situation) {
	add := func(name string, kind tenancy.NoticeKind, changes ...func(l *Letter)) {
		all = append(all, situation{name, kind, func(l *Letter) {
			for _, change := range changes {
				change(l)
			}
		}})
	}
	var (
		mixed = func(l *Letter) { l.Arrangements = systems(l.Kind, l.Reader) }
		one   = func(l *Letter) { l.Arrangements = systems(l.Kind, l.Reader)[:1] }
		ready = func(l *Letter) { l.Arrangements = systems(l.Kind, l.Reader)[5:6] }
		forty = func(l *Letter) { l.Arrangements = many(l.Kind, l.Reader, 40, false) }
		apart = func(l *Letter) { l.Arrangements = many(l.Kind, l.Reader, 40, true) }
		newCA = func(l *Letter) {
			l.Changes, l.NewCAs = tenancy.Changes{Key: true, Issuer: true, Root: true}, []Details{*l.New}
		}
		renamed = func(l *Letter) { l.Changes = tenancy.Changes{Key: true, Issuer: true, Subject: true, SAN: true} }
		because = func(reason string) func(l *Letter) { return func(l *Letter) { l.Reason = reason } }
		first   = func(l *Letter) { l.New = nil }
		mUser   = func(l *Letter) {
			l.Purpose, l.ITContact, l.Designated, l.Unsubscribe = tenancy.ForMUser, true, true, ""
		}
		told = func(l *Letter) {
			l.Arrangements = systems(l.Kind, l.Reader)
			for i, a := range l.Arrangements {
				l.Arrangements[i].Mailed = a.contactEmail != ""
			}
		}
		toldAll = func(l *Letter) { told(l); l.Arrangements = l.Arrangements[:2] }
		urgent  = func(l *Letter) { l.Now = date(2027, 1, 13).Add(time.Hour) }
	)
	add("no system", tenancy.Expiring, first)
	add("mixed", tenancy.Expiring, first, mixed)
	add("forty", tenancy.Expiring, first, forty)
	add("told", tenancy.Expiring, first, told)
	add("all told", tenancy.Expiring, first, toldAll)
	add("m-user", tenancy.Expiring, first, mUser)
	add("new names", tenancy.Expiring, first, mixed, renamed)
	add("no system", tenancy.Renewed)
	add("mixed", tenancy.Renewed, mixed)
	add("all ready", tenancy.Renewed, ready)
	add("forty", tenancy.Renewed, forty)
	add("forty apart", tenancy.Renewed, apart)
	add("told", tenancy.Renewed, told)
	add("all told", tenancy.Renewed, toldAll)
	add("m-user", tenancy.Renewed, mUser)
	add("new CA", tenancy.Renewed, mixed, newCA)
	add("reissue", tenancy.Renewed, mixed, because("reissue"))
	add("suggested", tenancy.Renewed, because("suggested"))
	add("lost", tenancy.Renewed, mixed, because("lost"))
	add("compromised", tenancy.Renewed, one, because("compromised"), func(l *Letter) { l.ForeignIssuer = true })
	add("two compromised", tenancy.Renewed, one, because("compromised"), func(l *Letter) {
		l.AlsoRevoked = []string{"0a1b"}
	})
	add("lost, no system", tenancy.Renewed, because("authority-revoked"))
	add("withdrawn", tenancy.Renewed, first, func(l *Letter) { l.NewRevoked = true })
	add("revoked", tenancy.Expiring, first, func(l *Letter) { l.OldRevoked = true })
	add("mixed", tenancy.Unready, mixed)
	add("one, urgent", tenancy.Unready, one, urgent)
	add("forty", tenancy.Unready, forty)
	add("told", tenancy.Unready, told)
	add("exposed", tenancy.Unready, func(l *Letter) { l.Arrangements = systems(l.Kind, l.Reader)[2:3] })
	add("done", tenancy.Done, ready)
	add("done, revoked", tenancy.Done, ready, func(l *Letter) { l.OldRevoked = true })
	add("reverted", tenancy.Done, mixed)
	add("in the meantime", tenancy.Unready)
	add("over", tenancy.Over, func(l *Letter) {
		l.Failed = 2170
		for _, a := range systems(l.Kind, l.Reader)[:5] {
			a.Exposed, a.Deadline = true, time.Time{}
			l.Arrangements = append(l.Arrangements, complete(l.Kind, l.Reader, a))
		}
	})
	authority := func(l *Letter) {
		l.Authority, l.New = &Details{Subject: "CN=Acme issuing CA G2,O=Acme", Serial: "0c", Fingerprint: l.Old.Fingerprint,
			NotAfter: date(2031, 1, 1)}, nil
		l.Changes, l.RenewalOn = tenancy.Changes{Key: true, Issuer: true}, date(2027, 3, 1)
	}
	add("new CA", tenancy.NewAuthority, authority, mixed)
	add("none concerned", tenancy.NewAuthority, authority, func(l *Letter) {
		l.Arrangements, l.FirstOfCA = systems(l.Kind, l.Reader)[:2], date(2027, 4, 1)
	})
	add("new root", tenancy.NewAuthority, authority, func(l *Letter) { l.NewRoot = l.Authority })
	add("by hand", tenancy.ByHand, first, func(l *Letter) {
		l.Issuer, l.RequestPage = "bank-ca", "https://p.example.com/tenants/acme/certificates"
	})
	bare := func(l *Letter) {
		l.Platform, l.ServiceURL, l.Board, l.CheckPage, l.AccountPage, l.Unsubscribe = Platform{}, "", "", "", "", ""
		for i := range l.Arrangements {
			l.Arrangements[i].Page = ""
		}
	}
	add("bare", tenancy.Expiring, first, mixed, bare)
	add("bare", tenancy.Renewed, apart, bare)
	add("bare", tenancy.Unready, mixed, bare)
	add("bare", tenancy.NewAuthority, authority, mixed, bare)
	differ := func(l *Letter) { l.Differences = "issuer and key type" }
	add("held", tenancy.Differs, differ, mixed)
	add("announced", tenancy.Differs, first, differ, mixed)
	add("held, no system", tenancy.Differs, differ)
	add("announced, no system", tenancy.Differs, first, differ)
	add("asked", tenancy.StopAsked, first, func(l *Letter) { l.Confirm, l.Unsubscribe = "https://p.example.com/c", "" })
	add("stopped", tenancy.MailsStopped, first, func(l *Letter) { l.Undo, l.Unsubscribe = "https://p.example.com/u", "" })
	return slices.Concat(all, watchedSituations(), administratorSituations())
}

// administratorSituations are those of mails to the administrators of receivers.
func administratorSituations() (all []situation) {
	to := func(administered Administered, n int, changes ...func(l *Letter)) func(l *Letter) {
		return func(l *Letter) {
			administered.Stop = "https://p.example.com/administrator/1/secret"
			l.Unsubscribe, l.OneClick, l.Board, l.CheckPage, l.AccountPage = "", administered.Stop, "", "", ""
			l.Administered, l.Name, l.DisplayName = &administered, "Eve Evans", ""
			l.Arrangements = systems(baseKinds[l.Kind], l.Reader)[:min(n, 7)]
			for i := range l.Arrangements {
				l.Arrangements[i].Page = "https://p.example.com/rollover/SECRET"
			}
			if n > 7 {
				l.Arrangements = many(baseKinds[l.Kind], l.Reader, n, false)
			}
			for _, change := range changes {
				change(l)
			}
			for i, a := range l.Arrangements {
				l.Arrangements[i].Advice = l.administratorAdvice(l.Kind, a)
			}
			if l.Kind == tenancy.AdministratorDone || l.Kind == tenancy.AdministratorRetired {
				l.New = nil
			}
		}
	}
	add := func(name string, kind tenancy.NoticeKind, letter func(l *Letter)) {
		all = append(all, situation{name, kind, letter})
	}
	ina := Administered{ContactName: "Ina Ivers", ContactEmail: "ina@acme.example.com"}
	urgent := func(l *Letter) { l.Now = date(2027, 1, 13).Add(time.Hour) }
	first := func(l *Letter) { l.New = nil }
	over := func(l *Letter) {
		for i := range l.Arrangements {
			l.Arrangements[i].Deadline = time.Time{}
		}
	}
	party := Administered{Party: &PartyFacts{DisplayName: "House Bank", Total: 240, First: date(2027, 1, 14),
		Page: "https://p.example.com/counterparty/SECRET"}}
	for i := range tenancy.MostReported {
		party.Party.Lines = append(party.Party.Lines, tenancy.ReportedCertificate{Tenant: fmt.Sprintf("t%d", i),
			DisplayName: fmt.Sprintf("Customer %d", i), Fingerprint: strings.Repeat("fedcba9876543210", 4),
			At: date(2027, 1, 14)})
	}
	single := Administered{Party: &PartyFacts{DisplayName: "House Bank", Total: 1, First: date(2027, 1, 14),
		Page: "https://p.example.com/counterparty/SECRET", Lines: party.Party.Lines[:1], files: []Details{{}}}}
	add("one", tenancy.AdministratorExpiring, to(ina, 1, first))
	add("one", tenancy.AdministratorRenewed, to(ina, 1))
	add("mixed", tenancy.AdministratorRenewed, to(ina, 7))
	add("forty", tenancy.AdministratorRenewed, to(ina, 40))
	add("new names", tenancy.AdministratorRenewed, to(ina, 2, func(l *Letter) {
		l.Changes = tenancy.Changes{Key: true, Issuer: true, Subject: true}
	}))
	add("compromised", tenancy.AdministratorRenewed, to(ina, 1, func(l *Letter) { l.Reason = "compromised" }))
	add("two lost", tenancy.AdministratorRenewed, to(ina, 1, func(l *Letter) {
		l.Reason, l.AlsoRevoked = "lost", []string{"0a1b", "0c"}
	}))
	add("one", tenancy.AdministratorUnready, to(ina, 1))
	add("urgent", tenancy.AdministratorUnready, to(ina, 2, urgent))
	add("expired", tenancy.AdministratorUnready, to(ina, 2, over))
	add("in the meantime", tenancy.AdministratorUnready, to(ina, 0))
	add("one", tenancy.AdministratorDone, to(ina, 1, func(l *Letter) {
		l.Arrangements[0].Accepts, l.Arrangements[0].Refuses = true, false
	}))
	add("revoked", tenancy.AdministratorDone, to(ina, 1, func(l *Letter) {
		l.Arrangements[0].Accepts, l.Arrangements[0].Refuses, l.OldRevoked = true, false, true
	}))
	add("reverted", tenancy.AdministratorDone, to(ina, 2))
	add("withdrawn", tenancy.AdministratorRenewed, to(ina, 1, first, func(l *Letter) { l.NewRevoked = true }))
	add("revoked", tenancy.AdministratorExpiring, to(ina, 1, first, func(l *Letter) { l.OldRevoked = true }))
	add("one", tenancy.AdministratorRetired, to(ina, 1))
	add("counterparty, over", tenancy.AdministratorUnready, to(party, 0, func(l *Letter) {
		l.Tenant, l.TenantTitle, l.Now = "", "", date(2027, 1, 15)
	}))
	for _, kind := range []tenancy.NoticeKind{tenancy.AdministratorExpiring, tenancy.AdministratorRenewed,
		tenancy.AdministratorUnready, tenancy.AdministratorDone, tenancy.AdministratorRetired} {
		add("counterparty", kind, to(party, 0, func(l *Letter) { l.Tenant, l.TenantTitle = "", "" }))
		add("counterparty, one", kind, to(single, 0, func(l *Letter) { l.Tenant, l.TenantTitle = "", "" }))
	}
	for _, why := range []tenancy.StopReason{tenancy.StopAskedFor, tenancy.PassedOn, tenancy.Bounced} {
		add(string(why), tenancy.AdministratorStopped, func(l *Letter) {
			l.New, l.Stopped = nil, &tenancy.StopReport{Address: "eve@bank.example.com", Why: why, Other: "Sam Smith"}
		})
	}
	return all
}

func watchedSituations() (all []situation) {
	facts := func(alarm tenancy.WatchAlarm, seen bool) func(l *Letter) {
		return func(l *Letter) {
			var changes *tenancy.Changes
			if seen {
				changes = &tenancy.Changes{Key: true, Issuer: true}
				l.Changes = *changes
			} else {
				l.New, l.ChangesKnown = nil, false
			}
			l.Watched = &WatchFacts{Name: "acme-c4c", Owner: "SAP", Alarm: alarm, From: date(2026, 10, 1),
				RenewsAt: date(2026, 11, 1), Source: "erp.example.com:443", Since: date(2026, 10, 1),
				LookError: "connection refused", Page: "https://p.example.com/tenants/acme/watched/acme-c4c",
				surprises: []tenancy.WatchSurprise{tenancy.SurpriseEarly, tenancy.SurpriseIssuer},
				Systems: Advise([]tenancy.WatchedSystem{
					{Name: "bank", IdentifiesBy: []tenancy.Identifier{tenancy.ByCertificate}}, {Name: "archive"},
					{Name: "portal", IdentifiesBy: []tenancy.Identifier{tenancy.BySubject}},
				}, []tenancy.Receiver{{Name: "bank", ContactName: "Eve", ContactEmail: "eve@bank.example.com"}}, seen, changes)}
		}
	}
	for _, alarm := range []tenancy.WatchAlarm{tenancy.AlarmExpired, tenancy.AlarmOverdue, tenancy.AlarmUnseen} {
		all = append(all, situation{string(alarm), tenancy.WatchAlarmed, facts(alarm, false)})
	}
	upload := func(page string) func(l *Letter) {
		return func(l *Letter) {
			facts("", false)(l)
			l.Watched.Source, l.Watched.Page = "", page
		}
	}
	return append(all, situation{"unexpected", tenancy.WatchAlarmed, facts(tenancy.AlarmUnexpected, true)},
		situation{"upload", tenancy.WatchExpected, upload("https://p.example.com/tenants/acme/watched/acme-c4c")},
		situation{"upload, no console", tenancy.WatchExpected, upload("")},
		situation{"expected", tenancy.WatchExpected, facts("", false)},
		situation{"renewed", tenancy.WatchRenewed, facts("", true)})
}

// in returns the letter of a situation in a language.
func (s situation) in(language string, zone *time.Location) Letter {
	l := letter("m1").Letter
	l.Name, l.DisplayName, l.Kind = "alice", "Alice Adams", s.kind
	l.Reader.Language, l.Zone = language, zone
	l.Platform = Platform{Name: "Acme Cloud", HelpAddress: "help@acme.example.com", HelpPhone: "+41 31 123 45 67",
		Imprint: "Acme AG, Bern"}
	l.Old.Fingerprint = strings.Repeat("0123456789abcdef", 4)
	l.New.Fingerprint = strings.Repeat("fedcba9876543210", 4)
	l.Old.Issuer, l.New.Issuer = "CN=Acme issuing CA,O=Acme", "CN=Acme issuing CA,O=Acme"
	l.Arrangements, l.ChangesKnown, l.Changes.Key, l.RenewalOn = nil, true, true, date(2027, 1, 1)
	l.Old.NotAfter = date(2027, 1, 14)
	l.Board = "https://p.example.com/tenants/acme/rollovers"
	l.CheckPage = "https://p.example.com/tenants/acme/certificates"
	l.AccountPage = "https://p.example.com/account"
	s.letter(&l)
	withPages(&l)
	l.Subject = l.subject(tenancy.Notice{Kind: s.kind, Subject: "Subject"})
	return l
}

// withPages gives the systems their pages to pass on.
func withPages(l *Letter) {
	for i := range l.Arrangements {
		l.Arrangements[i].id = l.Arrangements[i].Arrangement
	}
	for a := range l.systemsToPassOn() {
		a.PageToPassOn = "https://p.example.com/rollover/" + strings.Repeat("S", 26)
	}
}

// english and german are words that occur in one of the languages only.
var (
	english  = regexp.MustCompile(`\b(the|is|are|and|you|until|certificate|nothing|it|systems|not|please)\b`)
	inGerman = regexp.MustCompile(`\b(der|die|das|ist|und|nicht|Sie|bis|Zertifikat|nichts|Systeme|bitte)\b`)
	// facts match what both languages must name: addresses, hosts, fingerprints, serial numbers, names, years.
	facts = regexp.MustCompile(`https://\S+[^\s).,]|[\w.@-]+\.example\.com|\b[0-9a-f]{4}( [0-9a-f]{4})+|` +
		`\b0[abc]\b|\b20\d\d\b|Eve\b|Sam\b|SAP\b`)
	broken = regexp.MustCompile(`<no value>|%!|\b0001\b|\(\)|  | ,| \.\s|\{|\}|\*\*|#!|\]\(`)
)

// Every mail has the same facts in both languages, no empty field, and no sentence of the other language. With
// PERENNIAL_MAIL_GALLERY=DIR, each mail is written to a folder.
func TestMailsNameTheSameFactsInBothLanguages(t *testing.T) {
	berlin, err := time.LoadLocation("Europe/Berlin")
	check(t, err)
	ts := templates(t)
	mails := 0
	for _, s := range situations() {
		found := map[string][]string{}
		for language, other := range map[string]*regexp.Regexp{tenancy.English: inGerman, tenancy.German: english} {
			name := fmt.Sprintf("%s, %s, %s", s.kind, s.name, language)
			l := s.in(language, berlin)
			text, html, err := ts.render(s.kind, l)
			check(t, err)
			mails++
			line := strings.Join(strings.Fields(text), " ")
			if bad := broken.FindString(strings.ReplaceAll(line, "-- ", "")); bad != "" {
				t.Errorf("%s: %q in\n%s", name, bad, text)
			}
			for _, title := range []string{l.Subject, line} {
				if word := other.FindString(title); word != "" {
					t.Errorf("%s: the word %q in\n%s", name, word, title)
				}
			}
			found[language] = facts.FindAllString(line, -1)
			slices.Sort(found[language])
			if !strings.Contains(html, `<html lang="`+language+`"`) || len(html) > 60_000 {
				t.Errorf("%s: the HTML has %d bytes", name, len(html))
			}
			exhibit(t, fmt.Sprintf("%s-%s-%s", s.kind, strings.ReplaceAll(s.name, " ", "-"), language), html, text)
		}
		if !slices.Equal(found[tenancy.English], found[tenancy.German]) || len(found[tenancy.English]) == 0 {
			t.Errorf("%s, %s: the facts are\n%q and\n%q", s.kind, s.name, found[tenancy.English], found[tenancy.German])
		}
	}
	if mails < 60 {
		t.Errorf("only %d mails were compared", mails)
	}
}

// A system that accepted the new certificate may refuse it before the mail is written.
func TestTheSubjectClaimsNoAcceptanceThatTheMailTakesBack(t *testing.T) {
	mails := 0
	for _, s := range situations() {
		if s.name != "reverted" {
			continue
		}
		actions := map[string]string{tenancy.English: "Action needed: ", tenancy.German: "Handeln nötig: "}
		for language, action := range actions {
			mails++
			if l := s.in(language, time.UTC); !strings.HasPrefix(l.Subject, action) {
				t.Errorf("%s, %s: %s", s.kind, language, l.Subject)
			}
		}
	}
	if mails != 4 {
		t.Errorf("%d mails were looked at", mails)
	}
}

// The mails to the hosting team are in English, whatever the language of the installation.
func TestTheMailsToTheHostingTeamStateWhatToDo(t *testing.T) {
	ts := templates(t)
	for kind, want := range map[tenancy.NoticeKind]string{
		tenancy.AuditHead: "Keep this mail.", tenancy.TokensEnd: "create a successor",
		tenancy.AuthorityAwaited: "must sign the next issuing CA",
	} {
		s := situation{string(kind), kind, func(l *Letter) {
			l.New, l.Tenant, l.TenantTitle, l.Unsubscribe, l.Reason = nil, "", "", "", "1 March 2031"
			l.Head = "42 " + l.Old.Fingerprint
			l.Tokens = []string{"crm of acme, until 14 January 2027", "dmz, a gateway, until 15 January 2027"}
		}}
		text, html, err := ts.render(kind, s.in(tenancy.German, time.UTC))
		check(t, err)
		line := strings.Join(strings.Fields(text), " ")
		if bad := broken.FindString(line); bad != "" || !strings.Contains(line, want) || inGerman.MatchString(line) {
			t.Errorf("%s: %q in\n%s", kind, bad, text)
		}
		exhibit(t, string(kind)+"-operators-en", html, text)
	}
}

// exhibit writes a mail to the folder that PERENNIAL_MAIL_GALLERY names, to be looked at.
func exhibit(t *testing.T, name, html, text string) {
	t.Helper()
	dir := os.Getenv("PERENNIAL_MAIL_GALLERY")
	if dir == "" {
		return
	}
	check(t, os.WriteFile(filepath.Join(dir, name+".html"), []byte(html), 0o600))
	check(t, os.WriteFile(filepath.Join(dir, name+".txt"), []byte(text), 0o600))
}

// A mail about forty systems is as long as one about five.
func TestTheLengthOfAMailDoesNotFollowTheNumberOfSystems(t *testing.T) {
	l := letter("m1").Letter
	for _, apart := range []bool{false, true} {
		l.Arrangements = many(tenancy.Renewed, l.Reader, 40, apart)
		withPages(&l)
		groups := l.Groups()
		listed := 0
		for _, g := range groups {
			for _, p := range g.Points {
				listed += strings.Count(p.Systems, "crm-to-") + p.Rest
			}
		}
		if len(groups) > mostGroups+1 || listed+l.MoreSystems() != 40 {
			t.Errorf("apart %v: %d groups list %d systems, and %d more", apart, len(groups), listed, l.MoreSystems())
		}
		text, _, err := templates(t).render(tenancy.Renewed, l)
		check(t, err)
		if n := strings.Count(text, "\n"); n > 110 {
			t.Errorf("apart %v: the mail has %d lines", apart, n)
		}
	}
}

func TestAnInstantIsInTheZoneOfTheReaderAndInUTC(t *testing.T) {
	berlin, err := time.LoadLocation("Europe/Berlin")
	check(t, err)
	saoPaulo, err := time.LoadLocation("America/Sao_Paulo")
	check(t, err)
	at := time.Date(2026, 12, 1, 0, 30, 0, 0, time.UTC)
	for _, c := range []struct {
		r    Reader
		want string
	}{
		{Reader{}, "1 December 2026, 00:30 UTC"},
		{Reader{Zone: berlin}, "1 December 2026, 01:30 CET (00:30 UTC)"},
		{Reader{Zone: saoPaulo}, "30 November 2026, 21:30 UTC-03 (1 December 2026, 00:30 UTC)"},
		{Reader{Language: "de", Zone: berlin}, "1. Dezember 2026, 01:30 CET (00:30 UTC)"},
	} {
		if got := c.r.Time(at); got != c.want {
			t.Errorf("%+v: %q, want %q", c.r, got, c.want)
		}
	}
}

func TestTheTimeThatIsLeftIsRoundedUp(t *testing.T) {
	at := time.Date(2027, 1, 14, 23, 55, 0, 0, time.UTC)
	for now, want := range map[time.Time]string{
		at.AddDate(0, 0, -30):        "in 30 days",
		at.AddDate(0, 0, -30).Add(1): "in 30 days",
		at.Add(-24*time.Hour - 1):    "tomorrow",
		at.Add(-12 * time.Hour):      "today",
		at:                           "now",
		at.AddDate(0, 0, -2).Add(-1): "in 3 days",
		at.AddDate(0, 0, -1).Add(-time.Hour * 23): "tomorrow",
	} {
		if got := (Letter{Now: now}).In(at); got != want {
			t.Errorf("at %v: %q, want %q", now, got, want)
		}
	}
}

// A key user's own preferences come before those of the account, and the installation's come last.
func TestAMailIsInTheLanguageOfItsReader(t *testing.T) {
	d := &Deliverer{baseURL: "https://p.example.com", platform: Platform{Preferences: tenancy.Preferences{Language: "de"}}}
	user := tenancy.KeyUser{ID: "u1", DisplayName: "Alice Adams"}
	for _, c := range []struct {
		own, account tenancy.Preferences
		language     string
		zone         string
	}{
		{tenancy.Preferences{}, tenancy.Preferences{}, "de", "UTC"},
		{tenancy.Preferences{}, tenancy.Preferences{Language: "en", Zone: "Europe/Berlin"}, "en", "Europe/Berlin"},
		{tenancy.Preferences{Language: "de"}, tenancy.Preferences{Language: "en", Zone: "Europe/Berlin"}, "de",
			"Europe/Berlin"},
	} {
		user.Preferences = c.own
		all := records{users: map[string][]tenancy.KeyUser{"t1": {user}},
			preferences: map[string]tenancy.Preferences{"u1": c.account},
			contacts: map[string][]tenancy.ITContact{"t1": {{Email: "ina@example.com",
				Preferences: tenancy.Preferences{Language: "en"}}}}}
		var l Letter
		d.address(&l, all, tenancy.Mail{TenantID: "t1", KeyUserID: "u1"}, tenancy.Notice{Kind: tenancy.Renewed})
		if l.Language != c.language || l.Zone.String() != c.zone || l.FullName() != "Alice Adams" {
			t.Errorf("%+v: %s in %s", c, l.Language, l.Zone)
		}
		l = Letter{Name: "Ina"}
		d.address(&l, all, tenancy.Mail{TenantID: "t1", Address: "ina@example.com"}, tenancy.Notice{Kind: tenancy.Renewed})
		if l.Language != "en" || l.FullName() != "Ina" {
			t.Errorf("an IT contact: %s, %s", l.Language, l.FullName())
		}
		l = Letter{}
		d.address(&l, all, tenancy.Mail{}, tenancy.Notice{Kind: tenancy.AuditHead})
		if l.Language != "en" {
			t.Errorf("the hosting team: %s", l.Language)
		}
	}
}

// The mails about one renewal are one conversation in the reader's mailbox.
func TestTheMailsAboutOneCertificateAreAThread(t *testing.T) {
	w := newWorld(t)
	w.arrange("bank")
	thread := ""
	for _, at := range []time.Time{date(2026, 11, 1), date(2026, 12, 1), date(2026, 12, 16)} {
		check(t, w.Tick(t.Context(), at))
		for name, l := range w.deliver(at) {
			if !strings.HasPrefix(name, "alice: ") {
				continue
			}
			if l.Thread != thread {
				t.Errorf("%s: the thread is %q, want %q", name, l.Thread, thread)
			}
			if thread == "" {
				thread = l.MessageID
			}
		}
	}
	if thread == "" {
		t.Error("no mail was sent")
	}
}
