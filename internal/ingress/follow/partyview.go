package follow

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/perennial-pki/perennial/internal/feed"
)

// partyView returns what a counterparty's feed asks to accept at an instant, and the generations of each entry by ID.
// An entry of which nothing is left keeps its last certificate. If nothing is left of any of them, that is an error.
//
// The CAs are those of all entries together, so that each signature of a CA is verified once.
func partyView(index feed.Index, of map[string]entry, now time.Time) (View, map[string][]int, error) {
	v := View{Tenant: oneLine(index.Name), Sequence: index.Sequence}
	generationsOf := make(map[string][]int, len(of))
	cas, left := map[string]bool{}, false
	for id, e := range of {
		certificates, err := lastOf(e.Document, now)
		if err != nil {
			return View{}, nil, fmt.Errorf("the arrangement %s of %s: %w", plain(e.Document.Arrangement),
				plain(e.Document.Tenant), err)
		}
		for _, c := range certificates {
			left = left || !now.After(c.NotAfter)
			generationsOf[id] = append(generationsOf[id], c.Generation)
		}
		v.Certificates = append(v.Certificates, certificates...)
		for _, der := range e.Document.CAs {
			cas[string(der)] = true
		}
	}
	if !left {
		return View{}, nil, errNothingLeft
	}
	v.Certificates = inOrder(v.Certificates)
	ders := make([][]byte, 0, len(cas))
	for _, der := range slices.Sorted(maps.Keys(cas)) {
		ders = append(ders, []byte(der))
	}
	var err error
	v.CAs, err = authoritiesOf(v.Certificates, ders, now)
	return v, generationsOf, err
}

// lastOf is [certificatesOf] for an entry of a counterparty's feed. If nothing is left, it returns what was left last:
// the file of a single feed would stay as it is then.
func lastOf(d feed.Document, now time.Time) ([]Certificate, error) {
	all, err := certificatesOf(d, now)
	if !errors.Is(err, errNothingLeft) {
		return all, err
	}
	var last time.Time
	for _, c := range d.Certificates {
		parsed, err := c.Parsed()
		if err != nil {
			return nil, err
		}
		end := parsed.NotAfter
		if c.RemoveAfter != nil && c.RemoveAfter.Before(end) {
			end = *c.RemoveAfter
		}
		if end.After(last) {
			last = end
		}
	}
	return certificatesOf(d, last)
}

// inOrder sorts certificates by tenant, arrangement and generation, and leaves out repetitions: the arrangements of one
// tenant present the same certificates.
func inOrder(all []Certificate) (once []Certificate) {
	slices.SortFunc(all, func(a, b Certificate) int {
		return cmp.Or(strings.Compare(a.Tenant, b.Tenant), strings.Compare(a.Arrangement, b.Arrangement),
			a.Generation-b.Generation)
	})
	seen := map[string]bool{}
	for _, c := range all {
		if !seen[c.SHA256] {
			once = append(once, c)
		}
		seen[c.SHA256] = true
	}
	return once
}
