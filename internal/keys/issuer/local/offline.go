package local

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"time"
	"unicode/utf8"

	"github.com/perennial-pki/perennial/internal/keys/certfile"
	"github.com/perennial-pki/perennial/internal/keys/issuer"
	"github.com/perennial-pki/perennial/tenancy"
)

// minPassphrase is the shortest passphrase of an export. A shorter one could be guessed from a stolen file.
const minPassphrase = 16

// ExportRoot implements [issuer.Exporter].
func (ca *CA) ExportRoot(id, passphrase string) ([]byte, error) {
	root, err := ca.exportable(id)
	if err != nil {
		return nil, err
	}
	if utf8.RuneCountInString(passphrase) < minPassphrase {
		return nil, tenancy.Invalid("passphrase", "has fewer than %d characters", minPassphrase)
	}
	key, err := certfile.EncryptKey(root.key, passphrase)
	if err != nil {
		return nil, err
	}
	return append(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: root.DER}), key...), nil
}

func (ca *CA) exportable(id string) (authority, error) {
	root, err := ca.authority(id)
	switch {
	case err != nil:
		return root, err
	case root.Kind != tenancy.RootAuthority:
		return root, tenancy.Errorf(tenancy.ErrRefused, "%s is an issuing CA, which the service signs with: export its root",
			certfile.Name(root.cert.RawSubject))
	case root.key == nil:
		return root, tenancy.Errorf(tenancy.ErrRefused, "the key of the root %s is no longer in this service: use the file "+
			"of its export", certfile.Name(root.cert.RawSubject))
	}
	return root, nil
}

// LastList implements [issuer.Exporter].
func (ca *CA) LastList(id string, proof []byte, revoked []issuer.Revocation, now time.Time) ([]byte, error) {
	root, err := ca.exportable(id)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(issuer.ExportProof(id))
	if key, ok := root.cert.PublicKey.(*ecdsa.PublicKey); !ok || !ecdsa.VerifyASN1(key, sum[:], proof) {
		return nil, tenancy.Errorf(tenancy.ErrRefused, "the proof is not a signature by the key of the root %s: the export "+
			"cannot be used, and the key stays in the service", certfile.Name(root.cert.RawSubject))
	}
	return root.list(revoked, now, root.NotAfter)
}

// ImportRoot implements [issuer.Exporter].
func (ca *CA) ImportRoot(file []byte, passphrase string, now time.Time) (none tenancy.Authority, err error) {
	opened, err := OpenExport(file, passphrase, now)
	if err != nil {
		return none, tenancy.Invalid("file", "%v", err)
	}
	ca.mu.RLock()
	defer ca.mu.RUnlock()
	name := certfile.Name(opened.Root.RawSubject)
	for _, root := range ca.roots {
		switch {
		case !bytes.Equal(root.DER, opened.Root.Raw):
			continue
		case root.key != nil:
			return none, tenancy.Errorf(tenancy.ErrRefused, "the key of the root %s is in this service already", name)
		case len(root.CRL) == 0:
			return none, tenancy.Errorf(tenancy.ErrRefused, "the root %s was not created by this service, which never has its "+
				"key",
				name)
		}
		brought := root.Authority
		brought.SealedKey, err = ca.keys.SealKey(opened.key, brought.SealContext())
		return brought, err
	}
	return none, tenancy.Errorf(tenancy.ErrRefused, "%s is not a root of this service: see perennial authority list", name)
}

// An OfflineRoot is the root of an export that was opened with its passphrase.
type OfflineRoot struct {
	Root *x509.Certificate
	key  crypto.Signer
}

// OpenExport opens the file of an exported root.
func OpenExport(file []byte, passphrase string, now time.Time) (*OfflineRoot, error) {
	pair, err := certfile.ReadPair(file, passphrase, now)
	switch {
	case err != nil:
		return nil, fmt.Errorf("the export of a root: %w", err)
	case !pair.Leaf.IsCA || !signedBy(pair.Leaf, pair.Leaf):
		return nil, fmt.Errorf("%s is not a root: use the file of \"perennial authority root export\"",
			certfile.Name(pair.Leaf.RawSubject))
	}
	return &OfflineRoot{pair.Leaf, pair.Key}, nil
}

// Proof signs [issuer.ExportProof].
func (e *OfflineRoot) Proof(rootID string) ([]byte, error) {
	sum := sha256.Sum256(issuer.ExportProof(rootID))
	return e.key.Sign(rand.Reader, sum[:], crypto.SHA256)
}

// Sign signs the request (PEM) for an issuing CA, and returns the chain for its installation as PEM. The issuing CA
// gets the extensions that it asks for, if they are those that the service asks for. It ends with the root at the
// latest.
func (e *OfflineRoot) Sign(request []byte, now time.Time) ([]byte, error) {
	if e.Root.NotAfter.Before(now.Add(issuingLifetime / 2)) {
		return nil, fmt.Errorf("the root %s expires on %s, which is too early for another issuing CA: create a new root "+
			"with \"perennial authority announce --new-root\"", certfile.Name(e.Root.RawSubject), dateOf(e.Root.NotAfter))
	}
	block, _ := pem.Decode(request)
	if block == nil || block.Type != "CERTIFICATE REQUEST" {
		return nil, errors.New("not a request: use the file of \"perennial authority csr\"")
	}
	csr, err := x509.ParseCertificateRequest(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("the request cannot be read: %w", err)
	}
	if err := csr.CheckSignature(); err != nil {
		return nil, fmt.Errorf("the request was changed, or its sender does not have the key: %w", err)
	}
	_, keyID, err := encodedKey(csr.PublicKey)
	if err != nil {
		return nil, err
	}
	notBefore := now.Add(-Backdate).UTC().Truncate(time.Second)
	template := &x509.Certificate{SerialNumber: newSerial(), RawSubject: csr.RawSubject, NotBefore: notBefore,
		NotAfter: notBefore.Add(issuingLifetime), SubjectKeyId: keyID}
	if template.NotAfter.After(e.Root.NotAfter) {
		template.NotAfter = e.Root.NotAfter
	}
	for _, extension := range csr.Extensions {
		if !slices.ContainsFunc(append(slices.Clone(requested), distributionPoints), extension.Id.Equal) {
			return nil, fmt.Errorf("the request asks for the extension %s, which an issuing CA of the service does not have",
				extension.Id)
		}
		template.ExtraExtensions = append(template.ExtraExtensions, extension)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, e.Root, csr.PublicKey, e.key)
	if err != nil {
		return nil, err
	}
	made, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	if !made.IsCA || made.MaxPathLen != 0 || !made.MaxPathLenZero {
		return nil, errors.New("the request is not for an issuing CA: it must ask for CA:TRUE, pathlen:0")
	}
	var chain []byte
	for _, der := range [][]byte{der, e.Root.Raw} {
		chain = append(chain, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})...)
	}
	return chain, nil
}
