package client

import (
	"time"

	"github.com/perennial-pki/perennial/tenancy"
)

// An Account can sign in to the console.
type Account struct {
	ID        string       `json:"id"`
	Name      string       `json:"name"`
	Role      tenancy.Role `json:"role" enum:"operator,key-user"`
	Tenant    string       `json:"tenant,omitempty" doc:"Only for a key user."`
	User      string       `json:"user,omitempty" doc:"Name of the key user."`
	Company   bool         `json:"company,omitempty" doc:"It signs in with an account of the company."`
	CreatedAt time.Time    `json:"created_at"`
}
