package web

import (
	"crypto/sha256"
	"encoding/hex"
	"io/fs"
	"strings"
	"time"

	"github.com/perennial-pki/perennial/internal/api"
	"github.com/perennial-pki/perennial/rollover"
	"github.com/perennial-pki/perennial/tenancy"
)

type instant = time.Time

// hashes of the assets, so that a browser may keep each for ever.
var hashes = func() map[string]string {
	all := map[string]string{}
	err := fs.WalkDir(assets, "assets", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := assets.ReadFile(path)
		sum := sha256.Sum256(data)
		all[strings.TrimPrefix(path, "assets/")] = hex.EncodeToString(sum[:6])
		return err
	})
	if err != nil {
		panic(err) // they are embedded
	}
	return all
}()

func asset(name string) string { return "/assets/" + name + "?" + hashes[name] }

// zones are offered; every other one of the IANA database is taken as well.
var zones = []string{"UTC", "Europe/Berlin", "Europe/London", "Europe/Paris", "Europe/Zurich", "America/New_York", "America/Chicago", "America/Los_Angeles", "America/Sao_Paulo", "Asia/Kolkata", "Asia/Shanghai", "Asia/Singapore", "Asia/Tokyo", "Australia/Sydney"}

func (v *view) zoneName() string {
	if v.account.Zone == "" {
		return "UTC"
	}
	return v.account.Zone
}

type entry struct{ path, text string }

// menu is what the reader can go to.
func (v *view) menu() []entry {
	if v.Operator() {
		return []entry{
			{"/", v.T("Overview")}, {"/tenants", v.T("Tenants")}, {"/at-risk", v.T("At risk")}, {"/runs", v.T("Runs")}, {"/forecast", v.T("Forecast")}, {"/deliveries", v.T("Mails")}, {"/authorities", v.T("CA")},
			{"/policy", v.T("Policy")}, {"/tokens", v.T("Tokens")}, {"/log", v.T("Audit log")},
		}
	}
	return v.tenantMenu("/", v.account.Tenant)
}

// tenantName is the tenant that the page is about, where it is about one.
func (v *view) tenantName() string { return v.r.PathValue("tenant") }

// submenu is a tenant's, for an operator who looks at one.
func (v *view) submenu() []entry {
	if name := v.tenantName(); v.Operator() && name != "" {
		return v.tenantMenu(in(name), name)
	}
	return nil
}

func (v *view) tenantMenu(first, name string) []entry {
	return []entry{
		{first, v.T("Overview")}, {in(name, "tasks"), v.T("Tasks")}, {in(name, "certificates"), v.T("Certificates")}, {in(name, "rollovers"), v.T("Roll-overs")},
		{in(name, "scope"), v.T("Business Configuration")}, {in(name, "people"), v.T("People")}, {in(name, "log"), v.T("Audit log")},
	}
}

func (v *view) isAt(path string) bool {
	at := v.r.URL.Path
	if strings.HasPrefix(at, in(v.tenantName(), "arrangements")) {
		at = in(v.tenantName(), "rollovers")
	}
	return at == path || !strings.HasPrefix(path, "/tenants") && strings.HasPrefix(at, path+"/")
}

// A stateOf is a state as people see it: a word, and a tone that is a shape and a colour.
type stateOf struct{ tone, word string }

// rolling is where a roll-over stands.
func (v *view) rolling(r api.Rollover) stateOf {
	if r.AtRisk && r.DaysLeft <= 30 {
		return stateOf{"bad", v.T("At risk")}
	}
	switch r.State {
	case rollover.Settled:
		return stateOf{"good", v.T("Settled")}
	case rollover.CutOver:
		return stateOf{"good", v.T("Cut over")}
	case rollover.Trusted:
		return stateOf{"good", v.T("Ready")}
	case rollover.RefusedBy:
		return stateOf{"bad", v.T("Refused")}
	case rollover.Regressed:
		return stateOf{"bad", v.T("Went back")}
	}
	return stateOf{"wait", v.T("Waiting")}
}

func (v *view) verdict(verdict rollover.Verdict) stateOf {
	switch verdict {
	case rollover.Accepted:
		return stateOf{"good", v.T("Accepted")}
	case rollover.Refused:
		return stateOf{"bad", v.T("Refused")}
	}
	return stateOf{"off", v.T("Not asked")}
}

func (v *view) source(s rollover.Source) string {
	switch s {
	case rollover.Traffic:
		return v.T("by messages")
	case rollover.Probe:
		return v.T("by a probe")
	case rollover.Person:
		return v.T("by a person")
	}
	return ""
}

func (v *view) certificateState(c api.Certificate) stateOf {
	switch {
	case c.State == tenancy.Revoked:
		return stateOf{"bad", v.T("Revoked")}
	case !v.now.Before(c.NotAfter):
		return stateOf{"off", v.T("Expired")}
	case c.State == tenancy.Active:
		return stateOf{"good", v.T("In use")}
	case c.State == tenancy.Standby:
		return stateOf{"wait", v.T("Standby")}
	}
	return stateOf{"off", v.T("Retired")}
}

func (v *view) taskState(s tenancy.TaskState) stateOf {
	switch s {
	case tenancy.TaskCompleted:
		return stateOf{"good", v.T("Completed")}
	case tenancy.TaskInProcess:
		return stateOf{"wait", v.T("In process")}
	}
	return stateOf{"wait", v.T("Open")}
}

func (v *view) mailState(s tenancy.MailState) stateOf {
	switch s {
	case tenancy.MailSent:
		return stateOf{"good", v.T("Sent")}
	case tenancy.MailDead:
		return stateOf{"bad", v.T("Failed")}
	case tenancy.MailWaiting:
		return stateOf{"off", v.T("No mail server")}
	}
	return stateOf{"wait", v.T("Queued")}
}

func (v *view) purpose(p tenancy.Purpose) string { return p.Noun() }
