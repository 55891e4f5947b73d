package web_test

import (
	"regexp"
	"strings"
	"testing"
	"time"
)

// rawTexts are IDs, times and keys of JSON between tags, in a form for programs.
var rawTexts = regexp.MustCompile(`>[^<]*([0-9a-f]{8}-[0-9a-f]{4}-|[0-9]T[0-9]{2}:|[a-z]_[a-z_]+: )[^<]*<`)

func TestActorsAndQuestionsAreInTheLanguageOfTheReader(t *testing.T) {
	c := open(t)
	c.newLink()
	c.hand(c.signIn("olga"), "tenants", "name\nimported\n")
	for who, pages := range map[string]map[string][]string{
		"alice": {
			"/tenants/acme/scope": {"Sollen Key-User eine E-Mail erhalten, wenn sie eine Aufgabe bekommen?",
				"Key-User, die Subscribe to Task gewählt haben", "Beantwortet von Key-User acme/alice"},
			"/tenants/acme/log": {">Key-User acme/alice</a>", "actor=key+user+acme%2Falice"},
		},
		"olga": {
			"/log":     {">Operator olga</a>", "actor=operator+olga"},
			"/imports": {">Operator olga</td>"},
		},
	} {
		client := c.signIn(who)
		c.post(client, "/account", "language", "de")
		for path, texts := range pages {
			_, page := c.get(client, path)
			_, content, _ := strings.Cut(page, "<main")
			for _, text := range texts {
				if !strings.Contains(content, text) {
					t.Errorf("%s does not contain %q", path, text)
				}
			}
			if strings.Contains(content, ">operator olga") || strings.Contains(content, ">key user acme") {
				t.Errorf("%s has an actor in English", path)
			}
			if found := rawTexts.FindString(content); found != "" {
				t.Errorf("%s shows %q", path, found)
			}
		}
	}
}

func TestTheOverviewMarksOverdueTasks(t *testing.T) {
	c := open(t)
	marked := func() int {
		_, page := c.get(c.signIn("alice"), "/tenants/acme")
		_, tasks, _ := strings.Cut(page, "<h2>Tasks</h2>")
		tasks, _, _ = strings.Cut(tasks, "</ul>")
		return strings.Count(tasks, "Overdue")
	}
	if n := marked(); n != 0 {
		t.Errorf("%d tasks are marked as overdue before their time", n)
	}
	c.later(25 * 24 * time.Hour) // the old certificate has expired
	if n := marked(); n == 0 {
		t.Error("no task is marked as overdue")
	}
}
