package stepca

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/perennial-pki/perennial/internal/keys/issuer"
	"github.com/perennial-pki/perennial/internal/keys/issuer/foreign"
)

// A signer reads the key of a provisioner, which may have been replaced since it was read before.
type signer interface {
	identity(ctx context.Context, r renewer) (identity, error)
}

// An identity is the key of a provisioner that signs a token.
type identity struct {
	key      jose.SigningKey
	header   map[jose.HeaderKey]any
	fragment string // of the audience
	from, to time.Time
}

// notBefore and notAfter limit the validity of a certificate to that of the provisioner's own.
func (s identity) notBefore(t time.Time) time.Time {
	if t.Before(s.from) {
		t = s.from
	}
	return t.UTC().Truncate(time.Second)
}

func (s identity) notAfter(t time.Time) time.Time {
	if !s.to.IsZero() && t.After(s.to) {
		t = s.to
	}
	return t.UTC()
}

// token returns a signed token for one request.
func (s identity) token(provisioner, audience string, at time.Time, claims map[string]any) (string, error) {
	options := (&jose.SignerOptions{}).WithType("JWT")
	for name, value := range s.header {
		options.WithHeader(name, value)
	}
	signer, err := jose.NewSigner(s.key, options)
	if err != nil {
		return "", errors.New("the key of the provisioner cannot sign a token") // the library's error could quote it
	}
	if s.fragment != "" {
		audience += "#" + s.fragment
	}
	for name, value := range map[string]any{"iss": provisioner, "aud": audience, "jti": newID(), "iat": at.Unix(),
		"nbf": at.Add(-backdate).Unix(), "exp": at.Add(tokenLifetime).Unix()} {
		claims[name] = value
	}
	return jwt.Signed(signer).Claims(claims).Serialize()
}

// A jwkSigner signs with the key of a JWK provisioner.
type jwkSigner struct {
	config Config

	mu     sync.Mutex // guards what follows
	sealed [sha256.Size]byte
	opened string // what was sealed
}

// open decrypts a key. The same text with the same password is decrypted once, because the key derivation is slow by
// design: for each certificate, it would take longer than the CA takes to sign.
func (s *jwkSigner) open(text string, jwe *jose.JSONWebEncryption) (string, error) {
	password, err := s.config.Password.Read()
	if err != nil {
		return "", fmt.Errorf("the key %s is encrypted: %w", s.config.Key, err)
	}
	sealed := sha256.Sum256(fmt.Appendf(nil, "%d %s%s", len(text), text, password.Reveal()))
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.opened == "" || s.sealed != sealed {
		opened, err := jwe.Decrypt([]byte(password.Reveal()))
		if err != nil {
			return "", fmt.Errorf("the key %s cannot be opened with the password %s", s.config.Key, s.config.Password)
		}
		s.sealed, s.opened = sealed, string(opened)
	}
	return s.opened, nil
}

func (s *jwkSigner) identity(context.Context, renewer) (id identity, err error) {
	data, err := s.config.Key.Read()
	if err != nil {
		return id, err
	}
	text := data.Reveal()
	parse := jose.ParseEncryptedCompact // the form in a provisioner of step-ca
	if strings.HasPrefix(strings.TrimSpace(text), "{") {
		parse = jose.ParseEncryptedJSON // the form of "step crypto jwk create"
	}
	if jwe, err := parse(text, []jose.KeyAlgorithm{jose.PBES2_HS256_A128KW, jose.PBES2_HS512_A256KW},
		[]jose.ContentEncryption{jose.A128GCM, jose.A256GCM, jose.A128CBC_HS256, jose.A256CBC_HS512}); err == nil {
		if text, err = s.open(text, jwe); err != nil {
			return id, err
		}
	}
	var key jose.JSONWebKey
	if json.Unmarshal([]byte(text), &key) != nil || key.IsPublic() || !key.Valid() {
		return id, fmt.Errorf("the key %s is not a private JWK: use the output of \"step crypto jwk create\", or set "+
			"certificate for an X5C provisioner", s.config.Key)
	}
	algorithm := jose.SignatureAlgorithm(key.Algorithm)
	if algorithm == "" {
		private, _ := key.Key.(crypto.Signer)
		if algorithm, err = algorithmOf(private); err != nil {
			return id, err
		}
	}
	if key.KeyID == "" {
		return id, fmt.Errorf("the key %s has no kid: use the JWK whose kid the provisioner has", s.config.Key)
	}
	id.key = jose.SigningKey{Algorithm: algorithm, Key: key}
	return id, nil
}

func algorithmOf(key crypto.Signer) (jose.SignatureAlgorithm, error) {
	switch k := key.(type) {
	case *ecdsa.PrivateKey:
		return map[int]jose.SignatureAlgorithm{256: jose.ES256, 384: jose.ES384, 521: jose.ES512}[k.Params().BitSize], nil
	case *rsa.PrivateKey:
		return jose.RS256, nil
	case ed25519.PrivateKey:
		return jose.EdDSA, nil
	}
	return "", errors.New("the key of the provisioner is of a type that cannot sign a token")
}

// An x5cSigner signs with the key of a certificate, and renews the certificate.
type x5cSigner struct {
	config Config
	mu     sync.Mutex // one renewal at a time
}

func (s *x5cSigner) identity(ctx context.Context, r renewer) (id identity, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	own, err := foreign.Pair(s.config.Certificate, s.config.Key)
	if err != nil {
		return id, err
	}
	if !r.at.Before(own.Leaf.NotAfter) {
		return id, issuer.Failed(issuer.Denied, "the certificate %s of the provisioner expired at %s", s.config.Certificate,
			own.Leaf.NotAfter.UTC().Format(time.RFC3339))
	}
	if r.at.After(own.Leaf.NotAfter.Add(-own.Leaf.NotAfter.Sub(own.Leaf.NotBefore) / 3)) {
		renewed, err := r.renew(ctx, own)
		if err == nil {
			own = renewed
		} else { // it is still valid, and the next request tries again
			r.log.WarnContext(ctx, "the certificate of the step-ca provisioner cannot be renewed", "certificate",
				s.config.Certificate, "expires", own.Leaf.NotAfter, "error", err)
		}
	}
	private, _ := own.PrivateKey.(crypto.Signer)
	algorithm, err := algorithmOf(private)
	if err != nil {
		return id, err
	}
	return identity{key: jose.SigningKey{Algorithm: algorithm, Key: private},
		header:   map[jose.HeaderKey]any{"x5c": x5c(own.Certificate)},
		fragment: "x5c/" + s.config.Provisioner,
		from:     own.Leaf.NotBefore, to: own.Leaf.NotAfter}, nil
}

// A renewer renews the certificate of a provisioner.
type renewer struct {
	roots  *foreign.Roots
	config Config
	log    *slog.Logger
	at     time.Time
}

// renew renews a certificate over mutual TLS with itself, and replaces its file.
func (r renewer) renew(ctx context.Context, own *tls.Certificate) (*tls.Certificate, error) {
	client, err := foreign.NewClient(r.config.URL, tlsConfig(r.roots, own), r.config.Timeout)
	if err != nil {
		return nil, err
	}
	defer client.HTTP().CloseIdleConnections()
	answer, err := post(ctx, client, "1.0/renew", struct{}{}, r.at, "renew the certificate of the provisioner")
	if err != nil {
		return nil, err
	}
	private, _ := own.PrivateKey.(crypto.Signer)
	issued, err := certificates(answer, private.Public(), r.at)
	if err != nil {
		return nil, err
	}
	var text strings.Builder
	for _, der := range append([][]byte{issued.DER}, issued.Chain...) {
		text.WriteString(foreign.CertificatePEM(der))
	}
	if err := replace(r.config.Certificate, []byte(text.String())); err != nil {
		return nil, err
	}
	return foreign.Pair(r.config.Certificate, r.config.Key)
}

// replace writes a file that is either old or new for every reader.
func replace(path string, data []byte) error {
	next, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	defer os.Remove(next.Name())
	_, err = next.Write(data)
	err = errors.Join(err, next.Chmod(0o644), next.Sync(), next.Close())
	if err != nil {
		return err
	}
	return os.Rename(next.Name(), path)
}
