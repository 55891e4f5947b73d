package store

import (
	"context"
	"database/sql"
	"fmt"
	"reflect"
	"slices"
	"testing"
	"time"
)

// argument returns a value for a parameter that is not zero, because some methods do nothing for nothing.
func argument(t *testing.T, kind reflect.Type) reflect.Value {
	t.Helper()
	switch kind {
	case reflect.TypeFor[context.Context]():
		return reflect.ValueOf(t.Context())
	case reflect.TypeFor[time.Time]():
		return reflect.ValueOf(now)
	}
	v := reflect.New(kind).Elem()
	number := 1
	fill(v, "x", &number)
	return v
}

// A method that hides an error of the database would return a state that does not exist.
func TestEveryMethodReportsADatabaseWithoutItsTables(t *testing.T) {
	s, err := Open(t.Context(), "sqlite:"+t.TempDir()+"/p.db")
	must(t, err)
	defer s.Close()
	tables, err := list(t.Context(), s.Reader, scanOne[string], "SELECT name FROM sqlite_master WHERE type = 'table' AND "+
		"name NOT LIKE 'sqlite\\_%' ESCAPE '\\'")
	must(t, err)
	conn, err := s.writer.Conn(t.Context())
	must(t, err)
	for _, statement := range append([]string{"PRAGMA foreign_keys = OFF"}, tables...) {
		if statement != "PRAGMA foreign_keys = OFF" {
			statement = "DROP TABLE " + statement
		}
		_, err := conn.ExecContext(t.Context(), statement)
		must(t, err)
	}
	must(t, conn.Close())
	tx, err := s.writer.BeginTx(t.Context(), nil)
	must(t, err)
	defer tx.Rollback()
	writing := &Tx{Reader{tx, SQLite}, tx, map[string]bool{}, &s.longest}
	called := 0
	for name, all := range map[string]reflect.Value{"a reader": reflect.ValueOf(s.Reader),
		"a transaction": reflect.ValueOf(writing)} {
		for i := range all.NumMethod() {
			method, kind := all.Method(i), all.Type().Method(i)
			last := method.Type().NumOut() - 1
			if last < 0 || method.Type().Out(last) != reflect.TypeFor[error]() {
				continue
			}
			var in []reflect.Value
			for p := range method.Type().NumIn() {
				if method.Type().IsVariadic() && p == method.Type().NumIn()-1 {
					in = append(in, argument(t, method.Type().In(p).Elem()))
					continue
				}
				in = append(in, argument(t, method.Type().In(p)))
			}
			if kind.Name == "HasEvent" {
				in[1] = reflect.ValueOf("00ff")
			}
			out := method.Call(in)
			if out[last].IsNil() {
				t.Errorf("%s: %s returns no error", name, kind.Name)
			}
			called++
		}
	}
	if called < 150 {
		t.Errorf("%d methods were called", called)
	}
}

// Rows that cannot be scanned end a query with an error.
func TestAValueOfAnotherTypeIsAnError(t *testing.T) {
	s, err := Open(t.Context(), "sqlite:"+t.TempDir()+"/p.db")
	must(t, err)
	defer s.Close()
	for name, query := range map[string]string{"an instant": "SELECT 'x'", "a document": "SELECT 1",
		"an invalid document": "SELECT '{'", "a document in bytes": "SELECT CAST('{' AS BLOB)"} {
		_, err := list(t.Context(), s.Reader, func(r row) (v struct{}, err error) {
			if name == "an instant" {
				return v, r.Scan(instant{new(time.Time)})
			}
			return v, r.Scan(document{&map[string]any{}})
		}, query)
		if err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	for _, query := range []string{`SELECT '{"a":1}'`, `SELECT CAST('{"a":1}' AS BLOB)`} {
		found, err := list(t.Context(), s.Reader, func(r row) (v map[string]int, err error) {
			return v, r.Scan(document{&v})
		}, query)
		if err != nil || len(found) != 1 || found[0]["a"] != 1 {
			t.Errorf("%s: %v, %v", query, found, err)
		}
	}
}

// A transaction that fails leaves nothing, and no listener is notified of a change that was not made.
func TestAFailedTransactionChangesAndNotifiesNothing(t *testing.T) {
	each(t, func(t *testing.T, s *Store) {
		var heard []string
		stop := s.OnChange(func(id string) { heard = append(heard, id) })
		full := fmt.Errorf("no room")
		if err := write(t, s, func(ctx context.Context, tx *Tx) error {
			tx.Changed("a")
			if err := tx.SetSetting(ctx, "name", "value"); err != nil {
				return err
			}
			return full
		}); err != full {
			t.Errorf("got %v", err)
		}
		if v, err := s.Setting(t.Context(), "name"); err != nil || v != "" || len(heard) != 0 {
			t.Errorf("%q is stored, %v, and %q were notified", v, err, heard)
		}
		must(t, write(t, s, func(ctx context.Context, tx *Tx) error {
			tx.Changed("a")
			tx.Changed("b")
			tx.Changed("a")
			return tx.SetSetting(ctx, "name", "value")
		}))
		slices.Sort(heard)
		if v, err := s.Setting(t.Context(), "name"); err != nil || v != "value" || !slices.Equal(heard, []string{"a", "b"}) {
			t.Errorf("%q is stored, %v, and %q were notified", v, err, heard)
		}
		stop()
		must(t, write(t, s, func(_ context.Context, tx *Tx) error { tx.Changed("c"); return nil }))
		if len(heard) != 2 {
			t.Errorf("%q were notified after the end", heard)
		}
		if s.DB() == nil || s.Ping(t.Context()) != nil {
			t.Error("the database does not answer")
		}
		var inside *sql.Tx
		must(t, write(t, s, func(_ context.Context, tx *Tx) error { inside = tx.SQL(); return nil }))
		if inside == nil {
			t.Error("a transaction without one of database/sql")
		}
	})
}
