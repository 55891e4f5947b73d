package gateway

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/textproto"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/perennial-pki/perennial/internal/egress/outbound"
	"github.com/perennial-pki/perennial/tenancy"
)

const (
	// Waiting messages are looked up at this interval, whenever one is parked here, and when the pause before the next
	// attempt of a message that was tried here is over. The interval finds those of a gateway that has ended.
	parkedEvery = 5 * time.Second
	// attemptsAtOnce limits the arrangements with a running delivery, and attemptsPerTenant those of one tenant.
	attemptsAtOnce, attemptsPerTenant = 16, 4
	// DefaultParkedTimeout limits an attempt to deliver a parked message, so that a place is free again after it.
	DefaultParkedTimeout = 5 * time.Minute
	// A failed attempt is repeated after firstRetry, doubling up to longestRetry. A refused one is repeated after
	// longestRefused at most, because the receiver may accept a certificate at any moment.
	firstRetry, longestRetry, longestRefused = time.Second, 5 * time.Minute, 15 * time.Second
	// An attempt may take tryBeyond longer than the arrangement's time-out. A second later it counts as lost, and another
	// process can claim the message.
	tryBeyond   = 4 * time.Second
	leaseBeyond = tryBeyond + time.Second
	// statusPath is the URL prefix for the status of parked messages. No tenant's name begins with "-".
	statusPath = "/-/messages/"
)

// wantsParking reports whether to park a message, because its sender asks for it with "Prefer: respond-async" (RFC
// 7240, section 4.1), or because the arrangement parks every message.
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

// hopByHop are the headers of one connection (RFC 9110, section 7.6.1), in net/http's spelling, and those that senders'
// own proxies add. The gateway writes Content-Length itself, and decides about Expect.
var hopByHop = []string{"Connection", "Proxy-Connection", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization",
	"Te", "Trailer", "Transfer-Encoding", "Upgrade", "Forwarded", "X-Forwarded-For", "X-Forwarded-Host",
	"X-Forwarded-Proto", "Expect", "Content-Length"}

// endToEnd returns the headers that a parked message has at its receiver, without those of the connection and those
// that were meant for the gateway.
func (g *Gateway) endToEnd(h http.Header) http.Header {
	out := h.Clone()
	if out == nil {
		return http.Header{}
	}
	for _, line := range h["Connection"] {
		for name := range strings.SplitSeq(line, ",") {
			out.Del(textproto.TrimString(name))
		}
	}
	for _, name := range hopByHop {
		out.Del(name)
	}
	g.stripOurs(out)
	return out
}

func answerParked(w http.ResponseWriter, status int, p tenancy.Parked) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set(ours, "1")
	w.WriteHeader(status)
	v := map[string]any{"id": p.ID, "state": p.State, "attempts": p.Attempts, "created_at": p.CreatedAt}
	if p.Status != 0 {
		v["receiver_status"] = p.Status
	}
	if p.LastError != "" {
		v["last_error"] = tenancy.ReadText(p.LastError).String()
	}
	if p.State == tenancy.ParkedWaiting && p.Attempts > 0 {
		v["next_attempt"] = p.NextAt
	}
	if !p.EndedAt.IsZero() {
		v["ended_at"] = p.EndedAt
	}
	json.NewEncoder(w).Encode(v)
}

// parkedStatus answers with the state of a parked message.
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
		p, err = g.control.Parked(r.Context(), route.standing.Arrangement.ID, parts[2])
	}
	switch {
	case errors.Is(err, tenancy.ErrNotFound):
		problem(w, http.StatusNotFound, "there is no such message")
	case err != nil:
		problem(w, http.StatusServiceUnavailable, "the service cannot look up this message at the moment: try again")
	default:
		answerParked(w, http.StatusOK, p)
	}
}

// places are shared by the attempts that run at the same time. No tenant gets more than its share.
type places struct {
	mu       sync.Mutex
	taken    int
	byTenant map[string]int
}

// take reports whether a tenant gets a place.
func (p *places) take(tenantID string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.taken >= attemptsAtOnce || p.byTenant[tenantID] >= attemptsPerTenant {
		return false
	}
	p.taken++
	p.byTenant[tenantID]++
	return true
}

func (p *places) leave(tenantID string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.taken--
	if p.byTenant[tenantID]--; p.byTenant[tenantID] == 0 {
		delete(p.byTenant, tenantID)
	}
}

// fewestFirst sorts messages of tenants with fewer running attempts before others.
func (p *places) fewestFirst(due []tenancy.Parked) {
	p.mu.Lock()
	defer p.mu.Unlock()
	slices.SortStableFunc(due, func(a, b tenancy.Parked) int {
		return cmp.Compare(p.byTenant[a.TenantID], p.byTenant[b.TenantID])
	})
}

// deliverParked sends messages that were parked here or by another process, in order for each arrangement. A message
// that gets no place is due again when one is free.
func (g *Gateway) deliverParked(ctx context.Context) {
	tick := time.NewTicker(parkedEvery)
	defer tick.Stop()
	var running sync.WaitGroup
	defer running.Wait()
	places := places{byTenant: map[string]int{}}
	for {
		select {
		case <-ctx.Done():
			return
		case <-g.parked:
		case <-tick.C:
		}
		due, err := g.control.DueParked(ctx, g.now(), attemptsAtOnce)
		if err != nil && ctx.Err() == nil {
			g.log.WarnContext(ctx, "parked messages cannot be read at the moment", "error", err)
		}
		places.fewestFirst(due)
		for _, p := range due {
			if !places.take(p.TenantID) {
				continue
			}
			running.Go(func() {
				_, tried := g.tryParked(ctx, p)
				places.leave(p.TenantID)
				if tried {
					wake(g.parked) // for the next one in line, and for those that got no place
				}
			})
		}
	}
}

// tryParked sends one parked message. ended is true if it will not be sent again. tried is false if nothing has
// changed, because the message could not be claimed.
func (g *Gateway) tryParked(ctx context.Context, p tenancy.Parked) (ended, tried bool) {
	tenant, arrangement, timeout, err := g.control.ParkedAddress(ctx, p)
	timeout = min(timeout, g.parkedTimeout)
	to := address{tenant, arrangement}
	if errors.Is(err, tenancy.ErrNotFound) {
		p.State, p.EndedAt, p.LastError = tenancy.ParkedFailed, g.now(), arrangementDeleted
		ended = g.control.UpdateParked(ctx, p) == nil
		return ended, ended
	} else if err != nil {
		return false, false
	}
	claimed, data, err := g.control.ClaimParked(ctx, p, g.now().Add(timeout+leaseBeyond))
	if err != nil || !claimed {
		if err != nil && ctx.Err() == nil {
			g.log.WarnContext(ctx, "a parked message could not be claimed", "arrangement", to, "error", err)
		}
		return false, false
	}
	p.Attempts++
	try, cancelTry := context.WithTimeout(ctx, timeout+tryBeyond)
	defer cancelTry()
	status, how, err := g.sendParked(try, to, p, data)
	now := g.now()
	p.Status, p.LastError = status, ""
	switch {
	case ctx.Err() != nil:
		p.NextAt, p.LastError = now, gatewayEnded
	case how.refused():
		p.LastError = stored(tenancy.Say("the receiver accepts no certificate: %s", answerOf(status, err)))
		p.NextAt = now.Add(pauseBefore(p.Attempts+1, longestRefused))
	case err != nil || isTemporary(status):
		p.LastError = stored(answerOf(status, err))
		p.NextAt = now.Add(pauseBefore(p.Attempts+1, longestRetry))
	case status < 400:
		p.State, p.EndedAt = tenancy.ParkedDelivered, now
	default:
		p.State, p.EndedAt = tenancy.ParkedFailed, now
		p.LastError = stored(tenancy.Say("the receiver's answer is final: %s", answerOf(status, nil)))
	}
	// The answer is stored even if the process is about to end.
	store, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	if err := g.control.UpdateParked(store, p); err != nil {
		g.log.ErrorContext(ctx, "the result of a parked message could not be stored: it is sent again with the same "+
			"Idempotency-Key", "arrangement", to, "error", err)
		return false, true
	}
	if p.State == tenancy.ParkedWaiting {
		time.AfterFunc(p.NextAt.Sub(now), func() { wake(g.parked) })
		return false, true
	}
	return true, true
}

// maxError bounds the text of an error that is stored, and maxStored its stored form.
const maxError, maxStored = 500, 1000

// answerOf describes the answer to an attempt, or the reason why there is none.
func answerOf(status int, err error) tenancy.Text {
	if err != nil {
		return outbound.OfError(err).Text()
	}
	return tenancy.Say("%s", fmt.Sprintf("%d %s", status, http.StatusText(status)))
}

// These are the stored forms of errors without data.
var (
	arrangementDeleted = tenancy.Say("the arrangement was deleted").Stored()
	gatewayEnded       = tenancy.Say("the gateway ended before the receiver had answered").Stored()
)

// isTemporary reports whether a receiver may answer the same message differently later.
func isTemporary(status int) bool {
	return status >= 500 || status == http.StatusRequestTimeout || status == http.StatusTooEarly ||
		status == http.StatusTooManyRequests
}

// pauseBefore returns the pause before an attempt; the first one is 1.
func pauseBefore(attempt int, longest time.Duration) time.Duration {
	return min(firstRetry<<min(attempt-2, 20), longest)
}
