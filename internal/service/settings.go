package service

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/perennial-pki/perennial/internal/egress/serve"
	"github.com/perennial-pki/perennial/internal/engine/lifecycle"
	"github.com/perennial-pki/perennial/internal/front/identity"
	"github.com/perennial-pki/perennial/internal/front/identity/password"
	"github.com/perennial-pki/perennial/tenancy"
)

// Settings configure a service. The tags describe each setting for the command line, the environment and the
// configuration file.
type Settings struct {
	Database     Database      `embed:""`
	Transport    Transport     `embed:""`
	Certificates Certificates  `embed:""`
	Mail         Mail          `embed:""`
	Platform     Platform      `embed:""`
	Audit        Audit         `embed:""`
	Gateway      serve.Options `embed:""`
	OIDC         OIDC          `embed:""`
	SignIn       SignIn        `embed:""`
	Ceilings     Ceilings      `embed:""`
	Quota        Quota         `embed:""`
	Log          serve.Log     `embed:""`
	// GatewayKeys states whether stand-alone gateways get private keys.
	GatewayKeys string `name:"gateway-keys" enum:"sealed,remote" default:"sealed" env:"PERENNIAL_GATEWAY_KEYS" help:"sealed: a stand-alone gateway gets the private keys that it uses, sealed to its process. remote: keys stay in the service, and a gateway requests a signature for each TLS handshake. Use the same value for all replicas."`
	// GatewayKeyCopies limits the time for which a gateway signs with copies of keys that stay, without the service.
	GatewayKeyCopies time.Duration    `placeholder:"DURATION" env:"PERENNIAL_GATEWAY_KEY_COPIES" help:"With --gateway-keys remote: a stand-alone gateway gets a sealed copy of each key as well, and uses it while the service does not answer, until this time after the last answer (at most 24h; default: no copies). Use the same value for all replicas."`
	Monitoring       serve.Monitoring `embed:""`
	// MessageLogRetention is the retention time of entries of the message log.
	MessageLogRetention time.Duration `default:"720h" env:"PERENNIAL_MESSAGE_LOG_RETENTION" help:"Entries of the message log are deleted after this time, at least 24h. Use the same value for all replicas."`
	// Guard names the configuration of a guard that runs in the service.
	Guard string `env:"PERENNIAL_GUARD" placeholder:"FILE" help:"Run a guard too, with this configuration (docs/guard.md). What it sees is in the audit log."`

	JobLease time.Duration `default:"10m" env:"PERENNIAL_JOB_LEASE" help:"A job that runs longer than this counts as lost and is repeated."`
}

// KeysStay is the value of --gateway-keys that keeps private keys in the service.
const KeysStay = "remote"

// longestCopy limits --gateway-key-copies.
const longestCopy = 24 * time.Hour

// Database names the database and the key-encryption keys that open it.
type Database struct {
	URL     string `name:"database" default:"sqlite:perennial.db" env:"PERENNIAL_DATABASE" help:"sqlite:PATH, or postgres://... for several replicas."`
	KeyFile string `default:"perennial.key" env:"PERENNIAL_KEY_FILE" help:"File of the key-encryption keys, created at the first start. Back it up separately from the database."`
	Key     string `env:"PERENNIAL_KEY" secret:"" help:"The content of a key file in base64, instead of --key-file; better set as PERENNIAL_KEY."`
}

// Transport configures the listener of the API and the console.
type Transport struct {
	Listen      string `default:"127.0.0.1:8080" env:"PERENNIAL_LISTEN" help:"Address to listen on. Any address except loopback needs TLS or --behind-proxy."`
	BaseURL     string `env:"PERENNIAL_BASE_URL" placeholder:"URL" help:"Public address of the service, for links in mails and CRLs (default: the address of --listen)."`
	TLSCert     string `name:"tls-cert" env:"PERENNIAL_TLS_CERT" placeholder:"FILE" help:"Serve TLS with this certificate (PEM)."`
	TLSKey      string `name:"tls-key" env:"PERENNIAL_TLS_KEY" placeholder:"FILE" help:"Its private key (PEM)."`
	TLS         string `name:"tls" enum:",self" default:"" env:"PERENNIAL_TLS" placeholder:"self" help:"self: serve TLS with a certificate of the service's own CA."`
	CRLURL      string `name:"crl-url" env:"PERENNIAL_CRL_URL" placeholder:"URL" help:"Address of the revocation lists, named in certificates; it must be plain http (default: http://HOST/pki, with the host of --base-url)."`
	PKIListen   string `name:"pki-listen" env:"PERENNIAL_PKI_LISTEN" placeholder:"HOST:PORT" help:"Serve the CA certificates and revocation lists, and nothing else, at this address over plain HTTP, for example :80."`
	BehindProxy bool   `env:"PERENNIAL_BEHIND_PROXY" help:"Serve plain HTTP at any address, because a proxy in front terminates TLS."`
}

// Certificates configure the certificates that are issued, and their schedule.
type Certificates struct {
	Policy       string  `env:"PERENNIAL_POLICY" placeholder:"NAME|FILE" help:"A built-in policy, or the path of a policy file (default: that of the database; perennial for a new one)."`
	TrustDomain  string  `env:"PERENNIAL_TRUST_DOMAIN" placeholder:"NAME" help:"Name of the installation in certificates: spiffe://TRUST-DOMAIN/tenant/NAME (default: that of the database; perennial.internal for a new one)."`
	Organization string  `env:"PERENNIAL_ORGANIZATION" placeholder:"NAME" help:"O in the subject of certificates (default: that of the database; Perennial for a new one)."`
	Issuer       string  `env:"PERENNIAL_ISSUER" placeholder:"NAME" help:"The CA of every credential that does not name another one: local, or an issuer in the file of --issuers (default: that of the database; local for a new one)."`
	MUser        string  `name:"m-user" enum:",on,off" default:"" env:"PERENNIAL_M_USER" placeholder:"on|off" help:"Whether new tenants get an M-user. Policies with rules about the M-user keep it on (default: that of the database; on for a new one)."`
	Issuers      string  `env:"PERENNIAL_ISSUERS" placeholder:"FILE" help:"File of other CAs from which certificates can be requested (YAML). docs/issuers.md describes each kind."`
	TenantKeys   string  `name:"tenant-keys" env:"PERENNIAL_TENANT_KEYS" placeholder:"sealed|URI" help:"sealed: private keys of tenants are sealed in the database. pkcs11:token=LABEL: they are created in this token and never leave it, see docs/custody.md (default: that of the database; sealed for a new one)."`
	RSAPool      int     `name:"rsa-pool" default:"16" env:"PERENNIAL_RSA_POOL" help:"Number of RSA keys that are generated in advance, if tenants use RSA."`
	IssuerRate   float64 `default:"0" env:"PERENNIAL_ISSUER_RATE" help:"Certificates per second that all replicas together request from the CA; 0 for no limit."`
}

// Ceilings limit the settings of an arrangement that key users may choose. An operator may set more.
type Ceilings struct {
	KeepBytes int64         `name:"keep-bytes-ceiling" default:"67108864" env:"PERENNIAL_KEEP_BYTES_CEILING" help:"Limit for the value that key users may set: the largest body, in bytes, that is kept for another attempt."`
	Timeout   time.Duration `name:"timeout-ceiling" default:"10m" env:"PERENNIAL_TIMEOUT_CEILING" help:"Limit for the value that key users may set: the time-out for a receiver's answer."`
}

// Quota limits the parked messages of each tenant.
type Quota struct {
	Messages int   `name:"parked-messages" default:"10000" env:"PERENNIAL_PARKED_MESSAGES" help:"Maximum number of messages that may wait for the receivers of one tenant."`
	Bytes    int64 `name:"parked-bytes" default:"1073741824" env:"PERENNIAL_PARKED_BYTES" help:"Maximum total size of these messages in bytes."`
}

// Check refuses a quota that no message fits.
func (q Quota) Check() error {
	if q.Messages < 0 || q.Bytes < 0 {
		return errors.New("--parked-messages, --parked-bytes: use more than 0")
	}
	return nil
}

// Mail configures the mail server and the sender.
type Mail struct {
	SMTP          string   `name:"smtp" env:"PERENNIAL_SMTP" secret:"" placeholder:"URL" help:"Mail server: smtp://USER:PASSWORD@HOST:PORT (STARTTLS) or smtps://... Mails wait until one is configured."`
	SMTPCA        string   `name:"smtp-ca" env:"PERENNIAL_SMTP_CA" placeholder:"FILE" help:"CAs (PEM) to verify the mail server's certificate with, instead of the system's."`
	MailFrom      string   `default:"perennial@localhost" env:"PERENNIAL_MAIL_FROM" help:"Sender of mails. Its domain is also used in Message-IDs. Without a name, it is named after --platform-name."`
	MailTemplates string   `env:"PERENNIAL_MAIL_TEMPLATES" placeholder:"DIR" help:"Folder with templates of mails, instead of the built-in ones (docs/mails.md)."`
	OperatorsMail []string `env:"PERENNIAL_OPERATORS_MAIL" placeholder:"ADDRESS" help:"Addresses of the hosting team, for the monthly mail with the head of the audit log, and for warnings about expiring tokens."`
	MailRate      float64  `default:"0" env:"PERENNIAL_MAIL_RATE" help:"Mails per second that all replicas together hand to the mail server; 0 for no limit."`
}

// SignIn configures the console's own accounts.
type SignIn struct {
	SecondFactor      string `enum:",operators,all" default:"" env:"PERENNIAL_SECOND_FACTOR" placeholder:"operators|all" help:"Accounts for which a password alone does not suffice: they need a passkey or the company's sign-in. Use the same value for all replicas."`
	BreachedPasswords string `env:"PERENNIAL_BREACHED_PASSWORDS" placeholder:"FILE" help:"Refuse new passwords whose SHA-1 hash is in this file of sorted lines HASH or HASH:COUNT, the format of Have I Been Pwned's downloader."`
}

// passwords returns the rules for new passwords of an installation.
func (s SignIn) passwords(r Rules) password.Rules {
	return password.Rules{Names: []string{r.Organization, r.TrustDomain}, Breached: s.BreachedPasswords}
}

func (s SignIn) check() error {
	if err := s.passwords(Rules{}).CheckFile(); err != nil {
		return fmt.Errorf("--breached-passwords: %w", err)
	}
	return nil
}

// OIDC configures sign-in to the console with a company's OpenID Connect provider.
type OIDC struct {
	Issuer   string   `name:"oidc-issuer" env:"PERENNIAL_OIDC_ISSUER" placeholder:"URL" help:"Let users sign in to the console with this OpenID Connect provider. Register URL/sign-in/company/back there as the redirect URI."`
	Client   string   `name:"oidc-client" env:"PERENNIAL_OIDC_CLIENT" placeholder:"ID" help:"The console's client ID at the provider."`
	Secret   string   `name:"oidc-secret" env:"PERENNIAL_OIDC_SECRET" secret:"" help:"Its client secret; set it as PERENNIAL_OIDC_SECRET."`
	Name     string   `name:"oidc-name" default:"your company" env:"PERENNIAL_OIDC_NAME" help:"Name on the button: Sign in with ..."`
	Scopes   []string `name:"oidc-scopes" default:"profile,email" env:"PERENNIAL_OIDC_SCOPES" help:"Scopes to request besides openid."`
	Roles    string   `name:"oidc-roles-claim" default:"roles" env:"PERENNIAL_OIDC_ROLES_CLAIM" help:"The claim with a user's roles. A path such as realm_access.roles selects a nested claim."`
	Operator string   `name:"oidc-operator-role" default:"perennial-operator" env:"PERENNIAL_OIDC_OPERATOR_ROLE" help:"Users with this role are operators."`
	Tenant   string   `name:"oidc-tenant-claim" default:"tenant" env:"PERENNIAL_OIDC_TENANT_CLAIM" help:"The claim with the name of a key user's tenant."`
	ACR      []string `name:"oidc-acr" env:"PERENNIAL_OIDC_ACR" placeholder:"VALUE" help:"Accept a sign-in only if the claim acr of its ID token is one of these values. They are requested as acr_values."`
	AMR      []string `name:"oidc-amr" env:"PERENNIAL_OIDC_AMR" placeholder:"VALUE" help:"Accept a sign-in only if the claim amr of its ID token has one of these values, such as mfa (RFC 8176)."`
	User     string   `name:"oidc-user-claim" default:"email" env:"PERENNIAL_OIDC_USER_CLAIM" help:"The claim that identifies the key user, by e-mail address or name. An unverified email is ignored."`
}

// gateway returns the options of the gateway in the service. Its senders' certificates are of the service's trust
// domain unless another one is set.
func (s *Settings) gateway() *serve.Options {
	o := s.Gateway
	o.SenderDomain = cmp.Or(o.SenderDomain, s.Certificates.TrustDomain, defaultTrustDomain)
	return &o
}

func (s *Settings) check() error {
	if !(s.Certificates.IssuerRate >= 0) || !(s.Mail.MailRate >= 0) { // NaN too
		return errors.New("--issuer-rate, --mail-rate: use 0 or more per second")
	}
	if s.Ceilings.KeepBytes < 0 || s.Ceilings.Timeout < 0 {
		return errors.New("--keep-bytes-ceiling, --timeout-ceiling: use more than 0")
	}
	if copies := s.GatewayKeyCopies; copies < 0 || copies > longestCopy || copies > 0 && s.GatewayKeys != KeysStay {
		return fmt.Errorf("--gateway-key-copies: use at most %s, together with --gateway-keys %s", longestCopy, KeysStay)
	}
	if s.MessageLogRetention != 0 && s.MessageLogRetention < lifecycle.LeastMessagesKept {
		return fmt.Errorf("--message-log-retention: %s is too short: use %s or more, because the diagnosis reads the log",
			s.MessageLogRetention, lifecycle.LeastMessagesKept)
	}
	return errors.Join(s.Quota.Check(), s.Transport.check(), s.gateway().Check(s.Transport.front()), s.OIDC.check(),
		s.SignIn.check(), s.Audit.check(), s.Mail.check(), s.Platform.check())
}

// fingerprint returns a short hash of the settings that all replicas should share. Addresses, files and secrets are not
// among them.
func (s *Settings) fingerprint() string {
	platform := s.Platform
	platform.Logo = "" // a file
	shared := []any{s.Transport.BaseURL, s.Certificates.IssuerRate, s.Mail.MailFrom, s.Mail.MailRate, platform,
		s.OIDC.Issuer,
		s.OIDC.Client, s.OIDC.Scopes, s.OIDC.Roles, s.OIDC.Operator, s.OIDC.Tenant, s.OIDC.User, s.OIDC.ACR,
		s.OIDC.AMR, s.SignIn.SecondFactor, s.Ceilings, s.JobLease,
		s.MessageLogRetention, s.Gateway.MessageLogDetail, s.Gateway.AllowTarget, s.Gateway.ParkedTimeout,
		s.GatewayKeys, s.GatewayKeyCopies}
	hash := sha256.Sum256(fmt.Appendf(nil, "%q", shared))
	return hex.EncodeToString(hash[:6])
}

// check refuses plain HTTP if others could read it.
func (t *Transport) check() error {
	files := t.TLSCert != "" || t.TLSKey != ""
	switch {
	case files && (t.TLSCert == "" || t.TLSKey == ""):
		return errors.New("--tls-cert and --tls-key go together")
	case files && t.TLS != "":
		return errors.New("use either --tls self or --tls-cert and --tls-key")
	case t.scheme() == "http" && !serve.IsLoopback(t.Listen) && !t.BehindProxy:
		return fmt.Errorf("%s can be reached from outside: set --tls-cert and --tls-key, --tls self (a certificate of the "+
			"service's own CA), or --behind-proxy if a proxy terminates TLS; plain HTTP is for 127.0.0.1 only", t.Listen)
	case t.BaseURL != "":
		u, err := url.Parse(t.BaseURL)
		if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || u.Path != "" {
			return fmt.Errorf("--base-url: invalid URL %q: use one such as https://perennial.example.com", t.BaseURL)
		}
	}
	if t.CRLURL != "" {
		if u, err := url.Parse(t.CRLURL); err != nil || u.Host == "" || u.Scheme != "http" || u.RawQuery != "" {
			return fmt.Errorf("--crl-url: invalid URL %q: use plain http, such as http://perennial.example.com/pki, because "+
				"a verifier may need the list before it can trust a TLS connection (RFC 5280, section 8)", t.CRLURL)
		}
	}
	return nil
}

// servesNoLists reports whether certificates name revocation lists at an address that is not known to be served.
func (t *Transport) servesNoLists() bool {
	return t.BaseURL != "" && t.scheme() == "https" && !t.BehindProxy && t.PKIListen == "" && t.CRLURL == ""
}

// crlAddress returns the address of the revocation lists that certificates name. It is empty if no public address of
// the service is set.
func (t *Transport) crlAddress() string {
	if t.CRLURL != "" {
		return strings.TrimSuffix(t.CRLURL, "/")
	}
	u, err := url.Parse(t.BaseURL)
	if err != nil || t.BaseURL == "" {
		return ""
	}
	host := u.Host
	if u.Scheme == "https" { // its port is for TLS
		host = strings.TrimSuffix(host, ":"+u.Port())
	}
	return "http://" + host + "/pki"
}

func (m *Mail) check() error {
	for _, address := range m.OperatorsMail {
		if err := tenancy.CheckEmail("--operators-mail", address); err != nil {
			return err
		}
	}
	return nil
}

func (t *Transport) front() serve.Front {
	if t.BehindProxy {
		return serve.Proxied
	}
	return serve.Direct
}

func (t *Transport) scheme() string {
	if t.TLS != "" || t.TLSCert != "" {
		return "https"
	}
	return "http"
}

func (o *OIDC) check() error {
	switch {
	case o.Issuer == "" && o.Client == "":
		return nil
	case o.Issuer == "" || o.Client == "":
		return errors.New("--oidc-issuer and --oidc-client go together")
	}
	u, err := url.Parse(o.Issuer)
	if err != nil || u.Host == "" || u.Scheme != "https" && !(u.Scheme == "http" && serve.IsLoopback(u.Host)) {
		return fmt.Errorf("--oidc-issuer: invalid issuer %q: use an https URL such as "+
			"https://login.example.com/realms/company; over plain http an attacker in between could sign in as anyone",
			o.Issuer)
	}
	return nil
}

// provider returns nil if no provider is configured.
func (o *OIDC) provider() *identity.OIDC {
	if o.Issuer == "" {
		return nil
	}
	return &identity.OIDC{
		Issuer: o.Issuer, ClientID: o.Client, ClientSecret: o.Secret, Name: o.Name, Scopes: o.Scopes,
		RolesClaim: o.Roles, OperatorRole: o.Operator, TenantClaim: o.Tenant, UserClaim: o.User,
		ACR: o.ACR, AMR: o.AMR,
	}
}
