package client

import (
	"time"

	"github.com/perennial-pki/perennial/rollover"
	"github.com/perennial-pki/perennial/tenancy"
)

// Stage is a stage in the life of an authority.
type Stage string

// The stages: announced to receivers, signing, and replaced by its successor.
const (
	StageAnnounced Stage = "announced"
	StageSigns     Stage = "signs"
	StageReplaced  Stage = "replaced"
	StageRevoked   Stage = "revoked"
)

// Authority is a certificate authority of the service's CA.
type Authority struct {
	ID         string                `json:"id"`
	Kind       tenancy.AuthorityKind `json:"kind" enum:"root,issuing"`
	Subject    string                `json:"subject"`
	Stage      Stage                 `json:"stage" enum:"announced,signs,replaced,revoked"`
	NotBefore  time.Time             `json:"not_before"`
	NotAfter   time.Time             `json:"not_after"`
	SignsFrom  time.Time             `json:"signs_from,omitzero" doc:"Latest start of signing. Only for an issuing CA that was announced."`
	AnnounceAt time.Time             `json:"announce_at" doc:"Time at which its successor is created and announced."`
	RevokedAt  time.Time             `json:"revoked_at,omitzero"`
	RevokedFor string                `json:"revoked_for,omitempty" enum:",compromised,superseded"`
	Key        KeyPlace              `json:"key" enum:"sealed,remote,elsewhere" doc:"sealed: in the database; remote: in a key management service or a token; elsewhere: not in this service."`
	KeyURI     string                `json:"key_uri,omitempty" doc:"Names a remote key."`
	SignBy     time.Time             `json:"sign_by,omitzero" doc:"Only for a root whose key is elsewhere and that must sign the next issuing CA: install the signed chain by this time."`
	Unlisted   []string              `json:"unlisted,omitempty" doc:"IDs of revoked issuing CAs that the last revocation list of this root lacks, because its key is offline."`
}

// KeyPlace is the place of an authority's private key.
type KeyPlace string

// A key is sealed in the database, in a key management service or a token, or not in this service.
const (
	KeySealed    KeyPlace = "sealed"
	KeyRemote    KeyPlace = "remote"
	KeyElsewhere KeyPlace = "elsewhere"
)

// RootExport is the certificate of a root with its key.
type RootExport struct {
	File string `json:"file" doc:"PEM: the certificate, and the key as PKCS#8 that the passphrase opens."`
}

// AuthorityRequest is the request for an issuing CA that a root elsewhere must sign.
type AuthorityRequest struct {
	ID        string    `json:"id" doc:"Becomes the ID of the issuing CA."`
	CSR       string    `json:"csr" doc:"PKCS#10 as PEM."`
	CreatedAt time.Time `json:"created_at"`
}

// Trust records whether a receiver accepts certificates of an announced authority.
type Trust struct {
	Tenant      string          `json:"tenant"`
	Arrangement string          `json:"arrangement"`
	Trust       tenancy.Trust   `json:"trust" enum:",trusted,untrusted" doc:"Empty if nothing is known."`
	At          time.Time       `json:"at,omitzero"`
	By          rollover.Source `json:"by,omitempty" enum:"probe,person"`
	Answer      string          `json:"answer,omitempty" doc:"Answer of the receiver."`
}

// AskedTrust is the result of a probe with an announced authority.
type AskedTrust struct {
	Trust
	Authority string        `json:"authority"`
	Results   []ProbeResult `json:"results" doc:"First with a certificate of the announced authority, then with one of the current authority."`
}

// AnnouncedAuthority returns the issuing CA in a list that is announced and does not sign yet; ok is false if there is
// none.
func AnnouncedAuthority(all []Authority) (a Authority, ok bool) {
	for _, a := range all {
		if a.Stage == StageAnnounced && a.Kind == tenancy.IssuingAuthority {
			return a, true
		}
	}
	return a, false
}
