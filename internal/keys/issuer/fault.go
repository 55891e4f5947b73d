package issuer

import (
	"errors"
	"fmt"
	"time"
)

// A Fault is the kind of a CA's failure.
type Fault string

// The faults of a CA. Their advice is the next step of an operator.
const (
	Unreachable Fault = "unreachable" // there is no connection
	Slow        Fault = "slow"        // there is no answer in time
	Limited     Fault = "limited"     // it received too many requests, or a quota is used up
	Untrusted   Fault = "untrusted"   // its TLS certificate is not trusted, or has expired
	Expired     Fault = "expired"     // the certificate of the CA has expired
	Denied      Fault = "denied"      // it does not accept the credentials
	Rejected    Fault = "rejected"    // it does not issue this certificate
	Broken      Fault = "broken"      // it reports an internal error, or its answer cannot be read
	KeyAway     Fault = "key-away"    // the service or the token that holds its key does not sign
	Mismatched  Fault = "mismatched"  // its certificate is not the one that was requested
)

var advice = map[Fault]string{
	Unreachable: "check that the CA runs, and check its address in the issuer's settings",
	Slow:        "check the load of the CA, or allow it more time with the issuer's timeout",
	Limited:     "renewals are tried again later; lower the issuer's rate, or raise the limit at the CA",
	Untrusted: "renew the CA's TLS certificate if it has expired; otherwise check the roots or the fingerprint in the " +
		"issuer's tls settings",
	Expired:    "renew the CA's own certificate",
	Denied:     "check the credentials in the issuer's settings, and their permissions at the CA",
	Rejected:   "allow this certificate at the CA, or change the issuer's settings",
	Broken:     "look into the log of the CA",
	KeyAway:    "renewals are tried again; check the service or the token that holds the key",
	Mismatched: "compare the CA's role or template with the requirements in docs/issuers.md",
}

// Outage reports whether the fault concerns the CA as a whole, and not one certificate.
func (f Fault) Outage() bool {
	switch f {
	case Unreachable, Slow, Limited, Untrusted, Expired, Denied, KeyAway:
		return true
	}
	return false
}

// Advice returns the next step of an operator.
func (f Fault) Advice() string { return advice[f] }

// An Error is the failure of a CA. It contains no secret.
type Error struct {
	Fault Fault
	Text  string    // what was tried, and what happened
	Retry time.Time // when the CA allows the next try; zero if it does not say
	Err   error     // may be nil
}

func (e *Error) Error() string {
	text := e.Text
	if e.Err != nil {
		text += ": " + e.Err.Error()
	}
	if !e.Retry.IsZero() {
		text += ": it allows the next attempt after " + e.Retry.UTC().Format(time.RFC3339)
	}
	return text + ": " + e.Fault.Advice()
}

// Unwrap makes the cause reachable.
func (e *Error) Unwrap() error { return e.Err }

// Failed returns an error of a fault with a text.
func Failed(f Fault, format string, args ...any) *Error {
	return &Error{Fault: f, Text: fmt.Sprintf(format, args...)}
}

// FaultOf returns the fault of an error, and the time at which the CA allows the next attempt (zero if it names none).
// The fault is empty if the CA is not at fault.
func FaultOf(err error) (f Fault, retry time.Time) {
	if e := (*Error)(nil); errors.As(err, &e) {
		return e.Fault, e.Retry
	}
	return "", time.Time{}
}
