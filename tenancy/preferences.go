package tenancy

import (
	"cmp"
	"slices"
	"time"
)

// The languages of texts for people.
const (
	English = "en"
	German  = "de"
)

// Languages returns the languages of texts for people.
func Languages() []string { return []string{English, German} }

// Preferences are the language and the time zone in which a person reads texts. Empty fields stand for a default.
type Preferences struct {
	Language string // one of [Languages]
	Zone     string // IANA name, such as Europe/Berlin
}

// Check returns an [ErrInvalid] if the language or the zone is unknown.
func (p Preferences) Check() error {
	if p.Language != "" && !slices.Contains(Languages(), p.Language) {
		return Invalid("language", "unsupported language %q: use en or de", p.Language)
	}
	if _, err := time.LoadLocation(p.Zone); err != nil || p.Zone == "Local" {
		return Invalid("zone", "unknown time zone %q: use an IANA name such as Europe/Berlin", p.Zone)
	}
	return nil
}

// Or returns the preferences with those of d in place of empty fields.
func (p Preferences) Or(d Preferences) Preferences {
	return Preferences{Language: cmp.Or(p.Language, d.Language), Zone: cmp.Or(p.Zone, d.Zone)}
}

// Location returns the time zone. It is UTC if the zone is empty or unknown here.
func (p Preferences) Location() *time.Location {
	if l, err := time.LoadLocation(p.Zone); err == nil {
		return l
	}
	return time.UTC
}
