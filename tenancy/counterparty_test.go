package tenancy

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

func TestTheHostOfAnEndpointIsInLowerCaseWithoutThePort(t *testing.T) {
	for endpoint, want := range map[string]string{
		"https://pay.bank.example/orders":     "pay.bank.example",
		"https://Pay.Bank.EXAMPLE:8443/x":     "pay.bank.example",
		"https://pay.bank.example":            "pay.bank.example",
		"https://pay.bank.example/a://b:1/":   "pay.bank.example",
		"https://[2001:db8::1]:8443/x":        "[2001",
		"HTTPS://10.0.0.1:99":                 "10.0.0.1",
		"pay.bank.example":                    "",
		"https://bücher.example/über://Bäume": "bücher.example",
	} {
		if got := HostOf(endpoint); got != want {
			t.Errorf("%s: %q, want %q", endpoint, got, want)
		}
	}
}

func TestOnlyANameWithADomainIdentifiesACounterparty(t *testing.T) {
	for host, want := range map[string]bool{
		"bank.example": true, "a.b.c.bank.example": true, "xn--bcher-kva.example": true, "1.bank.example": true,
		"localhost": false, "10.0.0.1": false, "[": false, "": false, ".bank.example": false, "Bank.example": false,
		"bank.example/x": false, "a b.example": false, "bank.example:443": false, "a..example": false,
		strings.Repeat("a", 253) + ".example": false,
	} {
		if got := Proposable(host); got != want {
			t.Errorf("%q: %v", host, got)
		}
	}
}

func TestAHostBelongsToItselfAndToEachDomainAboveIt(t *testing.T) {
	got := fmt.Sprint(HostPatterns("pay.eu.bank.example"))
	if want := "[pay.eu.bank.example .eu.bank.example .bank.example]"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestACounterpartyIsRefusedWithTheFieldThatIsWrong(t *testing.T) {
	valid := Counterparty{Name: "bank", DisplayName: "House Bank", Hosts: []string{"pay.bank.example", ".bank.example"}}
	if err := valid.Check(); err != nil {
		t.Fatal(err)
	}
	for field, change := range map[string]func(*Counterparty){
		"name":         func(c *Counterparty) { c.Name = "House Bank" },
		"display_name": func(c *Counterparty) { c.DisplayName = "" },
		"product":      func(c *Counterparty) { c.Product = "a\nb" },
		"hosts":        func(c *Counterparty) { c.Hosts = []string{"10.0.0.1"} },
		"hosts ":       func(c *Counterparty) { c.Hosts = []string{"a.example", "a.example"} },
		"hosts  ":      func(c *Counterparty) { c.Hosts = make([]string, 51) },
		"hosts   ":     func(c *Counterparty) { c.Hosts = []string{".example"} },
	} {
		c := valid
		change(&c)
		var rule *RuleError
		if err := c.Check(); !errors.As(err, &rule) || rule.Field != strings.TrimSpace(field) {
			t.Errorf("%s: %v", field, err)
		}
	}
	person := CounterpartyContact{Name: "Ada", Email: "ada@bank.example", Language: "de", Zone: "Europe/Berlin"}
	if err := person.Check(); err != nil {
		t.Fatal(err)
	}
	for field, change := range map[string]func(*CounterpartyContact){
		"name":     func(c *CounterpartyContact) { c.Name = "" },
		"email":    func(c *CounterpartyContact) { c.Email = "ada" },
		"language": func(c *CounterpartyContact) { c.Language = "fr" },
		"zone":     func(c *CounterpartyContact) { c.Zone = "Mars" },
	} {
		c := person
		change(&c)
		var rule *RuleError
		if err := c.Check(); !errors.As(err, &rule) || rule.Field != field {
			t.Errorf("%s: %v", field, err)
		}
	}
}
