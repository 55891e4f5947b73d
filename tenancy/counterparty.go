package tenancy

import (
	"net/url"
	"slices"
	"strings"
	"time"
)

// A Counterparty is the organisation behind receivers of one or many tenants, with the people who administer them.
// Operators create it and link receivers to it. A tenant sees the counterparty of its own receivers, and nothing of the
// other tenants that are linked to it.
type Counterparty struct {
	ID          string
	Name        string // unique, for URLs and command lines: "bank"
	DisplayName string
	// Hosts are those of the endpoints of its receivers: "pay.bank.example", or ".bank.example" for every host below it. A
	// host belongs to one counterparty.
	Hosts []string
	// Product runs at its receivers, as named in the instructions: "nginx"; empty if it is not known.
	Product string
	// LinkedAt and LinkedBy are about the present address of its page. LinkedAt is zero if it has no page. Only the hash
	// of the secret in the address is stored.
	LinkedAt  time.Time
	LinkedBy  string
	VisitedAt time.Time // last visit of the page, to the hour; zero if there was none
	CreatedAt time.Time
	Version   int64
}

const (
	// mostHosts limits the hosts of a counterparty.
	mostHosts = 50
	// MostCounterpartyContacts limits the contacts of a counterparty, with those that its page has proposed.
	MostCounterpartyContacts = 20
)

// Check returns an [ErrInvalid] if the counterparty is not valid.
func (c Counterparty) Check() error {
	if err := CheckName("name", c.Name); err != nil {
		return err
	}
	if err := CheckText("display_name", c.DisplayName); err != nil {
		return err
	}
	if c.Product != "" {
		if err := CheckText("product", c.Product); err != nil {
			return err
		}
	}
	if len(c.Hosts) > mostHosts {
		return Invalid("hosts", "there are more than %d hosts: use a suffix such as .bank.example", mostHosts)
	}
	for i, host := range c.Hosts {
		if !Proposable(strings.TrimPrefix(host, ".")) {
			return Invalid("hosts", "%s is not a host name: use one such as pay.bank.example, or .bank.example for every "+
				"host below it", shown(host))
		}
		if slices.Contains(c.Hosts[:i], host) {
			return Invalid("hosts", "contains %s twice", shown(host))
		}
	}
	return nil
}

// HostOf returns the host of an endpoint in lower case, without the port; empty if there is none. The database computes
// the same for the column host of the arrangements.
func HostOf(endpoint string) string {
	_, rest, found := strings.Cut(endpoint, "://")
	if !found {
		return ""
	}
	if end := strings.IndexAny(rest, "/:"); end >= 0 {
		rest = rest[:end]
	}
	return strings.Map(func(r rune) rune {
		if r >= 'A' && r <= 'Z' {
			return r + 'a' - 'A'
		}
		return r
	}, rest)
}

// mostHostBytes is the maximum length of a host name (RFC 1035, section 2.3.4).
const mostHostBytes = 253

// Proposable reports whether a host can identify a counterparty: it is a name in lower case with a dot. An IP address
// or a name without a domain is often used by several organisations, each in its own network.
func Proposable(host string) bool {
	if len(host) > mostHostBytes || !strings.Contains(host, ".") || strings.ContainsAny(host, "[]:/@?# ") ||
		!strings.ContainsAny(host, "abcdefghijklmnopqrstuvwxyz") || strings.HasPrefix(host, ".") ||
		strings.Contains(host, "..") {
		return false
	}
	u, err := url.Parse("https://" + host)
	return err == nil && u.Host == host && host == HostOf(u.String())
}

// HostPatterns returns the hosts of counterparties that a host belongs to, the most exact first: itself, and each
// suffix with a dot in front.
func HostPatterns(host string) []string {
	all := []string{host}
	for rest := host; ; {
		_, below, found := strings.Cut(rest, ".")
		if !found {
			return all
		}
		if strings.Contains(below, ".") { // not a whole top-level domain
			all = append(all, "."+below)
		}
		rest = below
	}
}

// A CounterpartyContact is a person who administers the receivers of a counterparty.
type CounterpartyContact struct {
	ID             string
	CounterpartyID string
	Position       int // the contact with the lowest one is asked first
	Name           string
	Email          string // unique in the counterparty
	Language       string // "en" or "de"; empty for that of the browser
	Zone           string // IANA name; empty for UTC
	// ProposedBy names the page that proposed the contact. It is empty for a contact that an operator has added or
	// accepted. A proposed contact is not mailed.
	ProposedBy string
	// ConfirmedAt is the time of the latest confirmation on the page. Whoever has the address of the page can confirm, so
	// it is a claim.
	ConfirmedAt time.Time
	CreatedAt   time.Time
}

// IsAccepted reports whether the contact is mailed: one that was only proposed is not.
func (c CounterpartyContact) IsAccepted() bool { return c.ProposedBy == "" }

// Check returns an [ErrInvalid] if the contact is not valid.
func (c CounterpartyContact) Check() error {
	if err := CheckText("name", c.Name); err != nil {
		return err
	}
	if err := CheckEmail("email", c.Email); err != nil {
		return err
	}
	return Preferences{Language: c.Language, Zone: c.Zone}.Check()
}

// ProposalState is the decision about a [CounterpartyProposal].
type ProposalState string

// A proposal that is accepted opens again when another tenant names its host.
const (
	ProposalOpen      ProposalState = "open"
	ProposalAccepted  ProposalState = "accepted"
	ProposalDismissed ProposalState = "dismissed"
)

// A CounterpartyProposal is a host that several tenants name, or that belongs to a counterparty, with receivers that
// are not linked. An operator accepts it, which links them, or dismisses it.
type CounterpartyProposal struct {
	Host           string
	State          ProposalState
	CounterpartyID string // empty if the host belongs to none
	DecidedBy      string
	DecidedAt      time.Time // zero while it was never decided
	// Tenants and Receivers are those that name the host and are not linked.
	Tenants, Receivers int
}

// A CounterpartyQuestion is the test of one arrangement that the page of its counterparty asked for.
type CounterpartyQuestion struct {
	ArrangementID  string
	CounterpartyID string
	Generation     int  // that the page showed
	Claimed        bool // whether it was reported as installed
	WantedAt       time.Time
	TakenUntil     time.Time // a replica asks until then; zero if none does
	DoneAt         time.Time // zero until the receiver was asked
	Result         string    // "accepted", "refused" or "unclear"; empty if it could not be asked
	Answer         string
}
