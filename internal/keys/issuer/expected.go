package issuer

import (
	"errors"

	"github.com/perennial-pki/perennial/internal/keys/certfile"
	"github.com/perennial-pki/perennial/tenancy"
)

// Expected describes the certificate that will replace another one, apart from its key and its dates.
type Expected struct {
	Changes tenancy.Changes
	Names   certfile.Names
	Issuer  string // RFC 4514
	Root    string // RFC 4514
}

// Expect returns what i will issue for the request in place of the certificate at the head of the chain (DER, without
// the root). ok is false if the issuer decides that elsewhere. The error describes a certificate that cannot be read.
func Expect(i Issuer, r Request, chain [][]byte) (e Expected, ok bool, err error) {
	namer, isNamer := As[Namer](i)
	hierarchy, hasAuthorities := As[Hierarchy](i)
	if !isNamer || !hasAuthorities {
		return e, false, nil
	}
	replaced, err := certfile.NamesOf(chain[0])
	if err != nil {
		return e, false, err
	}
	r.Replaces = &replaced
	if e.Names, err = namer.Names(r); err != nil {
		return e, false, err
	}
	above, err := lineage(hierarchy.Plans(r.At), hierarchy.Signing(r.At))
	if err != nil {
		return e, false, err
	}
	if e.Changes, err = certfile.Foreseen(chain, e.Names, above); err != nil {
		return e, false, err
	}
	signing, err1 := certfile.NamesOf(above[0])
	root, err2 := certfile.NamesOf(above[len(above)-1])
	e.Issuer, e.Root = certfile.Name(signing.Subject), certfile.Name(root.Subject)
	return e, true, errors.Join(err1, err2)
}

// lineage returns an authority and those above it (DER), the root last.
func lineage(all []Plan, a tenancy.Authority) (der [][]byte, err error) {
	byID := make(map[string]tenancy.Authority, len(all))
	for _, p := range all {
		byID[p.ID] = p.Authority
	}
	for range len(all) + 1 { // a hierarchy is not deeper than the number of its authorities
		der = append(der, a.DER)
		above, err := certfile.SplitChain(a.Above)
		if err != nil {
			return nil, err
		}
		der = append(der, above...)
		parent, found := byID[a.ParentID]
		if !found {
			break
		}
		a = parent
	}
	return der, nil
}
