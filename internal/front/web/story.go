package web

import (
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/perennial-pki/perennial/client"
	"github.com/perennial-pki/perennial/rollover"
	"github.com/perennial-pki/perennial/tenancy"
)

// A roll holds the content of the page of one arrangement.
type roll struct {
	tenant      string
	arrangement client.Arrangement
	receiver    client.Receiver
	party       *client.ReceiverCounterparty // nil if the receiver is linked to none
	rollover    *client.Rollover             // nil if it presents no certificate
	// certificates are the last two generations that are available, the older first.
	certificates []client.Certificate
	newest       client.Certificate
	links        []client.Link
	messages     []client.Message
	hours        []client.MessageHour
	diagnosis    *client.Diagnosis
	feed         *client.Feed // nil if it has none
	partyFeed    *client.Feed // that of the receiver's counterparty; nil if there is none
	// administrator is that of the receiver.
	administrator *client.Administrator
}

// host returns the host of the receiver.
func (r roll) host() string {
	u, err := url.Parse(r.arrangement.Endpoint)
	if err != nil || u.Host == "" {
		return r.arrangement.Endpoint
	}
	return u.Host
}

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
		if err := c.addRollover(v, &r, path); err != nil {
			return err
		}
	}
	messages, err := get[client.Page[client.Message]](c, v, path+"/messages?limit=10")
	if err != nil {
		return err
	}
	hours, err := get[client.MessageHours](c, v, path+"/messages/hours")
	if err != nil {
		return err
	}
	r.messages, r.hours = messages.Items, hours.Hours
	return c.show(v, http.StatusOK, r.arrangement.Name, arrangementPage(v, r))
}

// addRollover reads the roll-over of an arrangement, its certificates, links, administrator
// and feed.
func (c *console) addRollover(v *view, r *roll, path string) error {
	standing, err := get[client.Rollover](c, v, path+"/rollover")
	if err != nil {
		return err
	}
	r.rollover = &standing
	for _, g := range standing.Generations[max(0, len(standing.Generations)-2):] {
		if r.newest, err = get[client.Certificate](c, v, in(r.tenant, "certificates", string(r.arrangement.Credential),
			strconv.Itoa(g.Generation))); err != nil {
			return err
		}
		r.certificates = append(r.certificates, r.newest)
	}
	links, err := get[client.Page[client.Link]](c, v, path+"/rollover/links")
	if err != nil {
		return err
	}
	r.links = links.Items
	if r.administrator, err = c.administratorOf(v, r.tenant, r.receiver.Name); err != nil {
		return err
	}
	if r.partyFeed, err = c.feedOf(v, path+"/counterparty-feed"); err != nil {
		return err
	}
	r.feed, err = c.feedOf(v, path+"/feed")
	return err
}

// A proofMark shows how something is known. Marks differ in shape, and have the same words in the legend.
type proofMark string

const (
	byMessages proofMark = "messages" // seen in messages
	byQuestion proofMark = "question" // seen by a question
	byPerson   proofMark = "person"   // said by a person
	isRefused  proofMark = "refused"
)

// An explainedMark is a mark in a legend.
type explainedMark struct {
	mark proofMark
	text string
}

// marks lists the marks in the order of their strength, with their words.
func (v *view) marks() []explainedMark {
	return []explainedMark{{byMessages, v.T("seen in messages")}, {byQuestion, v.T("seen in a test")},
		{byPerson, v.T("said by a person")}, {isRefused, v.T("refused")}}
}

// markOf returns the mark of a kind of evidence; empty for none.
func markOf(s rollover.Source) proofMark {
	switch s {
	case rollover.Traffic:
		return byMessages
	case rollover.Probe:
		return byQuestion
	case rollover.Person:
		return byPerson
	}
	return ""
}

// verdictMark returns the mark of what is known of a generation; empty if nothing is known.
func verdictMark(g client.RolloverKnowledge) proofMark {
	switch g.Verdict {
	case rollover.Accepted:
		return markOf(g.Source)
	case rollover.Refused:
		return isRefused
	}
	return ""
}

// A step is one step of a roll-over, with its evidence.
type step struct {
	name       string
	past, here bool
	mark       proofMark // empty if nothing is known yet
	text       string
	at         time.Time // zero if it has not happened
}

// steps returns the steps of a roll-over and marks the current one.
func (v *view) steps(r roll) []step {
	at := map[rollover.State]int{rollover.Announced: 0, rollover.RefusedBy: 0, rollover.Claimed: 0, rollover.Trusted: 1,
		rollover.Regressed: 1, rollover.CutOver: 2, rollover.Settled: 3}[r.rollover.State]
	steps := []step{v.announced(r), v.trusted(r), v.cutOver(r), v.settled(r)}
	for i := range steps {
		steps[i].past, steps[i].here = i < at, i == at
	}
	return steps
}

func (v *view) announced(r roll) step {
	return step{name: v.T("Announced"), text: v.T("Generation %d was issued", r.newest.Generation), at: r.newest.NotBefore}
}

func (v *view) trusted(r roll) step {
	s, g := step{name: v.T("Trusted")}, newestOf(*r.rollover)
	switch {
	case g.Verdict == rollover.Accepted || g.Verdict == rollover.Refused:
		s.mark, s.text, s.at = verdictMark(g), v.verdict(g.Verdict).word+": "+evidence(v, g), g.VerdictAt
	case !r.rollover.UnaskedAt.IsZero():
		s.mark, s.text, s.at = byMessages, v.T("The receiver asks for no certificate"), r.rollover.UnaskedAt
	case !g.ClaimedAt.IsZero():
		s.mark, s.text, s.at = markOf(g.ClaimedBy), sentence(claim(v, g)), g.ClaimedAt
	case g.Verdict == rollover.Unclear:
		s.text, s.at = v.T("Unclear: %s", evidence(v, g)), g.VerdictAt
	default:
		s.text = v.T("The receiver has not answered yet")
	}
	return s
}

func (v *view) cutOver(r roll) step {
	s, g := step{name: v.T("Cut over")}, newestOf(*r.rollover)
	switch {
	case g.Generation == r.rollover.Presents:
		s.text, s.at = v.T("Messages are sent with generation %d", g.Generation), g.PresentedAt
	case r.rollover.State == rollover.Trusted && r.rollover.Strategy != tenancy.Manual && g.NoticedUntil.After(v.now):
		s.text = v.T("Expected on %s, when the notice period ends", v.Day(g.NoticedUntil))
	default:
		s.text = v.T("Messages are still sent with generation %d", r.rollover.Presents)
	}
	return s
}

func (v *view) settled(r roll) step {
	s, quiet := step{name: v.T("Settled")}, r.rollover.QuietUntil
	switch {
	case r.rollover.State == rollover.Settled:
		s.text = v.T("The old certificate is no longer needed")
		if len(r.rollover.Generations) < 2 {
			s.text = v.T("No other certificate is in use")
		}
	case quiet.After(v.now):
		s.text = v.T("On %s at the earliest, if the old certificate is not needed until then", v.Day(quiet))
	default:
		s.text = v.T("28 days after the cut-over, if the old certificate is not needed")
	}
	return s
}

// A generationCard is a generation at the receiver, beside the other one.
type generationCard struct {
	certificate client.Certificate
	known       client.RolloverKnowledge
	role        stateOf
	// other is the certificate beside it; nil if there is none.
	other *client.Certificate
	newer bool
	// choosable is set if a person may switch to it here. The button of the next step is not repeated.
	choosable bool
}

// pair returns the last two generations with their roles, the older first.
func (v *view) pair(r roll) []generationCard {
	cards := make([]generationCard, len(r.certificates))
	for i, c := range r.certificates {
		g := r.rollover.Generations[len(r.rollover.Generations)-len(cards)+i]
		card := generationCard{certificate: c, known: g, newer: i == 1}
		card.choosable = g.Choosable && r.rollover.Next.Action != client.ActionChoose
		if len(cards) == 2 {
			card.other = &r.certificates[1-i]
		}
		switch {
		case g.Revoked:
			card.role = stateOf{"bad", v.T("Revoked")}
		case g.Generation == r.rollover.Presents:
			card.role = stateOf{"good", v.T("In use")}
		case card.newer:
			card.role = stateOf{"wait", v.T("New")}
		default:
			card.role = stateOf{"off", v.T("Old")}
		}
		cards[i] = card
	}
	return cards
}

// A certificateField is a field of a certificate, and whether it differs from that of the other one.
type certificateField struct {
	name, value string
	exact       bool   // set in a fixed width, to be compared letter by letter
	differs     string // "changed" or "same" for a field that a renewal may keep, of the newer certificate
}

// fields returns what people compare. The serial number and the fingerprint always differ.
func (v *view) fields(card generationCard) []certificateField {
	c := card.certificate
	differs := func(of func(client.Certificate) string) string {
		switch {
		case card.other == nil || !card.newer:
			return ""
		case of(c) == of(*card.other):
			return "same"
		}
		return "changed"
	}
	return []certificateField{
		{name: v.T("Valid"), value: v.shortDay(c.NotBefore) + " – " + v.shortDay(c.NotAfter)},
		{name: v.T("Serial number"), value: c.Serial, exact: true},
		{name: "SHA-256", value: c.Fingerprint, exact: true},
		{v.T("Subject"), c.Subject, true, differs(func(c client.Certificate) string { return c.Subject })},
		{v.T("Issued by"), c.Issuer, true, differs(func(c client.Certificate) string { return c.Issuer })},
		{v.T("Key type"), string(c.KeyType), false, differs(func(c client.Certificate) string { return string(c.KeyType) })},
	}
}

// receiverDisplay returns the name of the receiver for people.
func receiverDisplay(r roll) string {
	if r.receiver.DisplayName != "" {
		return r.receiver.DisplayName
	}
	return r.receiver.Name
}

// older returns the available generations before the last two.
func (r roll) older() []client.RolloverKnowledge {
	return r.rollover.Generations[:len(r.rollover.Generations)-len(r.certificates)]
}

// overlapLines draws the generations of an arrangement with their overlap, its cut-overs and its deadline.
func (v *view) overlapLines(r roll) []timeline {
	c := v.chronicle(r.certificates, []client.Rollover{*r.rollover})
	for i, cert := range r.certificates { // as this arrangement uses them, and not as the tenant does
		switch {
		case !c.spans[i].usable:
		case cert.Generation == r.rollover.Presents:
			c.spans[i].class = "bar-now"
		case cert.Generation == r.newest.Generation:
			c.spans[i].class = "bar-next"
		default:
			c.spans[i].class = "bar-old"
		}
	}
	if r.rollover.AtRisk && !r.rollover.Exposed {
		c.runs = append(c.runs, instantOf{r.rollover.Deadline, v.T("deadline on %s", v.Day(r.rollover.Deadline)), "warned"})
	}
	return v.draw(c)
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
