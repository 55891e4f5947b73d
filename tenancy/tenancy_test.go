package tenancy

import (
	"bytes"
	"encoding/base64"
	"errors"
	"strings"
	"testing"
	"time"
)

var now = time.Date(2026, 1, 15, 8, 0, 0, 1234567, time.UTC)

// valid values of every kind with a Check.
func validTenant() Tenant {
	return Tenant{Name: "acme", DisplayName: "Acme GmbH", KeyType: P256}
}

func validArrangement() Arrangement {
	return Arrangement{Name: "crm-to-erp", Endpoint: "https://erp.example.com/in", Authentication: ClientCertificate,
		Strategy: Adaptive}
}

func changed[T any](v T, change func(*T)) T {
	change(&v)
	return v
}

func TestValuesAtTheBoundsAreValid(t *testing.T) {
	pin := "sha256/" + base64.StdEncoding.EncodeToString(make([]byte, 32))
	for name, err := range map[string]error{
		"a tenant":             validTenant().Check(),
		"a key user":           KeyUser{Name: "alice.b_c@d", Email: "alice@example.com"}.Check(),
		"an IT contact":        ITContact{Name: "Ina Ivers", Email: "ina@example.com"}.Check(),
		"a receiver":           Receiver{Name: "erp", DisplayName: "ERP"}.Check(),
		"a receiver's contact": Receiver{Name: "erp", DisplayName: "ERP", ContactName: "E", ContactEmail: "e@x.org"}.Check(),
		"an arrangement":       validArrangement().Check(),
		"plain http with a password": changed(validArrangement(), func(a *Arrangement) {
			a.Endpoint, a.Authentication = "http://erp", Basic
		}).Check(),
		"an operator's token":  Token{Name: "t", Role: RoleOperator}.Check(),
		"a gateway's token":    Token{Name: "t", Role: RoleGateway}.Check(),
		"a key user's token":   Token{Name: "t", Role: RoleKeyUser, TenantID: "1", KeyUserID: "2"}.Check(),
		"a sender's token":     Token{Name: "t", Role: RoleSender, TenantID: "1"}.Check(),
		"an account":           Account{Name: "olga", Role: RoleOperator, Language: "de", Zone: "Europe/Berlin"}.Check(),
		"a key user's account": Account{Name: "olga", Role: RoleKeyUser, Language: "en"}.Check(),
		"no setting":           Egress{}.Check(),
		"the smallest settings": Egress{KeepBytes: 1, TimeoutSeconds: 1, Connections: 1,
			RefusalStatuses: []int{400, 499}}.Check(),
		"the largest settings": Egress{KeepBytes: 1 << 30, TimeoutSeconds: 3600, Connections: 1000,
			RefusalStatuses: make20(401), ServerKeyPin: pin}.Check(),
		"a probe":         Egress{Probe: Probe{Method: "HEAD", Path: "/health?a=b", Statuses: []int{200, 599}}}.Check(),
		"a note":          CheckNote("note", strings.Repeat("x", 3998)+"\n\t"),
		"an empty note":   CheckNote("note", ""),
		"a text":          CheckText("text", strings.Repeat("株", 200)),
		"a long address":  CheckEmail("email", "a@"+strings.Repeat("b", 240)+".example.com"),
		"a long endpoint": checkEndpoint("https://x/"+strings.Repeat("a", 1990), Basic),
	} {
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func make20(status int) (all []int) {
	for range 20 {
		all = append(all, status)
	}
	return all
}

func TestAnInvalidValueNamesItsField(t *testing.T) {
	tenant := validTenant
	egress := func(e Egress) error { return e.Check() }
	for _, c := range []struct {
		err         error
		field, want string
	}{
		{changed(tenant(), func(t *Tenant) { t.Name = "Acme" }).Check(), "name", `invalid name "Acme": use 1 to 63`},
		{changed(tenant(), func(t *Tenant) { t.DisplayName = "" }).Check(), "display_name", "must not be empty"},
		{changed(tenant(), func(t *Tenant) { t.KeyType = "dsa" }).Check(), "key_type", `unknown key type "dsa": use p256`},
		{KeyUser{Name: "-", Email: "a@b.c"}.Check(), "name", `invalid name "-"`},
		{KeyUser{Name: "alice", Email: "alice"}.Check(), "email", `invalid e-mail address "alice"`},
		{ITContact{Email: "a@b.c"}.Check(), "name", "must not be empty"},
		{ITContact{Name: "a", Email: "a"}.Check(), "email", "invalid"},
		{Receiver{Name: "", DisplayName: "x"}.Check(), "name", "invalid name"},
		{Receiver{Name: "x", DisplayName: "\n"}.Check(), "display_name", "must not be empty"},
		{Receiver{Name: "x", DisplayName: "x", ContactName: "\x01"}.Check(), "contact_name", "cannot be printed"},
		{Receiver{Name: "x", DisplayName: "x", ContactEmail: "x"}.Check(), "contact_email", "invalid"},
		{changed(validArrangement(), func(a *Arrangement) { a.Name = "" }).Check(), "name", "invalid name"},
		{changed(validArrangement(), func(a *Arrangement) { a.Scenario = "\x01" }).Check(), "scenario", "cannot be printed"},
		{changed(validArrangement(), func(a *Arrangement) { a.Authentication = "" }).Check(), "authentication",
			"use client-certificate, basic or none"},
		{changed(validArrangement(), func(a *Arrangement) { a.Strategy = "" }).Check(), "strategy",
			"use adaptive, confirmed"},
		{changed(validArrangement(), func(a *Arrangement) { a.Endpoint = "http://x" }).Check(), "endpoint",
			"must be an https"},
		{changed(validArrangement(), func(a *Arrangement) { a.Egress.Connections = -1 }).Check(), "egress.connections",
			"use 1 to 1000"},
		{checkEndpoint("https://x/"+strings.Repeat("a", 1991), Basic), "endpoint", "is not an absolute URL"},
		{checkEndpoint("https://u@x", Basic), "endpoint", "user name or password"},
		{checkEndpoint("https://x?a=b", Basic), "endpoint", "a query or a fragment"},
		{checkEndpoint("https://x#a", Basic), "endpoint", "a query or a fragment"},
		{Token{Role: RoleOperator}.Check(), "name", "must not be empty"},
		{Token{Name: "t", Role: RoleOperator, TenantID: "1"}.Check(), "role", "for all tenants: leave out"},
		{Token{Name: "t", Role: RoleGateway, KeyUserID: "1"}.Check(), "role", "for all tenants: leave out"},
		{Token{Name: "t", Role: RoleKeyUser, TenantID: "1"}.Check(), "role", "needs a tenant and a user"},
		{Token{Name: "t", Role: RoleKeyUser, KeyUserID: "1"}.Check(), "role", "needs a tenant and a user"},
		{Token{Name: "t", Role: RoleSender}.Check(), "role", "needs a tenant and no user"},
		{Token{Name: "t", Role: RoleSender, TenantID: "1", KeyUserID: "2"}.Check(), "role", "needs a tenant and no user"},
		{Token{Name: "t", Role: "x"}.Check(), "role", `unknown role "x"`},
		{Account{Name: "", Role: RoleOperator}.Check(), "name", "invalid name"},
		{Account{Name: "a", Role: RoleSender}.Check(), "role", "cannot have the role sender"},
		{Account{Name: "a", Role: RoleOperator, Language: "fr"}.Check(), "language",
			`unsupported language "fr": use en or de`},
		{Account{Name: "a", Role: RoleOperator, Zone: "Mars/Base"}.Check(), "zone", `unknown time zone "Mars/Base"`},
		{egress(Egress{RefusalStatuses: []int{401, 399}}), "egress.refusal_statuses", "invalid status 399"},
		{egress(Egress{RefusalStatuses: []int{500}}), "egress.refusal_statuses", "invalid status 500"},
		{egress(Egress{RefusalStatuses: append(make20(401), 401)}), "egress.refusal_statuses", "more than 20"},
		{egress(Egress{KeepBytes: -1}), "egress.keep_bytes", "use 1 to 1073741824"},
		{egress(Egress{KeepBytes: 1<<30 + 1}), "egress.keep_bytes", "is out of range"},
		{egress(Egress{TimeoutSeconds: -1}), "egress.timeout_seconds", "use 1 to 3600"},
		{egress(Egress{TimeoutSeconds: 3601}), "egress.timeout_seconds", "3601 is out of range"},
		{egress(Egress{Connections: 1001}), "egress.connections", "1001 is out of range"},
		{egress(Egress{ServerCA: strings.Repeat("x", 256<<10+1)}), "egress.server_ca", "is longer than 262144 bytes"},
		{egress(Egress{ServerCA: strings.Repeat("x", 256<<10)}), "egress.server_ca", "contains no certificate"},
		{egress(Egress{ServerKeyPin: "sha256/x"}), "egress.server_key_pin", "is not a pin"},
		{egress(Egress{ServerKeyPin: base64.StdEncoding.EncodeToString(make([]byte, 32))}), "egress.server_key_pin",
			"is not a pin"},
		{egress(Egress{ServerKeyPin: "sha256/" + base64.StdEncoding.EncodeToString(make([]byte, 31))}),
			"egress.server_key_pin", "is not a pin"},
		{egress(Egress{Probe: Probe{Path: "/"}}), "egress.probe.method", "is missing"},
		{egress(Egress{Probe: Probe{Statuses: []int{200}}}), "egress.probe.method", "is missing"},
		{egress(Egress{Probe: Probe{Method: "POST", Path: "/"}}), "egress.probe.method", `unsupported method "POST"`},
		{egress(Egress{Probe: Probe{Method: "GET"}}), "egress.probe.path", "invalid path"},
		{egress(Egress{Probe: Probe{Method: "GET", Path: "//x/y"}}), "egress.probe.path", "invalid path"},
		{egress(Egress{Probe: Probe{Method: "GET", Path: "https://x/y"}}), "egress.probe.path", "invalid path"},
		{egress(Egress{Probe: Probe{Method: "GET", Path: "/a b"}}), "egress.probe.path", "invalid path"},
		{egress(Egress{Probe: Probe{Method: "GET", Path: "/\x7f"}}), "egress.probe.path", "invalid path"},
		{egress(Egress{Probe: Probe{Method: "GET", Path: "/", Statuses: []int{199}}}), "egress.probe.statuses",
			"invalid status 199"},
		{egress(Egress{Probe: Probe{Method: "GET", Path: "/", Statuses: []int{600}}}), "egress.probe.statuses",
			"invalid status 600"},
		{CheckNote("note", strings.Repeat("x", 4001)), "note", "is longer than 4000 bytes"},
		{CheckNote("note", "\x00"), "note", "cannot be printed"},
		{CheckNote("note", "\xff"), "note", "is not valid UTF-8"},
		{CheckText("text", "\xff"), "text", "is not valid UTF-8"},
		{CheckText("text", strings.Repeat("株", 201)), "text", "is longer than 200 characters"},
		{CheckEmail("email", "a@"+strings.Repeat("b", 241)+".example.com"), "email", "invalid e-mail address"},
		{CheckName("name", strings.Repeat("A", 61)), "name", `"` + strings.Repeat("A", 60) + `..."`},
		{CheckName("name", strings.Repeat("A", 60)), "name", `"` + strings.Repeat("A", 60) + `"`},
	} {
		var rule *RuleError
		if !errors.As(c.err, &rule) || !errors.Is(c.err, ErrInvalid) || rule.Field != c.field ||
			!strings.HasPrefix(c.err.Error(), c.field+": ") || !strings.Contains(c.err.Error(), c.want) {
			t.Errorf("%v, want %s: %s", c.err, c.field, c.want)
		}
	}
}

func TestSettingsHaveDefaults(t *testing.T) {
	var none Egress
	if got := none.Refusals(); len(got) != 2 || got[0].Status != 401 || got[1].Status != 403 {
		t.Errorf("refusals %v", got)
	}
	if none.Keep() != 64<<20 || none.Timeout() != time.Minute || none.MaxConnections() != 200 {
		t.Errorf("%d bytes, %s, %d connections", none.Keep(), none.Timeout(), none.MaxConnections())
	}
	set := Egress{RefusalStatuses: []int{404}, KeepBytes: 1, TimeoutSeconds: 2, Connections: 3}
	if got := set.Refusals(); len(got) != 1 || got[0].Status != 404 {
		t.Errorf("refusals %v", got)
	}
	if set.Keep() != 1 || set.Timeout() != 2*time.Second || set.MaxConnections() != 3 {
		t.Errorf("%d bytes, %s, %d connections", set.Keep(), set.Timeout(), set.MaxConnections())
	}
}

func TestATokenIsValidUntilItExpiresOrIsRevoked(t *testing.T) {
	token := Token{ExpiresAt: now}
	if !token.Valid(now.Add(-1)) || token.Valid(now) {
		t.Error("the bound is not its expiry")
	}
	token.RevokedAt = now.Add(-time.Hour)
	if token.Valid(now.Add(-1)) {
		t.Error("a revoked token is valid")
	}
}

func TestAnErrorHasAKindAndAMessage(t *testing.T) {
	err := Errorf(ErrConflict, "%s exists", "acme")
	if !errors.Is(err, ErrConflict) || errors.Is(err, ErrInvalid) || err.Error() != "acme exists" {
		t.Errorf("%v", err)
	}
	if err := Invalid("name", "is %d", 1); err.Error() != "name: is 1" {
		t.Errorf("%v", err)
	}
}

// events makes a chain of three.
func events() []Event {
	var all []Event
	var prev []byte
	for i, action := range []string{"tenant.created", "certificate.issued", "token.created"} {
		e := NewEvent(now, "run", action, "acme", "acme/tenant/1", map[string]any{"n": i})
		e.Seq, e.Prev = int64(i+1), prev
		e.Hash = e.Sum()
		prev = e.Hash
		all = append(all, e)
	}
	return all
}

func TestAChangedLogIsFoundAtTheEntry(t *testing.T) {
	verify := func(all []Event, seq int64, hash []byte) error {
		var c Chain
		for _, e := range all {
			if err := c.Add(e); err != nil {
				return err
			}
		}
		return c.End(seq, hash)
	}
	whole := events()
	last := whole[2].Hash
	if err := verify(whole, 3, last); err != nil {
		t.Errorf("an unchanged log: %v", err)
	}
	if err := verify(nil, 0, nil); err != nil {
		t.Errorf("an empty log: %v", err)
	}
	for _, c := range []struct {
		name   string
		change func([]Event) []Event
		seq    int64
		want   string
	}{
		{"an entry is missing", func(e []Event) []Event { return append(e[:1:1], e[2]) }, 2, "missing (the next one is 3)"},
		{"an entry was changed", func(e []Event) []Event { e[1].Detail = "{}"; return e }, 2,
			"was changed after it was written"},
		{"an entry was changed and hashed again", func(e []Event) []Event {
			e[1].Detail = "{}"
			e[1].Hash = e[1].Sum()
			return e
		}, 3, "does not follow the previous entry"},
		{"the end is missing", func(e []Event) []Event { return e[:2] }, 3, "the log ends at 2, but 3 entries were written"},
		{"everything is missing", func([]Event) []Event { return nil }, 1, "the log ends at 0, but 3 entries were written"},
		{"an entry was added", func(e []Event) []Event {
			more := NewEvent(now, "run", "x", "", "", nil)
			more.Seq, more.Prev = 4, last
			more.Hash = more.Sum()
			return append(e, more)
		}, 4, "is not the last entry that was written"},
		{"the last entry was replaced", func(e []Event) []Event {
			e[2].Actor = "x"
			e[2].Hash = e[2].Sum()
			return e
		}, 3, "is not the last entry that was written"},
	} {
		var problem *ChainError
		err := verify(c.change(events()), 3, last)
		if !errors.As(err, &problem) || problem.Seq != c.seq || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want entry %d: %s", c.name, err, c.seq, c.want)
		}
	}
}

func TestEveryFieldOfAnEventIsHashed(t *testing.T) {
	e := events()[1]
	seen := map[string]string{string(e.Sum()): "nothing"}
	for name, change := range map[string]func(*Event){
		"seq": func(e *Event) { e.Seq++ }, "at": func(e *Event) { e.At = e.At.Add(time.Microsecond) },
		"actor": func(e *Event) { e.Actor += "x" }, "action": func(e *Event) { e.Action += "x" },
		"tenant": func(e *Event) { e.Tenant += "x" }, "object": func(e *Event) { e.Object += "x" },
		"detail": func(e *Event) { e.Detail += "x" }, "prev": func(e *Event) { e.Prev = append(bytes.Clone(e.Prev), 'x') },
		"a character that moves to the next field": func(e *Event) { e.Actor, e.Action = e.Actor+"c", e.Action[1:] },
	} {
		other := changed(e, change)
		if before, ok := seen[string(other.Sum())]; ok {
			t.Errorf("%s: the same hash as with a change of %s", name, before)
		}
		seen[string(other.Sum())] = name
	}
	made := NewEvent(now, "a", "b", "c", "d", nil)
	if made.Detail != "{}" || !made.At.Equal(now.Truncate(time.Microsecond)) || made.Actor+made.Action+made.Tenant+
		made.Object != "abcd" {
		t.Errorf("%+v", made)
	}
	if made := NewEvent(now, "a", "b", "c", "d", func() {}); made.Detail != "{}" {
		t.Errorf("a detail that is not JSON is stored as %s", made.Detail)
	}
}

func TestTheScopeDecidesAboutMail(t *testing.T) {
	yes := ScopingProject{Answers: []Answer{{Question: "other", Yes: true}, {Question: MailForTasks, Yes: true}}}
	no := ScopingProject{Answers: []Answer{{Question: MailForTasks}}}
	if !InScope([]ScopingProject{no, yes}, MailForTasks) || InScope([]ScopingProject{no}, MailForTasks) ||
		InScope([]ScopingProject{yes}, "unknown") || InScope(nil, MailForTasks) {
		t.Error("InScope")
	}
	for i := range 8 {
		holds := []bool{i&1 != 0, i&2 != 0, i&4 != 0}
		conditions := MailConditions(Recipient{InScope: holds[0], Assigned: holds[1], Subscribed: holds[2]})
		if len(conditions) != 3 {
			t.Fatalf("%d conditions", len(conditions))
		}
		for j, c := range conditions {
			if c.Holds != holds[j] || (c.Fix.Format == "") != holds[j] || c.Name.Format == "" {
				t.Errorf("%v: condition %d is %+v", holds, j, c)
			}
		}
	}
	want := "Business Configuration > Implementation Projects > edit project scope > Questions > Communication and " +
		"Information Exchange > Business Process Management > Business Task Management > send e-mail for the task"
	if got := Questions[0].PathText(); got != want {
		t.Errorf("%s", got)
	}
}

func TestSecretsAreStoredAsTheirHash(t *testing.T) {
	if got := HashSecret("abc"); got != "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad" { // FIPS 180-4
		t.Errorf("%s", got)
	}
}

func TestAnAccountHasATimeZone(t *testing.T) {
	for zone, want := range map[string]string{"": "UTC", "Europe/Berlin": "Europe/Berlin", "Mars/Base": "UTC"} {
		if got := (Account{Zone: zone}).Location().String(); got != want {
			t.Errorf("%q: %s", zone, got)
		}
	}
}

func TestCertificatesHaveNamesAndKeysAreSealedForTheirAuthority(t *testing.T) {
	if ForTenant.Noun() != "Tenant Certificate" || ForMUser.Noun() != "M-user Certificate" {
		t.Errorf("%s, %s", ForTenant.Noun(), ForMUser.Noun())
	}
	if got := (Authority{ID: "a"}).SealContext(); got != "authority/a" {
		t.Errorf("%s", got)
	}
	for _, kind := range []KeyType{P256, P384, RSA2048, RSA3072} {
		if err := kind.Check(); err != nil {
			t.Error(err)
		}
	}
}
