// Package local is an issuer of its own: a root, and issuing CAs below it, kept sealed in the database.
//
// It promises certificates that follow RFC 5280 and serve client authentication only, that no certificate outlives the
// CA that signed it, and that the issuing CA is replaced early enough for that: its successor is made a year ahead,
// announced, and signs only from its date on. It is below the same root, so that a receiver which trusts the root
// notices nothing, until the root itself comes to its end: then a new one is made with it. The issuing CAs are
// constrained to the installation's trust domain (RFC 5280, section 4.2.1.10): stolen, their key cannot make a
// certificate for a web site.
package local

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/url"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/perennial-pki/perennial/internal/keys/issuer"
	"github.com/perennial-pki/perennial/internal/keys/keyring"
	"github.com/perennial-pki/perennial/tenancy"
)

const (
	day = 24 * time.Hour

	// A root lasts: replacing it means that every receiver must trust a new one.
	rootLifetime = 25 * 365 * day
	// An issuing CA is replaced below the same root, unless less than half of its lifetime is left of that one.
	issuingLifetime = 10 * 365 * day

	// The successor of an issuing CA is announced announcedFor before a certificate could outlive it, and signs from
	// signsBefore before that on, or as soon as every receiver is known to trust it.
	announcedFor, signsBefore = 365 * day, 90 * day
	// Notice is how long a successor is announced where a person asks for it.
	Notice = 93 * day

	// Backdate is how long before its issuance a certificate's validity begins, so that receivers whose clock is a little
	// slow accept it at once.
	Backdate = 5 * time.Minute

	// crlValidity is how long a CRL may be used; a new one is made at every request.
	crlValidity = 7 * day
)

// Config is what the CA puts into certificates.
type Config struct {
	// TrustDomain names the installation in SAN URIs: spiffe://<trust domain>/tenant/<tenant>.
	TrustDomain string
	// Organization is the O of every subject.
	Organization string
	// CRLURL is where the CRL can be fetched; empty: certificates name no CRL.
	CRLURL string
	// LongestValidity is the longest validity that will be asked for; it decides when issuing CAs are replaced.
	LongestValidity time.Duration
}

// Storage keeps authorities.
type Storage interface {
	Authorities(ctx context.Context) ([]tenancy.Authority, error)
	AddAuthority(ctx context.Context, a tenancy.Authority) error
}

// A CA issues certificates. It is safe for concurrent use.
type CA struct {
	config  Config
	storage Storage
	keys    *keyring.Keyring

	mu      sync.RWMutex
	roots   []*authority
	issuing []*authority // by SignsFrom
}

type authority struct {
	tenancy.Authority
	cert *x509.Certificate
	key  crypto.Signer
	root *authority // above an issuing CA
}

// Open reads the authorities from storage and makes those that are missing or must be replaced at now.
func Open(ctx context.Context, config Config, storage Storage, keys *keyring.Keyring, now time.Time) (*CA, error) {
	ca := &CA{config: config, storage: storage, keys: keys}
	return ca, ca.Refresh(ctx, now)
}

// reload reads those authorities that are not known yet: other replicas make some too.
func (ca *CA) reload(ctx context.Context) error {
	stored, err := ca.storage.Authorities(ctx)
	if err != nil {
		return fmt.Errorf("read the local CA: %w", err)
	}
	for _, a := range stored {
		known := len(ca.issuing)
		if a.Kind == tenancy.RootAuthority {
			known = len(ca.roots)
		}
		if a.Position <= known {
			if a.Kind == tenancy.IssuingAuthority {
				ca.issuing[a.Position-1].SignsFrom = a.SignsFrom
			}
			continue
		}
		if err := ca.load(a); err != nil {
			return fmt.Errorf("local CA %s: %w", a.ID, err)
		}
	}
	return nil
}

func (ca *CA) load(a tenancy.Authority) error {
	cert, err := x509.ParseCertificate(a.DER)
	if err != nil {
		return err
	}
	key, err := ca.keys.OpenKey(a.SealedKey, a.SealContext())
	if err != nil {
		return err
	}
	loaded := &authority{Authority: a, cert: cert, key: key}
	if a.Kind == tenancy.RootAuthority {
		ca.roots = append(ca.roots, loaded)
		return nil
	}
	for _, root := range ca.roots {
		if root.ID == a.ParentID {
			loaded.root = root
		}
	}
	if loaded.root == nil {
		return fmt.Errorf("its root %s is missing", a.ParentID)
	}
	ca.issuing = append(ca.issuing, loaded)
	return nil
}

// add makes and stores the next authority of its kind. Where another replica was faster, its authority is taken.
func (ca *CA) add(ctx context.Context, kind tenancy.AuthorityKind, parent *authority, now, from time.Time) error {
	made, err := ca.make(kind, parent, now)
	if err != nil {
		return fmt.Errorf("make a CA (%s): %w", kind, err)
	}
	made.SignsFrom = from
	err = ca.storage.AddAuthority(ctx, made)
	if err != nil && !errors.Is(err, tenancy.ErrConflict) {
		return fmt.Errorf("store a CA (%s): %w", kind, err)
	}
	return ca.reload(ctx)
}

func (ca *CA) make(kind tenancy.AuthorityKind, parent *authority, now time.Time) (none tenancy.Authority, err error) {
	keyType, lifetime, name, position := tenancy.P256, issuingLifetime, "issuing CA", len(ca.issuing)+1
	if parent == nil {
		keyType, lifetime, name, position = tenancy.P384, rootLifetime, "root CA", len(ca.roots)+1
	}
	key, err := keyring.Generate(keyType)
	if err != nil {
		return none, err
	}
	serial, err := newSerial()
	if err != nil {
		return none, err
	}
	template := &x509.Certificate{
		SerialNumber: serial,
		Subject: pkix.Name{
			Organization: []string{ca.config.Organization},
			// Numbered: two authorities of one name could not be told apart by a receiver that maps the issuer.
			CommonName: fmt.Sprintf("%s %s G%d", ca.config.Organization, name, position),
		},
		NotBefore:             now.Add(-Backdate).Truncate(time.Second),
		BasicConstraintsValid: true,
		IsCA:                  true,
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	template.NotAfter = template.NotBefore.Add(lifetime)
	signer, issuerCert, parentID := key, template, ""
	if parent != nil {
		signer, issuerCert, parentID = parent.key, parent.cert, parent.ID
		if template.NotAfter.After(parent.cert.NotAfter) {
			template.NotAfter = parent.cert.NotAfter
		}
		template.MaxPathLenZero = true
		template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
		template.PermittedDNSDomainsCritical = true // the flag is for the whole extension
		template.PermittedURIDomains = []string{ca.config.TrustDomain}
		template.PermittedEmailAddresses = []string{ca.config.TrustDomain}
		template.PermittedDNSDomains = []string{ca.config.TrustDomain}
		template.ExcludedIPRanges = []*net.IPNet{{IP: net.IPv4zero.To4(), Mask: net.CIDRMask(0, 32)},
			{IP: net.IPv6zero, Mask: net.CIDRMask(0, 128)}}
	} else {
		template.MaxPathLen = 1
	}
	der, err := x509.CreateCertificate(rand.Reader, template, issuerCert, key.Public(), signer)
	if err != nil {
		return none, err
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return none, err
	}
	id, err := uuid.NewV7()
	if err != nil {
		return none, err
	}
	made := tenancy.Authority{ID: id.String(), Kind: kind, Position: position, ParentID: parentID, DER: der,
		NotBefore: cert.NotBefore, NotAfter: cert.NotAfter}
	made.SealedKey, err = ca.keys.SealKey(key, made.SealContext())
	return made, err
}

// newSerial is 128 bits from the system's random source.
func newSerial() (*big.Int, error) {
	b := make([]byte, 16)
	if _, err := rand.Read(b); err != nil {
		return nil, err
	}
	b[0] |= 0x40 // never short, so that every serial number has the same form
	return new(big.Int).SetBytes(b), nil
}

// subjectKeyID is the leftmost 160 bits of the SHA-256 of the public key (RFC 7093, section 2, method 1).
func subjectKeyID(key crypto.PublicKey) ([]byte, error) {
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		return nil, err
	}
	var info struct {
		Algorithm pkix.AlgorithmIdentifier
		Key       asn1.BitString
	}
	if _, err := asn1.Unmarshal(der, &info); err != nil {
		return nil, err
	}
	sum := sha256.Sum256(info.Key.Bytes)
	return sum[:20], nil
}

// subject names the tenant, the same in every generation: receivers that map it keep working.
func (ca *CA) subject(r issuer.Request) pkix.Name {
	name := pkix.Name{Organization: []string{ca.config.Organization}, OrganizationalUnit: []string{"Tenants"},
		CommonName: r.Tenant}
	if r.Purpose == tenancy.ForMUser {
		name.OrganizationalUnit = []string{"M-users"}
	}
	return name
}

// Issue signs a certificate.
func (ca *CA) Issue(_ context.Context, r issuer.Request) (issuer.Issued, error) {
	notBefore := r.At.Add(-Backdate).UTC().Truncate(time.Second)
	notAfter := notBefore.Add(r.Validity)
	signer, err := ca.signerOf(r, notAfter)
	if err != nil {
		return issuer.Issued{}, err
	}
	serial, err := newSerial()
	if err != nil {
		return issuer.Issued{}, err
	}
	keyID, err := subjectKeyID(r.Key.Public())
	if err != nil {
		return issuer.Issued{}, err
	}
	template := &x509.Certificate{
		SerialNumber:          serial,
		Subject:               ca.subject(r),
		NotBefore:             notBefore,
		NotAfter:              notAfter,
		BasicConstraintsValid: true,
		SubjectKeyId:          keyID,
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
		URIs: []*url.URL{{Scheme: "spiffe", Host: ca.config.TrustDomain,
			Path: issuer.Path(r.Tenant, r.Purpose)}},
	}
	if ca.config.CRLURL != "" {
		template.CRLDistributionPoints = []string{ca.config.CRLURL + "/" + signer.ID + ".crl"}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, signer.cert, r.Key.Public(), signer.key)
	if err != nil {
		return issuer.Issued{}, fmt.Errorf("sign a certificate for %s: %w", r.Tenant, err)
	}
	return issuer.Issued{
		DER: der, Chain: [][]byte{signer.DER}, Serial: hex.EncodeToString(serial.Bytes()), Subject: template.Subject.String(),
		NotBefore: template.NotBefore, NotAfter: template.NotAfter, IssuerID: signer.ID,
	}, nil
}

// CRL is the certificate revocation list (DER) of one issuing CA; [tenancy.ErrNotFound] where there is none with this
// ID.
func (ca *CA) CRL(id string, revoked []tenancy.Certificate, now time.Time) ([]byte, error) {
	ca.mu.RLock()
	defer ca.mu.RUnlock()
	for _, a := range ca.issuing {
		if a.ID != id {
			continue
		}
		list := &x509.RevocationList{Number: big.NewInt(now.UnixMicro()), ThisUpdate: now.UTC().Truncate(time.Second),
			NextUpdate: now.Add(crlValidity).UTC().Truncate(time.Second)}
		for _, c := range revoked {
			serial, ok := new(big.Int).SetString(c.Serial, 16)
			if !ok {
				return nil, fmt.Errorf("certificate %s has no serial number", c.ID)
			}
			entry := x509.RevocationListEntry{SerialNumber: serial, RevocationTime: c.RevokedAt.UTC().Truncate(time.Second)}
			if c.RevokedFor == "compromised" {
				entry.ReasonCode = 1 // keyCompromise, RFC 5280 section 5.3.1
			}
			list.RevokedCertificateEntries = append(list.RevokedCertificateEntries, entry)
		}
		return x509.CreateRevocationList(rand.Reader, list, a.cert, a.key)
	}
	return nil, tenancy.Errorf(tenancy.ErrNotFound, "there is no issuing CA %s", id)
}

// Bundle is what a receiver must trust, as PEM: the roots, and the issuing CAs for receivers that want the whole chain,
// those that are announced among them.
func (ca *CA) Bundle() []byte {
	ca.mu.RLock()
	defer ca.mu.RUnlock()
	var out []byte
	for _, list := range [][]*authority{ca.roots, ca.issuing} {
		for _, a := range list {
			out = append(out, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.DER})...)
		}
	}
	return out
}

// Check says what is wrong with the configuration, or nil.
func (c Config) Check() error {
	if c.TrustDomain == "" || len(c.TrustDomain) > 255 {
		return errors.New("the trust domain must be a host name such as perennial.example.com")
	}
	if u, err := url.Parse("spiffe://" + c.TrustDomain + "/"); err != nil || u.Host != c.TrustDomain || u.Port() != "" {
		return fmt.Errorf("trust domain %q: write a host name such as perennial.example.com", c.TrustDomain)
	}
	return tenancy.CheckText("organization", c.Organization)
}
