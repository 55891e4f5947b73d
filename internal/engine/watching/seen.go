package watching

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/perennial-pki/perennial/internal/engine/store"
	"github.com/perennial-pki/perennial/internal/keys/certfile"
	"github.com/perennial-pki/perennial/policy"
	"github.com/perennial-pki/perennial/tenancy"
)

// A Sighting is a certificate that was seen of a watched one.
type Sighting struct {
	Watched tenancy.Watched
	Seen    tenancy.WatchedCertificate
	// Before is the certificate that was the newest until then; that seen now if nothing is new.
	Before tenancy.WatchedCertificate
	// New is true if the certificate was seen for the first time, or if a person has accepted it now.
	New bool
	// Changes lists what systems may notice; nil if nothing is new, or if the certificates cannot be compared.
	Changes *tenancy.Changes
}

// A Witness states who saw a certificate.
type Witness struct {
	// By is the actor in the audit log.
	By string
	// Accepts is true if a person confirms that the certificate belongs to the watched one, whatever its names.
	Accepts bool
	// Person is true if a person chose the certificate, and false for a source. A person is refused one with other names,
	// because that is mostly a wrong file.
	Person bool
	// Verified is true if the partner has proved that the certificate is its own, as it does to a guard. It is then
	// adopted like one that a person accepts.
	Verified bool
	// Looked is true if the certificate was read from the source.
	Looked bool
}

// Seen compares a certificate with the watched one of that name, whose owner may have renewed it. If it is new, it is
// stored, and key users are notified: of the renewal, or of an alarm if the certificate is not the expected one. What a
// source shows is adopted only if nothing about it is unexpected, because sources are not verified. A certificate that
// was seen before changes nothing, unless it is adopted now. chain has the certificate, and the CAs above it as far as
// they are known. Each call reads the database.
func (w *Watching) Seen(ctx context.Context, t tenancy.Tenant, name string, chain [][]byte, by Witness,
	at time.Time) (s Sighting, err error) {
	c, err := sighted(chain, by.By, at)
	if err != nil {
		return s, tenancy.Invalid("certificate", "%v", err)
	}
	const tries = 3 // of replicas that see it at the same time
	for range tries {
		s, err = w.see(ctx, t, name, c, by, at)
		if !isSlower(err) {
			break
		}
	}
	if err == nil && s.New && len(s.Seen.Surprises) > 0 {
		w.log.WarnContext(ctx, "an unexpected certificate of a watched one was seen", "tenant", t.Name, "watched", name,
			"surprises", s.Seen.Surprises, "fingerprint", s.Seen.Fingerprint, "not_after", s.Seen.NotAfter)
	}
	return s, err
}

func (w *Watching) see(ctx context.Context, t tenancy.Tenant, name string, c tenancy.WatchedCertificate, by Witness,
	at time.Time) (s Sighting, err error) {
	v, err := w.store.Watched(ctx, t.ID, name)
	if err != nil {
		return s, err
	}
	seen, newest, err := read(ctx, w.store.Reader, v)
	if err != nil {
		return s, err
	}
	s = Sighting{Watched: v, Seen: c, Before: newest}
	known := slices.IndexFunc(seen, func(o tenancy.WatchedCertificate) bool { return o.Fingerprint == c.Fingerprint })
	switch {
	case known >= 0:
		s.Seen = seen[known]
		s.New = by.decides() && !s.Seen.Adopted
	default:
		s.New = true
		s.Seen.ID, s.Seen.TenantID, s.Seen.WatchedID = store.NewID(), t.ID, v.ID
		s.Seen.Position = seen[len(seen)-1].Position + 1
	}
	if s.New {
		if err := w.compare(&s, by, at); err != nil {
			return s, err
		}
	}
	if known >= 0 && !s.Seen.Adopted { // one that has expired in the meantime
		s.New, s.Changes = false, nil
	}
	if !s.New && !by.Looked {
		return s, nil
	}
	err = w.store.InTx(ctx, func(tx *store.Tx) error {
		stored := v
		if by.Looked {
			stored.LookedAt, stored.FailingSince, stored.LookError = at, time.Time{}, ""
		}
		now := newest
		if s.New {
			if err := w.keep(ctx, tx, t, s, by, seen, at); err != nil {
				return err
			}
			if succeeds(s) {
				now, stored.Noticed = s.Seen, ""
			}
		}
		s.Watched = stored
		return w.settle(ctx, tx, t, &s.Watched, now, at)
	})
	return s, err
}

// decides reports whether a witness can adopt a certificate that is not the expected one.
func (by Witness) decides() bool { return by.Person || by.Accepts || by.Verified }

// succeeds reports whether a certificate takes the place of the newest one.
func succeeds(s Sighting) bool { return s.Seen.Adopted && !s.Seen.NotBefore.Before(s.Before.NotBefore) }

// compare judges a certificate that is new.
func (w *Watching) compare(s *Sighting, by Witness, at time.Time) error {
	e, err := Expect(s.Watched, s.Before)
	if err != nil {
		return err
	}
	same, err := samePartner(s.Before.DER, s.Seen.DER)
	if err != nil {
		return err
	}
	if !same && by.Person && !by.Accepts {
		return tenancy.Errorf(tenancy.ErrRefused, "the certificate %s has neither the subject nor the alternative names of "+
			"the watched one. If its owner has changed them, accept the certificate explicitly; otherwise this is the wrong "+
			"file", subjectOf(s.Seen.DER))
	}
	if s.Seen.Surprises, err = judge(e, s.Before, s.Seen, at); err != nil {
		return err
	}
	expired := slices.Contains(s.Seen.Surprises, tenancy.SurpriseExpired)
	if expired && by.Person {
		return tenancy.Errorf(tenancy.ErrRefused, "the certificate %s expired on %s: get the present one from its owner",
			subjectOf(s.Seen.DER), tenancy.Moment(s.Seen.NotAfter))
	}
	switch {
	case expired:
		s.Seen.Adopted = false
	case by.Accepts, by.Verified:
		s.Seen.Adopted = true
	default:
		s.Seen.Adopted = same && (by.Person || len(s.Seen.Surprises) == 0)
	}
	s.Changes = Compare(s.Before, s.Seen)
	return nil
}

// Compare returns what systems may notice when a certificate replaces another one; nil if that cannot be read.
func Compare(before, after tenancy.WatchedCertificate) *tenancy.Changes {
	old, err1 := chainOf(before)
	next, err2 := chainOf(after)
	if errors.Join(err1, err2) != nil {
		return nil
	}
	changes, err := certfile.Changes(old, next)
	if err != nil {
		return nil
	}
	return &changes
}

// subjectOf returns the subject of a certificate, quoted for a message.
func subjectOf(der []byte) string {
	c, err := certfile.ParseCertificate(der)
	if err != nil {
		return "(unreadable)"
	}
	return fmt.Sprintf("%q", certfile.Name(c.RawSubject))
}

// keep stores a new certificate with the notice about it. A known one is adopted. That needs no second notice if a
// person has decided it.
func (w *Watching) keep(ctx context.Context, tx *store.Tx, t tenancy.Tenant, s Sighting, by Witness,
	history []tenancy.WatchedCertificate, at time.Time) error {
	seen := event(at, by.By, "watched.seen", t, s.Watched, map[string]any{
		"fingerprint_sha256": s.Seen.Fingerprint, "not_after": s.Seen.NotAfter, "replaces": s.Before.Fingerprint,
		"surprises": s.Seen.Surprises, "adopted": s.Seen.Adopted})
	if slices.ContainsFunc(history, func(o tenancy.WatchedCertificate) bool { return o.ID == s.Seen.ID }) {
		if err := tx.AdoptWatchedCertificate(ctx, s.Seen.ID); err != nil {
			return err
		}
		if by.Person || by.Accepts {
			return tx.Audit(ctx, seen)
		}
		return w.report(ctx, tx, t, s, fmt.Sprintf("watch-adopted/%d", s.Seen.Position), seen, at)
	}
	if old, full := evicted(history, s.Before); full {
		if err := tx.DropWatchedCertificate(ctx, old); err != nil {
			return err
		}
	}
	if err := tx.AddWatchedCertificate(ctx, s.Seen); err != nil {
		return err
	}
	if s.unconfirmed() && alarms(history, at) >= mostAlarms {
		return tx.Audit(ctx, seen)
	}
	return w.report(ctx, tx, t, s, fmt.Sprintf("watch-seen/%d", s.Seen.Position), seen, at)
}

// report notifies key users of a certificate that was seen. key identifies the notice.
func (w *Watching) report(ctx context.Context, tx *store.Tx, t tenancy.Tenant, s Sighting, key string,
	seen tenancy.Event, at time.Time) error {
	n := tenancy.Notice{Kind: tenancy.WatchRenewed, CertificateID: s.Before.ID, SuccessorID: s.Seen.ID,
		Subject:  fmt.Sprintf("The certificate %s has been renewed", s.Watched.Name),
		DedupKey: key, DueAt: latest(s.Before.NotAfter, at)}
	report := reportOf(s.Watched, s.Before)
	report.New, report.Changes, report.Surprises = s.Seen.DER, s.Changes, s.Seen.Surprises
	if len(s.Seen.Surprises) > 0 {
		n.Kind, n.Subject = tenancy.WatchAlarmed, fmt.Sprintf("An unexpected certificate was seen for %s", s.Watched.Name)
		n.DueAt, report.Alarm = at, tenancy.AlarmUnexpected
	}
	if err := w.closeTasks(ctx, tx, t, s, at); err != nil {
		return err
	}
	return w.notify(ctx, tx, t, n, report, seen, at)
}

// closeTasks closes the tasks about the certificate before, unless the new one needs attention itself.
func (w *Watching) closeTasks(ctx context.Context, tx *store.Tx, t tenancy.Tenant, s Sighting, at time.Time) error {
	if s.unconfirmed() {
		return nil
	}
	n, err := tx.CloseTasks(ctx, store.TaskTopic{TenantID: t.ID, CertificateIDs: []string{s.Before.ID},
		Kinds: []tenancy.NoticeKind{tenancy.WatchExpected, tenancy.WatchAlarmed}}, tenancy.ClosedRenewed, at)
	if err != nil || n == 0 {
		return err
	}
	return tx.Audit(ctx, event(at, "watch", "tasks.closed", t, s.Watched, map[string]any{"tasks": n,
		"reason": tenancy.ClosedRenewed}))
}

// evicted returns the certificate that leaves a full history: of those that are not adopted, the one seen first. If all
// are adopted, it is the first of them, except the newest one and the one before it.
func evicted(history []tenancy.WatchedCertificate, newest tenancy.WatchedCertificate) (id string, full bool) {
	if len(history) < mostSeen {
		return "", false
	}
	before, _ := Before(history, newest)
	for _, c := range history {
		if !c.Adopted {
			return c.ID, true
		}
		if id == "" && c.ID != newest.ID && c.ID != before.ID {
			id = c.ID
		}
	}
	return id, true
}

// unconfirmed reports whether a certificate is unexpected, and neither a person nor a guard has confirmed it.
func (s Sighting) unconfirmed() bool { return len(s.Seen.Surprises) > 0 && !s.Seen.Adopted }

// alarms counts the unexpected certificates without a confirmation that were seen in the day before an instant.
func alarms(history []tenancy.WatchedCertificate, at time.Time) (n int) {
	for _, c := range history {
		if len(c.Surprises) > 0 && !c.Adopted && c.SeenAt.After(at.Add(-policy.Day)) {
			n++
		}
	}
	return n
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// reportOf returns what every notice about a watched certificate states. The source has no secret, because notices are
// sent as mails.
func reportOf(v tenancy.Watched, c tenancy.WatchedCertificate) tenancy.WatchReport {
	return tenancy.WatchReport{Name: v.Name, Owner: v.Owner, Old: c.DER, Systems: v.Systems,
		Source: v.Source.Public()}
}

func (w *Watching) notify(ctx context.Context, tx *store.Tx, t tenancy.Tenant, n tenancy.Notice,
	report tenancy.WatchReport, e tenancy.Event, now time.Time) error {
	data, err := json.Marshal(report)
	if err != nil {
		return err
	}
	n.Reason = string(data)
	return w.users.NotifyKeyUsers(ctx, tx, t, n, e, now)
}

// settle notifies key users if the stage of an awaited renewal needs it, and stores a watched certificate with the time
// of the next action. newest is its newest certificate.
func (w *Watching) settle(ctx context.Context, tx *store.Tx, t tenancy.Tenant, v *tenancy.Watched,
	newest tenancy.WatchedCertificate, now time.Time) error {
	e, err := Expect(*v, newest)
	if err != nil {
		return err
	}
	stage := e.Stage(now)
	if due := owed(stage, v.Noticed); due != "" {
		v.Noticed = due
		if err := w.announce(ctx, tx, t, *v, newest, e, now); err != nil {
			return err
		}
	}
	v.DueAt = e.Next(now)
	if look := nextLook(*v, stage, newest.NotAfter); !look.IsZero() && (v.DueAt.IsZero() || look.Before(v.DueAt)) {
		v.DueAt = look
	}
	if err := tx.UpdateWatched(ctx, *v); err != nil {
		return err
	}
	v.Version++
	return nil
}

// announce notifies key users of the stage that a watched certificate has reached.
func (w *Watching) announce(ctx context.Context, tx *store.Tx, t tenancy.Tenant, v tenancy.Watched,
	newest tenancy.WatchedCertificate, e policy.Expectation, now time.Time) error {
	report := reportOf(v, newest)
	report.From, report.RenewsAt = e.From, e.RenewsAt
	report.Since, report.LookError = v.FailingSince, v.LookError
	n := tenancy.Notice{Kind: tenancy.WatchAlarmed, CertificateID: newest.ID, DueAt: newest.NotAfter,
		DedupKey: fmt.Sprintf("watch-%s/%d", v.Noticed, v.Version)} // other rules may need it again
	action := "watched." + string(v.Noticed)
	switch v.Noticed {
	case tenancy.WatchWarned:
		n.Kind, n.DueAt = tenancy.WatchExpected, renewalOf(e)
		n.Subject = fmt.Sprintf("The certificate %s is going to be renewed", v.Name)
		if !now.Before(renewalOf(e)) {
			n.Subject = fmt.Sprintf("The certificate %s is due for renewal", v.Name)
		}
	case tenancy.WatchOverdue:
		report.Alarm = tenancy.AlarmOverdue
		n.Subject = fmt.Sprintf("The certificate %s has not been renewed as expected", v.Name)
	default:
		report.Alarm = tenancy.AlarmExpired
		n.Subject = fmt.Sprintf("The certificate %s has expired, and no new one was seen", v.Name)
	}
	return w.notify(ctx, tx, t, n, report, event(now, "watch", action, t, v, map[string]any{
		"fingerprint_sha256": newest.Fingerprint, "not_after": newest.NotAfter, "renewal": renewalOf(e)}), now)
}

// renewalOf returns the time of an expected renewal, or the earliest one if only the window is known.
func renewalOf(e policy.Expectation) time.Time {
	if e.RenewsAt.IsZero() {
		return e.From
	}
	return e.RenewsAt
}

// Missed records that the source of a watched certificate could not be read. After three days, key users are notified
// once.
func (w *Watching) Missed(ctx context.Context, t tenancy.Tenant, v tenancy.Watched, cause error, now time.Time) error {
	stored := v
	err := w.store.InTx(ctx, func(tx *store.Tx) error {
		_, newest, err := read(ctx, tx.Reader, v)
		if err != nil {
			return err
		}
		stored = v
		if stored.FailingSince.IsZero() {
			stored.FailingSince = now
		}
		alarm := now.Sub(stored.FailingSince) >= unseenAfter && v.LookedAt.Sub(stored.FailingSince) < unseenAfter
		stored.LookedAt, stored.LookError = now, storedCause(cause)
		if alarm {
			if err := w.alarmUnseen(ctx, tx, t, stored, newest, now); err != nil {
				return err
			}
		}
		return w.settle(ctx, tx, t, &stored, newest, now)
	})
	if isSlower(err) {
		return nil
	}
	if err == nil {
		w.logAlarm(ctx, t, v, stored)
	}
	return err
}

func (w *Watching) alarmUnseen(ctx context.Context, tx *store.Tx, t tenancy.Tenant, v tenancy.Watched,
	newest tenancy.WatchedCertificate, now time.Time) error {
	e, err := Expect(v, newest)
	if err != nil {
		return err
	}
	report := reportOf(v, newest)
	report.Alarm, report.Since, report.LookError = tenancy.AlarmUnseen, v.FailingSince, v.LookError
	report.From, report.RenewsAt = e.From, e.RenewsAt
	return w.notify(ctx, tx, t, tenancy.Notice{Kind: tenancy.WatchAlarmed, CertificateID: newest.ID,
		Subject: fmt.Sprintf("The source of the certificate %s cannot be read", v.Name), DueAt: latest(renewalOf(e), now),
		DedupKey: fmt.Sprintf("watch-unseen/%d", v.FailingSince.UnixMicro())}, report,
		event(now, "watch", "watched.unseen", t, v, map[string]any{"since": v.FailingSince,
			"error": tenancy.ReadText(v.LookError).String()}), now)
}

// longestError is the maximum length of a stored error, in bytes.
const longestError = 500

// storedCause returns the stored form of an error. It can be shown in another language, unless it is too long.
func storedCause(err error) string {
	var rule *tenancy.RuleError
	if errors.As(err, &rule) && rule.Field != "" && err.Error() == rule.Error() {
		err = &tenancy.RuleError{Kind: rule.Kind, Text: rule.Text} // the field is of a form
	}
	text := tenancy.Stored(err)
	if len(text) > longestError {
		text = err.Error()
	}
	return text[:min(len(text), longestError)]
}
