package control_test

import (
	"bytes"
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/perennial-pki/perennial/internal/egress/control"
	"github.com/perennial-pki/perennial/internal/engine/standing"
	"github.com/perennial-pki/perennial/internal/engine/store"
	"github.com/perennial-pki/perennial/internal/keys/keyring"
	"github.com/perennial-pki/perennial/internal/testing/enginetest"
	"github.com/perennial-pki/perennial/internal/testing/testenv"
	"github.com/perennial-pki/perennial/rollover"
	"github.com/perennial-pki/perennial/tenancy"
)

// ask calls the service as a gateway.
func (f *fixture) ask(operation, in string) (status int, answer []byte) {
	f.t.Helper()
	r, err := http.NewRequest(http.MethodPost, f.service.URL+control.Path+operation, strings.NewReader(in))
	check(f.t, err)
	r.Header.Set("Authorization", "Bearer "+f.token[tenancy.RoleGateway])
	res, err := http.DefaultClient.Do(r)
	check(f.t, err)
	defer res.Body.Close()
	answer, err = io.ReadAll(res.Body)
	check(f.t, err)
	return res.StatusCode, answer
}

// renewAs renews with another type of key.
func (f *fixture) renewAs(kind tenancy.KeyType) {
	f.t.Helper()
	_, err := f.engine.Store.DB().ExecContext(f.t.Context(), "UPDATE tenants SET key_type = ?", string(kind))
	check(f.t, err)
	f.renew()
}

func TestAGatewayWithoutPrivateKeysPresentsEachTypeOfKey(t *testing.T) {
	f := setUp(t)
	f.keysStay.Store(true)
	url := f.gateway()
	if status := f.send(url); status != http.StatusOK {
		t.Fatalf("answered %d", status)
	}
	kinds := []tenancy.KeyType{tenancy.P384, tenancy.RSA2048, tenancy.Ed25519}
	for i, kind := range kinds {
		f.renewAs(kind)
		newest := f.generation(i + 2)
		f.receiver.Accept(newest)
		if status := f.send(url); status != http.StatusOK {
			t.Errorf("%s: answered %d", kind, status)
		}
	}
	_, ids, err := f.client().Standing(t.Context(), "acme", "erp")
	check(t, err)
	if len(ids) != len(kinds)+1 {
		t.Errorf("%d identities", len(ids))
	}
}

// handshake13 returns the message that a client signs in TLS 1.3, for the hash of a handshake.
func handshake13(hash []byte) []byte {
	return slices.Concat(bytes.Repeat([]byte{' '}, 64), []byte("TLS 1.3, client CertificateVerify\x00"), hash)
}

// recorder is a key that records what crypto/tls has it sign.
type recorder struct {
	crypto.Signer
	signed []byte
}

func (r *recorder) SignMessage(random io.Reader, message []byte, opts crypto.SignerOpts) ([]byte, error) {
	r.signed = message
	return crypto.SignMessage(r.Signer, random, message, opts)
}

// handshake12 returns what a client with a certificate signs in TLS 1.2.
func handshake12(t *testing.T, chain [][]byte) []byte {
	t.Helper()
	_, key, err := ed25519.GenerateKey(nil)
	check(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"localhost"}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	check(t, err)
	ours, theirs := net.Pipe()
	server := tls.Server(theirs, &tls.Config{ClientAuth: tls.RequestClientCert,
		Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}})
	go func() {
		server.Handshake() // it fails if the certificate is that of another key
		theirs.Close()
	}()
	leaf, err := x509.ParseCertificate(chain[0])
	check(t, err)
	r := &recorder{Signer: stranger{key, leaf.PublicKey}}
	tls.Client(ours, &tls.Config{InsecureSkipVerify: true, MaxVersion: tls.VersionTLS12,
		Certificates: []tls.Certificate{{Certificate: chain, PrivateKey: r}}}).Handshake()
	ours.Close()
	if len(r.signed) == 0 {
		t.Fatal("nothing was signed")
	}
	return r.signed
}

// stranger signs with a key that does not belong to the public one.
type stranger struct {
	crypto.Signer
	public crypto.PublicKey
}

func (s stranger) Public() crypto.PublicKey { return s.public }

func (s stranger) Sign(random io.Reader, _ []byte, _ crypto.SignerOpts) ([]byte, error) {
	return s.Signer.Sign(random, nil, crypto.Hash(0))
}

func TestTheTokenOfAGatewayOpensNoKeyThatStaysWithTheService(t *testing.T) {
	f := setUp(t)
	f.keysStay.Store(true)
	_, _, err := f.client().Standing(t.Context(), "acme", "erp") // it names a public key to seal to
	check(t, err)
	var answer struct {
		Identities []struct {
			Key    []byte
			Remote bool
		}
	}
	check(t, json.Unmarshal([]byte(f.answered()), &answer))
	if len(answer.Identities) != 1 || answer.Identities[0].Key != nil || !answer.Identities[0].Remote {
		t.Error(f.answered())
	}
}

func TestTheServiceSignsOnlyWhatTLSSigns(t *testing.T) {
	f := setUp(t)
	f.keysStay.Store(true)
	own := f.generation(1).Raw
	hash := sha256.Sum256([]byte("handshake"))
	valid, valid12 := handshake13(hash[:]), handshake12(t, [][]byte{own, own})
	other := enginetest.ServerCertificate(t, f.ca).Certificate[0]
	anyKey, err := keyring.Generate(tenancy.P256)
	check(t, err)
	request, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, anyKey)
	check(t, err)
	for _, c := range []struct {
		name, arrangement string
		generation        int
		hash              string
		pss               bool
		message           []byte
		want              int
	}{
		{"TLS 1.3", "erp", 1, "SHA-256", false, valid, 200},
		{"TLS 1.3 with a long hash", "erp", 1, "SHA-256", false, handshake13(make([]byte, 48)), 200},
		{"TLS 1.2", "erp", 1, "SHA-384", false, valid12, 200},
		{"a hash that is too short", "erp", 1, "SHA-256", false, handshake13(hash[:31]), 422},
		{"a server of TLS 1.3", "erp", 1, "SHA-256", false, bytes.Replace(valid, []byte("client"), []byte("server"), 1), 422},
		{"TLS 1.2 cut off", "erp", 1, "SHA-256", false, valid12[:len(valid12)-1], 422},
		{"TLS 1.2 with more", "erp", 1, "SHA-256", false, append(slices.Clone(valid12), 0), 422},
		{"another certificate", "erp", 1, "SHA-256", false, handshake12(t, [][]byte{other}), 422},
		{"a certificate request", "erp", 1, "SHA-256", false, request, 422},
		{"a token", "erp", 1, "SHA-256", false, []byte("eyJhbGciOiJFUzI1NiJ9.e30"), 422},
		{"nothing", "erp", 1, "SHA-256", false, nil, 422},
		{"too much", "erp", 1, "SHA-256", false, make([]byte, 1<<20), 422},
		{"SHA-1", "erp", 1, "SHA-1", false, valid, 422},
		{"no hash", "erp", 1, "", false, valid, 422},
		{"PSS with an EC key", "erp", 1, "SHA-256", true, valid, 422},
		{"another generation", "erp", 2, "SHA-256", false, valid, 404},
		{"another arrangement", "crm", 1, "SHA-256", false, valid, 404},
	} {
		in, err := json.Marshal(map[string]any{"Tenant": "acme", "Arrangement": c.arrangement, "Generation": c.generation,
			"Hash": c.hash, "PSS": c.pss, "Message": c.message})
		check(t, err)
		if status, answer := f.ask("sign", string(in)); status != c.want {
			t.Errorf("%s: %d, want %d: %s", c.name, status, c.want, answer)
		}
	}
	if status, answer := f.ask("sign", `{"Tenant":"acme"`); status != http.StatusUnprocessableEntity {
		t.Errorf("%d: %s", status, answer)
	}
}

func TestAnEd25519KeyThatStaysSignsOnlyWhatTLSSigns(t *testing.T) {
	f := setUp(t)
	f.keysStay.Store(true)
	f.renewAs(tenancy.Ed25519)
	hash := sha256.Sum256([]byte("handshake"))
	for message, want := range map[string]int{
		string(handshake13(hash[:])):                          200,
		string(handshake12(t, [][]byte{f.generation(2).Raw})): 200,
		"any text": 422,
	} {
		in, err := json.Marshal(map[string]any{"Tenant": "acme", "Arrangement": "erp", "Generation": 2,
			"Message": []byte(message)})
		check(t, err)
		if status, answer := f.ask("sign", string(in)); status != want {
			t.Errorf("%.10q: %d, want %d: %s", message, status, want, answer)
		}
	}
}

func TestASignatureOfAnotherKeyIsNotSentToAReceiver(t *testing.T) {
	f := setUp(t)
	f.keysStay.Store(true)
	_, ids, err := f.client().Standing(t.Context(), "acme", "erp")
	check(t, err)
	key := ids[0].Certificate.PrivateKey.(crypto.MessageSigner)
	hash := sha256.Sum256([]byte("handshake"))
	if _, err := key.SignMessage(nil, handshake13(hash[:]), crypto.SHA256); err != nil {
		t.Error(err)
	}
	f.answer("sign", `{"Signature":"MAYCAQECAQE="}`)
	if _, err := key.SignMessage(nil, handshake13(hash[:]), crypto.SHA256); !errors.Is(err, standing.ErrNoSignature) {
		t.Error(err)
	}
	f.answer("sign", `{}`)
	if _, err := key.SignMessage(nil, handshake13(hash[:]), crypto.SHA256); !errors.Is(err, standing.ErrNoSignature) {
		t.Error(err)
	}
}

// A change of --gateway-keys reaches a gateway with a restart of the service, after which the gateway reads everything
// again. Replicas may differ meanwhile.
func TestAGatewayAdoptsAChangeOfWhereKeysStay(t *testing.T) {
	f := setUp(t)
	f.closing()
	url := f.gateway()
	reread := func() {
		t.Helper()
		check(t, f.engine.Store.InTx(t.Context(), func(tx *store.Tx) error {
			tx.Changed("")
			return nil
		}))
	}
	send := func(when string) {
		t.Helper()
		if status := f.sendTo(url, "closing"); status != http.StatusOK {
			t.Errorf("%s: answered %d", when, status)
		}
	}
	send("sealed")
	send("sealed")
	if f.signed() > 0 {
		t.Error("the service signed although the gateway has the key")
	}
	f.keysStay.Store(true)
	reread()
	testenv.Eventually(t, func() bool { // it no longer uses the key that it had
		send("remote")
		return f.signed() > 0
	})
	f.keysStay.Store(false)
	send("sealed again, before the gateway has read that")
	reread()
	testenv.Eventually(t, func() bool {
		before := f.signed()
		send("sealed again")
		return f.signed() == before
	})
}

// closing adds the arrangement acme/closing, whose receiver closes each connection.
func (f *fixture) closing() {
	f.t.Helper()
	closing := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if len(r.TLS.PeerCertificates) == 0 {
			w.WriteHeader(http.StatusUnauthorized)
		}
		w.Header().Set("Connection", "close")
	}))
	closing.TLS = &tls.Config{Certificates: []tls.Certificate{enginetest.ServerCertificate(f.t, f.ca)},
		ClientAuth: tls.RequestClientCert}
	closing.StartTLS()
	f.t.Cleanup(closing.Close)
	acme, err := f.engine.Store.Tenant(f.t.Context(), "acme")
	check(f.t, err)
	f.engine.Arrangement(f.t, tenancy.Arrangement{TenantID: acme.ID, Name: "closing", Endpoint: closing.URL,
		Egress: tenancy.Egress{ServerCA: string(f.ca.Bundle())}})
}

// sends demands a status for a message to an arrangement.
func (f *fixture) sends(url, arrangement string, want int) {
	f.t.Helper()
	if status := f.sendTo(url, arrangement); status != want {
		f.t.Errorf("%s answered %d, want %d", arrangement, status, want)
	}
}

// usesOpenConnections demands that messages fail only over new connections while what signs is away. The receiver of
// the arrangement closing ends each connection.
func (f *fixture) usesOpenConnections(url string, away func(bool)) {
	f.t.Helper()
	for range 2 { // the first answer shows how the receiver is spoken to
		f.sends(url, "erp", http.StatusOK)
		f.sends(url, "closing", http.StatusOK)
	}
	away(true)
	for range 3 {
		f.sends(url, "erp", http.StatusOK)
		f.sends(url, "closing", http.StatusServiceUnavailable)
	}
	away(false)
	f.sends(url, "closing", http.StatusOK)
}

func TestWithoutTheServiceAGatewayWithoutKeysUsesItsOpenConnections(t *testing.T) {
	f := setUp(t)
	f.keysStay.Store(true)
	f.closing()
	url := f.gateway()
	f.usesOpenConnections(url, f.setDown)
	s, err := f.engine.Named(t.Context(), "acme", "closing")
	check(t, err)
	if g, _ := s.Rollover.Generation(1); g.Verdict == rollover.Refused {
		t.Errorf("an outage of the service counts as a refusal: %+v", g)
	}
}

// The measurement of docs/performance.md: each message over a new connection, with keys that are sealed to the gateway
// and with keys that stay with the service.
func BenchmarkMessagesOverNewConnections(b *testing.B) {
	for _, c := range []struct {
		name     string
		keysStay bool
	}{{"sealed", false}, {"remote", true}} {
		b.Run(c.name, func(b *testing.B) {
			f := setUp(b)
			f.keysStay.Store(c.keysStay)
			_, ids, err := f.client().Standing(b.Context(), "acme", "erp")
			check(b, err)
			roots := x509.NewCertPool()
			roots.AppendCertsFromPEM(f.ca.Bundle())
			client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true,
				TLSClientConfig: &tls.Config{RootCAs: roots, Certificates: []tls.Certificate{ids[0].Certificate}}}}
			var mu sync.Mutex
			var took []time.Duration
			b.SetParallelism(4)
			b.ResetTimer()
			b.RunParallel(func(p *testing.PB) {
				for p.Next() {
					begun := time.Now()
					res, err := client.Post(f.receiver.URL, "text/plain", strings.NewReader("<order/>"))
					if err != nil || res.StatusCode != http.StatusOK {
						b.Errorf("%v, %v", res, err)
						return
					}
					res.Body.Close()
					mu.Lock()
					took = append(took, time.Since(begun))
					mu.Unlock()
				}
			})
			b.StopTimer()
			slices.Sort(took)
			b.ReportMetric(float64(took[len(took)/2].Microseconds()), "µs-median")
			b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "µs-p99")
			b.ReportMetric(float64(len(took))/b.Elapsed().Seconds(), "handshakes/s")
		})
	}
}
