package demo

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	core "github.com/perennial-pki/perennial/guard"
	"github.com/perennial-pki/perennial/internal/engine/store"
	"github.com/perennial-pki/perennial/internal/ingress/guard"
	"github.com/perennial-pki/perennial/internal/lab/receiver"
	"github.com/perennial-pki/perennial/policy"
	"github.com/perennial-pki/perennial/tenancy"
)

// GuardedPolicy is that of the platform whose renewals the article describes.
const GuardedPolicy = "sap-c4c"

const (
	// partner is the name of the platform's tenant at the guard.
	partner = "acme-c4c"
	// repairTakes is the time from the first refusal until the administrator has found the reason, got the new
	// certificate and installed it.
	repairTakes = 29 * time.Hour
	// eventTakes limits how long the demo waits for an event of the guard, in real time.
	eventTakes = time.Minute
)

// Guarded plays a year from the receiver's side. A platform that its receivers do not control renews its certificate
// under a policy and presents the new one at once. A process of its own sends a message every hour to a system that
// accepts one fingerprint, and to the same system behind a guard.
func Guarded(ctx context.Context, out io.Writer, p policy.Policy) error {
	return guarded(ctx, out, p, time.Hour)
}

func guarded(ctx context.Context, out io.Writer, p policy.Policy, step time.Duration) error {
	if err := p.Check(); err != nil {
		return err
	}
	s := &story{out: out, policy: p, now: begin}
	defer s.end()
	if err := s.setUp(ctx); err != nil {
		return err
	}
	y := &year{story: s, step: step, events: make(chan string, 16)}
	for _, chapter := range []func(context.Context) error{y.platform, y.withoutGuard, y.withGuard, y.live} {
		if err := chapter(ctx); err != nil {
			return err
		}
	}
	return y.sum()
}

// A year is that of a platform and a system.
type year struct {
	*story
	step        time.Duration // between two messages
	arrangement tenancy.Arrangement
	presented   tenancy.Certificate
	sender      *sender // presents it
	trusted     []byte  // by the sender: certificates of CAs (PEM)

	system   *system
	repairAt time.Time // zero if nothing is to be repaired
	repairs  int
	events   chan string // of the guard
	heard    int         // the last generation about which the guard reported an event

	sides  [2]side // without the guard, and with it
	counts int     // messages of this month to each side
}

// A side counts the messages to the system, without or with the guard.
type side struct {
	url                         string
	sent, failed, failedInMonth int
	status                      int // of the last answer
}

// platform creates the tenant with its certificate, and the arrangement, whose endpoint does not matter.
func (y *year) platform(ctx context.Context) (err error) {
	if y.tenant, err = y.engine.CreateTenant(ctx, tenancy.Tenant{Name: "acme", DisplayName: "Acme GmbH",
		KeyType: tenancy.P256}, "hosting team", begin); err != nil {
		return err
	}
	y.arrangement = tenancy.Arrangement{ID: store.NewID(), TenantID: y.tenant.ID, Name: "orders",
		Endpoint: "https://system.example.com/", Authentication: tenancy.ClientCertificate, Strategy: tenancy.Immediate,
		Generation: 1, CreatedAt: begin, Version: 1}
	err = y.store.InTx(ctx, func(tx *store.Tx) error {
		row := tenancy.Receiver{ID: store.NewID(), TenantID: y.tenant.ID, Name: "system", DisplayName: "System",
			CreatedAt: begin, Version: 1}
		y.arrangement.ReceiverID = row.ID
		return errors.Join(y.arrangement.Check(), tx.CreateReceivers(ctx, row), tx.CreateArrangements(ctx, y.arrangement))
	})
	if err != nil {
		return err
	}
	fmt.Fprintf(y.out, "A year of messages from a platform that renews its certificate on its own schedule: policy %s, "+
		"strategy immediate.\nIt is a process of its own, and sends each message to a system, and to the same system "+
		"behind a guard.\n\n", y.policy.Name)
	if y.sender, err = startSender(ctx); err != nil {
		return err
	}
	y.cleanup = append(y.cleanup, func() { y.sender.end() })
	y.trusted = y.ca.Bundle()
	if err := y.present(ctx); err != nil {
		return err
	}
	y.heard = y.presented.Generation
	y.say("the platform presents the certificate %s of acme, valid until %s", short(y.presented.Fingerprint),
		day(y.presented.NotAfter))
	return nil
}

// present makes the process of the platform use the generation that the arrangement presents, over new connections.
func (y *year) present(ctx context.Context) (err error) {
	if y.presented, err = y.store.Certificate(ctx, y.tenant.ID, tenancy.ForTenant, y.arrangement.Generation); err != nil {
		return err
	}
	shown, err := y.engine.Presentable(ctx, y.presented)
	if err != nil {
		return err
	}
	key, err := x509.MarshalPKCS8PrivateKey(shown.PrivateKey)
	if err != nil {
		return err
	}
	_, err = y.sender.do(order{At: y.clock(), Present: &identity{shown.Certificate, key, y.trusted}})
	return err
}

// withoutGuard starts the system that accepts the fingerprint of the platform's certificate.
func (y *year) withoutGuard(context.Context) error {
	certificate, err := y.ca.NewServerCertificate("127.0.0.1", y.clock)
	if err != nil {
		return err
	}
	y.system, err = startSystem("system", "accepts one fingerprint", receiver.Options{Certificate: certificate.Get,
		Clock: y.clock}, y.presented.Fingerprint)
	if err != nil {
		return err
	}
	y.cleanup = append(y.cleanup, y.system.Close)
	y.sides[0].url = y.system.URL
	y.more("without the guard: the system accepts this fingerprint, and answers 401 to every other certificate")
	return nil
}

// withGuard starts the same system behind a guard, which is set up as an administrator does it.
func (y *year) withGuard(ctx context.Context) error {
	dir, err := os.MkdirTemp("", "perennial-guard-")
	if err != nil {
		return err
	}
	y.cleanup = append(y.cleanup, func() { os.RemoveAll(dir) })
	upstream, err := y.behind()
	if err != nil {
		return err
	}
	policies := func(string) (policy.Policy, error) { return y.policy, nil }
	path := filepath.Join(dir, "guard.yaml")
	created, err := guard.Plan{Path: path, From: y.file(), Name: partner, Policy: y.policy.Name, Listen: "127.0.0.1:0",
		Upstream: upstream, Hostname: "127.0.0.1", PolicySource: policies}.Write(begin)
	if err != nil {
		return err
	}
	own, err := os.ReadFile(filepath.Join(dir, "server.pem"))
	if err != nil {
		return err
	}
	y.trusted = append(y.trusted, own...)
	if err := y.present(ctx); err != nil {
		return err
	}
	service, err := guard.Open(ctx, path, guard.Options{Now: y.clock, Log: slog.New(&watch{events: y.events}),
		Policies: policies})
	if err != nil {
		return err
	}
	running, stop := context.WithCancel(ctx)
	ready, ended := make(chan struct{}), make(chan error, 1)
	go func() { ended <- service.Run(running, func() { close(ready) }) }()
	y.cleanup = append(y.cleanup, func() {
		stop()
		<-ended
		service.Close()
	})
	<-ready
	y.sides[1].url, _, _ = service.Addresses()
	y.more("with the guard:    perennial guard init --name %s --from tenant.pem --policy %s \\", partner, y.policy.Name)
	y.more("                       --upstream %s", upstream)
	y.more("                   perennial guard --config guard.yaml")
	y.more("                   it expects the next certificate between %s and %s", day(created.From), day(created.Until))
	fmt.Fprintf(y.out, "\n%-18s%-42s%-22s%s\n", "", "MESSAGES", "WITHOUT THE GUARD", "WITH THE GUARD")
	return nil
}

// file returns the certificate of the platform with the CAs above it, as its administrators send it.
func (y *year) file() []byte {
	var b bytes.Buffer
	pem.Encode(&b, &pem.Block{Type: "CERTIFICATE", Bytes: y.presented.DER})
	b.Write(y.ca.Bundle())
	return b.Bytes()
}

// behind starts the system behind the guard. It listens on loopback only, and accepts messages of the partner.
func (y *year) behind() (url string, err error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	orders := func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get(core.PartnerHeader) != partner {
			http.Error(w, "unknown partner", http.StatusUnauthorized)
			return
		}
		io.Copy(io.Discard, r.Body)
	}
	s := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(orders)}
	go s.Serve(l)
	y.cleanup = append(y.cleanup, func() { s.Close() })
	return "http://" + l.Addr().String(), nil
}
