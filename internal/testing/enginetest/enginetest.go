// Package enginetest gives tests a real engine on a new database, with its own local CA and key file.
package enginetest

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"github.com/perennial-pki/perennial/internal/engine/lifecycle"
	"github.com/perennial-pki/perennial/internal/engine/links"
	"github.com/perennial-pki/perennial/internal/engine/store"
	"github.com/perennial-pki/perennial/internal/keys/issuer"
	"github.com/perennial-pki/perennial/internal/keys/issuer/local"
	"github.com/perennial-pki/perennial/internal/keys/keyring"
	"github.com/perennial-pki/perennial/internal/testing/storetest"
	"github.com/perennial-pki/perennial/internal/testing/tenanttest"
	"github.com/perennial-pki/perennial/internal/testing/testenv"
	"github.com/perennial-pki/perennial/policy"
	"github.com/perennial-pki/perennial/tenancy"
)

// An Installation is an engine with its dependencies.
type Installation struct {
	*lifecycle.Engine
	Store   *store.Store
	Keys    lifecycle.Keys
	Seal    *keyring.Keyring
	Log     *slog.Logger
	LinkKey links.Key
}

// An Option changes the configuration of an engine before it is created. The store and the other required dependencies
// are already set.
type Option func(*lifecycle.Config)

// New returns an engine under the default policy, as if installed at now. Without an option that sets its Outbox, mails
// wait.
func New(t testing.TB, url string, now time.Time, options ...Option) (*Installation, *local.CA) {
	t.Helper()
	return Open(t, url, filepath.Join(t.TempDir(), "key"), now, options...)
}

// NewPublishing is New with a CA whose certificates name revocation lists below an address.
func NewPublishing(t testing.TB, url, crlURL string, now time.Time, options ...Option) (*Installation, *local.CA) {
	t.Helper()
	return open(t, url, filepath.Join(t.TempDir(), "key"), crlURL, now, options...)
}

// Open is New with a key file that may exist already, as the database may.
func Open(t testing.TB, url, keyFile string, now time.Time, options ...Option) (*Installation, *local.CA) {
	t.Helper()
	return open(t, url, keyFile, "", now, options...)
}

func open(t testing.TB, url, keyFile, crlURL string, now time.Time, options ...Option) (*Installation, *local.CA) {
	t.Helper()
	s := storetest.Open(t, url)
	seal, err := keyring.Open(t.Context(), keyFile, nil)
	if errors.Is(err, keyring.ErrNoKeyFile) {
		seal, err = keyring.Create(keyFile, nil)
	}
	testenv.Check(t, err)
	p, err := policy.Preset(policy.Default)
	testenv.Check(t, err)
	ca, err := local.Open(t.Context(), local.Config{TrustDomain: "p.example.com", Organization: "P",
		LongestValidity: p.Validity, CRLURL: crlURL}, s, seal, now)
	testenv.Check(t, err)
	config := lifecycle.Config{Store: s, Issuer: issuer.Checked(ca), Keys: keyring.NewPool(1), Seal: seal, Policy: p,
		MailDomain: "p.example.com", Log: slog.New(slog.DiscardHandler)}
	config.LinkKey, err = links.Open(t.Context(), s, seal)
	testenv.Check(t, err)
	for _, option := range options {
		option(&config)
	}
	engine, err := lifecycle.New(config)
	testenv.Check(t, err)
	return &Installation{engine, s, config.Keys, seal, config.Log, config.LinkKey}, ca
}

// Tenant creates a tenant, with its first certificates.
func (i *Installation) Tenant(t testing.TB, name string, now time.Time) tenancy.Tenant {
	t.Helper()
	created, err := i.CreateTenant(t.Context(), tenanttest.Tenant(name), "test", now)
	testenv.Check(t, err)
	return created
}

// Arrangement completes an arrangement as [tenanttest.Arrangement] does, and stores it.
func (i *Installation) Arrangement(t testing.TB, a tenancy.Arrangement) tenancy.Arrangement {
	t.Helper()
	testenv.Check(t, i.Store.InTx(t.Context(), func(tx *store.Tx) (err error) {
		a, err = tenanttest.Arrangement(t.Context(), tx, a)
		return err
	}))
	return a
}

// Generation returns a generation of a tenant's certificate.
func (i *Installation) Generation(t testing.TB, tenantID string, generation int) *x509.Certificate {
	t.Helper()
	c, err := i.Store.Certificate(t.Context(), tenantID, tenancy.ForTenant, generation)
	testenv.Check(t, err)
	parsed, err := x509.ParseCertificate(c.DER)
	testenv.Check(t, err)
	return parsed
}

// ServerCertificate returns a certificate of the CA for a receiver on 127.0.0.1.
func ServerCertificate(t testing.TB, ca *local.CA) tls.Certificate {
	t.Helper()
	kept, err := ca.NewServerCertificate("127.0.0.1", time.Now)
	testenv.Check(t, err)
	certificate, err := kept.Get(nil)
	testenv.Check(t, err)
	return *certificate
}

// Fill adds n tenants with one arrangement with a counterparty each. They have copies of the certificates of a tenant.
func Fill(ctx context.Context, tx *store.Tx, like tenancy.Tenant, counterpartyID string, n int, at time.Time) error {
	certs, err := tx.Certificates(ctx, like.ID, "", 100)
	if err != nil {
		return err
	}
	var rows store.Rows
	for i := range n {
		id := fmt.Sprintf("t%05d", i)
		rows.Tenants = append(rows.Tenants, tenancy.Tenant{ID: id, Name: id, DisplayName: id, KeyType: tenancy.P256,
			CreatedAt: at, Version: 1})
		for _, c := range certs {
			c.ID, c.TenantID = fmt.Sprint(id, c.Purpose, c.Generation), id
			rows.Certificates = append(rows.Certificates, store.SealedCertificate{Certificate: c})
		}
		rows.Receivers = append(rows.Receivers, tenancy.Receiver{ID: id, TenantID: id, Name: id, DisplayName: id,
			CounterpartyID: counterpartyID, CreatedAt: at, Version: 1})
		rows.Arrangements = append(rows.Arrangements, tenancy.Arrangement{ID: id, TenantID: id, ReceiverID: id, Name: id,
			Endpoint: "https://bank.example/", Authentication: tenancy.ClientCertificate, Strategy: tenancy.Adaptive,
			Generation: 1, CreatedAt: at, Version: 1})
	}
	return tx.Create(ctx, rows)
}
