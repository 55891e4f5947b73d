package kms

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/perennial-pki/perennial/internal/keys/givenup"
	"github.com/perennial-pki/perennial/internal/keys/issuer/foreign"
	"github.com/perennial-pki/perennial/internal/keys/keyring"
)

const (
	// maxAnswer is the maximum size of an answer. A wrapped key is under 1 KiB.
	maxAnswer = 64 << 10

	connectTimeout = 5 * time.Second
)

// newHTTP returns an HTTP client that follows no redirects, which could carry a credential or a key elsewhere, and
// reads at most [maxAnswer]. Its connections end with each call, because hours may pass before the next one.
func newHTTP(config *tls.Config) *http.Client {
	return &http.Client{
		Transport: bounded{&http.Transport{
			Proxy:                  proxy,
			DialContext:            (&net.Dialer{Timeout: connectTimeout}).DialContext,
			TLSClientConfig:        config,
			TLSHandshakeTimeout:    connectTimeout,
			MaxResponseHeaderBytes: 64 << 10,
			DisableKeepAlives:      true,
		}},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// newPooled returns [newHTTP] with connections that are kept for a while, because signatures come in quick succession.
func newPooled(config *tls.Config) *http.Client {
	client := newHTTP(config)
	t := transport(client)
	t.DisableKeepAlives, t.IdleConnTimeout, t.MaxIdleConnsPerHost = false, 30*time.Second, 8
	return client
}

// transport returns the transport of a client that [newHTTP] returned.
func transport(client *http.Client) *http.Transport {
	return client.Transport.(bounded).RoundTripper.(*http.Transport)
}

// proxy returns the proxy for a request. The metadata service of a cloud, at a link-local address, has none.
func proxy(r *http.Request) (*url.URL, error) {
	if ip, err := netip.ParseAddr(r.URL.Hostname()); err == nil && ip.IsLinkLocalUnicast() {
		return nil, nil
	}
	return http.ProxyFromEnvironment(r)
}

// plainBody hides the method WriteTo of a body. The one in the SDK of AWS fails if the answer arrives before the body
// has been read completely and the connection breaks while the answer is read.
type plainBody struct{ io.ReadCloser }

// bounded limits the size of answers.
type bounded struct{ http.RoundTripper }

func (b bounded) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body != nil {
		r = r.WithContext(r.Context()) // a copy
		r.Body = plainBody{r.Body}
	}
	res, err := givenup.Transport{RoundTripper: b.RoundTripper}.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	if res.ContentLength > maxAnswer {
		res.Body.Close()
		return nil, errTooLarge
	}
	res.Body = &boundedBody{res.Body, maxAnswer}
	return res, nil
}

var errTooLarge = fmt.Errorf("the answer is larger than %d KiB: check the address of the key", maxAnswer>>10)

type boundedBody struct {
	io.ReadCloser
	left int
}

func (b *boundedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if b.left -= n; b.left < 0 {
		return 0, errTooLarge
	}
	return n, err
}

// A request is sent to a service, and its answer is read as JSON.
type request struct {
	method, url string
	header      http.Header
	body        any      // is sent as JSON, or as a form if it is url.Values
	secrets     []string // are not quoted, not even if the answer has them
	// detail returns the service's own text of an error; it may be nil.
	detail func(body []byte) string
	// signs selects the next step of an error, for a key that signs.
	signs bool
}

// do sends a request and decodes the answer into v. The error is a [keyring.Away] if the service does not answer,
// or asks for another attempt. It ends with the next step.
func (r request) do(ctx context.Context, client *http.Client, v any) error {
	sent, err := r.prepare(ctx)
	if err != nil {
		return err
	}
	host := sent.URL.Host
	res, err := client.Do(sent)
	if err != nil {
		return unanswered(host, err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		return unanswered(host, err)
	}
	if res.StatusCode != http.StatusOK {
		return r.failure(host, res.StatusCode, body)
	}
	if err := json.Unmarshal(body, v); err != nil { // the library's error could quote the answer
		return fmt.Errorf("the answer of %s is not the JSON that its API documents: check the address of the key", host)
	}
	return nil
}

func (r request) prepare(ctx context.Context) (*http.Request, error) {
	var body io.Reader
	kind := ""
	switch b := r.body.(type) {
	case nil:
	case url.Values:
		body, kind = strings.NewReader(b.Encode()), "application/x-www-form-urlencoded"
	default:
		data, err := json.Marshal(b)
		if err != nil {
			return nil, err
		}
		body, kind = bytes.NewReader(data), "application/json"
	}
	sent, err := http.NewRequestWithContext(ctx, r.method, r.url, body)
	if err != nil {
		return nil, err
	}
	for name, values := range r.header {
		sent.Header[name] = values
	}
	if kind != "" {
		sent.Header.Set("Content-Type", kind)
	}
	return sent, nil
}

func (r request) failure(host string, status int, body []byte) error {
	text := fmt.Sprintf("%s answered %d %s", host, status, http.StatusText(status))
	if r.detail != nil {
		if detail := foreign.Printable(r.redact(r.detail(body))); detail != "" {
			text += ": " + detail
		}
	}
	switch {
	case status == http.StatusTooManyRequests, status >= 500:
		return &keyring.Away{Err: errors.New(text + ": check the state of the service")}
	case status/100 == 3:
		return errors.New(text + ": a redirect is not followed: use the address that it leads to")
	case r.signs && (status == http.StatusUnauthorized || status == http.StatusForbidden):
		return errors.New(text + ": check the credentials, and whether they may read the public key and sign with the key")
	case r.signs:
		return errors.New(text + ": check that the key exists, and that it is a key that signs")
	case status == http.StatusUnauthorized, status == http.StatusForbidden:
		return errors.New(text + ": check the credentials, and whether they may encrypt and decrypt with the key")
	}
	return errors.New(text + ": check that the key exists, and that it is the one that wrapped the keyset")
}

func (r request) redact(text string) string {
	for _, s := range r.secrets {
		if s != "" {
			text = strings.ReplaceAll(text, s, "[secret]")
		}
	}
	return text
}

func unanswered(host string, err error) error {
	if errors.Is(err, context.Canceled) {
		return err
	}
	if errors.Is(err, errTooLarge) {
		return fmt.Errorf("%s: %w", host, errTooLarge)
	}
	if wrapped := (*url.Error)(nil); errors.As(err, &wrapped) { // its text repeats the address
		err = wrapped.Err
	}
	var verification *tls.CertificateVerificationError
	if errors.As(err, &verification) {
		return fmt.Errorf("the TLS certificate of %s is not accepted: %w", host, err)
	}
	if errors.Is(err, context.DeadlineExceeded) {
		err = fmt.Errorf("no answer within %s", keyring.RemoteTime)
	}
	return &keyring.Away{Err: fmt.Errorf("%s does not answer: %w: check that the service runs and can be reached", host,
		err)}
}
