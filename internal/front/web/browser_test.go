package web_test

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"

	"github.com/perennial-pki/perennial/internal/front/web"
)

var screenshots = flag.String("screenshots", "", "write a picture of each page to this folder")

// patience is the maximum time until a page shows what is expected.
const patience = 2 * time.Minute

// A tab is one page of a real browser.
type tab struct {
	t        *testing.T
	ctx      context.Context
	url      string
	keyboard bool // only the keyboard is used
}

// chromium starts the browser of all tests, which ends after the last one. The headless shell is Chromium without its
// window, which takes less than half of the CPU time.
var chromium = sync.OnceValues(func() (context.Context, error) {
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath("chromium-headless-shell"),
		chromedp.NoSandbox, chromedp.DisableGPU, chromedp.Flag("force-color-profile", "srgb"), chromedp.Flag("lang", "en"))
	ctx, end := chromedp.NewExecAllocator(context.Background(), options...)
	ends = append(ends, end)
	ctx, _ = chromedp.NewContext(ctx)
	return ctx, chromedp.Do(ctx, chromedp.Navigate("about:blank")) // the browser lives as long as this first context
})

// browser opens a tab of Chromium, with or without script. Its cookies and storage are its own.
func (c *console) browser(script bool) *tab {
	c.t.Helper()
	ctx, err := chromium()
	check(c.t, err)
	ctx, cancel := context.WithTimeout(ctx, 15*time.Minute)
	c.t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx, chromedp.WithNewBrowserContext())
	c.t.Cleanup(cancel)
	b := &tab{t: c.t, ctx: ctx, url: c.url}
	check(c.t, chromedp.Do(ctx, chromedp.Navigate("about:blank")))
	command(b, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: !script})
	b.size(1440)
	return b
}

func (b *tab) do(steps ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	err := chromedp.Do(ctx, steps...)
	// A live part of the page may be replaced between the moment at which an element is found and the one at which it is
	// used. Then nothing was done.
	for err != nil && ctx.Err() == nil && strings.Contains(err.Error(), "Could not find node with given id") {
		err = chromedp.Do(ctx, steps...)
	}
	if err != nil {
		b.t.Fatalf("%v, at %s", err, b.at())
	}
}

func command[P, R any](b *tab, c cdp.Command[P, R], params P) R {
	b.t.Helper()
	r, err := chromedp.Call(b.ctx, c, params)
	check(b.t, err)
	return r
}

// evaluate runs a script of the test in the page, independent of the content security policy.
func evaluate[T any](b *tab, script string) T {
	b.t.Helper()
	out, err := chromedp.Run(b.ctx, chromedp.Evaluate[T](script, chromedp.EvalAwaitPromise))
	check(b.t, err)
	return out
}

func (b *tab) at() string {
	url, err := chromedp.Run(b.ctx, chromedp.Location())
	if err != nil {
		return err.Error()
	}
	return strings.TrimPrefix(url, b.url)
}

func (b *tab) size(width int64) {
	b.t.Helper()
	command(b, emulation.SetDeviceMetricsOverride, emulation.SetDeviceMetricsOverrideParams{Width: width, Height: 900,
		DeviceScaleFactor: 1})
}

func (b *tab) open(path string) {
	b.t.Helper()
	b.do(chromedp.Navigate(b.url + path))
}

// take copies the cookies of a client that is signed in.
func (b *tab) take(client *http.Client) {
	b.t.Helper()
	r, err := http.NewRequest(http.MethodGet, b.url, nil)
	check(b.t, err)
	for _, c := range client.Jar.Cookies(r.URL) {
		command(b, network.SetCookie, network.SetCookieParams{Name: c.Name, Value: c.Value, URL: b.url})
	}
}

// find selects a button, a link or a summary with a text in the content of the page.
func find(text string) string {
	return fmt.Sprintf(`//main//*[self::button or self::a or self::summary][normalize-space()=%q]`, text)
}

func click(text string) chromedp.Action[chromedp.Void] { return chromedp.Click(find(text)) }

// press activates the element with a text and waits for the next page.
func (b *tab) press(text string) {
	b.t.Helper()
	step := click(text)
	if b.keyboard {
		b.reach(fmt.Sprintf(`e.matches("main *") && e.innerText.trim().replace(/\s+/g, " ") === %q`, text), text)
		step = chromedp.KeyEvent("\r")
	}
	b.leave(step)
}

// fill types into a field.
func (b *tab) fill(id, text string) {
	b.t.Helper()
	if !b.keyboard {
		b.do(chromedp.SendKeys(chromedp.CSS("#"+id), text))
		return
	}
	b.reach(fmt.Sprintf("e.id === %q", id), id)
	b.do(chromedp.KeyEvent(text))
}

// reach presses the Tab key until an element e that fits has the focus.
func (b *tab) reach(fits, what string) {
	b.t.Helper()
	hidden := 0
	for range 300 {
		if evaluate[bool](b, `(e => `+fits+`)(document.activeElement)`) {
			if evaluate[bool](b, `document.activeElement.matches(":focus-visible")`) {
				return
			}
			if hidden++; hidden == 3 { // once may be the moment at which a live part is replaced
				b.t.Fatalf("%s has the focus, but it is not visible", what)
			}
		}
		b.do(chromedp.KeyEvent("\t"))
	}
	b.t.Fatalf("%s cannot be reached with the keyboard at %s", what, b.at())
}

// text returns the text of the first element that a CSS selector finds.
func (b *tab) text(selector string) string {
	b.t.Helper()
	return evaluate[string](b, fmt.Sprintf("document.querySelector(%q).innerText", selector))
}

// leave does something that leads to another page or content, and waits for it.
func (b *tab) leave(steps ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	evaluate[bool](b, `document.querySelector("main").dataset.seen = "1", true`)
	b.do(steps...)
	b.do(chromedp.WaitReady(chromedp.CSS("main:not([data-seen])")), chromedp.WaitReady(chromedp.CSS("footer")))
}

// reads waits until the page shows a text.
func (b *tab) reads(text string) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	_, err := chromedp.Run(ctx, chromedp.WaitVisible(fmt.Sprintf(`//body//*[contains(normalize-space(.), %q)]`, text)))
	if err != nil {
		b.t.Fatalf("%s does not show %q, but:\n%s", b.at(), text, evaluate[string](b, `document.body.innerText`))
	}
}

// theme sets the color scheme of the system.
func (b *tab) theme(scheme string) {
	b.t.Helper()
	command(b, emulation.SetEmulatedMedia,
		emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme},
			{Name: "prefers-reduced-motion", Value: "reduce"}}})
}

// violation is one of axe's.
type violation struct {
	ID    string `json:"id"`
	Help  string `json:"help"`
	Nodes []struct {
		HTML    string `json:"html"`
		Summary string `json:"failureSummary"`
	} `json:"nodes"`
}

// accessible returns the violations of WCAG 2.2 AA that axe-core finds.
func (b *tab) accessible(axe string) []violation {
	b.t.Helper()
	if !evaluate[bool](b, `typeof axe !== "undefined"`) {
		evaluate[bool](b, axe+"; true")
	}
	return evaluate[[]violation](b,
		`axe.run(document, {runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]})
			.then(r => r.violations)`)
}

// cut returns the parts of a page that do not fit its width.
func (b *tab) cut() []string {
	b.t.Helper()
	return evaluate[[]string](b, `(() => {
		const wide = document.documentElement.clientWidth, found = [];
		const whole = document.documentElement.scrollWidth, fields = ["INPUT", "TEXTAREA", "SELECT"];
		if (whole > wide) found.push("the page scrolls: " + whole + " px");
		for (const e of document.querySelectorAll("main *, header *, footer *")) {
			if (e.closest("svg") || e.closest("thead") || e.classList.contains("skip") || !e.checkVisibility()) continue;
			const box = e.getBoundingClientRect();
			if (box.width > 0 && (box.right > wide + 1 || box.left < -1)) found.push("cut: " + e.outerHTML.slice(0, 120));
			if (e.scrollWidth > e.clientWidth + 1 && getComputedStyle(e).overflowX !== "visible" &&
				!fields.includes(e.tagName)) found.push("scrolls: " + e.outerHTML.slice(0, 120));
		}
		return found.slice(0, 5);
	})()`)
}

// picture writes a screenshot of the page.
func (b *tab) picture(name string) {
	b.t.Helper()
	if *screenshots == "" {
		return
	}
	size := command(b, page.GetLayoutMetrics, cdp.Empty{}).CSSContentSize
	beyond, quality := true, int64(82)
	picture := command(b, page.CaptureScreenshot, page.CaptureScreenshotParams{Format: page.CaptureScreenshotFormatWebp,
		Quality: &quality, CaptureBeyondViewport: &beyond,
		Clip: &page.Viewport{Width: size.Width, Height: min(size.Height, 1600), Scale: 1}}).Data
	check(b.t, os.MkdirAll(*screenshots, 0o755))
	check(b.t, os.WriteFile(filepath.Join(*screenshots, name+".webp"), picture, 0o644))
}

// nextRun returns the date of the next run.
func nextRun() string {
	now := time.Now().UTC()
	return time.Date(now.Year(), now.Month()+1, 1, 0, 0, 0, 0, time.UTC).Format(time.RFC3339)
}

// everyPage returns the pages of the console's table by who sees them: "" for readers without an account, olga for
// operators, alice for key users of acme. Each is the name of its picture and its path. Pages with another content are
// added.
func (c *console) everyPage(link string) map[string][][2]string {
	c.t.Helper()
	_, _, imported := c.hand(c.signIn("olga"), "tenants", importedTenants)
	c.newWebhook(c.signIn("olga"), "/webhooks", "chat")
	c.newWebhook(c.signIn("alice"), "/tenants/acme/webhooks", "chat")
	bank := c.newBank(c.signIn("olga"))
	c.newWebhook(c.signIn("olga"), bankSheet+"/webhooks", "chat")
	fill := strings.NewReplacer("{tenant}", "acme", "{arrangement}", "crm-to-bank", "{date}", nextRun(),
		"{webhook}", "chat", "{watched}", "acme-c4c",
		"/watched/{secret}", c.newWatchLink(c.signIn("alice"), "acme-c4c", "erp"),
		"/rollover/{secret}", link, "/imports/{import}", imported, "{$}", "", "/counterparty/{secret}",
		bank, "{counterparty}", "bank", "{round}", c.newRound(c.signIn("olga")),
		"{user}", "bob", "{receiver}", "bank", "/administrator/{secret}", c.newStopLink("ada@bank.example"))
	queries := map[string]string{"mail-check": "?user=bob", "find": "?q=crm"}
	of := map[string][][2]string{
		"": {{"link-gone", "/rollover/nothing"}},
		"olga": {{"nothing-here", "/tenants/unknown"}, {"tenant-as-operator", "/tenants/initech"},
			{"rollovers-by-receiver", "/rollovers?by=receiver"}, {"rollovers-by-days", "/rollovers?by=days"},
			{"rollovers-list", "/rollovers?by=list"}, {"empty-tenant", "/tenants/hooli"},
			{"empty-board", "/tenants/hooli/rollovers"}},
		"alice": {{"tenant-home", "/"}},
	}
	for _, p := range web.Pages() {
		path := fill.Replace(p.Path) + queries[p.Name]
		if strings.ContainsAny(path, "{}") || p.Name == "" {
			c.t.Fatalf("%s (%q): this test does not fill the path, or the page has no name", p.Path, p.Name)
		}
		who := "olga"
		switch {
		case p.Anybody:
			who = ""
		case p.InTenant, p.Name == "account":
			who = "alice"
		}
		of[who] = append(of[who], [2]string{p.Name, path})
	}
	return of
}

func TestEveryPageIsAccessibleInBothThemesAndFitsEveryWidth(t *testing.T) {
	axe, err := os.ReadFile("../../../tools/node_modules/axe-core/axe.min.js")
	check(t, err)
	c := open(t)
	_, _, wrong := c.hand(c.signIn("olga"), "tenants", "name\nBad Name\n", "people",
		"tenant,role,name,email\nacme,king,x,no address")
	c.newFeed(c.signIn("alice"), "/feed")
	pages := c.everyPage(c.newLink())
	pages["olga"] = append(pages["olga"], [2]string{"import-problems", wrong})
	for who, pages := range pages {
		b := c.browser(true)
		reported := b.console()
		if who != "" {
			b.take(c.signIn(who))
		}
		for _, p := range pages {
			b.open(p[1])
			reported.quiet(t, p)
			if strings.HasSuffix(p[0], "-log") { // the details are closed at first
				evaluate[bool](b, `document.querySelectorAll("td details").forEach(d => d.open = true), true`)
			}
			for _, theme := range []string{"light", "dark"} {
				b.theme(theme)
				for _, v := range b.accessible(string(axe)) {
					text, _ := json.MarshalIndent(v, "", " ")
					t.Errorf("%s, %s: %s", p[1], theme, text)
				}
				reported.taken() // what axe caused
				if theme == "light" {
					b.picture(p[0])
				} else if *screenshots != "" && slices.Contains([]string{"overview", "tenant", "rollover", "receiver"}, p[0]) {
					b.size(360)
					b.picture(p[0] + "-phone-dark")
				}
			}
			for _, width := range []int64{360, 768, 1440} {
				b.size(width)
				if found := b.cut(); len(found) > 0 {
					t.Errorf("%s at %d px: %s", p[1], width, strings.Join(found, "\n"))
				}
			}
		}
	}
}

func TestGermanFitsEveryWidthAndIsChosenByTheBrowserOrTheAccount(t *testing.T) {
	c := open(t)
	r, err := http.NewRequest(http.MethodGet, c.url+"/sign-in", nil)
	check(t, err)
	r.Header.Set("Accept-Language", "de-AT, fr;q=0.8")
	res, err := http.DefaultClient.Do(r)
	check(t, err)
	if _, page := c.read(res); !strings.Contains(page, `<html lang="de">`) || !strings.Contains(page, "Anmelden") {
		t.Error("the language of the browser is not used")
	}
	for who, pages := range c.everyPage(c.newLink()) {
		if who == "" {
			continue
		}
		client := c.signIn(who)
		if _, page := c.post(client, "/account", "language", "de", "zone", "Europe/Berlin"); !strings.Contains(page,
			"Gespeichert.") || !strings.Contains(page, "Zeiten in Europe/Berlin.") {
			t.Error("the language of the account is not used")
		}
		b := c.browser(true)
		b.take(client)
		reported := b.console()
		for _, p := range pages {
			b.open(p[1])
			reported.quiet(t, p)
			for _, width := range []int64{768, 360} { // German words are longer
				b.size(width)
				if found := b.cut(); len(found) > 0 {
					t.Errorf("%s at %d px: %s", p[1], width, strings.Join(found, "\n"))
				}
			}
			b.picture(p[0] + "-de")
		}
	}
}
