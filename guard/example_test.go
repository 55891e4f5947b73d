package guard_test

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log"
	"net/http"

	"github.com/perennial-pki/perennial/acceptance"
	"github.com/perennial-pki/perennial/guard"
	"github.com/perennial-pki/perennial/policy"
)

// A server that knows its partner by one certificate also accepts the next one, from the moment at which the partner
// renews.
func ExampleHandler() {
	tenant, err := x509.ParseCertificate(tenantDER) // the certificate that the partner has sent you
	if err != nil {
		log.Fatal(err)
	}
	partners := []acceptance.Partner{{
		Name:   "acme-c4c",
		Rule:   acceptance.Successor,
		Known:  []acceptance.Known{acceptance.NewKnown(tenant)},
		Window: policy.Days(62), // it renews in the last 62 days
	}}
	orders := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "hello, %s", guard.PartnerOf(r.Context()))
	})
	handler, err := guard.Handler(partners, orders)
	if err != nil {
		log.Fatal(err)
	}
	server := &http.Server{Addr: ":8443", Handler: handler, TLSConfig: guard.TLS(&tls.Config{})}
	_ = server // server.ListenAndServeTLS("server.pem", "server.key")
}

var tenantDER []byte
