package serve

import (
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/perennial-pki/perennial/internal/egress/gateway"
	"github.com/perennial-pki/perennial/internal/egress/outbound"
)

// untouched is a control whose every method panics.
type untouched struct{ gateway.Control }

func TestAnOpenedGatewayTouchesNothingBeforeItStarts(t *testing.T) {
	o := Options{Gateway: "127.0.0.1:0"}
	s, err := o.Open(gateway.Config{Control: untouched{}, Network: &outbound.Network{}, Now: time.Now,
		Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	address := strings.TrimPrefix(s.URL, "http://")
	if err := s.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatalf("the address is not released: %v", err)
	}
	l.Close()
}

func TestALimitOfNewConnectionsIsNotNegative(t *testing.T) {
	for dials, ok := range map[int]bool{-1: false, 0: true, 50: true} {
		o := Options{Gateway: "127.0.0.1:0", ReceiverDials: dials}
		if err := o.Check(Direct); (err == nil) != ok {
			t.Errorf("%d: %v", dials, err)
		}
	}
}

func TestAnAddressIsShownWithoutItsPassword(t *testing.T) {
	for address, want := range map[string]string{
		"https://perennial.example.com":          "https://perennial.example.com",
		"https://me:s3cret@perennial.example":    "https://me:xxxxx@perennial.example",
		"postgres://me:s3cret@a,b/p?sslmode=off": "postgres://me:xxxxx@a,b/p?sslmode=off",
		"https://%zz:s3cret@x":                   "***",
	} {
		if got := redacted(address); got != want {
			t.Errorf("%s is shown as %s, want %s", address, got, want)
		}
	}
}

func TestAListenerAtAllAddressesIsShownAsItIsConfigured(t *testing.T) {
	for _, host := range []string{"0.0.0.0", "127.0.0.1"} {
		l, err := net.Listen("tcp", host+":0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		if got := Address(l); !strings.HasPrefix(got, host+":") {
			t.Errorf("%s, want %s", got, host)
		}
	}
}
