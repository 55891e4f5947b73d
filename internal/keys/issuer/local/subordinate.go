package local

import (
	"bytes"
	"context"
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"golang.org/x/crypto/cryptobyte"

	"github.com/perennial-pki/perennial/internal/keys/certfile"
	"github.com/perennial-pki/perennial/internal/keys/issuer"
	"github.com/perennial-pki/perennial/internal/keys/keyring"
	"github.com/perennial-pki/perennial/tenancy"
)

// RequestAuthority implements [issuer.Subordinate].
func (ca *CA) RequestAuthority(ctx context.Context, key string, now time.Time) (r tenancy.AuthorityRequest,
	err error) {
	ca.mu.Lock()
	defer ca.mu.Unlock()
	if err := ca.reload(ctx, now); err != nil {
		return r, err
	}
	if _, err := ca.onlyOne(now); err != nil {
		return r, err
	}
	return ca.request(ctx, key, now)
}

// request returns the open request for the next issuing CA. If there is none, or if it has another key than the named
// one, it creates one.
func (ca *CA) request(ctx context.Context, named string, now time.Time) (r tenancy.AuthorityRequest, err error) {
	position := len(ca.issuing) + 1
	open, found, err := ca.openRequest(ctx, position)
	if err != nil || found && (named == "" || named == issuer.SealedKey && open.KeyURI == "") {
		return open, err
	}
	key, err := ca.newKey(ctx, ca.keyOf(named))
	if err != nil {
		return r, err
	}
	if found && requestHas(open, key) {
		return open, nil
	}
	if r, err = ca.makeRequest(position, key, now); err != nil {
		return r, fmt.Errorf("request a CA: %w", err)
	}
	if found {
		return r, ca.storage.ReplaceAuthorityRequest(ctx, open.ID, r)
	}
	err = ca.storage.AddAuthorityRequest(ctx, r)
	if errors.Is(err, tenancy.ErrConflict) { // another replica was faster
		r, _, err = ca.openRequest(ctx, position)
	}
	return r, err
}

// requestHas reports whether a request is for a key.
func requestHas(r tenancy.AuthorityRequest, key newKey) bool {
	csr, err := x509.ParseCertificateRequest(r.CSR)
	return err == nil && r.KeyURI == key.uri && sameKey(csr.PublicKey, key.Public())
}

func (ca *CA) openRequest(ctx context.Context, position int) (r tenancy.AuthorityRequest, found bool, err error) {
	all, err := ca.storage.AuthorityRequests(ctx)
	if err != nil {
		return r, false, fmt.Errorf("read the requests for a CA: %w", err)
	}
	i := slices.IndexFunc(all, func(r tenancy.AuthorityRequest) bool { return r.Position == position })
	if i < 0 {
		return r, false, nil
	}
	return all[i], true, nil
}

// The extensions that a request asks for (RFC 5280, sections 4.2.1.3, 4.2.1.9, 4.2.1.10, 4.2.1.12).
var requested = []asn1.ObjectIdentifier{{2, 5, 29, 15}, {2, 5, 29, 19}, {2, 5, 29, 30}, {2, 5, 29, 37}}

func (ca *CA) makeRequest(position int, key newKey, now time.Time) (r tenancy.AuthorityRequest, err error) {
	own, err := keyring.Generate(tenancy.P256)
	if err != nil {
		return r, err
	}
	template := ca.template("issuing CA", position, now)
	template.NotAfter = template.NotBefore.Add(issuingLifetime)
	ca.constrain(template)
	der, err := x509.CreateCertificate(rand.Reader, template, template, own.Public(), own) // for its extensions alone
	if err != nil {
		return r, err
	}
	made, err := x509.ParseCertificate(der)
	if err != nil {
		return r, err
	}
	ask := &x509.CertificateRequest{Subject: template.Subject}
	for _, e := range made.Extensions {
		if slices.ContainsFunc(requested, e.Id.Equal) {
			ask.ExtraExtensions = append(ask.ExtraExtensions, pkix.Extension{Id: e.Id, Critical: e.Critical, Value: e.Value})
		}
	}
	if above := ca.last().root; above.key == nil && len(above.CRL) > 0 { // the root was made here
		points, err := pointsExtension(ca.distributionPoints(above))
		if err != nil {
			return r, err
		}
		ask.ExtraExtensions = append(ask.ExtraExtensions, points...)
	}
	csr, err := x509.CreateCertificateRequest(rand.Reader, ask, key.Signer)
	if err != nil {
		return r, err
	}
	id, err := uuid.NewV7()
	if err != nil {
		return r, err
	}
	r = tenancy.AuthorityRequest{ID: id.String(), Position: position, CSR: csr, CreatedAt: now, KeyURI: key.uri}
	r.SealedKey, err = ca.seal(key, r.SealContext())
	return r, err
}

var distributionPoints = asn1.ObjectIdentifier{2, 5, 29, 31} // RFC 5280, section 4.2.1.13

// pointsExtension returns the extension for the addresses of revocation lists; none without addresses.
func pointsExtension(addresses []string) ([]pkix.Extension, error) {
	if len(addresses) == 0 {
		return nil, nil
	}
	var b cryptobyte.Builder
	addPoints(&b, addresses)
	value, err := b.Bytes()
	return []pkix.Extension{{Id: distributionPoints, Value: value}}, err
}

// Awaited implements [issuer.Subordinate].
func (ca *CA) Awaited(now time.Time) (by time.Time, ok bool) {
	ca.mu.RLock()
	defer ca.mu.RUnlock()
	last := ca.last()
	if last.root.key != nil || last.SignsFrom.After(now) || now.Before(ca.announceAt(last)) {
		return by, false
	}
	return ca.lastMoment(last).Add(-Notice), true
}

// InstallAuthority implements [issuer.Subordinate].
func (ca *CA) InstallAuthority(ctx context.Context, file []byte, signsFrom, now time.Time) (none tenancy.Authority,
	err error) {
	ca.mu.Lock()
	defer ca.mu.Unlock()
	if err := ca.reload(ctx, now); err != nil {
		return none, err
	}
	if last, err := ca.onlyOne(now); err != nil {
		return last.Authority, err
	}
	from, err := ca.begin(signsFrom, now)
	if err != nil {
		return none, err
	}
	certs, err := certfile.ParseAll(file, "")
	if err != nil {
		return none, tenancy.Invalid("chain", "%v", err)
	}
	r, leaf, err := ca.answered(ctx, certs)
	if err != nil {
		return none, err
	}
	line, err := ca.lineOf(leaf, certs)
	if err != nil {
		return none, err
	}
	key, err := ca.openKey(r.SealedKey, r.KeyURI, r.SealContext(), leaf.PublicKey)
	if err != nil {
		return none, err
	}
	if err := ca.checkLine(line, key, from, now); err != nil {
		return none, err
	}
	if err := ca.install(ctx, r, line, from); err != nil {
		return none, err
	}
	err = ca.reload(ctx, now)
	return ca.last().Authority, err
}

// install stores an issuing CA, and its root if that is not known.
func (ca *CA) install(ctx context.Context, r tenancy.AuthorityRequest, line []*x509.Certificate, from time.Time) error {
	leaf, top := line[0], line[len(line)-1]
	made := tenancy.Authority{ID: r.ID, Kind: tenancy.IssuingAuthority, Position: len(ca.issuing) + 1, DER: leaf.Raw,
		SealedKey: r.SealedKey, KeyURI: r.KeyURI, NotBefore: leaf.NotBefore, NotAfter: leaf.NotAfter, SignsFrom: from}
	for _, c := range line[1 : len(line)-1] {
		made.Above = append(made.Above, c.Raw...)
	}
	var all []tenancy.Authority
	if i := slices.IndexFunc(ca.roots, func(a *authority) bool { return bytes.Equal(a.DER, top.Raw) }); i >= 0 {
		made.ParentID = ca.roots[i].ID
	} else {
		id, err := uuid.NewV7()
		if err != nil {
			return err
		}
		made.ParentID = id.String()
		all = append(all, tenancy.Authority{ID: made.ParentID, Kind: tenancy.RootAuthority, Position: len(ca.roots) + 1,
			DER: top.Raw, NotBefore: top.NotBefore, NotAfter: top.NotAfter})
	}
	if err := ca.storage.InstallAuthority(ctx, r.ID, append(all, made)...); err != nil {
		return fmt.Errorf("install the CA %s: %w", certfile.Name(leaf.RawSubject), err)
	}
	return nil
}

// answered returns the request that one of the certificates answers; of several, the one that expires last.
func (ca *CA) answered(ctx context.Context, certs []*x509.Certificate) (r tenancy.AuthorityRequest,
	leaf *x509.Certificate, err error) {
	all, err := ca.storage.AuthorityRequests(ctx)
	if err != nil {
		return r, nil, fmt.Errorf("read the requests for a CA: %w", err)
	}
	for _, one := range all {
		csr, err := x509.ParseCertificateRequest(one.CSR)
		if err != nil {
			return r, nil, fmt.Errorf("request %s for a CA: %w", one.ID, err)
		}
		for _, c := range certs {
			if sameKey(c.PublicKey, csr.PublicKey) && (leaf == nil || c.NotAfter.After(leaf.NotAfter)) {
				r, leaf = one, c
			}
		}
	}
	switch {
	case len(all) == 0:
		return r, nil, tenancy.Errorf(tenancy.ErrRefused, "no request for an issuing CA is open: create one with "+
			"\"perennial authority csr\", and have your root sign it")
	case leaf == nil:
		return r, nil, tenancy.Invalid("chain", "has no certificate for the key of the open request: have your root sign "+
			"the request of \"perennial authority csr\", and install the result")
	}
	return r, leaf, nil
}

func sameKey(a, b crypto.PublicKey) bool {
	key, ok := a.(interface{ Equal(crypto.PublicKey) bool })
	return ok && key.Equal(b)
}

// lineOf returns an issuing CA and the authorities above it, with the self-signed root last.
func (ca *CA) lineOf(leaf *x509.Certificate, certs []*x509.Certificate) ([]*x509.Certificate, error) {
	for _, root := range ca.roots {
		certs = append(certs, root.cert)
	}
	line, top := climb([]*x509.Certificate{leaf}, certs)
	if line == nil {
		return nil, tenancy.Invalid("chain", "lacks the certificate of %s, which signed %s: include every certificate up "+
			"to the self-signed root", certfile.Name(top.RawIssuer), certfile.Name(top.RawSubject))
	}
	if len(line) == 1 {
		return nil, tenancy.Invalid("chain", "has a self-signed certificate for the requested key: have your root sign the "+
			"request")
	}
	return line, nil
}

// climb extends a chain with certificates that signed its last one, up to a self-signed one. If it finds none, the
// chain is nil, and top is the highest certificate that was reached.
func climb(line, certs []*x509.Certificate) (whole []*x509.Certificate, top *x509.Certificate) {
	top = line[len(line)-1]
	if signedBy(top, top) {
		return line, top
	}
	highest, reached := top, len(line)
	for _, c := range certs {
		if slices.ContainsFunc(line, c.Equal) || !signedBy(top, c) {
			continue
		}
		found, above := climb(append(slices.Clone(line), c), certs)
		if found != nil {
			return found, above
		}
		if len(line)+1 > reached {
			highest, reached = above, len(line)+1
		}
	}
	return nil, highest
}

// signedBy reports whether the key of a CA signed a certificate, whether or not the CA may do so.
func signedBy(c, by *x509.Certificate) bool {
	return bytes.Equal(c.RawIssuer, by.RawSubject) &&
		by.CheckSignature(c.SignatureAlgorithm, c.RawTBSCertificate, c.Signature) == nil
}

// A fault is a reason for which an issuing CA cannot be installed.
type fault struct {
	found bool
	text  string
}

func firstFault(all []fault) error {
	for _, f := range all {
		if f.found {
			return tenancy.Invalid("chain", "%s", f.text)
		}
	}
	return nil
}

// checkLine returns an error unless receivers accept, up to the root, what the issuing CA at the beginning of the line
// signs from an instant on.
func (ca *CA) checkLine(line []*x509.Certificate, key crypto.Signer, from, now time.Time) error {
	const signs = x509.KeyUsageCertSign | x509.KeyUsageCRLSign
	leaf := line[0]
	name, until := certfile.Name(leaf.RawSubject), from.Add(ca.config.LongestValidity+Notice)
	err := firstFault([]fault{
		{len(leaf.RawSubject) <= len(emptyName), "has an issuing CA without a subject: have the request signed with its " +
			"subject"},
		{!leaf.BasicConstraintsValid || !leaf.IsCA, "is not that of a CA: have the request signed with basicConstraints = " +
			"critical, CA:TRUE, pathlen:0"},
		{leaf.KeyUsage&signs != signs, "has an issuing CA that may not sign certificates and revocation lists: have the " +
			"request signed with keyUsage = critical, keyCertSign, cRLSign"},
		{!forClients(leaf), "has an issuing CA whose extended key usage excludes clients: have the request signed with " +
			"extendedKeyUsage = clientAuth, or without that extension"},
		{leaf.NotAfter.Before(until), fmt.Sprintf("has an issuing CA that expires on %s, which is too early: have the "+
			"request signed until %s at least, so that the CA outlives the certificates that it signs",
			dateOf(leaf.NotAfter), dateOf(until))},
	})
	if err != nil {
		return err
	}
	for i, c := range line {
		own := certfile.Name(c.RawSubject)
		err := firstFault([]fault{
			{now.Before(c.NotBefore), fmt.Sprintf("has %s, which is not valid before %s: install the chain then, or correct "+
				"the clock of the CA", own, c.NotBefore.UTC().Format(time.RFC3339))},
			{i > 0 && (!c.BasicConstraintsValid || !c.IsCA || c.KeyUsage != 0 && c.KeyUsage&x509.KeyUsageCertSign == 0),
				fmt.Sprintf("has %s, which may not sign certificates: have another CA sign the request", own)},
			{c.MaxPathLen >= 0 && (c.MaxPathLen > 0 || c.MaxPathLenZero) && c.MaxPathLen < i, fmt.Sprintf("has %s, whose "+
				"pathlen allows %d CAs below it, but there are %d: have the request signed by a CA whose pathlen allows them",
				own, c.MaxPathLen, i)},
			{c.NotAfter.Before(leaf.NotAfter), fmt.Sprintf("has %s, which expires on %s, before the issuing CA %s: have the "+
				"request signed until then at most", own, dateOf(c.NotAfter), name)},
		})
		if err != nil {
			return err
		}
	}
	return ca.tryLine(line, key, from)
}

var emptyName = []byte{0x30, 0}

func dateOf(t time.Time) string { return t.UTC().Format(time.DateOnly) }

func forClients(c *x509.Certificate) bool {
	return len(c.ExtKeyUsage)+len(c.UnknownExtKeyUsage) == 0 || slices.ContainsFunc(c.ExtKeyUsage,
		func(u x509.ExtKeyUsage) bool { return u == x509.ExtKeyUsageClientAuth || u == x509.ExtKeyUsageAny })
}

// tryLine signs a certificate of a tenant that is discarded, and verifies it as a receiver does that trusts the root.
func (ca *CA) tryLine(line []*x509.Certificate, key crypto.Signer, from time.Time) error {
	names, err := ca.form().Names(issuer.Request{Tenant: "trial", Purpose: tenancy.ForTenant})
	if err != nil {
		return err
	}
	template := &x509.Certificate{SerialNumber: newSerial(), RawSubject: names.Subject, NotBefore: from,
		NotAfter: from.Add(ca.config.LongestValidity), KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage:     []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
		ExtraExtensions: []pkix.Extension{names.SANExtension()}}
	der, err := x509.CreateCertificate(rand.Reader, template, line[0], key.Public(), key)
	if away := (*keyring.Away)(nil); errors.As(err, &away) {
		return &issuer.Error{Fault: issuer.KeyAway, Text: "try the key of the issuing CA", Err: err}
	}
	if err != nil {
		return err
	}
	trial, err := x509.ParseCertificate(der)
	if err != nil {
		return err
	}
	options := x509.VerifyOptions{Roots: x509.NewCertPool(), Intermediates: x509.NewCertPool(), CurrentTime: from,
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}
	options.Roots.AddCert(line[len(line)-1])
	for _, c := range line[:len(line)-1] {
		options.Intermediates.AddCert(c)
	}
	if _, err := trial.Verify(options); err != nil {
		return tenancy.Invalid("chain", "leads to certificates that receivers refuse (%v): have the request signed with the "+
			"extensions that it asks for, by a CA whose constraints allow clients of %s", err, ca.config.TrustDomain)
	}
	return nil
}
