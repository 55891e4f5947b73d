package outbound

import (
	"errors"
	"net/netip"
	"strings"
	"testing"
)

func TestATargetIsAllowedForItsTenantAndPortAlone(t *testing.T) {
	var n Network
	for _, text := range []string{"10.0.0.0/8", "192.168.1.0/24:8443", "acme=172.16.0.0/16", "acme=192.168.2.7:443",
		"[fd00::/8]:8443", "zeta=fd01::1", "zeta=[fd02::1]:443"} {
		if err := n.AddTarget(text); err != nil {
			t.Error(err)
		}
	}
	for _, c := range []struct {
		tenant, to string
		want       bool
	}{
		{"acme", "10.1.2.3:1", true}, {"", "10.1.2.3:1", true}, {"acme", "11.1.2.3:1", true}, // it is public
		{"zeta", "192.168.1.9:8443", true}, {"zeta", "192.168.1.9:443", false}, {"zeta", "192.168.3.9:8443", false},
		{"acme", "172.16.3.4:22", true}, {"zeta", "172.16.3.4:22", false}, {"", "172.16.3.4:22", false},
		{"acme", "192.168.2.7:443", true}, {"acme", "192.168.2.7:444", false}, {"acme", "192.168.2.8:443", false},
		{"zeta", "192.168.2.7:443", false}, {"acme", "[::ffff:192.168.2.7]:443", true},
		{"acme", "[fd33::1]:8443", true}, {"acme", "[fd33::1]:443", false},
		{"zeta", "[fd01::1]:22", true}, {"acme", "[fd01::1]:22", false}, {"zeta", "[fd02::1]:443", true},
		{"zeta", "[fd02::1]:444", false}, {"acme", "169.254.169.254:80", false}, {"acme", "127.0.0.1:80", false},
	} {
		of := n.For(c.tenant)
		err := of.Check(netip.MustParseAddrPort(c.to))
		if (err == nil) != c.want || err != nil && !errors.Is(err, ErrForbiddenAddress) {
			t.Errorf("%s at %s: %v", c.tenant, c.to, err)
		}
		if err := of.control(t.Context(), "tcp", c.to, nil); (err == nil) != c.want {
			t.Errorf("%s dials %s: %v", c.tenant, c.to, err)
		}
		if err := of.checkName(t.Context(), c.to); (err == nil) != c.want {
			t.Errorf("%s asks a proxy for %s: %v", c.tenant, c.to, err)
		}
	}
}

func TestATargetThatCannotBeReadIsRefused(t *testing.T) {
	for _, text := range []string{"", "acme", "10.0.0.0", "=10.0.0.0/8", "acme=", "10.0.0.0/33", "10.0.0.0/8:",
		"10.0.0.0/8:0", "10.0.0.0/8:65536", "10.0.0.0/8:https", "fd00::/8:8443x", "[fd00::/8]", "[fd00::/8]8443",
		"fe80::1%eth0", "example.com:443", "acme=zeta=10.0.0.0/8"} {
		var n Network
		err := n.AddTarget(text)
		if err == nil || len(n.targets) != 0 || !strings.Contains(err.Error(), "10.20.0.0/16:8443") {
			t.Errorf("%q: %v, %v", text, n.targets, err)
		}
	}
}
