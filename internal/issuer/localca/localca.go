// Package localca is an issuer of its own: a root, and issuing CAs below it, kept sealed in the database.
//
// It promises certificates that follow RFC 5280 and serve client authentication only, that no certificate outlives the CA
// that signed it, and that the issuing CA is replaced early enough for that: its successor is made a year ahead, announced, and
// signs only from its date on. It is below the same root, so that a receiver which trusts the root notices nothing, until the
// root itself comes to its end: then a new one is made with it. The issuing CAs are constrained to the installation's trust domain (RFC 5280, section
// 4.2.1.10): stolen, their key cannot make a certificate for a web site.
package localca

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

	"github.com/perennial-pki/perennial/internal/issuer"
	"github.com/perennial-pki/perennial/internal/keyring"
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
	key, err := ca.keys.OpenKey(a.SealedKey, SealContext(a.ID))
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

// SealContext is what an authority's key is sealed for.
func SealContext(id string) string { return "authority/" + id }

// Refresh reads what other replicas made, and makes the authorities that are missing or due at now: call it before every run.
func (ca *CA) Refresh(ctx context.Context, now time.Time) error {
	ca.mu.Lock()
	defer ca.mu.Unlock()
	if err := ca.reload(ctx); err != nil {
		return err
	}
	if len(ca.roots) == 0 {
		if err := ca.add(ctx, tenancy.RootAuthority, nil, now, time.Time{}); err != nil {
			return err
		}
	}
	if len(ca.issuing) == 0 {
		return ca.add(ctx, tenancy.IssuingAuthority, ca.roots[len(ca.roots)-1], now, time.Time{})
	}
	last := ca.issuing[len(ca.issuing)-1]
	if last.SignsFrom.After(now) || now.Before(ca.announceAt(last)) {
		return nil
	}
	from := ca.lastMoment(last).Add(-signsBefore)
	if soonest := now.Add(Notice); from.Before(soonest) { // it was down in the meantime, or certificates live longer now
		from = soonest
	}
	return ca.announce(ctx, now, from, last.root.cert.NotAfter.Before(now.Add(issuingLifetime/2)))
}

// Announce makes the successor of the issuing CA now, which signs from an instant on (zero: after [Notice]), below a new root
// where one is wanted. [tenancy.ErrRefused] while one is announced.
func (ca *CA) Announce(ctx context.Context, now, from time.Time, newRoot bool) (tenancy.Authority, error) {
	ca.mu.Lock()
	defer ca.mu.Unlock()
	if err := ca.reload(ctx); err != nil {
		return tenancy.Authority{}, err
	}
	if last := ca.issuing[len(ca.issuing)-1]; last.SignsFrom.After(now) {
		return last.Authority, tenancy.Errorf(tenancy.ErrRefused, "the issuing CA %s is announced already and signs from %s on", last.ID, last.SignsFrom.Format("2006-01-02 15:04 MST"))
	}
	switch {
	case from.IsZero():
		from = now.Add(Notice)
	case from.Before(now):
		return tenancy.Authority{}, tenancy.Invalid("signs_from", "is in the past")
	}
	err := ca.announce(ctx, now, from, newRoot)
	return ca.issuing[len(ca.issuing)-1].Authority, err
}

// announce makes the next issuing CA. It signs before a certificate could outlive the one that signs now, whatever was asked.
func (ca *CA) announce(ctx context.Context, now, from time.Time, newRoot bool) error {
	if newRoot {
		if err := ca.add(ctx, tenancy.RootAuthority, nil, now, time.Time{}); err != nil {
			return err
		}
	}
	if last := ca.lastMoment(ca.issuing[len(ca.issuing)-1]); last.Before(from) {
		from = last
	}
	if from.Before(now) {
		from = now
	}
	return ca.add(ctx, tenancy.IssuingAuthority, ca.roots[len(ca.roots)-1], now, from.UTC().Truncate(time.Microsecond))
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

// lastMoment is when an issuing CA can sign a certificate of the longest validity for the last time.
func (ca *CA) lastMoment(a *authority) time.Time {
	return a.cert.NotAfter.Add(-ca.config.LongestValidity)
}

func (ca *CA) announceAt(a *authority) time.Time { return ca.lastMoment(a).Add(-announcedFor) }

// signer is the issuing CA that signs at an instant: the last one whose date has come.
func (ca *CA) signer(at time.Time) int {
	for i := len(ca.issuing) - 1; i > 0; i-- {
		if !ca.issuing[i].SignsFrom.After(at) {
			return i
		}
	}
	return 0
}

// signerOf is the issuing CA for a request: the one that is asked for, or the one that signs; where a certificate would outlive
// that one, the next.
func (ca *CA) signerOf(r issuer.Request, notAfter time.Time) (*authority, error) {
	ca.mu.RLock()
	defer ca.mu.RUnlock()
	signing := ca.signer(r.At)
	for i, a := range ca.issuing {
		switch {
		case r.Authority != "" && a.ID != r.Authority, r.Authority == "" && i < signing:
		case !notAfter.After(a.cert.NotAfter):
			return a, nil
		}
	}
	return nil, fmt.Errorf("a certificate until %s would outlive its issuing CA (until %s)", notAfter.Format(time.RFC3339), ca.issuing[signing].cert.NotAfter.Format(time.RFC3339))
}

// Signing is the issuing CA that signs at now.
func (ca *CA) Signing(now time.Time) tenancy.Authority {
	ca.mu.RLock()
	defer ca.mu.RUnlock()
	return ca.issuing[ca.signer(now)].Authority
}

// Announced is the issuing CA that was made and does not sign yet at now, if there is one.
func (ca *CA) Announced(now time.Time) (a tenancy.Authority, ok bool) {
	ca.mu.RLock()
	defer ca.mu.RUnlock()
	last := ca.issuing[len(ca.issuing)-1]
	return last.Authority, last.SignsFrom.After(now)
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
		template.ExcludedIPRanges = []*net.IPNet{{IP: net.IPv4zero.To4(), Mask: net.CIDRMask(0, 32)}, {IP: net.IPv6zero, Mask: net.CIDRMask(0, 128)}}
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
	sealed, err := ca.keys.SealKey(key, SealContext(id.String()))
	if err != nil {
		return none, err
	}
	return tenancy.Authority{
		ID: id.String(), Kind: kind, Position: position, ParentID: parentID, DER: der, SealedKey: sealed, NotBefore: cert.NotBefore, NotAfter: cert.NotAfter,
	}, nil
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
	name := pkix.Name{Organization: []string{ca.config.Organization}, OrganizationalUnit: []string{"Tenants"}, CommonName: r.Tenant}
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
	path := "/tenant/" + r.Tenant
	if r.Purpose == tenancy.ForMUser {
		path += "/m-user"
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
		URIs:                  []*url.URL{{Scheme: "spiffe", Host: ca.config.TrustDomain, Path: path}},
	}
	if ca.config.CRLURL != "" {
		template.CRLDistributionPoints = []string{ca.config.CRLURL + "/" + signer.ID + ".crl"}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, signer.cert, r.Key.Public(), signer.key)
	if err != nil {
		return issuer.Issued{}, fmt.Errorf("sign a certificate for %s: %w", r.Tenant, err)
	}
	return issuer.Issued{
		DER: der, Serial: hex.EncodeToString(serial.Bytes()), Subject: template.Subject.String(),
		NotBefore: template.NotBefore, NotAfter: template.NotAfter, IssuerID: signer.ID,
	}, nil
}

// CRL is the certificate revocation list (DER) of one issuing CA; [tenancy.ErrNotFound] where there is none with this ID.
func (ca *CA) CRL(id string, revoked []tenancy.Certificate, now time.Time) ([]byte, error) {
	ca.mu.RLock()
	defer ca.mu.RUnlock()
	for _, a := range ca.issuing {
		if a.ID != id {
			continue
		}
		list := &x509.RevocationList{Number: big.NewInt(now.UnixMicro()), ThisUpdate: now.UTC().Truncate(time.Second), NextUpdate: now.Add(crlValidity).UTC().Truncate(time.Second)}
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

// Chain is the issuing CA's certificate and those above it, as PEM, without the root.
func (ca *CA) Chain(issuerID string) []byte {
	ca.mu.RLock()
	defer ca.mu.RUnlock()
	for _, a := range ca.issuing {
		if a.ID == issuerID {
			return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.DER})
		}
	}
	return nil
}

// Bundle is what a receiver must trust, as PEM: the roots, and the issuing CAs for receivers that want the whole chain, those
// that are announced among them.
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

// A Stage is where an authority is in its life.
type Stage string

// An announced authority does not sign yet, and a replaced one does not any more.
const (
	Announced Stage = "announced"
	Signs     Stage = "signs"
	Replaced  Stage = "replaced"
)

// A Plan is one authority, and when its successor is announced.
type Plan struct {
	tenancy.Authority
	Subject    string
	Stage      Stage
	AnnounceAt time.Time // of its successor
}

// Plans lists the authorities at now, roots first.
func (ca *CA) Plans(now time.Time) []Plan {
	ca.mu.RLock()
	defer ca.mu.RUnlock()
	signing := ca.signer(now)
	stage := func(i, current int) Stage {
		switch {
		case i < current:
			return Replaced
		case i > current:
			return Announced
		}
		return Signs
	}
	var plans []Plan
	for i, a := range ca.roots {
		plans = append(plans, Plan{a.Authority, a.cert.Subject.String(), stage(i, ca.issuing[signing].root.Position-1), a.cert.NotAfter.Add(-issuingLifetime / 2)})
	}
	for i, a := range ca.issuing {
		p := Plan{a.Authority, a.cert.Subject.String(), stage(i, signing), ca.announceAt(a)}
		if i+1 < len(ca.issuing) {
			p.AnnounceAt = ca.issuing[i+1].NotBefore.Add(Backdate)
		}
		plans = append(plans, p)
	}
	return plans
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
