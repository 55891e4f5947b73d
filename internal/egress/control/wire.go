package control

import (
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/perennial-pki/perennial/internal/engine/standing"
	"github.com/perennial-pki/perennial/rollover"
	"github.com/perennial-pki/perennial/tenancy"
)

// version is the version of the format in this file. It increases with a change that a peer of a neighbouring version
// could misread. A new field is not such a change: a peer ignores the fields that it does not have. Requests and
// answers carry it in [versionHeader]. A peer that sends none uses version 1.
const version = 1

const versionHeader = "Perennial-Control-Version"

// checkVersion returns an error if the peer that sent a header uses a newer format.
func checkVersion(h http.Header) error {
	sent := h.Get(versionHeader)
	if sent == "" {
		return nil
	}
	if v, err := strconv.Atoi(sent); err != nil || v > version {
		return fmt.Errorf("it uses version %q of the control protocol, and this side supports version %d", sent, version)
	}
	return nil
}

// The data between a gateway and the service has types of its own, so that renaming a field elsewhere changes nothing
// here. Their names are part of the format. testdata/wire has an example of each, and testdata/older has examples of an
// earlier release.
type (
	standingRequest struct {
		Tenant      string `json:"Tenant"`
		Arrangement string `json:"Arrangement"`
		SealTo      []byte `json:"SealTo"` // public key of the process that asks
	}
	standingAnswer struct {
		Standing   wireStanding     `json:"Standing"`
		Identities []sealedIdentity `json:"Identities"`
	}
	wireStanding struct {
		Tenant       wireTenant        `json:"Tenant"`
		Arrangement  wireArrangement   `json:"Arrangement"`
		Rollover     wireRollover      `json:"Rollover"`
		Certificates []wireCertificate `json:"Certificates"`
		Evidence     []wireEvidence    `json:"Evidence"`
	}
	wireTenant struct {
		ID          string    `json:"ID"`
		Name        string    `json:"Name"`
		DisplayName string    `json:"DisplayName"`
		KeyType     string    `json:"KeyType"`
		Mails       bool      `json:"MailsAdministrators,omitzero"`
		CreatedAt   time.Time `json:"CreatedAt"`
		Version     int64     `json:"Version"`
	}
	wireArrangement struct {
		ID             string     `json:"ID"`
		TenantID       string     `json:"TenantID"`
		ReceiverID     string     `json:"ReceiverID"`
		Name           string     `json:"Name"`
		Scenario       string     `json:"Scenario"`
		Endpoint       string     `json:"Endpoint"`
		Authentication string     `json:"Authentication"`
		Strategy       string     `json:"Strategy"`
		Generation     int        `json:"Generation"`
		NeededOldAt    time.Time  `json:"NeededOldAt"`
		Egress         wireEgress `json:"Egress"`
		CreatedAt      time.Time  `json:"CreatedAt"`
		Version        int64      `json:"Version"`
		UnaskedAt      time.Time  `json:"UnaskedAt,omitzero"`
		NewestOnlyAt   time.Time  `json:"NewestOnlyAt,omitzero"`
		FollowedAt     time.Time  `json:"FollowedAt,omitzero"`
		Credential     string     `json:"Credential,omitempty"`
	}
	wireEgress struct {
		RefusalStatuses []int             `json:"refusal_statuses,omitempty"`
		RefusalRules    []wireRefusalRule `json:"refusal_rules,omitempty"`
		KeepBytes       int64             `json:"keep_bytes,omitempty"`
		TimeoutSeconds  int               `json:"timeout_seconds,omitempty"`
		Connections     int               `json:"connections,omitempty"`
		ServerCA        string            `json:"server_ca,omitempty"`
		ServerKeyPin    string            `json:"server_key_pin,omitempty"`
		Probe           wireProbe         `json:"probe,omitzero"`
		Park            bool              `json:"park,omitempty"`
		MaxTLS          string            `json:"max_tls,omitempty"`
		IdentifiesBy    []string          `json:"identifies_by,omitempty"`
		Proxy           string            `json:"proxy,omitempty"`
	}
	wireRefusalRule struct {
		Preset      string `json:"preset,omitempty"`
		Status      int    `json:"status,omitempty"`
		Header      string `json:"header,omitempty"`
		Contains    string `json:"contains,omitempty"`
		ContentType string `json:"content_type,omitempty"`
		Text        string `json:"text,omitempty"`
	}
	wireProbe struct {
		Method   string `json:"method,omitempty"`
		Path     string `json:"path,omitempty"`
		Statuses []int  `json:"statuses,omitempty"`
	}
	wireRollover struct {
		Strategy    string           `json:"Strategy"`
		Presents    int              `json:"Presents"`
		NeededOldAt time.Time        `json:"NeededOldAt"`
		UnaskedAt   time.Time        `json:"UnaskedAt,omitzero"`
		NewestOnly  bool             `json:"NewestOnly,omitempty"`
		Generations []wireGeneration `json:"Generations"`
	}
	wireGeneration struct {
		Number       int       `json:"Number"`
		NotBefore    time.Time `json:"NotBefore"`
		NotAfter     time.Time `json:"NotAfter"`
		Revoked      bool      `json:"Revoked"`
		NoticedUntil time.Time `json:"NoticedUntil"`
		PresentedAt  time.Time `json:"PresentedAt"`
		Verdict      string    `json:"Verdict"`
		VerdictAt    time.Time `json:"VerdictAt"`
		By           string    `json:"By"`
		ClaimedAt    time.Time `json:"ClaimedAt,omitzero"`
		ClaimedBy    string    `json:"ClaimedBy,omitempty"`
		Latest       string    `json:"Latest,omitempty"`
		TurnedAt     time.Time `json:"TurnedAt,omitzero"`
	}
	wireCertificate struct {
		ID           string    `json:"ID"`
		TenantID     string    `json:"TenantID"`
		Purpose      string    `json:"Purpose"`
		Generation   int       `json:"Generation"`
		State        string    `json:"State"`
		Serial       string    `json:"Serial"`
		Fingerprint  string    `json:"Fingerprint"`
		Subject      string    `json:"Subject"`
		NotBefore    time.Time `json:"NotBefore"`
		NotAfter     time.Time `json:"NotAfter"`
		KeyType      string    `json:"KeyType"`
		DER          []byte    `json:"DER"`
		IssuerID     string    `json:"IssuerID"`
		SuccessorID  string    `json:"SuccessorID"`
		NoticedUntil time.Time `json:"NoticedUntil"`
		WarnedAt     time.Time `json:"WarnedAt"`
		CreatedAt    time.Time `json:"CreatedAt"`
		RevokedAt    time.Time `json:"RevokedAt"`
		RevokedFor   string    `json:"RevokedFor"`
		Issuer       string    `json:"Issuer,omitempty"`
	}
	wireEvidence struct {
		ArrangementID string    `json:"ArrangementID"`
		Generation    int       `json:"Generation"`
		PresentedAt   time.Time `json:"PresentedAt"`
		Verdict       string    `json:"Verdict"`
		VerdictAt     time.Time `json:"VerdictAt"`
		Source        string    `json:"Source"`
		Detail        string    `json:"Detail"`
		ClaimedAt     time.Time `json:"ClaimedAt,omitzero"`
		ClaimedBy     string    `json:"ClaimedBy,omitempty"`
		Latest        string    `json:"Latest,omitempty"`
		TurnedAt      time.Time `json:"TurnedAt,omitzero"`
		Kinds         []string  `json:"Kinds,omitempty"`
	}
	// A sealedIdentity is a [standing.Identity] for one process.
	sealedIdentity struct {
		Generation int      `json:"Generation"`
		Chain      [][]byte `json:"Chain"`
		Key        []byte   `json:"Key"`              // PKCS #8, sealed
		Remote     bool     `json:"Remote,omitempty"` // the service signs; Key is empty, or a copy
		// CopyFor limits the use of the copy: the time after the last answer of the service, in nanoseconds.
		CopyFor time.Duration `json:"CopyFor,omitempty"`
	}
	// A signRequest asks for one signature of a TLS handshake.
	signRequest struct {
		Tenant      string `json:"Tenant"`
		Arrangement string `json:"Arrangement"`
		Generation  int    `json:"Generation"`
		Hash        string `json:"Hash,omitempty"` // name of the hash; empty for Ed25519
		PSS         bool   `json:"PSS,omitempty"`  // RSASSA-PSS, with a salt as long as the hash
		Message     []byte `json:"Message"`        // what TLS signs, before it is hashed
	}
	signAnswer struct {
		Signature []byte `json:"Signature"`
	}
	wireToken struct {
		ID         string    `json:"ID"`
		Name       string    `json:"Name"`
		Role       string    `json:"Role"`
		TenantID   string    `json:"TenantID"`
		Tenant     string    `json:"Tenant"`
		KeyUserID  string    `json:"KeyUserID"`
		KeyUser    string    `json:"KeyUser"`
		Origin     string    `json:"Origin"`
		Issuer     string    `json:"Issuer,omitempty"`
		Subject    string    `json:"Subject,omitempty"`
		CreatedAt  time.Time `json:"CreatedAt"`
		ExpiresAt  time.Time `json:"ExpiresAt"`
		LastUsedAt time.Time `json:"LastUsedAt"`
		RevokedAt  time.Time `json:"RevokedAt"`
	}
	observeRequest struct {
		ArrangementID string            `json:"ArrangementID"`
		Seen          []wireObservation `json:"Seen"`
	}
	wireObservation struct {
		Generation int       `json:"Generation"`
		Verdict    string    `json:"Verdict"`
		By         string    `json:"By"`
		At         time.Time `json:"At"`
		Detail     string    `json:"Detail"`
		Unasked    bool      `json:"Unasked,omitempty"`
		Kind       string    `json:"Kind,omitempty"`
	}
	wireMessage struct {
		ID            string        `json:"ID"`
		ArrangementID string        `json:"ArrangementID"`
		At            time.Time     `json:"At"`
		Method        string        `json:"Method"`
		Path          string        `json:"Path"`
		Status        int           `json:"Status"`
		Generation    int           `json:"Generation"`
		Attempts      int           `json:"Attempts"`
		Duration      time.Duration `json:"Duration"` // in nanoseconds
		Outcome       string        `json:"Outcome"`
		Count         int           `json:"Count"`
	}
	wireParked struct {
		ID             string    `json:"ID"`
		ArrangementID  string    `json:"ArrangementID"`
		TenantID       string    `json:"TenantID"`
		IdempotencyKey string    `json:"IdempotencyKey"`
		Digest         []byte    `json:"Digest"`
		Method         string    `json:"Method"`
		Path           string    `json:"Path"`
		State          string    `json:"State"`
		Bytes          int64     `json:"Bytes,omitempty"`
		Chunks         int       `json:"Chunks,omitempty"`
		Attempts       int       `json:"Attempts"`
		NextAt         time.Time `json:"NextAt"`
		Status         int       `json:"Status"`
		LastError      string    `json:"LastError"`
		CreatedAt      time.Time `json:"CreatedAt"`
		EndedAt        time.Time `json:"EndedAt"`
	}
	parkRequest struct {
		Parked  wireParked `json:"Parked"`
		Request []byte     `json:"Request"`
	}
	// A parkedChunk is a part of a parked body.
	parkedChunk struct {
		Parked wireParked `json:"Parked"`
		N      int        `json:"N"`
		Last   bool       `json:"Last,omitempty"`
		Data   []byte     `json:"Data,omitempty"` // empty in the request for one
	}
	parkedRequest struct {
		ArrangementID string `json:"ArrangementID"`
		ID            string `json:"ID"`
	}
	dueParkedRequest struct {
		Now   time.Time `json:"Now"`
		Limit int       `json:"Limit"`
	}
	parkedAddressAnswer struct {
		Tenant      string        `json:"Tenant"`
		Arrangement string        `json:"Arrangement"`
		Timeout     time.Duration `json:"Timeout"` // in nanoseconds
	}
	claimParkedRequest struct {
		Parked wireParked `json:"Parked"`
		Until  time.Time  `json:"Until"`
	}
	claimParkedAnswer struct {
		Claimed bool   `json:"Claimed"`
		Request []byte `json:"Request"`
	}
	nothing struct{}
)

// convert converts each element. A nil list stays nil.
func convert[A, B any](all []A, one func(A) B) []B {
	if all == nil {
		return nil
	}
	out := make([]B, len(all))
	for i, a := range all {
		out[i] = one(a)
	}
	return out
}

func toStanding(s standing.Standing) wireStanding {
	return wireStanding{
		Tenant:       toTenant(s.Tenant),
		Arrangement:  toArrangement(s.Arrangement),
		Rollover:     toRollover(s.Rollover),
		Certificates: convert(s.Certificates, toCertificate),
		Evidence:     convert(s.Evidence, toEvidence),
	}
}

func (s wireStanding) value() standing.Standing {
	return standing.Standing{
		Tenant:       s.Tenant.value(),
		Arrangement:  s.Arrangement.value(),
		Rollover:     s.Rollover.value(),
		Certificates: convert(s.Certificates, wireCertificate.value),
		Evidence:     convert(s.Evidence, wireEvidence.value),
	}
}

func toTenant(t tenancy.Tenant) wireTenant {
	return wireTenant{ID: t.ID, Name: t.Name, DisplayName: t.DisplayName, KeyType: string(t.KeyType),
		Mails: t.MailsAdministrators, CreatedAt: t.CreatedAt, Version: t.Version}
}

func (t wireTenant) value() tenancy.Tenant {
	return tenancy.Tenant{ID: t.ID, Name: t.Name, DisplayName: t.DisplayName, KeyType: tenancy.KeyType(t.KeyType),
		MailsAdministrators: t.Mails, CreatedAt: t.CreatedAt, Version: t.Version}
}

func toArrangement(a tenancy.Arrangement) wireArrangement {
	return wireArrangement{ID: a.ID, TenantID: a.TenantID, ReceiverID: a.ReceiverID, Name: a.Name, Scenario: a.Scenario,
		Endpoint: a.Endpoint, Authentication: string(a.Authentication), Strategy: string(a.Strategy),
		Generation: a.Generation, NeededOldAt: a.NeededOldAt, Egress: toEgress(a.Egress), CreatedAt: a.CreatedAt,
		Version: a.Version, UnaskedAt: a.Learned.UnaskedAt, NewestOnlyAt: a.Learned.NewestOnlyAt,
		FollowedAt: a.Learned.FollowedAt, Credential: string(a.Credential)}
}

func (a wireArrangement) value() tenancy.Arrangement {
	return tenancy.Arrangement{ID: a.ID, TenantID: a.TenantID, ReceiverID: a.ReceiverID, Name: a.Name,
		Scenario: a.Scenario, Endpoint: a.Endpoint, Authentication: tenancy.Authentication(a.Authentication),
		Strategy: tenancy.Strategy(a.Strategy), Generation: a.Generation, NeededOldAt: a.NeededOldAt,
		Egress: a.Egress.value(), CreatedAt: a.CreatedAt, Version: a.Version,
		Learned:    tenancy.Learned{UnaskedAt: a.UnaskedAt, NewestOnlyAt: a.NewestOnlyAt, FollowedAt: a.FollowedAt},
		Credential: tenancy.Purpose(a.Credential)}
}

func toEgress(e tenancy.Egress) wireEgress {
	return wireEgress{RefusalStatuses: e.RefusalStatuses,
		RefusalRules: convert(e.RefusalRules, func(r tenancy.RefusalRule) wireRefusalRule {
			return wireRefusalRule(r)
		}), KeepBytes: e.KeepBytes, TimeoutSeconds: e.TimeoutSeconds,
		Connections: e.Connections, ServerCA: e.ServerCA, ServerKeyPin: e.ServerKeyPin, Park: e.Park, MaxTLS: e.MaxTLS,
		Proxy:        e.Proxy,
		IdentifiesBy: convert(e.IdentifiesBy, func(i tenancy.Identifier) string { return string(i) }),
		Probe:        wireProbe{Method: e.Probe.Method, Path: e.Probe.Path, Statuses: e.Probe.Statuses}}
}

func (e wireEgress) value() tenancy.Egress {
	return tenancy.Egress{RefusalStatuses: e.RefusalStatuses,
		RefusalRules: convert(e.RefusalRules, func(r wireRefusalRule) tenancy.RefusalRule {
			return tenancy.RefusalRule(r)
		}), KeepBytes: e.KeepBytes, TimeoutSeconds: e.TimeoutSeconds,
		Connections: e.Connections, ServerCA: e.ServerCA, ServerKeyPin: e.ServerKeyPin, Park: e.Park, MaxTLS: e.MaxTLS,
		Proxy:        e.Proxy,
		IdentifiesBy: convert(e.IdentifiesBy, func(i string) tenancy.Identifier { return tenancy.Identifier(i) }),
		Probe:        tenancy.Probe{Method: e.Probe.Method, Path: e.Probe.Path, Statuses: e.Probe.Statuses}}
}

func toRollover(r rollover.Rollover) wireRollover {
	return wireRollover{Strategy: string(r.Strategy), Presents: r.Presents, NeededOldAt: r.NeededOldAt,
		UnaskedAt: r.UnaskedAt, NewestOnly: r.NewestOnly, Generations: convert(r.Generations, toGeneration)}
}

func (r wireRollover) value() rollover.Rollover {
	return rollover.Rollover{Strategy: tenancy.Strategy(r.Strategy), Presents: r.Presents, NeededOldAt: r.NeededOldAt,
		UnaskedAt: r.UnaskedAt, NewestOnly: r.NewestOnly, Generations: convert(r.Generations, wireGeneration.value)}
}

func toGeneration(g rollover.Generation) wireGeneration {
	return wireGeneration{Number: g.Number, NotBefore: g.NotBefore, NotAfter: g.NotAfter, Revoked: g.Revoked,
		NoticedUntil: g.NoticedUntil, PresentedAt: g.PresentedAt, Verdict: string(g.Verdict), VerdictAt: g.VerdictAt,
		By: string(g.By), ClaimedAt: g.ClaimedAt, ClaimedBy: string(g.ClaimedBy), Latest: string(g.Latest),
		TurnedAt: g.TurnedAt}
}

func (g wireGeneration) value() rollover.Generation {
	return rollover.Generation{Number: g.Number, NotBefore: g.NotBefore, NotAfter: g.NotAfter, Revoked: g.Revoked,
		NoticedUntil: g.NoticedUntil, PresentedAt: g.PresentedAt, Verdict: rollover.Verdict(g.Verdict),
		VerdictAt: g.VerdictAt, By: rollover.Source(g.By), ClaimedAt: g.ClaimedAt, ClaimedBy: rollover.Source(g.ClaimedBy),
		Latest: rollover.Verdict(g.Latest), TurnedAt: g.TurnedAt}
}

func toCertificate(c tenancy.Certificate) wireCertificate {
	return wireCertificate{ID: c.ID, TenantID: c.TenantID, Purpose: string(c.Purpose), Generation: c.Generation,
		State: string(c.State), Serial: c.Serial, Fingerprint: c.Fingerprint, Subject: c.Subject, NotBefore: c.NotBefore,
		NotAfter: c.NotAfter, KeyType: string(c.KeyType), DER: c.DER, IssuerID: c.IssuerID, SuccessorID: c.SuccessorID,
		NoticedUntil: c.NoticedUntil, WarnedAt: c.WarnedAt, CreatedAt: c.CreatedAt, RevokedAt: c.RevokedAt,
		RevokedFor: c.RevokedFor, Issuer: c.Issuer}
}

func (c wireCertificate) value() tenancy.Certificate {
	return tenancy.Certificate{ID: c.ID, TenantID: c.TenantID, Purpose: tenancy.Purpose(c.Purpose),
		Generation: c.Generation, State: tenancy.State(c.State), Serial: c.Serial, Fingerprint: c.Fingerprint,
		Subject: c.Subject, NotBefore: c.NotBefore, NotAfter: c.NotAfter, KeyType: tenancy.KeyType(c.KeyType), DER: c.DER,
		IssuerID: c.IssuerID, SuccessorID: c.SuccessorID, NoticedUntil: c.NoticedUntil, WarnedAt: c.WarnedAt,
		CreatedAt: c.CreatedAt, RevokedAt: c.RevokedAt, RevokedFor: c.RevokedFor, Issuer: c.Issuer}
}

func toEvidence(e standing.Evidence) wireEvidence {
	return wireEvidence{ArrangementID: e.ArrangementID, Generation: e.Generation, PresentedAt: e.PresentedAt,
		Verdict: string(e.Verdict), VerdictAt: e.VerdictAt, Source: string(e.Source), Detail: e.Detail,
		ClaimedAt: e.ClaimedAt, ClaimedBy: string(e.ClaimedBy), Latest: string(e.Latest), TurnedAt: e.TurnedAt,
		Kinds: e.Kinds}
}

func (e wireEvidence) value() standing.Evidence {
	return standing.Evidence{ArrangementID: e.ArrangementID, Generation: e.Generation, PresentedAt: e.PresentedAt,
		Verdict: rollover.Verdict(e.Verdict), VerdictAt: e.VerdictAt, Source: rollover.Source(e.Source), Detail: e.Detail,
		ClaimedAt: e.ClaimedAt, ClaimedBy: rollover.Source(e.ClaimedBy), Latest: rollover.Verdict(e.Latest),
		TurnedAt: e.TurnedAt, Kinds: e.Kinds}
}

func toToken(t tenancy.Token) wireToken {
	return wireToken{ID: t.ID, Name: t.Name, Role: string(t.Role), TenantID: t.TenantID, Tenant: t.Tenant,
		KeyUserID: t.KeyUserID, KeyUser: t.KeyUser, Origin: t.Origin, Issuer: t.Issuer, Subject: t.Subject,
		CreatedAt: t.CreatedAt, ExpiresAt: t.ExpiresAt, LastUsedAt: t.LastUsedAt, RevokedAt: t.RevokedAt}
}

func (t wireToken) value() tenancy.Token {
	return tenancy.Token{ID: t.ID, Name: t.Name, Role: tenancy.Role(t.Role), TenantID: t.TenantID, Tenant: t.Tenant,
		KeyUserID: t.KeyUserID, KeyUser: t.KeyUser, Origin: t.Origin, Issuer: t.Issuer, Subject: t.Subject,
		CreatedAt: t.CreatedAt, ExpiresAt: t.ExpiresAt, LastUsedAt: t.LastUsedAt, RevokedAt: t.RevokedAt}
}

func toObservation(o standing.Observation) wireObservation {
	return wireObservation{Generation: o.Generation, Verdict: string(o.Verdict), By: string(o.By), At: o.At,
		Detail: o.Detail, Unasked: o.Unasked, Kind: o.Kind}
}

func (o wireObservation) value() standing.Observation {
	return standing.Observation{Detail: o.Detail, Kind: o.Kind, Evidence: rollover.Evidence{Generation: o.Generation,
		Verdict: rollover.Verdict(o.Verdict), By: rollover.Source(o.By), At: o.At, Unasked: o.Unasked}}
}

func toMessage(m tenancy.Message) wireMessage {
	return wireMessage{ID: m.ID, ArrangementID: m.ArrangementID, At: m.At, Method: m.Method, Path: m.Path,
		Status: m.Status, Generation: m.Generation, Attempts: m.Attempts, Duration: m.Duration, Outcome: m.Outcome,
		Count: m.Count}
}

func (m wireMessage) value() tenancy.Message {
	return tenancy.Message{ID: m.ID, ArrangementID: m.ArrangementID, At: m.At, Method: m.Method, Path: m.Path,
		Status: m.Status, Generation: m.Generation, Attempts: m.Attempts, Duration: m.Duration, Outcome: m.Outcome,
		Count: m.Count}
}

func toParked(p tenancy.Parked) wireParked {
	return wireParked{ID: p.ID, ArrangementID: p.ArrangementID, TenantID: p.TenantID, IdempotencyKey: p.IdempotencyKey,
		Digest: p.Digest, Method: p.Method, Path: p.Path, State: string(p.State), Bytes: p.Bytes, Chunks: p.Chunks,
		Attempts: p.Attempts, NextAt: p.NextAt, Status: p.Status, LastError: p.LastError, CreatedAt: p.CreatedAt,
		EndedAt: p.EndedAt}
}

func (p wireParked) value() tenancy.Parked {
	return tenancy.Parked{ID: p.ID, ArrangementID: p.ArrangementID, TenantID: p.TenantID,
		IdempotencyKey: p.IdempotencyKey, Digest: p.Digest, Method: p.Method, Path: p.Path,
		State: tenancy.ParkedState(p.State), Bytes: p.Bytes, Chunks: p.Chunks, Attempts: p.Attempts, NextAt: p.NextAt,
		Status: p.Status, LastError: p.LastError, CreatedAt: p.CreatedAt, EndedAt: p.EndedAt}
}

func (c parkedChunk) part() tenancy.ParkedPart {
	return tenancy.ParkedPart{N: c.N, Last: c.Last, Data: c.Data}
}
