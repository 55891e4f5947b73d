package policy

import (
	"fmt"
	"strings"
	"time"
)

var firstOfMonth = Schedule{Every: Month, Day: 1, Zone: time.UTC}

// mUserMailsSince is the date from which the hosting team mails IT contacts about the M-user's certificate (KBA
// 2579512).
var mUserMailsSince = time.Date(2024, 11, 1, 0, 0, 0, 0, time.UTC)

// Default is the policy of an installation that does not choose one. It renews as published. Its warning window of 93
// days (31 between two runs, plus 62) makes a renewal without an earlier warning impossible.
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
		// ACME clients renew when a third of the lifetime is left. Warning from half on leaves 0.17 of the lifetime for a
		// warning. For a certificate of 7 days that is 28 hours, more than the longest civil day, so that a daily run
		// always falls into it.
		Name: "short-lived", Source: "for certificates of 7 to 90 days",
		Schedule: Schedule{Every: Daily, Zone: time.UTC}, RenewWithin: Share(0.33), WarnFrom: Share(0.33), WarnTo: Share(0.5),
		WarnOnce: true, Validity: 47 * Day,
	},
}

// Presets returns the built-in policies, the default first.
func Presets() []Policy { return append([]Policy(nil), presets...) }

// Preset returns the built-in policy with the name.
func Preset(name string) (Policy, error) {
	names := make([]string, len(presets))
	for i, p := range presets {
		if p.Name == name {
			return p, nil
		}
		names[i] = p.Name
	}
	return Policy{}, fmt.Errorf("unknown policy %q: use one of %s, or the path of a policy file", name,
		strings.Join(names, ", "))
}
