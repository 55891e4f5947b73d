package client

import (
	"time"

	"github.com/perennial-pki/perennial/policy"
	"github.com/perennial-pki/perennial/tenancy"
)

// Watched is a certificate that belongs to another organisation, whose renewal the tenant's key users are notified of.
type Watched struct {
	Name       string         `json:"name" example:"acme-c4c" maxLength:"63"`
	Owner      string         `json:"owner,omitempty" maxLength:"200" example:"SAP" doc:"Who renews it, for display."`
	Policy     string         `json:"policy,omitempty" maxLength:"64" example:"sap-c4c" doc:"Name of the policy by which the owner renews: a built-in one, or that of policy_file."`
	PolicyFile string         `json:"policy_file,omitempty" maxLength:"65536" doc:"The owner's policy as a policy file (YAML), if it is not built in. Left out in answers."`
	Window     string         `json:"window,omitempty" maxLength:"32" example:"93d" doc:"Time before the expiry in which the owner renews, if no policy is known. Default: 93d."`
	Source     WatchSource    `json:"source,omitzero" required:"false"`
	Systems    []WatchSystem  `json:"systems,omitempty" maxItems:"50" doc:"Systems of the tenant that know the certificate."`
	File       []byte         `json:"certificate,omitempty" maxLength:"1000000" doc:"The first certificate, with its chain, in any form: PEM, DER or PKCS#7. May be left out if there is a source. Left out in answers."`
	Stage      policy.Stage   `json:"stage,omitempty" readOnly:"true" enum:"quiet,soon,due,overdue,expired" doc:"Progress of the next renewal."`
	Newest     *WatchedSeen   `json:"newest,omitempty" readOnly:"true" doc:"The newest certificate that was seen."`
	Expected   *WatchExpected `json:"expected,omitempty" readOnly:"true" doc:"When the newest certificate is expected to be renewed."`
	History    []WatchedSeen  `json:"history,omitempty" readOnly:"true" doc:"All certificates that were seen, the latest first. Left out in lists."`
	LastChange *Sighting      `json:"last_change,omitempty" readOnly:"true" doc:"What the newest certificate changed. Left out in lists, and if only one was seen."`
	LookedAt   time.Time      `json:"looked_at,omitzero" readOnly:"true" doc:"Time of the latest look at the source."`
	Failing    time.Time      `json:"failing_since,omitzero" readOnly:"true" doc:"Present if the source could not be read since then."`
	LookError  string         `json:"look_error,omitempty" readOnly:"true"`
	CreatedAt  time.Time      `json:"created_at,omitzero" readOnly:"true"`
}

// WatchSource is a place that shows new certificates.
type WatchSource struct {
	Kind    tenancy.WatchSourceKind `json:"kind,omitempty" enum:",folder,url,server" doc:"folder: an absolute path of the service's machine, for operators only. url: an https URL. server: host:port of a TLS server, whose own certificate is watched. Empty: new certificates are uploaded."`
	Address string                  `json:"address,omitempty" maxLength:"2000"`
}

// WatchSystem is a system of the tenant that knows a watched certificate.
type WatchSystem struct {
	Name         string               `json:"name" maxLength:"200" doc:"That of a receiver of the tenant, whose administrator is then named in notices, or any other."`
	IdentifiesBy []tenancy.Identifier `json:"identifies_by,omitempty" maxItems:"8" enum:"certificate,issuer-serial,key,subject-issuer,subject,san,ca,newest-only" doc:"What the system compares. If it is empty, it is not known."`
	Contact      string               `json:"contact,omitempty" readOnly:"true"`
	Survival     tenancy.Survival     `json:"survival,omitempty" readOnly:"true" enum:"survives,fails,unclear" doc:"Whether the system accepts the next certificate without a change, or one that was seen."`
	Advice       string               `json:"advice,omitempty" readOnly:"true" doc:"What to do there."`
	Installed    time.Time            `json:"installed_at,omitzero" readOnly:"true" doc:"Time at which the newest certificate was reported as installed there. A report proves nothing."`
}

// WatchedSeen is a certificate that was seen of a watched one.
type WatchedSeen struct {
	Number        int                     `json:"number" doc:"1, 2, 3 in the order in which they were seen."`
	Subject       string                  `json:"subject"`
	Issuer        string                  `json:"issuer"`
	Serial        string                  `json:"serial" doc:"Hexadecimal, lowercase."`
	SerialDecimal string                  `json:"serial_decimal"`
	Fingerprint   string                  `json:"fingerprint_sha256"`
	SHA1          string                  `json:"fingerprint_sha1" doc:"For servers that cannot show another fingerprint, such as nginx and HAProxy."`
	NotBefore     time.Time               `json:"not_before"`
	NotAfter      time.Time               `json:"not_after"`
	SeenAt        time.Time               `json:"seen_at"`
	SeenBy        string                  `json:"seen_by"`
	Surprises     []tenancy.WatchSurprise `json:"surprises,omitempty" enum:"early,older,subject,san,issuer,usage,future,expired" doc:"Why it was not the expected successor."`
	Adopted       bool                    `json:"adopted" doc:"True if it counts as the watched certificate."`
}

// WatchExpected states when the owner of a certificate is expected to renew it.
type WatchExpected struct {
	WarnAt    time.Time `json:"warn_at" doc:"Time from which key users are warned."`
	From      time.Time `json:"from" doc:"Earliest expected issue of the next certificate."`
	RenewsAt  time.Time `json:"renews_at,omitzero" doc:"The owner's run that renews it. Absent if only the window is known."`
	OverdueAt time.Time `json:"overdue_at" doc:"Time from which a certificate that was not seen is late."`
}

// WatchUpload is a certificate that the owner of a watched one has issued.
type WatchUpload struct {
	Certificate []byte `json:"certificate" maxLength:"1000000" doc:"The certificate, with its chain, in any form: PEM, DER or PKCS#7."`
	Accept      bool   `json:"accept,omitempty" doc:"Accept a certificate with other names than the watched one."`
}

// Sighting compares a certificate with the one before.
type Sighting struct {
	New     bool             `json:"new" doc:"False if the certificate was seen before."`
	Seen    WatchedSeen      `json:"seen"`
	Before  WatchedSeen      `json:"before"`
	Changes *tenancy.Changes `json:"changes,omitempty" doc:"What changes besides the serial number and the dates. Absent if nothing is new."`
	Systems []WatchSystem    `json:"systems,omitempty" doc:"What to do in each system."`
}

// WatchLink is a link for the administrator of a system that knows a watched certificate.
type WatchLink struct {
	ID        string    `json:"id" readOnly:"true"`
	System    string    `json:"system" maxLength:"200" doc:"One of the systems of the watched certificate."`
	URL       string    `json:"url,omitempty" readOnly:"true" doc:"Shown only when the link is created."`
	CreatedBy string    `json:"created_by,omitempty" readOnly:"true"`
	CreatedAt time.Time `json:"created_at,omitzero" readOnly:"true"`
	ExpiresAt time.Time `json:"expires_at,omitzero" readOnly:"true" doc:"The link also ends when a newer certificate is seen."`
	RevokedAt time.Time `json:"revoked_at,omitzero" readOnly:"true"`
	UsedAt    time.Time `json:"used_at,omitzero" readOnly:"true" doc:"Time at which the certificate was last reported as installed."`
}

// WatchLinked is the content of a link for the administrator of a system.
type WatchLinked struct {
	Tenant    string      `json:"tenant" doc:"Display name of the tenant."`
	Name      string      `json:"name" doc:"Name under which the certificate is watched, as in the names of files."`
	Owner     string      `json:"owner,omitempty" doc:"Who has renewed it."`
	Newest    WatchedSeen `json:"newest" doc:"Certificate to install."`
	Change    *Sighting   `json:"last_change,omitempty" doc:"The certificate compared with the one before. Absent if there is none."`
	System    WatchSystem `json:"system"`
	Installed time.Time   `json:"installed_at,omitzero" doc:"Time at which it was last reported as installed."`
	Contact   *ITContact  `json:"contact,omitempty" doc:"Contact for questions: the key user who created the link, or else the designated IT contact of the tenant."`
}
