package vault

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/perennial-pki/perennial/internal/keys/issuer"
	"github.com/perennial-pki/perennial/internal/keys/issuer/foreign"
	"github.com/perennial-pki/perennial/internal/keys/secret"
)

// The methods of signing in.
const (
	methodToken      = "token"
	methodAppRole    = "approle"
	methodKubernetes = "kubernetes"
	methodCert       = "cert"
)

// serviceAccount is the file of a pod's token in Kubernetes.
const serviceAccount = "/var/run/secrets/kubernetes.io/serviceaccount/token"

// Auth are the credentials.
type Auth struct {
	Method   string     `yaml:"method"`    // token, approle, kubernetes or cert
	Mount    string     `yaml:"mount"`     // of the auth method; empty: the name of the method
	Token    secret.Ref `yaml:"token"`     // of the method token
	RoleID   string     `yaml:"role_id"`   // of the method approle
	SecretID secret.Ref `yaml:"secret_id"` // of the method approle
	Role     string     `yaml:"role"`      // of the methods kubernetes and cert
	JWT      secret.Ref `yaml:"jwt"`       // of the method kubernetes; empty: the pod's service account
}

// check validates the credentials and the settings that belong to their method.
func (a Auth) check(t foreign.TLS) error {
	if a.Mount != "" && !mountPath.MatchString(a.Mount) {
		return fmt.Errorf("invalid mount %q", a.Mount)
	}
	missing := ""
	switch a.Method {
	case methodToken:
		if a.Token.IsZero() {
			missing = "token"
		}
	case methodAppRole:
		if a.RoleID == "" || a.SecretID.IsZero() {
			missing = "role_id and secret_id"
		}
	case methodKubernetes:
		if a.Role == "" {
			missing = "role"
		}
	case methodCert:
		if t.Certificate == "" {
			return errors.New("the method cert signs in with the client certificate: set certificate and key of tls")
		}
	default:
		return fmt.Errorf("unknown method %q: use token, approle, kubernetes or cert", a.Method)
	}
	if missing != "" {
		return fmt.Errorf("the method %s needs %s", a.Method, missing)
	}
	return nil
}

// request returns the body that signs in.
func (a Auth) request() (map[string]any, error) {
	switch a.Method {
	case methodAppRole:
		id, err := a.SecretID.Read()
		return map[string]any{"role_id": a.RoleID, "secret_id": id.Reveal()}, err
	case methodKubernetes:
		ref := a.JWT
		if ref.IsZero() {
			ref = secret.File(serviceAccount)
		}
		jwt, err := ref.Read()
		return map[string]any{"role": a.Role, "jwt": jwt.Reveal()}, err
	}
	body := map[string]any{}
	if a.Role != "" {
		body["name"] = a.Role
	}
	return body, nil
}

// A login holds the token of a Vault.
type login struct {
	mu      sync.Mutex // guards what follows, and lets one request sign in at a time
	current string
	until   time.Time // zero: until it is refused
}

// token returns a token. fresh reports that it was obtained for this call.
func (l *login) token(ctx context.Context, i *Issuer, at time.Time, doing string) (token string, fresh bool,
	err error) {
	if i.config.Auth.Method == methodToken {
		value, err := i.config.Auth.Token.Read()
		if err != nil {
			return "", false, fmt.Errorf("%s: %w", doing, err)
		}
		return value.Reveal(), true, nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.current != "" && (l.until.IsZero() || at.Before(l.until)) {
		return l.current, false, nil
	}
	doing += ": sign in"
	body, err := i.config.Auth.request()
	if err != nil {
		return "", false, fmt.Errorf("%s: %w", doing, err)
	}
	operation := "auth/" + cmp.Or(i.config.Auth.Mount, i.config.Auth.Method) + "/login"
	sent, err := i.post(ctx, operation, "", body, at, doing)
	if err != nil {
		return "", false, err
	}
	answer, err := open(sent, doing)
	if fault, _ := issuer.FaultOf(err); fault == issuer.Rejected { // Vault answers 400 to a wrong role_id or secret_id
		refused := (*issuer.Error)(nil)
		errors.As(err, &refused)
		refused.Fault = issuer.Denied
	}
	if err != nil {
		return "", false, err
	}
	if answer.Auth == nil || answer.Auth.Token == "" {
		return "", false, issuer.Failed(issuer.Broken, "%s: the answer of the CA has no token", doing)
	}
	l.current, l.until = answer.Auth.Token, time.Time{}
	if answer.Auth.Lease > 0 {
		l.until = at.Add(time.Duration(answer.Auth.Lease) * time.Second * 2 / 3)
	}
	return l.current, true, nil
}

// forget drops a token that was refused.
func (l *login) forget(token string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.current == token {
		l.current = ""
	}
}
