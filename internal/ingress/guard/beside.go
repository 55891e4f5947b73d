package guard

import (
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/perennial-pki/perennial/acceptance"
	core "github.com/perennial-pki/perennial/guard"
	"github.com/perennial-pki/perennial/internal/egress/serve"
)

// maxPassedOn limits the header with a certificate and its chain.
const maxPassedOn = 48 << 10

// A form is how a proxy passes on a client certificate that it has not verified, but whose key the caller has proved.
type form struct {
	header string
	read   func(values []string) ([][]byte, error) // DER, the caller's certificate first
	above  string                                  // a further header with the certificates above; empty for none
}

// forms are read by the name of the proxy. Only the header of one form counts: proxies pass on the other ones as
// callers have sent them.
var forms = map[string]form{
	"nginx":   {header: "Ssl-Client-Cert", read: escapedPEM},
	"caddy":   {header: "Ssl-Client-Cert", read: base64List},
	"traefik": {header: "X-Forwarded-Tls-Client-Cert", read: base64List},
	"envoy":   {header: "X-Forwarded-Client-Cert", read: envoyElement},
	"rfc9440": {header: "Client-Cert", read: byteSequence, above: "Client-Cert-Chain"},
}

// endpoint returns the decision endpoint for a proxy: 200 with the partner's headers, or 403.
func (s *Service) endpoint(d Decide) (http.Handler, error) {
	f, known := forms[d.From]
	if !known && d.From != envoyGRPC {
		return nil, fmt.Errorf(
			"from: invalid value %q: use %s",
			d.From,
			strings.Join(append(slices.Sorted(maps.Keys(forms)),
				envoyGRPC), ", "),
		)
	}
	if !serve.IsLoopback(d.Listen) && !strings.HasPrefix(d.Listen, "unix:") {
		return nil, fmt.Errorf(
			"listen: %s can be reached from outside, and whoever reaches it chooses the certificate: use "+
				"127.0.0.1:PORT",
			d.Listen,
		)
	}
	if d.From == envoyGRPC {
		return http.HandlerFunc(s.check), nil
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		chain, err := s.chain(f, r.Header)
		call := s.decide(remoteOf(r), r.Header.Get("X-Forwarded-Host"), chain, err)
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("Perennial-Code", string(call.Decision.Code))
		if !call.Accepted {
			http.Error(w, "The client certificate is not accepted: "+string(call.Decision.Code), http.StatusForbidden)
			return
		}
		identify(w.Header(), call.Decision)
	}), nil
}

// without is the value of a header that a partner does not have. It replaces one that a caller has sent.
var without = []string{""}

// identify adds the headers that name the partner of an accepted call.
func identify(h http.Header, d acceptance.Decision) {
	h[core.PartnerHeader] = []string{d.Partner}
	h[core.TenantHeader], h[core.ArrangementHeader] = without, without
	if d.Source.Tenant != "" {
		h[core.TenantHeader], h[core.ArrangementHeader] = []string{d.Source.Tenant}, []string{d.Arrangements}
	}
}

// decide decides about a call that a proxy asks about. err is the reason why its certificate cannot be read.
func (s *Service) decide(remote, host string, chain []*x509.Certificate, err error) core.Call {
	call := core.Call{At: s.now(), Remote: remote, Host: host, Chain: chain}
	switch {
	case err != nil:
		call.Decision = Unreadable(err)
	case len(chain) == 0:
		call.Decision = core.WithoutCertificate
	default:
		call.Decision, _ = s.guard.Decide(chain)
		call.Decision = core.Restrict(call.Decision, s.settings().host(host).Partners)
	}
	call.Accepted = call.Decision.Accepts(call.At)
	s.decided(call)
	return call
}

// remoteOf returns the address of the caller as the proxy states it. It is for the log.
func remoteOf(r *http.Request) string {
	if all := r.Header.Get("X-Forwarded-For"); all != "" {
		return strings.TrimSpace(all[strings.LastIndex(all, ",")+1:])
	}
	return r.RemoteAddr
}

// A proxy passes on the same certificate with each request of a connection, and parsing it is most of a decision.
const (
	// mostParsed limits the parsed chains that are kept: at most twice as many.
	mostParsed = 512
	// maxParsed limits the header of a chain that is kept, in bytes, because strangers choose it.
	maxParsed = 4 << 10
)

// A passedOn is a header in which a proxy passes on certificates, with its values.
type passedOn struct{ header, values string }

// chain returns the certificates in the headers; none if there is none.
func (s *Service) chain(f form, h http.Header) (chain []*x509.Certificate, err error) {
	values, err := f.values(h)
	if err != nil || len(values) == 0 {
		return nil, err
	}
	return s.parse(f, values)
}

// parse parses the certificates in values, unless it did so a moment ago.
func (s *Service) parse(f form, values []string) (chain []*x509.Certificate, err error) {
	key := passedOn{f.header, strings.Join(values, "\x00")}
	if chain, ok := s.parsed.Get(key); ok {
		return chain, nil
	}
	if chain, err = f.parsed(values); err == nil && len(key.values) <= maxParsed {
		s.parsed.Put(key, chain)
	}
	return chain, err
}

// values returns the values of the headers, the caller's certificate first; none if there is no certificate.
func (f form) values(h http.Header) ([]string, error) {
	values := h[http.CanonicalHeaderKey(f.header)]
	switch {
	case len(values) == 0, len(values) == 1 && values[0] == "":
		return nil, nil
	case len(values) > 1:
		return nil, fmt.Errorf("%s appears %d times", f.header, len(values))
	}
	if f.above != "" {
		values = append(values, h[f.above]...)
	}
	return values, nil
}

// parsed parses the certificates in values.
func (f form) parsed(values []string) (chain []*x509.Certificate, err error) {
	size := 0
	for _, v := range values {
		size += len(v)
	}
	if size > maxPassedOn {
		return nil, fmt.Errorf("%s is larger than %d KiB", f.header, maxPassedOn>>10)
	}
	all, err := f.read(values)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", f.header, err)
	}
	for _, der := range all {
		c, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", f.header, err)
		}
		chain = append(chain, c)
	}
	return chain, nil
}

// escapedPEM reads $ssl_client_escaped_cert of nginx.
func escapedPEM(values []string) ([][]byte, error) {
	text, err := url.PathUnescape(values[0])
	if err != nil {
		return nil, errors.New("not URL-encoded")
	}
	return blocks(text)
}

func blocks(text string) (all [][]byte, err error) {
	for block, rest := pem.Decode([]byte(text)); block != nil; block, rest = pem.Decode(rest) {
		all = append(all, block.Bytes)
	}
	if len(all) == 0 {
		return nil, errors.New("no certificate in PEM")
	}
	return all, nil
}

// base64List reads {http.request.tls.client.certificate_der_base64} of Caddy, and the header of Traefik's
// PassTLSClientCert, which has commas between certificates.
func base64List(values []string) (all [][]byte, err error) {
	for part := range strings.SplitSeq(values[0], ",") {
		der, err := base64.StdEncoding.DecodeString(part)
		if err != nil {
			return nil, errors.New("not base64")
		}
		all = append(all, der)
	}
	return all, nil
}

// envoyElement reads x-forwarded-client-cert of Envoy, with SANITIZE_SET: one element, whose Chain or Cert is PEM.
func envoyElement(values []string) ([][]byte, error) {
	fields := map[string]string{}
	for rest := values[0]; rest != ""; {
		key, after, found := strings.Cut(rest, "=")
		if !found {
			return nil, errors.New("a field has no value")
		}
		var value string
		if quoted, is := strings.CutPrefix(after, `"`); is {
			if value, after, found = strings.Cut(quoted, `"`); !found {
				return nil, errors.New("a quote is not closed")
			}
		} else {
			end := strings.IndexAny(after, ";,")
			if end < 0 {
				end = len(after)
			}
			value, after = after[:end], after[end:]
		}
		key = strings.ToLower(key)
		if _, twice := fields[key]; twice && (key == "cert" || key == "chain") {
			return nil, fmt.Errorf("%s appears twice", key)
		}
		fields[key] = value
		if strings.HasPrefix(after, ",") {
			return nil, errors.New("more than one proxy has passed it on: use SANITIZE_SET")
		}
		rest = strings.TrimPrefix(after, ";")
	}
	text := fields["chain"]
	if text == "" {
		text = fields["cert"]
	}
	if text == "" {
		return nil, errors.New("it has neither Cert nor Chain: set set_current_client_cert_details")
	}
	return escapedPEM([]string{text})
}

// byteSequence reads Client-Cert and Client-Cert-Chain (RFC 9440).
func byteSequence(values []string) (all [][]byte, err error) {
	for _, value := range values {
		for part := range strings.SplitSeq(value, ",") {
			text, found := strings.CutPrefix(strings.TrimSpace(part), ":")
			text, ends := strings.CutSuffix(text, ":")
			der, err := base64.StdEncoding.DecodeString(text)
			if !found || !ends || err != nil {
				return nil, errors.New("not a byte sequence (RFC 8941, section 3.3.5)")
			}
			all = append(all, der)
		}
	}
	return all, nil
}
