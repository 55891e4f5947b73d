package api

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/perennial-pki/perennial/client"
	"github.com/perennial-pki/perennial/internal/engine/lifecycle"
	"github.com/perennial-pki/perennial/internal/front/faults"
	"github.com/perennial-pki/perennial/internal/keys/certfile"
	"github.com/perennial-pki/perennial/internal/keys/issuer"
	"github.com/perennial-pki/perennial/tenancy"
)

// crlKept is the time after which a revocation list is signed again although nothing was revoked. It is a small part of
// the time for which a list may be used, so that a verifier that reads a list always has days left.
const crlKept = 12 * time.Hour

// A crlCache keeps the latest revocation list of each authority, so that requests do not cost a signature.
type crlCache struct {
	mu    sync.Mutex // guards lists
	lists map[string]cachedCRL
}

type cachedCRL struct {
	der     []byte
	revoked []issuer.Revocation
	at      time.Time
}

// until returns the time until which a list can be used.
func (c cachedCRL) until() time.Time {
	list, err := x509.ParseRevocationList(c.der)
	if err != nil {
		return time.Time{}
	}
	return list.NextUpdate
}

// forget drops the kept list of an authority.
func (c *crlCache) forget(id string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.lists, id)
}

// revocationList returns the revocation list of an authority, including that of a root and of one that no longer signs.
// It contains every revocation that is stored.
func (s *server) revocationList(ctx context.Context, ca issuer.CRLSigner, id string) (cachedCRL, error) {
	now := s.clock()
	s.crls.mu.Lock()
	defer s.crls.mu.Unlock() // anyone may ask, so one request at a time reads the revocations
	revoked, err := s.revokedBy(ctx, id, now)
	if err != nil {
		return cachedCRL{}, err
	}
	kept, found := s.crls.lists[id]
	if found && slices.Equal(kept.revoked, revoked) && now.Sub(kept.at) < crlKept && !now.Before(kept.at) {
		return kept, nil
	}
	made := cachedCRL{revoked: revoked, at: now}
	if made.der, err = ca.CRL(id, revoked, now); err != nil {
		if fault, _ := issuer.FaultOf(err); found && fault == issuer.KeyAway && now.Before(kept.until()) {
			s.log.WarnContext(ctx, "the revocation list cannot be signed now: the last one stays published", "authority", id,
				"error", err)
			return kept, nil
		}
		return made, err
	}
	if s.crls.lists == nil {
		s.crls.lists = map[string]cachedCRL{}
	}
	if a, err := s.authority(id); err == nil && a.Body.Key != client.KeyElsewhere { // the last list costs no signature
		s.crls.lists[id] = made // authorities are few, and others are not found
	}
	return made, nil
}

// revokedBy lists the certificates and authorities that an authority signed and that are revoked at now.
func (s *server) revokedBy(ctx context.Context, id string, now time.Time) (all []issuer.Revocation, err error) {
	certs, err1 := s.store.RevokedBy(ctx, id, now)
	authorities, err2 := s.store.Authorities(ctx)
	if err := errors.Join(err1, err2); err != nil {
		return nil, err
	}
	for _, c := range certs {
		all = append(all, issuer.Revocation{Serial: c.Serial, At: c.At, Reason: issuer.ReasonOf(c.For)})
	}
	for _, a := range authorities {
		if a.ParentID != id || a.RevokedAt.IsZero() {
			continue
		}
		c, err := certfile.ParseCertificate(a.DER)
		if err != nil {
			return nil, err
		}
		r := issuer.Revocation{Serial: certfile.Serial(c), At: a.RevokedAt, Reason: issuer.Superseded}
		if a.RevokedFor == lifecycle.Compromised {
			r.Reason = issuer.CACompromise
		}
		all = append(all, r)
	}
	return all, nil
}

// crl serves the revocation list of one authority, in DER.
func (s *server) crl(w http.ResponseWriter, r *http.Request) {
	id, ok := strings.CutSuffix(r.PathValue("crl"), ".crl")
	ca, signs := issuer.As[issuer.CRLSigner](s.issuer)
	if !ok || !signs {
		http.NotFound(w, r)
		return
	}
	list, err := s.revocationList(r.Context(), ca, id)
	if err != nil {
		s.crlFailed(w, r, err)
		return
	}
	w.Header().Set("Content-Type", "application/pkix-crl") // RFC 2585, section 4.2
	serveCRL(w, r, list.der, list.at)
}

// allCRLs serves the revocation lists of all authorities in PEM, as servers read them that check the whole chain. The
// list of a root that is not the service's is published elsewhere.
func (s *server) allCRLs(w http.ResponseWriter, r *http.Request) {
	ca, signs := issuer.As[issuer.CRLSigner](s.issuer)
	if !signs {
		http.NotFound(w, r)
		return
	}
	var all []byte
	var latest time.Time
	for _, a := range s.viewAuthorities() {
		list, err := s.revocationList(r.Context(), ca, a.ID)
		if a.Key == client.KeyElsewhere && errors.Is(err, tenancy.ErrNotFound) {
			continue
		}
		if err != nil {
			s.crlFailed(w, r, err)
			return
		}
		all = append(all, pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: list.der})...)
		if list.at.After(latest) {
			latest = list.at
		}
	}
	w.Header().Set("Content-Type", "application/x-pem-file")
	serveCRL(w, r, all, latest)
}

// serveCRL lets caches keep a list for five minutes, so that a revocation is known soon.
func serveCRL(w http.ResponseWriter, r *http.Request, content []byte, at time.Time) {
	w.Header().Set("Cache-Control", "public, max-age=300")
	http.ServeContent(w, r, "", at, bytes.NewReader(content))
}

func (s *server) crlFailed(w http.ResponseWriter, r *http.Request, err error) {
	if errors.Is(err, tenancy.ErrNotFound) {
		http.NotFound(w, r)
		return
	}
	faults.Log(r.Context(), s.log, "revocation list", err)
	http.Error(w, "the revocation list is not available now", http.StatusInternalServerError)
}
