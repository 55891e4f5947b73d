package control

import (
	"bufio"
	"bytes"
	"context"
	"crypto/hpke"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/perennial-pki/perennial/internal/egress/gateway"
	"github.com/perennial-pki/perennial/internal/engine/standing"
	"github.com/perennial-pki/perennial/tenancy"
)

// A Client is the control of a stand-alone gateway. It implements [gateway.Control].
type Client struct {
	url   string
	token func() (string, error)
	key   hpke.PrivateKey // of this process alone
	http  *http.Client
	now   func() time.Time
	log   *slog.Logger

	reached contact
}

// NewClient returns a client of the service at an address. token returns the token of a gateway, for each request. The
// address is https://, or of this machine. The service's certificate is verified with roots; nil stands for the
// system's.
func NewClient(address string, token func() (string, error), roots *x509.CertPool, log *slog.Logger) (*Client, error) {
	if _, err := url.Parse(address); err != nil {
		return nil, err
	}
	key, err := kem.GenerateKey()
	if err != nil {
		return nil, err
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS13, RootCAs: roots}
	transport.ResponseHeaderTimeout, transport.MaxIdleConnsPerHost = 15*time.Second, 16
	return &Client{url: strings.TrimSuffix(address, "/"), token: token, key: key,
		http: &http.Client{Transport: transport}, now: time.Now, log: log}, nil
}

// Fixed returns a token that does not change while the process runs.
func Fixed(token string) func() (string, error) { return func() (string, error) { return token, nil } }

// Check returns an error unless the service answers and accepts the gateway's token.
func (c *Client) Check(ctx context.Context) error {
	_, err := c.DueParked(ctx, time.Unix(0, 0), 1)
	return err
}

// request returns the answer 200 of the service, and records when it answered. Without its token, the gateway has no
// right to copies of keys.
func (c *Client) request(ctx context.Context, method, name string, body io.Reader) (*http.Response, error) {
	res, err := c.do(ctx, method, name, body)
	now := c.now()
	switch {
	case err == nil:
		c.reached.answered.Store(&now)
	case errors.Is(err, gateway.ErrOwnToken):
		c.reached.answered.Store(nil)
	}
	return res, err
}

func (c *Client) do(ctx context.Context, method, name string, body io.Reader) (*http.Response, error) {
	r, err := http.NewRequestWithContext(ctx, method, c.url+Path+name, body)
	if err != nil {
		return nil, err
	}
	token, err := c.token()
	if err != nil {
		return nil, err
	}
	r.Header.Set("Authorization", "Bearer "+token)
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set(versionHeader, strconv.Itoa(version))
	res, err := c.http.Do(r)
	if err != nil {
		return nil, awayError{fmt.Errorf("the service at %s does not answer: %w", c.url, err)}
	}
	if err := checkVersion(res.Header); err != nil {
		res.Body.Close()
		return nil, fmt.Errorf("the service at %s is newer than this gateway, so update the gateway: %w", c.url, err)
	}
	if res.StatusCode == http.StatusOK {
		return res, nil
	}
	defer res.Body.Close()
	var p problem
	if err := json.NewDecoder(io.LimitReader(res.Body, 64<<10)).Decode(&p); err != nil || p.Detail == "" {
		if res.StatusCode >= 500 { // a proxy in front of it
			return nil, awayError{fmt.Errorf("the service at %s answered %s", c.url, res.Status)}
		}
		return nil, fmt.Errorf("the service at %s answered %s", c.url, res.Status)
	}
	if res.StatusCode == http.StatusUnauthorized {
		return nil, fmt.Errorf("%w: %s", gateway.ErrOwnToken, p.Detail)
	}
	if kind, ok := kinds[res.StatusCode]; ok {
		return nil, tenancy.Errorf(kind, "%s", p.Detail)
	}
	err = fmt.Errorf("the service at %s answered %s: %s", c.url, res.Status, p.Detail)
	if res.StatusCode >= 500 {
		return nil, awayError{err}
	}
	return nil, err
}

// An awayError is a [gateway.ErrAway] with its reason.
type awayError struct{ error }

func (awayError) Is(target error) bool { return target == gateway.ErrAway }
func (e awayError) Unwrap() error      { return e.error }

// call makes one call of the API.
func call[O any](ctx context.Context, c *Client, name string, in any) (out O, err error) {
	body, err := json.Marshal(in)
	if err != nil {
		return out, err
	}
	res, err := c.request(ctx, http.MethodPost, name, bytes.NewReader(body))
	if err != nil {
		return out, err
	}
	defer res.Body.Close()
	if err := json.NewDecoder(io.LimitReader(res.Body, mostBytes)).Decode(&out); err != nil {
		return out, fmt.Errorf("the service at %s is not a Perennial service, or one of another version: %w", c.url, err)
	}
	io.Copy(io.Discard, io.LimitReader(res.Body, 1<<10)) // so that the connection is used again
	return out, nil
}

// Standing implements [gateway.Control].
func (c *Client) Standing(ctx context.Context, tenant, arrangement string) (s standing.Standing,
	identities []standing.Identity, err error) {
	out, err := call[standingAnswer](ctx, c, "standing",
		standingRequest{Tenant: tenant, Arrangement: arrangement, SealTo: c.key.PublicKey().Bytes()})
	if err != nil {
		return s, nil, err
	}
	s = out.Standing.value()
	for _, sealed := range out.Identities {
		id, err := c.identity(s, sealed)
		if err != nil {
			return s, nil, err
		}
		identities = append(identities, id)
	}
	return s, identities, nil
}

func (c *Client) identity(s standing.Standing, sealed sealedIdentity) (standing.Identity, error) {
	if !sealed.Remote {
		return sealed.open(c.key, s.Arrangement.ID)
	}
	key, err := newRemoteKey(c, s, sealed)
	return standing.Identity{Generation: sealed.Generation, KeyStays: true,
		Certificate: tls.Certificate{Certificate: sealed.Chain, PrivateKey: key}}, err
}

// Token implements [gateway.Control].
func (c *Client) Token(ctx context.Context, hash string) (tenancy.Token, error) {
	out, err := call[wireToken](ctx, c, "token", hash)
	return out.value(), err
}

// Observe implements [gateway.Control].
func (c *Client) Observe(ctx context.Context, arrangementID string, seen []standing.Observation) error {
	_, err := call[nothing](ctx, c, "observe",
		observeRequest{ArrangementID: arrangementID, Seen: convert(seen, toObservation)})
	return err
}

// Record implements [gateway.Control].
func (c *Client) Record(ctx context.Context, messages []tenancy.Message) error {
	_, err := call[nothing](ctx, c, "record", convert(messages, toMessage))
	return err
}

// Park implements [gateway.Control].
func (c *Client) Park(ctx context.Context, p tenancy.Parked, request []byte) (tenancy.Parked, error) {
	out, err := call[wireParked](ctx, c, "park", parkRequest{Parked: toParked(p), Request: request})
	return out.value(), err
}

// ReserveParked implements [gateway.Control].
func (c *Client) ReserveParked(ctx context.Context, p tenancy.Parked) (tenancy.Parked, error) {
	out, err := call[wireParked](ctx, c, "reserve-parked", toParked(p))
	return out.value(), err
}

// AddParkedChunk implements [gateway.Control].
func (c *Client) AddParkedChunk(ctx context.Context, p tenancy.Parked, part tenancy.ParkedPart) error {
	_, err := call[nothing](ctx, c, "add-parked-chunk",
		parkedChunk{Parked: toParked(p), N: part.N, Last: part.Last, Data: part.Data})
	return err
}

// ParkedChunk implements [gateway.Control].
func (c *Client) ParkedChunk(ctx context.Context, p tenancy.Parked, n int) ([]byte, error) {
	out, err := call[parkedChunk](ctx, c, "parked-chunk", parkedChunk{Parked: toParked(p), N: n})
	return out.Data, err
}

// DropParked implements [gateway.Control].
func (c *Client) DropParked(ctx context.Context, p tenancy.Parked) error {
	_, err := call[nothing](ctx, c, "drop-parked", toParked(p))
	return err
}

// Parked implements [gateway.Control].
func (c *Client) Parked(ctx context.Context, arrangementID, id string) (tenancy.Parked, error) {
	out, err := call[wireParked](ctx, c, "parked", parkedRequest{ArrangementID: arrangementID, ID: id})
	return out.value(), err
}

// DueParked implements [gateway.Control].
func (c *Client) DueParked(ctx context.Context, now time.Time, limit int) ([]tenancy.Parked, error) {
	out, err := call[[]wireParked](ctx, c, "due-parked", dueParkedRequest{Now: now, Limit: limit})
	return convert(out, wireParked.value), err
}

// ParkedAddress implements [gateway.Control].
func (c *Client) ParkedAddress(ctx context.Context, p tenancy.Parked) (tenant, arrangement string,
	timeout time.Duration, err error) {
	out, err := call[parkedAddressAnswer](ctx, c, "parked-address", toParked(p))
	return out.Tenant, out.Arrangement, out.Timeout, err
}

// ClaimParked implements [gateway.Control]. If the answer is lost, the message waits until the claim ends.
func (c *Client) ClaimParked(ctx context.Context, p tenancy.Parked, until time.Time) (claimed bool, request []byte,
	err error) {
	out, err := call[claimParkedAnswer](ctx, c, "claim-parked", claimParkedRequest{Parked: toParked(p), Until: until})
	return out.Claimed, out.Request, err
}

// UpdateParked implements [gateway.Control].
func (c *Client) UpdateParked(ctx context.Context, p tenancy.Parked) error {
	_, err := call[nothing](ctx, c, "update-parked", toParked(p))
	return err
}

// OnChange implements [gateway.Control]. While the service does not answer, there are no notifications. Once it answers
// again, the first one is "", because anything may have changed.
func (c *Client) OnChange(listen func(tenantID string)) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		const retry = time.Second
		for ctx.Err() == nil {
			if err := c.follow(ctx, listen); ctx.Err() == nil {
				c.log.WarnContext(ctx, "no notifications of changes at the moment", "error", err)
				select {
				case <-ctx.Done():
				case <-time.After(retry):
				}
			}
		}
	}()
	return func() {
		cancel()
		<-ended
	}
}

// follow reads the stream of changes until it ends or falls silent.
func (c *Client) follow(ctx context.Context, listen func(tenantID string)) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	res, err := c.request(ctx, http.MethodGet, "changes", nil)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	watchdog := time.AfterFunc(silence, cancel)
	defer watchdog.Stop()
	lines := bufio.NewScanner(res.Body)
	if lines.Scan() {
		listen("")
	}
	for lines.Scan() {
		watchdog.Reset(silence)
		switch id := lines.Text(); id {
		case "":
		case anything:
			listen("")
		default:
			listen(id)
		}
	}
	if err := lines.Err(); err != nil {
		return err
	}
	return io.ErrUnexpectedEOF
}
