package guard

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/crypto/acme"
	"golang.org/x/crypto/acme/autocert"

	"github.com/perennial-pki/perennial/internal/keys/certfile"
)

// An own certificate is one that the guard presents to callers.
type own struct {
	get       func(*tls.ClientHelloInfo) (*tls.Certificate, error)
	acmeHosts []string         // for which get asks a CA
	notAfter  func() time.Time // zero if there is no certificate yet
}

// certificates are the guard's own ones that are renewed while it runs. They stay when the configuration is read again.
type certificates struct {
	dir      string                                 // of the state
	certify  func(host string) (Certificate, error) // nil without a service
	managers map[string]*autocert.Manager           // by their settings
	issued   map[string]Certificate                 // by the CA of the service, by their hosts
}

func newCertificates(dir string, certify func(host string) (Certificate, error)) *certificates {
	return &certificates{dir, certify, map[string]*autocert.Manager{}, map[string]Certificate{}}
}

// of returns the certificate that a configuration names.
func (c *certificates) of(s Server) (own, error) {
	switch {
	case s.ACME.isSet():
		return c.fromACME(s.ACME)
	case len(s.Perennial) > 0:
		return c.fromService(s.Perennial)
	}
	pair, err := tls.LoadX509KeyPair(s.Cert, s.Key)
	if err != nil {
		return own{}, fmt.Errorf("the guard's own certificate: %w", err)
	}
	return own{get: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return &pair, nil },
		notAfter: func() time.Time { return pair.Leaf.NotAfter }}, nil
}

// fromService returns certificates of the service's CA, which are renewed after two thirds of their lifetime. Another
// name gets that of the first host.
func (c *certificates) fromService(hosts []string) (o own, err error) {
	if c.certify == nil {
		return o, errors.New("perennial: only a guard that runs in the service (perennial serve --guard) has a certificate " +
			"of its CA: use cert and key, or acme")
	}
	byName := map[string]Certificate{}
	for _, host := range hosts {
		host = hostName(host)
		if c.issued[host] == nil {
			if c.issued[host], err = c.certify(host); err != nil {
				return o, fmt.Errorf("perennial: %w", err)
			}
		}
		byName[host] = c.issued[host]
	}
	first := byName[hostName(hosts[0])]
	o.get = func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
		if found := byName[hostName(hello.ServerName)]; found != nil {
			return found.Get(hello)
		}
		return first.Get(hello)
	}
	o.notAfter = func() time.Time {
		current, err := first.Get(&tls.ClientHelloInfo{})
		if err != nil {
			return time.Time{}
		}
		return current.Leaf.NotAfter
	}
	return o, nil
}

// fromACME returns certificates of a CA, which are kept in a folder.
func (c *certificates) fromACME(a ACME) (own, error) {
	key := fmt.Sprintf("%q", a)
	if c.managers[key] == nil {
		m, err := newManager(a, filepath.Join(c.dir, "guard-acme"))
		if err != nil {
			return own{}, fmt.Errorf("acme: %w", err)
		}
		c.managers[key] = m
	}
	m := c.managers[key]
	return own{get: m.GetCertificate, acmeHosts: a.Hosts, notAfter: func() (first time.Time) {
		for _, host := range a.Hosts {
			if at := cached(m.Cache, host); !at.IsZero() && (first.IsZero() || at.Before(first)) {
				first = at
			}
		}
		return first
	}}, nil
}

// cached returns when the certificate of a host in a cache expires; zero if there is none.
func cached(c autocert.Cache, host string) time.Time {
	data, err := c.Get(context.Background(), host)
	if err != nil {
		return time.Time{}
	}
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		if parsed, err := x509.ParseCertificate(block.Bytes); block.Type == "CERTIFICATE" && err == nil {
			return parsed.NotAfter
		}
	}
	return time.Time{}
}

// newManager gets certificates from a CA, and keeps them in a folder.
func newManager(a ACME, dir string) (*autocert.Manager, error) {
	client := &acme.Client{DirectoryURL: a.Directory}
	if a.CA != "" {
		roots, err := certfile.ReadRoots(a.CA)
		if err != nil {
			return nil, err
		}
		client.HTTPClient = &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}}
	}
	m := &autocert.Manager{Prompt: autocert.AcceptTOS, Cache: autocert.DirCache(dir), Client: client, Email: a.Email,
		HostPolicy: autocert.HostWhitelist(a.Hosts...)}
	if a.EABID != "" {
		text, err := os.ReadFile(a.EABKeyFile)
		if err != nil {
			return nil, fmt.Errorf("eab_key_file: %w", err)
		}
		key, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(strings.TrimSpace(string(text)), "="))
		if err != nil {
			return nil, errors.New("eab_key_file: the key is not in base64url")
		}
		m.ExternalAccountBinding = &acme.ExternalAccountBinding{KID: a.EABID, Key: key}
	}
	return m, nil
}

// obtainEvery is the time between two attempts to get a certificate.
const obtainEvery = time.Minute

// obtain gets the certificates of a CA before the first call needs them, which would not wait for it.
func (f *front) obtain(ctx context.Context, logger *slog.Logger) {
	again := time.NewTicker(obtainEvery)
	defer again.Stop()
	for {
		all := f.sites.Load()
		for _, s := range append(slices.Collect(maps.Values(all.byName)), all.first) {
			for _, host := range s.own.acmeHosts {
				hello := &tls.ClientHelloInfo{ServerName: host, SupportedVersions: []uint16{tls.VersionTLS13},
					CipherSuites:    []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256},
					SupportedCurves: []tls.CurveID{tls.CurveP256}, SignatureSchemes: []tls.SignatureScheme{tls.ECDSAWithP256AndSHA256}}
				if _, err := s.own.get(hello); err != nil {
					logger.Warn("cannot get the guard's own certificate: another attempt follows in a minute", "host", host,
						"error", err)
				}
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-again.C:
		}
	}
}

// expiry returns when the first of the guard's own certificates expires; zero if there is none yet.
func (f *front) expiry() (first time.Time) {
	all := f.sites.Load()
	for _, s := range append(slices.Collect(maps.Values(all.byName)), all.first) {
		if at := s.own.notAfter(); !at.IsZero() && (first.IsZero() || at.Before(first)) {
			first = at
		}
	}
	return first
}
