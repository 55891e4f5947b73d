package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"os"
	"time"

	"github.com/perennial-pki/perennial/internal/engine/jobs"
	"github.com/perennial-pki/perennial/internal/engine/lifecycle"
	"github.com/perennial-pki/perennial/internal/engine/notify"
	"github.com/perennial-pki/perennial/internal/engine/store"
	"github.com/perennial-pki/perennial/internal/keys/issuer"
	"github.com/perennial-pki/perennial/internal/keys/issuer/local"
	"github.com/perennial-pki/perennial/internal/keys/keyring"
	"github.com/perennial-pki/perennial/policy"
)

// databaseFlags say where the data is, and the key that opens it.
type databaseFlags struct {
	Database string `default:"sqlite:perennial.db" env:"PERENNIAL_DATABASE" help:"sqlite:PATH, or postgres://... for several replicas."`
	KeyFile  string `default:"perennial.key" env:"PERENNIAL_KEY_FILE" help:"The key-encryption keys; made at the first start. Back it up apart from the database."`
	Key      string `env:"PERENNIAL_KEY" secret:"" help:"The content of a key file in base64, instead of --key-file; give it as PERENNIAL_KEY."`
}

// serviceFlags configure the service. Each is also PERENNIAL_* in the environment and a line of the configuration file.
type serviceFlags struct {
	Config        string `env:"PERENNIAL_CONFIG" placeholder:"FILE" help:"A YAML file of these settings; flags and environment win over it."`
	databaseFlags `embed:""`
	Listen        string        `default:"127.0.0.1:8080" env:"PERENNIAL_LISTEN" help:"Address to serve at; anything but loopback needs TLS or --behind-proxy."`
	BaseURL       string        `env:"PERENNIAL_BASE_URL" placeholder:"URL" help:"Where people reach the service, for links in mails and CRLs (default: the address served at)."`
	TLSCert       string        `name:"tls-cert" env:"PERENNIAL_TLS_CERT" placeholder:"FILE" help:"Serve TLS with this certificate (PEM)."`
	TLSKey        string        `name:"tls-key" env:"PERENNIAL_TLS_KEY" placeholder:"FILE" help:"Its private key (PEM)."`
	TLS           string        `name:"tls" enum:",self" default:"" env:"PERENNIAL_TLS" placeholder:"self" help:"self: serve TLS with a certificate of the own CA."`
	BehindProxy   bool          `env:"PERENNIAL_BEHIND_PROXY" help:"Serve plain HTTP at any address: a proxy in front does TLS."`
	Policy        string        `default:"perennial" env:"PERENNIAL_POLICY" help:"A built-in policy, or the path of a policy file."`
	SMTP          string        `name:"smtp" env:"PERENNIAL_SMTP" secret:"" placeholder:"URL" help:"Mail server: smtp://USER:PASSWORD@HOST:PORT (STARTTLS) or smtps://... Without one mails wait."`
	SMTPCA        string        `name:"smtp-ca" env:"PERENNIAL_SMTP_CA" placeholder:"FILE" help:"CAs (PEM) that the mail server's certificate is verified with, instead of the system's."`
	MailFrom      string        `default:"Perennial <perennial@localhost>" env:"PERENNIAL_MAIL_FROM" help:"Sender of mails; its domain is also that of Message-IDs."`
	MailTemplates string        `env:"PERENNIAL_MAIL_TEMPLATES" placeholder:"DIR" help:"Texts of mails, instead of the built-in ones."`
	TrustDomain   string        `default:"perennial.internal" env:"PERENNIAL_TRUST_DOMAIN" help:"Names the installation in certificates: spiffe://TRUST-DOMAIN/tenant/NAME."`
	Organization  string        `default:"Perennial" env:"PERENNIAL_ORGANIZATION" help:"O in the subject of every certificate."`
	RSAPool       int           `name:"rsa-pool" default:"16" env:"PERENNIAL_RSA_POOL" help:"RSA keys made ahead, where tenants use RSA."`
	IssuerRate    float64       `default:"0" env:"PERENNIAL_ISSUER_RATE" help:"Certificates a second that all replicas together ask the CA for; 0 for no limit."`
	MailRate      float64       `default:"0" env:"PERENNIAL_MAIL_RATE" help:"Mails a second that all replicas together hand to the mail server; 0 for no limit."`
	JobLease      time.Duration `default:"10m" env:"PERENNIAL_JOB_LEASE" help:"A job that runs longer than this is taken for lost and done again."`
	LogFormat     string        `enum:"text,json" default:"text" env:"PERENNIAL_LOG_FORMAT" help:"text or json."`
	LogLevel      slog.Level    `default:"info" env:"PERENNIAL_LOG_LEVEL" help:"debug, info, warn or error."`

	// crlURL is named in certificates; empty unless --base-url says where others reach the service.
	crlURL string
}

func (f *serviceFlags) logger(e env) *slog.Logger { return newLogger(e, f.LogFormat, f.LogLevel) }

func newLogger(e env, format string, level slog.Level) *slog.Logger {
	options := &slog.HandlerOptions{Level: level}
	if format == "json" {
		return slog.New(slog.NewJSONHandler(e.err, options))
	}
	return slog.New(slog.NewTextHandler(e.err, options))
}

// parts are what every command that works on the database itself stands on.
type parts struct {
	store  *store.Store
	keys   *keyring.Keyring
	ca     *local.CA
	pool   *keyring.Pool
	policy policy.Policy
	engine *lifecycle.Engine
	// outbox and deliverer are nil while no mail server is configured.
	outbox    *jobs.Outbox
	deliverer *jobs.Deliverer
}

// open wires the parts, in the order in which they stand on each other.
func (f *serviceFlags) open(ctx context.Context, e env, log *slog.Logger) (_ *parts, err error) {
	p := &parts{}
	if !(f.IssuerRate >= 0) || !(f.MailRate >= 0) {
		return nil, errors.New("--issuer-rate, --mail-rate: write 0 or more a second")
	}
	if p.policy, err = loadPolicy(f.Policy); err != nil {
		return nil, err
	}
	domain, err := notify.ParseSender(f.MailFrom)
	if err != nil {
		return nil, fmt.Errorf("--mail-from: %w", err)
	}
	var server *notify.Server
	if f.SMTP != "" {
		if server, err = f.mailServer(); err != nil {
			return nil, err
		}
	}
	if p.store, err = store.OpenExclusive(ctx, f.Database); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			p.store.Close()
		}
	}()
	if err = jobs.Migrate(ctx, p.store, slog.New(slog.DiscardHandler)); err != nil {
		return nil, err
	}
	if p.keys, err = f.keyring(ctx, p.store); err != nil {
		return nil, err
	}
	config := local.Config{TrustDomain: f.TrustDomain, Organization: f.Organization, CRLURL: f.crlURL,
		LongestValidity: p.policy.Validity}
	if err = config.Check(); err != nil {
		return nil, err
	}
	if p.ca, err = local.Open(ctx, config, p.store, p.keys, e.now()); err != nil {
		return nil, err
	}
	p.pool = keyring.NewPool(f.RSAPool)
	var ca issuer.Issuer = p.ca
	if e.issuer != nil {
		ca = e.issuer(ca)
	}
	engine := lifecycle.Config{Store: p.store, Issuer: issuer.Checked(ca), Keys: p.pool, Seal: p.keys, Policy: p.policy,
		MailDomain: domain, Log: log, Authorities: p.ca}
	engine.PartSize, engine.PartLease = e.partSize, f.JobLease
	if engine.Spread, err = jobs.NewSpread(p.store, log); err != nil {
		return nil, err
	}
	if engine.Pace = jobs.Pace(p.store, "issuer", f.IssuerRate, e.now); engine.Pace != nil {
		engine.PartSize = partSize(f.IssuerRate)
	}
	if server != nil {
		if p.outbox, err = jobs.NewOutbox(p.store, log); err != nil {
			return nil, err
		}
		p.deliverer = &jobs.Deliverer{Store: p.store, Sender: server, BaseURL: f.BaseURL, Log: log}
		engine.Outbox = p.outbox
	}
	p.engine, err = lifecycle.New(engine)
	return p, err
}

// partSize is how many certificates a part of a run has where the CA is not asked for more than so many a second: half
// a minute's work, since a part that takes longer than its lease is done again.
func partSize(perSecond float64) int { return max(1, int(min(30*perSecond, lifecycle.DefaultPart))) }

func (f *serviceFlags) mailServer() (*notify.Server, error) {
	templates, err := notify.LoadTemplates(f.MailTemplates)
	if err != nil {
		return nil, err
	}
	var roots *tls.Config
	if f.SMTPCA != "" {
		pool, err := readRoots("--smtp-ca", f.SMTPCA)
		if err != nil {
			return nil, err
		}
		roots = &tls.Config{RootCAs: pool}
	}
	return notify.NewServer(f.SMTP, f.MailFrom, templates, roots)
}

// readRoots reads the CAs that a flag names; nil, which stands for the system's, where it names no file.
func readRoots(flag, path string) (*x509.CertPool, error) {
	if path == "" {
		return nil, nil
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", flag, err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(data) {
		return nil, fmt.Errorf("%s: %s holds no certificate (PEM)", flag, path)
	}
	return pool, nil
}

// keyCheck is a known text that is sealed in the database, so that a wrong key shows at the start and not on the first
// of the month.
const keyCheck = "key_check"

// keyring opens the key-encryption keys, and makes them for a new database.
func (f *databaseFlags) keyring(ctx context.Context, s *store.Store) (*keyring.Keyring, error) {
	sealed, err := s.Setting(ctx, keyCheck)
	if err != nil {
		return nil, err
	}
	var keys *keyring.Keyring
	if f.Key != "" {
		keys, err = keyring.FromEnvironment(f.Key)
	} else if keys, err = keyring.Open(f.KeyFile); errors.Is(err, keyring.ErrNoKeyFile) && sealed == "" {
		keys, err = keyring.Create(f.KeyFile)
	} else if errors.Is(err, keyring.ErrNoKeyFile) {
		return nil, fmt.Errorf("%w, and the database is sealed with one: restore it from its backup", err)
	}
	if err != nil {
		return nil, err
	}
	if sealed == "" {
		if sealed, err = claimKeyCheck(ctx, s, keys); err != nil {
			return nil, err
		}
	}
	data, err := base64.StdEncoding.DecodeString(sealed)
	if err == nil {
		_, err = keys.Open(data, keyCheck)
	}
	if err != nil {
		return nil, errors.New("the database was sealed with another key: use the key file that belongs to it (replicas " +
			"share one)")
	}
	return keys, nil
}

// claimKeyCheck writes the check of a new database, and returns the one that is in force: another replica may be
// faster.
func claimKeyCheck(ctx context.Context, s *store.Store, keys *keyring.Keyring) (sealed string, err error) {
	made, err := sealKeyCheck(keys)
	if err != nil {
		return "", err
	}
	err = s.InTx(ctx, func(tx *store.Tx) error {
		if _, err := tx.Claim(ctx, keyCheck, made); err != nil {
			return err
		}
		sealed, err = tx.Setting(ctx, keyCheck)
		return err
	})
	return sealed, err
}

func sealKeyCheck(keys *keyring.Keyring) (string, error) {
	sealed, err := keys.Seal([]byte(keyCheck), keyCheck)
	return base64.StdEncoding.EncodeToString(sealed), err
}

// isLoopback says whether an address to listen at can be reached from this machine only.
func isLoopback(listen string) bool {
	host, _, err := net.SplitHostPort(listen)
	ip := net.ParseIP(host)
	return err == nil && (host == "localhost" || ip != nil && ip.IsLoopback())
}

// checkURL accepts an absolute http or https URL without a path.
func checkURL(s string) error {
	u, err := url.Parse(s)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || u.Path != "" {
		return fmt.Errorf("%q: write a URL such as https://perennial.example.com", s)
	}
	return nil
}
