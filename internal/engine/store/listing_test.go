package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/perennial-pki/perennial/tenancy"
)

// pages reads a list page by page, and returns the names of its rows.
func pages[T any](t *testing.T, p Page, read func(p Page) ([]T, Place, error), name func(T) string) string {
	t.Helper()
	var all []string
	for range 100 {
		rows, next, err := read(p)
		must(t, err)
		if len(rows) > p.Limit {
			t.Fatalf("a page of %d rows has %d", p.Limit, len(rows))
		}
		for _, v := range rows {
			all = append(all, name(v))
		}
		if p.After = next; next == (Place{}) {
			return strings.Join(all, " ")
		}
	}
	t.Fatal("the pages have no end")
	return ""
}

func TestAListIsReadInEveryOrderPageByPage(t *testing.T) {
	each(t, func(t *testing.T, s *Store) {
		names := []string{"delta", "Alpha", "charlie", "alpha", "bravo"}
		must(t, write(t, s, func(ctx context.Context, tx *Tx) error {
			for i, name := range names {
				// Two tokens expire at the same time, so that their IDs decide.
				expiry := now.Add(time.Duration(5-i/2) * time.Hour)
				if err := tx.CreateToken(ctx, tenancy.Token{ID: fmt.Sprint("t", i), Name: name, Role: tenancy.RoleOperator,
					CreatedAt: now, ExpiresAt: expiry}, fmt.Sprint("hash", i)); err != nil {
					return err
				}
			}
			return nil
		}))
		for _, c := range []struct{ sort, text, want string }{
			{"", "", "delta Alpha charlie alpha bravo"},
			{"-created", "", "bravo alpha charlie Alpha delta"},
			{"name", "", "Alpha alpha bravo charlie delta"},
			{"-name", "", "delta charlie bravo alpha Alpha"},
			{"expires", "", "bravo charlie alpha delta Alpha"},
			{"-expires", "", "Alpha delta alpha charlie bravo"},
			{"-name", "AL", "alpha Alpha"},
			{"", "pha", ""},
			{"", "%", ""},
		} {
			for limit := 1; limit <= len(names)+1; limit++ {
				got := pages(t, Page{Limit: limit, Sort: c.sort, Text: c.text}, func(p Page) ([]tenancy.Token, Place, error) {
					return s.Tokens(t.Context(), "", p)
				}, func(v tenancy.Token) string { return v.Name })
				if got != c.want {
					t.Errorf("by %q with %q, pages of %d: %q, want %q", c.sort, c.text, limit, got, c.want)
				}
			}
		}
		for _, p := range []Page{{Limit: 1, Sort: "hash"}, {Limit: 1, Sort: "expires", After: Place{"soon", "t1"}}} {
			if _, _, err := s.Tokens(t.Context(), "", p); !errors.Is(err, tenancy.ErrInvalid) {
				t.Errorf("%+v: %v", p, err)
			}
		}
	})
}

func TestASearchOfAListThatGrowsReadsAWindowForEachPage(t *testing.T) {
	each(t, func(t *testing.T, s *Store) {
		must(t, write(t, s, func(ctx context.Context, tx *Tx) error {
			for i, name := range strings.Fields("a.1 b.1 a.2 b.2 b.3 b.4 a.3") {
				if err := tx.CreateToken(ctx, tenancy.Token{ID: fmt.Sprint("t", i), Name: name, Role: tenancy.RoleOperator,
					CreatedAt: now, ExpiresAt: now}, fmt.Sprint("hash", i)); err != nil {
					return err
				}
			}
			return nil
		}))
		list := tokenListing
		list.begins, list.texts, list.ids, list.window = "", []string{"t.name"}, "SELECT t.id FROM tokens t WHERE ", 2
		read := func(p Page) ([]tenancy.Token, Place, error) {
			return list.read(t.Context(), s.Reader, p, "t.role = ?", string(tenancy.RoleOperator))
		}
		for order, want := range map[string]string{"": "a.1 a.2 a.3", "-created": "a.3 a.2 a.1"} {
			for limit := 1; limit <= 4; limit++ {
				got := pages(t, Page{Limit: limit, Sort: order, Text: "A."}, read, func(v tenancy.Token) string { return v.Name })
				if got != want {
					t.Errorf("by %q in pages of %d: %q, want %q", order, limit, got, want)
				}
			}
		}
		rows, next, err := read(Page{Limit: 9, Text: "a.", After: Place{ID: "t2"}})
		must(t, err)
		if len(rows) != 0 || next != (Place{ID: "t4"}) {
			t.Errorf("a window without the text has %d rows, and the next page begins after %+v", len(rows), next)
		}
	})
}

func TestASearchOfMessagesReadsAWindowForEachPage(t *testing.T) {
	each(t, func(t *testing.T, s *Store) {
		must(t, write(t, s, func(ctx context.Context, tx *Tx) error {
			var all []tenancy.Message
			for i, status := range []int{500, 200, 503, 200, 200, 499, 0} {
				all = append(all, tenancy.Message{ID: fmt.Sprint("m", i), ArrangementID: "a", At: now, Method: "POST",
					Path: "/in", Status: status, Attempts: 1, Count: 1,
					Outcome: tenancy.Say("refused with generation %d", 70+i).Stored()})
			}
			return tx.AddMessages(ctx, all)
		}))
		for limit := 1; limit <= 4; limit++ {
			got := pages(t, Page{Limit: limit}, func(p Page) ([]tenancy.Message, Place, error) {
				found, next, err := s.searchMessages(t.Context(), "a", MessageChoice{Failed: true, Text: "post /IN"},
					p.After.ID, p.Limit, 2)
				return found, Place{ID: next}, err
			}, func(m tenancy.Message) string { return m.ID })
			if got != "m6 m2 m0" {
				t.Errorf("in pages of %d: %q", limit, got)
			}
		}
		found, _, err := s.SearchMessages(t.Context(), "a", MessageChoice{Text: "refused with generation 72"}, "", 10)
		must(t, err)
		if len(found) != 1 || found[0].ID != "m2" {
			t.Errorf("by its outcome: %+v", found)
		}
	})
}

func TestAPlaceInAListStaysValidWhenRowsComeAndGo(t *testing.T) {
	each(t, func(t *testing.T, s *Store) {
		tenant, _ := acme(t, s, "acme", now.AddDate(1, 0, 0))
		user := func(name string) tenancy.KeyUser {
			return tenancy.KeyUser{ID: "u-" + name, TenantID: tenant.ID, Name: name, Email: name + "@acme.example",
				UnsubscribeToken: name, CreatedAt: now, Version: 1}
		}
		create := func(names ...string) {
			must(t, write(t, s, func(ctx context.Context, tx *Tx) error {
				for _, name := range names {
					if err := tx.CreateKeyUsers(ctx, user(name)); err != nil {
						return err
					}
				}
				return nil
			}))
		}
		create("kilo", "lima", "mike")
		page := Page{Limit: 2, Sort: "name", Text: "@ACME"}
		first, next, err := s.KeyUsers(t.Context(), tenant.ID, page)
		must(t, err)
		if len(first) != 2 || next == (Place{}) {
			t.Fatalf("the first page has %d rows, the next begins after %+v", len(first), next)
		}
		last := first[1]
		must(t, write(t, s, func(ctx context.Context, tx *Tx) error {
			return tx.DeleteKeyUser(ctx, last)
		}))
		create("golf") // before the place
		got := pages(t, Page{Limit: 2, Sort: "name", Text: "@ACME", After: next}, func(p Page) ([]tenancy.KeyUser, Place,
			error) {
			return s.KeyUsers(t.Context(), tenant.ID, p)
		}, func(u tenancy.KeyUser) string { return u.Name })
		if slices.Contains(strings.Fields(got), "golf") || !strings.HasSuffix(got, "mike") {
			t.Errorf("after %s: %q", last.Name, got)
		}
	})
}

func TestATextThatTheDatabaseDoesNotTakeIsTheErrorOfItsCaller(t *testing.T) {
	each(t, func(t *testing.T, s *Store) {
		for _, p := range []Page{{Limit: 1, Text: "a\x00b"}, {Limit: 1, After: Place{ID: "\x00"}},
			{Limit: 1, After: Place{ID: "\xff"}}, {Limit: 1, Sort: "name", After: Place{Key: "\x00", ID: "x"}}} {
			_, _, err1 := s.Receivers(t.Context(), "t", p)
			_, _, err2 := s.Accounts(t.Context(), p)
			_, _, err3 := s.SearchEvents(t.Context(), EventChoice{Actor: p.After.ID + p.After.Key, Texts: []string{p.Text}},
				0, 1)
			for _, err := range []error{err1, err2, err3} {
				if !errors.Is(err, tenancy.ErrInvalid) {
					t.Errorf("%+v: %v", p, err)
				}
			}
		}
	})
}
