package keyring

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	"encoding/base64"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/perennial-pki/perennial/tenancy"
)

func created(t *testing.T) (*Keyring, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "perennial.key")
	k, err := Create(path)
	if err != nil {
		t.Fatal(err)
	}
	return k, path
}

func TestEveryKindOfKeyOpensOnlyForItsContext(t *testing.T) {
	k, path := created(t)
	for _, kind := range []tenancy.KeyType{tenancy.P256, tenancy.P384, tenancy.RSA2048, tenancy.RSA3072} {
		key, err := Generate(kind)
		if err != nil {
			t.Fatal(err)
		}
		sealed, err := k.SealKey(key, "acme/tenant/1")
		if err != nil {
			t.Fatal(err)
		}
		again, err := Open(path)
		if err != nil {
			t.Fatal(err)
		}
		opened, err := again.OpenKey(sealed, "acme/tenant/1")
		if err != nil || !key.(interface{ Equal(crypto.PrivateKey) bool }).Equal(opened) {
			t.Errorf("%s: %v", kind, err)
		}
		if _, err := k.OpenKey(sealed, "other/tenant/1"); err == nil {
			t.Errorf("%s opens for another tenant", kind)
		}
		sealed[len(sealed)-1] ^= 1
		if _, err := k.OpenKey(sealed, "acme/tenant/1"); err == nil {
			t.Errorf("%s opens although it was changed", kind)
		}
	}
	if _, err := Generate("dsa"); !errors.Is(err, tenancy.ErrInvalid) {
		t.Errorf("got %v", err)
	}
}

func TestARotatedKeyringStillReadsWhatWasSealedBefore(t *testing.T) {
	k, path := created(t)
	running, err := Open(path) // a service that does not know of the rotation
	if err != nil {
		t.Fatal(err)
	}
	old, _ := k.Seal([]byte("secret"), "c")
	if !k.Current(old) {
		t.Error("not current before the rotation")
	}
	if err := k.Rotate(); err != nil {
		t.Fatal(err)
	}
	if k.Current(old) || k.Keys() != 2 {
		t.Error("still current after the rotation")
	}
	renewed, _ := k.Seal([]byte("secret"), "c")
	for name, ring := range map[string]*Keyring{"rotated": k, "running": running} {
		for _, sealed := range [][]byte{old, renewed} {
			if secret, err := ring.Open(sealed, "c"); err != nil || string(secret) != "secret" {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
}

func TestTheKeyFileIsForItsOwnerAlone(t *testing.T) {
	_, path := created(t)
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	os.Chmod(path, 0o644)
	if _, err := Open(path); err == nil || !strings.Contains(err.Error(),
		"can be read by others (mode 0644): run chmod 600") {
		t.Errorf("got %v", err)
	}
	if _, err := Open(path + "x"); !errors.Is(err, ErrNoKeyFile) {
		t.Errorf("got %v", err)
	}
}

func TestErrorsCarryNoKeyMaterial(t *testing.T) {
	_, path := created(t)
	data, _ := os.ReadFile(path)
	secret := data[bytes.Index(data, []byte("value")):]
	for name, broken := range map[string][]byte{"cut off": data[:len(data)-20], "empty": {}, "not JSON": []byte("hello")} {
		os.WriteFile(path, broken, 0o600)
		_, err := Open(path)
		if err == nil || strings.Contains(err.Error(), string(secret[:30])) {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := FromEnvironment(base64.StdEncoding.EncodeToString(broken)); err == nil {
			t.Errorf("%s is accepted from the environment", name)
		}
	}
	if k, err := FromEnvironment(base64.StdEncoding.EncodeToString(data)); err != nil {
		t.Error(err)
	} else if err := k.Rotate(); err == nil {
		t.Error("rotated what cannot be written")
	}
}

func TestThePoolGivesEachKeyOnce(t *testing.T) {
	p := NewPool(2)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- p.Fill(ctx, tenancy.RSA2048) }()
	first, err := p.Take(tenancy.RSA2048) // from the pool or made now: both are right
	if err != nil {
		t.Fatal(err)
	}
	second, _ := p.Take(tenancy.RSA2048)
	if first.(*rsa.PrivateKey).Equal(second) {
		t.Error("one key was given twice")
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if key, err := p.Take(tenancy.P256); err != nil || key.(*ecdsa.PrivateKey) == nil {
		t.Error(err)
	}
}
