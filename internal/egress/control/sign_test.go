package control_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/perennial-pki/perennial/internal/egress/control"
	"github.com/perennial-pki/perennial/internal/testing/enginetest"
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
	f.keysStay = true
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
	for i, id := range ids {
		key := id.Certificate.PrivateKey.(crypto.Signer)
		digest := sha256.Sum256([]byte("hello"))
		var opts crypto.SignerOpts = crypto.SHA256
		signed, valid := digest[:], false
		if _, pure := key.Public().(ed25519.PublicKey); pure {
			opts, signed = crypto.Hash(0), []byte("hello")
		}
		signature, err := key.Sign(nil, signed, opts)
		check(t, err)
		switch public := key.Public().(type) {
		case *ecdsa.PublicKey:
			valid = ecdsa.VerifyASN1(public, signed, signature)
		case *rsa.PublicKey:
			valid = rsa.VerifyPKCS1v15(public, crypto.SHA256, signed, signature) == nil
		case ed25519.PublicKey:
			valid = ed25519.Verify(public, signed, signature)
		}
		if !valid {
			t.Errorf("the signature of generation %d is not valid", i+1)
		}
	}
}

func TestTheTokenOfAGatewayOpensNoKeyThatStaysWithTheService(t *testing.T) {
	f := setUp(t)
	f.keysStay = true
	_, _, err := f.client().Standing(t.Context(), "acme", "erp") // it names a public key to seal to
	check(t, err)
	f.mu.Lock()
	defer f.mu.Unlock()
	var answer struct {
		Identities []struct {
			Key    []byte
			Remote bool
		}
	}
	check(t, json.Unmarshal(f.wire.Bytes(), &answer))
	if len(answer.Identities) != 1 || answer.Identities[0].Key != nil || !answer.Identities[0].Remote {
		t.Errorf("%s", f.wire.String())
	}
}

func TestTheServiceSignsOnlyWhatTLSSigns(t *testing.T) {
	f := setUp(t)
	f.keysStay = true
	const digest = `"ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0="` // 32 bytes
	for in, want := range map[string]int{
		`{"Tenant":"acme","Arrangement":"erp","Generation":1,"Hash":"SHA-256","Digest":` + digest + `}`:            200,
		`{"Tenant":"acme","Arrangement":"erp","Generation":1,"Hash":"SHA-384","Digest":` + digest + `}`:            422,
		`{"Tenant":"acme","Arrangement":"erp","Generation":1,"Hash":"SHA-1","Digest":` + digest + `}`:              422,
		`{"Tenant":"acme","Arrangement":"erp","Generation":1,"Digest":` + digest + `}`:                             422,
		`{"Tenant":"acme","Arrangement":"erp","Generation":1,"Hash":"SHA-256","PSS":true,"Digest":` + digest + `}`: 422,
		`{"Tenant":"acme","Arrangement":"erp","Generation":2,"Hash":"SHA-256","Digest":` + digest + `}`:            404,
		`{"Tenant":"acme","Arrangement":"crm","Generation":1,"Hash":"SHA-256","Digest":` + digest + `}`:            404,
		`{"Tenant":"acme"`: 422,
	} {
		if status, answer := f.ask("sign", in); status != want {
			t.Errorf("%s: %d, want %d: %s", in, status, want, answer)
		}
	}
	f.keysStay = false
	status, answer := f.ask("sign", `{"Tenant":"acme","Arrangement":"erp","Generation":1,"Hash":"SHA-256","Digest":`+
		digest+`}`)
	if status != http.StatusConflict {
		t.Errorf("a service that hands keys out: %d %s", status, answer)
	}
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

func TestWithoutTheServiceAGatewayWithoutKeysUsesItsOpenConnections(t *testing.T) {
	f := setUp(t)
	f.keysStay = true
	f.closing()
	url := f.gateway()
	send := func(arrangement string, want int) {
		t.Helper()
		if status := f.sendTo(url, arrangement); status != want {
			t.Errorf("%s answered %d, want %d", arrangement, status, want)
		}
	}
	for range 2 { // the first answer shows how the receiver is spoken to
		send("erp", http.StatusOK)
		send("closing", http.StatusOK)
	}
	f.setDown(true)
	for range 3 {
		send("erp", http.StatusOK)
		send("closing", http.StatusServiceUnavailable)
	}
	f.setDown(false)
	send("closing", http.StatusOK)
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
			f.keysStay = c.keysStay
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
