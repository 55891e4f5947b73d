package issuertest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/perennial-pki/perennial/internal/keys/issuer"
	"github.com/perennial-pki/perennial/internal/keys/issuer/local"
	"github.com/perennial-pki/perennial/internal/keys/keyring"
	"github.com/perennial-pki/perennial/tenancy"
)

// memory keeps authorities.
type memory []tenancy.Authority

func (m *memory) Authorities(context.Context) ([]tenancy.Authority, error) { return *m, nil }

func (m *memory) AddAuthority(_ context.Context, a tenancy.Authority) error {
	*m = append(*m, a)
	return nil
}

func (m *memory) AuthorityRequests(context.Context) ([]tenancy.AuthorityRequest, error) {
	return nil, nil
}

func (m *memory) AddAuthorityRequest(context.Context, tenancy.AuthorityRequest) error {
	return errors.ErrUnsupported
}

func (m *memory) ReplaceAuthorityRequest(context.Context, string, tenancy.AuthorityRequest) error {
	return errors.ErrUnsupported
}

func (m *memory) InstallAuthority(context.Context, string, ...tenancy.Authority) error {
	return errors.ErrUnsupported
}

func openLocal(t *testing.T, now time.Time) issuer.Issuer {
	t.Helper()
	keys, err := keyring.Ephemeral()
	check(t, err)
	ca, err := local.Open(t.Context(), local.Config{TrustDomain: "perennial.example.com", Organization: "Example Platform",
		CRLURL: "http://perennial.example.com/pki", LongestValidity: validity}, &memory{}, keys, now)
	check(t, err)
	return ca
}

func TestTheLocalCAConforms(t *testing.T) { Run(t, openLocal) }

// A slow issuer answers each request when it is asked for the third time.
type slow struct {
	issuer.Issuer

	mu    sync.Mutex // guards both maps
	asked map[string]int
	made  map[string]issuer.Issued
}

func (s *slow) Unwrap() issuer.Issuer { return s.Issuer }

func (s *slow) Issue(context.Context, issuer.Request) (issuer.Issued, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	handle := fmt.Sprint("r", len(s.asked)+1)
	s.asked[handle] = 0
	return issuer.Issued{}, &issuer.RequestedError{Handle: handle}
}

func (s *slow) Collect(ctx context.Context, handle string, r issuer.Request) (issued issuer.Issued, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.asked[handle]; !ok {
		return issued, tenancy.Errorf(tenancy.ErrNotFound, "there is no request %s", handle)
	}
	if s.asked[handle]++; s.asked[handle] < 3 {
		return issued, &issuer.RequestedError{Handle: handle, AskAt: r.At.Add(time.Hour)}
	}
	issued, ok := s.made[handle]
	if !ok {
		issued, err = s.Issuer.Issue(ctx, r)
		s.made[handle] = issued
	}
	return issued, err
}

func TestAnIssuerThatAnswersLaterConforms(t *testing.T) {
	Run(t, func(t *testing.T, now time.Time) issuer.Issuer {
		return &slow{Issuer: openLocal(t, now), asked: map[string]int{}, made: map[string]issuer.Issued{}}
	})
}
