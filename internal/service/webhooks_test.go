package service

import (
	"encoding/pem"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/perennial-pki/perennial/client"
	"github.com/perennial-pki/perennial/internal/testing/testenv"
	"github.com/perennial-pki/perennial/webhook"
)

// A program that receives events verifies them with the official library. It fails the first time.
func TestTheServiceSendsTheEventsOfARenewalToAWebhook(t *testing.T) {
	var mu sync.Mutex // guards library and got
	var library *standardwebhooks.Webhook
	var got []webhook.Event
	requests := 0
	program := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		testenv.Check(t, err)
		mu.Lock()
		defer mu.Unlock()
		if requests++; requests == 1 {
			w.WriteHeader(http.StatusInternalServerError)
			return
		}
		if err := library.Verify(body, r.Header); err != nil {
			t.Errorf("verify: %v", err)
		}
		e, err := webhook.Parse(body)
		testenv.Check(t, err)
		got = append(got, e)
		w.WriteHeader(http.StatusNoContent)
	}))
	defer program.Close()

	s, err := open(t, settings(t, "--allow-target", "127.0.0.0/8"))
	testenv.Check(t, err)
	t.Cleanup(func() { testenv.Check(t, s.Close()) })
	stop := run(t, s)
	api, err := client.New(client.Config{URL: s.BaseURL(), Token: s.FirstToken()})
	testenv.Check(t, err)
	_, err = client.Post[client.Tenant](t.Context(), api, "/tenants", client.Tenant{Name: "acme"})
	testenv.Check(t, err)
	made, err := client.Post[client.Webhook](t.Context(), api, client.WebhooksPath("acme"), client.Webhook{Name: "crm",
		Format: string(webhook.CloudEvents), URL: program.URL, ServerCA: string(pem.EncodeToMemory(&pem.Block{
			Type: "CERTIFICATE", Bytes: program.Certificate().Raw}))})
	testenv.Check(t, err)
	mu.Lock()
	library, err = standardwebhooks.NewWebhook(made.Secret)
	mu.Unlock()
	testenv.Check(t, err)
	_, err = client.Post[client.Certificate](t.Context(), api, "/tenants/acme/certificates/tenant/renew",
		map[string]string{"reason": "reissue"})
	testenv.Check(t, err)
	testenv.Eventually(t, func() bool {
		mu.Lock()
		defer mu.Unlock()
		return len(got) > 0
	})
	testenv.Check(t, stop())
	renewed, ok := got[0].Data.(*webhook.CertificateRenewedData)
	if !ok || renewed.Tenant != "acme" || renewed.Generation != 2 || renewed.NotAfter.Before(time.Now()) ||
		renewed.Link != s.BaseURL()+"/tenants/acme/certificates" || len(got) != 1 {
		t.Errorf("%+v", got)
	}
}
