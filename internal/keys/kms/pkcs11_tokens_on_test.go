//go:build pkcs11

package kms

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/ThalesGroup/crypto11"
	"github.com/miekg/pkcs11"

	"github.com/perennial-pki/perennial/internal/keys/keyring"
	"github.com/perennial-pki/perennial/internal/testing/softhsmtest"
	"github.com/perennial-pki/perennial/tenancy"
)

const tokenURI = softhsmtest.URI

// openTokens returns the tokens of a test. Their sessions end with it, because the module is shared by the process.
func openTokens(t *testing.T) (*tokens, keyring.Tokens) {
	own := newTokens()
	t.Cleanup(func() { own.closeAll() })
	return own, countedTokens{own}
}

func (t *tokens) closeAll() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, one := range t.all {
		one.mu.Lock()
		if one.opened != nil {
			one.opened.Close()
			one.opened = nil
		}
		one.mu.Unlock()
	}
}

func TestATokenMakesKeysOfEachTypeThatSignAndAreDestroyed(t *testing.T) {
	p := startToken(t)
	_, tokens := openTokens(t)
	check(t, tokens.Check(t.Context(), tokenURI))
	for _, kind := range tenancy.KeyTypes {
		uri := keyring.KeyInToken(tokenURI, "key-"+string(kind))
		public, err := tokens.Make(t.Context(), uri, kind)
		p.clean(t, err)
		if kind == tenancy.Ed25519 {
			wantError(t, "Ed25519", err, "ed25519 keys are not supported there: use p256")
			continue
		}
		check(t, err)
		signer := keyring.NewTokenSigner(tokens, uri, public)
		short, long := sha256.Sum256([]byte("m")), sha512.Sum512([]byte("m"))
		before := counter(t, "pkcs11", "sign", "ok")
		for _, c := range []struct {
			digest []byte
			opts   crypto.SignerOpts
		}{{short[:], crypto.SHA256}, {long[:], crypto.SHA512},
			{short[:], &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: crypto.SHA256}}} {
			if _, ec := public.(*ecdsa.PublicKey); ec && c.opts != crypto.SignerOpts(c.opts.HashFunc()) {
				continue
			}
			if _, err := signer.Sign(rand.Reader, c.digest, c.opts); err != nil { // it is verified
				t.Errorf("%s with %v: %v", kind, c.opts, err)
			}
		}
		if counter(t, "pkcs11", "sign", "ok") == before {
			t.Errorf("%s: the signatures are not counted", kind)
		}
		if _, err := signer.Sign(rand.Reader, short[1:], crypto.SHA256); err == nil {
			t.Errorf("%s signs what is not a digest", kind)
		}
		again, err := tokens.Make(t.Context(), uri+"-2", kind)
		check(t, err)
		if same(again, public) {
			t.Errorf("%s: the token made the same key twice", kind)
		}
		_, err = keyring.NewTokenSigner(tokens, uri, again).Sign(rand.Reader, short[:], crypto.SHA256)
		wantError(t, "the key of another certificate", err, "has no key pair with the label key-"+string(kind))
		for range 2 { // another replica may have destroyed it
			check(t, tokens.Destroy(t.Context(), uri))
		}
		_, err = signer.Sign(rand.Reader, short[:], crypto.SHA256)
		wantError(t, "destroyed", err, "has no key pair with the label key-"+string(kind))
	}
	withToken(t, func(token *crypto11.Context) {
		for _, kind := range tenancy.KeyTypes {
			pairs, err := token.FindKeyPairs(nil, []byte("key-"+string(kind)))
			if err != nil || len(pairs) != 0 {
				t.Errorf("%s: %d key pairs remain: %v", kind, len(pairs), err)
			}
		}
	})
}

func TestAKeyInATokenIsSensitiveAndCannotBeExtracted(t *testing.T) {
	startToken(t)
	_, tokens := openTokens(t)
	for _, kind := range []tenancy.KeyType{tenancy.P256, tenancy.RSA2048} {
		_, err := tokens.Make(t.Context(), keyring.KeyInToken(tokenURI, string(kind)), kind)
		check(t, err)
		withToken(t, func(token *crypto11.Context) {
			key, err := token.FindKeyPair([]byte(kind), []byte(kind))
			check(t, err)
			for attribute, want := range map[crypto11.AttributeType]byte{crypto11.CkaSensitive: 1,
				crypto11.CkaExtractable: 0, crypto11.CkaNeverExtractable: 1, crypto11.CkaAlwaysSensitive: 1,
				crypto11.CkaPrivate: 1, crypto11.CkaSign: 1, crypto11.CkaDecrypt: 0, crypto11.CkaToken: 1} {
				if attribute == crypto11.CkaDecrypt && kind == tenancy.P256 { // such a key cannot decrypt
					continue
				}
				got, err := token.GetAttribute(key, attribute)
				check(t, err)
				if len(got.Value) != 1 || got.Value[0] != want {
					t.Errorf("%s: attribute %v is %v, want %d", kind, attribute, got.Value, want)
				}
			}
		})
	}
}

// A process that ends while a token makes a key can leave its public half alone.
func TestHalfAKeyIsDestroyedToo(t *testing.T) {
	startToken(t)
	own, tokens := openTokens(t)
	check(t, tokens.Check(t.Context(), tokenURI))
	raw := pkcs11.New(os.Getenv(pkcs11Module))
	defer raw.Destroy()
	slot, err := own.all[tokenURI].slot(raw)
	check(t, err)
	session, err := raw.OpenSession(slot, pkcs11.CKF_SERIAL_SESSION|pkcs11.CKF_RW_SESSION)
	check(t, err)
	defer raw.CloseSession(session)
	label := pkcs11.NewAttribute(pkcs11.CKA_LABEL, []byte("half"))
	_, err = raw.CreateObject(session, []*pkcs11.Attribute{label, pkcs11.NewAttribute(pkcs11.CKA_TOKEN, true),
		pkcs11.NewAttribute(pkcs11.CKA_CLASS, pkcs11.CKO_PUBLIC_KEY),
		pkcs11.NewAttribute(pkcs11.CKA_KEY_TYPE, pkcs11.CKK_RSA),
		pkcs11.NewAttribute(pkcs11.CKA_MODULUS, bytes.Repeat([]byte{0xab}, 256)),
		pkcs11.NewAttribute(pkcs11.CKA_PUBLIC_EXPONENT, []byte{1, 0, 1})})
	check(t, err)
	check(t, tokens.Destroy(t.Context(), keyring.KeyInToken(tokenURI, "half")))
	check(t, raw.FindObjectsInit(session, []*pkcs11.Attribute{label}))
	if left, _, err := raw.FindObjects(session, 10); err != nil || len(left) != 0 {
		t.Errorf("%d objects remain: %v", len(left), err)
	}
}

func TestATokenSignsForManyHandshakesAtOnce(t *testing.T) {
	startToken(t)
	own, tokens := openTokens(t)
	uri := keyring.KeyInToken(tokenURI, "busy")
	public, err := tokens.Make(t.Context(), uri, tenancy.P256)
	check(t, err)
	signer := keyring.NewTokenSigner(tokens, uri, public)
	var workers sync.WaitGroup
	for range 50 {
		workers.Go(func() {
			for range 20 {
				if _, err := signer.Sign(rand.Reader, make([]byte, 32), crypto.SHA256); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	workers.Wait()
	if one := own.all[tokenURI]; len(one.places) != 0 || one.opened.uses != 0 {
		t.Errorf("%d calls have not ended, %d use the sessions", len(one.places), one.opened.uses)
	}
}

// A TPM has too few places for the keys of all tenants until it is opened again, which every call must allow.
func TestACallThatATokenFailsIsRepeatedAlone(t *testing.T) {
	startToken(t)
	own, tokens := openTokens(t)
	check(t, tokens.Check(t.Context(), tokenURI))
	one := own.all[tokenURI]
	if _, err := call(t.Context(), one, func(*openToken) (int, error) {
		return 0, &keyring.Away{Err: pkcs11.Error(pkcs11.CKR_GENERAL_ERROR)}
	}); !isAway(err) {
		t.Errorf("a call of another token than a TPM was repeated: %v", err)
	}
	one.hasFewPlaces.Store(true)
	one.pause = time.Minute // this machine may be busy
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	failure := func(code uint) error { return &keyring.Away{Err: pkcs11.Error(code)} }
	var running, crowded atomic.Int32
	var workers sync.WaitGroup
	for range 3 * tokenCalls {
		workers.Go(func() {
			var used []*openToken
			_, err := call(ctx, one, func(o *openToken) (none struct{}, err error) {
				n := running.Add(1)
				defer running.Add(-1)
				if used = append(used, o); len(used) == 1 {
					return none, failure(pkcs11.CKR_GENERAL_ERROR)
				}
				if n > 1 {
					crowded.Add(1)
				}
				return none, nil
			})
			if err != nil || len(used) != 2 || used[0] == used[1] {
				t.Errorf("%d attempts: %v", len(used), err)
			}
		})
	}
	workers.Wait()
	if n := crowded.Load(); n != 0 {
		t.Errorf("%d repetitions were not alone", n)
	}
	for code, want := range map[uint]int{pkcs11.CKR_DEVICE_ERROR: 2, pkcs11.CKR_MECHANISM_INVALID: 1} {
		attempts := 0
		_, err := call(ctx, one, func(*openToken) (none struct{}, err error) {
			attempts++
			return none, failure(code)
		})
		if attempts != want || !isAway(err) {
			t.Errorf("%v: %d attempts, %v", pkcs11.Error(code), attempts, err)
		}
	}
	if len(one.places) != 0 {
		t.Errorf("%d calls have not ended", len(one.places))
	}
}

func TestATokenThatIsAwayMakesAndDestroysNothingForAWhile(t *testing.T) {
	p := startToken(t)
	own, tokens := openTokens(t)
	uri := keyring.KeyInToken(tokenURI, "k")
	public, err := tokens.Make(t.Context(), uri, tenancy.P256)
	check(t, err)
	own.closeAll()
	p.away(true)
	_, made := tokens.Make(t.Context(), uri+"-2", tenancy.P256)
	_, signed := keyring.NewTokenSigner(tokens, uri, public).Sign(rand.Reader, make([]byte, 32), crypto.SHA256)
	for what, err := range map[string]error{"check": tokens.Check(t.Context(), tokenURI), "make": made, "sign": signed,
		"destroy": tokens.Destroy(t.Context(), uri)} {
		p.clean(t, err)
		if !isAway(err) {
			t.Errorf("%s while it is away: %v", what, err)
		}
	}
	p.away(false)
	_, err = keyring.NewTokenSigner(tokens, uri, public).Sign(rand.Reader, make([]byte, 32), crypto.SHA256)
	check(t, err)
	check(t, tokens.Destroy(t.Context(), uri))
}

// SoftHSM counts attempts with a wrong PIN: the flag "count low" is set by the first one.
func TestAWrongPINIsTriedOnceUntilItIsChanged(t *testing.T) {
	p := startToken(t)
	_, tokens := openTokens(t)
	t.Setenv(pkcs11PIN, "00000000")
	for range 20 {
		err := tokens.Check(t.Context(), tokenURI)
		p.clean(t, err)
		wantError(t, "another PIN", err, "accept the PIN")
		if isAway(err) {
			t.Error("a wrong PIN is tried again, which locks the token")
		}
	}
	if !errors.Is(tokens.Check(t.Context(), tokenURI), errRefusedPIN) {
		t.Error("the PIN is sent to the token again")
	}
	t.Setenv(pkcs11PIN, tokenPIN)
	check(t, tokens.Check(t.Context(), tokenURI))
}

// The measurement of docs/custody.md: handshakes with a client certificate, each of a new connection, with keys in
// memory, as they are opened from the database, and with keys in SoftHSM.
func BenchmarkHandshakes(b *testing.B) {
	softhsmtest.Start(b)
	own := newTokens()
	b.Cleanup(own.closeAll)
	server := httptest.NewUnstartedServer(http.NotFoundHandler())
	server.TLS = &tls.Config{ClientAuth: tls.RequireAnyClientCert}
	server.StartTLS()
	b.Cleanup(server.Close)
	roots := x509.NewCertPool()
	roots.AddCert(server.Certificate())
	for _, kind := range []tenancy.KeyType{tenancy.P256, tenancy.P384, tenancy.RSA2048} {
		inMemory, err := keyring.Generate(kind)
		check(b, err)
		uri := keyring.KeyInToken(tokenURI, "bench-"+string(kind))
		public, err := own.Make(b.Context(), uri, kind)
		check(b, err)
		for name, key := range map[string]crypto.Signer{"sealed": inMemory,
			"token": keyring.NewTokenSigner(own, uri, public)} {
			der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{SerialNumber: big.NewInt(1)},
				&x509.Certificate{}, key.Public(), key)
			check(b, err)
			config := &tls.Config{RootCAs: roots, ServerName: "example.com",
				Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
			b.Run(string(kind)+"/"+name, func(b *testing.B) {
				var mu sync.Mutex
				var took []time.Duration
				b.SetParallelism(8)
				before := processorTime(b)
				b.RunParallel(func(p *testing.PB) {
					for p.Next() {
						begun := time.Now()
						c, err := tls.Dial("tcp", server.Listener.Addr().String(), config)
						if err != nil {
							b.Error(err)
							return
						}
						c.Close()
						mu.Lock()
						took = append(took, time.Since(begun))
						mu.Unlock()
					}
				})
				b.ReportMetric(float64((processorTime(b)-before).Microseconds())/float64(b.N), "cpu-µs/op")
				slices.Sort(took)
				b.ReportMetric(float64(took[len(took)/2].Microseconds()), "µs-median")
				b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "µs-p99")
				b.ReportMetric(float64(len(took))/b.Elapsed().Seconds(), "handshakes/s")
			})
		}
	}
}

// processorTime returns the time of processors that this process has used, which other processes hardly change.
func processorTime(b *testing.B) time.Duration {
	b.Helper()
	var used syscall.Rusage
	check(b, syscall.Getrusage(syscall.RUSAGE_SELF, &used))
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}
