package gateway

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/perennial-pki/perennial/internal/testing/testenv"
	"github.com/perennial-pki/perennial/tenancy"
)

func TestASocketTrustsItsOwnerAndRoot(t *testing.T) {
	for _, c := range []struct {
		user, self uint32
		want       bool
	}{{1000, 1000, true}, {0, 1000, true}, {0, 0, true}, {1001, 1000, false}, {1000, 0, false}} {
		if got := isOwner(c.user, c.self); got != c.want {
			t.Errorf("user %d at the socket of user %d: %v", c.user, c.self, got)
		}
	}
	g := quietly(&failing{}, io.Discard)
	listener, err := net.Listen("unix", filepath.Join(t.TempDir(), "s"))
	testenv.Check(t, err)
	defer listener.Close()
	closed, err := net.Dial("unix", listener.Addr().String())
	testenv.Check(t, err)
	closed.Close()
	for name, conn := range map[string]net.Conn{"a closed one": closed, "none": &net.UnixConn{}} {
		if _, err := peer(conn.(*net.UnixConn)); err == nil {
			t.Errorf("the user behind %s is known", name)
		}
		if _, ok := g.connected(t.Context(), conn).Value(trustedKey{}).(trusted); ok {
			t.Errorf("%s is trusted", name)
		}
	}
}

func TestASocketReplacesOneThatWasLeftAndNothingElse(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	left, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	testenv.Check(t, err)
	left.SetUnlinkOnClose(false)
	testenv.Check(t, left.Close())
	l, err := Listen("unix:" + path)
	testenv.Check(t, err)
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o660 {
		t.Errorf("the socket's mode is %v, %v", info.Mode(), err)
	}
	if again, err := Listen("unix:" + path); err == nil || again != nil ||
		!strings.Contains(err.Error(), "another gateway listens at") {
		t.Errorf("a socket that is in use: %v", err)
	}
	testenv.Check(t, l.Close())
	testenv.Check(t, os.WriteFile(path, []byte("a file"), 0o600))
	if l, err := Listen("unix:" + path); err == nil || l != nil {
		t.Error("a file is replaced by a socket")
	}
	if data, err := os.ReadFile(path); err != nil || string(data) != "a file" {
		t.Errorf("the file has become %q, %v", data, err)
	}
}

// Without limits, senders that send nothing hold connections for ever.
func TestTheListenerLimitsHeadersAndIdleConnections(t *testing.T) {
	s := quietly(&failing{}, io.Discard).Server(nil)
	for name, got := range map[string]time.Duration{"headers": s.ReadHeaderTimeout, "idle connections": s.IdleTimeout} {
		if got < time.Second || got > 5*time.Minute {
			t.Errorf("%s may take %v", name, got)
		}
	}
	server := httptest.NewUnstartedServer(nil)
	server.Config = s
	server.Start()
	defer server.Close()
	for size, want := range map[int]int{60 << 10: http.StatusBadRequest,
		70 << 10: http.StatusRequestHeaderFieldsTooLarge} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL+"/x", nil)
		testenv.Check(t, err)
		r.Header.Set("X-Long", strings.Repeat("x", size))
		res, err := server.Client().Do(r)
		testenv.Check(t, err)
		res.Body.Close()
		if res.StatusCode != want {
			t.Errorf("%d bytes of headers: %d, want %d", size, res.StatusCode, want)
		}
	}
}

// An authority of a test issues certificates and revocation lists.
type authority struct {
	t    *testing.T
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T, name string, above *authority) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	testenv.Check(t, err)
	a := &authority{t: t, key: key}
	template := &x509.Certificate{SerialNumber: big.NewInt(7), Subject: pkix.Name{CommonName: name},
		NotBefore: noon.AddDate(-1, 0, 0), NotAfter: noon.AddDate(1, 0, 0), IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign}
	if above == nil {
		above = &authority{cert: template, key: key}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, above.cert, key.Public(), above.key)
	testenv.Check(t, err)
	a.cert, err = x509.ParseCertificate(der)
	testenv.Check(t, err)
	return a
}

func (a *authority) list(number int64, from, until time.Time, serials ...int64) []byte {
	a.t.Helper()
	l := &x509.RevocationList{Number: big.NewInt(number), ThisUpdate: from, NextUpdate: until}
	for _, s := range serials {
		l.RevokedCertificateEntries = append(l.RevokedCertificateEntries,
			x509.RevocationListEntry{SerialNumber: big.NewInt(s), RevocationTime: from})
	}
	der, err := x509.CreateRevocationList(rand.Reader, l, a.cert, a.key)
	testenv.Check(a.t, err)
	return pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: der})
}

func TestACertificateIsAcceptedOnlyIfItsListsAreCurrentAndDoNotNameIt(t *testing.T) {
	root := newAuthority(t, "Root", nil)
	issuing := newAuthority(t, "Issuing", root)
	impostor := newAuthority(t, "Issuing", root) // of the same name
	leaf := &x509.Certificate{SerialNumber: big.NewInt(5)}
	chain := []*x509.Certificate{leaf, issuing.cert, root.cert}
	hour := noon.Add(time.Hour)
	current, named := issuing.list(1, noon, hour), issuing.list(2, noon.Add(time.Minute), hour, 4, 5)
	for _, c := range []struct {
		name  string
		lists [][]byte
		at    time.Time
		want  string // in the error; empty if it is accepted
	}{
		{"the list of its CA", [][]byte{current}, noon, ""},
		{"an instant before the list ends", [][]byte{current}, hour.Add(-1), ""},
		{"the list has ended", [][]byte{current}, hour, "out of date since 2026-03-01T13:00:00Z"},
		{"the lists of both CAs", [][]byte{current, root.list(1, noon, hour, 8)}, noon, ""},
		{"its CA is revoked", [][]byte{current, root.list(1, noon, hour, 7)}, noon, "is revoked"},
		{"the list of the CA above has ended", [][]byte{current, root.list(1, noon.Add(-time.Hour), noon)}, noon,
			"CN=Root is out of date"},
		{"the list of the CA above alone", [][]byte{root.list(1, noon, hour)}, noon, "no revocation list of CN=Issuing"},
		{"it is revoked", [][]byte{named}, noon, "is revoked"},
		{"the newer list comes last", [][]byte{current, named}, noon, "is revoked"},
		{"the newer list comes first", [][]byte{named, current}, noon, "is revoked"},
		{"a newer list of an impostor", [][]byte{current, impostor.list(9, noon.Add(time.Minute), hour, 5)}, noon, ""},
		{"the list of an impostor alone", [][]byte{impostor.list(9, noon, hour)}, noon, "no revocation list of CN=Issuing"},
	} {
		path := filepath.Join(t.TempDir(), "crl.pem")
		testenv.Check(t, os.WriteFile(path, bytes.Join(c.lists, nil), 0o600))
		v := &revocations{path: path, log: slog.New(slog.DiscardHandler)}
		for range 2 { // the second time it is known which list counts
			err := v.check(chain, c.at)
			if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
				t.Errorf("%s: %v, want %q", c.name, err, c.want)
			}
		}
	}
	none := &revocations{}
	if err := none.check(chain, noon); err != nil {
		t.Errorf("without lists: %v", err)
	}
	leaf.CRLDistributionPoints = []string{"http://crl.test"}
	if err := none.check(chain, noon); err == nil || !strings.Contains(err.Error(), "is not checked here") {
		t.Errorf("a certificate that names a list, without lists: %v", err)
	}
}

func TestRevocationListsAreReadAgainWhenTheirFileHasChanged(t *testing.T) {
	ca := newAuthority(t, "Issuing", nil)
	chain := []*x509.Certificate{{SerialNumber: big.NewInt(5)}, ca.cert}
	hour := noon.Add(time.Hour)
	clean, revoked := ca.list(1, noon, hour, 6), ca.list(1, noon, hour, 5) // as long as each other
	longer := ca.list(1, noon, hour, 5, 6)
	for len(clean) != len(revoked) { // the length of a signature varies
		revoked = ca.list(1, noon, hour, 5)
	}
	path := filepath.Join(t.TempDir(), "crl.pem")
	write := func(data []byte, at time.Time) {
		testenv.Check(t, os.WriteFile(path, data, 0o600))
		testenv.Check(t, os.Chtimes(path, at, at))
	}
	var logged bytes.Buffer
	v := &revocations{path: path, log: slog.New(slog.NewTextHandler(&logged, nil))}
	for _, c := range []struct {
		name   string
		change func()
		at     time.Duration
		want   string // in the error; empty if it is accepted
		logs   bool
	}{
		{"the first reading", func() { write(clean, noon) }, 0, "", false},
		{"it is not looked at yet", func() { write(revoked, noon.Add(1)) }, lookEvery - 1, "", false},
		{"another instant of the same size", func() {}, lookEvery, "is revoked", false},
		{"the former file", func() { write(clean, noon) }, 2 * lookEvery, "", false},
		{"another size at the same instant", func() { write(longer, noon) }, 3 * lookEvery, "is revoked", false},
		{"damaged", func() { write([]byte("no list"), noon) }, 4 * lookEvery, "cannot be read", true},
		{"still damaged, and not looked at", func() {}, 5*lookEvery - 1, "cannot be read", false},
		{"still damaged", func() {}, 5 * lookEvery, "cannot be read", true},
		{"gone", func() { os.Remove(path) }, 6 * lookEvery, "cannot be read", true},
		{"repaired", func() { write(clean, noon) }, 7 * lookEvery, "", false},
		{"the clock was ahead", func() { write(longer, noon) }, 7*lookEvery - 1, "is revoked", false},
	} {
		c.change()
		logged.Reset()
		err := v.check(chain, noon.Add(c.at))
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
		if got := strings.Contains(logged.String(), path); got != c.logs {
			t.Errorf("%s: logged %q", c.name, &logged)
		}
	}
}

// A directory answers for tokens by their hash.
type directory struct {
	Control
	token  tenancy.Token
	err    error
	asked  int
	before func(context.Context) // the answer
}

func (d *directory) Token(ctx context.Context, _ string) (tenancy.Token, error) {
	d.asked++
	if d.before != nil {
		d.before(ctx)
	}
	return d.token, d.err
}

func TestATokenIsLookedUpWhenItHasTo(t *testing.T) {
	valid := tenancy.Token{ID: "known", TenantID: "acme", ExpiresAt: noon.Add(24 * time.Hour)}
	found := tenancy.Token{ID: "found", TenantID: "acme", ExpiresAt: noon.Add(24 * time.Hour)}
	gone, down := tenancy.Errorf(tenancy.ErrNotFound, "gone"), errors.New("down")
	ended := valid
	ended.ExpiresAt = noon
	for _, c := range []struct {
		name   string
		known  token // none without an ID
		err    error
		want   string
		asked  int
		fails  bool
		bounds bool // the time for the answer is limited
	}{
		{"unknown", token{}, nil, "found", 1, false, false},
		{"unknown to the control too", token{}, gone, "", 1, true, false},
		{"unknown, and no answer", token{}, down, "", 1, true, false},
		{"looked up a moment ago", token{Token: valid, until: noon.Add(1)}, nil, "known", 0, false, false},
		{"looked up a while ago", token{Token: valid, until: noon}, nil, "known", 1, false, false},
		{"the same, and being looked up", token{Token: valid, until: noon, asking: true}, nil, "known", 0, false, false},
		{"the control did not answer a moment ago", token{Token: valid, until: noon, askAfter: noon.Add(1)}, nil, "known", 0,
			false, false},
		{"changed", token{Token: valid, until: noon, changed: true}, nil, "found", 1, false, true},
		{"changed, and deleted", token{Token: valid, until: noon, changed: true}, gone, "", 1, true, true},
		{"changed, and no answer", token{Token: valid, until: noon, changed: true}, down, "known", 1, false, true},
		{"expired", token{Token: ended, until: noon.Add(1)}, nil, "found", 1, false, false},
		{"expired, and no answer", token{Token: ended, until: noon.Add(1)}, down, "", 1, true, false},
		{"an instant before the grace ends", token{Token: valid, until: noon.Add(1 - tokenGrace), changed: true}, down,
			"known", 1, false, true},
		{"the grace has ended", token{Token: valid, until: noon.Add(-tokenGrace), changed: true}, down, "", 1, true, false},
	} {
		bounded := false
		control := &directory{token: found, err: c.err}
		control.before = func(ctx context.Context) { _, bounded = ctx.Deadline() }
		g := quietly(control, io.Discard)
		g.tokens.known = map[string]token{}
		background := func(context.Context) {}
		g.inBackground = func(work func(context.Context)) { background = work }
		if c.known.ID != "" {
			g.tokens.known["hash"] = c.known
		}
		got, err := g.lookUpToken(t.Context(), "hash")
		background(t.Context())
		if (err != nil) != c.fails || !c.fails && got.ID != c.want || control.asked != c.asked || bounded != c.bounds {
			t.Errorf("%s: %q, %v after %d look-ups, bounded %v", c.name, got.ID, err, control.asked, bounded)
		}
		after, kept := g.tokens.known["hash"]
		switch {
		case c.asked == 0:
		case c.err == nil && (after.ID != "found" || !after.until.Equal(noon.Add(tokenLife)) || after.changed ||
			after.asking),
			errors.Is(c.err, gone) && kept,
			c.err == down && c.known.ID != "" && (after.ID != "known" || !after.askAfter.Equal(noon.Add(askAgain))):
			t.Errorf("%s: afterwards it is %+v", c.name, after)
		}
		if g.tokens.changes.reading != 0 {
			t.Errorf("%s: the look-up has not ended", c.name)
		}
	}
}

// An answer from before a change of its tenant serves the message that asked, and is not believed by the next one.
func TestAnAnswerAboutATokenIsNotBelievedAfterAChange(t *testing.T) {
	for tenant, changed := range map[string]bool{"acme": true, "": true, "zeta": false} {
		control := &directory{token: tenancy.Token{TenantID: "acme", ExpiresAt: noon.Add(time.Hour)}}
		g := quietly(control, io.Discard)
		g.tokens.known = map[string]token{}
		control.before = func(context.Context) { g.tokens.forget(tenant, noon) }
		_, err := g.lookUpToken(t.Context(), "hash")
		known := g.tokens.known["hash"]
		if err != nil || known.changed != changed || known.until.After(noon) == changed {
			t.Errorf("after a change of %q: %+v, %v", tenant, known, err)
		}
	}
}

func TestATokenIsLookedUpInTheBackgroundOnceAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		answer := make(chan struct{})
		control := &directory{err: errors.New("down"), before: func(context.Context) { <-answer }}
		g := quietly(control, io.Discard)
		g.inBackground = func(work func(context.Context)) { go work(t.Context()) }
		g.tokens.known = map[string]token{"hash": {Token: tenancy.Token{ExpiresAt: noon.Add(time.Hour)}, until: noon}}
		for range 3 {
			if _, err := g.lookUpToken(t.Context(), "hash"); err != nil {
				t.Error(err)
			}
			synctest.Wait()
		}
		close(answer)
		synctest.Wait()
		if control.asked != 1 {
			t.Errorf("%d look-ups at the same time", control.asked)
		}
		g.now = func() time.Time { return noon.Add(askAgain) }
		g.lookUpToken(t.Context(), "hash")
		if synctest.Wait(); control.asked != 2 {
			t.Errorf("%d look-ups after the pause", control.asked)
		}
		g.refreshToken("unknown")
		if synctest.Wait(); control.asked != 2 {
			t.Error("a token that was dropped is looked up")
		}
	})
}

func TestASenderUsesTheArrangementsOfItsTenant(t *testing.T) {
	to := address{"acme", "bank"}
	sender := tenancy.Token{Role: tenancy.RoleSender, Tenant: "acme", ExpiresAt: noon.Add(time.Hour)}
	foreign, other := sender, sender
	foreign.Tenant, other.Role = "zeta", tenancy.RoleKeyUser
	secret := "Bearer " + tenancy.TokenPrefix + "1"
	for _, c := range []struct {
		name   string
		token  tenancy.Token
		err    error
		header string
		value  any // of key in the context
		key    any
		want   string // in the error; empty if it may
	}{
		{"a sender's token", sender, nil, secret, nil, nil, ""},
		{"another tenant's", foreign, nil, secret, nil, nil, "there is no arrangement acme/bank"},
		{"another role", other, nil, secret, nil, nil, "this is not a sender's token"},
		{"an unknown token", tenancy.Token{}, tenancy.Errorf(tenancy.ErrNotFound, "x"), secret, nil, nil, "does not exist"},
		{"no answer about it", tenancy.Token{}, errors.New("down"), secret, nil, nil, "down"},
		{"no token", sender, nil, "", nil, nil, "send a sender's token"},
		{"a certificate of the tenant", other, nil, "", trusted{"acme"}, trustedKey{}, ""},
		{"a certificate of another tenant", other, nil, "", trusted{"zeta"}, trustedKey{},
			"there is no arrangement acme/bank"},
		{"the owner of the socket", other, nil, "", trusted{}, trustedKey{}, ""},
		{"a certificate that is refused", sender, nil, "", errors.New("it has expired"), untrustedKey{}, "it has expired"},
		{"a token beside it", sender, nil, secret, errors.New("it has expired"), untrustedKey{}, ""},
	} {
		g := quietly(&directory{token: c.token, err: c.err}, io.Discard)
		g.open, g.tokens.known = false, map[string]token{}
		r := httptest.NewRequest(http.MethodPost, "/acme/bank", nil)
		if c.header != "" {
			r.Header.Set("Authorization", c.header)
		}
		if c.key != nil {
			r = r.WithContext(context.WithValue(r.Context(), c.key, c.value))
		}
		err := g.mayUse(r, to)
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
}
