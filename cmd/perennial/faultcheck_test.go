package main

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/perennial-pki/perennial/internal/engine/lifecycle"
	"github.com/perennial-pki/perennial/internal/engine/rollovers"
	"github.com/perennial-pki/perennial/internal/engine/store"
	"github.com/perennial-pki/perennial/internal/keys/keyring"
	"github.com/perennial-pki/perennial/policy"
	"github.com/perennial-pki/perennial/tenancy"
)

// verify checks the invariants from outside: in the database, the mailboxes, the bank's records and the printed output.
// A replica that has just started may be about to write and send, so a violation counts only if it persists.
func (w *world) verify(s *store.Store, acme tenancy.Tenant) {
	w.t.Helper()
	var problems []error
	for range 50 {
		problems = w.problems(s, acme)
		if len(problems) == 0 {
			return
		}
		pause(200 * time.Millisecond)
	}
	for _, p := range problems {
		w.t.Error(p)
	}
}

func (w *world) problems(s *store.Store, acme tenancy.Tenant) (problems []error) {
	t, ctx := w.t, w.t.Context()
	wrong := func(invariant int, format string, args ...any) {
		problems = append(problems, fmt.Errorf("invariant %d: %s", invariant, fmt.Sprintf(format, args...)))
	}
	sent := int(w.sent.Load())
	w.bank.mu.Lock()
	orders, expired := len(w.bank.orders), w.bank.expired
	w.bank.mu.Unlock()
	if orders < sent {
		wrong(1, "%d orders were answered, and the bank has %d", sent, orders)
	}
	if len(expired) > 0 {
		wrong(3, "expired certificates were presented: %v", expired)
	}
	last, err := s.LatestRun(ctx)
	check(t, err)
	var all []tenancy.Certificate
	mails := 0
	for i := range crowd {
		tenant, err := s.Tenant(ctx, fmt.Sprintf("t%d", i))
		check(t, err)
		certs := w.chain(s, tenant, last, wrong)
		all = append(all, certs...)
		notices, err1 := s.Notices(ctx, tenant.ID, "", 1000)
		tasks, _, err2 := s.Tasks(ctx, store.TaskChoice{TenantID: tenant.ID}, store.Page{Limit: 1000})
		queued, err3 := s.Mails(ctx, tenant.ID, "", "", 1000)
		check(t, errors.Join(err1, err2, err3))
		renewed := 0
		for _, n := range notices {
			if n.Kind == tenancy.Renewed {
				renewed++
			}
		}
		if renewed != len(certs)-1 || len(tasks) != 3*len(notices) || len(queued) != len(notices) {
			wrong(5, "%s: %d generations, %d notices of renewals, %d notices, %d tasks, %d mails", tenant.Name, len(certs),
				renewed, len(notices), len(tasks), len(queued))
		}
		for _, m := range queued {
			mails++
			if n := w.mails.times(m.MessageID); n < 1 || m.State != tenancy.MailSent {
				wrong(5, "a mail of %s is %s, and came %d times", tenant.Name, m.State, n)
			}
		}
	}
	w.mails.mu.Lock()
	came := len(w.mails.ids)
	w.mails.mu.Unlock()
	if came != mails {
		wrong(5, "%d Message-IDs came, of %d mails", came, mails)
	}
	own := w.chain(s, acme, last, wrong)
	w.surprises(s, own, wrong)
	w.unsealed(s, append(all, own...), wrong)
	if _, err := s.VerifyEvents(ctx); err != nil {
		wrong(8, "%v", err)
	}
	return problems
}

// chain returns a tenant's generations, the oldest first. Each must have been renewed once and in time.
func (w *world) chain(s *store.Store, tenant tenancy.Tenant, last tenancy.Run,
	wrong func(int, string, ...any)) []tenancy.Certificate {
	every, err := s.Certificates(w.t.Context(), tenant.ID, "", 100)
	check(w.t, err)
	certs := slices.DeleteFunc(every, func(c tenancy.Certificate) bool { return c.Purpose != tenancy.ForTenant })
	slices.SortFunc(certs, func(a, b tenancy.Certificate) int { return a.Generation - b.Generation })
	for n, c := range certs {
		if c.Generation != n+1 || n > 0 && certs[n-1].SuccessorID != c.ID {
			wrong(4, "%s: generation %d follows %d", tenant.Name, c.Generation, n)
		}
		if n > 0 && certs[n-1].NotAfter.Before(c.NotBefore) {
			wrong(7, "%s: generation %d had expired before %d was valid", tenant.Name, n, n+1)
		}
	}
	newest := certs[len(certs)-1]
	if a := w.policy.Decide(policy.Validity{NotBefore: newest.NotBefore, NotAfter: newest.NotAfter},
		last.RunDate); a == policy.Renew || a == policy.Expired {
		wrong(7, "%s: the run of %s did not renew what expires on %s", tenant.Name, last.RunDate, newest.NotAfter)
	}
	return certs
}

// surprises looks in the audit log for cut-overs too soon after the notice. Clocks may be wrong by six hours.
func (w *world) surprises(s *store.Store, certs []tenancy.Certificate, wrong func(int, string, ...any)) {
	const off = 12 * time.Hour
	if report, err := policy.Audit(w.policy); err != nil || !report.SurpriseFree {
		w.t.Fatalf("the policy must be sound: %+v, %v", report, err)
	}
	events, err := s.Events(w.t.Context(), "acme", 0, 10_000)
	check(w.t, err)
	for _, e := range events {
		if e.Action != "arrangement.cut-over" {
			continue
		}
		var detail struct {
			From, Generation int
			Why              string
		}
		check(w.t, json.Unmarshal([]byte(e.Detail), &detail))
		if detail.Generation <= detail.From {
			continue
		}
		from := certs[detail.From-1]
		noticed := from.WarnedAt
		if noticed.IsZero() {
			noticed = certs[detail.Generation-1].CreatedAt
		}
		// A receiver that has replaced the old certificate does not need the notice.
		needed := strings.HasPrefix(detail.Why, fmt.Sprintf("the receiver refuses generation %d, and ", detail.From)) &&
			w.bank.replaced(from.Fingerprint, certs[detail.Generation-1].Fingerprint)
		about := from.NotAfter.Add(-from.NotAfter.Sub(from.NotBefore) / 10)
		known := e.At.Sub(noticed)
		if known < lifecycle.NoticeUnder(w.policy)-off && e.At.Add(off).Before(about) && !needed {
			wrong(2, "generation %d is presented %s after the first notice of it: %s", detail.Generation,
				policy.FormatDuration(known), e.Detail)
		}
		w.cutOvers = max(w.cutOvers, detail.Generation)
	}
}

// unsealed looks for the private keys of certificates in a dump of the database and in the replicas' output. Each key
// must open with the key file and fit its certificate.
func (w *world) unsealed(s *store.Store, certs []tenancy.Certificate, wrong func(int, string, ...any)) {
	ctx := w.t.Context()
	seal, err := keyring.Open(ctx, filepath.Join(w.dir, "key"), nil)
	check(w.t, err)
	dump, err := exec.CommandContext(ctx, "pg_dump", "--data-only", w.databases()).Output()
	check(w.t, err)
	printed := [][]byte{dump}
	for _, r := range w.replicas {
		printed = append(printed, []byte(r.said()))
	}
	open, err := rollovers.New(s, seal, nil, slog.New(slog.DiscardHandler))
	check(w.t, err)
	opened := 0
	for _, c := range certs {
		key, err := open.PrivateKey(ctx, c)
		if errors.Is(err, tenancy.ErrNotFound) {
			continue // issued by the other system, or destroyed
		}
		check(w.t, err)
		opened++
		leaf, err := x509.ParseCertificate(c.DER)
		check(w.t, err)
		if k, ok := key.(*ecdsa.PrivateKey); !ok || !k.PublicKey.Equal(leaf.PublicKey) {
			wrong(6, "the key of generation %d does not fit its certificate", c.Generation)
			continue
		}
		for _, needle := range forms(w.t, key.(*ecdsa.PrivateKey)) {
			for _, text := range printed {
				if bytes.Contains(text, needle) {
					wrong(6, "the private key of generation %d can be read", c.Generation)
				}
			}
		}
	}
	if opened == 0 {
		w.t.Fatal("there is no key to look for")
	}
	for _, text := range printed {
		if bytes.Contains(text, []byte("PRIVATE KEY")) {
			wrong(6, "a private key is somewhere in PEM")
		}
	}
}

// forms returns a private key in the encodings in which it could leak.
func forms(t *testing.T, key *ecdsa.PrivateKey) [][]byte {
	scalar, err := key.Bytes()
	check(t, err)
	der, err := x509.MarshalPKCS8PrivateKey(key)
	check(t, err)
	return [][]byte{scalar, []byte(hex.EncodeToString(scalar)), []byte(base64.StdEncoding.EncodeToString(der)),
		[]byte(base64.RawURLEncoding.EncodeToString(scalar))}
}

// repeated counts the mails that arrived more than once.
func (w *world) repeated() (n int) {
	for _, times := range w.mails.ids {
		if times > 1 {
			n++
		}
	}
	return n
}
