package client

import (
	"time"

	"github.com/perennial-pki/perennial/tenancy"
)

// ImportFiles holds the files of an import.
type ImportFiles struct {
	Tenants      string              `json:"tenants,omitempty" doc:"CSV: name, display_name, key_type, mail_for_tasks (yes, no; empty: the default of the installation), issuer (which renews its certificate; empty: the default one)."`
	People       string              `json:"people,omitempty" doc:"CSV: tenant, role (key-user, it-contact), name, email, subscribed (yes, no), display_name, language (en, de), zone."`
	Arrangements string              `json:"arrangements,omitempty" doc:"CSV: tenant, name, receiver, receiver_name, contact_name, contact_email, scenario, endpoint, strategy, probe_path, server_key_pin, identifies_by (separated by spaces)."`
	Certificates []ImportCertificate `json:"certificates,omitempty" doc:"Certificates of new tenants, each with its private key."`
	Password     string              `json:"password,omitempty" doc:"Password of the PKCS#12 files and encrypted keys that have none of their own."`
	SpreadExpiry *bool               `json:"spread_expiry,omitempty" doc:"Spread the expiry of issued certificates over the runs of a year, so that one run does not renew all of them. Default: if more than 1,000 certificates are issued."`
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
	Changing  int                 `json:"changing" doc:"Number of certificates whose first renewal changes the issuer, the subject, the alternative names or the key type. If it is not 0, applying the import requires accept_changes."`
	Done      int                 `json:"done" doc:"Number of finished tenants."`
	Problems  []Problem           `json:"problems" doc:"Problems in the files. Nothing is imported if there are any."`
	LastError string              `json:"last_error,omitempty" doc:"Error that stopped the import."`
	Runs      []ImportRun         `json:"runs" doc:"Runs that renew the certificates of new tenants first."`
}

// ImportRun is a run that renews certificates of an import.
type ImportRun struct {
	At       time.Time `json:"at"`
	Renewals int       `json:"renewals"`
}

// Problem is an error in the files of an import.
type Problem struct {
	File string `json:"file"`
	Line int    `json:"line,omitempty" doc:"Line number. Absent if the problem concerns the whole file."`
	Text string `json:"text"`
}

// ImportPlan describes what an import does for one tenant.
type ImportPlan struct {
	Tenant       string            `json:"tenant"`
	New          bool              `json:"new" doc:"True if the import creates the tenant."`
	KeyUsers     int               `json:"key_users" doc:"Number of key users that are added."`
	Subscribed   int               `json:"subscribed" doc:"Number of key users that are added with a subscription."`
	MailForTasks bool              `json:"mail_for_tasks" doc:"True if the scoping question \"send e-mail for the task\" is answered with yes."`
	Mailed       int               `json:"mailed" doc:"Number of added key users who get mails about their tasks: those with a subscription, if the question is answered with yes."`
	ITContacts   int               `json:"it_contacts" doc:"Number of IT contacts that are added."`
	Arrangements int               `json:"arrangements" doc:"Number of arrangements that are added."`
	Certificates []ImportedRenewal `json:"certificates" doc:"Imported certificates. The others of a new tenant are issued."`
}

// ImportedRenewal is an imported certificate with its first renewal.
type ImportedRenewal struct {
	File     string          `json:"file"`
	Purpose  tenancy.Purpose `json:"purpose" enum:"tenant,m-user"`
	NotAfter time.Time       `json:"not_after" doc:"End of its validity."`
	RenewAt  time.Time       `json:"renew_at" doc:"Run that renews it first."`
	WarnAt   time.Time       `json:"warn_at,omitzero" doc:"First run that warns about it. Absent if it is renewed without a warning."`
	Notified int             `json:"notified" doc:"Number of people who get the warning, by task or mail."`
	Changes  []ImportChange  `json:"changes" doc:"Changes by the first renewal, apart from the key and the dates."`
}

// ImportChange is a difference between an imported certificate and its successor.
type ImportChange struct {
	What string `json:"what" enum:"issuer,root,subject,san,key type"`
	From string `json:"from"`
	To   string `json:"to"`
}

// ImportApproval starts an import.
type ImportApproval struct {
	AcceptChanges bool `json:"accept_changes,omitempty" doc:"Required if first renewals change more than keys and dates. Confirms that the plan has been read."`
}
