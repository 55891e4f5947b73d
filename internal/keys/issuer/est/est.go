// Package est is an issuer for CAs with Enrollment over Secure Transport (EST, RFC 7030, clarified by RFC 8951).
//
// It enrols as a registration authority: with a TLS client certificate, with a name and a password, or with both. A CA
// that answers 202 is asked again with the same request, byte for byte, because EST has no other handle. The CA decides
// on the names and on the validity of a certificate, because a request of EST has no validity.
package est

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"sync"
	"time"

	"github.com/perennial-pki/perennial/internal/keys/issuer"
	"github.com/perennial-pki/perennial/internal/keys/issuer/foreign"
	"github.com/perennial-pki/perennial/internal/keys/secret"
	"github.com/perennial-pki/perennial/tenancy"
)

// Config are the settings of an EST server.
type Config struct {
	URL      string      `yaml:"url"`      // without /.well-known/est
	Label    string      `yaml:"label"`    // of one of several CAs of the server (RFC 7030, section 3.2.2); empty: none
	Reenroll bool        `yaml:"reenroll"` // renew with simplereenroll; see docs/issuers.md
	Username string      `yaml:"username"` // empty: no password
	Password secret.Ref  `yaml:"password"`
	TLS      foreign.TLS `yaml:"tls"`
	Roots    string      `yaml:"roots"` // PEM file that its certificates must lead to
	// Timeout is the time for an answer; 0: foreign.DefaultTimeout.
	Timeout time.Duration `yaml:"timeout"`
}

// An Issuer enrols at an EST server. It is safe for concurrent use.
type Issuer struct {
	*foreign.Roots
	config Config
	client *foreign.Client
	form   issuer.Form

	mu    sync.Mutex // guards what follows
	known served
}

// served holds the data that a server publishes.
type served struct {
	at         time.Time // when it was read
	cas        []byte    // PKCS#7
	attributes attributes
}

// reloadAfter is the maximum age of data that a server publishes.
const reloadAfter = time.Hour

const simplereenroll = "simplereenroll"

var labels = regexp.MustCompile(`^[A-Za-z0-9._-]+$`)

// Open returns an issuer. It does not need the CA.
func Open(c Config, form issuer.Form) (*Issuer, error) {
	switch {
	case c.Label != "" && !labels.MatchString(c.Label):
		return nil, fmt.Errorf("invalid label %q: use the path segment of a CA of the server", c.Label)
	case (c.Username == "") != c.Password.IsZero():
		return nil, errors.New("username and password belong together: set both")
	case c.Username == "" && c.TLS.Certificate == "":
		return nil, errors.New("no credentials: set username and password, or certificate and key of tls")
	}
	config, err := c.TLS.Config()
	if err != nil {
		return nil, err
	}
	client, err := foreign.NewClient(c.URL, config, c.Timeout)
	if err != nil {
		return nil, err
	}
	roots, err := foreign.OpenRoots(c.Roots)
	if err != nil {
		return nil, err
	}
	return &Issuer{Roots: roots, config: c, client: client, form: form}, nil
}

// Issue implements [issuer.Issuer].
func (i *Issuer) Issue(ctx context.Context, r issuer.Request) (issuer.Issued, error) {
	return i.enrol(ctx, "", r)
}

// Collect implements [issuer.Collector].
func (i *Issuer) Collect(ctx context.Context, handle string, r issuer.Request) (issuer.Issued, error) {
	return i.enrol(ctx, handle, r)
}

func (i *Issuer) enrol(ctx context.Context, handle string, r issuer.Request) (issued issuer.Issued, err error) {
	doing := "sign a certificate for " + r.Tenant
	names, err := i.form.Requested(r)
	if err != nil {
		return issued, err
	}
	csr, err := foreign.CSR(r.Key, names)
	if err != nil {
		return issued, err
	}
	own, err := handleOf(csr)
	if err != nil {
		return issued, err
	}
	if handle != "" && handle != own {
		return issued, tenancy.Errorf(tenancy.ErrNotFound, "%s: the request %s was made with another key or other names",
			doing, handle)
	}
	known, err := i.published(ctx, r.At, doing)
	if err != nil {
		return issued, err
	}
	if err := known.attributes.check(r.Key.Public()); err != nil {
		return issued, &issuer.Error{Fault: issuer.Rejected, Text: doing, Err: err}
	}
	operation := "simpleenroll"
	if r.Replaces != nil && i.config.Reenroll {
		operation = simplereenroll
	}
	answer, err := i.call(ctx, http.MethodPost, operation, csr, r.At, doing)
	if err != nil {
		return issued, err
	}
	switch answer.Status {
	case http.StatusAccepted:
		return issued, &issuer.RequestedError{Handle: own, AskAt: answer.RetryAfter()}
	case http.StatusOK:
	default:
		failed := answer.Failure(string(answer.Body))
		if operation == simplereenroll && (answer.Status == http.StatusForbidden || failed.Fault == issuer.Rejected) {
			failed.Text += ": if the server accepts it from the holder of the certificate only, set reenroll to false"
		}
		return issued, failed
	}
	if issued, err = i.read(ctx, answer, known, r, doing); err != nil {
		return issued, fmt.Errorf("%s: %w", doing, err)
	}
	return issued, nil
}

// read reads the certificate of an answer. Its chain is published by the server, which may have a new one.
func (i *Issuer) read(ctx context.Context, a foreign.Answer, known served, r issuer.Request,
	doing string) (issued issuer.Issued, err error) {
	leaf, err := decoded(a)
	if err != nil {
		return issued, err
	}
	if issued, err = foreign.Issued(foreign.Bag(leaf, known.cas), r.Key.Public(), r.At); err != nil ||
		len(issued.Chain) > 0 {
		return issued, err
	}
	i.forget()
	if known, err = i.published(ctx, r.At, doing); err != nil {
		return issuer.Issued{}, err
	}
	return foreign.Issued(foreign.Bag(leaf, known.cas), r.Key.Public(), r.At)
}

func (i *Issuer) forget() {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.known = served{}
}

// published returns the data that the server publishes, at most an hour old.
func (i *Issuer) published(ctx context.Context, at time.Time, doing string) (served, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if !i.known.at.IsZero() && at.Sub(i.known.at).Abs() < reloadAfter {
		return i.known, nil
	}
	next := served{at: at}
	answer, err := i.call(ctx, http.MethodGet, "cacerts", nil, at, doing+": read the CA certificates")
	if err != nil {
		return next, err
	}
	if answer.Status != http.StatusOK {
		return next, answer.Failure(string(answer.Body))
	}
	if next.cas, err = decoded(answer); err != nil {
		return next, fmt.Errorf("%s: CA certificates: %w", doing, err)
	}
	if answer, err = i.call(ctx, http.MethodGet, "csrattrs", nil, at, doing+": read the CSR attributes"); err != nil {
		return next, err
	}
	switch answer.Status {
	case http.StatusNoContent, http.StatusNotFound: // it asks for none (RFC 7030, section 4.5.2)
	case http.StatusOK:
		der, err := decoded(answer)
		if err == nil {
			next.attributes, err = parseAttributes(der)
		}
		if err != nil {
			return next, fmt.Errorf("%s: CSR attributes: %w", doing, err)
		}
	default:
		return next, answer.Failure(string(answer.Body))
	}
	i.known = next
	return next, nil
}

// call sends a request. A body is DER, and is sent in base64 (RFC 8951, section 3.1).
func (i *Issuer) call(ctx context.Context, method, operation string, body []byte, at time.Time,
	doing string) (a foreign.Answer, err error) {
	header := http.Header{}
	if i.config.Username != "" {
		password, err := i.config.Password.Read()
		if err != nil {
			return a, fmt.Errorf("%s: %w", doing, err)
		}
		header.Set("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(i.config.Username+":"+
			password.Reveal())))
	}
	if body != nil {
		header.Set("Content-Type", "application/pkcs10")
		header.Set("Content-Transfer-Encoding", "base64") // RFC 8951 drops it; older servers demand it
		body = []byte(base64.StdEncoding.EncodeToString(body))
	}
	path := ".well-known/est/"
	if i.config.Label != "" {
		path += i.config.Label + "/"
	}
	return i.client.Do(ctx, foreign.Call{Method: method, Path: path + operation, Header: header, Body: body, At: at,
		Doing: doing})
}

// decoded returns the content of an answer, which is in base64 with white space anywhere (RFC 8951, section 3.1).
func decoded(a foreign.Answer) ([]byte, error) {
	text := bytes.Join(bytes.Fields(a.Body), nil)
	der := make([]byte, base64.StdEncoding.DecodedLen(len(text)))
	n, err := base64.StdEncoding.Decode(der, text)
	if err != nil || n == 0 {
		return nil, &issuer.Error{Fault: issuer.Broken, Text: "the answer of the CA is not base64 (RFC 8951)", Err: err}
	}
	return der[:n], nil
}

// handleOf returns the handle of a request: a hash of its content, without its signature.
func handleOf(csr []byte) (string, error) {
	r, err := x509.ParseCertificateRequest(csr)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(r.RawTBSCertificateRequest)
	return hex.EncodeToString(sum[:16]), nil
}
