package notify

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/mail"
	"net/textproto"
	"strings"
)

// A Bounce is a report about a mail that could not be delivered.
type Bounce struct {
	MessageID string // of the mail, without angle brackets
	// Final is true if another attempt is useless (RFC 3463: a status of class 5), and a mail server said so about every
	// recipient.
	Final bool
}

// MailID returns the ID of the mail, if it is one of ours.
func (b Bounce) MailID() string {
	id, _, _ := strings.Cut(b.MessageID, "@")
	return id
}

// ReadBounce reads a delivery status notification (RFC 3464) with the headers of the mail that it is about.
func ReadBounce(message []byte) (b Bounce, err error) {
	m, err := mail.ReadMessage(bytes.NewReader(message))
	if err != nil {
		return b, err
	}
	kind, params, err := mime.ParseMediaType(m.Header.Get("Content-Type"))
	if err != nil || kind != "multipart/report" || !strings.EqualFold(params["report-type"], "delivery-status") {
		return b, fmt.Errorf("its type is %q", m.Header.Get("Content-Type"))
	}
	reported := false
	for parts := multipart.NewReader(m.Body, params["boundary"]); ; {
		part, err := parts.NextPart()
		if errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return b, err
		}
		kind, _, _ := mime.ParseMediaType(part.Header.Get("Content-Type"))
		switch strings.ToLower(kind) {
		case "message/delivery-status", "message/global-delivery-status": // the latter in RFC 6533
			reported, b.Final = true, finalFor(part)
		case "message/rfc822", "text/rfc822-headers", "message/global", "message/global-headers":
			header, _ := textproto.NewReader(bufio.NewReader(part)).ReadMIMEHeader() // it may be cut off
			b.MessageID = strings.Trim(strings.TrimSpace(header.Get("Message-Id")), "<>")
		}
	}
	switch {
	case !reported:
		return b, errors.New("it has no delivery status")
	case b.MessageID == "":
		return b, errors.New("it does not name the mail that it is about: include its headers")
	}
	return b, nil
}

// finalFor reports whether a delivery status has recipients, and each of them failed for good.
func finalFor(status io.Reader) bool {
	groups := textproto.NewReader(bufio.NewReader(status))
	if _, err := groups.ReadMIMEHeader(); err != nil { // about the message
		return false
	}
	final, recipients := true, 0
	for {
		recipient, err := groups.ReadMIMEHeader()
		if action := recipient.Get("Action"); action != "" {
			recipients++
			final = final && strings.EqualFold(strings.TrimSpace(action), "failed") &&
				strings.HasPrefix(strings.TrimSpace(recipient.Get("Status")), "5.")
		}
		if err != nil {
			return final && recipients > 0
		}
	}
}
