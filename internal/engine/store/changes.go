package store

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
)

// changes is the PostgreSQL channel that notifies the replicas of changes (NOTIFY). The payload is a tenant's ID.
const changes = "perennial_changes"

// Changed marks a tenant whose data in the memory of gateways is out of date. They are notified when the transaction
// has committed.
func (t *Tx) Changed(tenantID string) { t.changed[tenantID] = struct{}{} }

// announce notifies the other replicas, as part of the transaction. It is one statement, because a page of renewals
// changes hundreds of tenants, and the database may be far away.
func (t *Tx) announce(ctx context.Context) error {
	if t.engine != Postgres || len(t.changed) == 0 {
		return nil
	}
	_, err := t.exec(ctx, "SELECT pg_notify('"+changes+"', id) FROM unnest(?::text[]) AS id",
		slices.Collect(maps.Keys(t.changed)))
	return err
}

// A hub notifies the listeners of this process.
type hub struct {
	mu        sync.Mutex
	listeners map[int]func(tenantID string)
	committed map[int]func()
	next      int
}

func (h *hub) afterCommit() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, listen := range h.committed {
		listen()
	}
}

func (h *hub) notify(changed map[string]struct{}) {
	if len(changed) == 0 {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for id := range changed {
		for _, listen := range h.listeners {
			listen(id)
		}
	}
}

// OnChange calls a function with the ID of every tenant that [Tx.Changed] marks in this process, after the commit,
// until stop is called. The function must be quick. [Store.Listen] adds the changes of other replicas.
func (s *Store) OnChange(listen func(tenantID string)) (stop func()) {
	s.hub.mu.Lock()
	defer s.hub.mu.Unlock()
	if s.hub.listeners == nil {
		s.hub.listeners = map[int]func(string){}
	}
	n := s.hub.next
	s.hub.next++
	s.hub.listeners[n] = listen
	return func() {
		s.hub.mu.Lock()
		defer s.hub.mu.Unlock()
		delete(s.hub.listeners, n)
	}
}

// OnCommit calls a function after each transaction of [Store.InTx] in this process that has committed, until stop is
// called. The function must be quick.
func (s *Store) OnCommit(listen func()) (stop func()) {
	s.hub.mu.Lock()
	defer s.hub.mu.Unlock()
	if s.hub.committed == nil {
		s.hub.committed = map[int]func(){}
	}
	n := s.hub.next
	s.hub.next++
	s.hub.committed[n] = listen
	return func() {
		s.hub.mu.Lock()
		defer s.hub.mu.Unlock()
		delete(s.hub.committed, n)
	}
}

// Listen calls the functions of [Store.OnChange] for changes of other replicas, until the context ends. Changes are
// missed while its connection is lost. When the connection is back, the functions are called with "", because anything
// may have changed. On SQLite there are no other replicas, and Listen returns at once.
func (s *Store) Listen(ctx context.Context, url string, log *slog.Logger) {
	if s.engine != Postgres {
		return
	}
	const retry = time.Second
	for ctx.Err() == nil {
		if err := s.listen(ctx, url); ctx.Err() == nil {
			log.WarnContext(ctx, "changes of other replicas are not received at the moment", "error", err)
			select {
			case <-ctx.Done():
			case <-time.After(retry):
			}
		}
	}
}

func (s *Store) listen(ctx context.Context, url string) error {
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	if _, err := conn.Exec(ctx, "LISTEN "+changes); err != nil {
		return err
	}
	s.hub.notify(map[string]struct{}{"": {}})
	for {
		n, err := conn.WaitForNotification(ctx)
		if err != nil {
			return err
		}
		s.hub.notify(map[string]struct{}{n.Payload: {}})
	}
}
