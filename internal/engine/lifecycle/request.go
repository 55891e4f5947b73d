package lifecycle

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"sync"
	"time"

	"github.com/perennial-pki/perennial/internal/engine/store"
	"github.com/perennial-pki/perennial/internal/keys/certfile"
	"github.com/perennial-pki/perennial/internal/keys/issuer"
	"github.com/perennial-pki/perennial/policy"
	"github.com/perennial-pki/perennial/rollover"
	"github.com/perennial-pki/perennial/tenancy"
)

const (
	// askEvery is the interval of questions to a CA that names no time for its answer.
	askEvery = time.Hour
	// requestPage is the number of requests that are read at a time.
	requestPage = 100
)

// errUnsure is returned for a request that was stored and never confirmed.
var errUnsure = errors.New("it is not known whether the CA has the request, because the service ended while sending " +
	"it: withdraw it there if necessary, and send it again (perennial request again)")

// ask asks a CA for a certificate. A CA that may answer later gets one request for each generation: it is stored before
// it is sent, and the error is an [*issuer.RequestedError] until it is answered.
func (e *Engine) ask(ctx context.Context, from issuer.Issuer, c store.SealedCertificate, r issuance) (issuer.Issued,
	error) {
	if _, later := issuer.As[issuer.Collector](from); !later {
		return from.Issue(ctx, r.Request)
	}
	q := tenancy.Request{ID: c.ID, TenantID: c.TenantID, Purpose: c.Purpose, Generation: c.Generation, Issuer: c.Issuer,
		KeyType: c.KeyType, AskAt: r.At.Add(askEvery), Actor: r.why.actor, Reason: r.why.reason,
		RunDate: r.why.runDate, CreatedAt: r.At}
	err := e.store.InTx(ctx, func(tx *store.Tx) error {
		if err := tx.AddRequest(ctx, q, store.Key{Sealed: c.SealedKey, URI: c.KeyURI}); err != nil {
			return err
		}
		return tx.Audit(ctx, requestEvent(r.Tenant, q, q.Actor, nil))
	})
	if errors.Is(err, tenancy.ErrConflict) {
		return issuer.Issued{}, &issuer.RequestedError{Handle: "before"}
	} else if err != nil {
		return issuer.Issued{}, err
	}
	issued, later, err := e.send(ctx, from, q, r.Request)
	ctx = context.WithoutCancel(ctx) // the CA has answered
	if later != nil {
		if err := errors.Join(err, e.remindOfRequest(ctx, q, r.At)); err != nil {
			return issuer.Issued{}, fmt.Errorf("the request %s was sent, but its state cannot be stored: %w", q.ID, err)
		}
		return issuer.Issued{}, later
	}
	// It has issued the certificate, or refused to.
	ended := e.store.InTx(ctx, func(tx *store.Tx) error { return tx.EndRequest(ctx, q.ID, r.At.Add(unusedFor)) })
	return issued, errors.Join(err, ended)
}

// requestEvent returns the audit event of a request that is sent.
func requestEvent(tenant string, q tenancy.Request, actor string, more map[string]any) tenancy.Event {
	detail := map[string]any{"issuer": q.Issuer, "request": q.ID}
	maps.Copy(detail, more)
	return tenancy.NewEvent(q.CreatedAt, actor, "certificate.requested", tenant,
		object(tenancy.Tenant{Name: tenant}, requestedAs(q, q.CreatedAt)), detail)
}

// send sends a stored request to its CA. If the CA answers later, later is set, and what identifies the request there
// has been stored unless err is set.
func (e *Engine) send(ctx context.Context, from issuer.Issuer, q tenancy.Request, r issuer.Request) (
	issued issuer.Issued, later *issuer.RequestedError, err error) {
	if issued, err = from.Issue(ctx, r); !errors.As(err, &later) {
		return issued, nil, err
	}
	q.Handle, q.AskAt = later.Handle, askAgain(later, r.At)
	ctx = context.WithoutCancel(ctx) // the CA has accepted it
	return issued, later, e.store.InTx(ctx, func(tx *store.Tx) error { return tx.UpdateRequest(ctx, q) })
}

// Again sends an open request again, with another key. The CA may have the previous one as well.
func (e *Engine) Again(ctx context.Context, q tenancy.Request, actor string, now time.Time) error {
	o, err := e.owner(ctx, q.TenantID)
	if err != nil {
		return err
	}
	from, err := e.issuers.Of(q.Issuer)
	if err != nil {
		return err
	}
	key, err := e.newKey(ctx, q.ID, q.ID+"."+store.NewID(), q.KeyType, now)
	if err != nil {
		return err
	}
	q.Handle, q.LastError, q.CreatedAt, q.AskAt = "", "", now, now.Add(askEvery)
	err = e.store.InTx(ctx, func(tx *store.Tx) error {
		if err := tx.RestartRequest(ctx, q, key.Key); err != nil {
			return err
		}
		return tx.Audit(ctx, requestEvent(o.Name, q, actor, map[string]any{"again": true}))
	})
	if err != nil {
		return err
	}
	r, err := e.requestOf(ctx, o, q, now)
	if err != nil {
		return err
	}
	issued, later, err := e.send(ctx, from, q, r)
	if later != nil {
		return err
	}
	ctx = context.WithoutCancel(ctx) // the CA has answered
	if err != nil {
		q.LastError = err.Error()
		return errors.Join(err, e.store.InTx(ctx, func(tx *store.Tx) error { return tx.UpdateRequest(ctx, q) }))
	}
	c, err := e.complete(ctx, store.SealedCertificate{Certificate: requestedAs(q, now), SealedKey: key.Sealed,
		KeyURI: key.URI}, issued)
	if err == nil {
		_, err = e.deliver(ctx, o, q, c, now)
	}
	return err
}

// askAgain returns the time at which a CA is asked for its answer.
func askAgain(later *issuer.RequestedError, now time.Time) time.Time {
	if later.AskAt.After(now) {
		return later.AskAt
	}
	return now.Add(askEvery)
}

// Collect asks the CAs for the answers to the requests whose time has come, and stores the certificates that they have
// issued. A request that fails does not delay the others, and a CA that fails several times in a row gets no more
// questions.
func (e *Engine) Collect(ctx context.Context, now time.Time) error {
	var failures []error
	var down outages
	for after := ""; ctx.Err() == nil; {
		due, err := e.store.DueRequests(ctx, now, after, requestPage)
		if err != nil {
			return errors.Join(append(failures, err)...)
		}
		failures = append(failures, e.collectAll(ctx, due, &down, now)...)
		if len(due) < requestPage {
			break
		}
		after = due[len(due)-1].ID
	}
	return errors.Join(failures...)
}

// collectAll collects the answers to some requests. No CA waits for another one.
func (e *Engine) collectAll(ctx context.Context, due []tenancy.Request, down *outages, now time.Time) []error {
	errs := make([]error, len(due))
	byIssuer := map[string][]int{}
	for i, q := range due {
		byIssuer[q.Issuer] = append(byIssuer[q.Issuer], i)
	}
	var issuers sync.WaitGroup
	for name, requests := range byIssuer {
		issuers.Go(func() {
			each(len(requests), e.parallel(name), func(n int) {
				i := requests[n]
				if down.of(name) == nil {
					errs[i] = e.collect(ctx, due[i], now)
					down.note(name, errs[i])
				}
			})
		})
	}
	issuers.Wait()
	return errs
}

// Answer stores the certificate that a person uploads for a request, in any form that [issuer.Requester] reads. The
// error is [tenancy.ErrInvalid] if it is not the one that was requested. The request then stays open.
func (e *Engine) Answer(ctx context.Context, q tenancy.Request, answer []byte, actor string,
	now time.Time) (c tenancy.Certificate, err error) {
	t, err := e.owner(ctx, q.TenantID)
	if err != nil {
		return c, err
	}
	if _, err := e.requester(q); err != nil {
		return c, err
	}
	q.Handle, q.Actor = string(answer), actor
	next, err := e.answered(ctx, t, q, now)
	var network net.Error
	if fault, _ := issuer.FaultOf(err); fault == issuer.KeyAway || errors.As(err, &network) {
		return c, err // the person has not caused it, and its text may have an address of the inside network
	}
	if err != nil {
		return c, tenancy.Invalid("certificate", "%v", err)
	}
	if c, err = e.deliver(ctx, t, q, next, now); errors.Is(err, tenancy.ErrStale) {
		err = tenancy.Errorf(tenancy.ErrConflict, "the request was answered in the meantime: see the newest generation")
	}
	return c, err
}

// requester returns the issuer of a request that a person sends to the CA.
func (e *Engine) requester(q tenancy.Request) (issuer.Requester, error) {
	from, err := e.issuers.Of(q.Issuer)
	if err != nil {
		return nil, err
	}
	r, ok := issuer.As[issuer.Requester](from)
	if !ok {
		return nil, tenancy.Errorf(tenancy.ErrRefused, "the service itself sends the requests of the issuer %s", q.Issuer)
	}
	return r, nil
}

// collect reads the answer to a request and stores the certificate. Without an answer, it stores the error and the time
// of the next attempt. A CA that has not answered yet is not an error.
func (e *Engine) collect(ctx context.Context, q tenancy.Request, now time.Time) error {
	t, err := e.owner(ctx, q.TenantID)
	if err != nil {
		return err
	}
	next, err := e.answered(ctx, t, q, now)
	if err == nil {
		_, err = e.deliver(ctx, t, q, next, now)
	}
	later := (*issuer.RequestedError)(nil)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, tenancy.ErrStale), errors.Is(err, tenancy.ErrConflict): // another replica was faster
		return nil
	case errors.As(err, &later):
		q.LastError, q.AskAt, err = "", askAgain(later, now), e.remindOfRequest(ctx, q, now)
	default:
		q.LastError, q.AskAt = err.Error(), now.Add(askEvery)
		err = fmt.Errorf("tenant %s: request %s for generation %d of the %s: %w", t.Name, q.ID, q.Generation,
			q.Purpose.Noun(), err)
	}
	stored := e.store.InTx(ctx, func(tx *store.Tx) error { return tx.UpdateRequest(ctx, q) })
	if errors.Is(stored, tenancy.ErrStale) {
		stored = nil
	}
	return errors.Join(err, stored)
}

// answered returns the certificate with which a request is answered.
func (e *Engine) answered(ctx context.Context, t owner, q tenancy.Request, now time.Time) (c store.SealedCertificate,
	err error) {
	from, err := e.issuers.Of(q.Issuer)
	if err != nil {
		return c, err
	}
	later, ok := issuer.As[issuer.Collector](from)
	switch {
	case q.Handle == "":
		return c, errUnsure
	case !ok:
		return c, errors.New("its issuer now answers at once, and does not have the request: send it again (perennial " +
			"request again)")
	}
	c.Certificate = requestedAs(q, now)
	key, err := e.store.RequestKey(ctx, q.ID)
	if err != nil {
		return c, err
	}
	c.SealedKey, c.KeyURI = key.Sealed, key.URI
	r, err := e.requestOf(ctx, t, q, now)
	if err != nil {
		return c, err
	}
	issued, err := later.Collect(ctx, q.Handle, r)
	if err != nil {
		return c, err
	}
	return e.complete(ctx, c, issued)
}

// requestedAs returns the certificate of a request, without the fields that the CA decides.
func requestedAs(q tenancy.Request, now time.Time) tenancy.Certificate {
	return tenancy.Certificate{ID: q.ID, TenantID: q.TenantID, Purpose: q.Purpose, Generation: q.Generation,
		State: tenancy.Standby, KeyType: q.KeyType, Issuer: q.Issuer, CreatedAt: now}
}

// requestOf returns the request to the issuer, as of an instant. A CA that answers days later signs as of then.
func (e *Engine) requestOf(ctx context.Context, t owner, q tenancy.Request,
	at time.Time) (r issuer.Request, err error) {
	r = issuer.Request{Tenant: t.Name, Purpose: q.Purpose, At: at}
	settings := t.credential(q.Purpose)
	r.Validity = cmp.Or(settings.Validity, e.policy.Validity)
	if q.Generation == 1 {
		r.Replaces, err = firstNames(settings)
	} else if old, missing := e.store.Certificate(ctx, t.ID, q.Purpose, q.Generation-1); missing != nil {
		err = missing
	} else {
		r.Replaces, r.Former = namesOf(old), old.DER
	}
	key, missing := e.store.RequestKey(ctx, q.ID)
	if err := errors.Join(err, missing); err != nil {
		return r, err
	}
	r.Key, err = e.openKey(q, key)
	return r, err
}

// deliver stores a certificate in place of the previous generation, and ends its request.
func (e *Engine) deliver(ctx context.Context, t owner, q tenancy.Request, next store.SealedCertificate,
	now time.Time) (tenancy.Certificate, error) {
	why := cause{actor: q.Actor, reason: q.Reason, runDate: q.RunDate, request: q.ID}
	if q.Generation == 1 {
		return e.first(ctx, t, next, why, now)
	}
	old, err := e.store.Certificate(ctx, t.ID, q.Purpose, q.Generation-1)
	if err != nil {
		return tenancy.Certificate{}, err
	}
	return e.put(ctx, t, old, next, why, now)
}

// SigningRequest returns the PKCS#10 request (PEM) for an open request, for a CA without an API.
func (e *Engine) SigningRequest(ctx context.Context, q tenancy.Request) ([]byte, error) {
	t, err := e.owner(ctx, q.TenantID)
	if err != nil {
		return nil, err
	}
	requester, err := e.requester(q)
	if err != nil {
		return nil, err
	}
	r, err := e.requestOf(ctx, t, q, q.CreatedAt)
	if err != nil {
		return nil, err
	}
	der, err := requester.SigningRequest(r)
	return []byte(certfile.RequestPEM(der)), err
}

// remindOfRequest creates tasks, and mails for subscribers, about a request that a person must send to its CA: once at
// its beginning, and once at each stage before the certificate to be replaced expires.
func (e *Engine) remindOfRequest(ctx context.Context, q tenancy.Request, now time.Time) error {
	if _, err := e.requester(q); err != nil {
		return nil // the service asks the CA itself
	}
	old, err := e.store.Certificate(ctx, q.TenantID, q.Purpose, q.Generation-1)
	if err != nil && !errors.Is(err, tenancy.ErrNotFound) {
		return err
	}
	tenants, err := e.store.TenantsByID(ctx, []string{q.TenantID})
	if err != nil {
		return err
	}
	subject, stage := q.Purpose.Noun()+" must be requested by hand", 0
	if left := (rollover.Risk{Deadline: old.NotAfter}); old.ID != "" && left.Left(now) <=
		time.Duration(stages[0])*policy.Day {
		stage = stageOf(left.Left(now))
		subject = fmt.Sprintf("%s: %s", subject, daysLeft(left.Days(now)))
	}
	due := old.NotAfter
	if due.IsZero() || revokes(q.Reason) { // no generation is left, or one is that the receiver may not accept
		due = now
	}
	key := fmt.Sprintf("request/%s/%d", q.ID, stage)
	err = e.remindOnce(ctx, tenants[q.TenantID], key, now, func(b *batch, p audience) {
		e.notify(b, p, tenancy.Certificate{Purpose: q.Purpose}, tenancy.Notice{Kind: tenancy.ByHand,
			CertificateID: old.ID, Subject: subject, DueAt: due, DedupKey: key},
			cause{actor: "issuer", reason: q.Issuer}, now)
	})
	if errors.Is(err, tenancy.ErrConflict) { // another replica was faster
		return nil
	}
	return err
}
