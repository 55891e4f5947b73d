package sample

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"log/slog"
	"math/big"
	"time"

	"github.com/perennial-pki/perennial/internal/engine/watching"
	"github.com/perennial-pki/perennial/policy"
	"github.com/perennial-pki/perennial/tenancy"
)

// watched lets acme watch two certificates of partners: one that was renewed a week ago, and one that is overdue.
func (f *fleet) watched(ctx context.Context) error {
	acme, err := f.store.Tenant(ctx, "acme")
	if err != nil {
		return err
	}
	w := watching.New(f.store, f.engine, slog.New(slog.DiscardHandler))
	begin := f.now.Add(-300 * policy.Day)
	ca, err := newPartnerCA(begin)
	if err != nil {
		return err
	}
	for _, v := range []struct {
		name, owner string
		renewed     bool
	}{{"acme-c4c", "SAP", true}, {"bank-statements", "House Bank", false}} {
		old, err := ca.issue(v.name, begin)
		if err != nil {
			return err
		}
		watched, err := w.Add(ctx, acme, tenancy.Watched{Name: v.name, Owner: v.owner, Window: "93d",
			Systems: []tenancy.WatchedSystem{
				{Name: "erp", IdentifiesBy: []tenancy.Identifier{tenancy.ByCertificate}},
				{Name: "portal", IdentifiesBy: []tenancy.Identifier{tenancy.BySubjectIssuer}}, {Name: "archive"},
			}}, [][]byte{old}, "sample", begin.Add(policy.Day))
		if err != nil {
			return err
		}
		if !v.renewed {
			if err := w.Advance(ctx, acme, watched, f.now); err != nil {
				return err
			}
			continue
		}
		week := f.now.Add(-7 * policy.Day)
		next, err := ca.issue(v.name, week)
		if err != nil {
			return err
		}
		if _, err := w.Seen(ctx, acme, v.name, [][]byte{next}, watching.Witness{By: "sample"}, week); err != nil {
			return err
		}
	}
	return nil
}

// A partnerCA issues the certificates of partners.
type partnerCA struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
}

func newPartnerCA(begin time.Time) (ca partnerCA, err error) {
	if ca.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		return ca, err
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Partner CA"},
		NotBefore: begin, NotAfter: begin.AddDate(10, 0, 0), IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign}
	der, err := x509.CreateCertificate(rand.Reader, template, template, ca.key.Public(), ca.key)
	if err != nil {
		return ca, err
	}
	ca.certificate, err = x509.ParseCertificate(der)
	return ca, err
}

// issue returns a client certificate of 310 days, which are over soon after the sample begins.
func (ca partnerCA) issue(name string, begin time.Time) ([]byte, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	return x509.CreateCertificate(rand.Reader, &x509.Certificate{SerialNumber: big.NewInt(begin.UnixNano()),
		Subject: pkix.Name{CommonName: name}, NotBefore: begin, NotAfter: begin.Add(310 * policy.Day),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}, ca.certificate, key.Public(), ca.key)
}
