package serve

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"

	"github.com/perennial-pki/perennial/internal/egress/control"
	"github.com/perennial-pki/perennial/internal/keys/certfile"
)

// Remote are the flags by which a gateway reaches a service over HTTPS.
type Remote struct {
	Token string `env:"PERENNIAL_TOKEN" help:"A gateway's token (perennial token create NAME --role gateway), for https://; better given as PERENNIAL_TOKEN."`
	CA    string `name:"ca" env:"PERENNIAL_CA" placeholder:"FILE" help:"CAs (PEM) to trust, for a service that uses --tls self."`
}

// Connect connects to the service at an address and checks that it accepts the gateway's token.
func (r Remote) Connect(ctx context.Context, address string, log *slog.Logger) (s Service, err error) {
	u, err := url.Parse(address)
	switch {
	case err != nil:
		return s, errors.New("--control is not a valid URL: give the service's address, https://HOST")
	case u.Scheme == "http" && !IsLoopback(u.Host):
		return s, fmt.Errorf("--control: %s would send the token unencrypted: use https://", u.Redacted())
	case u.Scheme != "https" && u.Scheme != "http":
		return s, fmt.Errorf("--control: %q is not an https:// address: give the service's address", u.Redacted())
	case r.Token == "":
		return s, errors.New("no token: set PERENNIAL_TOKEN to a gateway's token (perennial token create NAME --role " +
			"gateway)")
	}
	roots, err := certfile.ReadRoots(r.CA)
	if err != nil {
		return s, fmt.Errorf("--ca: %w", err)
	}
	client, err := control.NewClient(address, r.Token, roots, log)
	if err != nil {
		return s, err
	}
	return Service{Control: client, Address: address, Release: func() error { return nil }}, client.Check(ctx)
}
