package gateway

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"net/http"
	"os"
	"strconv"
	"time"

	"github.com/perennial-pki/perennial/tenancy"
)

// A parkedRequest is the sealed part of a message. Its format is stored, so it outlives the release that wrote it.
type parkedRequest struct {
	Method string      `json:"Method,omitempty"` // empty if an earlier release stored it with the message alone
	Rest   string      `json:"Rest"`             // escaped path behind the address
	Query  string      `json:"Query"`
	Header http.Header `json:"Header"`
	Body   []byte      `json:"Body"`           // empty if the body is stored in chunks
	Size   int64       `json:"Size,omitempty"` // of a body that is stored in chunks
}

const (
	// quotaRetry is the pause after which the sender of a message that did not fit its tenant's quota may try again.
	quotaRetry = time.Minute
	// dropPatience limits the time for deleting the stored parts of a message that was not completed. The rest is deleted
	// later.
	dropPatience = 10 * time.Second
)

// park stores a message and answers 202 once it is safe.
func (g *Gateway) park(w http.ResponseWriter, r *http.Request, to address, rest string, route *route) {
	limit := route.standing.Arrangement.Egress.Keep()
	key := r.Header.Get("Idempotency-Key")
	switch {
	case len(key) > 255:
		problem(w, http.StatusBadRequest, "the Idempotency-Key is longer than 255 bytes")
		return
	case r.ContentLength > limit:
		parkRefused(w, to, &http.MaxBytesError{Limit: limit})
		return
	}
	key = cmp.Or(key, rand.Text())
	now := g.now().UTC().Truncate(time.Microsecond)
	u := upload{gateway: g, p: tenancy.Parked{ID: newID(), ArrangementID: route.standing.Arrangement.ID,
		TenantID: route.standing.Tenant.ID, IdempotencyKey: key, Method: shortened(r.Method, 20),
		Path: shortened(rest, 500), State: tenancy.ParkedWaiting, Bytes: r.ContentLength, NextAt: now, CreatedAt: now},
		digest:  newDigest(r, rest),
		request: parkedRequest{Method: r.Method, Rest: rest, Query: r.URL.RawQuery, Header: g.endToEnd(r.Header)}}
	u.request.Header.Set("Idempotency-Key", key)
	p, err := u.store(r.Context(), &paced{body: http.MaxBytesReader(w, r.Body, limit),
		deadline: http.NewResponseController(w).SetReadDeadline, now: time.Now, // the system's clock: of connections
		grace: g.bodyGrace})
	if err != nil {
		if !parkRefused(w, to, err) {
			g.log.ErrorContext(r.Context(), "a message could not be parked", "arrangement", to, "error", err)
		}
		return
	}
	wake(g.parked)
	w.Header().Set("Preference-Applied", "respond-async")
	w.Header().Set("Location", statusPath+to.String()+"/"+p.ID)
	answerParked(w, http.StatusAccepted, p)
}

// parkRefused answers a message that was not stored. expected is false if the cause is not the sender's.
func parkRefused(w http.ResponseWriter, to address, err error) (expected bool) {
	var tooLarge *http.MaxBytesError
	var cut bodyError
	switch {
	case errors.As(err, &tooLarge):
		problem(w, http.StatusRequestEntityTooLarge, fmt.Sprintf("a parked message for %s may have at most %d bytes", to,
			tooLarge.Limit))
	case errors.Is(err, os.ErrDeadlineExceeded):
		problem(w, http.StatusRequestTimeout, slowText.String()+": nothing was stored")
	case errors.As(err, &cut):
		problem(w, http.StatusBadRequest, "the body was truncated: nothing was stored")
	case errors.Is(err, tenancy.ErrQuota):
		w.Header().Set("Retry-After", strconv.Itoa(int(quotaRetry.Seconds())))
		problem(w, http.StatusInsufficientStorage, fmt.Sprintf("nothing was stored for %s: %v", to, err))
	case errors.Is(err, tenancy.ErrConflict):
		problem(w, http.StatusUnprocessableEntity, err.Error())
	default:
		problem(w, http.StatusServiceUnavailable, "the message could not be stored: send it again, with the same "+
			"Idempotency-Key")
		return false
	}
	return true
}

// A bodyError is an error of the sender's body.
type bodyError struct{ error }

func (e bodyError) Unwrap() error { return e.error }

// A senderBody marks the errors of a sender's body.
type senderBody struct{ io.Reader }

func (b senderBody) Read(p []byte) (int, error) {
	n, err := b.Reader.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		err = bodyError{err}
	}
	return n, err
}

// An upload stores one message, and holds at most one chunk of its body in memory.
type upload struct {
	gateway *Gateway
	p       tenancy.Parked
	request parkedRequest
	digest  hash.Hash
}

// store reads the body to its end and stores the message. It returns the message that is stored under the
// Idempotency-Key.
func (u *upload) store(ctx context.Context, body io.Reader) (tenancy.Parked, error) {
	source := bufio.NewReaderSize(senderBody{body}, 4<<10)
	chunk, err := io.ReadAll(io.LimitReader(source, tenancy.ParkedChunk))
	if err != nil {
		return u.p, err
	}
	u.digest.Write(chunk)
	last, err := isEnd(source)
	if err != nil {
		return u.p, err
	}
	if last {
		u.request.Body = chunk
		return u.complete(ctx)
	}
	return u.storeChunks(ctx, source, chunk)
}

// isEnd reports whether a body has ended.
func isEnd(body *bufio.Reader) (bool, error) {
	_, err := body.Peek(1)
	if errors.Is(err, io.EOF) {
		return true, nil
	}
	return false, err
}

// fill reads as much of a body as fits a buffer. Unlike [io.ReadFull], it returns an error for a truncated body.
func fill(body io.Reader, buffer []byte) ([]byte, error) {
	n := 0
	for n < len(buffer) {
		m, err := body.Read(buffer[n:])
		n += m
		if errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return nil, err
		}
	}
	return buffer[:n], nil
}

// storeChunks stores a message whose body is larger than its first chunk.
func (u *upload) storeChunks(ctx context.Context, source *bufio.Reader, chunk []byte) (_ tenancy.Parked, err error) {
	u.p.Bytes = max(u.p.Bytes, tenancy.ParkedChunk)
	stored, err := u.gateway.control.ReserveParked(ctx, u.p)
	if err != nil {
		return u.p, err
	}
	repeated := stored.ID != u.p.ID // then its digest is compared, and nothing is stored
	completed := repeated
	defer func() {
		if !completed {
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), dropPatience)
			defer cancel()
			u.gateway.control.DropParked(ctx, u.p)
		}
	}()
	for last := false; ; {
		if !repeated {
			part := tenancy.ParkedPart{N: u.p.Chunks, Last: last, Data: chunk}
			if err := u.gateway.control.AddParkedChunk(ctx, u.p, part); err != nil {
				return u.p, err
			}
		}
		u.p.Chunks++
		u.request.Size += int64(len(chunk))
		if last {
			break
		}
		if chunk, err = fill(source, chunk[:tenancy.ParkedChunk]); err != nil {
			return u.p, err
		}
		u.digest.Write(chunk)
		if last, err = isEnd(source); err != nil {
			return u.p, err
		}
	}
	p, err := u.complete(ctx)
	completed = err == nil && p.ID == u.p.ID || repeated
	return p, err
}

// complete stores the message itself. Its body is stored already, or part of it.
func (u *upload) complete(ctx context.Context) (tenancy.Parked, error) {
	data, err := json.Marshal(u.request)
	if err != nil {
		return u.p, err
	}
	u.p.Digest = u.digest.Sum(nil)
	return u.gateway.control.Park(ctx, u.p, data)
}

// newDigest returns a hash that identifies a message once its body is written to it. The headers of the message may
// differ when it is sent again.
func newDigest(r *http.Request, rest string) hash.Hash {
	h := sha256.New()
	fmt.Fprintf(h, "%q %q %q\n", r.Method, rest, r.URL.RawQuery)
	return h
}

// A parkedBody reads the chunks of a stored body, one after the other.
type parkedBody struct {
	ctx     context.Context // of the attempt
	control Bodies
	p       tenancy.Parked

	next int // chunk
	rest []byte
}

func (b *parkedBody) Read(p []byte) (int, error) {
	if len(b.rest) == 0 {
		if b.next == b.p.Chunks {
			return 0, io.EOF
		}
		chunk, err := b.control.ParkedChunk(b.ctx, b.p, b.next)
		if err != nil {
			return 0, fmt.Errorf("chunk %d of the parked body cannot be read: %w", b.next, err)
		}
		b.next++
		b.rest = chunk
	}
	n := copy(p, b.rest)
	b.rest = b.rest[n:]
	return n, nil
}

// body returns the body of a parked message, with its size.
func (g *Gateway) body(ctx context.Context, p tenancy.Parked, request parkedRequest) (io.Reader, int64) {
	if p.Chunks == 0 {
		return bytes.NewReader(request.Body), int64(len(request.Body))
	}
	return &parkedBody{ctx: ctx, control: g.control, p: p}, request.Size
}

// sendParked sends a parked message and reads the receiver's answer.
func (g *Gateway) sendParked(ctx context.Context, to address, p tenancy.Parked, data []byte) (status int, o outcome,
	err error) {
	var request parkedRequest
	if err := json.Unmarshal(data, &request); err != nil {
		return 0, o, fmt.Errorf("the parked message cannot be read: %w", err)
	}
	route, err := g.routes.get(ctx, g, to)
	if err != nil {
		return 0, o, err
	}
	method := cmp.Or(request.Method, p.Method)
	m := newMessage(g, route, method, request.Rest)
	defer m.end("/")
	body, size := g.body(ctx, p, request)
	res, err := m.send(ctx, request, method, body, size)
	if err != nil {
		m.status, _ = m.answerTo(err)
		return 0, m.outcome, err
	}
	io.Copy(io.Discard, res.Body) // the status is the answer, whatever becomes of the body
	res.Body.Close()
	return res.StatusCode, m.outcome, nil
}
