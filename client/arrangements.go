package client

import (
	"time"

	"github.com/perennial-pki/perennial/tenancy"
)

// Receiver is an external system that gets messages.
type Receiver struct {
	Name            string    `json:"name" example:"erp"`
	DisplayName     string    `json:"display_name,omitempty"`
	ContactName     string    `json:"contact_name,omitempty" doc:"Name of its administrator."`
	ContactEmail    string    `json:"contact_email,omitempty"`
	ContactLanguage string    `json:"contact_language,omitempty" enum:"en,de" doc:"Language of mails to its administrator. Default: that of the installation."`
	ContactZone     string    `json:"contact_zone,omitempty" example:"Europe/Berlin" doc:"Time zone of mails to its administrator, an IANA name. Default: that of the installation."`
	CreatedAt       time.Time `json:"created_at,omitzero" readOnly:"true"`
}

// Arrangement is a communication arrangement of a tenant with a receiver.
type Arrangement struct {
	Name           string                 `json:"name" example:"crm-to-erp"`
	Receiver       string                 `json:"receiver" example:"erp"`
	Scenario       string                 `json:"scenario,omitempty" doc:"Purpose of the arrangement."`
	Endpoint       string                 `json:"endpoint" example:"https://erp.example.com/orders"`
	Authentication tenancy.Authentication `json:"authentication,omitempty" enum:"client-certificate,basic,none" default:"client-certificate"`
	Strategy       tenancy.Strategy       `json:"strategy,omitempty" enum:"adaptive,confirmed,manual,immediate" default:"adaptive" doc:"Strategy for rolling over to the next generation."`
	Credential     tenancy.Purpose        `json:"credential,omitempty" maxLength:"63" doc:"Credential whose certificates it presents; tenant if it is left out at the creation. It cannot be changed."`
	Egress         tenancy.Egress         `json:"egress,omitzero" doc:"Settings for sending its messages through the gateway. Settings that are left out have defaults."`
	Generation     int                    `json:"generation,omitempty" readOnly:"true" doc:"Generation of the credential that it presents."`
	CreatedAt      time.Time              `json:"created_at,omitzero" readOnly:"true"`
}
