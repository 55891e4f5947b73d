package store

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/perennial-pki/perennial/internal/testing/testenv"
)

// A written log can be read while it is written.
type written struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (w *written) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.text.Write(p)
}

func (w *written) contains(text string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return strings.Contains(w.text.String(), text)
}

func TestAChangeInOneReplicaReachesTheOther(t *testing.T) {
	url := migrated.Postgres(t)
	one, err := Open(t.Context(), url)
	must(t, err)
	defer one.Close()
	other, err := Open(t.Context(), url)
	must(t, err)
	defer other.Close()
	news := make(chan string, 10)
	defer other.OnChange(func(id string) { news <- id })()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		other.Listen(ctx, url, slog.New(slog.DiscardHandler))
	}()
	if id := <-news; id != "" {
		t.Errorf("the first news is %q, and anything may have changed before", id)
	}
	must(t, write(t, one, func(_ context.Context, tx *Tx) error {
		tx.Changed("tenant-id")
		return nil
	}))
	if id := <-news; id != "tenant-id" {
		t.Errorf("the other replica is notified of %q", id)
	}
	must(t, write(t, one, func(_ context.Context, tx *Tx) error {
		for i := range 500 {
			tx.Changed(fmt.Sprint("tenant-", i))
		}
		return nil
	}))
	heard := map[string]bool{}
	for range 500 {
		heard[<-news] = true
	}
	if len(heard) != 500 {
		t.Errorf("%d of 500 tenants were announced", len(heard))
	}
	if err := write(t, one, func(_ context.Context, tx *Tx) error {
		tx.Changed(strings.Repeat("x", 8000)) // the limit of PostgreSQL's NOTIFY
		return nil
	}); err == nil || !strings.Contains(err.Error(), "payload string too long") {
		t.Errorf("replicas that cannot be notified: %v", err)
	}
	cancel()
	<-ended
}

func TestAConnectionForChangesThatFailsIsLogged(t *testing.T) {
	s := postgres(t)
	var log written
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		s.Listen(ctx, "postgres://127.0.0.1:1/x?connect_timeout=1", slog.New(slog.NewTextHandler(&log, nil)))
	}()
	testenv.Eventually(t, func() bool { return log.contains("changes of other replicas are not received") })
	cancel()
	<-ended
	lite, err := Open(t.Context(), "sqlite:"+filepath.Join(t.TempDir(), "p.db"))
	must(t, err)
	defer lite.Close()
	lite.Listen(t.Context(), "", slog.New(slog.DiscardHandler)) // it returns: there is no other replica
}

func TestTheChainOfAnIssuerThatIsNotStoredIsEmpty(t *testing.T) {
	eachRows(t, func(r rows, ctx context.Context) {
		for _, id := range []string{"", "unknown"} {
			chain, err := r.KnownChain(ctx, id)
			r.same("the chain of "+id, err, chain, [][]byte(nil))
		}
		if _, err := r.Chain(ctx, "unknown"); err == nil {
			t.Error("an unknown authority has a chain")
		}
	})
}
