package identity

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/fxamacker/cbor/v2"
	"github.com/go-webauthn/webauthn/protocol"

	"github.com/perennial-pki/perennial/internal/engine/store"
	"github.com/perennial-pki/perennial/internal/keys/keyring"
	"github.com/perennial-pki/perennial/internal/testing/testenv"
	"github.com/perennial-pki/perennial/tenancy"
)

// An authenticator holds one passkey, as a phone or a security key does (Web Authentication, Level 3).
type authenticator struct {
	t      *testing.T
	id     []byte
	key    *ecdsa.PrivateKey
	user   []byte // handle
	count  uint32
	origin string
}

func newAuthenticator(t *testing.T) *authenticator {
	t.Helper()
	key, err := keyring.Generate(tenancy.P256)
	testenv.Check(t, err)
	id := make([]byte, 16)
	rand.Read(id)
	return &authenticator{t: t, id: id, key: key.(*ecdsa.PrivateKey), origin: "https://p.example.com"}
}

var encoded = base64.RawURLEncoding.EncodeToString

// client returns the data that a browser adds: what is asked, and at which address.
func (a *authenticator) client(kind, challenge string) []byte {
	data, err := json.Marshal(map[string]any{"type": kind, "challenge": challenge, "origin": a.origin})
	testenv.Check(a.t, err)
	return data
}

// data returns the authenticator data (section 6.1): a hash of the domain, flags and the count of signatures.
func (a *authenticator) data(flags byte) []byte {
	domain := sha256.Sum256([]byte("p.example.com"))
	a.count++
	return binary.BigEndian.AppendUint32(append(domain[:], flags), a.count)
}

const present, verified, attested = 1, 4, 64

// create answers the options of a registration.
func (a *authenticator) create(options any) io.Reader {
	o := options.(protocol.PublicKeyCredentialCreationOptions)
	a.user = []byte(o.User.ID.(protocol.URLEncodedBase64))
	point, err := a.key.PublicKey.Bytes()
	testenv.Check(a.t, err)
	public, err := cbor.Marshal(map[int]any{1: 2, 3: -7, -1: 1, -2: point[1:33], -3: point[33:]}) // COSE, EC2, ES256
	testenv.Check(a.t, err)
	data := append(a.data(present|verified|attested), make([]byte, 16)...) // no model
	data = binary.BigEndian.AppendUint16(data, uint16(len(a.id)))
	data = append(append(data, a.id...), public...)
	attestation, err := cbor.Marshal(map[string]any{"fmt": "none", "attStmt": map[string]any{}, "authData": data})
	testenv.Check(a.t, err)
	return a.answer(map[string]any{"clientDataJSON": encoded(a.client("webauthn.create", o.Challenge.String())),
		"attestationObject": encoded(attestation)})
}

// get answers the options of a sign-in.
func (a *authenticator) get(options any) io.Reader {
	o := options.(protocol.PublicKeyCredentialRequestOptions)
	client := a.client("webauthn.get", o.Challenge.String())
	data := a.data(present | verified)
	sum := sha256.Sum256(client)
	signed := sha256.Sum256(append(bytes.Clone(data), sum[:]...))
	signature, err := ecdsa.SignASN1(rand.Reader, a.key, signed[:])
	testenv.Check(a.t, err)
	return a.answer(map[string]any{"clientDataJSON": encoded(client), "authenticatorData": encoded(data),
		"signature": encoded(signature), "userHandle": encoded(a.user)})
}

func (a *authenticator) answer(response map[string]any) io.Reader {
	body, err := json.Marshal(map[string]any{"id": encoded(a.id), "rawId": encoded(a.id), "type": "public-key",
		"response": response})
	testenv.Check(a.t, err)
	return bytes.NewReader(body)
}

// operator creates an account without a token.
func operator(t *testing.T, s *Service, name string) tenancy.Account {
	t.Helper()
	a := tenancy.Account{ID: store.NewID(), Name: name, Role: tenancy.RoleOperator, Origin: "test " + name,
		CreatedAt: s.instant()}
	testenv.Check(t, s.store.InTx(t.Context(), func(tx *store.Tx) error { return tx.CreateAccount(t.Context(), a) }))
	return a
}

// register adds the passkey of an authenticator to an account.
func register(t *testing.T, s *Service, a tenancy.Account, key *authenticator) error {
	t.Helper()
	options, ceremony, err := s.BeginPasskey(t.Context(), a)
	testenv.Check(t, err)
	return s.AddPasskey(t.Context(), a, ceremony, "phone", key.create(options))
}

func TestAPasskeySignsItsAccountInUntilItIsRemoved(t *testing.T) {
	s, ctx := openOIDC(t, "name"), t.Context()
	olga, phone := operator(t, s, "olga"), newAuthenticator(t)
	testenv.Check(t, register(t, s, olga, phone))
	keys, err := s.Passkeys(ctx, olga)
	testenv.Check(t, err)
	if len(keys) != 1 || keys[0].ID != encoded(phone.id) || keys[0].Name != "phone" || keys[0].AccountID != olga.ID ||
		!keys[0].CreatedAt.Equal(s.now()) || !keys[0].UsedAt.IsZero() {
		t.Errorf("stored %+v", keys)
	}
	signIn := func(key *authenticator) (string, error) {
		options, ceremony, err := s.BeginPasskeySignIn(ctx, Browser{})
		testenv.Check(t, err)
		return s.SignInByPasskey(ctx, ceremony, key.get(options), Browser{Address: "192.0.2.9"})
	}
	secret, err := signIn(phone)
	testenv.Check(t, err)
	session, a, err := s.Session(ctx, secret)
	testenv.Check(t, err)
	if a.ID != olga.ID || session.Address != "192.0.2.9" {
		t.Errorf("signed in as %+v", a)
	}
	if used, err := s.Passkeys(ctx, olga); err != nil || !used[0].UsedAt.Equal(s.now()) ||
		used[0].Credential == keys[0].Credential {
		t.Errorf("its use is not stored: %+v, %v", used, err)
	}
	actions := ""
	events, err := s.store.Events(ctx, "", 0, 100)
	testenv.Check(t, err)
	for _, e := range events {
		if strings.HasPrefix(e.Action, "passkey.") || e.Action == "account.signed-in" {
			actions += e.Action + " " + e.Object + " " + e.Detail + "\n"
		}
	}
	if want := "passkey.added olga {\"passkey\":\"" + encoded(phone.id) + "\"}\n" +
		"account.signed-in olga {\"address\":\"192.0.2.9\",\"how\":\"passkey\"}\n"; actions != want {
		t.Errorf("the audit log has\n%swant\n%s", actions, want)
	}
	for name, key := range map[string]*authenticator{
		"another passkey": newAuthenticator(t), "a passkey of an unknown account": {t: t, id: phone.id, key: phone.key,
			user: []byte("unknown"), count: 100, origin: phone.origin},
		"another key": {t: t, id: phone.id, key: newAuthenticator(t).key, user: phone.user, count: 100,
			origin: phone.origin},
		"another origin": {t: t, id: phone.id, key: phone.key, user: phone.user, count: 100,
			origin: "https://evil.example.com"},
	} {
		if secret, err := signIn(key); !errors.Is(err, ErrUnknownPasskey) || secret != "" {
			t.Errorf("%s: %v", name, err)
		}
	}
	testenv.Check(t, s.RemovePasskey(ctx, olga, encoded(phone.id)))
	if _, err := signIn(phone); !errors.Is(err, ErrUnknownPasskey) {
		t.Errorf("a removed passkey: %v", err)
	}
}

func TestAPasskeyIsAddedOnceToTheAccountThatBeganIt(t *testing.T) {
	s, ctx := openOIDC(t, "name"), t.Context()
	olga, eve, phone := operator(t, s, "olga"), operator(t, s, "eve"), newAuthenticator(t)
	options, ceremony, err := s.BeginPasskey(ctx, olga)
	testenv.Check(t, err)
	if err := s.AddPasskey(ctx, eve, ceremony, "phone", phone.create(options)); !errors.Is(err, ErrUnknownPasskey) {
		t.Errorf("to another account: %v", err)
	}
	if err := s.AddPasskey(ctx, olga, ceremony, "phone", phone.create(options)); !errors.Is(err, ErrCeremony) {
		t.Errorf("a ceremony that was used: %v", err)
	}
	_, ceremony, err = s.BeginPasskey(ctx, olga)
	testenv.Check(t, err)
	if err := s.AddPasskey(ctx, olga, ceremony, "phone", strings.NewReader("{}")); !errors.Is(err, ErrUnknownPasskey) {
		t.Errorf("an answer without a credential: %v", err)
	}
	testenv.Check(t, register(t, s, olga, phone))
	if err := register(t, s, olga, phone); err == nil {
		t.Error("the same passkey is added twice")
	}
	o, _, err := s.BeginPasskey(ctx, olga)
	testenv.Check(t, err)
	excluded := o.(protocol.PublicKeyCredentialCreationOptions).CredentialExcludeList
	if len(excluded) != 1 || !bytes.Equal(excluded[0].CredentialID, phone.id) {
		t.Errorf("%d passkeys are excluded from another registration", len(excluded))
	}
	testenv.Check(t, s.store.InTx(ctx, func(tx *store.Tx) error {
		return tx.UsePasskey(ctx, encoded(phone.id), "{", s.now())
	}))
	if _, _, err := s.BeginPasskey(ctx, olga); err == nil || !strings.Contains(err.Error(), encoded(phone.id)) {
		t.Errorf("a passkey that cannot be read: %v", err)
	}
}

// A database that fails must not look like an unknown passkey.
func TestAPasskeyIsNotUnknownBecauseTheDatabaseFails(t *testing.T) {
	s, ctx := openOIDC(t, "name"), t.Context()
	olga, phone := operator(t, s, "olga"), newAuthenticator(t)
	db := s.store.DB()
	strict := func(err error) error {
		if errors.Is(err, ErrUnknownPasskey) || errors.Is(err, ErrCeremony) {
			return nil
		}
		return err
	}
	add := func() error {
		options, ceremony, err := s.BeginPasskey(ctx, olga)
		if err != nil {
			return err
		}
		return strict(s.AddPasskey(ctx, olga, ceremony, "phone", phone.create(options)))
	}
	testenv.FailsWithout(t, db, []string{"passkeys", "ceremonies"}, add)
	testenv.FailsIfReadOnly(t, db, []string{"passkeys", "ceremonies", "events"}, add)
	testenv.Check(t, add())
	signIn := func() error {
		options, ceremony, err := s.BeginPasskeySignIn(ctx, Browser{Address: store.NewID()})
		if err != nil {
			return err
		}
		_, err = s.SignInByPasskey(ctx, ceremony, phone.get(options), Browser{})
		return strict(err)
	}
	testenv.FailsWithout(t, db, []string{"passkeys", "accounts", "ceremonies", "sessions"}, signIn)
	testenv.FailsIfReadOnly(t, db, []string{"passkeys", "sessions", "events"}, signIn)
	testenv.Check(t, signIn())
}
