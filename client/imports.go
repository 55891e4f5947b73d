package client

import (
	"time"

	"github.com/perennial-pki/perennial/tenancy"
)

// ImportFiles holds the files of an import.
type ImportFiles struct {
	Tenants      string              `json:"tenants,omitempty" doc:"CSV: name, display_name, key_type."`
	People       string              `json:"people,omitempty" doc:"CSV: tenant, role (key-user, it-contact), name, email, subscribed (yes, no)."`
	Arrangements string              `json:"arrangements,omitempty" doc:"CSV: tenant, name, receiver, receiver_name, contact_name, contact_email, scenario, endpoint, strategy, probe_path, server_key_pin, identifies_by (separated by spaces)."`
	Certificates []ImportCertificate `json:"certificates,omitempty" doc:"Certificates of new tenants, each with its private key."`
	Password     string              `json:"password,omitempty" doc:"Password of the PKCS#12 files and encrypted keys that have none of their own."`
}

// ImportCertificate is a file with a certificate and its private key.
type ImportCertificate struct {
	Name     string `json:"name" example:"acme.p12" doc:"TENANT.pem or TENANT.p12. TENANT.m-user.p12 for the certificate of the M-user."`
	Data     []byte `json:"data" doc:"PEM or PKCS#12, in base64."`
	Password string `json:"password,omitempty" doc:"Password of this file. Default: that of the import."`
}

// Import is an import of tenants from another system.
type Import struct {
	ID        string              `json:"id"`
	State     tenancy.ImportState `json:"state" enum:"checked,applying,applied,undoing,undone"`
	CreatedBy string              `json:"created_by"`
	CreatedAt time.Time           `json:"created_at"`
	Total     int                 `json:"total" doc:"Number of tenants in the import."`
	Done      int                 `json:"done" doc:"Number of tenants that are done."`
	Problems  []Problem           `json:"problems" doc:"Problems in the files. Nothing is imported if there are any."`
	LastError string              `json:"last_error,omitempty" doc:"Error that stopped the import."`
}

// Problem is an error in the files of an import.
type Problem struct {
	File string `json:"file"`
	Line int    `json:"line,omitempty" doc:"Line number. Absent if the problem concerns the whole file."`
	Text string `json:"text"`
}
