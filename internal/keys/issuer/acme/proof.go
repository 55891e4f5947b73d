package acme

import (
	"context"
	"encoding/json"
	"net"
	"net/http"
	"sync"
	"time"

	"golang.org/x/crypto/acme"

	"github.com/perennial-pki/perennial/internal/keys/issuer/exec"
)

// A prover proves that the platform owns a name.
type prover interface {
	challenge() string // type
	// present makes the proof visible. end removes it.
	present(ctx context.Context, c *acme.Client, host, token string) (end func(), err error)
}

// An httpProver answers http-01 (RFC 8555, section 8.3) with a listener that exists while a proof is visible. It is
// safe for concurrent use.
type httpProver struct {
	address string

	mu      sync.Mutex // guards what follows
	answers map[string]string
	server  *http.Server
}

func (*httpProver) challenge() string { return "http-01" }

func (p *httpProver) present(_ context.Context, c *acme.Client, _, token string) (end func(), err error) {
	response, err := c.HTTP01ChallengeResponse(token)
	if err != nil {
		return nil, err
	}
	path := c.HTTP01ChallengePath(token)
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.server == nil {
		listener, err := net.Listen("tcp", p.address)
		if err != nil {
			return nil, err
		}
		p.answers, p.server = map[string]string{}, &http.Server{Handler: p, ReadTimeout: 10 * time.Second,
			WriteTimeout: 10 * time.Second, MaxHeaderBytes: 16 << 10}
		go p.server.Serve(listener) // until it is closed with the last proof
	}
	p.answers[path] = response
	return func() { p.remove(path) }, nil
}

func (p *httpProver) remove(path string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.answers, path)
	if len(p.answers) == 0 && p.server != nil {
		p.server.Close()
		p.server = nil
	}
}

// ServeHTTP implements [http.Handler].
func (p *httpProver) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	response, found := p.answers[r.URL.Path]
	p.mu.Unlock()
	if !found {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Write([]byte(response))
}

// A dnsProver answers dns-01 (RFC 8555, section 8.4) with a program that sets a record.
type dnsProver struct{ program *exec.Runner }

func (dnsProver) challenge() string { return "dns-01" }

// A record is the input of the program.
type record struct {
	Version int    `json:"version"`
	Action  string `json:"action"` // present or remove
	Name    string `json:"name"`
	Type    string `json:"type"`
	Value   string `json:"value"`
}

func (p dnsProver) present(ctx context.Context, c *acme.Client, host, token string) (end func(), err error) {
	value, err := c.DNS01ChallengeRecord(token)
	if err != nil {
		return nil, err
	}
	run := func(ctx context.Context, action string) error {
		input, err := json.Marshal(record{1, action, "_acme-challenge." + host, "TXT", value})
		if err != nil {
			return err
		}
		_, err = p.program.Run(ctx, input, action+" the DNS record of "+host)
		return err
	}
	if err := run(ctx, "present"); err != nil {
		return nil, err
	}
	// The record is removed even if the order has run out of time. One that stays is harmless.
	return func() { run(context.WithoutCancel(ctx), "remove") }, nil
}
