package main

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"net/url"

	"github.com/perennial-pki/perennial/client"
	"github.com/perennial-pki/perennial/tenancy"
)

type tenantCmd struct {
	Create tenantCreateCmd `cmd:"" help:"Create a tenant with its first certificates."`
	List   tenantListCmd   `cmd:"" help:"List tenants. perennial worklist searches and sorts them."`
	Show   tenantShowCmd   `cmd:"" help:"Show a tenant."`
	Set    tenantSetCmd    `cmd:"" help:"Change a tenant."`
}

type tenantCreateCmd struct {
	remote
	Name        string `arg:"" help:"a-z, 0-9 and -, for example acme."`
	DisplayName string `help:"Name shown to people (default: the name)."`
	KeyType     string `enum:"p256,p384,p521,rsa2048,rsa3072,rsa4096,ed25519" default:"p256" help:"Key type of its certificates: p256, p384, p521, rsa2048, rsa3072, rsa4096 or ed25519."`
}

func (c *tenantCreateCmd) Run(e env) error {
	t, err := post[client.Tenant](&c.remote, "/tenants", client.Tenant{Name: c.Name, DisplayName: c.DisplayName,
		KeyType: tenancy.KeyType(c.KeyType)})
	if err != nil {
		return err
	}
	return showTenant(&c.remote, e, t)
}

func showTenant(c *remote, e env, t client.Tenant) error {
	rows := []any{"name", t.Name, "display name", t.DisplayName, "key type", t.KeyType, "created", when(t.CreatedAt)}
	if t.MailsAdministrators {
		rows = append(rows, "administrators", "are mailed")
	}
	return c.show(e, t, rows...)
}

type tenantListCmd struct{ searched }

func (c *tenantListCmd) Run(e env) error {
	return list(&c.listing, e, c.search("/tenants"), "NAME\tDISPLAY NAME\tKEY TYPE\tCREATED",
		c.none("No tenants yet. Create one: perennial tenant create acme"),
		func(t client.Tenant) []any { return []any{t.Name, t.DisplayName, t.KeyType, when(t.CreatedAt)} })
}

type tenantShowCmd struct {
	remote
	Name string `arg:"" field:"tenant"`
}

func (c *tenantShowCmd) Run(e env) error {
	t, err := get[client.Tenant](&c.remote, in(c.Name))
	if err != nil {
		return err
	}
	return showTenant(&c.remote, e, t)
}

type tenantSetCmd struct {
	remote
	Name        string `arg:"" field:"tenant"`
	DisplayName string `help:"Name shown to people."`
	KeyType     string `enum:",p256,p384,p521,rsa2048,rsa3072,rsa4096,ed25519" default:"" help:"Key type of its next certificates."`

	MailAdministrators *bool `negatable:"" field:"mails_administrators" help:"Whether the service mails the administrators of its receivers about its certificates."`
}

func (c *tenantSetCmd) Run(e env) error {
	changed, err := change(&c.remote, in(c.Name), func(t *client.TenantChange) error {
		if c.DisplayName != "" {
			t.DisplayName = c.DisplayName
		}
		if c.KeyType != "" {
			t.KeyType = tenancy.KeyType(c.KeyType)
		}
		if c.MailAdministrators != nil {
			t.MailsAdministrators = c.MailAdministrators
		}
		return nil
	})
	if err != nil {
		return err
	}
	t := client.Tenant{Name: c.Name, DisplayName: changed.DisplayName, KeyType: changed.KeyType}
	if changed.MailsAdministrators != nil {
		t.MailsAdministrators = *changed.MailsAdministrators
	}
	return showTenant(&c.remote, e, t)
}

type userCmd struct {
	Create      userCreateCmd      `cmd:"" help:"Add a key user."`
	List        userListCmd        `cmd:"" help:"List key users."`
	Set         userSetCmd         `cmd:"" help:"Change the full name, the address, or the language and time zone of mails."`
	Delete      userDeleteCmd      `cmd:"" help:"Delete a key user with their tasks and tokens."`
	Subscribe   userSubscribeCmd   `cmd:"" help:"Subscribe to Task: get mails, starting with the next notice."`
	Unsubscribe userUnsubscribeCmd `cmd:"" help:"Stop mails about tasks."`
}

// oneUser names a key user.
type oneUser struct {
	remote
	Tenant string `arg:""`
	Name   string `arg:"" field:"user"`
}

type userCreateCmd struct {
	oneUser
	readerFlags
	Email string `arg:""`
}

// readerFlags describe a key user as the reader of mails.
type readerFlags struct {
	DisplayName string `help:"Full name, for the salutation of mails."`
	Language    string `enum:",en,de" default:"" help:"Language of mails: en or de (default: that of the user's account or of the installation)."`
	Zone        string `placeholder:"NAME" help:"Time zone of mails, such as Europe/Berlin (default: that of the user's account, or UTC)."`
}

func (c *userCreateCmd) Run(e env) error {
	u, err := post[client.KeyUser](&c.remote, in(c.Tenant, "key-users"), client.KeyUser{Name: c.Name, Email: c.Email,
		DisplayName: c.DisplayName, Language: c.Language, Zone: c.Zone})
	if err != nil {
		return err
	}
	return showUser(&c.remote, e, u)
}

func showUser(c *remote, e env, u client.KeyUser) error {
	rows := []any{"name", u.Name}
	for _, field := range []struct{ name, value string }{{"full name", u.DisplayName}, {"email", u.Email},
		{"language", u.Language}, {"zone", u.Zone}} {
		if field.value != "" {
			rows = append(rows, field.name, field.value)
		}
	}
	return c.show(e, u, append(rows, "subscribed", when(u.SubscribedAt))...)
}

type userSetCmd struct {
	oneUser
	readerFlags
	Email string `help:"E-mail address."`
}

func (c *userSetCmd) Run(e env) error {
	path := in(c.Tenant, "key-users", c.Name)
	if _, err := change(&c.remote, path, func(u *client.KeyUserChange) error {
		u.Email = cmp.Or(c.Email, u.Email)
		keep(&u.DisplayName, c.DisplayName)
		keep(&u.Language, c.Language)
		keep(&u.Zone, c.Zone)
		return nil
	}); err != nil {
		return err
	}
	u, err := get[client.KeyUser](&c.remote, path)
	if err != nil {
		return err
	}
	return showUser(&c.remote, e, u)
}

// keep sets a field to the value of a flag, unless the flag was not given.
func keep(field **string, flag string) {
	if flag != "" {
		*field = &flag
	}
}

type userListCmd struct {
	searched
	Tenant string `arg:""`
}

func (c *userListCmd) Run(e env) error {
	return list(&c.listing, e, c.search(in(c.Tenant, "key-users")), "NAME\tEMAIL\tSUBSCRIBED",
		c.none("No key users, so tasks reach no one. Add one: perennial user create "+c.Tenant+" alice alice@example.com"),
		func(u client.KeyUser) []any { return []any{u.Name, u.Email, when(u.SubscribedAt)} })
}

type userDeleteCmd struct{ oneUser }

func (c *userDeleteCmd) Run(e env) error {
	return c.remove(e, in(c.Tenant, "key-users", c.Name),
		"The key user "+c.Name+" of "+c.Tenant+" is deleted, with their tasks and tokens.")
}

type userSubscribeCmd struct{ oneUser }

func (c *userSubscribeCmd) Run(e env) error { return c.subscription(e, http.MethodPut) }

type userUnsubscribeCmd struct{ oneUser }

func (c *userUnsubscribeCmd) Run(e env) error { return c.subscription(e, http.MethodDelete) }

func (c *oneUser) subscription(e env, method string) error {
	u, err := send[client.KeyUser](&c.remote, client.Request{Method: method, Path: in(c.Tenant, "key-users", c.Name,
		"subscription")})
	if err != nil {
		return err
	}
	return showUser(&c.remote, e, u)
}

type contactCmd struct {
	List contactListCmd `cmd:"" help:"List IT contacts; the first is the designated one."`
	Set  contactSetCmd  `cmd:"" help:"Set the IT contacts, in their order."`
}

type contactListCmd struct {
	listing
	Tenant string `arg:""`
}

func (c *contactListCmd) Run(e env) error {
	n := 0
	return list(&c.listing, e, in(c.Tenant, "it-contacts"), "\tNAME\tEMAIL",
		"No IT contacts: mails about the M-user are not sent.", func(v client.ITContact) []any {
			n++
			mark := ""
			if n == 1 {
				mark = "designated"
			}
			return []any{mark, v.Name, v.Email}
		})
}

type contactSetCmd struct {
	remote
	Tenant   string   `arg:""`
	Contacts []string `arg:"" field:"body" help:"Each as \"Name <address>\", the designated one first. The language and the time zone of mails may follow: \"Ina Ivers <ina@example.com> de Europe/Berlin\"."`
}

func (c *contactSetCmd) Run(e env) error {
	var contacts []client.ITContact
	for _, text := range c.Contacts {
		contact, err := client.ParseContact(text)
		if err != nil {
			return err
		}
		contact.Name = cmp.Or(contact.Name, contact.Email)
		contacts = append(contacts, contact)
	}
	path := in(c.Tenant, "it-contacts")
	current, err := c.exchange(client.Request{Method: http.MethodGet, Path: path})
	if err != nil {
		return err
	}
	if _, err := put[client.Page[client.ITContact]](&c.remote, path, current.ETag(), contacts); err != nil {
		return err
	}
	return (&contactListCmd{listing{remote: c.remote}, c.Tenant}).Run(e)
}

type mailCheckCmd struct {
	remote
	Tenant string `arg:""`
	User   string `arg:""`
}

func (c *mailCheckCmd) Run(e env) error {
	v, err := get[client.MailCheck](&c.remote, in(c.Tenant, "mail-check")+"?user="+url.QueryEscape(c.User))
	if err != nil {
		return err
	}
	unknown, err := c.unknown()
	if err != nil {
		return err
	}
	if c.Output == "json" {
		return errors.Join(writeJSON(e.out, v), unknown)
	}
	verdict := "gets no mail"
	if v.GetsMail {
		verdict = "gets mail, starting with the next notice"
	}
	fmt.Fprintf(e.out, "%s %s\n", printable(v.User), verdict)
	for _, cond := range v.Conditions {
		mark := "yes"
		if !cond.Holds {
			mark = "NO "
		}
		fmt.Fprintf(e.out, "  %s  %s\n", mark, cond.Condition)
		if cond.Fix != "" {
			fmt.Fprintf(e.out, "       %s\n", cond.Fix)
		}
	}
	for _, d := range v.Deliveries {
		fmt.Fprintf(e.out, "  %s  %s: %s %s\n", moment(d.CreatedAt), d.State, printable(d.Subject), printable(d.LastError))
	}
	return unknown
}

// unknown returns a finding if the tenant has no such key user, whose name may be misspelt.
func (c *mailCheckCmd) unknown() (finds error, err error) {
	_, err = get[client.KeyUser](&c.remote, in(c.Tenant, "key-users", c.User))
	if refused := (*client.Error)(nil); errors.As(err, &refused) && refused.Status == http.StatusNotFound {
		return &finding{exitFailed, fmt.Sprintf("%s has no key user %s: perennial user list %s lists them", c.Tenant, c.User,
			c.Tenant)}, nil
	}
	return nil, err
}

type scopeCmd struct {
	Show   scopeShowCmd   `cmd:"" help:"Show the questions of the tenant's scope."`
	Answer scopeAnswerCmd `cmd:"" help:"Answer whether key users get mails about tasks."`

	AnswerAll scopeAnswerAllCmd `cmd:"" help:"Answer this for all tenants that have not answered it."`
	Default   scopeDefaultCmd   `cmd:"" help:"Show or set the answer that new tenants begin with."`
}

type scopeShowCmd struct {
	remote
	Tenant string `arg:""`
}

func (c *scopeShowCmd) Run(e env) error {
	projects, err := all[client.Project](&c.remote, in(c.Tenant, "scope"))
	if err != nil {
		return err
	}
	if c.Output == "json" {
		return writeJSON(e.out, projects)
	}
	if len(projects) == 0 {
		_, err := fmt.Fprintln(e.out, "No implementation projects.")
		return err
	}
	for _, p := range projects {
		for _, q := range p.Questions {
			fmt.Fprintf(e.out, "%s\n  %s\n  %s\n  answer: %s", printable(p.Name), q.Path, q.Text, q.Answer)
			if q.AnsweredBy != "" {
				fmt.Fprintf(e.out, " (%s, %s)", printable(q.AnsweredBy), moment(q.AnsweredAt))
			}
			fmt.Fprintln(e.out)
		}
	}
	return nil
}

type scopeAnswerCmd struct {
	remote
	Tenant  string `arg:""`
	Answer  string `arg:"" enum:"yes,no" help:"yes or no."`
	Project string `default:"First Implementation" help:"The implementation project."`
}

func (c *scopeAnswerCmd) Run(e env) error {
	if _, err := put[client.Project](&c.remote, in(c.Tenant, "scope", c.Project, tenancy.MailForTasks), "",
		map[string]string{"answer": c.Answer}); err != nil {
		return err
	}
	return (&scopeShowCmd{c.remote, c.Tenant}).Run(e)
}

type scopeAnswerAllCmd struct {
	remote
	Answer string `arg:"" enum:"yes,no" help:"Whether key users of these tenants get mails about tasks: yes or no."`
}

func (c *scopeAnswerAllCmd) Run(e env) error {
	a, err := post[client.Answered](&c.remote, "/scope/answers", map[string]string{"answer": c.Answer})
	if err != nil {
		return err
	}
	return c.show(e, a, "tenants", a.Tenants, "answer", c.Answer)
}

type scopeDefaultCmd struct {
	remote
	Answer string `arg:"" optional:"" default:"" enum:",yes,no,unanswered" help:"yes, no or unanswered."`
}

func (c *scopeDefaultCmd) Run(e env) error {
	const path = "/scope/default"
	var a client.ScopeAnswer
	var err error
	if c.Answer == "" {
		a, err = get[client.ScopeAnswer](&c.remote, path)
	} else {
		a, err = put[client.ScopeAnswer](&c.remote, path, "", map[string]string{"answer": c.Answer})
	}
	if err != nil {
		return err
	}
	return c.show(e, a, "new tenants", a.Answer)
}
