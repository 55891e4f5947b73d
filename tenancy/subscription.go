package tenancy

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// LinkPurpose limits what a link about a key user's subscription may do.
type LinkPurpose string

// Mails are meant to be forwarded, so a link in a body must not end a subscription. It can only ask for a mail to the
// key user, and the link in that mail ends the subscription. The link in the header of a mail (RFC 8058) ends it at
// once, and another mail lets the key user undo that.
const (
	LinkAsk     LinkPurpose = "ask"
	LinkStop    LinkPurpose = "stop"
	LinkConfirm LinkPurpose = "confirm"
	LinkUndo    LinkPurpose = "undo"
)

// linkLifetimes limit how long a link is valid after the mail that contains it.
var linkLifetimes = map[LinkPurpose]time.Duration{
	LinkAsk:     365 * 24 * time.Hour,
	LinkStop:    90 * 24 * time.Hour,
	LinkConfirm: 3 * 24 * time.Hour,
	LinkUndo:    30 * 24 * time.Hour,
}

// Subscribe starts a subscription. The new token ends the validity of all links in earlier mails.
func (u *KeyUser) Subscribe(at time.Time, token string) {
	u.SubscribedAt, u.UnsubscribeToken = at, token
}

// LinkSecret returns the secret of a link in a mail that was written at an instant. The link ends with the lifetime of
// its purpose or when the key user subscribes again.
func (u KeyUser) LinkSecret(p LinkPurpose, at time.Time) string {
	until := strconv.FormatInt(at.Add(linkLifetimes[p]).Unix(), 10)
	return u.ID + "." + until + "." + u.linkMAC(p, until)
}

// LinkUser returns the ID of the key user to whom a link claims to belong. [KeyUser.Opens] verifies the claim.
func LinkUser(secret string) string {
	id, _, _ := strings.Cut(secret, ".")
	return id
}

// Opens reports whether the secret of a link belongs to the key user and the purpose, and is valid at now.
func (u KeyUser) Opens(p LinkPurpose, secret string, now time.Time) bool {
	parts := strings.Split(secret, ".")
	if len(parts) != 3 || parts[0] != u.ID || linkLifetimes[p] == 0 {
		return false
	}
	until, err := strconv.ParseInt(parts[1], 10, 64)
	return err == nil && now.Before(time.Unix(until, 0)) && hmac.Equal([]byte(parts[2]), []byte(u.linkMAC(p, parts[1])))
}

func (u KeyUser) linkMAC(p LinkPurpose, until string) string {
	mac := hmac.New(sha256.New, []byte(u.UnsubscribeToken))
	fmt.Fprintf(mac, "%s\n%s\n%s", p, u.ID, until)
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}
