package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/perennial-pki/perennial/internal/egress/control"
	"github.com/perennial-pki/perennial/internal/egress/control/inprocess"
	"github.com/perennial-pki/perennial/internal/egress/gateway"
	"github.com/perennial-pki/perennial/internal/egress/prober"
	"github.com/perennial-pki/perennial/internal/engine/importing"
	"github.com/perennial-pki/perennial/internal/engine/jobs"
	"github.com/perennial-pki/perennial/internal/engine/lifecycle"
	"github.com/perennial-pki/perennial/internal/engine/store"
	"github.com/perennial-pki/perennial/internal/front/api"
	"github.com/perennial-pki/perennial/internal/front/web"
	"github.com/perennial-pki/perennial/internal/keys/issuer/local"
	"github.com/perennial-pki/perennial/internal/lab/sample"
	"github.com/perennial-pki/perennial/tenancy"
)

type serveCmd struct {
	serviceFlags
	gatewayFlags
	oidcFlags
	Sample bool `env:"PERENNIAL_SAMPLE" help:"Show a sample fleet, in a temporary database that is gone at the end."`
}

// shutdownTime is how long requests and jobs may take to end.
const shutdownTime = 20 * time.Second

func (c *serveCmd) Run(e env) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	log := c.logger(e)
	slog.SetDefault(log)
	scheme, err := c.checkTransport()
	if err != nil {
		return err
	}
	if err := c.gatewayFlags.check(c.BehindProxy); err != nil {
		return err
	}
	if err := c.oidcFlags.check(); err != nil {
		return err
	}
	if c.Sample {
		remove, err := c.useSample()
		if err != nil {
			return err
		}
		defer remove()
	}
	network, err := c.network()
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", c.Listen)
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	defer listener.Close()
	if c.BaseURL == "" {
		c.BaseURL = scheme + "://" + listener.Addr().String()
	} else if err := checkURL(c.BaseURL); err != nil {
		return fmt.Errorf("--base-url: %w", err)
	} else {
		c.crlURL = c.BaseURL + "/pki"
	}
	p, err := c.open(ctx, e, log)
	if err != nil {
		return err
	}
	defer p.store.Close()
	config, err := c.tlsConfig(p.ca, e.now)
	if err != nil {
		return err
	}
	var example sample.Sample
	if c.Sample {
		if example, err = sample.Fill(ctx, p.store, p.engine, p.ca, e.now); err != nil {
			return err
		}
	}
	secret, err := firstToken(ctx, p.store, e.now())
	if err != nil {
		return err
	}
	importer, err := importing.New(p.engine, p.store, p.keys, e.now)
	if err != nil {
		return err
	}
	queue, err := jobs.New(ctx, jobs.Config{Store: p.store, URL: c.Database, Engine: p.engine, Deliverer: p.deliverer,
		Prober:   &prober.Prober{Engine: p.engine, Store: p.store, Network: network, Now: e.now},
		Importer: importer, Lease: c.JobLease, MailRate: c.MailRate, Now: e.now,
		Log: log})
	if err != nil {
		return err
	}
	if err := queue.Start(ctx); err != nil {
		return err
	}
	go p.fillPool(ctx, log)
	go p.store.Listen(ctx, c.Database, log)
	ending, end := context.WithCancel(context.Background())
	defer end()
	gateways := func(name string) http.Handler {
		here := inprocess.Control{Rollovers: p.engine.Rollovers(), Now: e.now, Name: name}
		return control.Handler{Control: here, Ending: ending, Log: log}
	}
	apiConfig := api.Config{Store: p.store, Engine: p.engine, CA: p.ca, Seal: p.keys, Importer: importer,
		Imports: queue, Network: network,
		BaseURL: c.BaseURL, Gateways: gateways, Collectors: gateway.Collectors(), Now: e.now, Log: log}
	apiConfig.Version, _ = buildVersion()
	if p.outbox != nil {
		apiConfig.Outbox = p.outbox
	}
	service := api.New(apiConfig)
	console, err := web.New(web.Config{API: service, Store: p.store, BaseURL: c.BaseURL, BehindProxy: c.BehindProxy,
		OIDC: c.oidcFlags.provider(), Now: e.now, Ending: ending, Log: log}, service)
	if err != nil {
		return err
	}
	server := &http.Server{
		Handler: console, TLSConfig: config, ReadHeaderTimeout: 10 * time.Second, ReadTimeout: time.Minute,
		IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 64 << 10,
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelWarn),
	}
	server.RegisterOnShutdown(end)
	failed := make(chan error, 2)
	egress, err := c.gatewayFlags.start(network, inprocess.Control{Rollovers: p.engine.Rollovers(), Now: e.now}, e, log, failed)
	if err != nil {
		return err
	}
	go func() { failed <- serveHTTP(server, listener) }()
	c.welcome(e, p, egress, secret)
	for _, l := range example.Logins {
		fmt.Fprintf(e.out, "Sign in at %s as %-6s (%s) with the password %s\n", c.BaseURL, l.Name, l.Role, l.Password)
	}
	if c.Sample {
		fmt.Fprintf(e.out, "The sample's bank and payroll know single certificates. Install one as their administrators "+
			"would:\n  curl -k --data-binary @certificate.pem %s\n", example.Install)
	}
	select {
	case err = <-failed:
	case <-ctx.Done():
		stop() // a second signal ends at once
		log.Info("stopping")
	}
	rest, cancel := context.WithTimeout(context.Background(), shutdownTime)
	defer cancel()
	if err == nil {
		err = errors.Join(egress.stop(rest), server.Shutdown(rest))
	}
	return errors.Join(err, queue.Stop(rest))
}

// useSample lets the service run on a temporary database, with receivers on loopback.
func (c *serveCmd) useSample() (remove func(), err error) {
	if c.SMTP != "" {
		return nil, errors.New("--sample goes without --smtp: its mails would go to real addresses")
	}
	dir, err := os.MkdirTemp("", "perennial-sample-")
	if err != nil {
		return nil, err
	}
	c.Database, c.KeyFile, c.Key = "sqlite:"+filepath.Join(dir, "perennial.db"), filepath.Join(dir, "perennial.key"), ""
	c.AllowTarget = append(c.AllowTarget, "127.0.0.0/8")
	return func() { os.RemoveAll(dir) }, nil
}

// serveHTTP serves with TLS where the server has a configuration for it.
func serveHTTP(s *http.Server, l net.Listener) error {
	if s.TLSConfig != nil {
		return s.ServeTLS(l, "", "")
	}
	return s.Serve(l)
}

// welcome says where the service is and what to do first.
func (c *serveCmd) welcome(e env, p *parts, egress *runningGateway, secret string) {
	mailing := "mails wait: no mail server is configured (--smtp)"
	if p.deliverer != nil {
		mailing = "through " + store.Masked(c.SMTP)
	}
	messages := "off (--gateway)"
	if egress != nil {
		messages = egress.url + "/TENANT/ARRANGEMENT/..."
	}
	fmt.Fprintf(e.out, "Perennial is ready at %s\n  database  %s\n  policy    %s, next run %s\n  messages  %s\n  mail   "+
		"   %s\n",
		c.BaseURL, store.Masked(c.Database), p.policy.Name, moment(p.policy.Schedule.Next(e.now())), messages, mailing)
	if c.TLS == "self" {
		fmt.Fprintf(e.out, "  TLS       own CA, SHA-256 of the root: %s\n", p.ca.RootFingerprint(e.now()))
	}
	if secret != "" && !c.Sample {
		fmt.Fprintf(e.out, "\nThe first operator token, shown only now:\n\n  export PERENNIAL_URL=%s "+
			"PERENNIAL_TOKEN=%s\n\nThen, in another terminal: perennial tenant create acme\nOr make your account for the "+
			"console with it: %s/welcome\nOr look around in a sample fleet first: perennial serve --sample\n", c.BaseURL, secret,
			c.BaseURL)
	}
}

// checkTransport refuses plain HTTP where others could listen.
func (c *serveCmd) checkTransport() (scheme string, err error) {
	files := c.TLSCert != "" || c.TLSKey != ""
	switch {
	case files && (c.TLSCert == "" || c.TLSKey == ""):
		return "", errors.New("--tls-cert and --tls-key go together")
	case files && c.TLS != "":
		return "", errors.New("use either --tls self or --tls-cert and --tls-key")
	case files, c.TLS != "":
		return "https", nil
	case isLoopback(c.Listen), c.BehindProxy:
		return "http", nil
	}
	return "", fmt.Errorf("%s can be reached from outside: give --tls-cert and --tls-key, --tls self (a certificate of "+
		"the own CA), or --behind-proxy where a proxy does TLS; plain HTTP is for 127.0.0.1 only", c.Listen)
}

// tlsConfig is nil for plain HTTP.
func (c *serveCmd) tlsConfig(ca *local.CA, now func() time.Time) (*tls.Config, error) {
	switch {
	case c.TLS == "self":
		host, _, err := net.SplitHostPort(strings.TrimPrefix(c.BaseURL, "https://"))
		if err != nil {
			host = strings.TrimPrefix(c.BaseURL, "https://")
		}
		server, err := ca.NewServerCertificate(host, now)
		if err != nil {
			return nil, err
		}
		return &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: server.Get}, nil
	case c.TLSCert != "":
		pair, err := tls.LoadX509KeyPair(c.TLSCert, c.TLSKey)
		if err != nil {
			return nil, fmt.Errorf("--tls-cert, --tls-key: %w", err)
		}
		return &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{pair}}, nil
	}
	return nil, nil
}

// fillPool makes RSA keys ahead, of the types that tenants use.
func (p *parts) fillPool(ctx context.Context, log *slog.Logger) {
	running := map[tenancy.KeyType]bool{}
	look := time.NewTicker(time.Minute)
	defer look.Stop()
	for {
		kinds, err := p.store.KeyTypes(ctx)
		if err != nil && ctx.Err() == nil {
			log.Warn("the RSA key pool does not know what tenants use", "error", err)
		}
		for _, kind := range kinds {
			if !running[kind] {
				running[kind] = true
				go p.pool.Fill(ctx, kind)
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-look.C:
		}
	}
}

// firstTokenLifetime is long enough to make tokens of one's own with it.
const firstTokenLifetime = 30 * 24 * time.Hour

// firstToken makes the first operator's token, once in the life of a database.
func firstToken(ctx context.Context, s *store.Store, now time.Time) (secret string, err error) {
	const name = "first_token"
	err = s.InTx(ctx, func(tx *store.Tx) error {
		secret = ""
		first, err := tx.Claim(ctx, name, now.UTC().Format(time.RFC3339))
		if err != nil || !first {
			return err
		}
		secret = api.NewSecret()
		t := tenancy.Token{ID: lifecycle.NewID(), Name: "first start", Role: tenancy.RoleOperator, CreatedAt: now,
			ExpiresAt: now.Add(firstTokenLifetime)}
		if err := tx.CreateToken(ctx, t, tenancy.HashSecret(secret)); err != nil {
			return err
		}
		return tx.Audit(ctx, tenancy.NewEvent(now, "first start", "token.created", "", t.ID,
			map[string]any{"name": t.Name, "role": t.Role}))
	})
	return secret, err
}

// oidcFlags are how people of the company sign in to the console.
type oidcFlags struct {
	Issuer   string   `name:"oidc-issuer" env:"PERENNIAL_OIDC_ISSUER" placeholder:"URL" help:"Let people sign in to the console with this OpenID Connect provider. It must know URL/sign-in/company/back as a redirect address."`
	Client   string   `name:"oidc-client" env:"PERENNIAL_OIDC_CLIENT" placeholder:"ID" help:"The console's ID there."`
	Secret   string   `name:"oidc-secret" env:"PERENNIAL_OIDC_SECRET" secret:"" help:"Its secret; give it as PERENNIAL_OIDC_SECRET."`
	Name     string   `name:"oidc-name" default:"your company" env:"PERENNIAL_OIDC_NAME" help:"What the button says: Sign in with ..."`
	Scopes   []string `name:"oidc-scopes" default:"profile,email" env:"PERENNIAL_OIDC_SCOPES" help:"What is asked for besides openid."`
	Roles    string   `name:"oidc-roles-claim" default:"roles" env:"PERENNIAL_OIDC_ROLES_CLAIM" help:"The claim with a person's roles; a path such as realm_access.roles goes into others."`
	Operator string   `name:"oidc-operator-role" default:"perennial-operator" env:"PERENNIAL_OIDC_OPERATOR_ROLE" help:"Who has this role is an operator."`
	Tenant   string   `name:"oidc-tenant-claim" default:"tenant" env:"PERENNIAL_OIDC_TENANT_CLAIM" help:"The claim with the name of a key user's tenant."`
	User     string   `name:"oidc-user-claim" default:"email" env:"PERENNIAL_OIDC_USER_CLAIM" help:"The claim that finds the key user, by e-mail address or name. email counts only when it is verified."`
}

func (f oidcFlags) check() error {
	switch {
	case f.Issuer == "" && f.Client == "":
		return nil
	case f.Issuer == "" || f.Client == "":
		return errors.New("--oidc-issuer and --oidc-client go together")
	}
	u, err := url.Parse(f.Issuer)
	if err != nil || u.Host == "" || u.Scheme != "https" && !(u.Scheme == "http" && isLoopback(u.Host)) {
		return fmt.Errorf("--oidc-issuer: %q: write an https URL such as https://login.example.com/realms/company; over "+
			"plain http anybody between could sign in as anybody", f.Issuer)
	}
	return nil
}

func (f oidcFlags) provider() *web.OIDC {
	if f.Issuer == "" {
		return nil
	}
	return &web.OIDC{Issuer: f.Issuer, ClientID: f.Client, ClientSecret: f.Secret, Name: f.Name, Scopes: f.Scopes,
		RolesClaim: f.Roles, OperatorRole: f.Operator, TenantClaim: f.Tenant, UserClaim: f.User}
}
