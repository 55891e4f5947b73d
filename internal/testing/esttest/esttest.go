// Package esttest is an EST server for tests, written from RFC 7030 and RFC 8951.
package esttest

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/smallstep/pkcs7"

	"github.com/perennial-pki/perennial/internal/testing/testca"
)

// The credentials of a registration authority.
const (
	Username = "perennial"
	Password = "s3cret"
)

// A Server is a running EST server. Its fields may be changed under its lock.
type Server struct {
	sync.Mutex // guards what follows
	CA         *testca.CA
	Label      string
	Attributes []byte // CsrAttrs (DER); nil: it answers 204
	// Pending counts the answers 202 that a request gets before its certificate. Such a server answers a repeated
	// request with the same certificate.
	Pending    int
	RetryAfter string
	Status     int // if it is not 0, it is the status of every answer to an enrolment
	Body       string
	Validity   time.Duration
	// OwnOnly restricts simplereenroll to a client that presents the certificate to be renewed (RFC 7030, section 4.2.2).
	OwnOnly bool
	Calls   map[string]int // by operation
	asked   map[string]int
	issued  map[string][]byte

	URL   string
	Roots string // PEM file
}

// Start starts a server that ends with the test. It accepts the password, and client certificates of its CA.
func Start(t testing.TB) *Server {
	t.Helper()
	now := time.Now()
	s := &Server{CA: testca.New(t, "EST", now), Validity: 365 * 24 * time.Hour, Calls: map[string]int{},
		asked: map[string]int{}, issued: map[string][]byte{}}
	s.Roots = s.CA.RootFile(t)
	server := httptest.NewUnstartedServer(http.HandlerFunc(s.handle))
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	clients := x509.NewCertPool()
	clients.AddCert(s.CA.Root)
	server.TLS = &tls.Config{Certificates: []tls.Certificate{s.CA.Server(t, now.Add(-time.Hour), now.AddDate(1, 0, 0))},
		ClientAuth: tls.VerifyClientCertIfGiven, ClientCAs: clients}
	server.StartTLS()
	t.Cleanup(server.Close)
	s.URL = server.URL
	return s
}

func (s *Server) handle(w http.ResponseWriter, r *http.Request) {
	s.Lock()
	defer s.Unlock()
	operation, found := strings.CutPrefix(r.URL.Path, "/.well-known/est/")
	if s.Label != "" {
		operation, found = strings.CutPrefix(operation, s.Label+"/")
	}
	s.Calls[operation]++
	switch method := r.Method; {
	case !found:
		http.NotFound(w, r)
	case operation == "cacerts" && method == http.MethodGet: // RFC 7030, section 4.1: without authentication
		s.send(w, "application/pkcs7-mime", certsOnly(s.CA.Issuing.Raw, s.CA.Root.Raw))
	case operation == "csrattrs" && method == http.MethodGet:
		if s.Attributes == nil {
			w.WriteHeader(http.StatusNoContent)
			return
		}
		s.send(w, "application/csrattrs", s.Attributes)
	case (operation == "simpleenroll" || operation == "simplereenroll") && method == http.MethodPost:
		s.enrol(w, r, operation)
	default:
		http.NotFound(w, r)
	}
}

func (s *Server) enrol(w http.ResponseWriter, r *http.Request, operation string) {
	name, password, basic := r.BasicAuth()
	byCertificate := r.TLS != nil && len(r.TLS.PeerCertificates) > 0
	if !byCertificate && !(basic && name == Username && password == Password) {
		w.Header().Set("WWW-Authenticate", `Basic realm="estrealm"`)
		http.Error(w, "authentication required", http.StatusUnauthorized)
		return
	}
	if s.RetryAfter != "" {
		w.Header().Set("Retry-After", s.RetryAfter)
	}
	if s.Status != 0 {
		w.WriteHeader(s.Status)
		io.WriteString(w, s.Body)
		return
	}
	if r.Header.Get("Content-Type") != "application/pkcs10" {
		http.Error(w, "want application/pkcs10", http.StatusUnsupportedMediaType)
		return
	}
	body, err := io.ReadAll(r.Body)
	der, err2 := base64.StdEncoding.DecodeString(string(bytes.Join(bytes.Fields(body), nil)))
	csr, err3 := x509.ParseCertificateRequest(der)
	if err != nil || err2 != nil || err3 != nil || csr.CheckSignature() != nil {
		http.Error(w, "malformed request", http.StatusBadRequest)
		return
	}
	if operation == "simplereenroll" && s.OwnOnly &&
		(!byCertificate || !bytes.Equal(csr.RawSubject, r.TLS.PeerCertificates[0].RawSubject)) {
		http.Error(w, "the subject must be that of the client certificate", http.StatusForbidden)
		return
	}
	request := string(der)
	if s.asked[request]++; s.asked[request] <= s.Pending {
		w.WriteHeader(http.StatusAccepted)
		io.WriteString(w, "an operator must approve the request")
		return
	}
	leaf := s.issued[request]
	if leaf == nil {
		now := time.Now()
		if leaf, err = s.CA.Sign(csr, now.Add(-time.Minute), now.Add(s.Validity-time.Minute), nil); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
	}
	if s.Pending > 0 {
		s.issued[request] = leaf
	}
	s.send(w, "application/pkcs7-mime; smime-type=certs-only", certsOnly(leaf))
}

// send sends content in base64 with lines of 76 characters.
func (s *Server) send(w http.ResponseWriter, contentType string, der []byte) {
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("Content-Transfer-Encoding", "base64")
	text := base64.StdEncoding.EncodeToString(der)
	for ; len(text) > 76; text = text[76:] {
		io.WriteString(w, text[:76]+"\r\n")
	}
	io.WriteString(w, text+"\r\n")
}

// certsOnly returns certificates as PKCS#7.
func certsOnly(certificates ...[]byte) []byte {
	der, err := pkcs7.DegenerateCertificate(bytes.Join(certificates, nil))
	if err != nil {
		panic(err) // of certificates that were just made
	}
	return der
}
