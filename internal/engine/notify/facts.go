package notify

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/perennial-pki/perennial/internal/engine/standing"
	"github.com/perennial-pki/perennial/internal/engine/store"
	"github.com/perennial-pki/perennial/internal/keys/certfile"
	"github.com/perennial-pki/perennial/internal/keys/issuer"
	"github.com/perennial-pki/perennial/rollover"
	"github.com/perennial-pki/perennial/tenancy"
)

// records hold the rows for the letters of one delivery.
type records struct {
	notices      map[string]tenancy.Notice
	tenants      map[string]tenancy.Tenant
	arrangements map[string][]tenancy.Arrangement // by tenant ID
	receivers    map[string][]tenancy.Receiver    // by tenant ID
	users        map[string][]tenancy.KeyUser     // by tenant ID
	contacts     map[string][]tenancy.ITContact   // by tenant ID
	preferences  map[string]tenancy.Preferences   // of the accounts of key users, by the ID of the key user
	threads      map[string][]tenancy.Mail        // the first to each reader, by the ID of the notice's certificate
	certs        map[string]tenancy.Certificate
	inReach      map[string][]tenancy.Certificate // by tenant ID, the oldest first
	evidence     map[string][]standing.Evidence   // by arrangement ID
	links        map[string][]tenancy.Link        // by arrangement ID
	// administrators and partyContacts are read for mails to administrators of receivers, by their ID and by that of the
	// counterparty.
	administrators map[string]tenancy.Administrator
	partyContacts  map[string][]tenancy.CounterpartyContact
	mailed         mailed
	authorities    []tenancy.Authority // of the local CA
	chains         store.Chains        // filled when first needed
}

// chain returns a certificate with the CAs above it, without the root.
func (d *Deliverer) chain(ctx context.Context, all records, c tenancy.Certificate) (chain [][]byte, err error) {
	return all.chains.Of(ctx, d.store.Reader, c)
}

// changed sets the changes by a renewal, and the certificates of a new CA that receivers may have to trust. If the
// certificates cannot be compared, it leaves that open, because the mail must be sent anyway.
func (d *Deliverer) changed(ctx context.Context, l *Letter, all records, old, next tenancy.Certificate) (err error) {
	before, err1 := d.chain(ctx, all, old)
	after, err2 := d.chain(ctx, all, next)
	if err := errors.Join(err1, err2); err != nil {
		return err
	}
	if l.Changes, err = certfile.Changes(before, after); err != nil {
		d.log.WarnContext(ctx, "a mail does not state what changes, because a certificate cannot be read", "tenant", l.Tenant,
			"generation", old.Generation, "error", err)
		return nil
	}
	l.ChangesKnown = true
	l.ForeignIssuer = l.Changes.Issuer && !isAuthority(all.authorities, old.IssuerID)
	if !l.Changes.Issuer {
		return nil
	}
	chain := after[1:]
	if root, found := rootOf(all.authorities, next.IssuerID); found && l.Changes.Root {
		chain = append(chain, root.DER)
	}
	for _, der := range chain {
		details, err := authorityDetails(tenancy.Authority{DER: der})
		if err != nil {
			return err
		}
		l.NewCAs = append(l.NewCAs, *details)
	}
	return nil
}

// expected sets the changes by the next renewal, as far as the CA's plans show them: an authority of the local CA
// issues the same names again, and another authority may have taken over by then. If the certificates cannot be
// compared, it leaves that open, because the mail must be sent anyway.
func (d *Deliverer) expected(ctx context.Context, l *Letter, all records, t tenancy.Tenant,
	old tenancy.Certificate) error {
	if len(all.authorities) == 0 || old.Issuer != "" { // another CA decides
		return nil
	}
	if !isAuthority(all.authorities, old.IssuerID) { // it was imported
		chain, err := d.chain(ctx, all, old)
		if err != nil {
			return err
		}
		next, foreseen, err := issuer.Expect(d.issuer, issuer.Request{Tenant: t.Name, Purpose: old.Purpose, At: l.RenewalOn},
			chain)
		if err != nil {
			d.log.WarnContext(ctx, "a mail does not state what will change, because a certificate cannot be read", "tenant",
				l.Tenant, "generation", old.Generation, "error", err)
		}
		l.ChangesKnown, l.ForeignIssuer, l.Changes = foreseen, true, next.Changes
		return nil
	}
	var signs tenancy.Authority
	for _, a := range all.authorities {
		if a.Kind == tenancy.IssuingAuthority && !a.SignsFrom.After(l.RenewalOn) && a.Position > signs.Position {
			signs = a
		}
	}
	before, _ := rootOf(all.authorities, old.IssuerID)
	after, _ := rootOf(all.authorities, signs.ID)
	l.ChangesKnown = true
	l.Changes = tenancy.Changes{Key: true, Issuer: signs.ID != old.IssuerID, Root: before.ID != after.ID}
	return nil
}

func isAuthority(all []tenancy.Authority, id string) bool {
	return slices.ContainsFunc(all, func(a tenancy.Authority) bool { return a.ID == id })
}

// rootOf returns the root above an authority of the local CA.
func rootOf(all []tenancy.Authority, id string) (root tenancy.Authority, found bool) {
	for range all { // a hierarchy is not deeper than the number of its authorities
		i := slices.IndexFunc(all, func(a tenancy.Authority) bool { return a.ID == id })
		if i < 0 {
			return tenancy.Authority{}, false
		}
		if all[i].ParentID == "" {
			return all[i], true
		}
		id = all[i].ParentID
	}
	return tenancy.Authority{}, false
}

// affected lists the arrangements of a tenant that present one of the credentials. wanted is the generation that their
// receivers must accept; in a warning, it is the present one.
func affected(l *Letter, all records, kind tenancy.NoticeKind, t tenancy.Tenant,
	credentials map[tenancy.Purpose]bool, wanted int, baseURL string, now time.Time) (list []Affected) {
	byID := map[string]tenancy.Receiver{}
	for _, r := range all.receivers[t.ID] {
		byID[r.ID] = r
	}
	for _, a := range all.arrangements[t.ID] {
		if a.Authentication != tenancy.ClientCertificate || !credentials[a.Presents()] {
			continue
		}
		s := standing.Assemble(t, a, all.inReach[t.ID], all.evidence[a.ID])
		risk, at := s.Rollover.Risk(now)
		if kind == tenancy.Unready && !at || kind == tenancy.Over && s.Rollover.Proved(wanted) {
			continue
		}
		r := byID[a.ReceiverID]
		one := Affected{Arrangement: a.Name, Scenario: a.Scenario, Receiver: r.DisplayName, Endpoint: a.Endpoint,
			Contact: contact(r), Switched: a.Generation >= wanted, Immediate: a.Strategy == tenancy.Immediate,
			Checks: l.checks(a.Egress.IdentifiesBy),
			id:     a.ID, contactName: r.ContactName, contactEmail: r.ContactEmail, invited: len(all.links[a.ID]) > 0}
		for _, link := range all.links[a.ID] {
			if link.OpenedAt.After(one.opened) {
				one.opened = link.OpenedAt
			}
		}
		if slices.Contains(toldTogether, kind) {
			all.mailed.mark(&one, t, r, all.links[a.ID])
		}
		if baseURL != "" {
			one.Page = fmt.Sprintf("%s/tenants/%s/arrangements/%s", baseURL, t.Name, a.Name)
		}
		if l.ChangesKnown {
			by := a.Egress.IdentifiesBy
			survival := l.Changes.Survival(by)
			one.Unaffected, one.MustChange = survival == tenancy.Survives, survival == tenancy.Fails
			one.DependsOnCA = (tenancy.Changes{Key: true}).Survival(by) == tenancy.Survives && !one.Unaffected
		}
		if at {
			one.Exposed, wanted = risk.Exposed, risk.Wanted
			if !risk.Exposed {
				one.Deadline = risk.Deadline
			}
		}
		known, _ := s.Rollover.Generation(wanted)
		one.Accepts, one.Refuses = known.Verdict == rollover.Accepted, known.Verdict == rollover.Refused
		one.Unasked = !s.Rollover.UnaskedAt.IsZero()
		// A renewal leaves a receiver without another certificate if the old one was revoked or has expired.
		one.Exposed = one.Exposed || (kind == tenancy.Renewed || kind == tenancy.Over) && !at && !one.Accepts && !one.Unasked
		one.Claimed = known.ClaimedBy == rollover.Person
		for _, e := range all.evidence[a.ID] {
			if e.Generation == wanted && e.Verdict == known.Verdict {
				one.Answer, one.AnsweredAt = l.read(e.Detail), e.VerdictAt
			}
		}
		said := adviceOf(kind, one)
		one.Advice, one.Idle = l.advice(said, one), said.idle()
		list = append(list, one)
	}
	return list
}

// contact names a receiver's administrator; empty if none is known.
func contact(r tenancy.Receiver) string {
	var parts []string
	for _, part := range []string{r.ContactName, r.ContactEmail} {
		if part != "" {
			parts = append(parts, part)
		}
	}
	return strings.Join(parts, ", ")
}
