package policy

import (
	"fmt"
	"strings"
	"time"
)

var firstOfMonth = Schedule{Every: Month, Day: 1, Zone: time.UTC}

// mUserMailsSince is when the hosting team began to mail IT contacts about the M-user's certificate (KBA 2579512).
var mUserMailsSince = time.Date(2024, 11, 1, 0, 0, 0, 0, time.UTC)

// Default is the policy of an installation that chooses none: published renewals, and a warning window that reaches the
// 93 days (31 between two runs, and 62) that make a renewal without an earlier warning impossible.
const Default = "perennial"

var presets = []Policy{
	{
		Name: "perennial", Source: "our default: renews as published, warns early enough for every renewal",
		Schedule: firstOfMonth, RenewWithin: Days(62), WarnFrom: Days(60), WarnTo: Days(93), Validity: 365 * Day,
	},
	{
		Name: "sap-c4c", Source: "SAP KBA 2585332, as of November 2024",
		Schedule: firstOfMonth, RenewWithin: Days(62), WarnFrom: Days(60), WarnTo: Days(90), Validity: 365 * Day,
		MailMUserSince: mUserMailsSince,
	},
	{
		Name: "sap-c4c-60", Source: "SAP KBA 2585332, early version",
		Schedule: firstOfMonth, RenewWithin: Days(60), WarnFrom: Days(60), WarnTo: Days(90), Validity: 365 * Day,
		MailMUserSince: mUserMailsSince,
	},
	{
		Name: "sap-c4c-92", Source: "SAP KBA 2585332, later version",
		Schedule: firstOfMonth, RenewWithin: Days(62), WarnFrom: Days(62), WarnTo: Days(92), Validity: 365 * Day,
		MailITContactsWithin: Days(92), MailMUserSince: mUserMailsSince,
	},
	{
		// A third is where ACME clients renew. Half leaves 0.17 of the lifetime for a warning: 28 hours of a certificate
		// of 7 days, longer than the longest civil day, so that some daily run falls into it.
		Name: "short-lived", Source: "for certificates of 7 to 90 days",
		Schedule: Schedule{Every: Daily, Zone: time.UTC}, RenewWithin: Share(0.33), WarnFrom: Share(0.33), WarnTo: Share(0.5),
		WarnOnce: true, Validity: 47 * Day,
	},
}

// Presets are the built-in policies, the default first.
func Presets() []Policy { return append([]Policy(nil), presets...) }

// Preset is the built-in policy of that name.
func Preset(name string) (Policy, error) {
	names := make([]string, len(presets))
	for i, p := range presets {
		if p.Name == name {
			return p, nil
		}
		names[i] = p.Name
	}
	return Policy{}, fmt.Errorf("there is no policy %q: use one of %s, or the path of a policy file", name,
		strings.Join(names, ", "))
}
