package client

import (
	"fmt"
	"net/mail"
	"strings"
	"time"
	"unicode"

	"github.com/perennial-pki/perennial/tenancy"
)

// Tenant is a tenant of the platform.
type Tenant struct {
	Name                string          `json:"name" example:"acme" doc:"Part of URLs. A DNS label."`
	DisplayName         string          `json:"display_name,omitempty" doc:"Default: the name."`
	KeyType             tenancy.KeyType `json:"key_type,omitempty" enum:"p256,p384,p521,rsa2048,rsa3072,rsa4096,ed25519" default:"p256" doc:"Key type of the next certificates."`
	MailsAdministrators bool            `json:"mails_administrators,omitempty" readOnly:"true" doc:"True if the service may mail the administrators of the tenant's receivers. Set by a change of the tenant."`
	CreatedAt           time.Time       `json:"created_at,omitzero" readOnly:"true"`
}

// TenantChange holds the fields of a tenant that can be changed.
type TenantChange struct {
	DisplayName         string          `json:"display_name"`
	KeyType             tenancy.KeyType `json:"key_type" enum:"p256,p384,p521,rsa2048,rsa3072,rsa4096,ed25519"`
	MailsAdministrators *bool           `json:"mails_administrators,omitempty" doc:"Whether the service may mail the administrators of the tenant's receivers about its certificates. Absent: as it is."`
}

// KeyUser is a key user of a tenant.
type KeyUser struct {
	Name         string    `json:"name" example:"alice"`
	DisplayName  string    `json:"display_name,omitempty" example:"Alice Adams" doc:"Full name, for the salutation of mails. Default: the name."`
	Email        string    `json:"email" example:"alice@acme.example.com"`
	Language     string    `json:"language,omitempty" enum:"en,de" doc:"Language of mails. Default: that of the user's account, or that of the installation."`
	Zone         string    `json:"zone,omitempty" example:"Europe/Berlin" doc:"Time zone of mails, an IANA name. Default: that of the user's account, or UTC."`
	SubscribedAt time.Time `json:"subscribed_at,omitzero" readOnly:"true" doc:"Time at which the user chose Subscribe to Task. Absent if not subscribed."`
	CreatedAt    time.Time `json:"created_at,omitzero" readOnly:"true"`
}

// Invitation lets a key user create an account of the console.
type Invitation struct {
	User      string    `json:"user"`
	Token     string    `json:"token" doc:"Shown only once. The key user enters it at the URL, and chooses a name and a password."`
	URL       string    `json:"url"`
	ExpiresAt time.Time `json:"expires_at"`
}

// KeyUserChange holds the fields of a key user that can be changed. A field that is absent stays as it is.
type KeyUserChange struct {
	DisplayName *string `json:"display_name,omitempty" doc:"Absent: as it is. Empty: the name."`
	Email       string  `json:"email"`
	Language    *string `json:"language,omitempty" enum:"en,de," doc:"Absent: as it is. Empty: the default."`
	Zone        *string `json:"zone,omitempty" doc:"Absent: as it is. Empty: the default."`
}

// ITContact is an IT contact of a tenant. The first one in the list is the designated contact.
type ITContact struct {
	Name     string `json:"name"`
	Email    string `json:"email"`
	Language string `json:"language,omitempty" enum:"en,de" doc:"Language of mails. Default: that of the installation."`
	Zone     string `json:"zone,omitempty" doc:"Time zone of mails, an IANA name. Default: UTC."`
}

// ParseContact reads a contact from a line such as "Ina Ivers <ina@example.com> de Europe/Berlin". The language and the
// zone are optional. The name is empty if the line has none.
func ParseContact(line string) (c ITContact, err error) {
	address, preferences := line, ""
	if i := strings.LastIndex(line, ">"); i >= 0 {
		address, preferences = line[:i+1], line[i+1:]
	}
	a, err := mail.ParseAddress(address)
	if err != nil {
		return c, fmt.Errorf("%q: write a name and an address, such as Ina Ivers <ina@example.com>", line)
	}
	c.Name, c.Email = a.Name, a.Address
	for _, word := range strings.FieldsFunc(preferences, func(r rune) bool { return unicode.IsSpace(r) || r == ';' }) {
		if len(word) == len("en") {
			c.Language = word
		} else {
			c.Zone = word
		}
	}
	return c, nil
}

// String returns the line from which [ParseContact] reads the contact.
func (c ITContact) String() string {
	line := (&mail.Address{Name: c.Name, Address: c.Email}).String()
	if !strings.ContainsAny(c.Name, "\"<>@,;:\\()[]") { // readable in any script
		line = c.Name + " <" + c.Email + ">"
	}
	for _, word := range []string{c.Language, c.Zone} {
		if word != "" {
			line += " " + word
		}
	}
	return line
}

// MailCheck explains whether a user gets mail.
type MailCheck struct {
	User       string      `json:"user"`
	GetsMail   bool        `json:"gets_mail" doc:"True if all conditions hold and the next notice is mailed."`
	Conditions []Condition `json:"conditions"`
	Deliveries []Delivery  `json:"deliveries" doc:"Latest mails to the user."`
}

// Condition is one condition for getting mail.
type Condition struct {
	Condition string `json:"condition"`
	Holds     bool   `json:"holds"`
	Fix       string `json:"fix,omitempty"`
}
