package api

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/perennial-pki/perennial/client"
	"github.com/perennial-pki/perennial/internal/engine/store"
	"github.com/perennial-pki/perennial/internal/keys/certfile"
	"github.com/perennial-pki/perennial/tenancy"
)

func registerFind(r *router) {
	register(r, endpoint{
		method: http.MethodGet, path: "/find", summary: "Find tenants, arrangements, receivers, people and certificates",
		access: operators,
	}, (*server).find)
	register(r, endpoint{
		method: http.MethodGet, path: "/tenants/{tenant}/find",
		summary: "Find arrangements, receivers, people and certificates of a tenant", access: members,
	}, (*server).findInTenant)
}

// Sought holds the parameters of a search.
type Sought struct {
	Query string `query:"q" maxLength:"200" doc:"The beginning of a name or of an e-mail address, words of a display name, TENANT/ARRANGEMENT, a serial number in any notation, at least the first 8 digits of a SHA-256, or one of these or a subject as OpenSSL prints it."`
	Limit int    `query:"limit" minimum:"1" maximum:"50" default:"10" doc:"Most results of each kind."`
}

func (s *server) find(ctx context.Context, in *Sought) (*Entity[client.Findings], error) {
	return s.search(ctx, *in, tenancy.Tenant{})
}

func (s *server) findInTenant(ctx context.Context, in *struct {
	InTenant
	Sought
}) (*Entity[client.Findings], error) {
	t, err := s.tenant(ctx, in.Tenant)
	if err != nil {
		return nil, err
	}
	return s.search(ctx, in.Sought, t)
}

// A searcher finds objects of one kind.
type searcher struct {
	kind string
	find func(context.Context, store.Search) ([]store.Found, error)
}

// shortestFound is the fewest characters of a search. Shorter texts find everything.
const shortestFound = 2

// search searches all tenants, or only one if it has an ID.
func (s *server) search(ctx context.Context, in Sought, only tenancy.Tenant) (*Entity[client.Findings], error) {
	text := strings.TrimSpace(in.Query)
	if utf8.RuneCountInString(text) < shortestFound {
		return nil, tenancy.Invalid("q", "%q is too short: search for at least %d characters", text, shortestFound)
	}
	out := client.Findings{Query: text, Items: []client.Finding{}}
	text = pasted(text)
	asked := store.Search{Text: text, TenantID: only.ID, Limit: in.Limit + 1}
	var all []client.Finding
	for _, one := range s.searchers(text) {
		if one.kind == "tenant" && only.ID != "" { // what others are called is not for this tenant
			continue
		}
		found, err := one.find(ctx, asked)
		if err != nil {
			return nil, err
		}
		if len(found) > in.Limit {
			found, out.More = found[:in.Limit], true
		}
		for _, f := range found {
			if slices.ContainsFunc(all, func(other client.Finding) bool { // a receiver by its name and by its contact's
				return other.Kind == one.kind && other.Tenant == f.TenantID && other.Name == f.Name && other.Serial == f.Serial
			}) {
				continue
			}
			all = append(all, client.Finding{Kind: one.kind, Tenant: f.TenantID, Name: f.Name, Detail: f.Detail,
				Generation: f.Generation, Serial: f.Serial})
		}
	}
	var ids []string
	for _, f := range all {
		ids = append(ids, f.Tenant)
	}
	tenants, err := s.store.TenantsByID(ctx, ids)
	if err != nil {
		return nil, err
	}
	for _, f := range all {
		if t, found := tenants[f.Tenant]; found && (only.ID == "" || only.ID == t.ID) {
			f.Tenant = t.Name
			out.Items = append(out.Items, f)
		}
	}
	if only.ID == "" {
		if err := s.findCounterparties(ctx, text, in.Limit, &out); err != nil {
			return nil, err
		}
	}
	return &Entity[client.Findings]{Body: out}, nil
}

// findCounterparties adds the counterparties with a name, a host or a contact that fits.
func (s *server) findCounterparties(ctx context.Context, text string, limit int, out *client.Findings) error {
	page := store.Page{Limit: limit, Sort: "name", Text: text}
	named, next, err := s.store.Counterparties(ctx, "", page)
	if err != nil {
		return err
	}
	if len(named) == 0 && strings.Contains(text, ".") {
		page.Text = ""
		if named, next, err = s.store.Counterparties(ctx, strings.ToLower(text), page); err != nil {
			return err
		}
	}
	out.More = out.More || next != store.Place{}
	for _, c := range named {
		out.Items = append(out.Items, client.Finding{Kind: "counterparty", Name: c.Name, Detail: c.DisplayName})
	}
	if len(named) > 0 {
		return nil
	}
	contacts, err := s.store.FindContacts(ctx, text, limit+1)
	if len(contacts) > limit {
		contacts, out.More = contacts[:limit], true
	}
	for _, c := range contacts {
		out.Items = append(out.Items, client.Finding{Kind: "counterparty", Name: c.Name, Detail: c.Detail})
	}
	return err
}

// searchers returns how to search for a text: by what it looks like, the most specific first.
func (s *server) searchers(text string) (all []searcher) {
	digits := strings.TrimPrefix(strings.TrimPrefix(text, "0x"), "0X")
	if serials := certfile.ParseSerial(digits); len(serials) > 0 {
		all = append(all, searcher{"certificate", func(ctx context.Context, q store.Search) ([]store.Found, error) {
			q.Text = strings.ToLower(strings.NewReplacer(":", "", " ", "").Replace(digits))
			return s.store.FindCertificates(ctx, q, serials)
		}})
	}
	if strings.Contains(text, "@") {
		return append(all, searcher{"key-user", s.store.FindKeyUsers}, searcher{"it-contact", s.store.FindITContacts},
			searcher{"receiver", s.store.FindReceiversOf})
	}
	if tenant, arrangement, both := strings.Cut(text, "/"); both {
		return append(all, searcher{"arrangement", func(ctx context.Context, q store.Search) ([]store.Found, error) {
			t, err := s.store.Tenant(ctx, strings.ToLower(tenant))
			if errors.Is(err, tenancy.ErrNotFound) || err == nil && q.TenantID != "" && q.TenantID != t.ID {
				return nil, nil
			}
			if err != nil {
				return nil, err
			}
			q.TenantID, q.Text = t.ID, arrangement
			return s.store.FindArrangements(ctx, q)
		}})
	}
	return append(all, searcher{"tenant", s.store.FindTenants}, searcher{"arrangement", s.store.FindArrangements},
		searcher{"receiver", s.store.FindReceivers},
		searcher{"receiver", s.store.FindReceiversOfContact}, searcher{"key-user", s.store.FindKeyUsers})
}

// pasted returns what to look for in a text as OpenSSL prints it, such as "SHA256 Fingerprint=AA:BB" or "subject=CN =
// acme, O = P": a value without its label, or the common name of a subject.
func pasted(text string) string {
	if i := strings.IndexAny(text, "=:"); i >= 0 {
		switch value := strings.TrimSpace(text[i+1:]); strings.ToLower(strings.TrimSpace(text[:i])) {
		case "serial", "serial number", "sha256 fingerprint", "sha-256 fingerprint":
			return value
		case "subject":
			text = value
		}
	}
	return commonName(text)
}

// commonName returns the common name of a subject such as "CN=acme,O=Acme GmbH"; the text itself if it has none.
func commonName(text string) string {
	separator := ","
	if strings.HasPrefix(text, "/") { // the form of OpenSSL before 1.1
		separator = "/"
	}
	for part := range strings.SplitSeq(text, separator) {
		name, value, found := strings.Cut(part, "=")
		if found && strings.EqualFold(strings.TrimSpace(name), "cn") {
			return strings.TrimSpace(value)
		}
	}
	return text
}
