package gateway

import (
	"errors"
	"io"
	"time"
)

// A sender may take bodyGrace for the body of a parked message, and a second more for every bodyRate bytes that have
// arrived. Apache's mod_reqtimeout has the same rule by default (20 seconds and 500 bytes a second).
const (
	bodyGrace = 20 * time.Second
	bodyRate  = 500
)

// A paced body gives its sender a time that grows with what has arrived. Only waiting for the sender counts.
type paced struct {
	body     io.Reader
	deadline func(time.Time) error // of reads
	now      func() time.Time

	read   int64
	waited time.Duration
}

func (p *paced) Read(b []byte) (int, error) {
	begun := p.now()
	allowed := bodyGrace + time.Duration(p.read)*time.Second/bodyRate
	if err := p.setDeadline(begun.Add(allowed - p.waited)); err != nil {
		return 0, err
	}
	n, err := p.body.Read(b)
	p.read += int64(n)
	p.waited += p.now().Sub(begun)
	// A deadline that stays would end the request while its answer is waited for.
	if undone := p.setDeadline(time.Time{}); err == nil {
		err = undone
	}
	return n, err
}

// setDeadline does nothing for a request that has no connection.
func (p *paced) setDeadline(at time.Time) error {
	if err := p.deadline(at); !errors.Is(err, errors.ErrUnsupported) {
		return err
	}
	return nil
}
