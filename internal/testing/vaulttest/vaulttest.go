// Package vaulttest is a fake of the HTTP API of Vault's PKI and transit secrets engines and of its auth methods, as
// documented: its paths, parameters, answers, warnings and errors. It was compared with OpenBao 2.6.2 by hand.
package vaulttest

import (
	"crypto"
	"crypto/cipher"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/perennial-pki/perennial/internal/keys/certfile"
	"github.com/perennial-pki/perennial/internal/testing/testca"
)

// A Role is a role of the PKI secrets engine with the parameters that the fake has.
type Role struct {
	Organization string        // of subjects
	AllowedURIs  string        // prefix of the URIs that may be alternative names
	ServerFlag   bool          // serverAuth besides clientAuth, as is the default in Vault
	MaxTTL       time.Duration // 0: that of the mount
}

// A Server is a running fake. Its fields may be changed under its lock.
type Server struct {
	sync.Mutex // guards what follows
	Namespace  string
	Roles      map[string]Role
	Tokens     map[string]time.Duration // leases by token
	Sealed     bool
	Status     int           // if it is not 0, it is the status of every answer
	Errors     []string      // with it
	RetryAfter string        // with it
	Lifetime   time.Duration // of the tokens of logins
	Logins     int
	Revoked    map[string]int             // how often, by serial number with colons
	ciphers    map[string]cipher.AEAD     // AES-256-GCM keys of the transit secrets engine, by name
	signers    map[string][]crypto.Signer // versions of its keys that sign, the first one first

	CA    *testca.CA
	URL   string
	Roots string // PEM file with the root of its TLS certificate and of its certificates
}

// What signs in.
const (
	RootToken = "hvs.root"
	RoleID    = "role-1"
	SecretID  = "secret-1"
	JWT       = "jwt-1"
	K8sRole   = "perennial"
	CertRole  = "perennial"
)

// Start starts a fake that ends with the test. It has the roles "tenants" and "server-too".
func Start(t testing.TB) *Server {
	t.Helper()
	now := time.Now()
	s := &Server{CA: testca.New(t, "Vault", now), Revoked: map[string]int{}, Lifetime: time.Hour,
		ciphers: map[string]cipher.AEAD{}, signers: map[string][]crypto.Signer{},
		Tokens: map[string]time.Duration{RootToken: 0},
		Roles: map[string]Role{"tenants": {AllowedURIs: "spiffe://"}, "server-too": {AllowedURIs: "spiffe://",
			ServerFlag: true}, "short": {AllowedURIs: "spiffe://", MaxTTL: 24 * time.Hour}, "no-names": {}}}
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
	operation, versioned := strings.CutPrefix(r.URL.Path, "/v1/")
	switch {
	case s.Status != 0:
		if s.RetryAfter != "" {
			w.Header().Set("Retry-After", s.RetryAfter)
		}
		fail(w, s.Status, s.Errors...)
		return
	case s.Sealed:
		fail(w, http.StatusServiceUnavailable, "Vault is sealed")
		return
	case !versioned:
		fail(w, http.StatusNotFound)
		return
	case r.Header.Get("X-Vault-Request") != "true":
		fail(w, http.StatusPreconditionFailed, "missing 'X-Vault-Request' header") // of a Vault agent that demands it
		return
	case r.Method != http.MethodPost && (r.Method != http.MethodGet || !strings.HasPrefix(operation, "transit/keys/")):
		fail(w, http.StatusMethodNotAllowed, "unsupported operation")
		return
	case r.Header.Get("X-Vault-Namespace") != s.Namespace:
		fail(w, http.StatusForbidden, "permission denied")
		return
	}
	var body map[string]any
	if err := json.NewDecoder(r.Body).Decode(&body); err != nil && r.Method == http.MethodPost {
		fail(w, http.StatusBadRequest, "failed to parse JSON input: "+err.Error())
		return
	}
	if method, isLogin := strings.CutPrefix(operation, "auth/"); isLogin {
		s.logIn(w, r, method, body)
		return
	}
	if _, known := s.Tokens[r.Header.Get("X-Vault-Token")]; !known {
		fail(w, http.StatusForbidden, "permission denied", "invalid token")
		return
	}
	switch parts := strings.Split(operation, "/"); {
	case parts[0] == "transit" && len(parts) == 3 && (parts[1] == "encrypt" || parts[1] == "decrypt"):
		s.transit(w, parts[1], parts[2], body)
	case parts[0] == "transit" && (len(parts) == 3 && parts[1] == "keys" || len(parts) == 4 && parts[1] == "sign"):
		s.signing(w, parts, body)
	case parts[0] != "pki" || len(parts) < 2:
		fail(w, http.StatusNotFound, fmt.Sprintf("no handler for route %q. route entry not found.", operation))
	case parts[1] == "sign" && len(parts) == 3:
		role, known := s.Roles[parts[2]]
		if !known {
			fail(w, http.StatusBadRequest, "unknown role: "+parts[2])
			return
		}
		s.sign(w, body, &role)
	case parts[1] == "sign-verbatim" && len(parts) <= 3:
		s.sign(w, body, nil)
	case parts[1] == "revoke" && len(parts) == 2:
		s.revoke(w, body)
	default:
		fail(w, http.StatusNotFound, "unsupported path")
	}
}

func (s *Server) logIn(w http.ResponseWriter, r *http.Request, method string, body map[string]any) {
	switch {
	case method == "approle/login" && body["role_id"] == RoleID && body["secret_id"] == SecretID:
	case method == "approle/login":
		fail(w, http.StatusBadRequest, "invalid role or secret ID")
		return
	case method == "kubernetes/login" && body["role"] == K8sRole && body["jwt"] == JWT:
	case method == "cert/login" && r.TLS != nil && len(r.TLS.PeerCertificates) > 0 && body["name"] == CertRole:
	case method == "cert/login":
		fail(w, http.StatusBadRequest, "client certificate must be supplied")
		return
	default:
		fail(w, http.StatusForbidden, "permission denied")
		return
	}
	s.Logins++
	token := fmt.Sprintf("hvs.login-%d", s.Logins)
	s.Tokens[token] = s.Lifetime
	reply(w, map[string]any{"auth": map[string]any{"client_token": token, "accessor": "a", "policies": []string{"default"},
		"lease_duration": int(s.Lifetime / time.Second), "renewable": true, "token_type": "service"}})
}

// The parameters of the operations, as documented.
var (
	signParameters = []string{"csr", "common_name", "alt_names", "other_sans", "ip_sans", "uri_sans", "ttl", "format",
		"exclude_cn_from_sans", "not_after", "user_ids", "cert_metadata", "remove_roots_from_chain", "issuer_ref"}
	verbatimParameters = []string{"csr", "key_usage", "ext_key_usage", "ext_key_usage_oids", "ttl", "format", "not_after",
		"signature_bits", "use_pss", "user_ids", "cert_metadata", "remove_roots_from_chain", "issuer_ref",
		"basic_constraints_valid_for_non_ca"}
)

// sign answers sign/ROLE, or sign-verbatim if the role is nil.
func (s *Server) sign(w http.ResponseWriter, body map[string]any, role *Role) {
	known := signParameters
	if role == nil {
		known, role = verbatimParameters, &Role{AllowedURIs: "any"}
	}
	verbatim := role.AllowedURIs == "any"
	var warnings []string
	for _, name := range slices.Sorted(maps.Keys(body)) {
		if !slices.Contains(known, name) {
			warnings = append(warnings, fmt.Sprintf("Endpoint ignored these unrecognized parameters: [%s]", name))
		}
	}
	for field, setting := range map[string]string{"common_name": "use_csr_common_name", "alt_names": "use_csr_sans"} {
		if value, _ := body[field].(string); value != "" && !verbatim {
			warnings = append(warnings, fmt.Sprintf("the %s field was provided but the role is set with %q set to true", field,
				setting))
		}
	}
	text, _ := body["csr"].(string)
	block, _ := pem.Decode([]byte(text))
	if block == nil {
		fail(w, http.StatusBadRequest, "csr contains no data")
		return
	}
	csr, err := x509.ParseCertificateRequest(block.Bytes)
	if err != nil || csr.CheckSignature() != nil {
		fail(w, http.StatusBadRequest, "request signature invalid")
		return
	}
	ttl, err := time.ParseDuration(fmt.Sprint(body["ttl"]))
	if err != nil {
		fail(w, http.StatusBadRequest, fmt.Sprintf("invalid ttl: %v", err))
		return
	}
	for _, u := range csr.URIs {
		if !verbatim && (role.AllowedURIs == "" || !strings.HasPrefix(u.String(), role.AllowedURIs)) {
			fail(w, http.StatusBadRequest, fmt.Sprintf("URI Subject Alternative Names are not allowed in this role, but was "+
				"provided by CSR: %s", u))
			return
		}
	}
	if role.MaxTTL != 0 && ttl > role.MaxTTL {
		warnings = append(warnings, fmt.Sprintf("TTL %q is longer than permitted maxTTL %q, so maxTTL is being used", ttl,
			role.MaxTTL))
		ttl = role.MaxTTL
	}
	now := time.Now()
	if now.Add(ttl).After(s.CA.Issuing.NotAfter) {
		fail(w, http.StatusBadRequest, fmt.Sprintf("cannot satisfy request, as TTL would result in notAfter of %s that is "+
			"beyond the expiration of the CA certificate at %s", now.Add(ttl).UTC().Format(time.RFC3339),
			s.CA.Issuing.NotAfter.UTC().Format(time.RFC3339)))
		return
	}
	der, err := s.CA.Sign(csr, now.Add(-30*time.Second), now.Add(ttl), func(c *x509.Certificate) {
		if !verbatim {
			c.RawSubject, c.Subject = nil, pkix.Name{CommonName: csr.Subject.CommonName}
			if role.Organization != "" {
				c.Subject.Organization = []string{role.Organization}
			}
		}
		c.KeyUsage = x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment | x509.KeyUsageKeyAgreement
		if role.ServerFlag {
			c.ExtKeyUsage = append(c.ExtKeyUsage, x509.ExtKeyUsageServerAuth)
		}
	})
	if err != nil {
		fail(w, http.StatusInternalServerError, err.Error())
		return
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		fail(w, http.StatusInternalServerError, err.Error())
		return
	}
	one := func(der []byte) string { return strings.TrimSpace(string(testca.PEM(der))) }
	reply(w, map[string]any{"warnings": warnings, "data": map[string]any{"certificate": one(der),
		"issuing_ca": one(s.CA.Issuing.Raw), "ca_chain": []string{one(s.CA.Issuing.Raw), one(s.CA.Root.Raw)},
		"serial_number": colons(certfile.Serial(leaf)), "expiration": leaf.NotAfter.Unix()}})
}

func (s *Server) revoke(w http.ResponseWriter, body map[string]any) {
	serial, _ := body["serial_number"].(string)
	if len(serial) != 47 || strings.Count(serial, ":") != 15 { // 16 bytes
		fail(w, http.StatusBadRequest, fmt.Sprintf("certificate with serial %s not found.", serial))
		return
	}
	s.Revoked[serial]++
	reply(w, map[string]any{"data": map[string]any{"revocation_time": time.Now().Unix(), "state": "revoked"}})
}

func colons(serial string) string {
	var pairs []string
	for ; len(serial) >= 2; serial = serial[2:] {
		pairs = append(pairs, serial[:2])
	}
	return strings.Join(pairs, ":")
}

func reply(w http.ResponseWriter, fields map[string]any) {
	all := map[string]any{"request_id": "r", "lease_id": "", "renewable": false, "lease_duration": 0, "data": nil,
		"wrap_info": nil, "warnings": nil, "auth": nil}
	maps.Copy(all, fields)
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(all)
}

func fail(w http.ResponseWriter, status int, errors ...string) {
	if errors == nil {
		errors = []string{}
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(map[string]any{"errors": errors})
}
