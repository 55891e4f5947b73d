package main

import (
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"github.com/alecthomas/kong"

	"github.com/perennial-pki/perennial/tenancy"
)

// egressFrom sets the flags of "arrangement change" on e.
func egressFrom(t *testing.T, e *tenancy.Egress, flags ...string) {
	t.Helper()
	var c arrangementChangeCmd
	parser, err := kong.New(&c)
	check(t, err)
	_, err = parser.Parse(append([]string{"acme", "crm-to-erp"}, flags...))
	check(t, err)
	check(t, c.apply(e))
}

// Each field of Egress has a row, and a new field fails the test until it has one.
func TestEverySettingOfAnArrangementIsShownAndCanBeRemoved(t *testing.T) {
	var none *elsewhere
	ca := filepath.Join(t.TempDir(), "ca.pem")
	check(t, os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE",
		Bytes: none.issue(t, "root", true, time.Now().AddDate(1, 0, 0), nil).cert.Raw}), 0o600))
	const pin = "sha256/47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="
	changes := map[string][2][]string{ // field -> flags that set it, and that remove it
		"RefusalStatuses": {{"--refused-by=401,407"}, {"--refused-by="}},
		"RefusalRules":    {{"--refusal-rule=preset=sap-login"}, {"--refusal-rule="}},
		"KeepBytes":       {{"--keep-bytes=100"}, {"--keep-bytes=0"}},
		"TimeoutSeconds":  {{"--timeout=7"}, {"--timeout=0"}},
		"Connections":     {{"--connections=3"}, {"--connections=0"}},
		"ServerCA":        {{"--server-ca=" + ca}, {"--server-ca="}},
		"ServerKeyPin":    {{"--server-key-pin=" + pin}, {"--server-key-pin="}},
		"MaxTLS":          {{"--tls-max=1.2"}, {"--tls-max="}},
		"Probe":           {{"--probe=GET /orders", "--probe-status=200,204"}, {"--probe="}},
		"Park":            {{"--park"}, {"--no-park"}},
		"Proxy":           {{"--egress-proxy=none"}, {"--egress-proxy="}},
		"IdentifiesBy":    {{"--identifies-by=subject,ca"}, {"--identifies-by="}},
	}
	byDefault := fmt.Sprint(settings(tenancy.Egress{})...)
	for _, field := range reflect.VisibleFields(reflect.TypeFor[tenancy.Egress]()) {
		flags, ok := changes[field.Name]
		if !ok {
			t.Errorf("no flags set and remove %s", field.Name)
			continue
		}
		var e tenancy.Egress
		egressFrom(t, &e, flags[0]...)
		if reflect.ValueOf(e).FieldByIndex(field.Index).IsZero() || e.Check() != nil {
			t.Errorf("%s: %v does not set it: %+v, %v", field.Name, flags[0], e, e.Check())
		}
		if fmt.Sprint(settings(e)...) == byDefault {
			t.Errorf("%s is not shown", field.Name)
		}
		if egressFrom(t, &e, flags[1]...); !reflect.ValueOf(e).FieldByIndex(field.Index).IsZero() {
			t.Errorf("%s: %v does not remove it: %+v", field.Name, flags[1], e)
		}
	}
	var e tenancy.Egress
	egressFrom(t, &e, changes["Probe"][0]...)
	if egressFrom(t, &e, "--probe-status="); len(e.Probe.Statuses) != 0 || e.Probe.Path != "/orders" {
		t.Errorf("the statuses of a probe are not removed: %+v", e.Probe)
	}
}
