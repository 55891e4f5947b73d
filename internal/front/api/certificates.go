package api

import (
	"context"
	"encoding/pem"
	"errors"
	"fmt"
	"math"
	"net/http"
	"slices"
	"sort"
	"strings"
	"time"

	"github.com/perennial-pki/perennial/client"
	"github.com/perennial-pki/perennial/internal/engine/store"
	"github.com/perennial-pki/perennial/internal/front/publish"
	"github.com/perennial-pki/perennial/internal/keys/certfile"
	"github.com/perennial-pki/perennial/policy"
	"github.com/perennial-pki/perennial/tenancy"
)

func viewCertificate(c tenancy.Certificate) client.Certificate {
	issuer, serials := "", certfile.Serials{Hex: c.Serial}
	if parsed, err := certfile.ParseCertificate(c.DER); err == nil {
		c.Subject, issuer = certfile.Name(parsed.RawSubject), certfile.Name(parsed.RawIssuer)
		serials = certfile.SerialsOf(parsed.SerialNumber)
	}
	return client.Certificate{
		Purpose: c.Purpose, Generation: c.Generation, State: c.State, Subject: c.Subject, Issuer: issuer,
		Serial: serials.Hex, SerialDecimal: serials.Decimal, SerialOpenSSL: serials.OpenSSL, SerialDotNET: serials.DotNET,
		Fingerprint: c.Fingerprint, SHA1: certfile.SHA1(c.DER), NotBefore: c.NotBefore, NotAfter: c.NotAfter,
		KeyType: c.KeyType, RevokedAt: c.RevokedAt, RevokedFor: c.RevokedFor,
	}
}

// OneCertificate holds the path parameters of a generation.
type OneCertificate struct {
	InTenant
	Purpose    tenancy.Purpose `path:"purpose" maxLength:"63"`
	Generation int             `path:"generation" minimum:"1" maximum:"1000000"`
}

// Download is an answer with a file.
type Download struct {
	ContentType string `header:"Content-Type"`
	Disposition string `header:"Content-Disposition"`
	Body        []byte
}

func registerCertificates(r *router) {
	register(r, endpoint{
		method: http.MethodGet, path: "/tenants/{tenant}/certificates", summary: "List all generations",
		access: members,
	}, (*server).listCertificates)
	register(r, endpoint{
		method: http.MethodGet, path: "/tenants/{tenant}/certificates/{purpose}/{generation}",
		summary: "Get a generation", access: members,
	}, (*server).getCertificate)
	register(r, endpoint{
		method: http.MethodGet, path: "/tenants/{tenant}/certificates/{purpose}/{generation}/download",
		summary: "Download a certificate without its key", access: members,
	}, (*server).downloadCertificate)
	register(r, endpoint{
		method: http.MethodPost, path: "/tenants/{tenant}/certificates/{purpose}/renew",
		summary: "Renew now. Refused with the reason if much validity is left", status: http.StatusCreated,
		access: members,
	}, (*server).renewCertificate)
	register(r, endpoint{
		method: http.MethodPost, path: "/tenants/{tenant}/certificates/{purpose}/{generation}/revoke",
		summary: "Revoke one generation. If it is the newest, renew it. Returns the newest generation", access: operators,
	}, (*server).revokeCertificate)
	register(r, endpoint{
		method: http.MethodGet, path: "/tenants/{tenant}/forecast",
		summary: "Forecast the renewals and warnings of a tenant", access: members,
	}, (*server).forecastTenant)
	register(r, endpoint{
		method: http.MethodGet, path: "/forecast",
		summary: "Forecast the next runs for the whole fleet. In a large fleet, up to a minute old",
		access:  operators,
	}, (*server).forecastFleet)
	register(r, endpoint{
		method: http.MethodGet, path: "/forecast/{run_date}",
		summary: "List the certificates that a future run will warn about or renew", access: operators,
	}, (*server).forecastRun)
}

func (s *server) listCertificates(ctx context.Context, in *struct {
	InTenant
	Paged
	Query   string          `query:"q" maxLength:"200" doc:"Only certificates with this serial number in any notation, or whose serial number, SHA-256 or subject contains this text."`
	Purpose tenancy.Purpose `query:"purpose" maxLength:"63" doc:"Only generations of this credential."`
	State   tenancy.State   `query:"state" enum:"standby,active,retired,revoked" doc:"Only generations in this state."`
	Sort    string          `query:"sort" enum:"created,-created,not-after,-not-after" doc:"Order: by creation, or by the end of validity. A minus sign reverses it."`
}) (*List[client.Certificate], error) {
	t, err := s.tenant(ctx, in.Tenant)
	if err != nil {
		return nil, err
	}
	page, err := in.page(in.Sort, in.Query)
	if err != nil {
		return nil, err
	}
	page.Notations = notations(page.Text)
	rows, next, err := s.store.SearchCertificates(ctx, t.ID, in.Purpose, in.State, page)
	return listed(rows, next, in.Sort, viewCertificate), err
}

func (s *server) getCertificate(ctx context.Context, in *OneCertificate) (*Entity[client.Certificate], error) {
	c, err := s.certificate(ctx, *in)
	return &Entity[client.Certificate]{Body: viewCertificate(c)}, err
}

func (s *server) downloadCertificate(ctx context.Context, in *struct {
	OneCertificate
	Format publish.Format `query:"format" enum:"pem,der,pkcs7" default:"pem"`
}) (*Download, error) {
	c, err := s.certificate(ctx, in.OneCertificate)
	if err != nil {
		return nil, err
	}
	chain, err := s.chain(ctx, c)
	if err != nil {
		return nil, err
	}
	f, err := publish.Certificate(in.Format, c.DER, chain)
	name := fmt.Sprintf("%s-%s-generation-%d%s", in.Tenant, c.Purpose, c.Generation, f.Extension)
	return &Download{f.ContentType, `attachment; filename="` + name + `"`, f.Data}, err
}

func (s *server) renewCertificate(ctx context.Context, in *struct {
	InTenant
	Purpose tenancy.Purpose `path:"purpose" maxLength:"63"`
	Body    struct {
		Reason string `json:"reason,omitempty" enum:"lost,compromised,reissue" doc:"For operators. Renews regardless of the validity left. lost and compromised immediately revoke every earlier generation that can be presented."`
	}
}) (*Created[client.IssuedCertificate], error) {
	t, err := s.tenant(ctx, in.Tenant)
	if err != nil {
		return nil, err
	}
	if in.Body.Reason != "" {
		if err := operators.check(ctx); err != nil {
			return nil, err
		}
	}
	now := s.now()
	c, err := s.engine.RenewByHand(ctx, t.Name, in.Purpose, in.Body.Reason, actor(ctx), now)
	if err != nil {
		return nil, err
	}
	location := fmt.Sprintf(prefix+"/tenants/%s/certificates/%s/%d", t.Name, c.Purpose, c.Generation)
	if c.State == tenancy.Requested {
		location = prefix + "/tenants/" + t.Name + "/requests"
	}
	return &Created[client.IssuedCertificate]{Location: location, Body: s.viewIssued(ctx, c, now)}, nil
}

// viewIssued is the view of the newest generation after a request at now that may have revoked others. Its CA may not
// have answered yet.
func (s *server) viewIssued(ctx context.Context, c tenancy.Certificate, now time.Time) client.IssuedCertificate {
	v := client.IssuedCertificate{Certificate: client.Certificate{Purpose: c.Purpose, Generation: c.Generation,
		State: c.State}}
	if c.State != tenancy.Requested {
		v.Certificate = viewCertificate(c)
	}
	if err := s.addRevoked(ctx, c, &v, now); err != nil { // it is done nevertheless
		s.log.WarnContext(ctx, "the result of a renewal does not list what was revoked", "error", err)
	}
	return v
}

// addRevoked adds the generations of a credential that were revoked at now, and the arrangements without another one
// that their receiver is known to accept.
func (s *server) addRevoked(ctx context.Context, c tenancy.Certificate, v *client.IssuedCertificate,
	now time.Time) error {
	latest := store.Page{Limit: client.LongestPage, Sort: "-created"}
	revoked, _, err := s.store.SearchCertificates(ctx, c.TenantID, c.Purpose, tenancy.Revoked, latest)
	if err != nil {
		return err
	}
	for _, old := range revoked {
		if old.RevokedAt.Equal(now) {
			v.Revoked = append(v.Revoked, old.Generation)
		}
	}
	if len(v.Revoked) == 0 {
		return nil
	}
	slices.Sort(v.Revoked)
	tenants, err1 := s.store.TenantsByID(ctx, []string{c.TenantID})
	arrangements, err2 := s.store.ArrangementsOf(ctx, []string{c.TenantID})
	if err := errors.Join(err1, err2); err != nil {
		return err
	}
	all, err := s.engine.Standings(ctx, s.store.Reader, tenants[c.TenantID], arrangements[c.TenantID])
	for _, of := range all {
		if risk, at := of.Rollover.Risk(now); at && risk.Exposed && of.Arrangement.Presents() == c.Purpose {
			v.Exposed = append(v.Exposed, of.Name())
		}
	}
	slices.Sort(v.Exposed)
	return err
}

func (s *server) revokeCertificate(ctx context.Context, in *struct {
	OneCertificate
	Body struct {
		Reason string `json:"reason" enum:"lost,compromised"`
	}
}) (*Entity[client.IssuedCertificate], error) {
	now := s.now()
	c, err := s.engine.RevokeGeneration(ctx, in.Tenant, in.Purpose, in.Generation, in.Body.Reason, actor(ctx), now)
	if err != nil {
		return nil, err
	}
	return &Entity[client.IssuedCertificate]{Body: s.viewIssued(ctx, c, now)}, nil
}

func (s *server) forecastTenant(ctx context.Context, in *InTenant) (*Entity[client.TenantForecast], error) {
	t, err := s.tenant(ctx, in.Tenant)
	if err != nil {
		return nil, err
	}
	out := client.TenantForecast{Policy: s.engine.Policy().Name}
	stored, err := s.store.CredentialsOf(ctx, []string{t.ID})
	if err != nil {
		return nil, err
	}
	for _, p := range credentialNames(stored[t.ID]) {
		c, err := s.store.Newest(ctx, t.ID, p)
		if errors.Is(err, tenancy.ErrNotFound) {
			continue // its CA has not answered yet
		} else if err != nil {
			return nil, err
		}
		f := s.engine.Policy().Forecast(policy.Validity{NotBefore: c.NotBefore, NotAfter: c.NotAfter}, s.clock())
		// After a warning that was already sent, the renewal is not a surprise.
		view := client.CertificateForecast{Purpose: p, Generation: c.Generation, NotAfter: c.NotAfter,
			Surprise: f.Surprise && c.WarnedAt.IsZero()}
		for _, e := range f.Events {
			view.Events = append(view.Events, client.ForecastEvent{
				At: e.At, Action: e.Action, DaysLeft: math.Round(e.DaysLeft*100) / 100,
			})
		}
		out.Certificates = append(out.Certificates, view)
	}
	return &Entity[client.TenantForecast]{Body: out}, nil
}

func (s *server) forecastFleet(ctx context.Context, in *struct{}) (*Entity[client.FleetForecast], error) {
	f, _, err := s.fleetForecast.get(ctx)
	return &Entity[client.FleetForecast]{Body: f}, err
}

func (s *server) forecastRun(ctx context.Context, in *struct {
	DuePage
	RunDate time.Time `path:"run_date"`
}) (*List[client.DueCertificate], error) {
	return s.due(ctx, in.RunDate.UTC(), in.DuePage)
}

// DuePage holds the parameters of a page of the certificates that are due in a run.
type DuePage struct {
	Paged
	Query  string        `query:"q" maxLength:"200" doc:"Only certificates of tenants whose name or display name contains this text, in upper or lower case. A page then covers a limited part of the list, so it may be empty and still have a next page. The same holds for action."`
	Action policy.Action `query:"action" enum:"warn,renew" doc:"Only certificates that the run will warn about, or renew."`
}

// mostDue limits the certificates that are read for one page.
const mostDue = 20_000

// due reads the certificates that are valid at a run and near their end, in the order of their expiry, until a page is
// full.
func (s *server) due(ctx context.Context, run time.Time, in DuePage) (*List[client.DueCertificate], error) {
	until, err := s.engine.DueUntil(ctx, run)
	if err != nil {
		return nil, err
	}
	after, err := in.position(store.Position{NotAfter: run})
	if err != nil {
		return nil, err
	}
	out := &List[client.DueCertificate]{client.Page[client.DueCertificate]{Items: []client.DueCertificate{}}}
	limited, size := in.Query != "" || in.Action != "", in.Limit
	if limited {
		size = client.LongestPage
	}
	for read := 0; ; {
		certs, err := s.store.Due(ctx, run, after, store.End(until), size)
		if err != nil || len(certs) == 0 {
			return out, err
		}
		var ids []string
		for _, c := range certs {
			ids = append(ids, c.TenantID)
		}
		tenants, err := s.store.TenantsByID(ctx, ids)
		if err != nil {
			return nil, err
		}
		for _, c := range certs {
			if len(out.Body.Items) == in.Limit || limited && read == mostDue {
				out.Body.Next = positionCursor(after)
				return out, nil
			}
			read++
			after = store.Position{NotAfter: c.NotAfter, ID: c.ID}
			t := tenants[c.TenantID]
			if len(matching([]tenancy.Tenant{t}, in.Query, tenantWords)) == 0 {
				continue
			}
			for _, e := range s.engine.Policy().Forecast(policy.Validity{NotBefore: c.NotBefore, NotAfter: c.NotAfter},
				s.clock()).Events {
				if e.At.Equal(run) && (in.Action == "" || in.Action == e.Action) {
					out.Body.Items = append(out.Body.Items, client.DueCertificate{Tenant: t.Name, Purpose: c.Purpose,
						Generation: c.Generation, NotAfter: c.NotAfter, Action: e.Action})
				}
			}
		}
	}
}

// tenantWords returns the texts by which a tenant is found.
func tenantWords(t tenancy.Tenant) []string { return []string{t.Name, t.DisplayName} }

// surveyForecast computes the forecast for the whole fleet.
func (s *server) surveyForecast(ctx context.Context) (out client.FleetForecast, size int, err error) {
	out = client.FleetForecast{Policy: s.engine.Policy().Name, Runs: []client.RunForecast{}}
	validities, err := s.store.CountByValidity(ctx)
	if err != nil {
		return out, 0, err
	}
	runs := map[time.Time]*client.RunForecast{}
	for _, v := range validities {
		size += v.Count
		for _, e := range s.engine.Policy().Forecast(policy.Validity{NotBefore: v.NotBefore, NotAfter: v.NotAfter},
			s.clock()).Events {
			r := runs[e.At]
			if r == nil {
				r = &client.RunForecast{RunDate: e.At}
				runs[e.At] = r
			}
			if e.Action == policy.Warn {
				r.Warn += v.Count
			} else {
				r.Renew += v.Count
			}
		}
	}
	for _, r := range runs {
		out.Runs = append(out.Runs, *r)
	}
	sort.Slice(out.Runs, func(i, j int) bool { return out.Runs[i].RunDate.Before(out.Runs[j].RunDate) })
	return out, size, nil
}

// fewestDigits is the number of digits from which a text is taken for a serial number or a fingerprint. The hexadecimal
// form of a shorter number is a part of most of them.
const fewestDigits = 8

// notations returns other notations of a text that can be a serial number or a fingerprint: as they are stored.
func notations(text string) []string {
	digits := strings.TrimPrefix(strings.ToLower(text), "0x")
	plain := strings.NewReplacer(":", "", " ", "").Replace(digits)
	if len(plain) < fewestDigits {
		return nil
	}
	all := certfile.ParseSerial(digits)
	if len(all) > 0 && plain != text {
		all = append(all, plain)
	}
	return all
}

func (s *server) certificate(ctx context.Context, in OneCertificate) (tenancy.Certificate, error) {
	t, err := s.tenant(ctx, in.Tenant)
	if err != nil {
		return tenancy.Certificate{}, err
	}
	return s.store.Certificate(ctx, t.ID, in.Purpose, in.Generation)
}

// chain returns the certificates (PEM) of the authorities above a certificate, with the root if it is ours. It is empty
// for a certificate that was imported without its chain.
func (s *server) chain(ctx context.Context, c tenancy.Certificate) (chain []byte, err error) {
	if c.IssuerID == "" {
		return nil, nil
	}
	authorities, err := s.store.TrustChain(ctx, c.IssuerID)
	for _, der := range authorities {
		chain = append(chain, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})...)
	}
	return chain, err
}
