//go:build pkcs11

package kms

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ThalesGroup/crypto11"
	"github.com/miekg/pkcs11"

	"github.com/perennial-pki/perennial/internal/keys/keyring"
	"github.com/perennial-pki/perennial/tenancy"
)

const (
	// tokenCalls is the number of calls of a token at the same time. Each has a session.
	tokenCalls = 16
	// keptKeys limits how many keys of a token are kept by their URI. Others are looked up in the token again.
	keptKeys = 20_000
)

// tokens are the tokens of this machine, by their URI. Each is opened when it is called first.
type tokens struct {
	mu  sync.Mutex // guards all
	all map[string]*token
}

func newTokens() *tokens { return &tokens{all: map[string]*token{}} }

// processTokens are those of the process. A token has one login, whether a tenant or an issuing CA has the key.
var processTokens = newTokens()

func openedTokens() keyring.Tokens { return processTokens }

// A token is one token with its sessions. A call that hangs keeps its place, so that a token that hangs does not
// collect calls without end.
type token struct {
	tokenKey
	places chan struct{}
	// hasFewPlaces is set for a TPM, which holds few keys at a time.
	hasFewPlaces atomic.Bool
	alone        chan struct{} // has the place of the call that takes all places
	pause        time.Duration // limits the wait of that call for the others

	mu      sync.Mutex // guards what follows, and is held while the token is opened
	opened  *openToken // nil if it is to be opened
	refused string     // the PIN that it does not accept
	// reopened is the last time that the token was opened again for a key that it did not show.
	reopened time.Time
}

// An openToken has the sessions of a token, and is closed after the last call that uses it.
type openToken struct {
	*crypto11.Context
	uses    int  // guarded by token.mu, as what follows
	discard bool // it is not used for further calls
	keys    map[string]crypto11.Signer
}

// of returns the token of a URI, with the key that the URI names.
func (t *tokens) of(uri string) (*token, tokenKey, error) {
	k, err := tokenOf(uri)
	if err != nil {
		return nil, k, err
	}
	return t.named(k), k, nil
}

// named returns the token that the URI of a key names.
func (t *tokens) named(k tokenKey) *token {
	t.mu.Lock()
	defer t.mu.Unlock()
	one := t.all[k.tokenURI()]
	if one == nil {
		one = &token{tokenKey: tokenKey{token: k.token, serial: k.serial}, places: make(chan struct{}, tokenCalls),
			alone: make(chan struct{}, 1), pause: othersPause}
		t.all[k.tokenURI()] = one
	}
	return one
}

// call calls the token. A call that a TPM fails is repeated once while there is no other, with the token opened again:
// its library loads each key into one of a few places of the TPM when the key is used, and unloads keys at the logout
// only. Calls of other tokens are not repeated, because the repetition keeps other tenants waiting.
func call[T any](ctx context.Context, t *token, do func(o *openToken) (T, error)) (none T, err error) {
	select {
	case t.places <- struct{}{}:
	case <-ctx.Done():
		return none, errBusy()
	}
	value, opened, err := attempt(ctx, t, 1, do)
	if !opened || !t.hasFewPlaces.Load() || !mayPass(err) || !t.takeAllPlaces(ctx) {
		return value, err
	}
	t.close()
	value, _, err = attempt(ctx, t, tokenCalls, do)
	return value, err
}

// mayPass reports whether the token failed a call that it may do if it is opened again.
func mayPass(err error) bool {
	away, code := (*keyring.Away)(nil), pkcs11.Error(0)
	if !errors.As(err, &away) || !errors.As(err, &code) {
		return false
	}
	switch code {
	case pkcs11.CKR_MECHANISM_INVALID, pkcs11.CKR_MECHANISM_PARAM_INVALID, pkcs11.CKR_ATTRIBUTE_TYPE_INVALID,
		pkcs11.CKR_ATTRIBUTE_VALUE_INVALID, pkcs11.CKR_KEY_SIZE_RANGE, pkcs11.CKR_FUNCTION_NOT_SUPPORTED:
		return false
	}
	return true
}

func errBusy() error {
	return &keyring.Away{Err: errors.New("the token has been busy for too long: check the token")}
}

// attempt calls the token once, and frees the places of the call when it ends. The token was opened if the error is
// that of the call.
func attempt[T any](ctx context.Context, t *token, places int, do func(o *openToken) (T, error)) (value T, opened bool,
	err error) {
	type result struct {
		value  T
		opened bool
		err    error
	}
	r, err := withinTime(ctx, func() (r result, err error) {
		defer t.free(places)
		o, err := t.use()
		if err != nil {
			return r, err
		}
		r.opened = true
		r.value, r.err = do(o)
		t.release(o, r.err)
		return r, nil
	})
	if err != nil {
		return value, false, err
	}
	return r.value, r.opened, r.err
}

// othersPause is the time that the repetition of a call waits for the other calls to end.
const othersPause = 3 * time.Second

// takeAllPlaces waits until there is no other call, and takes the places of all. It returns false if that takes too
// long, because one call may hang or make a large key.
func (t *token) takeAllPlaces(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, t.pause)
	defer cancel()
	select {
	case t.alone <- struct{}{}:
		defer func() { <-t.alone }()
	case <-ctx.Done():
		return false
	}
	for taken := range tokenCalls {
		select {
		case t.places <- struct{}{}:
		case <-ctx.Done():
			t.free(taken)
			return false
		}
	}
	return true
}

func (t *token) free(places int) {
	for range places {
		<-t.places
	}
}

// use returns the open token for one call.
func (t *token) use() (*openToken, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.opened == nil {
		settings, err := t.settings()
		if err != nil {
			return nil, err
		}
		if t.refused != "" && settings.Pin == t.refused {
			return nil, errRefusedPIN
		}
		settings.MaxSessions = tokenCalls + 1
		context, err := crypto11.Configure(settings)
		if err != nil {
			err = t.unopened(err)
			if away := (*keyring.Away)(nil); !errors.As(err, &away) {
				t.refused = settings.Pin
			}
			return nil, err
		}
		t.refused = ""
		if tpm, err := t.isTPM(); err == nil && tpm {
			t.hasFewPlaces.Store(true)
		}
		t.opened = &openToken{Context: context, keys: map[string]crypto11.Signer{}}
	}
	t.opened.uses++
	return t.opened, nil
}

var errRefusedPIN = fmt.Errorf("the token did not accept the PIN, which is not tried again until it is changed: check "+
	"%s or %s", pkcs11PIN, pkcs11PINFile)

// reopenPause is the time between two attempts to find a key by opening the token again. The messages of a tenant whose
// key is gone must not delay those of others.
const reopenPause = 10 * time.Second

// release ends a call. The token is opened again for the next one if it failed, or may have lost its login: then it
// shows no key.
func (t *token) release(o *openToken, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	o.uses--
	away := (*keyring.Away)(nil)
	again := errors.As(err, &away) || errors.Is(err, errNoKey)
	if errors.Is(err, errLostKey) && time.Since(t.reopened) > reopenPause {
		again, t.reopened = true, time.Now()
	}
	if again {
		o.discard = true
		if t.opened == o {
			t.opened = nil
		}
	}
	if o.discard && o.uses == 0 {
		o.Close()
	}
}

// close closes the token while there is no call.
func (t *token) close() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.opened != nil {
		t.opened.Close()
		t.opened = nil
	}
}

// key returns the key of the open token with a label and a public key; nil if there is none.
func (t *token) key(o *openToken, k tokenKey, public crypto.PublicKey) (crypto11.Signer, error) {
	t.mu.Lock()
	key := o.keys[k.object]
	t.mu.Unlock()
	if key != nil && same(key.Public(), public) {
		return key, nil
	}
	all, err := pairs(o, k)
	if err != nil {
		return nil, err
	}
	for _, key := range all {
		if same(key.Public(), public) {
			t.keep(o, k, key)
			return key, nil
		}
	}
	return nil, nil
}

// pairs returns the key pairs of the open token with a label.
func pairs(o *openToken, k tokenKey) ([]crypto11.Signer, error) {
	all, err := o.FindKeyPairs(nil, []byte(k.object))
	if err != nil {
		return nil, &keyring.Away{Err: fmt.Errorf("the token does not list its keys: %w: check the token", err)}
	}
	return all, nil
}

func (t *token) keep(o *openToken, k tokenKey, key crypto11.Signer) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(o.keys) >= keptKeys {
		clear(o.keys)
	}
	o.keys[k.object] = key
}

// Check implements [keyring.Tokens].
func (t *tokens) Check(ctx context.Context, uri string) error {
	one, _, err := t.of(uri)
	if err != nil {
		return err
	}
	_, err = call(ctx, one, func(*openToken) (struct{}, error) { return struct{}{}, nil })
	return err
}

var tokenCurves = map[tenancy.KeyType]elliptic.Curve{tenancy.P256: elliptic.P256(), tenancy.P384: elliptic.P384(),
	tenancy.P521: elliptic.P521()}

var tokenBits = map[tenancy.KeyType]int{tenancy.RSA2048: 2048, tenancy.RSA3072: 3072, tenancy.RSA4096: 4096}

// Make implements [keyring.Tokens]. The key is sensitive and cannot be extracted.
func (t *tokens) Make(ctx context.Context, uri string, kind tenancy.KeyType) (crypto.PublicKey, error) {
	one, k, err := t.of(uri)
	if err == nil {
		err = keyring.MadeInToken(kind)
	}
	if err != nil {
		return nil, err
	}
	begun := false
	return call(ctx, one, func(o *openToken) (crypto.PublicKey, error) {
		if begun {
			if err := one.remove(k); err != nil && !errors.Is(err, errNoKey) {
				return nil, err
			}
		}
		begun = true
		made, err := one.make(o, k, kind)
		if err != nil {
			return nil, &keyring.Away{Err: fmt.Errorf("the token makes no key pair of the type %s: %w: check the token, and "+
				"whether it has this type", kind, err)}
		}
		one.keep(o, k, made)
		return made.Public(), nil
	})
}

// make generates a key pair. An RSA key only signs, unless it is in a TPM.
func (t *token) make(o *openToken, k tokenKey, kind tenancy.KeyType) (crypto11.Signer, error) {
	curve := tokenCurves[kind]
	var uses map[crypto11.AttributeType]bool
	if curve == nil {
		tpm, err := t.isTPM()
		if err != nil {
			return nil, err
		}
		if !tpm {
			uses = map[crypto11.AttributeType]bool{crypto11.CkaDecrypt: false, crypto11.CkaEncrypt: false}
		}
	}
	public, private, err := attributes(k, uses)
	if err != nil {
		return nil, err
	}
	if curve != nil {
		return o.GenerateECDSAKeyPairWithAttributes(public, private, curve)
	}
	return o.GenerateRSAKeyPairWithAttributes(public, private, tokenBits[kind])
}

// isTPM reports whether the library is tpm2-pkcs11, which makes no RSA key that only signs: it takes the attribute of a
// public key that verifies for that of a private key that decrypts.
func (t *token) isTPM() (bool, error) {
	module, err := t.module()
	if err != nil {
		return false, err
	}
	defer module.Destroy()
	info, err := module.GetInfo()
	return info.ManufacturerID == "tpm2-software.github.io", err
}

// attributes returns the attributes of a new key pair: that it encrypts is one of the public half, all others of the
// private half.
func attributes(k tokenKey, uses map[crypto11.AttributeType]bool) (public, private crypto11.AttributeSet, err error) {
	if public, err = crypto11.NewAttributeSetWithIDAndLabel([]byte(k.object), []byte(k.object)); err != nil {
		return nil, nil, err
	}
	private = public.Copy()
	all := map[crypto11.AttributeType]bool{crypto11.CkaToken: true, crypto11.CkaPrivate: true,
		crypto11.CkaSensitive: true, crypto11.CkaExtractable: false, crypto11.CkaSign: true}
	maps.Copy(all, uses)
	for attribute, value := range all {
		half := private
		if attribute == crypto11.CkaEncrypt {
			half = public
		}
		if err := half.Set(attribute, value); err != nil {
			return nil, nil, err
		}
	}
	return public, private, nil
}

// Sign implements [keyring.Tokens].
func (t *tokens) Sign(ctx context.Context, uri string, public crypto.PublicKey, digest []byte,
	opts crypto.SignerOpts) ([]byte, error) {
	one, k, err := t.of(uri)
	if err != nil {
		return nil, err
	}
	if ec, ok := public.(*ecdsa.PublicKey); ok { // some tokens refuse what FIPS 186-5, section 6.4.1, cuts off
		digest = digest[:min(len(digest), (ec.Params().N.BitLen()+7)/8)]
	}
	return call(ctx, one, func(o *openToken) ([]byte, error) {
		key, err := one.key(o, k, public)
		if err != nil {
			return nil, err
		}
		if key == nil {
			return nil, fmt.Errorf("%w with the label %s and the public key of the certificate: restore it from the backup of "+
				"the token, or renew the certificate", errLostKey, k.object)
		}
		return signed(key, k, digest, opts)
	})
}

func signed(key crypto11.Signer, k tokenKey, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	signature, err := key.Sign(rand.Reader, digest, opts)
	if err != nil {
		return nil, &keyring.Away{Err: fmt.Errorf("the token does not sign with the key %s: %w: check the token", k.object,
			err)}
	}
	return signature, nil
}

var errLostKey = errors.New("the token has no key pair")

// Destroy implements [keyring.Tokens]. A token that has lost its login shows no key. So one that shows none is opened
// again, and is believed then.
func (t *tokens) Destroy(ctx context.Context, uri string) error {
	one, k, err := t.of(uri)
	if err != nil {
		return err
	}
	for range 2 {
		_, err = call(ctx, one, func(o *openToken) (none struct{}, err error) { return none, one.destroy(o, k) })
		if !errors.Is(err, errNoKey) {
			return err
		}
	}
	return nil
}

// errNoKey makes the token be opened again.
var errNoKey = errors.New("the token has no such key")

// destroy destroys all objects with the label of a key. A token that was interrupted while it made the key may have its
// public half alone, which the library does not find. So its module is called directly. The open token keeps the module
// initialized, and the process logged in.
func (t *token) destroy(o *openToken, k tokenKey) error {
	t.mu.Lock()
	delete(o.keys, k.object)
	t.mu.Unlock()
	return t.remove(k)
}

// remove destroys all objects with a label while the token is open.
func (t *token) remove(k tokenKey) error {
	module, err := t.module()
	if err != nil {
		return err
	}
	defer module.Destroy()
	found, err := t.destroyObjects(module, k.object)
	if err != nil {
		return &keyring.Away{Err: fmt.Errorf("the token does not destroy the key %s: %w: check the token", k.object, err)}
	}
	if found == 0 {
		return errNoKey
	}
	return nil
}

// module returns the library for calls while the token is open.
func (t *token) module() (*pkcs11.Ctx, error) {
	settings, err := t.settings()
	if err != nil {
		return nil, err
	}
	module := pkcs11.New(settings.Path)
	if module == nil {
		return nil, &keyring.Away{Err: errors.New("the module of the token cannot be loaded: check " + pkcs11Module)}
	}
	return module, nil
}

func (t *token) destroyObjects(module *pkcs11.Ctx, label string) (found int, err error) {
	slot, err := t.slot(module)
	if err != nil {
		return 0, err
	}
	session, err := module.OpenSession(slot, pkcs11.CKF_SERIAL_SESSION|pkcs11.CKF_RW_SESSION)
	if err != nil {
		return 0, err
	}
	defer module.CloseSession(session)
	if err := module.FindObjectsInit(session, []*pkcs11.Attribute{
		pkcs11.NewAttribute(pkcs11.CKA_LABEL, []byte(label))}); err != nil {
		return 0, err
	}
	objects, _, err := module.FindObjects(session, 100)
	if err := errors.Join(err, module.FindObjectsFinal(session)); err != nil {
		return 0, err
	}
	for _, object := range objects {
		if err := module.DestroyObject(session, object); err != nil && !isGone(err) {
			return 0, err
		}
	}
	return len(objects), nil
}

// slot returns the slot of the token.
func (t *token) slot(module *pkcs11.Ctx) (uint, error) {
	slots, err := module.GetSlotList(true)
	if err != nil {
		return 0, err
	}
	for _, slot := range slots {
		info, err := module.GetTokenInfo(slot)
		if err == nil && (t.serial != "" && info.SerialNumber == t.serial || t.token != "" && info.Label == t.token) {
			return slot, nil
		}
	}
	return 0, errors.New("it is not present")
}

// isGone reports that another replica has destroyed an object.
func isGone(err error) bool {
	var code pkcs11.Error
	return errors.As(err, &code) && code == pkcs11.CKR_OBJECT_HANDLE_INVALID
}
