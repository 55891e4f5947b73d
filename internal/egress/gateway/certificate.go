package gateway

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/perennial-pki/perennial/tenancy"
)

// certificated returns the tenant of a request's verified client certificate. The certificate must be valid now, have a
// URI of the senders' trust domain, and not be revoked. Existing connections are checked again at each request.
func (g *Gateway) certificated(r *http.Request) (tenant string, err error) {
	chain := r.TLS.VerifiedChains[0]
	tenant, ok := tenantOf(chain[0], g.senderDomain)
	switch {
	case !ok:
		return "", fmt.Errorf("the client certificate has no URI spiffe://%s/tenant/NAME: use a certificate of this "+
			"installation, or a token", g.senderDomain)
	case !g.now().Before(chain[0].NotAfter):
		return "", errors.New("the client certificate has expired: connect again with the new one")
	}
	return tenant, g.revoked.check(chain, g.now())
}

func tenantOf(c *x509.Certificate, domain string) (tenant string, ok bool) {
	for _, u := range c.URIs {
		name, path := strings.CutPrefix(u.Path, "/tenant/")
		if path && domain != "" && u.Scheme == "spiffe" && strings.EqualFold(u.Host, domain) &&
			tenancy.CheckName("tenant", name) == nil {
			return name, true
		}
	}
	return "", false
}

// lookEvery is the interval at which the file of revocation lists is checked.
const lookEvery = 5 * time.Second

// revocations are the revocation lists of the CAs of senders' certificates, from a file that is read again when it has
// changed. Without a file, certificates that name a revocation list are refused, because it cannot be checked.
type revocations struct {
	path string // empty for none
	log  *slog.Logger

	mu     sync.Mutex // guards the fields below
	looked time.Time
	size   int64
	at     time.Time // of the file's latest change
	lists  []*x509.RevocationList
	of     map[string]*authorityList // the lists in use, by the certificate of the CA; nil if a CA has none
	err    error                     // of the latest reading
}

// An authorityList is the newest list that a CA has signed.
type authorityList struct {
	until   time.Time
	revoked map[string]bool // by serial number
}

// check returns an error unless a chain is known not to be revoked. The list of the CA that issued the sender's
// certificate must exist and be current (RFC 5280, section 6.3.3). The lists of the CAs above it count if they exist.
func (v *revocations) check(chain []*x509.Certificate, now time.Time) error {
	if v.path == "" {
		if len(chain[0].CRLDistributionPoints) > 0 {
			return errors.New("the client certificate names a revocation list, which is not checked here: start the gateway " +
				"with --gateway-client-crl, or send a token")
		}
		return nil
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if err := v.read(now); err != nil {
		return errors.New("the revocation lists of client certificates cannot be read: see the gateway's log, or " +
			"send a token")
	}
	for i, c := range chain[:len(chain)-1] {
		list := v.listOf(chain[i+1])
		switch {
		case list == nil && i > 0:
			continue
		case list == nil:
			return fmt.Errorf("the file of --gateway-client-crl has no revocation list of %s: add it, or send a token",
				chain[i+1].Subject)
		case !now.Before(list.until):
			return fmt.Errorf("the revocation list of %s is out of date since %s: refresh the file of --gateway-client-crl",
				chain[i+1].Subject, list.until.UTC().Format(time.RFC3339))
		case list.revoked[c.SerialNumber.String()]:
			return errors.New("the client certificate, or that of its CA, is revoked")
		}
	}
	return nil
}

// listOf returns the newest list that a CA has signed; nil if there is none. Signatures are verified once, not for each
// message.
func (v *revocations) listOf(ca *x509.Certificate) *authorityList {
	list, known := v.of[string(ca.Raw)]
	if known {
		return list
	}
	var newest *x509.RevocationList
	for _, l := range v.lists {
		if bytes.Equal(l.RawIssuer, ca.RawSubject) && (newest == nil || l.ThisUpdate.After(newest.ThisUpdate)) &&
			l.CheckSignatureFrom(ca) == nil {
			newest = l
		}
	}
	if newest != nil {
		list = &authorityList{newest.NextUpdate, make(map[string]bool, len(newest.RevokedCertificateEntries))}
		for _, e := range newest.RevokedCertificateEntries {
			list.revoked[e.SerialNumber.String()] = true
		}
	}
	v.of[string(ca.Raw)] = list
	return list
}

// read reads the file if it has changed. A file that was damaged after the start is an error, because a revocation may
// be missing.
func (v *revocations) read(now time.Time) error {
	if now.Sub(v.looked) < lookEvery && !now.Before(v.looked) {
		return v.err
	}
	v.looked = now
	info, err := os.Stat(v.path)
	if err == nil && info.Size() == v.size && info.ModTime().Equal(v.at) && v.lists != nil {
		return nil
	}
	var lists []*x509.RevocationList
	if err == nil {
		v.size, v.at = info.Size(), info.ModTime()
		lists, err = ReadRevocations(v.path)
	}
	if v.lists, v.of, v.err = lists, map[string]*authorityList{}, err; err != nil {
		v.log.Error("the revocation lists of senders' certificates cannot be read: their certificates are refused", "file",
			v.path, "error", err)
	}
	return v.err
}

// ReadRevocations reads a file of certificate revocation lists: one in DER, or any number in PEM.
func ReadRevocations(path string) (lists []*x509.RevocationList, err error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	block, rest := pem.Decode(data)
	if block == nil {
		block = &pem.Block{Bytes: data}
	}
	for ; block != nil; block, rest = pem.Decode(rest) {
		l, err := x509.ParseRevocationList(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("%s is not a file of certificate revocation lists: %w", path, err)
		}
		lists = append(lists, l)
	}
	return lists, nil
}
