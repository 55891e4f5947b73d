package client

// A Finding is something that a search has found.
type Finding struct {
	Kind       string `json:"kind" enum:"tenant,arrangement,receiver,certificate,key-user,it-contact,counterparty"`
	Tenant     string `json:"tenant,omitempty" doc:"Absent for a counterparty."`
	Name       string `json:"name" doc:"Name of the object in its tenant; the credential of a certificate."`
	Detail     string `json:"detail,omitempty" doc:"Display name of a tenant or receiver, endpoint of an arrangement, e-mail address of a person, or SHA-256 of a certificate."`
	Generation int    `json:"generation,omitempty" doc:"Of a certificate."`
	Serial     string `json:"serial,omitempty" doc:"Of a certificate, in lowercase hexadecimal."`
}

// Findings are the results of a search, the best ones first.
type Findings struct {
	Query string    `json:"query"`
	Items []Finding `json:"items"`
	// More is true if a kind has more results than were asked for.
	More bool `json:"more" doc:"Whether there are more results of some kind: search for a longer text."`
}
