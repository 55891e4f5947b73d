package tenancy

import (
	"crypto/x509"
	"encoding/base64"
	"net/url"
	"slices"
	"strings"
	"time"
)

// Egress is how the gateway sends an arrangement's messages. Every zero value is the default that its method gives.
type Egress struct {
	// RefusalStatuses are the answers that mean "this certificate is not accepted".
	RefusalStatuses []int `json:"refusal_statuses,omitempty"`
	// KeepBytes is the largest body that is kept for a second try.
	KeepBytes int64 `json:"keep_bytes,omitempty"`
	// TimeoutSeconds is how long the receiver may take until its answer begins.
	TimeoutSeconds int `json:"timeout_seconds,omitempty"`
	// Connections is how many there are to the receiver at most.
	Connections int `json:"connections,omitempty"`
	// ServerCA are the CAs (PEM) that the receiver's certificate is verified with, instead of the system's.
	ServerCA string `json:"server_ca,omitempty"`
	// ServerKeyPin is the SHA-256 of the receiver's public key (SPKI) in base64, as "sha256/...": it is verified instead
	// of a CA.
	ServerKeyPin string `json:"server_key_pin,omitempty"`
	Probe        Probe  `json:"probe,omitzero"`
	// Park stores every message and answers 202 at once, as if it had asked for it.
	Park bool `json:"park,omitempty"`
}

// A Probe is the question that shows whether a receiver accepts a generation. Without a method, only the handshake is
// made.
type Probe struct {
	Method   string `json:"method,omitempty"`
	Path     string `json:"path,omitempty"`     // absolute; of the endpoint's host
	Statuses []int  `json:"statuses,omitempty"` // the answers of a receiver that accepts it; none: all but refusals
}

// Bounds of what may be asked for.
const (
	maxKeepBytes   = 1 << 30
	maxTimeout     = 3600
	maxConnections = 1000
	maxServerCA    = 256 << 10
)

// Refusals are the statuses that mean a refusal: by default 401 and 403.
func (e Egress) Refusals() []int {
	if len(e.RefusalStatuses) == 0 {
		return []int{401, 403}
	}
	return e.RefusalStatuses
}

// Keep is the largest body that is kept, in bytes: by default 64 MiB.
func (e Egress) Keep() int64 {
	if e.KeepBytes == 0 {
		return 64 << 20
	}
	return e.KeepBytes
}

// Timeout is how long the answer may take to begin: by default a minute.
func (e Egress) Timeout() time.Duration {
	if e.TimeoutSeconds == 0 {
		return time.Minute
	}
	return time.Duration(e.TimeoutSeconds) * time.Second
}

// MaxConnections is how many connections there are at most: by default 200.
func (e Egress) MaxConnections() int {
	if e.Connections == 0 {
		return 200
	}
	return e.Connections
}

// Check says what is wrong, or nil. The error is an [ErrInvalid].
func (e Egress) Check() error {
	for _, s := range e.RefusalStatuses {
		if s < 400 || s > 499 {
			return Invalid("egress.refusal_statuses",
				"%d is not allowed: only 400 to 499 can mean that a certificate is refused", s)
		}
	}
	switch {
	case len(e.RefusalStatuses) > 20:
		return Invalid("egress.refusal_statuses", "has more than 20 entries")
	case e.KeepBytes < 0 || e.KeepBytes > maxKeepBytes:
		return Invalid("egress.keep_bytes", "%d is not allowed: use 1 to %d", e.KeepBytes, int64(maxKeepBytes))
	case e.TimeoutSeconds < 0 || e.TimeoutSeconds > maxTimeout:
		return Invalid("egress.timeout_seconds", "%d is not allowed: use 1 to %d", e.TimeoutSeconds, maxTimeout)
	case e.Connections < 0 || e.Connections > maxConnections:
		return Invalid("egress.connections", "%d is not allowed: use 1 to %d", e.Connections, maxConnections)
	case len(e.ServerCA) > maxServerCA:
		return Invalid("egress.server_ca", "is longer than %d bytes", maxServerCA)
	case e.ServerCA != "" && !x509.NewCertPool().AppendCertsFromPEM([]byte(e.ServerCA)):
		return Invalid("egress.server_ca", "holds no certificate: paste the receiver's CA certificates in PEM")
	case e.ServerCA != "" && e.ServerKeyPin != "":
		return Invalid("egress.server_key_pin", "and server_ca exclude each other")
	}
	if e.ServerKeyPin != "" {
		hash, ok := strings.CutPrefix(e.ServerKeyPin, "sha256/")
		if sum, err := base64.StdEncoding.DecodeString(hash); !ok || err != nil || len(sum) != 32 {
			return Invalid("egress.server_key_pin",
				`is no pin: write "sha256/" and the base64 of the SHA-256 of the receiver's public key (RFC 7469, section 2.4)`)
		}
	}
	return e.Probe.check()
}

func (p Probe) check() error {
	if p.Method == "" {
		if p.Path != "" || len(p.Statuses) > 0 {
			return Invalid("egress.probe.method", "is missing: use GET, HEAD or OPTIONS, or leave path and statuses out for a "+
				"bare handshake")
		}
		return nil
	}
	// A probe is sent again and again: only what changes nothing at the receiver (RFC 9110, section 9.2.1).
	if !slices.Contains([]string{"GET", "HEAD", "OPTIONS"}, p.Method) {
		return Invalid("egress.probe.method", "%q is not allowed: use GET, HEAD or OPTIONS", p.Method)
	}
	u, err := url.ParseRequestURI(p.Path)
	if err != nil || !strings.HasPrefix(p.Path, "/") || strings.HasPrefix(p.Path, "//") || u.Host != "" ||
		strings.ContainsFunc(p.Path, func(r rune) bool {
			return r <= ' ' || r > '~'
		}) {
		return Invalid("egress.probe.path", "%q is not allowed: write an absolute path such as /health", p.Path)
	}
	for _, s := range p.Statuses {
		if s < 200 || s > 599 {
			return Invalid("egress.probe.statuses", "%d is no status", s)
		}
	}
	return nil
}
