// Package local is a built-in certificate authority: a root with issuing CAs below it, whose keys are sealed in the
// database. An issuing CA can also be below a root whose key is elsewhere, which signs a request of this package.
//
// Its certificates follow RFC 5280 and are valid for client authentication only. No certificate outlives the CA that
// signed it, because the issuing CA is replaced in time: its successor is created and announced a year ahead, and signs
// only from its date on. The successor is below the same root, so a receiver that trusts the root is not affected. If
// the root is too old for that, a new root is created with it. The issuing CAs are constrained to the trust domain of
// the installation (RFC 5280, section 4.2.1.10), so that a stolen CA key cannot issue a certificate for a web site.
package local

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/perennial-pki/perennial/internal/keys/certfile"
	"github.com/perennial-pki/perennial/internal/keys/issuer"
	"github.com/perennial-pki/perennial/internal/keys/keyring"
	"github.com/perennial-pki/perennial/tenancy"
)

const (
	day = 24 * time.Hour

	// A root is long-lived, because every receiver must trust its replacement.
	rootLifetime = 25 * 365 * day
	// An issuing CA is replaced below the same root, unless the root expires before half of its lifetime.
	issuingLifetime = 10 * 365 * day

	// The successor of an issuing CA is announced announcedFor before a certificate could outlive the CA. It signs from
	// signsBefore before that time on, or as soon as every receiver is known to trust it.
	announcedFor, signsBefore = 365 * day, 90 * day
	// Notice is the time between the announcement and the first signature if an operator asks for a successor.
	Notice = 93 * day

	// Backdate is the time from the start of a certificate's validity to its issuance, so that receivers with a slightly
	// slow clock accept it at once.
	Backdate = 5 * time.Minute

	// crlValidity is the time for which a CRL may be used.
	crlValidity = 7 * day
)

// Config defines the content of certificates.
type Config struct {
	// TrustDomain names the installation in SAN URIs: spiffe://<trust domain>/tenant/<tenant>.
	TrustDomain string
	// Organization is the O of every subject.
	Organization string
	// CRLURL is the URL prefix of the revocation lists, with the scheme http (RFC 5280, section 8). If it is empty,
	// certificates do not name a list.
	CRLURL string
	// LongestValidity is the maximum validity of a request. It determines when issuing CAs are replaced.
	LongestValidity time.Duration
	// Signatories opens the keys of issuing CAs that are not in the database; nil for none.
	Signatories keyring.Signatories
}

// Storage stores authorities. AddAuthority returns [tenancy.ErrConflict] if the position is taken.
type Storage interface {
	Authorities(ctx context.Context) ([]tenancy.Authority, error)
	AddAuthority(ctx context.Context, a tenancy.Authority) error
	Requests
}

// Requests stores the requests for authorities that a root elsewhere signs. AddAuthorityRequest and InstallAuthority
// return [tenancy.ErrConflict] if a position is taken.
type Requests interface {
	AuthorityRequests(ctx context.Context) ([]tenancy.AuthorityRequest, error)
	AddAuthorityRequest(ctx context.Context, r tenancy.AuthorityRequest) error
	// ReplaceAuthorityRequest deletes a request and adds another one, in one transaction. It returns [tenancy.ErrStale] if
	// the request to delete does not exist.
	ReplaceAuthorityRequest(ctx context.Context, formerID string, r tenancy.AuthorityRequest) error
	// InstallAuthority stores the authorities that answer a request, and deletes the request, in one transaction.
	InstallAuthority(ctx context.Context, requestID string, all ...tenancy.Authority) error
}

// A CA issues certificates. It is safe for concurrent use.
type CA struct {
	config  Config
	storage Storage
	keys    *keyring.Keyring

	mu      sync.RWMutex // guards what follows
	roots   []*authority
	issuing []*authority // by SignsFrom
	read    time.Time    // when they were read from the storage
}

type authority struct {
	tenancy.Authority
	cert  *x509.Certificate
	above [][]byte      // DER, between an issuing CA and its root
	key   crypto.Signer // nil for a root whose key is elsewhere
	root  *authority    // above an issuing CA
}

// Open reads the authorities from storage and creates those that are missing or due at now. If the successor of an
// issuing CA cannot be made, the next [CA.Refresh] tries it again.
func Open(ctx context.Context, config Config, storage Storage, keys *keyring.Keyring, now time.Time) (*CA, error) {
	ca := &CA{config: config, storage: storage, keys: keys}
	return ca, issuer.Refreshed(ctx, ca, now)
}

// reloadAfter limits how long a CA can sign with an authority that another replica has revoked.
const reloadAfter = time.Minute

// current reads the authorities again if they were last read too long ago.
func (ca *CA) current(ctx context.Context, now time.Time) error {
	ca.mu.RLock()
	age := now.Sub(ca.read)
	ca.mu.RUnlock()
	if age.Abs() < reloadAfter {
		return nil
	}
	ca.mu.Lock()
	defer ca.mu.Unlock()
	return ca.reload(ctx, now)
}

// reload reads the authorities that other replicas created or revoked.
func (ca *CA) reload(ctx context.Context, now time.Time) error {
	ca.read = now
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
				stored := ca.issuing[a.Position-1]
				stored.SignsFrom, stored.RevokedAt, stored.RevokedFor = a.SignsFrom, a.RevokedAt, a.RevokedFor
				continue
			}
			if err := ca.follow(ca.roots[a.Position-1], a); err != nil {
				return fmt.Errorf("local CA %s: %w", a.ID, err)
			}
			continue
		}
		if err := ca.load(a); err != nil {
			return fmt.Errorf("local CA %s: %w", a.ID, err)
		}
	}
	return nil
}

// follow removes the key of a root that was taken offline from memory, and opens the key of one that was brought back.
func (ca *CA) follow(root *authority, stored tenancy.Authority) (err error) {
	var key crypto.Signer
	switch held := len(stored.SealedKey) > 0; {
	case held == (root.key != nil):
		return nil
	case held:
		if key, err = ca.keys.OpenKey(stored.SealedKey, stored.SealContext()); err != nil {
			return err
		}
	}
	root.SealedKey, root.CRL, root.key = stored.SealedKey, stored.CRL, key
	return nil
}

func (ca *CA) load(a tenancy.Authority) error {
	cert, err := x509.ParseCertificate(a.DER)
	if err != nil {
		return err
	}
	loaded := &authority{Authority: a, cert: cert}
	if loaded.above, err = certfile.SplitChain(a.Above); err != nil {
		return err
	}
	if len(a.SealedKey) > 0 || a.Kind == tenancy.IssuingAuthority {
		if loaded.key, err = ca.openKey(a.SealedKey, a.KeyURI, a.SealContext(), cert.PublicKey); err != nil {
			return err
		}
	}
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

func (ca *CA) addRoot(ctx context.Context, now time.Time) error {
	key, err := keyring.Generate(tenancy.P384)
	if err != nil {
		return err
	}
	return ca.add(ctx, newKey{Signer: key}, nil, now, time.Time{})
}

// add creates and stores the next issuing CA below a parent, or the next root if the parent is nil. If another replica
// was faster, it uses that replica's authority.
func (ca *CA) add(ctx context.Context, key newKey, parent *authority, now, from time.Time) error {
	made, err := ca.make(key, parent, now)
	if err != nil {
		return fmt.Errorf("create a CA: %w", err)
	}
	made.SignsFrom = from
	err = ca.storage.AddAuthority(ctx, made)
	if err != nil && !errors.Is(err, tenancy.ErrConflict) {
		return fmt.Errorf("store a CA (%s): %w", made.Kind, err)
	}
	return ca.reload(ctx, now)
}

func (ca *CA) make(key newKey, parent *authority, now time.Time) (none tenancy.Authority, err error) {
	kind, lifetime, name, position := tenancy.IssuingAuthority, issuingLifetime, "issuing CA", len(ca.issuing)+1
	if parent == nil {
		kind, lifetime, name, position = tenancy.RootAuthority, rootLifetime, "root CA", len(ca.roots)+1
	}
	template := ca.template(name, position, now)
	template.NotAfter = template.NotBefore.Add(lifetime)
	signer, issuerCert, parentID := key.Signer, template, ""
	if parent != nil {
		signer, issuerCert, parentID = parent.key, parent.cert, parent.ID
		if template.NotAfter.After(parent.cert.NotAfter) {
			template.NotAfter = parent.cert.NotAfter
		}
		template.CRLDistributionPoints = ca.distributionPoints(parent)
		ca.constrain(template)
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
		NotBefore: cert.NotBefore, NotAfter: cert.NotAfter, KeyURI: key.uri}
	made.SealedKey, err = ca.seal(key, made.SealContext())
	return made, err
}

// template returns the content that all authorities have. The number in the name distinguishes authorities at a
// receiver that maps the name of the issuer.
func (ca *CA) template(name string, position int, now time.Time) *x509.Certificate {
	return &x509.Certificate{
		SerialNumber: newSerial(),
		Subject: pkix.Name{
			Organization: []string{ca.config.Organization},
			CommonName:   fmt.Sprintf("%s %s G%d", ca.config.Organization, name, position),
		},
		NotBefore:             now.Add(-Backdate).Truncate(time.Second),
		BasicConstraintsValid: true,
		IsCA:                  true,
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
}

// constrain limits an issuing CA to clients of the trust domain.
func (ca *CA) constrain(template *x509.Certificate) {
	template.MaxPathLenZero = true
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	template.PermittedDNSDomainsCritical = true // the flag applies to the whole extension
	template.PermittedURIDomains = []string{ca.config.TrustDomain}
	template.PermittedEmailAddresses = []string{ca.config.TrustDomain}
	template.PermittedDNSDomains = []string{ca.config.TrustDomain}
	template.ExcludedIPRanges = []*net.IPNet{{IP: net.IPv4zero.To4(), Mask: net.CIDRMask(0, 32)},
		{IP: net.IPv6zero, Mask: net.CIDRMask(0, 128)}}
}

// distributionPoints returns the address of an authority's revocation list; none if lists are not published.
func (ca *CA) distributionPoints(a *authority) []string {
	if ca.config.CRLURL == "" {
		return nil
	}
	return []string{ca.config.CRLURL + "/" + a.ID + ".crl"}
}

// newSerial returns 128 bits from the system's random source, which never fails (crypto/rand).
func newSerial() *big.Int {
	b := make([]byte, 16)
	rand.Read(b)
	b[0] |= 0x40 // never short, so that every serial number has the same length
	return new(big.Int).SetBytes(b)
}

// Issue implements [issuer.Issuer].
func (ca *CA) Issue(ctx context.Context, r issuer.Request) (issuer.Issued, error) {
	if err := ca.current(ctx, r.At); err != nil {
		return issuer.Issued{}, err
	}
	notBefore := r.At.Add(-Backdate).UTC().Truncate(time.Second)
	notAfter := notBefore.Add(r.Validity).Truncate(time.Second)
	signer, err := ca.signerOf(r, notAfter)
	if err != nil {
		return issuer.Issued{}, err
	}
	names, err := ca.Names(r)
	if err != nil {
		return issuer.Issued{}, fmt.Errorf("sign a certificate for %s: %w", r.Tenant, err)
	}
	l := leaf{serial: newSerial(), names: names, notBefore: notBefore, notAfter: notAfter, key: r.Key.Public(),
		revocations: ca.distributionPoints(signer)}
	der, err := signer.sign(l)
	if err != nil {
		return issuer.Issued{}, fmt.Errorf("sign a certificate for %s: %w", r.Tenant, signer.signFailed(err))
	}
	return issuer.Issued{
		DER: der, Chain: slices.Concat([][]byte{signer.DER}, signer.above), Serial: hex.EncodeToString(l.serial.Bytes()),
		Subject: certfile.Name(names.Subject), NotBefore: notBefore, NotAfter: notAfter, IssuerID: signer.ID,
	}, nil
}

// CRL implements [issuer.CRLSigner].
func (ca *CA) CRL(id string, revoked []issuer.Revocation, now time.Time) ([]byte, error) {
	a, err := ca.authority(id)
	switch {
	case err != nil:
		return nil, err
	case a.key == nil && len(a.CRL) > 0:
		return a.CRL, nil
	case a.key == nil:
		return nil, tenancy.Errorf(tenancy.ErrNotFound, "the key of the root %s is not in this service, so its revocation "+
			"list is published elsewhere", certfile.Name(a.cert.RawSubject))
	}
	return a.list(revoked, now, now.Add(crlValidity))
}

// authority returns an authority as it is now.
func (ca *CA) authority(id string) (authority, error) {
	ca.mu.RLock()
	defer ca.mu.RUnlock()
	for _, a := range slices.Concat(ca.roots, ca.issuing) {
		if a.ID == id {
			return *a, nil
		}
	}
	return authority{}, tenancy.Errorf(tenancy.ErrNotFound, "unknown CA %s", id)
}

// list signs a revocation list.
func (a *authority) list(revoked []issuer.Revocation, now, next time.Time) ([]byte, error) {
	list := &x509.RevocationList{Number: big.NewInt(now.UnixMicro()), ThisUpdate: now.UTC().Truncate(time.Second),
		NextUpdate: next.UTC().Truncate(time.Second)}
	for _, r := range revoked {
		serial, ok := new(big.Int).SetString(r.Serial, 16)
		if !ok {
			return nil, fmt.Errorf("a certificate that is to be revoked has the serial number %q", r.Serial)
		}
		list.RevokedCertificateEntries = append(list.RevokedCertificateEntries, x509.RevocationListEntry{
			SerialNumber: serial, RevocationTime: r.At.UTC().Truncate(time.Second), ReasonCode: r.Reason})
	}
	der, err := x509.CreateRevocationList(rand.Reader, list, a.cert, a.key)
	if err != nil {
		err = a.signFailed(err)
	}
	return der, err
}

// Bundle implements [issuer.Bundler].
func (ca *CA) Bundle() []byte {
	ca.mu.RLock()
	defer ca.mu.RUnlock()
	var out []byte
	for _, list := range [][]*authority{ca.roots, ca.issuing} {
		for _, a := range list {
			for _, der := range slices.Concat([][]byte{a.DER}, a.above) {
				out = append(out, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})...)
			}
		}
	}
	return out
}

// Check returns an error if the configuration is not valid.
func (c Config) Check() error {
	if c.TrustDomain == "" || len(c.TrustDomain) > 255 {
		return errors.New("the trust domain must not be empty or longer than 255 characters: use a host name such as " +
			"perennial.example.com")
	}
	if u, err := url.Parse("spiffe://" + c.TrustDomain + "/"); err != nil || u.Host != c.TrustDomain || u.Port() != "" {
		return fmt.Errorf("invalid trust domain %q: use a host name such as perennial.example.com", c.TrustDomain)
	}
	if c.CRLURL != "" && !strings.HasPrefix(c.CRLURL, "http://") {
		return fmt.Errorf("invalid address of revocation lists %q: use plain http, because a verifier that needs a "+
			"certificate to read a list may need the list to verify the certificate (RFC 5280, section 8)", c.CRLURL)
	}
	return tenancy.CheckText("organization", c.Organization)
}
