package gateway

import (
	"errors"
	"io"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/perennial-pki/perennial/internal/egress/outbound"
	"github.com/perennial-pki/perennial/tenancy"
)

// A sender may take bodyGrace for the body of a message, and a second more for every bodyRate bytes that have arrived.
// Apache's mod_reqtimeout has the same rule by default (20 seconds and 500 bytes a second).
const (
	bodyGrace = 20 * time.Second
	bodyRate  = 500
	// bodyPause limits one pause, however much has arrived before (nginx: client_body_timeout).
	bodyPause = time.Minute
)

// A paced body gives its sender a time that grows with the data that has arrived. Only waiting for the sender counts.
// One goroutine reads at a time, and another one may call release.
type paced struct {
	body     io.Reader
	deadline func(time.Time) error // of reads
	now      func() time.Time
	grace    time.Duration
	giveUp   func() // called if the body fails; nil for nothing

	reading sync.Mutex // held by a read
	read    int64
	waited  time.Duration

	mu       sync.Mutex // guards what is below, and the deadline
	until    time.Time  // the deadline of a read that is waiting
	released bool
	complete bool // the body was read to its end
	late     bool // the body ended because its sender was too slow
	broken   bool // the body ended early, or is not what HTTP allows
}

func (p *paced) Read(b []byte) (int, error) {
	p.reading.Lock()
	defer p.reading.Unlock()
	begun := p.now()
	allowed := p.grace + time.Duration(p.read)*time.Second/bodyRate
	if err := p.setDeadline(begun.Add(min(allowed-p.waited, bodyPause))); err != nil {
		return 0, err
	}
	n, err := p.body.Read(b)
	p.read += int64(n)
	p.waited += p.now().Sub(begun)
	if err != nil {
		p.failed(err)
	}
	// A remaining deadline would end the request while it waits for its answer.
	if undone := p.setDeadline(time.Time{}); err == nil {
		err = undone
	}
	return n, err
}

// failed records how the body ended.
func (p *paced) failed(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.complete = errors.Is(err, io.EOF)
	if p.complete || p.released {
		return
	}
	p.late = errors.Is(err, os.ErrDeadlineExceeded)
	p.broken = !p.late
	if p.giveUp != nil {
		p.giveUp()
	}
}

// isBroken reports whether the body ended early, or is not what HTTP allows.
func (p *paced) isBroken() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.broken
}

// setDeadline does nothing for a body that was released, or a request that has no connection.
func (p *paced) setDeadline(at time.Time) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.released {
		return nil
	}
	p.until = at
	if err := p.deadline(at); !errors.Is(err, errors.ErrUnsupported) {
		return err
	}
	return nil
}

// release ends the limit, even for a read that is waiting. It reports whether a part of the body was not read.
func (p *paced) release() (unread bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.released && !p.complete && !p.late {
		p.until = time.Time{}
		p.deadline(time.Time{})
	}
	p.released = true
	return !p.complete
}

// tooLate reports whether the body ended because its sender was too slow. A read that is ending counts: net/http
// cancels the request before the read returns.
func (p *paced) tooLate() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.late || !p.until.IsZero() && !p.now().Before(p.until)
}

// abandon ends a read that is waiting, and limits how long the connection waits for the rest of the body. Over
// HTTP/1.1, the rest is read after the answer, which flush forwards: a sender that writes its whole body before it
// reads would get a broken pipe instead of it. flush is nil over HTTP/2.
func (p *paced) abandon(flush func()) {
	late := p.tooLate()
	if !p.release() {
		return
	}
	past := time.Unix(1, 0)
	if p.deadline(past) != nil {
		return
	}
	p.reading.Lock() // a waiting read ends at once, and nothing reads after the message
	defer p.reading.Unlock()
	if late {
		return
	}
	p.deadline(p.now().Add(drainFor))
	if flush != nil {
		flush()
		io.CopyN(io.Discard, p.body, drainBytes)
	}
}

// slowText is the answer to a sender that is too slow.
var slowText = tenancy.Say("the body arrived at less than %d bytes a second", bodyRate)

// brokenText is the answer to a sender whose body ends early, or is not what HTTP allows.
var brokenText = tenancy.Say("the body was truncated or is not valid")

// errSlow is returned instead of an answer to a body that was aborted because its sender is too slow.
var errSlow = errors.New(slowText.String())

// mayIdle reports whether the body of a message may pause for any time: a gRPC stream, or the data after an upgrade.
func mayIdle(r *http.Request) bool {
	return r.Header.Get("Upgrade") != "" ||
		r.ProtoMajor == 2 && outbound.IsGRPC(r.Header)
}

// pace limits the time that the sender of a message may take for its body.
func (m *message) pace(w http.ResponseWriter, r *http.Request) {
	if r.Body == nil || r.Body == http.NoBody || mayIdle(r) {
		return
	}
	if r.ProtoMajor == 1 {
		m.flush = func() { http.NewResponseController(w).Flush() }
	}
	m.paced = &paced{body: r.Body, deadline: http.NewResponseController(w).SetReadDeadline, now: time.Now,
		grace: m.gateway.bodyGrace}
	r.Body = struct {
		io.Reader
		io.Closer
	}{m.paced, r.Body}
}

// answered ends the limit when the receiver has answered. Over HTTP/2, the rest of the body may be the other direction
// of a stream. Over HTTP/1.1, net/http would wait for it before it forwards the answer, unless the connection ends.
func (m *message) answered(http2 bool) {
	if m.paced == nil {
		return
	}
	if unread := m.paced.release(); unread && !http2 {
		m.answer.Header().Set("Connection", "close")
	}
}
