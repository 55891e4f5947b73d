package client_test

import (
	"testing"

	"github.com/perennial-pki/perennial/client"
)

func TestAContactIsReadFromTheLineThatItIsWrittenAs(t *testing.T) {
	for line, want := range map[string]client.ITContact{
		"Ina Ivers <ina@example.com>":                  {Name: "Ina Ivers", Email: "ina@example.com"},
		"Ina Ivers <ina@example.com> de Europe/Berlin": {"Ina Ivers", "ina@example.com", "de", "Europe/Berlin"},
		"Ina Ivers <ina@example.com>; Europe/Berlin":   {"Ina Ivers", "ina@example.com", "", "Europe/Berlin"},
		`"Ivers, Ina" <ina@example.com> en`:            {Name: "Ivers, Ina", Email: "ina@example.com", Language: "en"},
		"Jürgen <juergen@example.com>":                 {Name: "Jürgen", Email: "juergen@example.com"},
		"ina@example.com":                              {Email: "ina@example.com"},
	} {
		got, err := client.ParseContact(line)
		if err != nil || got != want {
			t.Errorf("%s: %+v, %v", line, got, err)
		}
		if again, err := client.ParseContact(got.String()); err != nil || again != got {
			t.Errorf("%s is written as %s", line, got)
		}
	}
	for _, line := range []string{"", "Ina", "Ina <ina>", "<> de"} {
		if got, err := client.ParseContact(line); err == nil {
			t.Errorf("%q is read as %+v", line, got)
		}
	}
}
