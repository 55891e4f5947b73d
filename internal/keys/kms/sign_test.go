package kms

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/perennial-pki/perennial/internal/keys/keyring"
)

// signingKeys are the keys of the fakes that sign, by name.
var signingKeys = sync.OnceValue(func() map[string]crypto.Signer {
	keys := map[string]crypto.Signer{}
	var errs [3]error
	keys["p256"], errs[0] = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	keys["p384"], errs[1] = ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	keys["rsa"], errs[2] = rsa.GenerateKey(rand.Reader, 2048)
	if err := errors.Join(errs[:]...); err != nil {
		panic(err)
	}
	return keys
})

func pemOf(t *testing.T, key crypto.Signer) string {
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	check(t, err)
	return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
}

func signDigest(t *testing.T, key crypto.Signer, digest []byte, hash crypto.Hash) []byte {
	signature, err := key.Sign(rand.Reader, digest, hash)
	check(t, err)
	return signature
}

// The names of the algorithms, as each service documents them.
func googleAlgorithm(key crypto.Signer) string {
	return map[string]string{"P-256": "EC_SIGN_P256_SHA256", "P-384": "EC_SIGN_P384_SHA384",
		"": "RSA_SIGN_PKCS1_2048_SHA256"}[curveOf(key)]
}

func awsAlgorithm(key crypto.Signer) (string, crypto.Hash) {
	switch curveOf(key) {
	case "P-256":
		return "ECDSA_SHA_256", crypto.SHA256
	case "P-384":
		return "ECDSA_SHA_384", crypto.SHA384
	}
	return "RSASSA_PKCS1_V1_5_SHA_256", crypto.SHA256
}

func curveOf(key crypto.Signer) string {
	if k, ok := key.Public().(*ecdsa.PublicKey); ok {
		return k.Params().Name
	}
	return ""
}

// azureSignature returns a signature as a Key Vault does: of an EC key, the two numbers in their full size. It returns
// nil if the algorithm does not fit the key.
func azureSignature(t *testing.T, key crypto.Signer, algorithm string, digest []byte) []byte {
	algorithms := map[string]string{"P-256": "ES256", "P-384": "ES384", "": "RS256"}
	hash := map[string]crypto.Hash{"ES256": crypto.SHA256, "ES384": crypto.SHA384, "RS256": crypto.SHA256}[algorithm]
	if algorithms[curveOf(key)] != algorithm || len(digest) != hash.Size() {
		return nil
	}
	signature := signDigest(t, key, digest, hash)
	k, ok := key.Public().(*ecdsa.PublicKey)
	if !ok {
		return signature
	}
	var numbers struct{ R, S *big.Int }
	_, err := asn1.Unmarshal(signature, &numbers)
	check(t, err)
	size := (k.Params().BitSize + 7) / 8
	plain := make([]byte, 2*size)
	numbers.R.FillBytes(plain[:size])
	numbers.S.FillBytes(plain[size:])
	return plain
}

// A signing peer is a service for the tests of every kind of signing key.
type signingPeer struct {
	uris    map[string]string // as an operator names the key, and as it is named from then on
	open    keyring.Signatories
	away    func(bool)
	missing string // the URI of a key that does not exist
	secrets []string
}

// conforms tests what an issuing CA expects of every kind of key.
func (p signingPeer) conforms(t *testing.T) {
	t.Helper()
	for uri, want := range p.uris {
		kind, _, _ := strings.Cut(uri, ":")
		found, err := p.open(uri)
		check(t, err)
		named, public, err := keyring.NamedKey(t.Context(), found)
		if err != nil || named != want {
			t.Fatalf("%s is named %s, %v, want %s", uri, named, err, want)
		}
		signatory, err := p.open(named)
		check(t, err)
		signer := keyring.NewSigner(signatory, public)
		before := counter(t, kind, "sign", "ok")
		p.signs(t, signer)
		if got := counter(t, kind, "sign", "ok") - before; got != 3 {
			t.Errorf("%s: %v calls for three signatures", uri, got)
		}
		other, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		check(t, err)
		digest := make([]byte, 32)
		_, err = keyring.NewSigner(signatory, other.Public()).Sign(rand.Reader, digest, crypto.SHA256)
		p.clean(t, err)
		if err == nil || isAway(err) {
			t.Errorf("%s signs for a certificate with another key: %v", uri, err)
		}
		if _, err := signer.Sign(rand.Reader, digest[1:], crypto.SHA256); err == nil {
			t.Errorf("%s signs what is not a digest", uri)
		}
		if p.away == nil {
			continue
		}
		p.away(true)
		before = counter(t, kind, "sign", "away")
		_, err = signer.Sign(rand.Reader, digest, crypto.SHA256)
		p.clean(t, err)
		if !isAway(err) || counter(t, kind, "sign", "away") != before+1 {
			t.Errorf("%s while it is away: %v", uri, err)
		}
		_, _, err = keyring.NamedKey(t.Context(), found)
		p.clean(t, err)
		if !isAway(err) {
			t.Errorf("%s while it is away: %v", uri, err)
		}
		p.away(false)
		p.signs(t, signer)
	}
	if p.missing == "" {
		return
	}
	missing, err := p.open(p.missing)
	check(t, err)
	_, _, err = keyring.NamedKey(t.Context(), missing)
	p.clean(t, err)
	if err == nil || isAway(err) {
		t.Errorf("a key that does not exist: %v", err)
	}
}

// signs signs a CA, a certificate below it, and a revocation list.
func (p signingPeer) signs(t *testing.T, key crypto.Signer) {
	t.Helper()
	now := time.Now()
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "CA"}, NotBefore: now,
		NotAfter: now.Add(time.Hour), IsCA: true, BasicConstraintsValid: true, SubjectKeyId: []byte{1},
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	check(t, err)
	ca, err := x509.ParseCertificate(der)
	check(t, err)
	leaf, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	check(t, err)
	der, err = x509.CreateCertificate(rand.Reader, &x509.Certificate{SerialNumber: big.NewInt(2), NotBefore: now,
		NotAfter: now.Add(time.Minute)}, ca, leaf.Public(), key)
	check(t, err)
	c, err := x509.ParseCertificate(der)
	check(t, err)
	list, err := x509.CreateRevocationList(rand.Reader, &x509.RevocationList{Number: big.NewInt(1), ThisUpdate: now,
		NextUpdate: now.Add(time.Hour)}, ca, key)
	check(t, err)
	crl, err := x509.ParseRevocationList(list)
	check(t, err)
	if err := errors.Join(c.CheckSignatureFrom(ca), crl.CheckSignatureFrom(ca)); err != nil {
		t.Error(err)
	}
}

// clean demands that an error has no secret.
func (p signingPeer) clean(t *testing.T, err error) { peer{secrets: p.secrets}.clean(t, err) }

func TestAVaultSignsWithEachVersionOfAKey(t *testing.T) {
	s, p := startVault(t)
	t.Setenv("VAULT_ADDR", s.URL)
	base := strings.TrimSuffix(p.uri, "a")
	s.AddSigningKey("p256", signingKeys()["p256"])
	s.AddSigningKey("rsa", signingKeys()["rsa"])
	all := signingPeer{uris: map[string]string{base + "p256": base + "p256", base + "rsa": base + "rsa"},
		open: OpenSigner, away: p.away, missing: base + "none", secrets: p.secrets}
	all.conforms(t)
	old, err := OpenSigner(base + "p256")
	check(t, err)
	_, public, err := keyring.NamedKey(t.Context(), old)
	check(t, err)
	second, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	check(t, err)
	s.AddSigningKey("p256", second)
	rotated, err := OpenSigner(base + "p256")
	check(t, err)
	all.signs(t, keyring.NewSigner(rotated, public))
	if _, newest, err := keyring.NamedKey(t.Context(), rotated); err != nil || !same(newest, second.Public()) {
		t.Errorf("the URI does not name the newest version: %v", err)
	}
	_, edwards, err := ed25519.GenerateKey(rand.Reader)
	check(t, err)
	s.AddSigningKey("ed25519", edwards)
	other, err := OpenSigner(base + "ed25519")
	check(t, err)
	_, _, err = keyring.NamedKey(t.Context(), other)
	wantError(t, "another type", err, "create one of the type ecdsa-p256 or rsa-3072")
	// The token is sent to no host that a caller chooses.
	t.Setenv("VAULT_ADDR", "")
	_, err = OpenSigner(base + "p256")
	wantError(t, "no address", err, "set VAULT_ADDR to the Vault that signs")
}

func TestAWSKMSSigns(t *testing.T) {
	c, p := startAWS(t)
	base := strings.TrimSuffix(p.uri, "a")
	alias := strings.Replace(base, ":key/", ":alias/issuing", 1)
	signingPeer{uris: map[string]string{base + "p256": base + "p256", base + "p384": base + "p384",
		base + "rsa": base + "rsa", alias: base + "p256"},
		open: func(uri string) (keyring.Signatory, error) { return openSigner(uri, c.http) }, away: c.away,
		missing: base + "none", secrets: p.secrets}.conforms(t)
}

func TestGoogleCloudKMSSigns(t *testing.T) {
	c, p := startGoogle(t)
	open := func(uri string) (keyring.Signatory, error) { return openSigner(uri, c.http) }
	uris := map[string]string{}
	version := func(name string) string { return strings.TrimSuffix(p.uri, "a") + name + "/cryptoKeyVersions/1" }
	for _, name := range []string{"p256", "p384", "rsa"} {
		uris[version(name)] = version(name)
	}
	signingPeer{uris: uris, open: open, away: c.away, missing: version("none"), secrets: p.secrets}.conforms(t)
	_, err := open(p.uri)
	wantError(t, "no version", err, "needs the resource name of a version of a key")
	damaged, err := open(version("p256"))
	check(t, err)
	path := "/v1/" + strings.TrimPrefix(version("p256"), "gcp-kms://")
	for _, answer := range []string{`{}`, `{"name":"` + strings.TrimPrefix(path, "/v1/") +
		`","signature":"YWJj","signatureCrc32c":"1","verifiedDigestCrc32c":true}`} {
		c.answer(path+":asymmetricSign", answer)
		_, err = damaged.Sign(t.Context(), signingKeys()["p256"].Public(), make([]byte, 32), crypto.SHA256)
		wantError(t, answer, err, "was damaged on the way")
	}
	c.answer(path+"/publicKey", strings.ReplaceAll(fmt.Sprintf(`{"name":%q,"pem":"x","pemCrc32c":%q,"algorithm":%q}`,
		strings.TrimPrefix(path, "/v1/"), checksum([]byte("x")), "EC_SIGN_ED25519"), "\n", ""))
	_, _, err = damaged.Key(t.Context())
	wantError(t, "Ed25519", err, `the algorithm "EC_SIGN_ED25519" of the key is not supported: use EC_SIGN_P256_SHA256`)
}

func TestAnAzureKeyVaultSigns(t *testing.T) {
	c, p := startAzure(t)
	t.Setenv(azureVault, "example.vault.azure.net")
	open := func(uri string) (keyring.Signatory, error) { return openSigner(uri, c.http) }
	base, version := strings.TrimSuffix(p.uri, "a"), "/0123456789abcdef0123456789abcdef"
	signingPeer{uris: map[string]string{base + "p256": base + "p256" + version, base + "rsa": base + "rsa" + version,
		base + "p384" + version: base + "p384" + version}, open: open, away: c.away, missing: base + "none",
		secrets: p.secrets}.conforms(t)
	_, err := open(base + "p256/..")
	wantError(t, "not a version", err, "the version of the key in the URI is not valid")
	t.Setenv(azureVault, "")
	_, err = open(base + "p256")
	wantError(t, "another vault", err, "set PERENNIAL_AZURE_VAULT to the host of the Key Vault that signs")
}

func TestAServiceThatSignsWithAnotherKeyIsNoticed(t *testing.T) {
	c, p := startAWS(t)
	signatory, err := openSigner(strings.TrimSuffix(p.uri, "a")+"p256", c.http)
	check(t, err)
	signer := keyring.NewSigner(signatory, signingKeys()["p256"].Public())
	c.answer("/", `{"Signature":"MAYCAQECAQE="}`)
	_, err = signer.Sign(rand.Reader, make([]byte, 32), crypto.SHA256)
	wantError(t, "another key", err, "the remote key is not that of the certificate")
}
