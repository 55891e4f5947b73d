package client

import (
	"time"

	"github.com/perennial-pki/perennial/tenancy"
)

// Receiver is an external system.
type Receiver struct {
	Name         string    `json:"name" example:"erp"`
	DisplayName  string    `json:"display_name,omitempty"`
	ContactName  string    `json:"contact_name,omitempty" doc:"Its administrator."`
	ContactEmail string    `json:"contact_email,omitempty"`
	CreatedAt    time.Time `json:"created_at,omitzero" readOnly:"true"`
}

// Arrangement is a communication arrangement.
type Arrangement struct {
	Name           string                 `json:"name" example:"crm-to-erp"`
	Receiver       string                 `json:"receiver" example:"erp"`
	Scenario       string                 `json:"scenario,omitempty" doc:"What it is for."`
	Endpoint       string                 `json:"endpoint" example:"https://erp.example.com/orders"`
	Authentication tenancy.Authentication `json:"authentication,omitempty" enum:"client-certificate,basic,none" default:"client-certificate"`
	Strategy       tenancy.Strategy       `json:"strategy,omitempty" enum:"adaptive,confirmed,manual,immediate" default:"adaptive" doc:"How it rolls over to the next generation."`
	Egress         tenancy.Egress         `json:"egress,omitzero" doc:"How the gateway sends its messages; what is left out has a default."`
	Generation     int                    `json:"generation,omitempty" readOnly:"true" doc:"The generation of the tenant certificate that it presents."`
	CreatedAt      time.Time              `json:"created_at,omitzero" readOnly:"true"`
}
