package outbound

import (
	"errors"
	"net/http"
	"os"
	"syscall"
)

// Bytes that follow an answer and do not belong to it would be mistaken for the answer to the next message of the
// connection. Some programs write such bytes: the body of an answer to HEAD, as gunicorn does for an application that
// returns one, or the end of a body after a 204. Such a connection is not used again.

// last returns a message after which its connection closes. Bytes that come after the answer to HEAD may arrive at any
// time, and a receiver that writes them cannot be recognised by the answer.
func last(r *http.Request) *http.Request {
	q := *r
	q.Close = true
	return &q
}

// hasForbiddenBody reports whether an answer announces a body that it must not have (RFC 9110, section 8.6; RFC 9112,
// section 6.1).
func hasForbiddenBody(res *http.Response) bool {
	length := res.Header.Get("Content-Length")
	return res.StatusCode == http.StatusNoContent &&
		(length != "" && length != "0" || len(res.TransferEncoding) > 0)
}

// isOpen reports whether an idle connection is usable: the receiver has neither closed it nor sent something
// unexpected. Nothing was buffered when it became idle.
func (c *conn) isOpen() bool {
	if c.raw == nil {
		return false
	}
	var peeked error
	err := c.raw.Control(func(fd uintptr) { // not Read: an old deadline may have passed
		var one [1]byte
		_, _, peeked = syscall.Recvfrom(int(fd), one[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
	})
	return err == nil && errors.Is(peeked, syscall.EAGAIN) && c.isDrained()
}

// isDrained reports whether TLS holds no record of what was read from the socket together with the last answer. A read
// whose deadline has passed returns such a record, and reads nothing from the socket.
func (c *conn) isDrained() bool {
	c.budget = 1
	c.SetReadDeadline(past)
	_, err := c.in.Peek(1)
	return errors.Is(err, os.ErrDeadlineExceeded)
}
