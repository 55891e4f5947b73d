package gateway

import (
	"errors"
	"io"
	"net/http"
	"os"
	"sync"
)

// memoryLimit is the size up to which a body is kept in memory. The rest goes to a temporary file.
const memoryLimit = 1 << 20

// errTooLarge is returned if a lost message cannot be sent over another connection.
var errTooLarge = errors.New("the connection was lost, and more of the body was sent than is kept")

// errNotKept is returned if a refused message cannot be sent with another generation.
var errNotKept = errors.New("the body cannot be sent again: more of it was sent than is kept")

// errDetached is returned by reads of an abandoned attempt.
var errDetached = errors.New("this attempt was abandoned")

// A kept body is read from its source once and can be sent again from the beginning: the data that one attempt reads is
// kept for the next one, up to a limit. It allows the concurrent use that net/http makes of a request's body, which may
// continue for a while after the answer has arrived.
type kept struct {
	source io.Reader
	limit  int64
	dir    string // of temporary files; empty for the system's

	reading sync.Mutex // held by the attempt that reads from the source, for as long as the sender takes

	mu       sync.Mutex // never held while the source is read
	memory   []*chunk   // the beginning of the body
	inMemory int64      // bytes in memory
	file     *os.File   // the rest
	size     int64      // kept so far
	lost     bool       // what was read cannot be sent again
	held     bool       // it stays possible to send the body again
	decided  sync.Cond  // of mu: no longer held, or the latest attempt has ended
	err      error      // how the source ended
	last     *try
}

// Most messages fit into one chunk. Larger ones use several, because the runtime would have to clear and collect a
// buffer of the message's size for each message.
type chunk [smallBody]byte

var pooledChunks = sync.Pool{New: func() any { return new(chunk) }}

// keepBody returns a kept body. size is its length, or negative if it is unknown.
func keepBody(source io.Reader, size, limit int64, dir string) *kept {
	k := &kept{source: source, limit: limit, dir: dir}
	k.decided.L = &k.mu
	if size > 0 {
		k.memory = make([]*chunk, 0, (min(size, limit, memoryLimit)+smallBody-1)/smallBody)
	}
	return k
}

// A try is one attempt to send a kept body. It reads from the beginning.
type try struct {
	body   *kept
	offset int64
	closed bool
}

// newTry starts an attempt to send the body, and detaches the previous one. ok is false if the body cannot be sent
// again.
func (k *kept) newTry() (t *try, ok bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.lost {
		return nil, false
	}
	k.end()
	k.last = &try{body: k}
	return k.last, true
}

// sendAs makes the kept body the body of a request. The result is false if it cannot be sent again.
func (k *kept) sendAs(r *http.Request) bool {
	body, ok := k.newTry()
	if !ok {
		return false
	}
	r.Body = body
	r.GetBody = func() (io.ReadCloser, error) { // for net/http, if an idle connection turns out to be closed
		body, ok := k.newTry()
		if !ok {
			return nil, errTooLarge
		}
		return body, nil
	}
	return true
}

// hold reports whether the body can be sent again. If so, that stays so until the next attempt or until release: the
// latest attempt waits before it sends more than is kept.
func (k *kept) hold() bool {
	if k == nil { // a message without a body
		return true
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.held = !k.lost
	return k.held
}

// unread reports whether the latest attempt has read nothing of the body.
func (k *kept) unread() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.last == nil || k.last.offset == 0
}

// release stops keeping the body, because the message will not be sent again.
func (k *kept) release() {
	if k == nil {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.limit, k.held = 0, false
	k.decided.Broadcast()
}

// end ends the latest attempt.
func (k *kept) end() {
	if k.last != nil {
		k.last.closed = true
	}
	k.held = false
	k.decided.Broadcast()
}

// close ends every attempt and frees the kept data.
func (k *kept) close() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.end()
	k.lose()
}

// lose frees the kept data, after which the body cannot be sent again.
func (k *kept) lose() {
	k.lost = true
	for _, c := range k.memory {
		pooledChunks.Put(c)
	}
	k.memory, k.inMemory = nil, 0
	if k.file != nil {
		k.file.Close()
		k.file = nil
	}
}

func (t *try) Read(p []byte) (int, error) {
	if n, done, err := t.readKept(p); done {
		return n, err
	}
	k := t.body
	k.reading.Lock()
	defer k.reading.Unlock()
	if n, done, err := t.readKept(p); done { // the attempt before this one was reading
		return n, err
	}
	n, err := k.source.Read(p)
	k.mu.Lock()
	defer k.mu.Unlock()
	k.err = err
	for k.held && !t.closed && k.size+int64(n) > k.limit {
		k.decided.Wait()
	}
	k.keep(p[:n], t.closed)
	if t.closed {
		return 0, errDetached // the next attempt reads it
	}
	t.offset += int64(n)
	return n, err
}

// readKept reads the kept data, or returns the end of the body. done is false if the source must be read.
func (t *try) readKept(p []byte) (n int, done bool, err error) {
	k := t.body
	k.mu.Lock()
	defer k.mu.Unlock()
	switch {
	case t.closed:
		return 0, true, errDetached
	case t.offset < k.size:
		n, err = k.again(p, t.offset)
		t.offset += int64(n)
		return n, true, err
	default:
		return 0, k.err != nil, k.err
	}
}

// again reads from the kept data.
func (k *kept) again(p []byte, offset int64) (int, error) {
	if k.lost {
		return 0, errDetached
	}
	if left := k.inMemory - offset; left > 0 {
		start := offset % smallBody
		return copy(p, k.memory[offset/smallBody][start:min(smallBody, start+left)]), nil
	}
	return k.file.ReadAt(p[:min(int64(len(p)), k.size-offset)], offset-k.inMemory)
}

// keep adds the data that was just read. A full disk costs the second attempt, not the message. The limit does not
// apply to data that an abandoned attempt has read, because the next one needs it.
func (k *kept) keep(p []byte, givenUp bool) {
	if k.lost || len(p) == 0 {
		return
	}
	if k.size+int64(len(p)) > k.limit && !givenUp {
		k.lose()
		return
	}
	for len(p) > 0 && k.file == nil && k.inMemory < memoryLimit {
		start := k.inMemory % smallBody
		if start == 0 {
			k.memory = append(k.memory, pooledChunks.Get().(*chunk))
		}
		n := copy(k.memory[len(k.memory)-1][start:], p)
		p = p[n:]
		k.inMemory += int64(n)
		k.size += int64(n)
	}
	if len(p) == 0 {
		return
	}
	if k.file == nil {
		f, err := os.CreateTemp(k.dir, "perennial-body-*") // mode 0600
		if err != nil {
			k.lose()
			return
		}
		os.Remove(f.Name()) // the file disappears with the process, however that ends
		k.file = f
	}
	if _, err := k.file.Write(p); err != nil {
		k.lose()
		return
	}
	k.size += int64(len(p))
}

// Close ends the attempt. The source stays open for the next one.
func (t *try) Close() error {
	t.body.mu.Lock()
	defer t.body.mu.Unlock()
	t.closed = true
	t.body.decided.Broadcast()
	return nil
}
