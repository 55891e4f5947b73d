package guard

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/perennial-pki/perennial/acceptance"
)

// The headers of accepted calls. Those that callers send are removed. The tenant and its arrangements are those of a
// partner that the feed of a counterparty lists, and absent for every other one.
const (
	PartnerHeader     = "Perennial-Partner"
	TenantHeader      = "Perennial-Tenant"
	ArrangementHeader = "Perennial-Arrangement"
	certificateHeader = "Client-Cert"       // RFC 9440, section 2.2
	chainHeader       = "Client-Cert-Chain" // RFC 9440, section 2.3
)

// Missing is the code of a call without a certificate.
const Missing acceptance.Code = "no-certificate"

// WithoutCertificate is the decision about a call without a certificate.
var WithoutCertificate = acceptance.Decision{Outcome: acceptance.Refuse, Code: Missing,
	Reason: "the caller presented no client certificate"}

// Handler returns a handler that passes on calls with an accepted certificate, and answers all others with 403. It is
// for partners that need no memory beyond the process. See [New] for the other ones.
func Handler(partners []acceptance.Partner, next http.Handler) (http.Handler, error) {
	g, err := New(partners, Options{})
	if err != nil {
		return nil, err
	}
	return g.Handler(next), nil
}

// Handler returns a handler that passes on calls with an accepted certificate, and answers all others with 403 and the
// code of the decision. The server must ask for certificates: see [TLS].
func (g *Guard) Handler(next http.Handler) http.Handler { return g.For(nil, next) }

// For is [Guard.Handler] for some of the partners. Without names, it is for all of them. The name of a feed stands for
// all partners that it lists.
func (g *Guard) For(names []string, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		removeForged(r)
		now := g.now()
		call := Call{At: now, Remote: r.RemoteAddr, Host: r.Host, Decision: WithoutCertificate}
		var v *verdict
		if r.TLS != nil && len(r.TLS.PeerCertificates) > 0 {
			call.Chain = r.TLS.PeerCertificates
			v = g.verdict(call.Chain, now)
			call.Decision = Restrict(v.decision, names)
		}
		call.Accepted = call.Decision.Accepts(now)
		g.decided(call)
		if !call.Accepted {
			refuse(w, call)
			return
		}
		r.Header[PartnerHeader] = []string{call.Decision.Partner}
		if tenant := call.Decision.Source.Tenant; tenant != "" {
			r.Header[TenantHeader] = []string{tenant}
			r.Header[ArrangementHeader] = []string{call.Decision.Arrangements}
		}
		r.Header[certificateHeader] = []string{v.certificate}
		if v.chain != "" {
			r.Header[chainHeader] = []string{v.chain}
		}
		known := context.WithValue(r.Context(), partnerKey{}, call.Decision.Partner)
		next.ServeHTTP(w, withoutForgedTrailers(r.WithContext(known)))
	})
}

// OtherHost is the code of a call to a host that the partner may not call.
const OtherHost acceptance.Code = "other-host"

// Restrict returns a decision for a host that only some partners may call. Without names, all may.
func Restrict(d acceptance.Decision, names []string) acceptance.Decision {
	if d.Outcome == acceptance.Refuse || len(names) == 0 || slices.Contains(names, d.Partner) ||
		d.Source.Feed != "" && slices.Contains(names, d.Source.Feed) {
		return d
	}
	return acceptance.Decision{Outcome: acceptance.Refuse, Partner: d.Partner, Source: d.Source, Code: OtherHost,
		Reason: "the partner may not call this host"}
}

// removeForged removes the headers that only a guard may set, also with underscores, which some applications take for
// hyphens, and from the trailers.
func removeForged(r *http.Request) {
	for _, fields := range []http.Header{r.Header, r.Trailer} {
		for name := range fields {
			if isReserved(name) {
				delete(fields, name)
			}
		}
	}
	// A proxy removes the headers that Connection names (RFC 9110, section 7.6.1).
	for i, value := range r.Header["Connection"] {
		names := strings.Split(value, ",")
		names = slices.DeleteFunc(names, func(s string) bool { return isReserved(strings.TrimSpace(s)) })
		r.Header["Connection"][i] = strings.Join(names, ",")
	}
}

// withoutForgedTrailers returns a request whose trailers, which the server reads at the end of the body, have no field
// that only a guard may set. It changes the request that it gets.
func withoutForgedTrailers(r *http.Request) *http.Request {
	if len(r.Trailer) == 0 { // a caller that announces none has none that a handler sees
		r.Trailer = nil
		return r
	}
	shown := *r
	shown.Trailer = r.Trailer.Clone()
	shown.Body = &trailed{r.Body, r.Trailer, shown.Trailer}
	return &shown
}

// trailed is a body after which trailers are copied.
type trailed struct {
	io.ReadCloser
	from, to http.Header
}

func (b *trailed) Read(p []byte) (n int, err error) {
	n, err = b.ReadCloser.Read(p)
	if errors.Is(err, io.EOF) {
		for name, values := range b.from {
			if !isReserved(name) {
				b.to[name] = values
			}
		}
	}
	return n, err
}

// isReserved reports whether a name begins with Client-Cert or Perennial-, in any spelling that an application may take
// for it.
func isReserved(name string) bool {
	if len(name) < len("perennial-") || name[0]|0x20 != 'c' && name[0]|0x20 != 'p' {
		return false
	}
	name = strings.ReplaceAll(strings.ToLower(name), "_", "-")
	return strings.HasPrefix(name, "client-cert") || strings.HasPrefix(name, "perennial-")
}

// problem is the answer to a refused call (RFC 9457). It states the code, but not the reason, which describes the
// partners to a stranger.
type problem struct {
	Title       string          `json:"title"`
	Status      int             `json:"status"`
	Detail      string          `json:"detail"`
	Code        acceptance.Code `json:"code"`
	Certificate string          `json:"sha256,omitempty"`
}

// lingering limits the time in which a refused caller may send the rest of its message, so that it can read the answer.
const lingering = 5 * time.Second

func refuse(w http.ResponseWriter, c Call) {
	p := problem{Title: http.StatusText(http.StatusForbidden), Status: http.StatusForbidden, Code: c.Decision.Code,
		Detail: "The client certificate is not accepted. The administrator of this system finds the reason in its log."}
	if len(c.Chain) == 0 {
		p.Detail = "This system needs a client certificate, and none was presented."
	} else {
		sum := sha256.Sum256(c.Chain[0].Raw)
		p.Certificate = hex.EncodeToString(sum[:])
	}
	w.Header().Set("Content-Type", "application/problem+json")
	w.Header().Set("Cache-Control", "no-store")
	// A caller that is refused does not hold a connection, not even with a body that it does not send.
	w.Header().Set("Connection", "close")
	http.NewResponseController(w).SetReadDeadline(time.Now().Add(lingering))
	w.WriteHeader(p.Status)
	json.NewEncoder(w).Encode(p) // the caller may have left
}
