package service

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/perennial-pki/perennial/internal/engine/store"
	"github.com/perennial-pki/perennial/internal/testing/testenv"
)

func TestMain(m *testing.M) { testenv.Main(m) }

// Work that needs twice as many connections as a replica may hold shows that it reaches its limit and stays within it.
func TestAReplicaReachesItsLimitOfConnectionsAndStaysWithinIt(t *testing.T) {
	url := testenv.Postgres(t)
	s, err := open(t, settings(t, "--database", url))
	testenv.Check(t, err)
	stop := run(t, s)

	var load sync.WaitGroup
	ctx, cancel := context.WithCancel(t.Context())
	for range 2 * store.MaxConnections {
		load.Go(func() {
			for ctx.Err() == nil {
				s.core.store.DB().ExecContext(ctx, "SELECT pg_sleep(0.2)")
			}
		})
	}

	db, err := sql.Open("pgx", url)
	testenv.Check(t, err)
	defer db.Close()
	db.SetMaxOpenConns(1)
	const samples = 50 // at the limit
	most, reached := 0, 0
	deadline := time.Now().Add(2 * time.Minute)
	for reached < samples && most <= store.MaxConnections && time.Now().Before(deadline) {
		var n int
		testenv.Check(t, db.QueryRowContext(t.Context(), "SELECT count(*) FROM pg_stat_activity WHERE datname = "+
			"current_database() AND backend_type = 'client backend' AND pid <> pg_backend_pid()").Scan(&n))
		if most = max(most, n); n == store.MaxConnections {
			reached++
		}
	}
	if most != store.MaxConnections || reached < samples {
		t.Errorf("%d connections at most, %d times %d", most, reached, store.MaxConnections)
	}
	cancel()
	load.Wait()
	testenv.Check(t, stop())
	testenv.Check(t, s.Close())
}

func TestTheDocumentedLimitOfConnectionsIsTheRealOne(t *testing.T) {
	for file, want := range map[string]string{
		"../../docs/operations.md":                fmt.Sprintf("at most %d connections to PostgreSQL", store.MaxConnections),
		"../../deploy/helm/perennial/values.yaml": fmt.Sprintf("at most %d connections", store.MaxConnections),
	} {
		data, err := os.ReadFile(file)
		testenv.Check(t, err)
		if !strings.Contains(strings.Join(strings.Fields(string(data)), " "), want) {
			t.Errorf("%s does not contain %q", file, want)
		}
	}
}

// The compose file starts three replicas, and an upgrade may start one more beside them.
func TestTheComposeFileAllowsTheConnectionsOfItsReplicas(t *testing.T) {
	data, err := os.ReadFile("../../deploy/compose/compose.yaml")
	testenv.Check(t, err)
	m := regexp.MustCompile(`"max_connections=(\d+)"`).FindSubmatch(data)
	if m == nil {
		t.Fatal("it does not set max_connections: the default of 100 is too low")
	}
	if most, err := strconv.Atoi(string(m[1])); err != nil || most < 4*store.MaxConnections {
		t.Errorf("max_connections=%s, need %d", m[1], 4*store.MaxConnections)
	}
}
