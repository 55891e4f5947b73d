package client

import (
	"time"

	"github.com/perennial-pki/perennial/tenancy"
)

// Tenant is a tenant of the platform.
type Tenant struct {
	Name        string          `json:"name" example:"acme" doc:"Part of URLs. A DNS label."`
	DisplayName string          `json:"display_name,omitempty" doc:"Default: the name."`
	KeyType     tenancy.KeyType `json:"key_type,omitempty" enum:"p256,p384,p521,rsa2048,rsa3072,rsa4096,ed25519" default:"p256" doc:"Key type of the next certificates."`
	CreatedAt   time.Time       `json:"created_at,omitzero" readOnly:"true"`
}

// TenantChange holds the fields of a tenant that can be changed.
type TenantChange struct {
	DisplayName string          `json:"display_name"`
	KeyType     tenancy.KeyType `json:"key_type" enum:"p256,p384,p521,rsa2048,rsa3072,rsa4096,ed25519"`
}

// KeyUser is a key user of a tenant.
type KeyUser struct {
	Name         string    `json:"name" example:"alice"`
	Email        string    `json:"email" example:"alice@acme.example.com"`
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

// ITContact is an IT contact of a tenant. The first one in the list is the designated contact.
type ITContact struct {
	Name  string `json:"name"`
	Email string `json:"email"`
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
