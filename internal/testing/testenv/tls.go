package testenv

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// PairPEM returns a certificate and its key in one file.
func PairPEM(t testing.TB, pair tls.Certificate) []byte {
	t.Helper()
	key, err := x509.MarshalPKCS8PrivateKey(pair.PrivateKey)
	Check(t, err)
	return append(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: pair.Certificate[0]}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key})...)
}

// A TLSServer is a real server for TLS on loopback.
type TLSServer struct {
	Dir  string // in which it runs, and which has its files
	Port int
	// Pair is its certificate with the key, which it finds in server.pem.
	Pair tls.Certificate
	// Files are further files by name, such as its configuration.
	Files map[string][]byte
}

// Start writes the files, starts a program that ends with the test, and waits until it accepts connections at the
// address that is returned.
func (s TLSServer) Start(t testing.TB, cmd *exec.Cmd) (address string) {
	t.Helper()
	Check(t, os.WriteFile(filepath.Join(s.Dir, "server.pem"), PairPEM(t, s.Pair), 0o600))
	for name, data := range s.Files {
		Check(t, os.WriteFile(filepath.Join(s.Dir, name), data, 0o600))
	}
	cmd.Dir = s.Dir
	Start(t, cmd)
	address = fmt.Sprintf("127.0.0.1:%d", s.Port)
	Eventually(t, func() bool {
		conn, err := net.Dial("tcp", address)
		if err == nil {
			conn.Close()
		}
		return err == nil
	})
	return address
}
