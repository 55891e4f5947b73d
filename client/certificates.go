package client

import (
	"time"

	"github.com/perennial-pki/perennial/policy"
	"github.com/perennial-pki/perennial/tenancy"
)

// Certificate is one generation of a certificate of a tenant.
type Certificate struct {
	Purpose    tenancy.Purpose `json:"purpose" doc:"Name of the credential."`
	Generation int             `json:"generation"`
	State      tenancy.State   `json:"state" enum:"standby,active,retired,revoked"`
	Subject    string          `json:"subject" doc:"In the form of RFC 4514, as OpenSSL prints it."`
	Issuer     string          `json:"issuer,omitempty" doc:"In the same form. Absent if the certificate cannot be read."`
	Serial     string          `json:"serial" doc:"Hexadecimal, lowercase."`
	// The serial number in other notations. Absent if the certificate cannot be read.
	SerialDecimal string          `json:"serial_decimal,omitempty"`
	SerialOpenSSL string          `json:"serial_openssl,omitempty" doc:"As \"openssl x509 -serial\" prints it."`
	SerialDotNET  string          `json:"serial_dotnet,omitempty" doc:"As .NET and Windows show it: a number whose first bit is set begins with 00."`
	Fingerprint   string          `json:"fingerprint_sha256"`
	SHA1          string          `json:"fingerprint_sha1" doc:"For servers that cannot show another fingerprint, such as nginx and HAProxy."`
	NotBefore     time.Time       `json:"not_before"`
	NotAfter      time.Time       `json:"not_after"`
	KeyType       tenancy.KeyType `json:"key_type"`
	RevokedAt     time.Time       `json:"revoked_at,omitzero"`
	RevokedFor    string          `json:"revoked_for,omitempty"`
}

// IssuedCertificate is the newest generation after a renewal or a revocation.
type IssuedCertificate struct {
	Certificate
	Revoked []int    `json:"revoked_generations,omitempty" doc:"Generations that this request revoked."`
	Exposed []string `json:"exposed_arrangements,omitempty" doc:"If a generation was revoked: the arrangements (TENANT/ARRANGEMENT) whose receiver is not known to accept any certificate that is left. Their messages can be refused, or cannot be sent until the CA issues the next one."`
}

// TenantForecast is the forecast for the certificates of a tenant.
type TenantForecast struct {
	Policy       string                `json:"policy"`
	Certificates []CertificateForecast `json:"certificates"`
}

// CertificateForecast is the forecast for one generation.
type CertificateForecast struct {
	Purpose    tenancy.Purpose `json:"purpose"`
	Generation int             `json:"generation"`
	NotAfter   time.Time       `json:"not_after"`
	Events     []ForecastEvent `json:"events"`
	Surprise   bool            `json:"surprise" doc:"True if it is renewed without an earlier warning."`
}

// ForecastEvent is the action of one run on a certificate.
type ForecastEvent struct {
	At       time.Time     `json:"at"`
	Action   policy.Action `json:"action" enum:"warn,renew,expired"`
	DaysLeft float64       `json:"days_left"`
}

// FleetForecast is the forecast for the next runs.
type FleetForecast struct {
	Policy string        `json:"policy"`
	Runs   []RunForecast `json:"runs"`
}

// RunForecast is the forecast for one run.
type RunForecast struct {
	RunDate time.Time `json:"run_date"`
	Warn    int       `json:"warn"`
	Renew   int       `json:"renew"`
}

// DueCertificate is a certificate that a future run warns about or renews.
type DueCertificate struct {
	Tenant     string          `json:"tenant"`
	Purpose    tenancy.Purpose `json:"purpose"`
	Generation int             `json:"generation"`
	NotAfter   time.Time       `json:"not_after"`
	Action     policy.Action   `json:"action" enum:"warn,renew"`
}
