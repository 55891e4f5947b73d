package guard

import (
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/perennial-pki/perennial/acceptance"
	"github.com/perennial-pki/perennial/internal/keys/certfile"
	"github.com/perennial-pki/perennial/policy"
)

// A reader reads a configuration file and the files that it names. Certificates of CAs that several partners share are
// read once.
type reader struct {
	dir      string
	policies func(nameOrFile string) (policy.Policy, error)
	files    map[string][]*x509.Certificate
	lists    map[string][]*acceptance.Revocations
	stamps   map[string]stamp
}

// read reads a file, relative to the folder of the configuration.
func (r *reader) read(name string) ([]byte, error) {
	path := r.path(name)
	r.stamps[path] = stampOf(path)
	return os.ReadFile(path)
}

func (r *reader) path(name string) string {
	if name == "" || filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(r.dir, name)
}

// noted returns the path of a file that is read later.
func (r *reader) noted(name string) string {
	path := r.path(name)
	if path != "" {
		r.stamps[path] = stampOf(path)
	}
	return path
}

func (r *reader) certificates(name string) ([]*x509.Certificate, error) {
	path := r.path(name)
	if all, ok := r.files[path]; ok {
		return all, nil
	}
	data, err := r.read(name)
	if err != nil {
		return nil, err
	}
	all, err := parse(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	r.files[path] = all
	return all, nil
}

// crls reads the revocation lists of a file: one in DER, or any number in PEM.
func (r *reader) crls(name string) (lists []*acceptance.Revocations, err error) {
	path := r.path(name)
	if lists, ok := r.lists[path]; ok {
		return lists, nil
	}
	data, err := r.read(name)
	if err != nil {
		return nil, err
	}
	all := [][]byte{data}
	if block, rest := pem.Decode(data); block != nil {
		all = nil
		for ; block != nil; block, rest = pem.Decode(rest) {
			all = append(all, block.Bytes)
		}
	}
	for _, der := range all {
		list, err := x509.ParseRevocationList(der)
		if err != nil {
			return nil, fmt.Errorf(
				"%s: not a revocation list (PEM or DER): %s",
				name,
				strings.TrimPrefix(err.Error(), "x509: "),
			)
		}
		entries, err := acceptance.NewRevocations(list)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		lists = append(lists, entries)
	}
	r.lists[path] = lists
	return lists, nil
}

// parse reads the certificates of a file as a TLS server would. A part that cannot be read is an error.
func parse(data []byte) ([]*x509.Certificate, error) {
	all, err := certfile.ParseAll(data, "")
	if err != nil {
		return nil, err
	}
	for i, c := range all {
		if all[i], err = x509.ParseCertificate(c.Raw); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// apart returns the certificates of callers in a file, and those of CAs beside them. Without the former, the first one
// is that of the caller, such as a self-signed certificate.
func apart(all []*x509.Certificate) (leafs, cas []*x509.Certificate) {
	for _, c := range all {
		if c.IsCA {
			cas = append(cas, c)
		} else {
			leafs = append(leafs, c)
		}
	}
	if len(leafs) == 0 && len(cas) > 0 {
		return cas[:1], cas[1:]
	}
	return leafs, cas
}
