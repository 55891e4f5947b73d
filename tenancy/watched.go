package tenancy

import (
	"net"
	"net/url"
	"path/filepath"
	"strconv"
	"time"
)

// A Watched certificate belongs to another organisation, such as a partner that calls systems of the tenant, or the
// operator of a server. Its owner renews it. The tenant's key users are notified before that, and when a new one is
// seen. Perennial neither has its private key nor renews it.
type Watched struct {
	ID       string
	TenantID string
	Name     string // unique in the tenant: "acme-c4c"
	Owner    string // who renews it, for display: "SAP"; may be empty
	// Policy is the owner's rule set as a policy file; empty if only Window is known.
	Policy string
	// Window is the time before the expiry in which the owner renews, as in a policy file: "93d". Only without a policy.
	Window  string
	Source  WatchSource
	Systems []WatchedSystem
	// Noticed is the latest notice about the renewal of the newest certificate.
	Noticed WatchNotice
	// DueAt is the time of the next action: a look at the source, or a notice.
	DueAt time.Time
	// LookedAt is the time of the latest look at the source; zero if there was none.
	LookedAt time.Time
	// FailingSince is the time of the first of the latest looks that failed; zero if the latest one succeeded. LookError
	// is the reason of the latest one.
	FailingSince time.Time
	LookError    string
	CreatedAt    time.Time
	Version      int64
}

// A WatchNotice is a stage of an awaited renewal about which key users were notified.
type WatchNotice string

// The notices, in their order. A certificate without a notice has the empty one.
const (
	WatchWarned  WatchNotice = "warned"
	WatchOverdue WatchNotice = "overdue"
	WatchExpired WatchNotice = "expired"
)

// A WatchSource is a place that shows new certificates. The zero value is none: new certificates are uploaded.
type WatchSource struct {
	Kind    WatchSourceKind `json:"kind,omitempty"`
	Address string          `json:"address,omitempty"`
}

// Public returns the source without what may be a secret: of a URL, only the scheme, the host and the path remain.
func (s WatchSource) Public() WatchSource {
	if s.Kind != WatchURL {
		return s
	}
	u, err := url.Parse(s.Address)
	if err != nil {
		s.Address = ""
		return s
	}
	s.Address = (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path, RawPath: u.RawPath}).String()
	return s
}

// WatchSourceKind is a kind of source.
type WatchSourceKind string

// The kinds of sources, and their addresses.
const (
	WatchFolder WatchSourceKind = "folder" // an absolute path of the service's machine
	WatchURL    WatchSourceKind = "url"    // the https URL of a certificate file
	WatchServer WatchSourceKind = "server" // host:port of a TLS server, whose own certificate is watched
)

// A WatchedSystem is a system of the tenant that knows a watched certificate.
type WatchedSystem struct {
	// Name is that of a receiver of the tenant, whose administrator is then named in notices, or any other.
	Name string `json:"name"`
	// IdentifiesBy lists what the system compares. If it is empty, it is not known.
	IdentifiesBy []Identifier `json:"identifies_by,omitempty"`
}

// MostWatched limits the watched certificates of a tenant.
const MostWatched = 1000

// mostSystems limits the systems of a watched certificate, so that a notice remains readable.
const mostSystems = 50

// maxAddress is the maximum length of a source's address, in bytes.
const maxAddress = 2000

// Check returns an [ErrInvalid] if the watched certificate is not valid. It does not read the policy and the window.
func (w Watched) Check() error {
	if err := CheckName("name", w.Name); err != nil {
		return err
	}
	if w.Owner != "" {
		if err := CheckText("owner", w.Owner); err != nil {
			return err
		}
	}
	if err := w.Source.check(); err != nil {
		return err
	}
	if len(w.Systems) > mostSystems {
		return Invalid("systems", "there are more than %d systems: watch the certificate under several names", mostSystems)
	}
	seen := map[string]bool{}
	for _, s := range w.Systems {
		if err := CheckText("systems", s.Name); err != nil {
			return err
		}
		if seen[s.Name] {
			return Invalid("systems", "contains %s twice", shown(s.Name))
		}
		seen[s.Name] = true
		if err := checkIdentifiers("systems", s.IdentifiesBy); err != nil {
			return err
		}
	}
	return nil
}

func (s WatchSource) check() error {
	if len(s.Address) > maxAddress {
		return Invalid("source", "the address is longer than %d bytes", maxAddress)
	}
	if s.Address != "" {
		if err := CheckNote("source", s.Address); err != nil {
			return err
		}
	}
	switch s.Kind {
	case "":
		if s.Address != "" {
			return Invalid("source", "an address needs a kind: use folder, url or server")
		}
	case WatchFolder:
		if !filepath.IsAbs(s.Address) {
			return Invalid("source", "%s is not an absolute path", shown(s.Address))
		}
	case WatchURL:
		return s.checkURL()
	case WatchServer:
		host, port, err := net.SplitHostPort(s.Address)
		if n, invalid := strconv.ParseUint(port, 10, 16); err != nil || host == "" || invalid != nil || n == 0 {
			return Invalid("source", "%s is not the address of a TLS server: use one such as erp.example.com:443",
				shown(s.Address))
		}
	default:
		return Invalid("source", "unknown kind %s: use folder, url or server", shown(string(s.Kind)))
	}
	return nil
}

func (s WatchSource) checkURL() error {
	u, err := url.Parse(s.Address)
	switch {
	case err != nil || u.Scheme != "https" || u.Hostname() == "":
		return Invalid("source", "%s is not an https URL: use one such as https://partner.example.com/certificate.cer",
			shown(s.Address))
	case u.User != nil:
		return Invalid("source", "the URL must not contain a user name or password")
	case u.Fragment != "":
		return Invalid("source", "the URL must not contain a fragment")
	}
	return nil
}

// A WatchedCertificate is one certificate that was seen of a watched one.
type WatchedCertificate struct {
	ID          string
	TenantID    string
	WatchedID   string
	Position    int    // 1, 2, 3 ... in the order in which they were seen
	Fingerprint string // SHA-256 of DER, 64 lowercase hexadecimal digits
	DER         []byte
	Chain       []byte // the certificates (DER, joined) of the CAs above it, as far as they were seen
	NotBefore   time.Time
	NotAfter    time.Time
	SeenAt      time.Time
	SeenBy      string // a person, or the source
	// Surprises state why it was not expected; empty if it was.
	Surprises []WatchSurprise
	// Adopted is true if it counts as the watched certificate. An expired one does not. An unexpected one does only if it
	// was verified, or if a person has accepted it.
	Adopted bool
}

// A WatchLink lets the administrator of a system fetch the new certificate of a watched one, and report that it is
// installed. It is for one certificate, and ends with the next one. Its secret is shown once and stored as a hash.
type WatchLink struct {
	ID            string
	TenantID      string
	WatchedID     string
	CertificateID string
	System        string // name
	CreatedBy     string
	CreatedAt     time.Time
	ExpiresAt     time.Time
	RevokedAt     time.Time
	UsedAt        time.Time // when the installation was last reported
}

// WatchSurprise is a reason for which a new certificate is not the expected successor.
type WatchSurprise string

// The surprises.
const (
	SurpriseEarly   WatchSurprise = "early"   // issued before the window
	SurpriseOlder   WatchSurprise = "older"   // issued before the known one
	SurpriseSubject WatchSurprise = "subject" // another subject
	SurpriseSAN     WatchSurprise = "san"     // another subject alternative name
	SurpriseIssuer  WatchSurprise = "issuer"  // another issuing CA, by name or key
	SurpriseUsage   WatchSurprise = "usage"   // another extended key usage
	SurpriseFuture  WatchSurprise = "future"  // valid only from more than a day after it was seen
	SurpriseExpired WatchSurprise = "expired" // expired when it was seen
)

// A WatchReport is what a notice about a watched certificate states. It is stored with the notice, so that a mail
// describes the event even if the certificate is not watched any longer when it is sent.
type WatchReport struct {
	Name    string          `json:"name"`
	Owner   string          `json:"owner,omitempty"`
	Alarm   WatchAlarm      `json:"alarm,omitempty"` // empty in a warning, and for an expected renewal
	Old     []byte          `json:"old"`             // DER
	New     []byte          `json:"new,omitempty"`   // DER; empty if none was seen
	Systems []WatchedSystem `json:"systems,omitempty"`
	// From and RenewsAt are the start of the window, and the owner's run; RenewsAt may be zero.
	From      time.Time       `json:"from,omitzero"`
	RenewsAt  time.Time       `json:"renews_at,omitzero"`
	Changes   *Changes        `json:"changes,omitempty"` // nil if no certificate was seen, or if it cannot be compared
	Surprises []WatchSurprise `json:"surprises,omitempty"`
	Source    WatchSource     `json:"source,omitzero"`
	Since     time.Time       `json:"since,omitzero"` // since when the source fails
	LookError string          `json:"look_error,omitempty"`
}

// WatchAlarm is the reason of an alarm.
type WatchAlarm string

// The alarms.
const (
	AlarmOverdue    WatchAlarm = "overdue"
	AlarmExpired    WatchAlarm = "expired"
	AlarmUnexpected WatchAlarm = "unexpected"
	AlarmUnseen     WatchAlarm = "unseen" // the source cannot be read
)
