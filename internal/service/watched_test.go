package service

import (
	"crypto/tls"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/perennial-pki/perennial/client"
	"github.com/perennial-pki/perennial/internal/testing/testca"
	"github.com/perennial-pki/perennial/internal/testing/testenv"
	"github.com/perennial-pki/perennial/tenancy"
)

// A service looks at a server whose certificate is watched, and notices the renewal a day later.
func TestTheServiceNoticesTheRenewalOfAWatchedServer(t *testing.T) {
	now := time.Now()
	ca := testca.New(t, "Partner", now)
	old := ca.Server(t, now.AddDate(0, 0, -300), now.AddDate(0, 0, 65))
	next := ca.Server(t, now.AddDate(0, 0, -1), now.AddDate(1, 0, 0))
	var presented atomic.Pointer[tls.Certificate]
	presented.Store(&old)
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate,
		error) {
		return presented.Load(), nil
	}})
	testenv.Check(t, err)
	defer l.Close()
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			conn.(*tls.Conn).Handshake()
			conn.Close()
		}
	}()

	config := settings(t, "--allow-target", "127.0.0.0/8")
	s, err := open(t, config)
	testenv.Check(t, err)
	token := s.FirstToken()
	stop := run(t, s)
	api, err := client.New(client.Config{URL: s.BaseURL(), Token: token})
	testenv.Check(t, err)
	_, err = client.Post[client.Tenant](t.Context(), api, "/tenants", client.Tenant{Name: "acme"})
	testenv.Check(t, err)
	_, err = client.Post[client.KeyUser](t.Context(), api, "/tenants/acme/key-users",
		client.KeyUser{Name: "alice", Email: "alice@acme.example.com"})
	testenv.Check(t, err)
	_, err = client.Post[client.Watched](t.Context(), api, "/tenants/acme/watched", client.Watched{Name: "erp",
		Source: client.WatchSource{Kind: tenancy.WatchServer, Address: l.Addr().String()}})
	testenv.Check(t, err)
	testenv.Check(t, stop())
	testenv.Check(t, s.Close())

	presented.Store(&next)
	s, err = Open(t.Context(), Config{Settings: config, Version: "test", Log: slog.New(slog.DiscardHandler),
		Now: func() time.Time { return time.Now().Add(24 * time.Hour) }})
	testenv.Check(t, err)
	t.Cleanup(func() { testenv.Check(t, s.Close()) })
	stop = run(t, s)
	testenv.Eventually(t, func() bool {
		_, tasks := get(t, s.BaseURL()+"/api/v1/tenants/acme/tasks", token)
		return strings.Contains(tasks, "The certificate erp has been renewed")
	})
	testenv.Check(t, stop())
}
