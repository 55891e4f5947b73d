package web

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"time"

	"github.com/go-webauthn/webauthn/protocol"
	"github.com/go-webauthn/webauthn/webauthn"

	"github.com/perennial-pki/perennial/internal/engine/store"
	"github.com/perennial-pki/perennial/tenancy"
)

// ceremonyTime is how long a person may take between the two halves of a ceremony.
const ceremonyTime = 10 * time.Minute

// mostAnswer bounds what a browser may send of a credential.
const mostAnswer = 64 << 10

// newPasskeys is the relying party; nil where people reach the service at an address and not at a name, for WebAuthn
// needs a domain (Level 3, section 5.1.2: the effective domain).
func newPasskeys(base string) (*webauthn.WebAuthn, error) {
	u, err := url.Parse(base)
	if err != nil || u.Hostname() == "" {
		return nil, nil
	}
	if _, err := netip.ParseAddr(u.Hostname()); err == nil {
		return nil, nil
	}
	return webauthn.New(&webauthn.Config{
		RPID: u.Hostname(), RPDisplayName: "Perennial", RPOrigins: []string{u.Scheme + "://" + u.Host},
		AuthenticatorSelection: protocol.AuthenticatorSelection{ResidentKey: protocol.ResidentKeyRequirementRequired,
			UserVerification: protocol.VerificationRequired},
	})
}

// A passkeyUser is an account as WebAuthn sees it.
type passkeyUser struct {
	tenancy.Account
	credentials []webauthn.Credential
}

func (u passkeyUser) WebAuthnID() []byte                         { return []byte(u.ID) }
func (u passkeyUser) WebAuthnName() string                       { return u.Name }
func (u passkeyUser) WebAuthnDisplayName() string                { return u.Name }
func (u passkeyUser) WebAuthnCredentials() []webauthn.Credential { return u.credentials }

func (c *console) passkeyUser(v *view, a tenancy.Account) (u passkeyUser, err error) {
	u.Account = a
	known, err := c.Store.Passkeys(v.ctx(), a.ID)
	if err != nil {
		return u, err
	}
	for _, p := range known {
		var credential webauthn.Credential
		if err := json.Unmarshal([]byte(p.Credential), &credential); err != nil {
			return u, fmt.Errorf("passkey %s: %w", p.ID, err)
		}
		u.credentials = append(u.credentials, credential)
	}
	return u, nil
}

// beginCeremony keeps the first half of a ceremony, and its secret in the browser.
func (c *console) beginCeremony(v *view, kind string, half any) error {
	data, err := json.Marshal(half)
	if err != nil {
		return err
	}
	secret, now := rand.Text(), c.Now()
	err = c.Store.InTx(v.ctx(), func(tx *store.Tx) error {
		return tx.BeginCeremony(v.ctx(), tenancy.HashSecret(secret), kind, string(data), now, now.Add(ceremonyTime))
	})
	if err == nil {
		c.setCookie(v.w, "ceremony", secret, ceremonyTime)
	}
	return err
}

// takeCeremony reads the first half of a ceremony of this browser, once.
func (c *console) takeCeremony(v *view, kind string, half any) error {
	late := &refusal{http.StatusConflict, v.T("That took too long, or was begun in another browser: please try again.")}
	sent, err := v.r.Cookie("ceremony")
	if err != nil {
		return late
	}
	c.setCookie(v.w, "ceremony", "", -time.Second)
	var data string
	err = c.Store.InTx(v.ctx(), func(tx *store.Tx) (err error) {
		data, err = tx.TakeCeremony(v.ctx(), tenancy.HashSecret(sent.Value), kind, c.Now())
		return err
	})
	if errors.Is(err, tenancy.ErrNotFound) {
		return late
	} else if err != nil {
		return err
	}
	return json.Unmarshal([]byte(data), half)
}

func (v *view) json(out any) error {
	v.w.Header().Set("Content-Type", "application/json")
	return json.NewEncoder(v.w).Encode(out)
}

func (c *console) beginPasskey(v *view) error {
	user, err := c.passkeyUser(v, v.account)
	if err != nil {
		return err
	}
	options, half, err := c.passkeys.BeginRegistration(user,
		webauthn.WithExclusions(webauthn.Credentials(user.credentials).CredentialDescriptors()))
	if err != nil {
		return err
	}
	if err := c.beginCeremony(v, "passkey", half); err != nil {
		return err
	}
	return v.json(options.Response)
}

func (c *console) addPasskey(v *view) error {
	var half webauthn.SessionData
	if err := c.takeCeremony(v, "passkey", &half); err != nil {
		return err
	}
	user, err := c.passkeyUser(v, v.account)
	if err != nil {
		return err
	}
	v.r.Body = http.MaxBytesReader(v.w, v.r.Body, mostAnswer)
	credential, err := c.passkeys.FinishRegistration(user, half, v.r)
	if err != nil {
		return refusedPasskey(v, err)
	}
	data, err := json.Marshal(credential)
	if err != nil {
		return err
	}
	now := c.Now()
	p := tenancy.Passkey{ID: base64.RawURLEncoding.EncodeToString(credential.ID), AccountID: v.account.ID,
		Name: v.Day(now), Credential: string(data), CreatedAt: now}
	if err := c.change(v, v.account, "passkey.added", map[string]any{"passkey": p.ID}, func(tx *store.Tx) error {
		return tx.CreatePasskey(v.ctx(), p)
	}); err != nil {
		return err
	}
	c.say(v.w, v.T("The passkey is added: you can sign in with it."))
	return v.json(map[string]string{"to": "/account"})
}

func (c *console) removePasskey(v *view) error {
	id := v.r.PathValue("passkey")
	err := c.change(v, v.account, "passkey.removed", map[string]any{"passkey": id}, func(tx *store.Tx) error {
		return tx.DeletePasskey(v.ctx(), v.account.ID, id)
	})
	if errors.Is(err, tenancy.ErrStale) {
		return &refusal{http.StatusNotFound, ""}
	} else if err != nil {
		return err
	}
	return c.done(v, "/account", v.T("The passkey is removed."))
}

func (c *console) askPasskey(v *view) error {
	if err := c.mayTry(v); err != nil {
		return err
	}
	options, half, err := c.passkeys.BeginDiscoverableLogin(webauthn.WithUserVerification(protocol.VerificationRequired))
	if err != nil {
		return err
	}
	if err := c.beginCeremony(v, "passkey sign-in", half); err != nil {
		return err
	}
	return v.json(options.Response)
}

func (c *console) signInByPasskey(v *view) error {
	var half webauthn.SessionData
	if err := c.takeCeremony(v, "passkey sign-in", &half); err != nil {
		return err
	}
	v.r.Body = http.MaxBytesReader(v.w, v.r.Body, mostAnswer)
	var a tenancy.Account
	_, credential, err := c.passkeys.FinishPasskeyLogin(func(_, handle []byte) (webauthn.User, error) {
		var err error
		if a, err = c.Store.Account(v.ctx(), string(handle)); err != nil {
			return nil, err
		}
		return c.passkeyUser(v, a)
	}, half, v.r)
	if err != nil {
		return refusedPasskey(v, err)
	}
	data, err := json.Marshal(credential)
	if err != nil {
		return err
	}
	err = c.Store.InTx(v.ctx(), func(tx *store.Tx) error {
		return tx.UsePasskey(v.ctx(), base64.RawURLEncoding.EncodeToString(credential.ID), string(data), c.Now())
	})
	if err != nil {
		return err
	}
	if err := c.begin(v, a, "passkey"); err != nil {
		return err
	}
	return v.json(map[string]string{"to": local(v.r.URL.Query().Get("to"))})
}

func refusedPasskey(v *view, err error) error {
	var p *protocol.Error
	if errors.As(err, &p) || errors.Is(err, tenancy.ErrNotFound) {
		return &refusal{http.StatusUnauthorized, v.T("This passkey is not known here.")}
	}
	return err
}
