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
	"github.com/perennial-pki/perennial/tenancy"
)

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
	return c.done(v, v.of(""), v.T("Saved. %s.", v.strategy(strategy)))
}

func (c *console) messages(v *view) error {
	list, err := paged[client.Message](c, v, v.listPath(v.of("/messages"), "failed"))
	if err != nil {
		return err
	}
	return c.show(v, http.StatusOK, v.T("Messages"), messagesPage(v, list))
}

func (v *view) duration(ms float64) string {
	if ms < 1000 {
		return fmt.Sprintf("%.0f ms", ms)
	}
	return fmt.Sprintf("%.1f s", ms/1000)
}

// sentence begins with a capital letter.
func sentence(text string) string {
	first, size := utf8.DecodeRuneInString(text)
	return string(unicode.ToUpper(first)) + text[size:]
}
