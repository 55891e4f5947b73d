package guard

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"log/slog"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/perennial-pki/perennial/acceptance"
	core "github.com/perennial-pki/perennial/guard"
	"github.com/perennial-pki/perennial/internal/keys/certfile"
)

const (
	// mostLogged limits the refused calls that are logged in a minute, because strangers cause them.
	mostLogged = 60
	// mostLoggedDER limits a certificate in the log. Larger ones are logged without their content.
	mostLoggedDER = 8 << 10
)

// A callLog logs refused calls and handshakes, each cause once in a minute. It is safe for concurrent use.
type callLog struct {
	log     *slog.Logger
	metrics *metrics

	mu       sync.Mutex // guards the rest
	minute   time.Time
	logged   map[string]bool
	withheld int
}

func newCallLog(log *slog.Logger, m *metrics) *callLog {
	return &callLog{log: log, metrics: m, logged: map[string]bool{}}
}

// callLogs have a limit each, so that strangers crowd out neither partners nor the guard itself.
type callLogs struct {
	metrics                             *metrics
	partners, strangers, handshake, own *callLog
}

func newCallLogs(log *slog.Logger, m *metrics) *callLogs {
	return &callLogs{m, newCallLog(log, m), newCallLog(log, m), newCallLog(log, m), newCallLog(log, m)}
}

// add counts a call, and logs it if it was refused.
func (l *callLogs) add(c core.Call) {
	l.metrics.call(c)
	switch {
	case c.Accepted && c.Decision.Outcome == acceptance.Accept:
	case c.Decision.Partner == "" || c.Decision.Code == acceptance.OtherCA || c.Decision.Code == acceptance.OtherSubject:
		l.strangers.add(c)
	default:
		l.partners.add(c)
	}
}

// add logs a call that was refused, or that is accepted only for a time.
func (l *callLog) add(c core.Call) {
	cause := string(c.Decision.Code) + " " + hostOf(c.Remote)
	attrs := []any{"code", c.Decision.Code, "reason", c.Decision.Reason, "remote", c.Remote, "host", c.Host}
	if c.Decision.Partner != "" {
		attrs = append(attrs, "partner", c.Decision.Partner)
	}
	if len(c.Chain) > 0 {
		sum := sha256.Sum256(c.Chain[0].Raw)
		cause = string(c.Decision.Code) + " " + string(sum[:])
		attrs = append(attrs, describe(c.Chain[0])...)
	}
	message := "a call was refused"
	if c.Accepted {
		message = "a call was accepted, although its certificate is held: decide with perennial guard accept or refuse"
	}
	l.once(c.At, cause, slog.LevelWarn, message, attrs...)
}

// describe returns what an administrator needs to know about a certificate. Callers choose its names.
func describe(c *x509.Certificate) []any {
	attrs := []any{"subject", shown(c.RawSubject), "issuer", shown(c.RawIssuer), "serial",
		certfile.Serial(c), "sha256", certfile.Fingerprint(c.Raw), "not_after", c.NotAfter.UTC()}
	if len(c.Raw) <= mostLoggedDER {
		attrs = append(attrs, "certificate", base64.StdEncoding.EncodeToString(c.Raw))
	}
	return attrs
}

func hostOf(remote string) string {
	host, _, err := net.SplitHostPort(remote)
	if err != nil {
		return remote
	}
	return host
}

// once logs a cause unless it was logged in the same minute, or too many others were.
func (l *callLog) once(at time.Time, cause string, level slog.Level, message string, attrs ...any) {
	l.mu.Lock()
	minute, withheld := at.Truncate(time.Minute), 0
	if !minute.Equal(l.minute) {
		withheld, l.withheld = l.withheld, 0
		l.minute = minute
		clear(l.logged)
	}
	known := l.logged[cause]
	full := len(l.logged) >= mostLogged
	if known || full {
		l.withheld++
	} else {
		l.logged[cause] = true
	}
	l.mu.Unlock()
	if withheld > 0 {
		l.log.Warn("further refused calls of the minute before were not logged", "calls", withheld)
	}
	if known || full {
		return
	}
	l.log.Log(context.Background(), level, message, attrs...)
}

// handshakes receives the errors of the HTTP server.
type handshakes struct {
	log *callLog
	now func() time.Time
}

// hints explain failed handshakes to an administrator, by a part of the error.
var hints = []struct{ part, hint string }{
	{"unknown certificate authority", "the caller does not trust the CA of this guard's server certificate"},
	{"bad certificate", "the caller does not accept this guard's server certificate"},
	{"expired certificate", "to the caller, this guard's server certificate has expired"},
	{"unknown certificate", "the caller does not accept this guard's server certificate"},
	{
		"invalid signature by the client certificate",
		"the caller does not have the key of the certificate that it presents",
	},
	{"failed to parse client certificate", "the caller's certificate cannot be read"},
	{"unsupported versions", "the caller speaks neither TLS 1.2 nor TLS 1.3"},
	{"client sent an HTTP request", "the caller speaks HTTP without TLS"},
}

// Write logs an error of the server. A connection that closes without sending data is that of a port scanner or a
// health check.
func (h handshakes) Write(line []byte) (int, error) {
	text := string(bytes.TrimSpace(line))
	rest, isHandshake := strings.CutPrefix(text, "http: TLS handshake error from ")
	if !isHandshake {
		h.log.log.Debug(text)
		return len(line), nil
	}
	remote, reason, _ := strings.Cut(rest, ": ")
	if strings.HasSuffix(reason, "EOF") || strings.HasSuffix(reason, "connection reset by peer") {
		h.log.log.Debug("a connection ended during the handshake", "remote", remote)
		return len(line), nil
	}
	h.log.metrics.handshakes.Inc()
	attrs, class := []any{"remote", remote, "reason", reason}, "other"
	for _, known := range hints {
		if strings.Contains(reason, known.part) {
			attrs, class = append(attrs, "hint", known.hint), known.part
			break
		}
	}
	h.log.once(h.now(), class+" "+hostOf(remote), slog.LevelWarn, "a handshake failed", attrs...)
	return len(line), nil
}
