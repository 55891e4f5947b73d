package api

import (
	"context"
	"errors"
	"fmt"
	"html/template"
	"net/http"
	"strings"
	"time"

	"github.com/perennial-pki/perennial/internal/lifecycle"
	"github.com/perennial-pki/perennial/internal/probe"
	"github.com/perennial-pki/perennial/internal/publish"
	"github.com/perennial-pki/perennial/internal/store"
	"github.com/perennial-pki/perennial/rollover"
	"github.com/perennial-pki/perennial/tenancy"
)

var errLink = tenancy.Errorf(tenancy.ErrNotFound, "this link is not valid any more")

// linked finds what a link is for. A link that is expired, revoked or for a roll-over that is over answers as one that never
// was.
func (s *server) linked(ctx context.Context, secret string) (l tenancy.Link, standing lifecycle.Standing, c tenancy.Certificate, err error) {
	if l, err = s.Store.LinkByHash(ctx, tenancy.HashSecret(secret)); err != nil {
		return l, standing, c, errors.Join(errLink, err)
	}
	if !l.RevokedAt.IsZero() || !s.Now().Before(l.ExpiresAt) {
		return l, standing, c, errLink
	}
	a, err := s.Store.ArrangementByID(ctx, l.ArrangementID)
	if err != nil {
		return l, standing, c, errors.Join(errLink, err)
	}
	tenants, err := s.Store.TenantsByID(ctx, []string{a.TenantID})
	if err != nil {
		return l, standing, c, err
	}
	if standing, err = s.Engine.Standing(ctx, s.Store.Reader, tenants[a.TenantID], a); err != nil {
		return l, standing, c, err
	}
	c, ok := standing.Certificate(l.Generation)
	if !ok || c.SuccessorID != "" {
		return l, standing, c, errLink
	}
	return l, standing, c, nil
}

// broken lets a long hexadecimal number break in lines on a phone, and be copied as a whole.
func broken(hex string) template.HTML {
	var b strings.Builder
	for len(hex) > 16 {
		b.WriteString(template.HTMLEscapeString(hex[:16]) + "<wbr>")
		hex = hex[16:]
	}
	b.WriteString(template.HTMLEscapeString(hex))
	return template.HTML(b.String())
}

var linkPage = template.Must(template.New("link").Funcs(template.FuncMap{"broken": broken}).Parse(`<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>New certificate of {{.Tenant}}</title></head>
<body><main><h1>New certificate of {{.Tenant}}</h1>
{{with .Message}}<p role="status"><strong>{{.}}</strong></p>{{end}}
<p>{{.Tenant}} sends messages to <strong>{{.Endpoint}}</strong> with a client certificate, which has been renewed. Please add the new one beside the old one, or put it in its place: messages go on either way.</p>
<dl>
<dt>Subject</dt><dd>{{.Certificate.Subject}}</dd>
<dt>Serial number</dt><dd>{{broken .Certificate.Serial}}</dd>
<dt>SHA-256</dt><dd>{{broken .Certificate.Fingerprint}}</dd>
<dt>Valid</dt><dd>{{.From}} until {{.Until}}</dd>
{{with .OldUntil}}<dt>To be installed before</dt><dd>{{.}}, when the old one expires</dd>{{end}}
</dl>
<ul>
<li><a href="{{.Path}}/certificate?format=pem">Certificate (PEM)</a></li>
<li><a href="{{.Path}}/certificate?format=der">Certificate (DER, .cer)</a></li>
<li><a href="{{.Path}}/certificate?format=pkcs7">Certificate and chain (PKCS#7)</a></li>
<li><a href="{{.Path}}/certificate?format=chain">Chain of the CA (PEM)</a></li>
</ul>
<form method="post" action="{{.Path}}/installed"><button>It is installed: test it now</button></form>
</main></body></html>
`))

func (s *server) linkPage(w http.ResponseWriter, r *http.Request) {
	_, standing, c, err := s.linked(r.Context(), r.PathValue("secret"))
	if err != nil {
		s.linkFailed(w, r, err)
		return
	}
	s.showLink(w, r, standing, c, "")
}

func (s *server) showLink(w http.ResponseWriter, r *http.Request, standing lifecycle.Standing, c tenancy.Certificate, message string) {
	stamp := func(t time.Time) string { return t.UTC().Format("2006-01-02 15:04 MST") }
	oldUntil := ""
	if n := len(standing.Certificates); n > 1 {
		oldUntil = stamp(standing.Certificates[n-2].NotAfter)
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	err := linkPage.Execute(w, map[string]any{
		"Tenant": standing.Tenant.DisplayName, "Endpoint": standing.Arrangement.Endpoint, "Certificate": c, "From": stamp(c.NotBefore), "Until": stamp(c.NotAfter), "OldUntil": oldUntil,
		"Path": "/rollover/" + r.PathValue("secret"), "Message": message,
	})
	if err != nil {
		s.Log.WarnContext(r.Context(), "a page was cut off", "error", err)
	}
}

func (s *server) linkFailed(w http.ResponseWriter, r *http.Request, err error) {
	if errors.Is(err, tenancy.ErrNotFound) || errors.Is(err, tenancy.ErrRefused) {
		page(w, http.StatusNotFound, "This link is not valid", "It may be cut off, expired or revoked, or the certificate was replaced meanwhile: ask for a new one.")
		return
	}
	s.Log.ErrorContext(r.Context(), "link", "error", err)
	page(w, http.StatusInternalServerError, "That did not work", "Please try again later.")
}

func (s *server) linkCertificate(w http.ResponseWriter, r *http.Request) {
	_, standing, c, err := s.linked(r.Context(), r.PathValue("secret"))
	if err != nil {
		s.linkFailed(w, r, err)
		return
	}
	format := r.URL.Query().Get("format")
	f, err := publish.File{Extension: "-chain.pem", ContentType: "application/x-pem-file", Data: s.CA.Chain(c.IssuerID)}, error(nil)
	if format != "chain" {
		if format == "" {
			format = string(publish.PEM)
		}
		f, err = publish.Certificate(publish.Format(format), c.DER, s.CA.Chain(c.IssuerID))
	}
	if err != nil {
		page(w, http.StatusBadRequest, "There is no such format", "Use pem, der, pkcs7 or chain.")
		return
	}
	w.Header().Set("Content-Type", f.ContentType)
	w.Header().Set("Content-Disposition", fmt.Sprintf(`attachment; filename="%s-generation-%d%s"`, standing.Tenant.Name, c.Generation, f.Extension))
	w.Write(f.Data)
}

// linkInstalled takes the administrator's word, and asks the receiver at once.
func (s *server) linkInstalled(w http.ResponseWriter, r *http.Request) {
	ctx := r.Context()
	l, standing, c, err := s.linked(ctx, r.PathValue("secret"))
	if err != nil {
		s.linkFailed(w, r, err)
		return
	}
	now, who := s.now(), "link "+l.ID+" of "+standing.Name()
	err = s.Store.InTx(ctx, func(tx *store.Tx) error {
		if err := tx.UseLink(ctx, l.ID, now); err != nil {
			return err
		}
		return tx.Audit(ctx, lifecycle.Event(now, who, "link.installed", standing.Tenant.Name, standing.Name(), map[string]any{"generation": l.Generation}))
	})
	if err == nil {
		said := lifecycle.Observation{Evidence: rollover.Evidence{Generation: l.Generation, Verdict: rollover.Accepted, By: rollover.Person, At: now}, Detail: "the receiver's administrator says that it is installed"}
		standing, err = s.Engine.Observe(ctx, l.ArrangementID, who, []lifecycle.Observation{said}, now)
	}
	if err != nil {
		s.linkFailed(w, r, err)
		return
	}
	results, after, err := s.prober().Probe(ctx, standing, who, l.Generation)
	message := "Thank you. The receiver could not be asked just now: messages show whether it works."
	if err == nil && len(results) == 1 {
		standing, message = after, told(results[0])
	}
	s.showLink(w, r, standing, c, message)
}

func told(r probe.Result) string {
	switch v := viewProbe(r); {
	case v.Result == "accepted" && r.Handshake:
		return "Thank you. The TLS handshake with the new certificate succeeded; what the application behind it checks shows with the next message."
	case v.Result == "accepted":
		return "Thank you. It works: the receiver accepted the new certificate (" + r.Detail + ")."
	case v.Result == "refused", v.Result == "closed":
		return "The receiver still refuses the new certificate (" + r.Detail + "). Please check it, and test again: messages go on with the old one meanwhile."
	}
	return "Thank you. The receiver gave no clear answer (" + r.Detail + "): messages show whether it works."
}
