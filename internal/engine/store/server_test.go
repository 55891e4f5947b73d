package store

import (
	"context"
	"database/sql"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/perennial-pki/perennial/internal/testing/testenv"
)

// An answer of a scripted server is the value of one row, or an error.
type answer struct {
	value, failure string
}

// scripted starts a server that speaks the protocol of PostgreSQL and returns its URL. It announces process numbers
// beginning at 100. answer gets the number of the connection, beginning at 1, and a query.
func scripted(t *testing.T, answerTo func(connection int, query string) answer) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	t.Cleanup(func() { listener.Close() })
	go func() {
		for n := 1; ; n++ {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			go serveScript(c, n, answerTo)
		}
	}()
	return fmt.Sprintf("postgres://me@%s/x?sslmode=disable&default_query_exec_mode=simple_protocol", listener.Addr())
}

func serveScript(c net.Conn, n int, answerTo func(connection int, query string) answer) {
	defer c.Close()
	b := pgproto3.NewBackend(c, c)
	if _, err := b.ReceiveStartupMessage(); err != nil {
		return
	}
	b.Send(&pgproto3.AuthenticationOk{})
	b.Send(&pgproto3.ParameterStatus{Name: "standard_conforming_strings", Value: "on"})
	b.Send(&pgproto3.ParameterStatus{Name: "client_encoding", Value: "UTF8"})
	b.Send(&pgproto3.BackendKeyData{ProcessID: uint32(99 + n), SecretKey: []byte("1234")})
	b.Send(&pgproto3.ReadyForQuery{TxStatus: 'I'})
	for b.Flush() == nil {
		received, err := b.Receive()
		if err != nil {
			return
		}
		query, ok := received.(*pgproto3.Query)
		if !ok {
			return
		}
		a := answerTo(n, query.String)
		switch {
		case a.failure != "":
			b.Send(&pgproto3.ErrorResponse{Severity: "ERROR", Code: "XX000", Message: a.failure})
		default:
			b.Send(&pgproto3.RowDescription{Fields: []pgproto3.FieldDescription{{Name: []byte("a"), DataTypeOID: 25,
				DataTypeSize: -1, TypeModifier: -1}}})
			b.Send(&pgproto3.DataRow{Values: [][]byte{[]byte(a.value)}})
			b.Send(&pgproto3.CommandComplete{CommandTag: []byte("SELECT 1")})
		}
		b.Send(&pgproto3.ReadyForQuery{TxStatus: 'I'})
		if strings.HasPrefix(query.String, "LISTEN") && a.failure == "" {
			b.Send(&pgproto3.NotificationResponse{PID: 1, Channel: changes, Payload: "acme"})
			if b.Flush() != nil {
				return
			}
			return // and ends
		}
	}
}

// A server that cannot work for a service is refused when it connects, with the reason.
func TestAServerThatLosesSessionsOrCannotWriteIsRefused(t *testing.T) {
	const recovery, pid = "SELECT pg_is_in_recovery()", "SELECT pg_backend_pid()"
	for name, c := range map[string]struct {
		answers func(connection int, query string) answer
		want    string // of the error; empty for none
		queries int
	}{
		"PostgreSQL itself": {func(n int, query string) answer {
			return map[string]answer{recovery: {value: "f"}, pid: {value: fmt.Sprint(99 + n)}}[query]
		}, "", 2},
		"a standby":               {func(int, string) answer { return answer{value: "t"} }, "it is a read replica", 1},
		"no answer about standby": {func(int, string) answer { return answer{failure: "out of order"} }, "out of order", 1},
		"no process number": {func(n int, query string) answer {
			return map[string]answer{recovery: {value: "f"}, pid: {failure: "out of order"}}[query]
		}, "out of order", 2},
		"a pooler in session mode": {func(n int, query string) answer {
			return map[string]answer{recovery: {value: "f"}, pid: {value: fmt.Sprint(200 + n)}}[query]
		}, "", 10},
		"a pooler in transaction mode": {func(n int, query string) answer {
			return map[string]answer{recovery: {value: "f"}, pid: {value: "200"}}[query]
		}, "a connection pooler in transaction mode is in between", 3},
		"a pooler that shares a session late": {func(n int, query string) answer {
			return map[string]answer{recovery: {value: "f"}, pid: {value: fmt.Sprint(200 + n%8)}}[query]
		}, "keeps at most 34 connections", 10},
		"a pooler that stops answering": {func(n int, query string) answer {
			if n == 2 {
				return answer{failure: "too late"}
			}
			return map[string]answer{recovery: {value: "f"}, pid: {value: fmt.Sprint(200 + n)}}[query]
		}, "too late", 3},
	} {
		var queries atomic.Int64
		url := scripted(t, func(n int, query string) answer {
			if strings.HasPrefix(query, "SELECT") { // and not a ping
				queries.Add(1)
			}
			return c.answers(n, query)
		})
		s, err := connect(t.Context(), url)
		if err == nil {
			s.Close()
		}
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
		if err != nil && s != nil {
			t.Errorf("%s: a store that cannot be used is returned", name)
		}
		if int(queries.Load()) != c.queries {
			t.Errorf("%s: %d queries, want %d", name, queries.Load(), c.queries)
		}
	}
}

// connected returns a store on a server whose answers to the checks of connect fit.
func connected(t *testing.T, answerTo func(query string) answer) *Store {
	t.Helper()
	s, err := connect(t.Context(), scripted(t, func(n int, query string) answer {
		switch query {
		case "SELECT pg_is_in_recovery()":
			return answer{value: "f"}
		case "SELECT pg_backend_pid()":
			return answer{value: fmt.Sprint(99 + n)}
		}
		return answerTo(query)
	}))
	must(t, err)
	t.Cleanup(func() { s.Close() })
	return s
}

func TestAServerThatCannotBeWrittenIsAway(t *testing.T) {
	for name, c := range map[string]struct {
		answer answer
		want   string
		away   bool
	}{
		"it can be written": {answer{value: "off"}, "", false}, "read-only": {answer{value: "on"}, readOnlyText, true},
		"no answer": {answer{failure: "out of order"}, "out of order", false},
	} {
		err := connected(t, func(string) answer { return c.answer }).Writable(t.Context())
		if (err == nil) != (c.want == "") {
			t.Errorf("%s: %v", name, err)
		}
		if err != nil && (!strings.Contains(err.Error(), c.want) || IsAway(err) != c.away) {
			t.Errorf("%s: %v, away %v", name, err, IsAway(err))
		}
	}
}

func TestALockThatCannotBeHeldRunsNothing(t *testing.T) {
	for failing, want := range map[string]int{"": 1, "pg_advisory_lock": 0, "pg_advisory_unlock": 1} {
		ran := 0
		s := connected(t, func(query string) answer {
			if failing != "" && strings.Contains(query, failing+"(") {
				return answer{failure: "out of order"}
			}
			return answer{value: "t"}
		})
		err := s.Exclusively(t.Context(), 7, func() error { ran++; return nil })
		if ran != want || (err == nil) != (failing == "") || err != nil && !strings.Contains(err.Error(), "out of order") {
			t.Errorf("%s fails: ran %d times, %v", failing, ran, err)
		}
	}
}

// A new connection takes longer than most transactions.
func TestConnectionsToPostgreSQLAreKept(t *testing.T) {
	s := connected(t, func(string) answer { return answer{value: "t"} })
	var used []*sql.Conn
	for range 5 {
		c, err := s.writer.Conn(t.Context())
		must(t, err)
		used = append(used, c)
	}
	for _, c := range used {
		must(t, c.Close())
	}
	if n := s.writer.Stats().Idle; n != 5 {
		t.Errorf("%d of 5 connections are kept", n)
	}
}

func TestAClosedStoreHoldsNoLockAndTakesNoCopy(t *testing.T) {
	closed := connected(t, func(string) answer { return answer{value: "t"} })
	must(t, closed.Close())
	ran := 0
	if err := closed.Exclusively(t.Context(), 7, func() error { ran++; return nil }); err == nil || ran != 0 {
		t.Errorf("ran %d times, %v", ran, err)
	}
	if err := closed.Writable(t.Context()); err == nil {
		t.Error("it can be written")
	}
	if err := closed.TurnMessageLog(t.Context(), now, now); err == nil {
		t.Error("it has new partitions")
	}
	from := lite(t)
	if err := from.Move(t.Context(), closed, nothingMore, func(Moved) {}); err == nil {
		t.Error("data is moved to it")
	}
	must(t, from.Close())
	if from.Checkpoint(t.Context()) == nil || from.Analyze(t.Context()) == nil {
		t.Error("a file is written")
	}
	open := connected(t, func(string) answer { return answer{value: "t"} })
	if err := from.Move(t.Context(), open, nothingMore, func(Moved) {}); err == nil {
		t.Error("data is moved from it")
	}
}

// Changes may have been missed while there was no connection, so that listeners are called with "" first.
func TestChangesOfReplicasAreReceivedWhileThereIsAConnection(t *testing.T) {
	answers := map[string]answer{}
	url := scripted(t, func(_ int, query string) answer { return answers[query] })
	s := &Store{Reader: Reader{engine: Postgres}}
	var changed []string
	defer s.OnChange(func(id string) { changed = append(changed, id) })()
	if err := s.listen(t.Context(), url); err == nil {
		t.Error("a connection that ends is not an error")
	}
	if !slices.Equal(changed, []string{"", "acme"}) {
		t.Errorf("notified of %q", changed)
	}
	answers["LISTEN "+changes] = answer{failure: "out of order"}
	err := s.listen(t.Context(), url)
	if err == nil || !strings.Contains(err.Error(), "out of order") || len(changed) != 2 {
		t.Errorf("notified of %q: %v", changed, err)
	}
	if err := s.listen(t.Context(), "postgres://me@127.0.0.1:1/x"); err == nil {
		t.Error("no server, and no error")
	}
	ctx, stop := context.WithCancel(t.Context())
	var logged atomic.Int64
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		s.Listen(ctx, url, slog.New(counting{slog.DiscardHandler, &logged}))
	}()
	testenv.Eventually(t, func() bool { return logged.Load() >= 2 }) // it connects again after a second
	stop()
	<-ended
}

// counting counts what is logged.
type counting struct {
	slog.Handler
	n *atomic.Int64
}

func (counting) Enabled(context.Context, slog.Level) bool { return true }

func (c counting) Handle(context.Context, slog.Record) error {
	c.n.Add(1)
	return nil
}
