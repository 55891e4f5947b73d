package client

import "time"

// Linked is the content of a link for the administrator of a receiving system.
type Linked struct {
	Tenant      string      `json:"tenant" doc:"Display name of the tenant."`
	TenantName  string      `json:"tenant_name" doc:"Name of the tenant, as in the names of files."`
	Endpoint    string      `json:"endpoint"`
	Certificate Certificate `json:"certificate" doc:"Certificate to install."`
	OldUntil    time.Time   `json:"old_until,omitzero" doc:"Expiry of the last certificate that the receiver is known to accept. The new one must be installed before."`
	State       string      `json:"state" enum:"exposed,refused,needed,claimed,done,quiet" doc:"Next step of the receiver, as on the page of a counterparty. With done and quiet, there is nothing to do."`
	RenewsAt    time.Time   `json:"renews_at,omitzero" doc:"When the certificate is renewed next, while the state is quiet. Absent if no renewal is planned."`
	Exposed     bool        `json:"exposed,omitempty" doc:"True if messages are sent with the new certificate only."`
	Revoked     []string    `json:"revoked,omitempty" doc:"Serial numbers of earlier certificates that are revoked and have not expired. The receiver must not accept them any longer."`
	Renewal     *Renewal    `json:"renewal,omitempty" doc:"The new certificate compared with the one that the receiver is known to accept. Absent if there is none."`
	Contact     *ITContact  `json:"contact,omitempty" doc:"Contact for questions: the key user who created the link, or else the designated IT contact of the tenant."`
}

// Tested is the receiver's answer to the new certificate.
type Tested struct {
	Result        string `json:"result,omitempty" enum:"accepted,refused,unclear" doc:"Absent if the receiver could not be tested."`
	Answer        string `json:"answer,omitempty"`
	HandshakeOnly bool   `json:"handshake_only" doc:"Only the TLS handshake was tested."`
}
