package gateway_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/perennial-pki/perennial/internal/egress/gateway"
	"github.com/perennial-pki/perennial/internal/egress/outbound"
	"github.com/perennial-pki/perennial/tenancy"
)

// A private range that is open to one tenant is closed to its neighbour.
func TestATargetIsReachedByItsTenantAlone(t *testing.T) {
	f := setUp(t)
	zeta, err := f.engine.Store.Tenant(t.Context(), "zeta")
	check(t, err)
	url := f.serve(func(http.ResponseWriter, *http.Request) {})
	_, port, _ := strings.Cut(strings.TrimPrefix(url, "https://"), ":")
	for _, tenant := range []tenancy.Tenant{f.acme, zeta} {
		f.engine.Arrangement(t, tenancy.Arrangement{TenantID: tenant.ID, Name: "bank", Strategy: tenancy.Adaptive,
			Endpoint: url, Egress: tenancy.Egress{ServerCA: string(f.ca.Bundle())}})
	}
	for target, want := range map[string][2]int{
		"acme=127.0.0.0/8": {200, 403}, "acme=127.0.0.1:" + port: {200, 403}, "127.0.0.0/8:" + port: {200, 200},
		"acme=127.0.0.0/8:1": {403, 403}, "127.0.0.0/8": {200, 200},
	} {
		network := new(outbound.Network)
		check(t, network.AddTarget(target))
		at := f.listen("127.0.0.1:0", nil, func(c *gateway.Config) { c.Network = network }).Addr().String()
		for i, tenant := range []string{"acme", "zeta"} {
			r, err := http.NewRequestWithContext(t.Context(), "POST", "http://"+at+"/"+tenant+"/bank/x",
				strings.NewReader("<order/>"))
			check(t, err)
			r.Header.Set("Authorization", "Bearer "+f.sender(tenant, time.Hour))
			res, err := http.DefaultClient.Do(r)
			check(t, err)
			res.Body.Close()
			if res.StatusCode != want[i] {
				t.Errorf("--allow-target %s: %s gets %d, want %d", target, tenant, res.StatusCode, want[i])
			}
		}
	}
}
