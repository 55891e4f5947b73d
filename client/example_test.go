package client_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"

	"github.com/perennial-pki/perennial/client"
)

// service answers as a service with the tenant acme does.
func service() *httptest.Server {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /api/v1/tenants/acme", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("ETag", `"1"`)
		io.WriteString(w, `{"name":"acme","display_name":"Acme GmbH","key_type":"p256"}`)
	})
	mux.HandleFunc("GET /api/v1/tenants/acme/arrangements", func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("cursor") == "" {
			io.WriteString(w, `{"items":[{"name":"crm-to-bank"}],"next":"2"}`)
			return
		}
		io.WriteString(w, `{"items":[{"name":"crm-to-erp"}]}`)
	})
	mux.HandleFunc("POST /api/v1/tenants/acme/certificates/tenant/renew", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/problem+json")
		w.WriteHeader(http.StatusConflict)
		io.WriteString(w, `{"status":409,"detail":"Renew is possible from 2026-10-13 23:55 UTC on"}`)
	})
	return httptest.NewServer(mux)
}

func Example() {
	s := service()
	defer s.Close()
	ctx := context.Background()

	c, err := client.New(client.Config{URL: s.URL, Token: "perennial_..."})
	if err != nil {
		panic(err)
	}
	acme, err := client.Get[client.Tenant](ctx, c, client.TenantPath("acme"))
	if err != nil {
		panic(err)
	}
	fmt.Println(acme.DisplayName)

	arrangements, err := client.List[client.Arrangement](ctx, c, client.TenantPath("acme", "arrangements"))
	if err != nil {
		panic(err)
	}
	for _, a := range arrangements {
		fmt.Println(a.Name)
	}

	_, err = client.Post[client.Certificate](ctx, c, client.TenantPath("acme", "certificates", "tenant", "renew"),
		struct{}{})
	var refused *client.Error
	if errors.As(err, &refused) {
		fmt.Println(refused.Status, refused)
	}
	// Output:
	// Acme GmbH
	// crm-to-bank
	// crm-to-erp
	// 409 Renew is possible from 2026-10-13 23:55 UTC on
}
