package keyring

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/tink-crypto/tink-go/v2/insecurecleartextkeyset"
	"github.com/tink-crypto/tink-go/v2/keyset"
	"github.com/tink-crypto/tink-go/v2/mac"

	"github.com/perennial-pki/perennial/tenancy"
)

func created(t *testing.T) (*Keyring, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "perennial.key")
	k, err := Create(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	return k, path
}

// wantError reports an error that is missing or lacks a text.
func wantError(t *testing.T, what string, err error, want string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("%s: %v, want %q", what, err, want)
	}
}

const cannotOpen = "a sealed key cannot be opened: use the key file that it was sealed with"

func TestASealedKeyOpensOnlyWithItsContextAndItsKeyFile(t *testing.T) {
	k, path := created(t)
	_, otherPath := created(t)
	for kind, bits := range map[tenancy.KeyType]int{tenancy.P256: 256, tenancy.P384: 384, tenancy.RSA2048: 2048,
		tenancy.RSA3072: 3072, tenancy.Ed25519: 256} {
		key, err := Generate(kind)
		if err != nil {
			t.Fatal(err)
		}
		if got := size(key); got != bits {
			t.Errorf("%s: %d bits", kind, got)
		}
		sealed, err := k.SealKey(key, "acme/tenant/1")
		if err != nil {
			t.Fatal(err)
		}
		again, err := Open(t.Context(), path, nil)
		if err != nil {
			t.Fatal(err)
		}
		opened, err := again.OpenKey(sealed, "acme/tenant/1")
		if err != nil || !key.(interface{ Equal(crypto.PrivateKey) bool }).Equal(opened) {
			t.Errorf("%s: %v", kind, err)
		}
		other, err := Open(t.Context(), otherPath, nil)
		if err != nil {
			t.Fatal(err)
		}
		_, err = other.OpenKey(sealed, "acme/tenant/1")
		wantError(t, "another key file", err, cannotOpen)
		_, err = k.OpenKey(sealed, "other/tenant/1")
		wantError(t, "another tenant", err, cannotOpen)
		sealed[len(sealed)-1] ^= 1
		_, err = k.OpenKey(sealed, "acme/tenant/1")
		wantError(t, "a changed key", err, cannotOpen)
	}
	if key, err := Generate("dsa"); !errors.Is(err, tenancy.ErrInvalid) || key != nil {
		t.Errorf("got %v", err)
	}
}

func size(key crypto.Signer) int {
	switch public := key.Public().(type) {
	case *ecdsa.PublicKey:
		return public.Curve.Params().BitSize
	case *rsa.PublicKey:
		return public.N.BitLen()
	case ed25519.PublicKey:
		return 8 * len(public)
	}
	return 0
}

func TestAKeyInMemoryOpensWhatItSealedAndIsGoneWithTheProcess(t *testing.T) {
	k, err := Ephemeral()
	if err != nil {
		t.Fatal(err)
	}
	sealed, err := k.Seal([]byte("secret"), "c")
	if err != nil || bytes.Contains(sealed, []byte("secret")) {
		t.Errorf("sealed as %q, %v", sealed, err)
	}
	if secret, err := k.Open(sealed, "c"); err != nil || string(secret) != "secret" {
		t.Errorf("%q, %v", secret, err)
	}
	other, err := Ephemeral()
	if err != nil {
		t.Fatal(err)
	}
	secret, err := other.Open(sealed, "c")
	wantError(t, "another process", err, cannotOpen)
	if secret != nil {
		t.Errorf("an error comes with %q", secret)
	}
	wantError(t, "a rotation", k.Rotate(t.Context()), "cannot be rotated in place")
}

func TestOnlyAPrivateKeyThatSignsIsOpenedAsAKey(t *testing.T) {
	k, _ := created(t)
	sealed, err := k.Seal([]byte("not a key"), "c")
	if err != nil {
		t.Fatal(err)
	}
	_, err = k.OpenKey(sealed, "c")
	wantError(t, "another secret", err, "is not a private key")
	agreement, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(agreement)
	if err != nil {
		t.Fatal(err)
	}
	if sealed, err = k.Seal(der, "c"); err != nil {
		t.Fatal(err)
	}
	_, err = k.OpenKey(sealed, "c")
	wantError(t, "a key for key agreement", err, "cannot sign")
	_, err = k.SealKey(foreignSigner{}, "c")
	wantError(t, "a key of an unknown kind", err, "cannot be encoded")
}

// foreignSigner has no encoding.
type foreignSigner struct{ crypto.Signer }

func TestARotatedKeyringStillOpensWhatWasSealedBefore(t *testing.T) {
	k, path := created(t)
	running, err := Open(t.Context(), path, nil) // a service that is not notified of the rotation
	if err != nil {
		t.Fatal(err)
	}
	old, _ := k.Seal([]byte("secret"), "c")
	if !k.Current(old) {
		t.Error("not current before the rotation")
	}
	if err := k.Rotate(t.Context()); err != nil {
		t.Fatal(err)
	}
	if k.Current(old) || k.Keys() != 2 {
		t.Error("still current after the rotation")
	}
	renewed, _ := k.Seal([]byte("secret"), "c")
	if !k.Current(renewed) {
		t.Error("not sealed with the new key")
	}
	for name, ring := range map[string]*Keyring{"rotated": k, "running": running} {
		for _, sealed := range [][]byte{old, renewed} {
			if secret, err := ring.Open(sealed, "c"); err != nil || string(secret) != "secret" {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
	for name, sealed := range map[string][]byte{"nothing": nil, "a prefix": renewed[:4],
		"another format": append([]byte{0}, renewed[1:]...)} {
		if k.Current(sealed) {
			t.Errorf("%s is sealed with the newest key", name)
		}
	}
	if !k.Current(renewed[:5]) {
		t.Error("the prefix is enough to recognize the key")
	}
}

// A key that is not in the file must not seal anything: it would be lost with the process.
func TestAFailedRotationKeepsTheOldKey(t *testing.T) {
	k, path := created(t)
	old, _ := k.Seal([]byte("secret"), "c")
	if err := os.RemoveAll(filepath.Dir(path)); err != nil {
		t.Fatal(err)
	}
	wantError(t, "a rotation without its directory", k.Rotate(t.Context()), "write the key file: ")
	if !k.Current(old) || k.Keys() != 1 {
		t.Errorf("%d keys, the old one is current: %v", k.Keys(), k.Current(old))
	}
	sealed, err := k.Seal([]byte("secret"), "c")
	if err != nil || !k.Current(sealed) || !bytes.Equal(sealed[:5], old[:5]) {
		t.Errorf("sealed with another key, %v", err)
	}
}

func TestTheKeyFileIsForItsOwnerAlone(t *testing.T) {
	k, path := created(t)
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if err := k.Rotate(t.Context()); err != nil {
		t.Fatal(err)
	}
	if info, err = os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("after a rotation: mode %v, %v", info.Mode(), err)
	}
	if left, err := os.ReadDir(filepath.Dir(path)); err != nil || len(left) != 1 {
		t.Errorf("%d files are left, %v", len(left), err)
	}
	for _, mode := range []fs.FileMode{0o644, 0o640, 0o604, 0o601, 0o610} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		_, err := Open(t.Context(), path, nil)
		wantError(t, mode.String(), err, fmt.Sprintf("is readable by other users (mode %04o)", mode))
		wantError(t, mode.String(), err, "run chmod 600")
	}
	_, err = Open(t.Context(), path+"x", nil)
	if !errors.Is(err, ErrNoKeyFile) || !strings.Contains(err.Error(), path+"x") {
		t.Errorf("got %v", err)
	}
	_, err = Open(t.Context(), path+"/x", nil) // the path is not a directory
	if err == nil || errors.Is(err, ErrNoKeyFile) {
		t.Errorf("got %v", err)
	}
	_, err = Create(filepath.Join(filepath.Dir(path), "missing", "key"), nil)
	wantError(t, "a missing directory", err, "write the key file: ")
	if err := os.Mkdir(path+".d", 0o700); err != nil {
		t.Fatal(err)
	}
	_, err = Create(path+".d", nil)
	wantError(t, "a directory in the place of the file", err, "write the key file: ")
}

func TestAKeyFileIsNeverOverwritten(t *testing.T) {
	k, path := created(t)
	sealed, err := k.Seal([]byte("secret"), "c")
	if err != nil {
		t.Fatal(err)
	}
	for name, existing := range map[string]string{"a file": path, "a link to it": path + ".link",
		"a link to nothing": path + ".dangling"} {
		os.Symlink(path, path+".link")
		os.Symlink(path+".missing", path+".dangling")
		if _, err := Create(existing, nil); !errors.Is(err, fs.ErrExist) {
			t.Errorf("%s: got %v", name, err)
		}
	}
	again, err := Open(t.Context(), path, nil)
	if err != nil {
		t.Fatal(err)
	}
	if secret, err := again.Open(sealed, "c"); err != nil || string(secret) != "secret" {
		t.Errorf("got %q, %v", secret, err)
	}
}

func TestARotationKeepsTheOwnerAndTheModeOfTheKeyFile(t *testing.T) {
	k, path := created(t)
	owner := os.Getuid()
	if owner == 0 {
		owner = 65534
	}
	if err := errors.Join(os.Chown(path, owner, -1), os.Chmod(path, 0o400)); err != nil {
		t.Fatal(err)
	}
	if err := k.Rotate(t.Context()); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if got := info.Sys().(*syscall.Stat_t).Uid; int(got) != owner || info.Mode().Perm() != 0o400 {
		t.Errorf("owner %d, mode %v", got, info.Mode())
	}
}

func TestErrorsContainNoKeyMaterial(t *testing.T) {
	_, path := created(t)
	data, _ := os.ReadFile(path)
	secret := data[bytes.Index(data, []byte("value")):]
	for name, broken := range map[string][]byte{"cut off": data[:len(data)-20], "empty": {}, "not JSON": []byte("hello"),
		"for other purposes": macKeyset(t)} {
		if err := os.WriteFile(path, broken, 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := Open(t.Context(), path, nil)
		wantError(t, name, err, "key file "+path+": not a ")
		if err != nil && strings.Contains(err.Error(), string(secret[:30])) {
			t.Errorf("%s: %v", name, err)
		}
		_, err = FromEnvironment(t.Context(), base64.StdEncoding.EncodeToString(broken), nil)
		if name == "for other purposes" {
			wantError(t, name, err, "not a keyset for authenticated encryption")
			continue
		}
		wantError(t, name, err, "the key in the environment: not a ")
	}
	_, err := FromEnvironment(t.Context(), string(data), nil)
	wantError(t, "a key file without base64", err, "not the base64 of a key file")
	k, err := FromEnvironment(t.Context(), base64.StdEncoding.EncodeToString(data), nil)
	if err != nil {
		t.Fatal(err)
	}
	wantError(t, "a rotation of what cannot be written", k.Rotate(t.Context()), "cannot be rotated in place")
	if exported, err := k.Export(); err != nil || !bytes.Equal(exported, data) {
		t.Errorf("the exported key differs from the file, %v", err)
	}
}

// macKeyset is a keyset that cannot encrypt.
func macKeyset(t *testing.T) []byte {
	t.Helper()
	handle, err := keyset.NewHandle(mac.HMACSHA256Tag128KeyTemplate())
	if err != nil {
		t.Fatal(err)
	}
	var buf bytes.Buffer
	if err := insecurecleartextkeyset.Write(handle, keyset.NewJSONWriter(&buf)); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

func TestThePoolHandsOutEachKeyOnce(t *testing.T) {
	p := NewPool(2)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- p.Fill(ctx, tenancy.RSA2048) }()
	first, err := p.Take(tenancy.RSA2048) // from the pool or generated now: both are right
	if err != nil {
		t.Fatal(err)
	}
	second, _ := p.Take(tenancy.RSA2048)
	if first.(*rsa.PrivateKey).Equal(second) {
		t.Error("one key was handed out twice")
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if key, err := p.Take(tenancy.P256); err != nil || key.(*ecdsa.PrivateKey) == nil {
		t.Error(err)
	}
}

func TestThePoolKeepsRSAKeysReadyAndNoOthers(t *testing.T) {
	p := NewPool(1)
	if err := p.Fill(t.Context(), tenancy.P256); err != nil { // returns although the context does not end
		t.Error(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ready := make(chan error, 1)
	go func() { ready <- p.Fill(ctx, tenancy.RSA2048) }()
	key := <-p.ready[tenancy.RSA2048] // it blocks until one was generated
	p.ready[tenancy.RSA2048] = make(chan crypto.Signer, 1)
	p.ready[tenancy.RSA2048] <- key
	if taken, err := p.Take(tenancy.RSA2048); err != nil || taken != key {
		t.Errorf("the ready key is not the one that was taken, %v", err)
	}
	p.ready["dsa"] = make(chan crypto.Signer, 1)
	if err := p.Fill(t.Context(), "dsa"); !errors.Is(err, tenancy.ErrInvalid) {
		t.Errorf("%v", err)
	}
}

func TestAKeyIsEncodedLikeTheStandardLibraryDoes(t *testing.T) {
	for range 500 { // some begin with zeros
		key, err := Generate(tenancy.P256)
		if err != nil {
			t.Fatal(err)
		}
		got, err := encoded(key)
		want, wantErr := x509.MarshalPKCS8PrivateKey(key)
		if err != nil || wantErr != nil || !bytes.Equal(got, want) {
			t.Fatalf("%x (%v), and not %x (%v)", got, err, want, wantErr)
		}
	}
}
