package store

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// columnsByTable reads the schema.
func columnsByTable(t *testing.T, s *Store) map[string][]string {
	t.Helper()
	query := "SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = current_schema() " +
		"AND NOT (SELECT relispartition FROM pg_class WHERE oid = format('%I.%I', table_schema, table_name)::regclass)"
	if s.engine == SQLite {
		query = "SELECT m.name, c.name FROM sqlite_master m JOIN pragma_table_info(m.name) c WHERE m.type = 'table'"
	}
	type pair struct{ table, column string }
	pairs, err := list(t.Context(), s.Reader, func(r row) (p pair, err error) {
		err = r.Scan(&p.table, &p.column)
		return p, err
	}, query)
	must(t, err)
	tables := map[string][]string{}
	for _, p := range pairs {
		if !strings.HasPrefix(p.table, "goose_") && !strings.HasPrefix(p.table, "sqlite_") {
			tables[p.table] = append(tables[p.table], p.column)
		}
	}
	if len(tables) < 30 {
		t.Fatalf("the schema has %d tables, which cannot be all", len(tables))
	}
	return tables
}

func TestATenantIsErasedFromEveryTableThatHoldsItsRows(t *testing.T) {
	each(t, func(t *testing.T, s *Store) {
		erased := map[string]bool{}
		for _, query := range erasures {
			erased[strings.Fields(query)[2]] = true
		}
		// The columns by which a row belongs to a tenant, directly or through its parent.
		belongs := []string{"tenant_id", "arrangement_id", "project_id", "account_id", "token_id", "key_user_id"}
		found := 0
		for table, columns := range columnsByTable(t, s) {
			if !slices.ContainsFunc(columns, func(c string) bool { return slices.Contains(belongs, c) }) {
				continue
			}
			found++
			if kept := slices.Contains(keptOfATenant, table); erased[table] == kept {
				t.Errorf("table %s: erased %v, kept %v", table, erased[table], kept)
			}
			delete(erased, table)
		}
		delete(erased, "tenants")
		if len(erased) > 0 {
			t.Errorf("EraseTenant names tables that hold no rows of a tenant: %v", erased)
		}
		if want := len(erasures) - 1 + len(keptOfATenant); found != want {
			t.Errorf("%d tables hold rows of a tenant, want %d", found, want)
		}
	})
}

// A table's statements are in the file with its name, or with the name of its parent.
var parentFile = map[string]string{"scoping_answers": "scoping_projects", "event_head": "events",
	"import_items": "imports", "parked_chunks": "parked_bodies", "message_log_other": "message_log",
	"watched_certificates": "watched", "counterparty_hosts": "counterparties",
	"counterparty_contacts": "counterparties", "counterparty_links": "counterparties"}

func TestEveryTableHasAFileWithItsName(t *testing.T) {
	each(t, func(t *testing.T, s *Store) {
		for table := range columnsByTable(t, s) {
			name := table
			if parent := parentFile[table]; parent != "" {
				name = parent
			}
			data, err := os.ReadFile(name + ".go")
			if errors.Is(err, fs.ErrNotExist) {
				t.Errorf("table %s has no file %s.go", table, name)
				continue
			}
			must(t, err)
			if !regexp.MustCompile(`\b` + table + `\b`).Match(data) {
				t.Errorf("%s.go does not use the table %s", name, table)
			}
		}
	})
}

func TestOnlyItsOwnFileWritesATable(t *testing.T) {
	// These files write several tables at once.
	several := []string{"erase.go", "lab.go", "move.go"}
	// Statements for a table of another file, and why they are where they are.
	exceptions := map[string]string{
		"arrangements.go evidence": "a cut-over is stored with the instant from which the generation is presented",
		"key_users.go tasks":       "the tasks of a key user go with the user",
		"key_users.go tokens":      "the tokens of a key user go with the user",
		"run_parts.go runs":        "the last part ends its run",
		"queue.go run_parts":       "claims of a process that has ended are released with its jobs",
	}
	files, err := filepath.Glob("*.go")
	must(t, err)
	writes := regexp.MustCompile(`(?:INSERT INTO|UPDATE|DELETE FROM) ([a-z_]+)`)
	bulk := regexp.MustCompile(`bulkInsert\("([a-z_]+)"`)
	checked := 0
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") || slices.Contains(several, file) {
			continue
		}
		data, err := os.ReadFile(file)
		must(t, err)
		for _, m := range append(writes.FindAllSubmatch(data, -1), bulk.FindAllSubmatch(data, -1)...) {
			table := string(m[1])
			home := table
			if parent := parentFile[table]; parent != "" {
				home = parent
			}
			checked++
			if file != home+".go" && table != "river_job" && exceptions[file+" "+table] == "" {
				t.Errorf("%s writes the table %s: move the statement to %s.go", file, table, home)
			}
		}
	}
	if checked < 60 {
		t.Errorf("%d statements were found, which cannot be all", checked)
	}
}
