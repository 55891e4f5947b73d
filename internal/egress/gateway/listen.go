package gateway

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Listen listens at HOST:PORT, or at "unix:PATH", whose socket admits only its owner.
func Listen(address string) (net.Listener, error) {
	path, ok := strings.CutPrefix(address, "unix:")
	if !ok {
		return net.Listen("tcp", address)
	}
	// Remove a socket that an earlier process left behind. A live one accepts connections.
	if conn, err := net.Dial("unix", path); err == nil {
		conn.Close()
		return nil, fmt.Errorf("another gateway listens at %s", path)
	}
	if info, err := os.Stat(path); err == nil && info.Mode()&fs.ModeSocket != 0 {
		if err := os.Remove(path); err != nil {
			return nil, err
		}
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, err
	}
	return l, os.Chmod(path, 0o660)
}

// Server returns the HTTP server of a gateway. Headers are limited in size and time. Bodies are not, because they may
// stream. If config asks for client certificates, one with the URI spiffe://DOMAIN/tenant/NAME of the senders' trust
// domain may send for that tenant, unless it is revoked.
func (g *Gateway) Server(config *tls.Config) *http.Server {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(true)
	protocols.SetUnencryptedHTTP2(true) // with prior knowledge, as gRPC needs it
	return &http.Server{
		Protocols: protocols, Handler: g.authenticated(g), TLSConfig: config, ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:    2 * time.Minute,
		MaxHeaderBytes: 64 << 10,
		ConnContext:    g.connected, ErrorLog: slog.NewLogLogger(g.log.Handler(), slog.LevelDebug),
	}
}

// connected trusts the owner of the Unix socket that a connection came through: the user that this process runs as, and
// root.
func (g *Gateway) connected(ctx context.Context, c net.Conn) context.Context {
	conn, ok := c.(*net.UnixConn)
	if !ok {
		return ctx
	}
	if uid, err := peer(conn); err != nil || !isOwner(uid, uint32(os.Getuid())) {
		return ctx
	}
	return context.WithValue(ctx, trustedKey{}, trusted{})
}

// isOwner reports whether a user may send through the socket of a process that runs as self.
func isOwner(user, self uint32) bool { return user == self || user == 0 }

// peer returns the user at the other end (SO_PEERCRED, unix(7)).
func peer(conn *net.UnixConn) (uid uint32, err error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return 0, err
	}
	controlErr := raw.Control(func(fd uintptr) {
		var cred *unix.Ucred
		if cred, err = unix.GetsockoptUcred(int(fd), syscall.SOL_SOCKET, unix.SO_PEERCRED); err == nil {
			uid = cred.Uid
		}
	})
	return uid, errors.Join(err, controlErr)
}

// authenticated accepts a verified client certificate in place of a token.
func (g *Gateway) authenticated(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.TLS != nil && len(r.TLS.VerifiedChains) > 0 {
			key, value := any(trustedKey{}), any(nil)
			if tenant, err := g.certificated(r); err == nil {
				value = trusted{tenant}
			} else {
				key, value = untrustedKey{}, err
			}
			r = r.WithContext(context.WithValue(r.Context(), key, value))
		}
		next.ServeHTTP(w, r)
	})
}
