package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/perennial-pki/perennial/client"
	"github.com/perennial-pki/perennial/internal/egress/outbound"
	"github.com/perennial-pki/perennial/internal/engine/parties"
	"github.com/perennial-pki/perennial/internal/engine/standing"
	"github.com/perennial-pki/perennial/internal/engine/store"
	"github.com/perennial-pki/perennial/internal/front/faults"
	"github.com/perennial-pki/perennial/internal/front/publish"
	"github.com/perennial-pki/perennial/internal/front/words"
	"github.com/perennial-pki/perennial/policy"
	"github.com/perennial-pki/perennial/rollover"
	"github.com/perennial-pki/perennial/tenancy"
)

var errLink = tenancy.Errorf(tenancy.ErrNotFound, "this link is no longer valid")

// linked returns a link with its arrangement and the newest certificate of it, so that a link outlives a renewal. A
// link that is expired or revoked is answered like one that never existed.
func (s *server) linked(ctx context.Context, secret string) (l tenancy.Link, standing standing.Standing,
	c tenancy.Certificate, err error) {
	if l, err = s.store.LinkByHash(ctx, tenancy.HashSecret(secret)); errors.Is(err, tenancy.ErrNotFound) {
		return l, standing, c, errLink
	} else if err != nil {
		return l, standing, c, err
	}
	if !l.RevokedAt.IsZero() || !s.clock().Before(l.ExpiresAt) {
		return l, standing, c, errLink
	}
	t, a, err := s.store.OwnedArrangement(ctx, l.ArrangementID)
	if errors.Is(err, tenancy.ErrNotFound) {
		return l, standing, c, errLink
	} else if err != nil {
		return l, standing, c, err
	}
	if standing, err = s.engine.Standing(ctx, s.store.Reader, t, a); errors.Is(err, tenancy.ErrRefused) {
		return l, standing, c, errLink // the arrangement presents no certificate any more
	} else if err != nil {
		return l, standing, c, err
	}
	if len(standing.Certificates) == 0 {
		return l, standing, c, errLink
	}
	return l, standing, standing.Certificates[len(standing.Certificates)-1], nil
}

// OneLink holds the path parameter of a link.
type OneLink struct {
	Secret string `path:"secret" maxLength:"100"`
}

// linksPath is the path prefix of links. No token is needed below it, because the secret of a link stands for one.
const linksPath = prefix + "/links/"

func registerReceiverLinks(r *router) {
	register(r, endpoint{
		method: http.MethodGet, path: "/links/{secret}",
		summary: "Get the content of a link for a receiver's administrator. Needs no token", access: public,
	}, (*server).getLinked)
	register(r, endpoint{
		method: http.MethodPost, path: "/links/{secret}/test",
		summary: "Test the receiver with the new certificate, without a report. Needs no token", access: public,
	}, (*server).testLinked)
	register(r, endpoint{
		method: http.MethodPost, path: "/links/{secret}/installed",
		summary: "Report the new certificate as installed, and test it. Needs no token", access: public,
	}, (*server).reportInstalled)
}

func (s *server) getLinked(ctx context.Context, in *OneLink) (*Entity[client.Linked], error) {
	l, standing, c, err := s.linked(ctx, in.Secret)
	if err != nil {
		return nil, err
	}
	s.opened(ctx, l)
	state, risk := parties.StateOf(standing, s.clock())
	if state == parties.Quiet && c.Generation > 1 && !standing.Rollover.Proved(c.Generation) {
		state, risk.Exposed = parties.Exposed, true // the old one has expired before it was installed
	}
	out := client.Linked{Tenant: standing.Tenant.DisplayName, TenantName: standing.Tenant.Name,
		Endpoint: standing.Arrangement.Endpoint, Certificate: viewCertificate(c), State: string(state)}
	switch {
	case state.Open() && risk.Exposed:
		out.Exposed = true
	case state.Open():
		out.OldUntil = risk.Deadline
	case state == parties.Quiet:
		out.RenewsAt = s.renewsAt(c)
	}
	out.Revoked = serials(standing.ToRemove(s.clock()))
	out.Renewal = s.renewal(ctx, standing)
	out.Contact, err = s.linkContact(ctx, l, standing.Tenant)
	return &Entity[client.Linked]{Body: out}, err
}

// serials returns the serial numbers of certificates.
func serials(all []tenancy.Certificate) (serials []string) {
	for _, c := range all {
		serials = append(serials, c.Serial)
	}
	return serials
}

// opened records that the page of a link was opened, at most once an hour, and extends its validity.
func (s *server) opened(ctx context.Context, l tenancy.Link) {
	now := s.now()
	if !l.OpenedAt.Before(now.Add(-visitEvery)) {
		return
	}
	err := s.store.InTx(ctx, func(tx *store.Tx) error {
		return errors.Join(tx.OpenLink(ctx, l.ID, now.Add(-visitEvery), now),
			tx.ExtendLink(ctx, l.ID, now.Add(tenancy.LinkKept)))
	})
	if err != nil { // it may be read nevertheless
		s.log.WarnContext(ctx, "the opening of a link was not recorded", "link", l.ID, "error", err)
	}
}

// renewsAt returns the run that will renew a certificate; zero if none is planned.
func (s *server) renewsAt(c tenancy.Certificate) time.Time {
	v := policy.Validity{NotBefore: c.NotBefore, NotAfter: c.NotAfter}
	for _, e := range s.engine.Policy().Forecast(v, s.clock()).Events {
		if e.Action == policy.Renew {
			return e.At
		}
	}
	return time.Time{}
}

// testLinked tests the receiver, whose administrator may have nothing to install.
func (s *server) testLinked(ctx context.Context, in *OneLink) (*Entity[client.Tested], error) {
	l, current, c, err := s.linked(ctx, in.Secret)
	if err != nil {
		return nil, err
	}
	answers, _, err := s.prober().Probe(ctx, current, "link "+l.ID+" of "+current.Name())
	if err == nil {
		err = s.store.InTx(ctx, func(tx *store.Tx) error { return tx.TestLink(ctx, l.ID, s.now()) })
	}
	return &Entity[client.Tested]{Body: viewTested(ctx, answers, c.Generation)}, err
}

// viewTested shows the receiver's answer to a generation.
func viewTested(ctx context.Context, answers outbound.Answers, generation int) (out client.Tested) {
	for _, r := range answers.Results {
		if r.Generation != generation {
			continue
		}
		v := viewProbe(ctx, r)
		out = client.Tested{Result: v.Result, Answer: v.Answer, HandshakeOnly: v.HandshakeOnly}
		if r.Verdict != rollover.Unclear {
			out.Answer = words.Say(ctx, r.Text())
		}
	}
	return out
}

func (s *server) reportInstalled(ctx context.Context, in *struct {
	OneLink
	Generation int `query:"generation" doc:"The one that was installed. Absent: the newest."`
}) (*Entity[client.Tested], error) {
	out, err := s.installed(ctx, in.Secret, in.Generation)
	return &Entity[client.Tested]{Body: out}, err
}

// linkContact returns the contact for the administrator of a receiving system; nil if there is none.
func (s *server) linkContact(ctx context.Context, l tenancy.Link, t tenancy.Tenant) (*client.ITContact, error) {
	if name, ok := strings.CutPrefix(l.CreatedBy, "key user "+t.Name+"/"); ok {
		u, err := s.store.KeyUser(ctx, t.ID, name)
		if err == nil {
			return &client.ITContact{Name: u.Name, Email: u.Email}, nil
		} else if !errors.Is(err, tenancy.ErrNotFound) {
			return nil, err
		}
	}
	contacts, err := s.store.ITContacts(ctx, t.ID)
	if err != nil || len(contacts) == 0 {
		return nil, err
	}
	return &client.ITContact{Name: contacts[0].Name, Email: contacts[0].Email}, nil
}

func (s *server) linkFailed(w http.ResponseWriter, r *http.Request, err error) {
	if errors.Is(err, tenancy.ErrNotFound) || errors.Is(err, tenancy.ErrRefused) {
		page(w, http.StatusNotFound, "This link is not valid", "It may be incomplete, expired or revoked. Ask "+
			"for a new link.")
		return
	}
	faults.Log(r.Context(), s.log, "a link failed", err)
	page(w, http.StatusInternalServerError, "Something went wrong", "Please try again later.")
}

func (s *server) linkCertificate(w http.ResponseWriter, r *http.Request) {
	_, standing, c, err := s.linked(r.Context(), r.PathValue("secret"))
	if err != nil {
		s.linkFailed(w, r, err)
		return
	}
	chain, err := s.chain(r.Context(), c)
	if err != nil {
		s.linkFailed(w, r, err)
		return
	}
	format := r.URL.Query().Get("format")
	f := publish.File{Extension: "-chain.pem", ContentType: "application/x-pem-file", Data: chain}
	if format != "chain" {
		if format == "" {
			format = string(publish.PEM)
		}
		f, err = publish.Certificate(publish.Format(format), c.DER, chain)
	}
	if err != nil {
		page(w, http.StatusBadRequest, "Unknown format", "Use pem, der, pkcs7 or chain.")
		return
	}
	w.Header().Set("Content-Type", f.ContentType)
	w.Header().Set("Content-Disposition", fmt.Sprintf(`attachment; filename="%s-generation-%d%s"`, standing.Tenant.Name,
		c.Generation, f.Extension))
	w.Write(f.Data)
}

// installed records that the administrator reported a generation as installed, and tests the receiver. 0 stands for the
// newest one.
func (s *server) installed(ctx context.Context, secret string, generation int) (out client.Tested, err error) {
	l, current, c, err := s.linked(ctx, secret)
	if err != nil {
		return out, err
	}
	if generation != 0 && generation != c.Generation {
		return out, tenancy.Errorf(tenancy.ErrRefused, "the certificate has been renewed since this page was shown: load it "+
			"again, and install the new one")
	}
	who := "link " + l.ID + " of " + current.Name()
	claim, _, err := s.prober().Confirm(ctx, current, c.Generation, who,
		"the receiver's administrator reports it as installed")
	if err != nil {
		return out, err
	}
	now := s.now()
	err = s.store.InTx(ctx, func(tx *store.Tx) error {
		if err := tx.UseLink(ctx, l.ID, now); err != nil {
			return err
		}
		return tx.Audit(ctx, tenancy.NewEvent(now, who, "link.installed", current.Tenant.Name, current.Name(),
			map[string]any{"generation": c.Generation}))
	})
	return viewTested(ctx, claim.Answers, c.Generation), err
}
