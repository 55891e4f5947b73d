package main

import (
	"bytes"
	"strings"
	"testing"
	"time"
)

func TestAFlagThatWouldBeIgnoredIsRefused(t *testing.T) {
	for command, want := range map[string]string{
		"webhook create x --endpoint https://a.example --tenant acme --counterparty bank": "leave out --counterparty",
		"webhook list --tenant acme --counterparty bank":                                  "leave out --counterparty",
		"webhook change x --all-types --type run.failed":                                  "can't be used together",
		"worklist tests --result refused":                                                 "--result needs a round",
		"token create x --role gateway --workload-issuer https://a.example":               "needs --workload",
		"token create x --role operator --workload a --database sqlite:x.db":              "operators' tokens only",
		"follow https://a.example --render nginx --write x --once --every 1h":             "can't be used together",
		"counterparty list bank --query house":                                            "give the text once",
		"import --tenants x.csv --accept-changes":                                         "needs --apply",
		"guard init --from x --upstream http://a --server-cert c --server-key k --acme h": "can't be used together",
		"feed silent acme --counterparties":                                               "leave out acme",
	} {
		var out, errs bytes.Buffer
		status := run(strings.Fields(command), env{out: &out, err: &errs, now: time.Now})
		if status == exitOK || !strings.Contains(errs.String(), want) {
			t.Errorf("%s: %d, %s%s", command, status, &out, &errs)
		}
	}
}

func TestATenantOfTheEnvironmentCanBeOverriddenForAWebhookOfACounterparty(t *testing.T) {
	t.Setenv("PERENNIAL_TENANT", "acme")
	for command, want := range map[string]string{
		"webhook list --counterparty bank":           "--tenant= overrides PERENNIAL_TENANT",
		"webhook list --counterparty bank --tenant=": "no token",
	} {
		var out, errs bytes.Buffer
		if run(strings.Fields(command), env{out: &out, err: &errs, now: time.Now}); !strings.Contains(errs.String(), want) {
			t.Errorf("%s: %s%s", command, &out, &errs)
		}
	}
}
