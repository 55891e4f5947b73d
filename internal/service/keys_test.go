package service

import (
	"context"
	"encoding/base64"
	"errors"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/perennial-pki/perennial/internal/engine/store"
	"github.com/perennial-pki/perennial/internal/keys/keyring"
	"github.com/perennial-pki/perennial/internal/keys/kms"
	"github.com/perennial-pki/perennial/internal/lab/sample"
	"github.com/perennial-pki/perennial/internal/testing/testenv"
	"github.com/perennial-pki/perennial/internal/testing/vaulttest"
	"github.com/perennial-pki/perennial/tenancy"
)

// startTransit starts a Vault with a key, and returns the URI of the key.
func startTransit(t *testing.T) (*vaulttest.Server, string) {
	t.Helper()
	vault := vaulttest.Start(t)
	vault.NewKey("perennial")
	t.Setenv("VAULT_ADDR", vault.URL)
	t.Setenv("VAULT_TOKEN", vaulttest.RootToken)
	t.Setenv("VAULT_CACERT", vault.Roots)
	return vault, "hcvault://" + strings.TrimPrefix(vault.URL, "https://") + "/transit/keys/perennial"
}

func TestAKeySetIsMovedWhileTheServiceRunsAndAgainToTheFile(t *testing.T) {
	vault, uri := startTransit(t)
	log, now := slog.New(slog.DiscardHandler), time.Now()
	set := settings(t, "--metrics-listen", "127.0.0.1:0")
	s, err := open(t, set)
	testenv.Check(t, err)
	token := s.FirstToken()
	stop := run(t, s)
	wantRunning := func(what string) {
		t.Helper()
		if status, body := get(t, s.BaseURL()+"/api/v1/tenants", token); status != 200 {
			t.Errorf("%s: %d %s", what, status, body)
		}
	}
	for _, to := range []string{uri, "", uri} {
		testenv.Check(t, MoveKeys(t.Context(), set.Database, to, now, log))
		events, err := s.core.store.Events(t.Context(), "", 0, 100)
		testenv.Check(t, err)
		last := events[len(events)-1]
		if last.Action != "key.moved" || !strings.Contains(last.Detail, `"to":"`+place(to)+`"`) {
			t.Errorf("the latest event is %+v", last)
		}
		changed, err := s.core.keys.Refresh(t.Context())
		if err != nil || !changed || s.core.keys.WrappedBy() != to {
			t.Errorf("the running service has the keys of %q, %v", s.core.keys.WrappedBy(), err)
		}
		wantRunning("after a move to " + place(to))
	}
	setSealed(vault, true)
	wantRunning("while the Vault is sealed")
	testenv.Check(t, stop())
	testenv.Check(t, s.Close())
	setSealed(vault, false)

	if err := MoveKeys(t.Context(), set.Database, "hcvault://elsewhere.example.com/transit/keys/k", now, log); err == nil {
		t.Error("it was moved to a Vault that is not that of VAULT_ADDR")
	}
	_, err = RotateKeys(t.Context(), set.Database, now, log, func(int) {})
	testenv.Check(t, err)
	s, err = open(t, set)
	testenv.Check(t, err)
	if s.core.keys.WrappedBy() != uri || s.core.keys.Keys() != 2 {
		t.Errorf("after a rotation: %d keys, wrapped by %q", s.core.keys.Keys(), s.core.keys.WrappedBy())
	}
	stop = run(t, s)
	_, metrics := get(t, s.MetricsURL()+"/metrics", token)
	if !strings.Contains(metrics, `perennial_kms_calls_total{kind="hcvault",operation="unwrap",result="ok"}`) {
		t.Error("the metrics lack the calls")
	}
	testenv.Check(t, stop())
	testenv.Check(t, s.Close())
}

func TestABackupIsRestoredWithAWrappedKeySetFromTheEnvironment(t *testing.T) {
	_, uri := startTransit(t)
	log, now := slog.New(slog.DiscardHandler), time.Now()
	set := settings(t)
	s, err := open(t, set)
	testenv.Check(t, err)
	testenv.Check(t, s.Close())
	copied := set.Database.KeyFile + ".backup"
	_, err = Backup(t.Context(), set.Database.URL, copied)
	testenv.Check(t, err)
	testenv.Check(t, MoveKeys(t.Context(), set.Database, uri, now, log))
	data, err := os.ReadFile(set.Database.KeyFile)
	testenv.Check(t, err)
	d := Database{URL: set.Database.URL, Key: base64.StdEncoding.EncodeToString(data)}
	_, err = Restore(t.Context(), d, copied, now, log)
	testenv.Check(t, err)
	set.Database = d
	s, err = open(t, set)
	testenv.Check(t, err)
	testenv.Check(t, s.Close())
	if err := MoveKeys(t.Context(), d, "", now, log); err == nil || !strings.Contains(err.Error(), "write it to a file") {
		t.Errorf("a move of the environment: %v", err)
	}
}

func setSealed(s *vaulttest.Server, sealed bool) {
	s.Lock()
	defer s.Unlock()
	s.Sealed = sealed
}

func TestAStartWaitsForTheServiceThatWrapsTheKeys(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var logged strings.Builder
		log := slog.New(slog.NewTextHandler(&logged, nil))
		keys, err := keyring.Ephemeral()
		testenv.Check(t, err)
		started := time.Now()
		got, err := patiently(t.Context(), log, func(context.Context) (*keyring.Keyring, error) {
			if time.Since(started) < kmsPatience/2 {
				return nil, &keyring.Away{Err: errors.New("unwrap with hcvault://v: no answer")}
			}
			return keys, nil
		})
		if err != nil || got != keys {
			t.Errorf("%v", err)
		}
		if n := strings.Count(logged.String(), "trying again"); n != 1 {
			t.Errorf("it was logged %d times: %s", n, &logged)
		}

		started = time.Now()
		_, err = patiently(t.Context(), log, func(context.Context) (*keyring.Keyring, error) {
			return nil, &keyring.Away{Err: errors.New("unwrap with hcvault://v: no answer")}
		})
		if err == nil || !strings.Contains(err.Error(), "unwrap with hcvault://v: no answer (tried for 1m0s; start again") {
			t.Errorf("got %v", err)
		}
		if waited := time.Since(started); waited != kmsPatience {
			t.Errorf("it waited %s", waited)
		}

		calls := 0
		_, err = patiently(t.Context(), log, func(context.Context) (*keyring.Keyring, error) {
			calls++
			return nil, errors.New("permission denied")
		})
		if err == nil || calls != 1 {
			t.Errorf("%d attempts for an error that stays, %v", calls, err)
		}

		ended, end := context.WithCancel(t.Context())
		end()
		_, err = patiently(ended, log, func(context.Context) (*keyring.Keyring, error) {
			return nil, &keyring.Away{Err: errors.New("no answer")}
		})
		if err == nil || strings.Contains(err.Error(), "tried for") {
			t.Errorf("after a signal: %v", err)
		}
	})
}

func TestARunningServiceReportsAKeyFileThatItCannotUse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := t.TempDir() + "/key"
		var logged strings.Builder
		log := slog.New(slog.NewTextHandler(&logged, nil))
		keys, err := keyring.Create(path, nil)
		testenv.Check(t, err)
		other, err := keyring.Ephemeral()
		testenv.Check(t, err)
		data, err := other.Export()
		testenv.Check(t, err)
		ctx, cancel := context.WithCancel(t.Context())
		go keepKeys(ctx, keys, log)
		time.Sleep(keysRefresh + time.Second)
		synctest.Wait()
		if logged.Len() > 0 {
			t.Errorf("logged without a change: %s", &logged)
		}
		testenv.Check(t, os.WriteFile(path, data, 0o600))
		time.Sleep(keysRefresh)
		synctest.Wait()
		if !strings.Contains(logged.String(), "its next start would fail") ||
			!strings.Contains(logged.String(), "lacks the key that currently seals") {
			t.Errorf("logged: %s", &logged)
		}
		cancel()
		synctest.Wait()
	})
}

func TestAKeyManagementServiceThatIsAwayForAnHourStopsNoGatewayAndNoRenewal(t *testing.T) {
	vault, uri := startTransit(t)
	set := settings(t)
	set.Gateway.AllowTarget = append(set.Gateway.AllowTarget, "127.0.0.0/8")
	made, err := keyring.Ephemeral()
	testenv.Check(t, err)
	data, err := made.ExportWrapped(t.Context(), uri, kms.Open)
	testenv.Check(t, err)
	testenv.Check(t, os.WriteFile(set.Database.KeyFile, data, 0o600))
	var passed atomic.Int64
	now := func() time.Time { return time.Now().Add(time.Duration(passed.Load())) }
	s, err := Open(t.Context(), Config{Settings: set, Version: "test", Now: now, Log: slog.New(slog.DiscardHandler)})
	testenv.Check(t, err)
	t.Cleanup(func() { testenv.Check(t, s.Close()) })
	_, err = sample.Fill(t.Context(), s.Store(), s.Engine(), s.Issuer(), now)
	testenv.Check(t, err)
	umbrella, err := s.Store().Tenant(t.Context(), "umbrella")
	testenv.Check(t, err)
	const secret = "perennial_sender"
	testenv.Check(t, s.Store().InTx(t.Context(), func(tx *store.Tx) error {
		return tx.CreateToken(t.Context(), tenancy.Token{ID: store.NewID(), Name: "lab", Role: tenancy.RoleSender,
			TenantID: umbrella.ID, CreatedAt: now(), ExpiresAt: now().Add(24 * time.Hour)}, tenancy.HashSecret(secret))
	}))
	stop := run(t, s)
	setSealed(vault, true)
	// The key of the new certificate is generated, sealed and opened.
	_, err = s.Engine().RenewByHand(t.Context(), "umbrella", tenancy.ForTenant, "lost", "test", now())
	testenv.Check(t, err)
	const steps = 13
	for i := range steps { // every five minutes, from the first to the last of an hour
		if status, body := get(t, s.GatewayURL()+"/umbrella/lab-to-registry/reports", secret); status != http.StatusOK {
			t.Errorf("message %d: %d %s", i, status, body)
		}
		passed.Add(int64(5 * time.Minute))
	}
	testenv.Check(t, stop())
}
