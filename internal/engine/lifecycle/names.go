package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/perennial-pki/perennial/internal/engine/store"
	"github.com/perennial-pki/perennial/internal/keys/certfile"
	"github.com/perennial-pki/perennial/internal/keys/issuer"
	"github.com/perennial-pki/perennial/tenancy"
)

// KeptNames are the names of adopted certificates by which receivers may know them and that later generations keep.
type KeptNames struct {
	Claims []string // in the form of [certfile.Names.Claims], without those that the issuer gives the tenant in any case
	Common []string // common names, folded as by [certfile.Fold], without that of the tenant
}

// KeptNames returns the names that later generations of adopted certificates keep.
func (e *Engine) KeptNames(tenant string, adopted []Adopted) (kept KeptNames, err error) {
	namer, ok := issuer.As[issuer.Namer](e.issuer)
	if !ok {
		return kept, nil
	}
	for _, a := range adopted {
		has, err := certfile.NamesOf(a.Leaf.Raw)
		if err != nil {
			return kept, err
		}
		own, err1 := namer.Names(issuer.Request{Tenant: tenant, Purpose: a.Purpose})
		next, err2 := namer.Names(issuer.Request{Tenant: tenant, Purpose: a.Purpose, Replaces: &has})
		if err := errors.Join(err1, err2); err != nil {
			return kept, err
		}
		one := keptOf(tenant, next)
		issuers := own.Claims()
		kept.Claims = append(kept.Claims, slices.DeleteFunc(one.Claims, func(name string) bool {
			return slices.Contains(issuers, name)
		})...)
		kept.Common = append(kept.Common, one.Common...)
	}
	return kept, nil
}

// keptOf returns the names that the certificates of a tenant keep, if they have the given ones.
func keptOf(tenant string, names certfile.Names) KeptNames {
	kept := KeptNames{Claims: names.Claims()}
	attributes, _ := names.Attributes()
	for _, attribute := range attributes {
		if attribute.Type == "CN" && attribute.Value != tenant {
			kept.Common = append(kept.Common, attribute.Value)
		}
	}
	return kept
}

// ApartAdvice is the end of an error about a name that two tenants would have.
const ApartAdvice = "receivers could not tell the two apart: leave the file out, and the tenant gets a certificate " +
	"of its own"

// Names holds the owners of the names that new tenants would have, to find conflicts. It is not safe for concurrent
// use.
type Names struct {
	owners  map[string][]string // tenants that keep a name, by name
	tenants map[string]bool     // names of existing tenants
}

// NamesInUse reads the owners of the names that new tenants would have.
func (e *Engine) NamesInUse(ctx context.Context, tenants []string, kept []KeptNames) (*Names, error) {
	return namesInUse(ctx, e.store.Reader, tenants, kept)
}

// namesPage is the number of names that one query looks up.
const namesPage = 500

func namesInUse(ctx context.Context, r store.Reader, tenants []string, kept []KeptNames) (*Names, error) {
	n := &Names{owners: map[string][]string{}, tenants: map[string]bool{}}
	var claims, common []string
	for _, name := range tenants {
		claims = append(claims, commonName(name))
	}
	for _, k := range kept {
		claims, common = append(claims, k.Claims...), append(common, k.Common...)
	}
	for page := range slices.Chunk(claims, namesPage) {
		owners, err := r.NameOwners(ctx, page)
		if err != nil {
			return nil, err
		}
		for _, o := range owners {
			n.owners[o.Name] = append(n.owners[o.Name], o.Tenant)
		}
	}
	for page := range slices.Chunk(common, namesPage) {
		existing, err := r.TenantsNamed(ctx, page)
		if err != nil {
			return nil, err
		}
		for name := range existing {
			n.tenants[name] = true
		}
	}
	return n, nil
}

// Conflict returns an error if a later generation of certificates that keeps names could be mistaken for one of another
// tenant, because that tenant's certificates keep one of the names, or because one of the two has the other's name as
// its common name. The error is [tenancy.ErrConflict] then.
func (n *Names) Conflict(tenant string, kept KeptNames) error {
	if other, ok := n.other(commonName(tenant), tenant); ok {
		return tenancy.Errorf(tenancy.ErrConflict, "the tenant %s has certificates with the common name %s: receivers "+
			"could not tell the two apart, so choose another name", other, tenant)
	}
	if err := n.conflictOf(tenant, kept); err != nil {
		return fmt.Errorf("%w: "+ApartAdvice, err)
	}
	return nil
}

// conflictOf returns an error if another tenant has one of the names that a tenant's certificates keep.
func (n *Names) conflictOf(tenant string, kept KeptNames) error {
	for _, name := range kept.Claims {
		if other, ok := n.other(name, tenant); ok {
			return tenancy.Errorf(tenancy.ErrConflict, "the tenant %s has certificates with the same name (%s)", other, name)
		}
	}
	for _, name := range kept.Common {
		if n.tenants[name] {
			return tenancy.Errorf(tenancy.ErrConflict, "its common name is that of the tenant %s", name)
		}
	}
	return nil
}

// other returns a tenant besides the given one that keeps a name.
func (n *Names) other(name, than string) (tenant string, ok bool) {
	for _, owner := range n.owners[name] {
		if owner != than {
			return owner, true
		}
	}
	return "", false
}

// add records a new tenant with the names that its certificates keep.
func (n *Names) add(tenant string, kept KeptNames) {
	n.tenants[tenant] = true
	for _, name := range kept.stored() {
		n.owners[name] = append(n.owners[name], tenant)
	}
}

// stored returns the names in the form in which they are stored, each once.
func (k KeptNames) stored() []string {
	names := slices.Clone(k.Claims)
	for _, name := range k.Common {
		names = append(names, commonName(name))
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// of returns the names as they are stored for a tenant.
func (k KeptNames) of(t tenancy.Tenant) (rows []store.KeptName) {
	for _, name := range k.stored() {
		rows = append(rows, store.KeptName{Name: name, TenantID: t.ID})
	}
	return rows
}

// conflict returns an error if a new tenant exists already, or if two of them, or one and an existing one, could be
// mistaken for each other. The caller holds [store.Tx.LockNames].
func conflict(ctx context.Context, r store.Reader, tenants []tenancy.Tenant, kept []KeptNames) error {
	names := make([]string, len(tenants))
	for i, t := range tenants {
		names[i] = t.Name
	}
	existing, err := r.TenantsNamed(ctx, names)
	if err != nil {
		return err
	}
	used, err := namesInUse(ctx, r, names, kept)
	if err != nil {
		return err
	}
	for i, name := range names {
		if _, exists := existing[name]; exists {
			return tenancy.Errorf(tenancy.ErrConflict, "a tenant %s already exists", name)
		}
		if err := used.Conflict(name, kept[i]); err != nil {
			return err
		}
		used.add(name, kept[i])
	}
	return nil
}

// commonName is the name under which a kept common name is stored.
func commonName(folded string) string { return "cn:" + folded }
