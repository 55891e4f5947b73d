package gateway

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/perennial-pki/perennial/tenancy"
)

const (
	// Waiting messages are looked for this often, and when one is parked here.
	parkedEvery = time.Second
	// attemptsAtOnce is how many arrangements are delivered to at the same time.
	attemptsAtOnce = 16
	// An attempt that failed is repeated after firstRetry, doubling up to longestRetry; one that was refused, after
	// longestRefused at most, since the receiver may accept a certificate at any moment.
	firstRetry, longestRetry, longestRefused = time.Second, 5 * time.Minute, 15 * time.Second
	// An attempt may take tryBeyond longer than the arrangement's time-out; a second after that it is taken for lost, and
	// another process takes the message up.
	tryBeyond   = 4 * time.Second
	leaseBeyond = tryBeyond + time.Second
	// statusPath is where the status of parked messages is; no tenant's name begins with "-".
	statusPath = "/-/messages/"
)

// A parkedRequest is what is sealed of a message.
type parkedRequest struct {
	Rest   string // escaped path behind the address
	Query  string
	Header http.Header
	Body   []byte
}

// wantsParking says whether a sender prefers an answer at once to the receiver's (RFC 7240, section 4.1), or its
// arrangement does so for all.
func wantsParking(r *http.Request, route *route) bool {
	for _, line := range r.Header.Values("Prefer") {
		for p := range strings.SplitSeq(line, ",") {
			token, _, _ := strings.Cut(p, ";")
			if strings.EqualFold(strings.TrimSpace(token), "respond-async") {
				return true
			}
		}
	}
	return route.standing.Arrangement.Egress.Park
}

// park stores a message and answers 202 once it is safe.
func (g *Gateway) park(w http.ResponseWriter, r *http.Request, to address, rest string, route *route) {
	limit := route.standing.Arrangement.Egress.Keep()
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, limit))
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		problem(w, http.StatusRequestEntityTooLarge, fmt.Sprintf("a message of %s that is parked may have %d bytes", to,
			limit))
		return
	case err != nil:
		problem(w, http.StatusBadRequest, "the body was cut off: nothing was stored")
		return
	}
	key := r.Header.Get("Idempotency-Key")
	if key == "" {
		key = rand.Text()
	} else if len(key) > 255 {
		problem(w, http.StatusBadRequest, "the Idempotency-Key is longer than 255 bytes")
		return
	}
	request := parkedRequest{Rest: rest, Query: r.URL.RawQuery, Header: endToEnd(r.Header), Body: body}
	request.Header.Set("Idempotency-Key", key)
	data, err := json.Marshal(request)
	if err != nil {
		problem(w, http.StatusInternalServerError, "the message could not be stored")
		return
	}
	now := g.Now().UTC().Truncate(time.Microsecond)
	p := tenancy.Parked{ID: newID(), ArrangementID: route.standing.Arrangement.ID, TenantID: route.standing.Tenant.ID,
		IdempotencyKey: key, Digest: digest(r, rest, body), Method: shortened(r.Method, 20), Path: shortened(rest, 500),
		State: tenancy.ParkedWaiting, NextAt: now, CreatedAt: now}
	p, err = g.Control.Park(r.Context(), p, data)
	switch {
	case errors.Is(err, tenancy.ErrConflict):
		problem(w, http.StatusUnprocessableEntity, err.Error())
		return
	case err != nil:
		g.Log.ErrorContext(r.Context(), "a message could not be parked", "arrangement", to, "error", err)
		problem(w, http.StatusServiceUnavailable, "the message could not be stored: send it again, with the same "+
			"Idempotency-Key")
		return
	}
	wake(g.parked)
	w.Header().Set("Preference-Applied", "respond-async")
	w.Header().Set("Location", statusPath+to.String()+"/"+p.ID)
	answerParked(w, http.StatusAccepted, p)
}

// digest tells messages apart: headers may differ when one is sent again.
func digest(r *http.Request, rest string, body []byte) []byte {
	h := sha256.New()
	fmt.Fprintf(h, "%q %q %q\n", r.Method, rest, r.URL.RawQuery)
	h.Write(body)
	return h.Sum(nil)
}

// endToEnd are the headers that go on to the receiver: not those of the connection, nor what was for the gateway. The
// proxy takes out the rest when the message is sent.
func endToEnd(h http.Header) http.Header {
	out := h.Clone()
	for _, name := range []string{"Proxy-Authorization", "Expect", "Content-Length"} {
		out.Del(name)
	}
	stripOurs(out)
	return out
}

func answerParked(w http.ResponseWriter, status int, p tenancy.Parked) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Perennial-Gateway", "1")
	w.WriteHeader(status)
	v := map[string]any{"id": p.ID, "state": p.State, "attempts": p.Attempts, "created_at": p.CreatedAt}
	if p.Status != 0 {
		v["receiver_status"] = p.Status
	}
	if p.LastError != "" {
		v["last_error"] = p.LastError
	}
	if p.State == tenancy.ParkedWaiting && p.Attempts > 0 {
		v["next_attempt"] = p.NextAt
	}
	if !p.EndedAt.IsZero() {
		v["ended_at"] = p.EndedAt
	}
	json.NewEncoder(w).Encode(v)
}

// parkedStatus answers how far a parked message is.
func (g *Gateway) parkedStatus(w http.ResponseWriter, r *http.Request, path string) {
	parts := strings.Split(path, "/")
	if len(parts) != 3 {
		problem(w, http.StatusNotFound, "there is no such message")
		return
	}
	to := address{parts[0], parts[1]}
	if err := g.mayUse(r, to); err != nil {
		refuse(w, err)
		return
	}
	route, err := g.routes.get(r.Context(), g, to)
	var p tenancy.Parked
	if err == nil {
		p, err = g.Control.Parked(r.Context(), route.standing.Arrangement.ID, parts[2])
	}
	switch {
	case errors.Is(err, tenancy.ErrNotFound):
		problem(w, http.StatusNotFound, "there is no such message")
	case err != nil:
		problem(w, http.StatusServiceUnavailable, "the service cannot look at the moment: try again")
	default:
		answerParked(w, http.StatusOK, p)
	}
}

// deliverParked sends what was parked, here or by another process, in order for each arrangement.
func (g *Gateway) deliverParked(ctx context.Context) {
	tick := time.NewTicker(parkedEvery)
	defer tick.Stop()
	var underWay sync.WaitGroup
	defer underWay.Wait()
	places := make(chan struct{}, attemptsAtOnce)
	for {
		select {
		case <-ctx.Done():
			return
		case <-g.parked:
		case <-tick.C:
		}
		due, err := g.Control.DueParked(ctx, g.Now(), cap(places))
		if err != nil && ctx.Err() == nil {
			g.Log.WarnContext(ctx, "parked messages cannot be read at the moment", "error", err)
		}
		for _, p := range due {
			select {
			case places <- struct{}{}:
			case <-ctx.Done():
				return
			}
			underWay.Go(func() {
				defer func() { <-places }()
				if g.attempt(ctx, p) {
					wake(g.parked) // for the next one in line
				}
			})
		}
	}
}

// attempt sends one parked message, and says whether it has ended.
func (g *Gateway) attempt(ctx context.Context, p tenancy.Parked) (ended bool) {
	tenant, arrangement, timeout, err := g.Control.ParkedAddress(ctx, p)
	to := address{tenant, arrangement}
	if errors.Is(err, tenancy.ErrNotFound) {
		p.State, p.EndedAt, p.LastError = tenancy.ParkedFailed, g.Now(), "the arrangement was deleted"
		return g.Control.UpdateParked(ctx, p) == nil
	} else if err != nil {
		return false
	}
	claimed, data, err := g.Control.ClaimParked(ctx, p, g.Now().Add(timeout+leaseBeyond))
	if err != nil || !claimed {
		if err != nil && ctx.Err() == nil {
			g.Log.WarnContext(ctx, "a parked message could not be taken up", "arrangement", to, "error", err)
		}
		return false
	}
	p.Attempts++
	try, cancelTry := context.WithTimeout(ctx, timeout+tryBeyond)
	defer cancelTry()
	status, refused, err := g.sendParked(try, to, p, data)
	now := g.Now()
	p.Status, p.LastError = status, ""
	switch {
	case ctx.Err() != nil:
		p.NextAt, p.LastError = now, "the gateway ended before the receiver had answered"
	case err == nil && !refused && status < 400:
		p.State, p.EndedAt = tenancy.ParkedDelivered, now
	case err == nil && !refused && status < 500 && status != http.StatusRequestTimeout && status != http.StatusTooEarly &&
		status != http.StatusTooManyRequests:
		p.State, p.EndedAt = tenancy.ParkedFailed, now
		p.LastError = fmt.Sprintf("the receiver's answer is final: %d %s", status, http.StatusText(status))
	default:
		longest := longestRetry
		if refused {
			longest = longestRefused
			p.LastError = fmt.Sprintf("the receiver accepts no certificate: %d %s", status, http.StatusText(status))
		} else if err != nil {
			p.LastError = shortened(err.Error(), 500)
		} else {
			p.LastError = fmt.Sprintf("%d %s", status, http.StatusText(status))
		}
		p.NextAt = now.Add(min(firstRetry<<min(p.Attempts-1, 20), longest))
	}
	// The answer is known: it is stored even where the process is about to end.
	store, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	if err := g.Control.UpdateParked(store, p); err != nil {
		g.Log.ErrorContext(ctx, "how a parked message ended could not be stored: it is sent again with the same "+
			"Idempotency-Key", "arrangement", to, "error", err)
		return false
	}
	return p.State != tenancy.ParkedWaiting
}

// sendParked sends a message as if its sender did so now.
func (g *Gateway) sendParked(ctx context.Context, to address, p tenancy.Parked, data []byte) (status int, refused bool,
	err error) {
	var request parkedRequest
	if err := json.Unmarshal(data, &request); err != nil {
		return 0, false, fmt.Errorf("what was parked cannot be read: %w", err)
	}
	route, err := g.routes.get(ctx, g, to)
	if err != nil {
		return 0, false, err
	}
	m := &message{route: route, rest: request.Rest, started: time.Now()}
	r, err := http.NewRequestWithContext(context.WithValue(ctx, messageKey{}, m), p.Method, "/",
		bytes.NewReader(request.Body))
	if err != nil {
		return 0, false, err
	}
	r.URL.RawQuery, r.Header = request.Query, request.Header
	answer := &discarded{header: http.Header{}}
	defer g.over(r, m)
	g.proxy.ServeHTTP(answer, r)
	if answer.ours {
		return 0, false, errors.New(m.outcome)
	}
	return answer.status, m.refused, nil
}

// discarded is an answer that nobody waits for.
type discarded struct {
	header http.Header
	status int
	ours   bool // the gateway's own answer, for want of the receiver's
}

func (d *discarded) Header() http.Header { return d.header }

func (d *discarded) WriteHeader(status int) {
	if d.status == 0 && status >= 200 {
		d.status = status
		d.ours = d.header.Get("Perennial-Gateway") != ""
	}
}

func (d *discarded) Write(p []byte) (int, error) {
	d.WriteHeader(http.StatusOK)
	return len(p), nil
}
