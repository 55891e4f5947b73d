package main

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"sync"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/perennial-pki/perennial/internal/feed"
)

// A scriptedFeed is a sender whose feed a script follows.
type scriptedFeed struct {
	server *httptest.Server
	secret ed25519.PrivateKey
	path   string

	mu       sync.Mutex // guards the fields below
	document feed.Document
	down     bool
	reports  []byte // one line each
}

var scriptedFeeds sync.Map // of *scriptedFeed, by *testscript.TestScript

// scriptFeed starts a sender whose feed has one generation ("feed start", $FEED is its address), publishes another one
// ("feed renew"), makes the feed answer with status 503 and normally ("feed down", "feed up"), serves it with TLS at
// $SECURE ("feed secure FILE" writes the CA), or writes the reports of followers to a file ("feed reports FILE").
func scriptFeed(ts *testscript.TestScript, _ bool, args []string) {
	if args[0] == "start" {
		f := &scriptedFeed{}
		var err error
		_, f.secret, err = ed25519.GenerateKey(rand.Reader)
		ts.Check(err)
		thumbprint, err := feed.Thumbprint(f.secret.Public().(ed25519.PublicKey))
		ts.Check(err)
		f.path = "/feeds/secret/" + thumbprint + "/"
		f.document = feed.Document{Feed: feed.ID("secret"), Tenant: "acme", Arrangement: "crm-to-erp",
			RefreshHint: 3600, PublishedAt: time.Now(), ValidUntil: time.Now().AddDate(0, 0, 7)}
		ts.Check(f.renew())
		f.server = httptest.NewServer(f)
		ts.Defer(f.server.Close)
		ts.Setenv("FEED", f.server.URL+f.path)
		scriptedFeeds.Store(ts, f)
		return
	}
	v, _ := scriptedFeeds.Load(ts)
	f := v.(*scriptedFeed)
	f.mu.Lock()
	defer f.mu.Unlock()
	switch args[0] {
	case "renew":
		ts.Check(f.renew())
	case "down", "up":
		f.down = args[0] == "down"
	case "secure":
		server := httptest.NewTLSServer(f)
		ts.Defer(server.Close)
		ts.Setenv("SECURE", server.URL+f.path)
		ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
		ts.Check(os.WriteFile(ts.MkAbs(args[1]), ca, 0o600))
	case "reports":
		ts.Check(os.WriteFile(ts.MkAbs(args[1]), f.reports, 0o600))
	default:
		ts.Fatalf("unknown: feed %s", args[0])
	}
}

// renew adds a generation, and keeps the one before.
func (f *scriptedFeed) renew() error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	f.document.Sequence++
	template := &x509.Certificate{SerialNumber: new(big.Int).SetUint64(f.document.Sequence),
		Subject: pkix.Name{CommonName: "acme"}, NotBefore: time.Now().Add(-time.Hour),
		NotAfter: time.Date(2099, 1, 1, 0, 0, 0, 0, time.UTC), ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	all := &f.document.Certificates
	*all = append(*all, feed.Certificate{Generation: int(f.document.Sequence), State: feed.Next, DER: der})
	if len(*all) > 2 {
		*all = (*all)[1:]
	}
	(*all)[0].State = feed.Active
	return err
}

func (f *scriptedFeed) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case f.down:
		w.WriteHeader(http.StatusServiceUnavailable)
	case r.URL.Path == f.path+"certificates.jws":
		signed, err := feed.Sign(f.document, f.secret)
		if err != nil {
			w.WriteHeader(http.StatusInternalServerError)
		}
		io.WriteString(w, signed)
	case r.URL.Path == f.path+"installed" && r.Method == http.MethodPost:
		body, _ := io.ReadAll(r.Body)
		f.reports = fmt.Appendf(f.reports, "%s\n", body)
		w.Header().Set("Content-Type", "application/json")
		io.WriteString(w, `{"generations":[]}`)
	default:
		w.WriteHeader(http.StatusNotFound)
	}
}
