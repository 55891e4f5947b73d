package web

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"html"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"strings"
	"sync"
	"time"

	"github.com/a-h/templ"

	"github.com/perennial-pki/perennial/client"
	"github.com/perennial-pki/perennial/rollover"
	"github.com/perennial-pki/perennial/tenancy"
)

type instant = time.Time

// An assetFile is a file that pages load. Its hash is part of its address, so that browsers can cache it forever.
type assetFile struct {
	hash        string
	raw, packed []byte // packed with gzip
}

// assetFiles are the assets by their names.
var assetFiles = sync.OnceValue(func() map[string]assetFile {
	all := map[string]assetFile{}
	err := fs.WalkDir(assets, "assets", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := assets.ReadFile(path)
		sum := sha256.Sum256(data)
		var b bytes.Buffer
		z := gzip.NewWriter(&b)
		z.Write(data) // to memory
		z.Close()
		all[strings.TrimPrefix(path, "assets/")] = assetFile{hex.EncodeToString(sum[:6]), data, b.Bytes()}
		return err
	})
	if err != nil {
		panic(err) // they are embedded
	}
	return all
})

// serveAsset serves the assets, compressed if the browser accepts that. Browsers may cache a file forever under the
// address with its hash.
func serveAsset(w http.ResponseWriter, r *http.Request) {
	file, ok := assetFiles()[r.URL.Path]
	if !ok { // a folder would be listed
		http.NotFound(w, r)
		return
	}
	cached := "no-cache" // during an upgrade, the page may be of a version that has another file of this name
	if r.URL.RawQuery == file.hash {
		cached = "public, max-age=31536000, immutable"
	}
	w.Header().Set("Cache-Control", cached)
	kind := path.Ext(r.URL.Path)
	if kind == ".svg" { // the icon has styles for light and dark tabs
		w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'")
	}
	w.Header().Set("Content-Type", mime.TypeByExtension(kind))
	w.Header().Set("Vary", "Accept-Encoding")
	content, tag := file.raw, file.hash
	if strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
		w.Header().Set("Content-Encoding", "gzip")
		content, tag = file.packed, file.hash+"-gzip"
	}
	w.Header().Set("ETag", `"`+tag+`"`)
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(content))
}

// htmxConfig forbids htmx to evaluate text as script and to write styles, as the content security policy does, and to
// keep pages after signing out. It lets htmx show the page of an error.
const htmxConfig = `{"allowEval":false,"includeIndicatorStyles":false,"selfRequestsOnly":true,` +
	`"historyCacheSize":0,"refreshOnHistoryMiss":true,"responseHandling":[{"code":".*","swap":true}]}`

// liveTenant returns the tenant whose events change the page; "" for all tenants.
func (v *view) liveTenant() string {
	if v.Operator() {
		return v.tenantName()
	}
	return v.account.Tenant
}

// here returns the address at which the page can be read again, even if it is the answer to a form.
func (v *view) here() string {
	switch {
	case v.page != "":
		return v.page
	case v.r.Method == http.MethodGet:
		return v.r.URL.RequestURI()
	}
	return v.of("") // the other forms that answer with a page are about an arrangement
}

// busy sends a form within the page if script runs. Its button shows the progress, and the answer replaces the content
// of the page.
var busy = templ.Attributes{"hx-boost": "true", "hx-target": "#main", "hx-select": "#main",
	"hx-swap": "outerHTML show:window:top", "hx-sync": "this:drop"}

func asset(name string) string { return "/assets/" + name + "?" + assetFiles()[name].hash }

// zones lists the suggested time zones. All zones of the IANA database are accepted.
var zones = []string{"UTC", "Europe/Berlin", "Europe/London", "Europe/Paris", "Europe/Zurich", "America/New_York",
	"America/Chicago", "America/Los_Angeles", "America/Sao_Paulo", "Asia/Kolkata", "Asia/Shanghai", "Asia/Singapore",
	"Asia/Tokyo", "Australia/Sydney"}

func (v *view) zoneName() string {
	if v.account.Zone == "" {
		return "UTC"
	}
	return v.account.Zone
}

// tenantName returns the name of the tenant that the page is about; "" if it is not about one.
func (v *view) tenantName() string {
	if v.about != "" {
		return v.about
	}
	return v.r.PathValue("tenant")
}

// A stateOf is a state on a page: a word, and a tone that selects a shape and a color.
type stateOf struct{ tone, word string }

// rolling returns the state of a roll-over.
func (v *view) rolling(r client.Rollover) stateOf {
	if r.Stopped {
		return stateOf{"bad", v.T("Stopped")}
	}
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
	case rollover.Claimed:
		return stateOf{"wait", v.T("Claimed")}
	case rollover.RefusedBy:
		return stateOf{"bad", v.T("Refused")}
	case rollover.Regressed:
		return stateOf{"bad", v.T("Reverted")}
	}
	return stateOf{"wait", v.T("Waiting")}
}

// attention returns the sentence of the overview about the things that need attention.
func (v *view) attention(o client.Overview, n int) string {
	switch n {
	case 0:
		return v.T("Everything is fine. The next run is on %s.", v.Day(o.NextRun))
	case 1:
		return v.T("1 thing needs attention. The next run is on %s.", v.Day(o.NextRun))
	default:
		return v.T("%d things need attention. The next run is on %s.", n, v.Day(o.NextRun))
	}
}

// rolloverLegend returns the explanation of the states of roll-overs.
func (v *view) rolloverLegend() string {
	return v.T("Waiting: no answer to the newest certificate yet. Refused: the receiver does not accept it. Claimed: a " +
		"person reports it as installed, but nothing proves it yet. Ready: the receiver accepts it. Cut over: messages use " +
		"it. Settled: the old one is no longer needed. Reverted: the receiver accepts only the old one again. At risk: the " +
		"deadline for the newest certificate is within 30 days. Stopped: no message can be sent, because the certificate " +
		"is revoked and the CA has not issued the next one.")
}

func (v *view) verdict(verdict rollover.Verdict) stateOf {
	switch verdict {
	case rollover.Accepted:
		return stateOf{"good", v.T("Accepted")}
	case rollover.Refused:
		return stateOf{"bad", v.T("Refused")}
	case rollover.Unclear:
		return stateOf{"off", v.T("Unclear")}
	}
	return stateOf{"off", v.T("Not tested")}
}

// trialState returns the result of a test before saving. A handshake alone does not prove an acceptance.
func (v *view) trialState(r client.ProbeResult) stateOf {
	switch {
	case r.Result == "unclear" && r.HandshakeOnly:
		return stateOf{"wait", v.T("not refused")}
	case r.Result == "accepted":
		return stateOf{"good", v.T("Accepted")}
	case r.Result == "unclear":
		return stateOf{"off", v.T("no clear answer")}
	}
	return stateOf{"bad", v.T("Refused")}
}

func (v *view) source(s rollover.Source) string {
	switch s {
	case rollover.Traffic:
		return v.T("message")
	case rollover.Probe:
		return v.T("test")
	case rollover.Person:
		return v.T("person")
	}
	return ""
}

func (v *view) certificateState(c client.Certificate) stateOf {
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
		return stateOf{"wait", v.T("In progress")}
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

// pathParts returns the steps from the implementation projects to a question.
func pathParts(path string) []string { return strings.Split(path, " > ") }

// purpose names a certificate.
func (v *view) purpose(p tenancy.Purpose) string {
	switch p {
	case tenancy.ForTenant:
		return v.T("Tenant Certificate")
	case tenancy.ForMUser:
		return v.T("M-user Certificate")
	}
	return v.T("Certificate %s", string(p))
}

// breakable returns an address as HTML that may be broken between its parts.
func breakable(address string) string {
	parts := partsOf(address)
	for i, part := range parts {
		parts[i] = html.EscapeString(part)
	}
	return strings.Join(parts, "<wbr>")
}

// partsOf returns the parts of a URL between which it may be broken: the scheme, the host, and each part of the path.
func partsOf(address string) []string {
	scheme, rest, found := strings.Cut(address, "://")
	if !found {
		return strings.SplitAfter(address, "/")
	}
	return append([]string{scheme + "://"}, strings.SplitAfter(rest, "/")...)
}
