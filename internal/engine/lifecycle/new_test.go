package lifecycle

import (
	"reflect"
	"strings"
	"testing"

	"github.com/perennial-pki/perennial/internal/engine/rollovers"
	"github.com/perennial-pki/perennial/policy"
)

func TestAnEngineIsRefusedWithoutEachOfItsDependencies(t *testing.T) {
	f := sqlite(t, policy.Default, date("2026-01-15"))
	whole := Config{Store: f.store, Issuer: f.issuer, Keys: f.keys, Seal: f.seal, Policy: f.policy,
		MailDomain: f.mailDomain, Log: f.log}
	if _, err := New(whole); err != nil {
		t.Fatal(err)
	}
	refused := 0
	for _, name := range []string{"Store", "Issuer", "Keys", "Seal", "MailDomain", "Log", "Policy"} {
		c := whole
		reflect.ValueOf(&c).Elem().FieldByName(name).SetZero()
		if _, err := New(c); err == nil || name != "Policy" && !strings.Contains(err.Error(), "Config."+name) {
			t.Errorf("without %s: %v", name, err)
		} else {
			refused++
		}
	}
	if refused != 7 {
		t.Errorf("%d of 7 dependencies are required", refused)
	}
}

func TestRolloversAreRefusedWithoutEachOfTheirDependencies(t *testing.T) {
	f := sqlite(t, policy.Default, date("2026-01-15"))
	if _, err := rollovers.New(f.store, f.seal, nil, f.log); err != nil {
		t.Fatal(err)
	}
	_, err1 := rollovers.New(nil, f.seal, nil, f.log)
	_, err2 := rollovers.New(f.store, nil, nil, f.log)
	_, err3 := rollovers.New(f.store, f.seal, nil, nil)
	for want, err := range map[string]error{"store": err1, "keyring": err2, "logger": err3} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("without its %s: %v", want, err)
		}
	}
}
