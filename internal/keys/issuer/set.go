package issuer

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Local is the name by which settings ask for the built-in CA. In a [Set], its name is empty.
const Local = "local"

// A Set holds the issuers of an installation by name. The name of the local CA is empty.
type Set map[string]Issuer

// Of returns the issuer of a name. The error names those that exist.
func (s Set) Of(name string) (Issuer, error) {
	if i, ok := s[name]; ok {
		return i, nil
	}
	if name == "" {
		return nil, errors.New("this installation has no local CA: name an issuer of its file")
	}
	names := slices.DeleteFunc(slices.Sorted(maps.Keys(s)), func(n string) bool { return n == "" })
	if len(names) == 0 {
		return nil, fmt.Errorf("the issuer %s is not configured: start the service with --issuers and a file that has it",
			name)
	}
	return nil, fmt.Errorf("the issuer %s is not configured: the issuers are %s", name, strings.Join(names, ", "))
}
