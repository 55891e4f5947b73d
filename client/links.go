package client

import "time"

// Linked is what the administrator of a receiving system gets to see by a link.
type Linked struct {
	Tenant      string      `json:"tenant" doc:"Who asks."`
	Endpoint    string      `json:"endpoint"`
	Certificate Certificate `json:"certificate" doc:"The one to install."`
	OldUntil    time.Time   `json:"old_until,omitzero" doc:"When the old certificate expires: the new one must be installed before."`
	Contact     *ITContact  `json:"contact,omitempty" doc:"Whom to ask: the key user who made the link, or else the tenant's designated IT contact."`
}

// Tested is how the receiver answered the new certificate, once its administrator said that it is installed.
type Tested struct {
	Result        string `json:"result,omitempty" enum:"accepted,refused,closed,unclear" doc:"Absent where it could not be asked."`
	Answer        string `json:"answer,omitempty"`
	HandshakeOnly bool   `json:"handshake_only" doc:"Only TLS was asked."`
}
