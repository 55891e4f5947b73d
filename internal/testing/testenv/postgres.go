// Package testenv starts real servers for tests, such as PostgreSQL. A missing server is a failure with the package to
// install, never a skipped test. Every server ends with the test process.
package testenv

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"sort"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver "pgx"
)

var (
	cluster     = sync.OnceValues(startPostgres)
	databases   atomic.Int64
	postgresEnd = func() {}
)

// Main runs a package's tests and stops the servers that they started. Call it from TestMain.
func Main(m *testing.M) {
	code := m.Run()
	End()
	os.Exit(code)
}

// End stops the servers that the tests of a package started. [Main] calls it.
func End() { postgresEnd() }

// Postgres returns the URL of a new, empty database. The package's TestMain must call [Main].
func Postgres(t testing.TB) string {
	t.Helper()
	NeedsServers(t)
	base, name, err := createDatabase("")
	Check(t, err)
	return base + name
}

func startPostgres() (url string, err error) {
	s, err := newServer()
	if err != nil {
		return "", err
	}
	if err := s.init(); err != nil {
		return "", err
	}
	if err := s.start(); err != nil {
		return "", err
	}
	postgresEnd = s.remove
	return s.base(), nil
}

// A Server is a PostgreSQL for one test, which may stop or kill it and start a standby.
type Server struct {
	// Addr is its address: 127.0.0.1 and a port.
	Addr     string
	bin, dir string
	attr     func() *syscall.SysProcAttr
	cmd      *exec.Cmd
	ended    <-chan struct{}
	port     int
}

// NewServer starts a PostgreSQL that ends with the test.
func NewServer(t testing.TB) *Server {
	t.Helper()
	s, err := newServer()
	Check(t, err)
	t.Cleanup(s.remove)
	Check(t, s.init())
	Check(t, s.start())
	return s
}

// NewServerOn starts a server like [NewServer], on a file system in memory of the given size in MiB. If the test may
// not mount one, the server uses the system's disk, and small is false.
func NewServerOn(t testing.TB, size int) (s *Server, small bool) {
	t.Helper()
	NeedsServers(t)
	s, err := newServer()
	Check(t, err)
	t.Cleanup(s.remove)
	if user := s.attr().Credential; user != nil {
		small = syscall.Mount("none", s.dir, "tmpfs", 0,
			fmt.Sprintf("size=%dm,mode=0700,uid=%d,gid=%d", size, user.Uid, user.Gid)) == nil
	}
	if small {
		t.Cleanup(func() {
			s.Kill()
			syscall.Unmount(s.dir, syscall.MNT_DETACH)
		})
	}
	Check(t, s.init())
	Check(t, s.start())
	return s, small
}

// Dir returns the folder of the server's files.
func (s *Server) Dir() string { return s.dir }

// Standby starts a hot standby of the server.
func (s *Server) Standby(t testing.TB) *Server {
	t.Helper()
	other, err := newServer()
	Check(t, err)
	t.Cleanup(other.remove)
	Check(t, other.command("pg_basebackup", "-h", "127.0.0.1", "-p", strconv.Itoa(s.port), "-U", "postgres", "-D",
		other.data(), "-R", "-X", "stream", "-c", "fast"))
	Check(t, other.start())
	return other
}

// Promote turns a standby into a primary.
func (s *Server) Promote(t testing.TB) {
	t.Helper()
	Check(t, s.command("pg_ctl", "promote", "-D", s.data(), "-w"))
}

// Restart shuts the server down and starts it again.
func (s *Server) Restart(t testing.TB) {
	t.Helper()
	s.cmd.Process.Signal(syscall.SIGINT) // "fast": clients are cut off
	<-s.ended
	Check(t, s.start())
}

// Crash kills the server and starts it again.
func (s *Server) Crash(t testing.TB) {
	t.Helper()
	s.Kill()
	Check(t, s.start())
}

// Start starts the server again after [Server.Kill].
func (s *Server) Start() error { return s.start() }

// Kill stops the server as a crash does.
func (s *Server) Kill() {
	if s.cmd == nil {
		return
	}
	s.cmd.Process.Signal(syscall.SIGQUIT)
	<-s.ended
}

// URL returns the URL of a database.
func (s *Server) URL(name string) string { return s.base() + name }

func (s *Server) base() string { return "postgres://postgres@" + s.Addr + "/" }
func (s *Server) data() string { return filepath.Join(s.dir, "data") }

func newServer() (s *Server, err error) {
	s = &Server{}
	if s.bin, err = postgresBin(); err != nil {
		return nil, err
	}
	if s.dir, err = os.MkdirTemp("", "perennial-postgres-"); err != nil {
		return nil, err
	}
	// PostgreSQL does not run as root, so the server runs as the user postgres then.
	s.attr = func() *syscall.SysProcAttr { return &syscall.SysProcAttr{Pdeathsig: syscall.SIGQUIT} }
	if os.Getuid() == 0 {
		u, err := user.Lookup("postgres")
		if err != nil {
			return nil, fmt.Errorf("running as root needs a user \"postgres\": %w", err)
		}
		uid, _ := strconv.Atoi(u.Uid)
		gid, _ := strconv.Atoi(u.Gid)
		if err := os.Chown(s.dir, uid, gid); err != nil {
			return nil, err
		}
		s.attr = func() *syscall.SysProcAttr {
			return &syscall.SysProcAttr{Pdeathsig: syscall.SIGQUIT,
				Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}
		}
	}
	if s.port, err = freePort(); err != nil {
		return nil, err
	}
	s.Addr = address(s.port)
	return s, nil
}

func (s *Server) command(name string, args ...string) error {
	cmd := exec.Command(filepath.Join(s.bin, name), args...)
	cmd.Dir, cmd.SysProcAttr = s.dir, s.attr()
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", name, err, out)
	}
	return nil
}

func (s *Server) init() error {
	return s.command("initdb", "-D", s.data(), "-U", "postgres", "-A", "trust", "--no-sync", "--locale=C",
		"--locale-provider=icu", "--icu-locale=en-US", "-E", "UTF8")
}

func (s *Server) start() (err error) {
	s.cmd = exec.Command(filepath.Join(s.bin, "postgres"), "-D", s.data(), "-p", strconv.Itoa(s.port), "-k", s.dir, "-c",
		"listen_addresses=127.0.0.1",
		"-c", "fsync=off", "-c", "max_connections=200", "-c", "log_min_messages=fatal")
	s.cmd.Dir, s.cmd.SysProcAttr = s.dir, s.attr()
	if s.ended, err = start(s.cmd); err != nil {
		return err
	}
	db, err := sql.Open("pgx", s.base()+"postgres")
	if err != nil {
		return err
	}
	defer db.Close()
	return await(s.ended, db.PingContext)
}

func (s *Server) remove() {
	s.Kill()
	os.RemoveAll(s.dir)
}

// await pings the server until it answers. The error reports that it ended, or did not answer within two minutes.
func await(ended <-chan struct{}, ping func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		err := ping(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-ended:
			return fmt.Errorf("the server ended: %w", err)
		case <-ctx.Done():
			return fmt.Errorf("the server did not answer within two minutes: %w", err)
		case <-tick.C:
		}
	}
}

func postgresBin() (string, error) {
	dirs, _ := filepath.Glob("/usr/lib/postgresql/*/bin")
	sort.Strings(dirs)
	if len(dirs) > 0 {
		return dirs[len(dirs)-1], nil
	}
	if p, err := exec.LookPath("initdb"); err == nil {
		return filepath.Dir(p), nil
	}
	return "", fmt.Errorf("PostgreSQL is not installed: apt-get install postgresql")
}
