package web

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/perennial-pki/perennial/client"
	"github.com/perennial-pki/perennial/rollover"
	"github.com/perennial-pki/perennial/tenancy"
)

func (c *console) board(v *view) error {
	name := v.r.PathValue("tenant")
	t, err := get[client.Tenant](c, v, in(name))
	if err != nil {
		return err
	}
	v.tenant = &t
	list, err := get[client.Page[client.Rollover]](c, v, in(name, "rollovers"))
	if err != nil {
		return err
	}
	return c.show(v, http.StatusOK, v.T("Roll-overs"), boardPage(v, t, list.Items))
}

// A roll holds the content of the page of one arrangement.
type roll struct {
	tenant      string
	arrangement client.Arrangement
	receiver    client.Receiver
	party       *client.ReceiverCounterparty // nil if the receiver is linked to none
	rollover    *client.Rollover             // nil if it presents no certificate
	newest      client.Certificate
	links       []client.Link
	messages    []client.Message
	diagnosis   *client.Diagnosis
	feed        *client.Feed // nil if it has none
	// administrator is that of the receiver.
	administrator *client.Administrator
}

// newestOf returns the knowledge about the newest generation.
func newestOf(r client.Rollover) client.RolloverKnowledge { return r.Generations[len(r.Generations)-1] }

// short returns the name of an arrangement without its tenant.
func short(name string) string {
	_, after, _ := strings.Cut(name, "/")
	return after
}

func tenantOf(name string) string {
	before, _, _ := strings.Cut(name, "/")
	return before
}

// arrangementPath returns the path of the page of an arrangement with a name such as acme/crm-to-erp.
func arrangementPath(name string) string { return in(tenantOf(name), "arrangements", short(name)) }

func (c *console) arrangement(v *view) error { return c.showArrangement(v, roll{}) }

func (c *console) showArrangement(v *view, r roll) (err error) {
	r.tenant = v.r.PathValue("tenant")
	path := in(r.tenant, "arrangements", v.r.PathValue("arrangement"))
	if r.arrangement, err = get[client.Arrangement](c, v, path); err != nil {
		return err
	}
	if r.receiver, err = get[client.Receiver](c, v, in(r.tenant, "receivers", r.arrangement.Receiver)); err != nil {
		return err
	}
	if r.party, err = c.counterpartyOf(v, r.tenant, r.receiver.Name); err != nil {
		return err
	}
	if r.arrangement.Authentication == tenancy.ClientCertificate {
		standing, err := get[client.Rollover](c, v, path+"/rollover")
		if err != nil {
			return err
		}
		r.rollover = &standing
		newest := strconv.Itoa(newestOf(standing).Generation)
		if r.newest, err = get[client.Certificate](c, v, in(r.tenant, "certificates", string(r.arrangement.Credential),
			newest)); err != nil {
			return err
		}
		links, err := get[client.Page[client.Link]](c, v, path+"/rollover/links")
		if err != nil {
			return err
		}
		r.links = links.Items
		if r.administrator, err = c.administratorOf(v, r.tenant, r.receiver.Name); err != nil {
			return err
		}
		if r.feed, err = c.feedOf(v, path); err != nil {
			return err
		}
	}
	messages, err := get[client.Page[client.Message]](c, v, path+"/messages?limit=10")
	if err != nil {
		return err
	}
	r.messages = messages.Items
	return c.show(v, http.StatusOK, r.arrangement.Name, arrangementPage(v, r))
}

// of returns the path of the arrangement that the page is about, followed by the rest.
func (v *view) of(rest string) string {
	return in(v.r.PathValue("tenant"), "arrangements", v.r.PathValue("arrangement")) + rest
}

func (c *console) probe(v *view) error {
	probed, err := post[client.Probed](c, v, v.of("/rollover/probe"), nil)
	if err != nil {
		return err
	}
	var parts []string
	for _, r := range probed.Results {
		if r.Generation == 0 {
			parts = append(parts, v.T("without a certificate: %s", r.Answer))
			continue
		}
		parts = append(parts, v.T("generation %d: %s (%s)", r.Generation, v.result(r.Result), r.Answer))
	}
	return c.done(v, v.of(""), v.T("The receiver was tested. %s", strings.Join(parts, "; ")+"."))
}

func (v *view) result(result string) string {
	switch result {
	case "accepted":
		return v.T("accepted")
	case "refused":
		return v.T("refused")
	}
	return v.T("no clear answer")
}

func (c *console) choose(v *view) error {
	return c.decide(v, "choose", func(n int) string { return v.T("Generation %d is used from now on.", n) })
}

// confirm reports that the receiver's administrator has installed a generation.
func (c *console) confirm(v *view) error {
	return c.decide(v, "confirm", func(n int) string {
		return v.T("Recorded: generation %d is installed. Messages or a test will show whether it is accepted.", n)
	})
}

func (c *console) decide(v *view, verb string, flash func(generation int) string) error {
	n, err := strconv.Atoi(v.r.PostFormValue("generation"))
	if err != nil {
		return &refusal{http.StatusUnprocessableEntity, v.T("Choose a generation.")}
	}
	if _, err := post[client.Rollover](c, v, v.of("/rollover/"+verb), map[string]int{"generation": n}); err != nil {
		return err
	}
	return c.done(v, v.of(""), flash(n))
}

// link leads to the page of the arrangement, which shows the new link once.
func (c *console) link(v *view) error {
	made, err := post[client.Link](c, v, v.of("/rollover/links"), nil)
	if err != nil {
		return err
	}
	return c.showOnce(v, once{Page: v.of(""), Kind: onceLink, Text: made.URL})
}

func (c *console) revokeLink(v *view) error {
	if _, err := c.do(v, client.Request{Method: http.MethodDelete,
		Path: v.of("/rollover/links/" + escape(v.r.PathValue("link")))}); err != nil {
		return err
	}
	return c.done(v, v.of(""), v.T("The link has been revoked."))
}

func (c *console) diagnose(v *view) error {
	d, err := post[client.Diagnosis](c, v, v.of("/diagnosis"), nil)
	if err != nil {
		return err
	}
	return c.showArrangement(v, roll{diagnosis: &d})
}

// addRefusalRule adds a proposed rule to the arrangement.
func (c *console) addRefusalRule(v *view) error {
	rule, err := tenancy.ParseRefusalRule(v.r.PostFormValue("rule"))
	if err != nil {
		return &refusal{http.StatusUnprocessableEntity, err.Error()}
	}
	if err := change(c, v, v.of(""), func(a *client.Arrangement) {
		if !slices.Contains(a.Egress.RefusalRules, rule) {
			a.Egress.RefusalRules = append(a.Egress.RefusalRules, rule)
		}
	}); err != nil {
		return err
	}
	return c.done(v, v.of(""), v.T("The rule has been added: %s", rule))
}

func (c *console) setStrategy(v *view) error {
	strategy := tenancy.Strategy(v.r.PostFormValue("strategy"))
	if err := change(c, v, v.of(""), func(a *client.Arrangement) { a.Strategy = strategy }); err != nil {
		return err
	}
	return c.done(v, v.of(""), v.T("The strategy is now %s.", strategy))
}

func (c *console) messages(v *view) error {
	list, err := paged[client.Message](c, v, v.of("/messages"))
	if err != nil {
		return err
	}
	return c.show(v, http.StatusOK, v.T("Messages"), messagesPage(v, list))
}

// A step is one step of a roll-over, from the announcement to settled.
type step struct {
	text       string
	past, here bool
}

// steps returns the steps of a roll-over and marks the current one.
func (v *view) steps(r client.Rollover) []step {
	names := []string{v.T("Announced"), v.T("Receiver ready"), v.T("Cut over"), v.T("Settled")}
	at := map[string]int{"announced": 0, "refused": 0, "claimed": 0, "trusted": 1, "regressed": 1, "cut-over": 2,
		"settled": 3}[string(r.State)]
	steps := make([]step, len(names))
	for i, name := range names {
		steps[i] = step{name, i < at, i == at}
	}
	return steps
}

// advice returns the next step for the reader.
func (v *view) advice(r roll) string {
	roll := *r.rollover
	newest := newestOf(roll)
	switch {
	case roll.Exposed && newest.Verdict == rollover.Refused:
		return v.T("Messages are sent with generation %d only, and the receiver refuses it. Create a link below and send it "+
			"to its administrator now.", newest.Generation)
	case roll.Exposed:
		return v.T("Messages are sent with generation %d only, and the receiver is not known to accept it. Test the "+
			"receiver, or create a link below and send it to its administrator.", newest.Generation)
	case roll.AtRisk && roll.Renewal != nil && roll.Renewal.Survival == tenancy.Survives &&
		newest.Verdict == rollover.Unknown:
		return v.T("The receiver checks %s. That stays the same, so nothing has to be installed. The test confirms this.",
			v.identifies(roll.Renewal.IdentifiesBy))
	case newest.Verdict == rollover.Unclear && roll.AtRisk && r.arrangement.Egress.Probe.Method != "":
		return v.T("The test proves nothing: %s. Choose another test (now %s) that the receiver answers only if it accepts "+
			"the certificate, or create a link below and send it to its administrator.", newest.Answer,
			r.arrangement.Egress.Probe.Method+" "+r.arrangement.Egress.Probe.Path)
	case newest.Verdict == rollover.Unclear && newest.Source == rollover.Traffic && roll.AtRisk:
		return v.T("Messages with generation %d got an answer that may be a refusal: %s. Give the arrangement a test "+
			"path, or add the rule.", newest.Generation, newest.Answer)
	case roll.State == rollover.Claimed:
		return v.T("A person reports generation %d as installed, but nothing proves it yet. Test the receiver. Messages "+
			"that it refuses are sent with an older generation.", newest.Generation)
	case roll.AtRisk && roll.State == "cut-over":
		return v.T("Generation %d is tried first, and the receiver is not known to accept it. Until %s, messages that it "+
			"refuses are sent with an older generation. Test the receiver, or create a link below and send it to its "+
			"administrator.", newest.Generation, v.Day(roll.Deadline))
	}
	switch roll.State {
	case "settled":
		return v.T("Nothing to do: messages are sent with generation %d.", roll.Presents)
	case "cut-over":
		return v.T("Nothing to do: generation %d is in use. The old one stays available until the receiver has not "+
			"needed it for 28 days.", roll.Presents)
	case "trusted":
		if roll.Strategy == tenancy.Manual {
			return v.T("The receiver accepts generation %d. Switch to it whenever you like.", newest.Generation)
		}
		return v.T("Nothing to do: the receiver accepts generation %d. It will be used from %s on.", newest.Generation,
			v.Day(newest.NoticedUntil))
	case "regressed":
		return v.T("The receiver accepts only the old certificate again, and messages use it. Ask its administrator "+
			"to install generation %d again.", newest.Generation)
	case "refused":
		return v.T("The receiver does not accept generation %d yet. Create a link below and send it to its "+
			"administrator. Until then, messages use the old certificate.", newest.Generation)
	}
	return v.T("Create a link below and send it to the receiver's administrator. It leads to the new certificate. " +
		"Until it is installed, messages use the old one.")
}

func (v *view) duration(ms float64) string {
	if ms < 1000 {
		return fmt.Sprintf("%.0f ms", ms)
	}
	return fmt.Sprintf("%.1f s", ms/1000)
}

// offer returns the page on which the next step of a diagnosis can be taken, with the text of its link. Both are empty
// if only a person can take it.
func (v *view) offer(d client.Diagnosis) (path, text string) {
	tenant := v.r.PathValue("tenant")
	switch d.Action {
	case "renew":
		return in(tenant, "certificates"), v.T("Go to the certificates")
	case "send-link":
		return v.of("") + "#link", v.T("Create link")
	case "choose":
		return v.of("") + "#generations", v.T("Choose the generation")
	case "set-probe", "change-arrangement":
		return v.of("/edit"), v.T("Change the arrangement")
	}
	return "", ""
}

// sentence begins with a capital letter.
func sentence(text string) string {
	first, size := utf8.DecodeRuneInString(text)
	return string(unicode.ToUpper(first)) + text[size:]
}
