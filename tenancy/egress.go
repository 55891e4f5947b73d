package tenancy

import (
	"crypto/x509"
	"encoding/base64"
	"net/url"
	"slices"
	"strings"
	"time"
)

// Egress configures how the gateway sends the messages of an arrangement. A zero value stands for the default, which
// the method of the field returns.
type Egress struct {
	// RefusalStatuses are the statuses that mean "this certificate is not accepted".
	RefusalStatuses []int `json:"refusal_statuses,omitempty"`
	// RefusalRules describe other answers with that meaning.
	RefusalRules []RefusalRule `json:"refusal_rules,omitempty"`
	// KeepBytes is the maximum size of a body that is kept for a second attempt.
	KeepBytes int64 `json:"keep_bytes,omitempty"`
	// TimeoutSeconds is the maximum time until the receiver's answer begins.
	TimeoutSeconds int `json:"timeout_seconds,omitempty"`
	// Connections is the maximum number of connections to the receiver.
	Connections int `json:"connections,omitempty"`
	// ServerCA contains the CAs (PEM) to verify the receiver's certificate with, instead of the system's.
	ServerCA string `json:"server_ca,omitempty"`
	// ServerKeyPin is the SHA-256 of the receiver's public key (SPKI) in base64, as "sha256/...". It is verified instead
	// of a CA.
	ServerKeyPin string `json:"server_key_pin,omitempty"`
	// MaxTLS is "1.2" for a receiver that asks for the certificate late, by renegotiation, which TLS 1.3 does not have. If
	// it is empty, the gateway detects this.
	MaxTLS string `json:"max_tls,omitempty" enum:"1.2,1.3"`
	Probe  Probe  `json:"probe,omitzero"`
	// Park stores every message and answers 202 at once, as if each had requested it.
	Park bool `json:"park,omitempty"`
	// Proxy is the HTTP proxy to connect through, such as "http://proxy.example.com:3128", or "none". Empty for that of
	// the service. It has no password: those of operators' proxies are settings of the service.
	Proxy string `json:"proxy,omitempty"`
	// IdentifiesBy lists the properties that the receiver compares to identify a certificate; empty if they are not known.
	IdentifiesBy []Identifier `json:"identifies_by,omitempty" enum:"certificate,issuer-serial,key,subject-issuer,subject,san,ca,newest-only"`
}

// NoProxy is the value of Egress.Proxy for direct connections.
const NoProxy = "none"

// A Probe is the request that shows whether a receiver accepts a generation. Without a method, it is a TLS handshake.
type Probe struct {
	Method   string `json:"method,omitempty"`
	Path     string `json:"path,omitempty"`     // absolute, on the endpoint's host
	Statuses []int  `json:"statuses,omitempty"` // that mean acceptance; none: all but refusals
}

// Limits of the settings.
const (
	maxKeepBytes   = 1 << 30
	maxTimeout     = 3600
	maxConnections = 1000
	maxServerCA    = 256 << 10
)

// Ceilings bound what key users may set. A zero value stands for the default.
type Ceilings struct {
	KeepBytes int64         // by default 64 MiB
	Timeout   time.Duration // by default 10 minutes
}

// Check returns an [ErrInvalid] if a change raises a setting above its ceiling. What an operator has set before may
// stay.
func (c Ceilings) Check(before, after Egress) error {
	if c.KeepBytes == 0 {
		c.KeepBytes = Egress{}.Keep()
	}
	if c.Timeout == 0 {
		c.Timeout = 10 * time.Minute
	}
	switch {
	case after.Keep() > c.KeepBytes && after.Keep() > before.Keep():
		return Invalid("egress.keep_bytes", "%d is more than key users may set: use up to %d, or ask an operator",
			after.Keep(), c.KeepBytes)
	case after.Timeout() > c.Timeout && after.Timeout() > before.Timeout():
		return Invalid("egress.timeout_seconds", "%d is more than key users may set: use up to %d, or ask an operator",
			int(after.Timeout().Seconds()), int(c.Timeout.Seconds()))
	}
	return nil
}

// Keep returns the maximum size of a body that is kept, in bytes: by default 64 MiB.
func (e Egress) Keep() int64 {
	if e.KeepBytes == 0 {
		return 64 << 20
	}
	return e.KeepBytes
}

// Timeout returns the maximum time until an answer begins: by default a minute.
func (e Egress) Timeout() time.Duration {
	if e.TimeoutSeconds == 0 {
		return time.Minute
	}
	return time.Duration(e.TimeoutSeconds) * time.Second
}

// MaxConnections returns the maximum number of connections: by default 200.
func (e Egress) MaxConnections() int {
	if e.Connections == 0 {
		return 200
	}
	return e.Connections
}

// Check returns an [ErrInvalid] if a setting is not valid.
func (e Egress) Check() error {
	for _, s := range e.RefusalStatuses {
		if s < 400 || s > 499 {
			return Invalid("egress.refusal_statuses",
				"invalid status %d: only 400 to 499 can mean that a certificate is refused", s)
		}
	}
	switch {
	case len(e.RefusalStatuses) > 20:
		return Invalid("egress.refusal_statuses", "has more than 20 entries")
	case e.KeepBytes < 0 || e.KeepBytes > maxKeepBytes:
		return Invalid("egress.keep_bytes", "%d is out of range: use 1 to %d", e.KeepBytes, int64(maxKeepBytes))
	case e.TimeoutSeconds < 0 || e.TimeoutSeconds > maxTimeout:
		return Invalid("egress.timeout_seconds", "%d is out of range: use 1 to %d", e.TimeoutSeconds, maxTimeout)
	case e.Connections < 0 || e.Connections > maxConnections:
		return Invalid("egress.connections", "%d is out of range: use 1 to %d", e.Connections, maxConnections)
	case len(e.ServerCA) > maxServerCA:
		return Invalid("egress.server_ca", "is longer than %d bytes", maxServerCA)
	case e.ServerCA != "" && !x509.NewCertPool().AppendCertsFromPEM([]byte(e.ServerCA)):
		return Invalid("egress.server_ca", "contains no certificate: paste the receiver's CA certificates in PEM")
	case e.MaxTLS != "" && e.MaxTLS != "1.2" && e.MaxTLS != "1.3":
		return Invalid("egress.max_tls", "%q is not supported: use 1.2 or 1.3", e.MaxTLS)
	case e.ServerCA != "" && e.ServerKeyPin != "":
		return Invalid("egress.server_key_pin", "cannot be combined with server_ca: use one of them")
	}
	if e.ServerKeyPin != "" {
		hash, ok := strings.CutPrefix(e.ServerKeyPin, "sha256/")
		if sum, err := base64.StdEncoding.DecodeString(hash); !ok || err != nil || len(sum) != 32 {
			return Invalid("egress.server_key_pin",
				`is not a pin: use "sha256/" and the base64 of the SHA-256 of the receiver's public key (RFC 7469, section 2.4)`)
		}
	}
	if e.Proxy != "" && e.Proxy != NoProxy {
		u, err := url.Parse(e.Proxy)
		if err != nil || u.Scheme != "http" || u.Hostname() == "" || u.Port() == "" || strings.TrimSuffix(u.Path, "/") != "" {
			return Invalid("egress.proxy", "is not a proxy: use none, or a URL such as http://proxy.example.com:3128")
		}
		if u.User != nil {
			return Invalid("egress.proxy",
				"contains a user: an operator sets the password of a proxy with --egress-proxy of the service")
		}
	}
	if err := checkRefusals(e.RefusalRules); err != nil {
		return err
	}
	if err := checkIdentifiers("egress.identifies_by", e.IdentifiesBy); err != nil {
		return err
	}
	return e.Probe.check()
}

func (p Probe) check() error {
	if p.Method == "" {
		if p.Path != "" || len(p.Statuses) > 0 {
			return Invalid("egress.probe.method", "is missing: use GET, HEAD or OPTIONS, or leave out path and statuses for a "+
				"TLS handshake only")
		}
		return nil
	}
	// A probe is repeated, so its method must be safe (RFC 9110, section 9.2.1).
	if !slices.Contains([]string{"GET", "HEAD", "OPTIONS"}, p.Method) {
		return Invalid("egress.probe.method", "unsupported method %q: use GET, HEAD or OPTIONS", p.Method)
	}
	u, err := url.ParseRequestURI(p.Path)
	if err != nil || !strings.HasPrefix(p.Path, "/") || strings.HasPrefix(p.Path, "//") || u.Host != "" ||
		strings.ContainsFunc(p.Path, func(r rune) bool {
			return r <= ' ' || r > '~'
		}) {
		return Invalid("egress.probe.path", "invalid path %q: use an absolute path such as /health", p.Path)
	}
	for _, s := range p.Statuses {
		if s < 200 || s > 599 {
			return Invalid("egress.probe.statuses", "invalid status %d: use 200 to 599", s)
		}
	}
	return nil
}
