package acme

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"

	"github.com/perennial-pki/perennial/internal/keys/certfile"
	"github.com/perennial-pki/perennial/internal/keys/issuer"
	"github.com/perennial-pki/perennial/internal/keys/issuer/foreign"
	"github.com/perennial-pki/perennial/tenancy"
)

// Hint implements [issuer.Hinter] by ACME renewal information (ARI, RFC 9773). ok is false if the CA has none.
func (i *Issuer) Hint(ctx context.Context, c tenancy.Certificate, at time.Time) (h issuer.Hint, ok bool, err error) {
	doing := "ask when to renew the certificate " + c.Serial
	var directory struct {
		RenewalInfo string `json:"renewalInfo"`
	}
	if _, err := i.get(ctx, i.client.Base(), &directory, at, doing); err != nil || directory.RenewalInfo == "" {
		return h, false, err
	}
	id, err := certificateID(c.DER)
	if err != nil {
		return h, false, fmt.Errorf("%s: %w", doing, err)
	}
	var info struct {
		Window struct {
			Start time.Time `json:"start"`
			End   time.Time `json:"end"`
		} `json:"suggestedWindow"`
		Explanation string `json:"explanationURL"`
	}
	header, err := i.get(ctx, directory.RenewalInfo+"/"+id, &info, at, doing)
	if err != nil {
		return h, false, err
	}
	h = issuer.Hint{From: info.Window.Start, To: info.Window.End, AskAt: foreign.RetryAfter(header, at),
		Explanation: foreign.Printable(info.Explanation)}
	if h.From.IsZero() || !h.To.After(h.From) { // RFC 9773, section 4.2
		return issuer.Hint{}, false, issuer.Failed(issuer.Broken, "%s: the CA suggests the window %s to %s", doing, h.From,
			h.To)
	}
	return h, true, nil
}

// certificateID returns the identifier of a certificate in a CA's renewal information (RFC 9773, section 4.1): its key
// identifier and its serial number.
func certificateID(der []byte) (string, error) {
	leaf, err := certfile.ParseCertificate(der)
	if err != nil {
		return "", err
	}
	var b cryptobyte.Builder
	b.AddASN1BigInt(leaf.SerialNumber)
	integer, err := b.Bytes()
	in, serial := cryptobyte.String(integer), cryptobyte.String(nil)
	if err != nil || !in.ReadASN1(&serial, asn1.INTEGER) {
		return "", fmt.Errorf("the serial number cannot be encoded: %w", err)
	}
	if len(leaf.AuthorityKeyId) == 0 {
		return "", fmt.Errorf("the certificate %s has no authority key identifier", certfile.Serial(leaf))
	}
	return base64.RawURLEncoding.EncodeToString(leaf.AuthorityKeyId) + "." + base64.RawURLEncoding.EncodeToString(serial),
		nil
}

// get reads a JSON object that needs no signature.
func (i *Issuer) get(ctx context.Context, url string, into any, at time.Time, doing string) (http.Header, error) {
	ctx, cancel := context.WithTimeout(ctx, i.timeout)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", doing, err)
	}
	res, err := i.client.HTTP().Do(r)
	if err != nil {
		return nil, i.client.Unanswered(doing, err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, foreign.MaxAnswer))
	if err != nil {
		return nil, i.client.Unanswered(doing, err)
	}
	if res.StatusCode != http.StatusOK {
		return nil, foreign.NewAnswer(res.StatusCode, res.Header, body, at, doing).Failure(string(body))
	}
	if err := json.Unmarshal(body, into); err != nil {
		return nil, &issuer.Error{Fault: issuer.Broken, Text: doing + ": the answer of the CA is not JSON", Err: err}
	}
	return res.Header, nil
}
