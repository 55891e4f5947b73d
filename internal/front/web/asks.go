package web

import (
	"slices"
	"strconv"
	"time"

	"github.com/perennial-pki/perennial/client"
	"github.com/perennial-pki/perennial/tenancy"
)

// final states that an action cannot be undone.
func (v *view) final() string { return v.T("This cannot be undone.") }

// traffic returns a sentence about the messages that depend on something.
func (v *view) traffic(t client.Traffic) string {
	if t.Messages == 0 {
		return v.T("No message was sent in the last 30 days.")
	}
	return v.T("%s in the last 30 days, the latest %s.", v.Count(t.Messages, "message", "messages"), v.Away(t.LatestAt))
}

func (c *console) askDeleteAccount(v *view) (*question, error) {
	a, err := c.identity.Account(v.ctx(), v.r.PathValue("account"))
	if err != nil {
		return nil, v.explained(err)
	}
	sessions, err := c.identity.Sessions(v.ctx(), a)
	if err != nil {
		return nil, err
	}
	passkeys, err := c.identity.Passkeys(v.ctx(), a)
	if err != nil {
		return nil, err
	}
	var latest time.Time
	for _, s := range sessions {
		if s.SeenAt.After(latest) {
			latest = s.SeenAt
		}
	}
	q := &question{title: v.T("Delete the account %s?", a.Name), verb: v.T("Delete account"), back: "/accounts",
		undo: v.final() + " " + v.T("The person can create a new account with a new token.")}
	if latest.IsZero() {
		q.facts = append(q.facts, v.T("The account is not signed in at the moment."))
	} else {
		q.facts = append(q.facts, v.T("Signed in: %s, last active %s. They are signed out at once.",
			v.Count(len(sessions), "browser", "browsers"), v.Away(latest)))
	}
	if len(passkeys) > 0 {
		q.facts = append(q.facts, v.T("Deleted with it: %s.", v.Count(len(passkeys), "passkey", "passkeys")))
	}
	if a.Role == tenancy.RoleKeyUser {
		q.facts = append(q.facts, v.T("The key user %s of %s stays, and still gets tasks and mails.", a.KeyUser, a.Tenant))
	}
	return q, nil
}

func (c *console) askRevokeToken(v *view) (*question, error) {
	path := "/tokens/" + escape(v.r.PathValue("token"))
	t, err := get[client.Token](c, v, path)
	if err != nil || !t.RevokedAt.IsZero() { // what was created with it is ended afterwards
		return nil, err
	}
	created, err := get[client.Created](c, v, path+"/created")
	if err != nil {
		return nil, err
	}
	q := &question{title: v.T("Revoke the token %s?", t.Name), verb: v.T("Revoke token"), back: "/tokens",
		undo: v.final() + " " + v.T("To replace a token without an interruption, create a new one first, and revoke this "+
			"one when it is no longer used.")}
	if t.LastUsedAt.IsZero() {
		q.facts = append(q.facts, v.T("It was never used."))
	} else {
		q.facts = append(q.facts, v.T("It was last used %s. Programs that use it are refused at once.", v.Away(t.LastUsedAt)))
	}
	switch t.Role {
	case tenancy.RoleSender:
		sent, err := get[client.Traffic](c, v, in(t.Tenant, "traffic"))
		if err != nil {
			return nil, err
		}
		q.facts = append(q.facts, v.T("Senders of %s: %s", t.Tenant, v.traffic(sent)))
	case tenancy.RoleGateway:
		q.facts = append(q.facts, v.T("A gateway with this token gets no more certificates, and stops sending messages."))
	}
	if n := len(created.Accounts) + len(created.Tokens); n > 0 {
		q.facts = append(q.facts, v.T("Created with it and kept for now: %s. The next page offers to end them.",
			v.Count(n, "account or token", "accounts and tokens")))
	}
	return q, nil
}

func (c *console) askMoveImport(v *view) (*question, error) {
	path, verb := importsPath+"/"+escape(v.r.PathValue("import")), v.r.PathValue("verb")
	if verb != "apply" && verb != "undo" {
		return nil, notFound
	}
	i, err := get[client.Import](c, v, path)
	if err != nil {
		return nil, err
	}
	tenants := v.Count(i.Total, "tenant", "tenants")
	if verb == "undo" {
		return &question{title: v.T("Undo the import of %s?", tenants), verb: v.T("Undo import"), back: path,
			undo: v.final() + " " + v.T("To import them again, upload the files again."), facts: []string{
				v.T("Removed: what the import created, with %s and their certificates.", v.Count(i.Done, "tenant", "tenants")),
				v.T("It stops at the first tenant whose certificate was renewed, or that has sent a message."),
			}}, nil
	}
	q := &question{title: v.T("Import %s?", tenants), verb: v.T("Start import"), back: path, calm: true,
		undo: v.T("You can undo it until a certificate is renewed or a message is sent."),
		facts: []string{
			v.T("Their people and arrangements are created, and the background job renews their certificates from now on."),
		}}
	renewals := 0
	for _, run := range i.Runs {
		renewals += run.Renewals
	}
	if len(i.Runs) > 0 {
		q.facts = append(q.facts, v.T("First renewals: %s, from %s on.",
			v.Count(renewals, "certificate", "certificates"), v.Day(i.Runs[0].At)))
	}
	if i.Changing > 0 {
		q.facts = append(q.facts, v.T("First renewals that change what receivers may check: %s.",
			v.Count(i.Changing, "certificate", "certificates")))
	}
	return q, nil
}

func (c *console) askRevokeCalendar(v *view) (*question, error) {
	return &question{title: v.T("Revoke the calendar address?"), verb: v.T("Revoke address"), back: "/account",
		facts: []string{v.T("Calendars that have subscribed to it get no more dates.")},
		undo:  v.final() + " " + v.T("A new address must be added to each calendar.")}, nil
}

func (c *console) askRemovePasskey(v *view) (*question, error) {
	all, err := c.identity.Passkeys(v.ctx(), v.account)
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(all, func(p tenancy.Passkey) bool { return p.ID == v.r.PathValue("passkey") })
	if i < 0 {
		return nil, nil
	}
	q := &question{title: v.T("Remove the passkey %s?", all[i].Name), verb: v.T("Remove passkey"), back: "/account",
		undo:  v.final() + " " + v.T("You can add a passkey again on the device."),
		facts: []string{v.T("The device can no longer sign in with it."), v.T("Passkeys that remain: %d.", len(all)-1)}}
	if !all[i].UsedAt.IsZero() {
		q.facts = append(q.facts, v.T("Last used %s.", v.Away(all[i].UsedAt)))
	}
	return q, nil
}

func (c *console) askRemovePerson(v *view) (*question, error) {
	name, user := v.r.PathValue("tenant"), v.r.PathValue("user")
	if _, err := get[client.KeyUser](c, v, in(name, "key-users", user)); err != nil {
		return nil, err
	}
	open := 0
	for _, state := range []tenancy.TaskState{tenancy.TaskOpen, tenancy.TaskInProcess} {
		tasks, err := get[client.Page[client.Task]](c, v, in(name, "tasks")+"?limit=500&user="+escape(user)+"&state="+
			string(state))
		if err != nil {
			return nil, err
		}
		open += len(tasks.Items)
	}
	all, err := get[client.Page[client.KeyUser]](c, v, in(name, "key-users")+"?limit=2")
	if err != nil {
		return nil, err
	}
	q := &question{title: v.T("Remove the key user %s?", user), verb: v.T("Remove key user"), back: in(name, "people"),
		undo: v.final() + " " + v.T("If you add the person again, they get new tasks only."),
		facts: []string{
			v.T("Deleted: all tasks of %s, of which are not completed: %s.", user, v.Count(open, "task", "tasks")),
			v.T("Accounts and tokens of %s stop working at once.", user),
		}}
	if len(all.Items) == 1 {
		q.facts = append(q.facts, v.T("%s is the only key user. Without one, no tasks are created.", user))
	}
	return q, nil
}

// askRenew asks before a renewal that revokes the certificates in use.
func (c *console) askRenew(v *view) (*question, error) {
	reason := v.r.PostFormValue("reason")
	if reason != "lost" && reason != "compromised" {
		return nil, nil
	}
	name, purpose := v.r.PathValue("tenant"), tenancy.Purpose(v.r.PathValue("purpose"))
	using, err := c.presenting(v, name, purpose)
	if err != nil {
		return nil, err
	}
	sent, err := get[client.Traffic](c, v, in(name, "traffic"))
	if err != nil {
		return nil, err
	}
	title := v.T("Revoke and replace the lost %s?", v.purpose(purpose))
	if reason == "compromised" {
		title = v.T("Revoke and replace the compromised %s?", v.purpose(purpose))
	}
	return &question{title: title, verb: v.T("Revoke and renew"), back: in(name, "certificates"), undo: v.final(),
		facts: []string{
			v.T("The certificates in use are revoked at once, and their keys are destroyed."),
			v.T("Affected: %s. Receivers that do not accept the new certificate yet refuse every message until it is "+
				"installed there.", v.Count(len(using), "arrangement", "arrangements")),
			v.T("Messages of %s: %s", name, v.traffic(sent)),
		}}, nil
}

// presenting returns the arrangements of a tenant that present the certificate of a credential.
func (c *console) presenting(v *view, tenant string, p tenancy.Purpose) (some []client.Arrangement, err error) {
	all, err := client.List[client.Arrangement](v.caller(), c.api, in(tenant, "arrangements"))
	for _, a := range all {
		if a.Authentication == tenancy.ClientCertificate && (a.Credential == p ||
			a.Credential == "" && p == tenancy.ForTenant) {
			some = append(some, a)
		}
	}
	return some, refused(err)
}

// askRevokeGeneration asks before one generation is revoked.
func (c *console) askRevokeGeneration(v *view) (*question, error) {
	name, purpose := v.r.PathValue("tenant"), tenancy.Purpose(v.r.PathValue("purpose"))
	path := in(name, "certificates")
	revoked, err := get[client.Certificate](c, v, in(name, "certificates", string(purpose), v.r.PathValue("generation")))
	if err != nil {
		return nil, err
	}
	using, err := c.presenting(v, name, purpose)
	if err != nil {
		return nil, err
	}
	using = slices.DeleteFunc(using, func(a client.Arrangement) bool {
		return a.Generation != revoked.Generation
	})
	title := v.T("Generation %d is lost: revoke it?", revoked.Generation)
	if v.r.PostFormValue("reason") == "compromised" {
		title = v.T("Generation %d is compromised: revoke it?", revoked.Generation)
	}
	affected := v.T("No arrangement presents it, so no message is affected.")
	if len(using) > 0 {
		affected = v.T("Affected: %s. Their messages use another valid generation at once. A receiver that accepts none "+
			"refuses every message until a new one is installed there.", v.Count(len(using), "arrangement", "arrangements"))
	}
	return &question{title: title, verb: v.T("Revoke generation"), back: path, undo: v.final(),
		facts: []string{
			v.T("The certificate is revoked at once, and its key is destroyed. If it is the newest one, it is renewed."),
			affected,
		}}, nil
}

func (c *console) askRepeatRequest(v *view) (*question, error) {
	return &question{title: v.T("Send another request to the CA?"), verb: v.T("Request again with another key"),
		back:  in(v.r.PathValue("tenant"), "certificates"),
		facts: []string{v.T("The key of the present request is destroyed. A certificate for it can no longer be used.")},
		undo:  v.final()}, nil
}

func (c *console) askDeleteArrangement(v *view) (*question, error) {
	name := v.r.PathValue("arrangement")
	sent, err := get[client.Traffic](c, v, v.of("/traffic"))
	if err != nil {
		return nil, err
	}
	return &question{title: v.T("Delete the arrangement %s?", name), verb: v.T("Delete arrangement"), back: v.of(""),
		name: name, undo: v.final(), facts: []string{
			v.T("Messages through it: %s", v.traffic(sent)),
			v.T("From now on they are refused. Parked messages, links and the feed of the arrangement are deleted."),
			v.T("Everything that is known about the receiver's certificates is deleted."),
		}}, nil
}

func (c *console) askRevokeLink(v *view) (*question, error) {
	links, err := get[client.Page[client.Link]](c, v, v.of("/rollover/links"))
	if err != nil {
		return nil, err
	}
	for _, l := range links.Items {
		if l.ID == v.r.PathValue("link") {
			return v.askLink(v.actor(l.CreatedBy), l.CreatedAt, l.UsedAt, v.of("")), nil
		}
	}
	return nil, notFound
}

func (c *console) askRevokeWatchLink(v *view) (*question, error) {
	path := in(v.r.PathValue("tenant"), "watched", v.r.PathValue("watched"))
	links, err := get[client.Page[client.WatchLink]](c, v, path+"/links")
	if err != nil {
		return nil, err
	}
	for _, l := range links.Items {
		if l.ID == v.r.PathValue("link") {
			return v.askLink(v.actor(l.CreatedBy), l.CreatedAt, l.UsedAt, path), nil
		}
	}
	return nil, notFound
}

// askLink asks before a link for an administrator is revoked.
func (v *view) askLink(by string, at, used time.Time, back string) *question {
	q := &question{title: v.T("Revoke the link?"), verb: v.T("Revoke link"), back: back,
		undo: v.final() + " " + v.T("You can create another link, which has another address."), facts: []string{
			v.T("Created by %s, %s. Whoever opens it sees that it is no longer valid.", by, v.Away(at))}}
	if !used.IsZero() {
		q.facts = append(q.facts, v.T("The certificate was reported as installed through a link %s.", v.Away(used)))
	}
	return q
}

func (c *console) askRevokeFeed(v *view) (*question, error) {
	return c.askFeed(v, v.T("Revoke the feed of %s?", v.r.PathValue("arrangement")), v.T("Revoke feed"))
}

func (c *console) askReaddressFeed(v *view) (*question, error) {
	return c.askFeed(v, v.T("Give the feed of %s a new address?", v.r.PathValue("arrangement")), v.T("New address"))
}

// askFeed asks before the address of a feed ends.
func (c *console) askFeed(v *view, title, verb string) (*question, error) {
	f, err := get[client.Feed](c, v, v.of("/feed"))
	if err != nil {
		return nil, err
	}
	return &question{title: title, verb: verb, back: v.of(""), undo: v.final(),
		facts: v.endOfFeed(f.FetchedAt, f.FetchedBy)}, nil
}

// endOfFeed states the effect of ending the address of a feed. fetchedAt is zero if it was never fetched.
func (v *view) endOfFeed(fetchedAt time.Time, by string) []string {
	if fetchedAt.IsZero() {
		return []string{v.T("The present address was never fetched.")}
	}
	return []string{
		v.T("The present address was last fetched %s, by %s.", v.Away(fetchedAt), by),
		v.T("Receivers that follow it keep the certificates that they have, and miss the next renewal until they have the " +
			"new address."),
	}
}

func (c *console) askRemoveWatched(v *view) (*question, error) {
	name, watched := v.r.PathValue("tenant"), v.r.PathValue("watched")
	w, err := get[client.Watched](c, v, in(name, "watched", watched))
	if err != nil {
		return nil, err
	}
	return &question{title: v.T("Stop watching %s?", watched), verb: v.T("Stop watching"), undo: v.final(),
		back: in(name, "watched", watched), facts: []string{
			v.T("Deleted: its history of %s, and its links. Tasks and mails remain.",
				v.Count(len(w.History), "certificate", "certificates")),
			v.T("No one is warned before it is renewed, or if the renewal does not come. Systems that know it: %s.",
				strconv.Itoa(len(w.Systems))),
		}}, nil
}

// askDecideGuarded asks before a certificate of a partner is refused.
func (c *console) askDecideGuarded(v *view) (*question, error) {
	if v.r.PostFormValue("standing") != client.GuardDeclined {
		return nil, nil
	}
	partner := v.r.PostFormValue("partner")
	all, err := client.List[client.GuardCertificate](v.caller(), c.api, guardPath+"/certificates")
	if err != nil {
		return nil, refused(err)
	}
	others, found := 0, false
	for _, g := range all {
		switch {
		case g.Partner != partner:
		case g.Fingerprint == v.r.PathValue("fingerprint"):
			found = true
		case g.Standing == client.GuardAccepted && v.now.Before(g.NotAfter):
			others++
		}
	}
	if !found {
		return nil, notFound
	}
	q := &question{title: v.T("Refuse the certificate of %s?", partner), verb: v.T("Refuse certificate"), back: guardPath,
		undo: v.T("You can accept it again at any time."), facts: []string{
			v.T("Calls with it are refused at once. SHA-256: %s", v.r.PathValue("fingerprint")),
			v.T("Other certificates of the partner that are accepted: %d.", others)}}
	if others == 0 {
		q.facts[1] = v.T("The partner has no other accepted certificate, so all of its calls are refused.")
	}
	return q, nil
}
