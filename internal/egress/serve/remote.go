package serve

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"strings"
	"unicode"

	"github.com/perennial-pki/perennial/internal/egress/calm"
	"github.com/perennial-pki/perennial/internal/egress/control"
	"github.com/perennial-pki/perennial/internal/egress/gateway"
	"github.com/perennial-pki/perennial/internal/keys/certfile"
)

// Remote are the flags by which a gateway reaches a service over HTTPS.
type Remote struct {
	Token     string `env:"PERENNIAL_TOKEN" help:"A gateway's token (perennial token create NAME --role gateway), for https://; better set as PERENNIAL_TOKEN."`
	TokenFile string `env:"PERENNIAL_TOKEN_FILE" placeholder:"FILE" help:"A file with the gateway's token. It is read for each request, so a rotated token needs no restart."`
	CA        string `name:"ca" env:"PERENNIAL_CA" placeholder:"FILE" help:"CAs (PEM) to trust, for a service that uses --tls self."`
}

// token returns the gateway's token. A file is read again, so that a rotated token is used at once.
func (r Remote) token() (string, error) {
	if r.TokenFile == "" {
		return r.Token, nil
	}
	data, err := os.ReadFile(r.TokenFile)
	if err != nil {
		return "", fmt.Errorf("--token-file: %w", err)
	}
	token := strings.TrimSpace(string(data))
	if token == "" {
		return "", fmt.Errorf("--token-file: %s is empty: write a gateway's token to it", r.TokenFile)
	}
	if strings.ContainsFunc(token, unicode.IsSpace) {
		return "", fmt.Errorf("--token-file: %s contains more than a token: write only the secret to it", r.TokenFile)
	}
	return token, nil
}

// Connect connects to the service at an address. If the service answers, it must accept the gateway's token. If it does
// not answer, the gateway starts, and answers messages with 503 until the service is there.
func (r Remote) Connect(ctx context.Context, address string, log *slog.Logger) (s Service, err error) {
	u, err := url.Parse(address)
	switch {
	case err != nil:
		return s, errors.New("--control is not a valid URL: give the service's address, https://HOST")
	case u.Scheme == "http" && !IsLoopback(u.Host):
		return s, fmt.Errorf("--control: %s would send the token unencrypted: use https://", u.Redacted())
	case u.Scheme != "https" && u.Scheme != "http":
		return s, fmt.Errorf("--control: %q is not an https:// address: give the service's address", u.Redacted())
	case r.Token == "" && r.TokenFile == "":
		return s, errors.New("no token: set PERENNIAL_TOKEN or PERENNIAL_TOKEN_FILE to a gateway's token (perennial token " +
			"create NAME --role gateway)")
	case r.Token != "" && r.TokenFile != "":
		return s, errors.New("--token and --token-file exclude each other: use the file if the token will be rotated")
	}
	roots, err := certfile.ReadRoots(r.CA)
	if err != nil {
		return s, fmt.Errorf("--ca: %w", err)
	}
	client, err := control.NewClient(address, r.token, roots, log)
	if err != nil {
		return s, err
	}
	s = Service{Control: client, Address: address, Release: func() error { return nil }, Outage: calm.Outage{
		What:  "the service of this gateway",
		Means: func(err error) bool { return errors.Is(err, gateway.ErrAway) || errors.Is(err, gateway.ErrOwnToken) },
		Probe: func(ctx context.Context) error { return gateway.AskControl(ctx, client) },
	}}
	if err := client.Check(ctx); err != nil && !errors.Is(err, gateway.ErrAway) {
		return s, err
	}
	return s, nil
}
