package client

import (
	"time"

	"github.com/perennial-pki/perennial/tenancy"
)

// ImportFiles are what is handed over for an import.
type ImportFiles struct {
	Tenants      string              `json:"tenants,omitempty" doc:"CSV: name, display_name, key_type."`
	People       string              `json:"people,omitempty" doc:"CSV: tenant, role (key-user, it-contact), name, email, subscribed (yes, no)."`
	Arrangements string              `json:"arrangements,omitempty" doc:"CSV: tenant, name, receiver, receiver_name, contact_name, contact_email, scenario, endpoint, strategy, probe_path, server_key_pin."`
	Certificates []ImportCertificate `json:"certificates,omitempty" doc:"Of new tenants, each with its private key."`
	Password     string              `json:"password,omitempty" doc:"Of PKCS#12 files."`
}

// ImportCertificate is a file with a certificate and its private key.
type ImportCertificate struct {
	Name string `json:"name" example:"acme.p12" doc:"TENANT.pem or TENANT.p12; TENANT.m-user.p12 for the M-user's."`
	Data []byte `json:"data" doc:"PEM or PKCS#12, in base64."`
}

// Import is a fleet that comes from elsewhere.
type Import struct {
	ID        string              `json:"id"`
	State     tenancy.ImportState `json:"state" enum:"checked,applying,applied,undoing,undone"`
	CreatedBy string              `json:"created_by"`
	CreatedAt time.Time           `json:"created_at"`
	Total     int                 `json:"total" doc:"Tenants that it is about."`
	Done      int                 `json:"done" doc:"Of those."`
	Problems  []Problem           `json:"problems" doc:"What is wrong with the files: nothing is imported while there is any."`
	LastError string              `json:"last_error,omitempty" doc:"Why it does not go on."`
}

// Problem is an error in the files of an import.
type Problem struct {
	File string `json:"file"`
	Line int    `json:"line,omitempty" doc:"0: the file as a whole."`
	Text string `json:"text"`
}
