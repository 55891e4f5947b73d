package issuer

import (
	"context"
	"crypto/tls"
	"errors"
	"hash/fnv"
	"math"
	"sync"
	"time"

	"github.com/perennial-pki/perennial/internal/keys/certfile"
	"github.com/perennial-pki/perennial/tenancy"
)

// A Collector is an issuer that may answer later.
type Collector interface {
	// Collect asks for the answer to a request that Issue answered with a [*RequestedError]. It returns a
	// [*RequestedError] as long as there is no answer, and the same certificate at each call after that. The error is
	// [tenancy.ErrNotFound] if the CA reports that it does not know the request.
	Collect(ctx context.Context, handle string, r Request) (Issued, error)
}

// A Requester is a [Collector] whose requests a person sends to the CA. Its handles are the answers: Collect reads the
// certificate with its chain, in any form and order, from a handle that a person uploaded.
type Requester interface {
	Collector
	// SigningRequest returns the PKCS#10 request (DER). It is the same for the same request.
	SigningRequest(r Request) ([]byte, error)
}

// A Parallel is an issuer whose CA is elsewhere. Its answers take time, but use no core of this machine.
type Parallel interface {
	// Parallel returns the number of requests that may be sent to the CA at the same time.
	Parallel() int
}

// A Hierarchy is an issuer that has its own authorities and replaces them. Their certificates are stored by ID.
type Hierarchy interface {
	// Refresh reads the authorities of other replicas, and creates those that are missing or due at now. The error is an
	// [ErrNoSuccessor] if only the next authority is missing.
	Refresh(ctx context.Context, now time.Time) error
	// Signing returns the authority that signs at now.
	Signing(now time.Time) tenancy.Authority
	// Announced returns the authority that exists and does not sign yet at now.
	Announced(now time.Time) (a tenancy.Authority, ok bool)
	// Plans lists the authorities at now, roots first.
	Plans(now time.Time) []Plan
}

// ErrNoSuccessor is returned if the successor of the present authority cannot be created, for example because its key
// is unavailable. It is created a year ahead, so that this stops nothing else.
var ErrNoSuccessor = errors.New("the next issuing CA cannot be announced yet")

// Refreshed refreshes a hierarchy for a caller that needs no successor.
func Refreshed(ctx context.Context, h Hierarchy, now time.Time) error {
	err := h.Refresh(ctx, now)
	if errors.Is(err, ErrNoSuccessor) {
		return nil
	}
	return err
}

// A Namer is an issuer that decides on the names in its certificates itself.
type Namer interface {
	// Names returns the names that Issue gives a certificate for the request. It does not use the request's key.
	Names(r Request) (certfile.Names, error)
}

// An Announcer creates the next authority when an operator asks for it.
type Announcer interface {
	// Announce creates the successor of the authority that signs at now. The error is [tenancy.ErrRefused] while one is
	// announced already.
	Announce(ctx context.Context, now time.Time, s Succession) (tenancy.Authority, error)
}

// A Succession describes an authority to be created.
type Succession struct {
	SignsFrom time.Time // zero: after the issuer's usual notice
	NewRoot   bool      // below a new root instead of the present one
	// Key is the URI of its key, or [SealedKey]. Empty: as for the present authority, by its URI or sealed.
	Key string
}

// SealedKey stands for a new key that is sealed in the database, in place of the URI of a key.
const SealedKey = "sealed"

// A Subordinate is an issuer whose next authority can be below a root whose key is elsewhere.
type Subordinate interface {
	// RequestAuthority returns the request that the root must sign. It creates the key with the first request, and returns
	// the same request until it is answered. If a key is named (see [Succession]) that is not the one of the request, the
	// request is replaced. The error is [tenancy.ErrRefused] while a successor is announced.
	RequestAuthority(ctx context.Context, key string, now time.Time) (tenancy.AuthorityRequest, error)
	// InstallAuthority announces the authority whose certificate answers a request. The file has the certificate with
	// those above it up to a self-signed root, in any form and order. The error is [tenancy.ErrInvalid] if it cannot sign
	// certificates that receivers accept. A zero signsFrom stands for the usual notice.
	InstallAuthority(ctx context.Context, file []byte, signsFrom, now time.Time) (tenancy.Authority, error)
	// Awaited returns the time by which an authority must be installed, so that receivers have the usual notice before it
	// must sign. ok is false if that is not due yet, or if the issuer creates the authority itself.
	Awaited(now time.Time) (by time.Time, ok bool)
}

// An Exporter is an issuer whose root's key can be taken offline.
type Exporter interface {
	// ExportRoot returns the certificate of a root and its key, sealed to a passphrase, as PEM. The error is
	// [tenancy.ErrRefused] if the key is not here.
	ExportRoot(id, passphrase string) ([]byte, error)
	// LastList verifies the proof that an export can be used: the signature of [ExportProof] by the root's key. It returns
	// the list of revoked authorities that is valid until the root expires.
	LastList(id string, proof []byte, revoked []Revocation, now time.Time) (crl []byte, err error)
	// ImportRoot returns the root of an export, with its key sealed for the database. The error is [tenancy.ErrRefused] if
	// that key was not taken offline.
	ImportRoot(file []byte, passphrase string, now time.Time) (tenancy.Authority, error)
}

// ExportProof returns what the exported key of a root signs (its SHA-256) before the key is removed from the database.
func ExportProof(rootID string) []byte {
	return []byte("perennial: the export of the key of root " + rootID + " can be used")
}

// A Stage is a step in the life of an authority.
type Stage string

// An announced authority does not sign yet. A replaced or revoked one no longer signs.
const (
	Announced Stage = "announced"
	Signs     Stage = "signs"
	Replaced  Stage = "replaced"
	Revoked   Stage = "revoked"
)

// A Plan is an authority with its stage and the date of its replacement.
type Plan struct {
	tenancy.Authority
	Subject    string
	Stage      Stage
	AnnounceAt time.Time // when its successor is announced
}

// A Revoker is an issuer that must be notified of revoked certificates. An issuer whose list of revoked certificates is
// signed from Perennial's own records is a [CRLSigner] instead.
type Revoker interface {
	// Revoke is idempotent.
	Revoke(ctx context.Context, c tenancy.Certificate) error
}

// A CRLSigner signs certificate revocation lists.
type CRLSigner interface {
	// CRL returns the list (DER) of one authority, which may be a root or no longer sign. The error is
	// [tenancy.ErrNotFound] if there is no such authority.
	CRL(authorityID string, revoked []Revocation, now time.Time) ([]byte, error)
}

// A Revocation is an entry of a revocation list.
type Revocation struct {
	Serial string // hexadecimal
	At     time.Time
	Reason int // RFC 5280, section 5.3.1; 0 for none
}

// The reasons of a revocation list (RFC 5280, section 5.3.1).
const (
	KeyCompromise = 1
	CACompromise  = 2
	Superseded    = 4
)

// ReasonOf returns the reason of a certificate's revocation from its record ([tenancy.Certificate.RevokedFor]).
func ReasonOf(revokedFor string) int {
	switch revokedFor {
	case "compromised":
		return KeyCompromise
	case "authority-revoked":
		return CACompromise
	}
	return 0
}

// A Hinter is an issuer whose CA suggests when to renew a certificate, for example because it will revoke it.
type Hinter interface {
	// Hint returns the suggestion at an instant; ok is false if the CA has none.
	Hint(ctx context.Context, c tenancy.Certificate, at time.Time) (h Hint, ok bool, err error)
}

// A Hint is the suggestion of a CA to renew within a window.
type Hint struct {
	From, To    time.Time
	AskAt       time.Time // when to ask again; zero if the CA does not say
	Explanation string    // address of a page; may be empty
}

// Renewal returns the time to renew a certificate whose renewal is planned: as planned, or earlier if the hint suggests
// that. A hint never postpones a renewal. The serial number selects the instant in the window, so that the renewals of
// a fleet are spread over it.
func (h Hint) Renewal(planned time.Time, serial string) time.Time {
	sum := fnv.New32a()
	sum.Write([]byte(serial))
	share := float64(sum.Sum32()) / math.MaxUint32
	at := h.From.Add(time.Duration(share * float64(h.To.Sub(h.From))))
	if h.From.IsZero() || planned.Before(at) {
		return planned
	}
	return at
}

// A Bundler publishes the certificates that a receiver must trust.
type Bundler interface {
	// Bundle returns them as PEM: the roots, and the issuing CAs for receivers that want the whole chain, with those
	// that are announced.
	Bundle() []byte
}

// A ServerCertifier also issues the service's own TLS certificate.
type ServerCertifier interface {
	NewServerCertificate(host string, now func() time.Time) (*ServerCertificate, error)
	// RootFingerprint returns the SHA-256 of the root above it, in lowercase hexadecimal.
	RootFingerprint(now time.Time) string
}

// A ServerCertificate is the service's own TLS certificate. It is kept in memory and replaced after two thirds of its
// lifetime. It is safe for concurrent use.
type ServerCertificate struct {
	issue func(now time.Time) (*tls.Certificate, error)
	now   func() time.Time

	mu      sync.Mutex // guards current
	current *tls.Certificate
}

// KeepServerCertificate returns a server certificate that issue makes now and whenever it is due. Its leaf must be
// parsed.
func KeepServerCertificate(issue func(now time.Time) (*tls.Certificate, error), now func() time.Time) (
	*ServerCertificate, error) {
	s := &ServerCertificate{issue: issue, now: now}
	_, err := s.Get(nil)
	return s, err
}

// Get returns the current certificate. It has the signature of [tls.Config.GetCertificate].
func (s *ServerCertificate) Get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	if s.current == nil || dueAt(s.current).Before(now) {
		made, err := s.issue(now)
		if err != nil {
			return nil, err
		}
		s.current = made
	}
	return s.current, nil
}

func dueAt(c *tls.Certificate) time.Time {
	return c.Leaf.NotAfter.Add(-c.Leaf.NotAfter.Sub(c.Leaf.NotBefore) / 3)
}
