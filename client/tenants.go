package client

import (
	"time"

	"github.com/perennial-pki/perennial/tenancy"
)

// Tenant is a tenant.
type Tenant struct {
	Name        string          `json:"name" example:"acme" doc:"For URLs: a DNS label."`
	DisplayName string          `json:"display_name,omitempty" doc:"For people; the name where left out."`
	KeyType     tenancy.KeyType `json:"key_type,omitempty" enum:"p256,p384,rsa2048,rsa3072" default:"p256" doc:"Of the next certificates."`
	CreatedAt   time.Time       `json:"created_at,omitzero" readOnly:"true"`
}

// TenantChange is what can be changed of a tenant.
type TenantChange struct {
	DisplayName string          `json:"display_name"`
	KeyType     tenancy.KeyType `json:"key_type" enum:"p256,p384,rsa2048,rsa3072"`
}

// KeyUser is a key user.
type KeyUser struct {
	Name         string    `json:"name" example:"alice"`
	Email        string    `json:"email" example:"alice@acme.example.com"`
	SubscribedAt time.Time `json:"subscribed_at,omitzero" readOnly:"true" doc:"When the user chose Subscribe to Task; absent while not subscribed."`
	CreatedAt    time.Time `json:"created_at,omitzero" readOnly:"true"`
}

// ITContact is an IT contact; the one listed first is the designated one.
type ITContact struct {
	Name  string `json:"name"`
	Email string `json:"email"`
}

// MailCheck is why a user gets mail, or not.
type MailCheck struct {
	User       string      `json:"user"`
	GetsMail   bool        `json:"gets_mail" doc:"All conditions hold: the next notice is mailed."`
	Conditions []Condition `json:"conditions"`
	Deliveries []Delivery  `json:"deliveries" doc:"The user's latest mails."`
}

// Condition is one condition for getting mail.
type Condition struct {
	Condition string `json:"condition"`
	Holds     bool   `json:"holds"`
	Fix       string `json:"fix,omitempty"`
}
