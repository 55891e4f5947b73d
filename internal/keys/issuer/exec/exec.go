// Package exec is an issuer that runs a program of the platform for each certificate.
//
// The program reads a JSON object from standard input:
//
//	{"version":1,"tenant":"acme","credential":"tenant","csr":"-----BEGIN CERTIFICATE REQUEST-----...",
//	 "validity_seconds":31536000,"handle":""}
//
// It writes the chain as PEM, leaf first, to standard output and exits with 0. If the CA answers later, it writes a
// handle instead and exits with 75. It is run again later with that handle, until it has the certificate. Every other
// end is a failure, whose standard error is shown. Its arguments hold no secret. A program that exceeds its time is
// killed with its children.
//
// The program decides on the names in the certificate, and on whether a request with a known handle is the same
// request.
package exec

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	osexec "os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/perennial-pki/perennial/internal/keys/certfile"
	"github.com/perennial-pki/perennial/internal/keys/issuer"
	"github.com/perennial-pki/perennial/internal/keys/issuer/foreign"
	"github.com/perennial-pki/perennial/internal/keys/secret"
)

// Exit statuses with a meaning. All but the first are failures (sysexits.h).
const (
	exitLater       = 75 // EX_TEMPFAIL: the CA answers later
	exitUnavailable = 69 // EX_UNAVAILABLE: the CA cannot be reached
	exitDenied      = 77 // EX_NOPERM: the CA does not accept the credentials
)

const (
	// DefaultTimeout is the time that a program has, unless its settings allow another.
	DefaultTimeout = time.Minute
	// maxHandle bounds what is stored of a request that is answered later.
	maxHandle = 1000
	maxStderr = 16 << 10
	// closing is the time for output that is still in a pipe when the program has ended.
	closing = 2 * time.Second
)

// A Program describes a program.
type Program struct {
	Command     []string              `yaml:"command"`     // absolute path and arguments
	Directory   string                `yaml:"directory"`   // in which it runs; empty: that of the service
	Environment map[string]string     `yaml:"environment"` // besides PATH, HOME, LANG and TMPDIR of the service
	Secrets     map[string]secret.Ref `yaml:"secrets"`     // further variables of its environment
	Timeout     time.Duration         `yaml:"timeout"`     // 0: DefaultTimeout
}

// Config describes the program of an issuer.
type Config struct {
	Program `yaml:",inline"`
	Roots   string `yaml:"roots"` // PEM file that its certificates must lead to
}

// An Issuer runs a program. It is safe for concurrent use, and runs as many programs at a time as it has requests.
type Issuer struct {
	*foreign.Roots
	program *Runner
	form    issuer.Form
}

// Open returns an issuer. The program is not run.
func Open(c Config, form issuer.Form) (*Issuer, error) {
	program, err := NewRunner(c.Program)
	if err != nil {
		return nil, err
	}
	roots, err := foreign.OpenRoots(c.Roots)
	if err != nil {
		return nil, err
	}
	return &Issuer{Roots: roots, program: program, form: form}, nil
}

// A Runner runs a program. It is safe for concurrent use.
type Runner struct{ config Program }

// NewRunner returns a runner. The program is not run.
func NewRunner(c Program) (*Runner, error) {
	if len(c.Command) == 0 || !filepath.IsAbs(c.Command[0]) {
		return nil, errors.New("command needs the absolute path of a program, such as [/usr/local/bin/issue]")
	}
	if info, err := os.Stat(c.Command[0]); err != nil {
		return nil, fmt.Errorf("command: %w", err)
	} else if info.IsDir() || info.Mode()&0o111 == 0 {
		return nil, fmt.Errorf("command: %s cannot be executed: run chmod +x on it", c.Command[0])
	}
	if c.Timeout < 0 {
		return nil, fmt.Errorf("invalid timeout %s: use a time such as 60s", c.Timeout)
	}
	c.Timeout = cmp.Or(c.Timeout, DefaultTimeout)
	for name := range c.Secrets {
		if _, twice := c.Environment[name]; twice || name == "" || strings.ContainsAny(name, "=\x00") {
			return nil, fmt.Errorf("secrets: invalid name of a variable %q: it is empty, or appears in environment too", name)
		}
	}
	return &Runner{c}, nil
}

// A request is what the program reads.
type request struct {
	Version    int    `json:"version"`
	Tenant     string `json:"tenant"`
	Credential string `json:"credential"`
	CSR        string `json:"csr"`
	Validity   int64  `json:"validity_seconds"`
	Handle     string `json:"handle"`
}

// Issue implements [issuer.Issuer].
func (i *Issuer) Issue(ctx context.Context, r issuer.Request) (issuer.Issued, error) {
	return i.ask(ctx, "", r)
}

// Collect implements [issuer.Collector].
func (i *Issuer) Collect(ctx context.Context, handle string, r issuer.Request) (issuer.Issued, error) {
	return i.ask(ctx, handle, r)
}

func (i *Issuer) ask(ctx context.Context, handle string, r issuer.Request) (issued issuer.Issued, err error) {
	names, err := i.form.Requested(r)
	if err != nil {
		return issued, err
	}
	csr, err := foreign.CSR(r.Key, names)
	if err != nil {
		return issued, err
	}
	input, err := json.Marshal(request{Version: 1, Tenant: r.Tenant, Credential: string(r.Purpose),
		CSR: certfile.RequestPEM(csr), Validity: int64(r.Validity / time.Second), Handle: handle})
	if err != nil {
		return issued, err
	}
	doing := "sign a certificate for " + r.Tenant
	answer, err := i.program.Run(ctx, input, doing)
	if err != nil {
		return issued, err
	}
	if issued, err = foreign.Issued(answer, r.Key.Public(), r.At); err != nil {
		return issued, fmt.Errorf("%s: %w", doing, err)
	}
	return issued, nil
}

// Run runs the program with an input, and returns its standard output. doing describes the purpose in errors. The error
// is a [*issuer.RequestedError] if the program asks to be run again later.
func (r *Runner) Run(ctx context.Context, input []byte, doing string) ([]byte, error) {
	environment, err := r.environment()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", doing, err)
	}
	within, cancel := context.WithTimeout(ctx, r.config.Timeout)
	defer cancel()
	stdout, stderr := bounded{limit: foreign.MaxAnswer, beyond: io.ErrShortWrite}, bounded{limit: maxStderr}
	cmd := osexec.CommandContext(within, r.config.Command[0], r.config.Command[1:]...)
	cmd.Dir, cmd.Env, cmd.Stdin, cmd.Stdout, cmd.Stderr = r.config.Directory, environment, bytes.NewReader(input), &stdout,
		&stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return killGroup(cmd) }
	cmd.WaitDelay = closing
	err = cmd.Run()
	killGroup(cmd) // children that it left
	if ctx.Err() != nil {
		return nil, fmt.Errorf("%s: %s: %w", doing, r.config.Command[0], ctx.Err())
	}
	finished := err == nil || errors.Is(err, osexec.ErrWaitDelay)
	switch failed := r.failing(doing, stderr.kept.String()); {
	case stdout.full:
		return nil, failed(issuer.Broken, fmt.Sprintf("wrote more than %d MiB", foreign.MaxAnswer>>20))
	case finished:
		return stdout.kept.Bytes(), nil
	case within.Err() != nil:
		return nil, failed(issuer.Slow, fmt.Sprintf("did not end within %s and was killed", r.config.Timeout))
	default:
		return nil, ended(err, stdout.kept.String(), failed)
	}
}

// failing returns a function for errors of the program that show its standard error.
func (r *Runner) failing(doing, stderr string) func(issuer.Fault, string) error {
	return func(f issuer.Fault, what string) error {
		if said := foreign.Printable(stderr); said != "" {
			what += ": " + said
		}
		return issuer.Failed(f, "%s: %s %s", doing, r.config.Command[0], what)
	}
}

// ended interprets an exit status other than 0, with what the program wrote to standard output.
func ended(err error, stdout string, failed func(issuer.Fault, string) error) error {
	exit := (*osexec.ExitError)(nil)
	if !errors.As(err, &exit) {
		return failed(issuer.Unreachable, "cannot be run ("+err.Error()+")")
	}
	switch exit.ExitCode() {
	case exitLater:
		handle := strings.TrimSpace(stdout)
		if handle == "" {
			return failed(issuer.Limited, "requests to be run later, without a handle")
		}
		if len(handle) > maxHandle || foreign.Printable(handle) != handle {
			return failed(issuer.Broken, fmt.Sprintf("wrote a handle that is not one line of at most %d characters", maxHandle))
		}
		return &issuer.RequestedError{Handle: handle}
	case exitUnavailable:
		return failed(issuer.Unreachable, "cannot reach the CA (exit status 69)")
	case exitDenied:
		return failed(issuer.Denied, "reports that its credentials are not accepted (exit status 77)")
	}
	return failed(issuer.Rejected, "failed ("+exit.Error()+")")
}

// killGroup kills the program with its children.
func killGroup(cmd *osexec.Cmd) error {
	if cmd.Process == nil {
		return nil
	}
	err := syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
	if errors.Is(err, syscall.ESRCH) {
		return os.ErrProcessDone
	}
	return err
}

// environment returns the variables of the program. Secrets are read each time.
func (r *Runner) environment() (all []string, err error) {
	variables := map[string]string{}
	for _, name := range []string{"PATH", "HOME", "LANG", "TMPDIR"} {
		if value, set := os.LookupEnv(name); set {
			variables[name] = value
		}
	}
	maps.Copy(variables, r.config.Environment)
	for name, ref := range r.config.Secrets {
		value, err := ref.Read()
		if err != nil {
			return nil, err
		}
		variables[name] = value.Reveal()
	}
	for name, value := range variables {
		all = append(all, name+"="+value)
	}
	return all, nil
}

// bounded keeps the first bytes that are written to it.
type bounded struct {
	kept   bytes.Buffer
	limit  int
	beyond error // returned for more; nil to drop it
	full   bool
}

func (b *bounded) Write(p []byte) (int, error) {
	if room := b.limit - b.kept.Len(); len(p) > room {
		b.full = true
		b.kept.Write(p[:room])
		return len(p), b.beyond
	}
	return b.kept.Write(p)
}
