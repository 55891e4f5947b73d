package api

import (
	"strings"
	"testing"
)

func TestTextsAreInTheLanguageOfTheCaller(t *testing.T) {
	f := setUp(t)
	for language, wants := range map[string][]string{
		"en": {"there is no tenant x", "invalid name", "the user chose Subscribe to Task"},
		"de": {"Es gibt keinen Mandanten x", "Ungültiger Name", "Der Benutzer hat die Aufgabe abonniert"},
		"fr": {"there is no tenant x", "invalid name", "the user chose Subscribe to Task"},
	} {
		answers := []answer{
			f.call("acme/alice", "GET", "/tenants/x", "", "Accept-Language: "+language),
			f.call("operator", "POST", "/tenants/acme/key-users", `{"name":"","email":"a@example.com"}`,
				"Accept-Language: "+language),
			f.call("acme/alice", "GET", "/tenants/acme/mail-check?user=alice", "", "Accept-Language: "+language),
		}
		for i, want := range wants {
			if !strings.Contains(answers[i].raw, want) {
				t.Errorf("%s: no %q in %s", language, want, answers[i].raw)
			}
		}
	}
}
