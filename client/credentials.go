package client

import (
	"time"

	"github.com/perennial-pki/perennial/tenancy"
)

// Credential is a named series of certificates of a tenant. Its settings apply from the next generation on.
type Credential struct {
	Name            tenancy.Purpose `json:"name" example:"bank" maxLength:"63"`
	Issuer          string          `json:"issuer,omitempty" maxLength:"63" doc:"Name of a configured issuer; empty for the default one."`
	KeyType         tenancy.KeyType `json:"key_type,omitempty" enum:"p256,p384,p521,rsa2048,rsa3072,rsa4096,ed25519" doc:"Empty for that of the tenant."`
	Subject         string          `json:"subject,omitempty" maxLength:"1000" doc:"Subject of the first generation (RFC 4514), which later ones keep. Empty: the issuer decides."`
	SAN             string          `json:"san,omitempty" maxLength:"1000" doc:"Subject alternative names of the first generation, such as DNS:a.example.com, URI:https://a.example.com/."`
	ValiditySeconds int64           `json:"validity_seconds,omitempty" minimum:"0" doc:"Validity to request; 0 for that of the policy."`
	Generation      int             `json:"generation,omitempty" readOnly:"true" doc:"The newest one; 0 if none is issued yet."`
	State           tenancy.State   `json:"state,omitempty" readOnly:"true" doc:"State of the newest generation; requested if its CA has not answered yet."`
	NotAfter        time.Time       `json:"not_after,omitzero" readOnly:"true" doc:"End of the newest generation's validity."`
}

// CertificateRequest is a certificate that has been requested from a CA but not issued yet.
type CertificateRequest struct {
	ID         string          `json:"id"`
	Tenant     string          `json:"tenant"`
	Purpose    tenancy.Purpose `json:"purpose" doc:"Name of the credential."`
	Generation int             `json:"generation"`
	Issuer     string          `json:"issuer,omitempty"`
	ByHand     bool            `json:"by_hand" doc:"True if a person sends the request to the CA and uploads the answer."`
	Since      time.Time       `json:"since"`
	AskAt      time.Time       `json:"ask_at,omitzero" doc:"Time at which the CA is asked for its answer."`
	Replaces   time.Time       `json:"replaces_until,omitzero" doc:"End of the validity of the certificate to be replaced."`
	LastError  string          `json:"last_error,omitempty"`
}

// RequestAnswer holds the certificate that a CA issued for a request.
type RequestAnswer struct {
	Certificate []byte `json:"certificate" maxLength:"2000000" doc:"The certificate with its chain, in any form and order: PEM, DER or PKCS#7."`
}

// Issuer is a CA from which the installation requests certificates.
type Issuer struct {
	Name        string `json:"name"`
	Kind        string `json:"kind"`
	Default     bool   `json:"default" doc:"True if it issues the certificates of every credential that does not name another issuer."`
	Later       bool   `json:"answers_later" doc:"True if it may answer a request later."`
	ByHand      bool   `json:"by_hand" doc:"True if a person sends the requests and uploads the answers."`
	Revokes     bool   `json:"revokes" doc:"True if it is notified of revocations."`
	Credentials int    `json:"credentials" doc:"Number of credentials with settings of their own that name it."`
	Requests    int    `json:"requests" doc:"Number of requests that wait for its answer."`
}
