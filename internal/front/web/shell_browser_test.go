package web_test

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/chromedp"
)

func TestLivePartsStayIfARefreshFails(t *testing.T) {
	c := open(t)
	b, alice := c.browser(true), c.signIn("alice")
	b.take(alice)
	b.open("/tenants/acme/rollovers")
	const evidence, refresh = "401 Unauthorized (test)", `htmx.trigger("#board", "retry"), true`
	b.reads(evidence)
	c.down.Store(true)
	evaluate[bool](b, refresh)
	b.reads("Not up to date since")
	b.reads(evidence)
	c.down.Store(false)
	b.do(chromedp.WaitReady(chromedp.CSS(".stale[hidden]"))) // it is tried again
	b.reads(evidence)
	c.post(alice, "/sign-out")
	evaluate[bool](b, refresh)
	b.reads("You are signed out. This is the state of")
	b.reads(evidence)
	b.press("Sign in")
	if at := b.at(); at != "/sign-in?to=%2Ftenants%2Facme%2Frollovers" {
		t.Errorf("the link leads to %s", at)
	}
}

func TestARefreshKeepsTheFocusAndAnActionMovesItToItsResult(t *testing.T) {
	c := open(t)
	b := c.browser(true)
	b.take(c.signIn("alice"))
	b.open("/tenants/acme/rollovers")
	evaluate[bool](b, `document.querySelector("#board a[href$=crm-to-erp]").focus(), true`)
	evaluate[bool](b, `new Promise(done => {
		document.addEventListener("htmx:afterSettle", () => done(true), {once: true});
		htmx.trigger("#board", "retry");
	})`)
	if got := evaluate[string](b, `document.activeElement.innerText`); got != "crm-to-erp" {
		t.Errorf("after a refresh the focus is at %q", got)
	}
	for button, want := range map[string]string{"Test receiver": "The receiver was tested.",
		"Why do messages fail?": "Next step:", "Create link": "shown only once"} {
		b.open(bankPage)
		b.press(button)
		b.reads(want)
		if got := evaluate[string](b, `document.activeElement.innerText`); !strings.Contains(got, want) ||
			evaluate[bool](b, `document.activeElement === document.body`) {
			t.Errorf("after %q the focus is at %q", button, got)
		}
	}
}

func TestAPressedButtonShowsThatItWorksAndSendsOnce(t *testing.T) {
	for name, button := range map[string]string{"by the browser": "Create link", "by htmx": "Test receiver"} {
		t.Run(name, func(t *testing.T) {
			c := open(t)
			b := c.browser(true)
			b.take(c.signIn("alice"))
			b.open(bankPage)
			gate := make(chan struct{})
			c.gate.Store(&gate)
			busy := evaluate[int](b, fmt.Sprintf(`(() => {
				const pressed = [...document.querySelectorAll("main button")].find(e => e.innerText.trim() === %q);
				for (let i = 0; i < 3; i++) pressed.click();
				return document.querySelectorAll("button[aria-busy=true]").length;
			})()`, button))
			if busy != 1 {
				t.Errorf("%d buttons show that they work", busy)
			}
			close(gate)
			b.do(chromedp.WaitReady(chromedp.CSS(".said:not(h2)")))
			if n := c.posts.Load(); n != 1 {
				t.Errorf("the form was sent %d times", n)
			}
		})
	}
}

// narrow lists the widths between a phone and a large screen.
var narrow = []int64{390, 641, 768, 900, 1024, 1440}

func TestNoWordOfATableIsBrokenAndNoCellOfTheFiguresIsEmpty(t *testing.T) {
	for _, language := range []string{"en", "de"} {
		t.Run(language, func(t *testing.T) { wordsAndFigures(t, language) })
	}
}

func wordsAndFigures(t *testing.T, language string) {
	c := open(t)
	c.newFeed(c.signIn("alice"), "/feed")
	for who, pages := range c.everyPage(c.newLink()) {
		b := c.browser(true)
		if who != "" {
			client := c.signIn(who)
			c.post(client, "/account", "language", language, "zone", "Europe/Berlin")
			b.take(client)
		}
		for _, p := range pages {
			b.open(p[1])
			for _, width := range narrow {
				b.size(width)
				if found := b.cut(); len(found) > 0 {
					t.Errorf("%s at %d px: %.300s", p[1], width, strings.Join(found, "\n"))
				}
				if broken := evaluate[[]string](b, brokenWords); len(broken) > 0 {
					t.Errorf("%s at %d px breaks %q", p[1], width, broken)
				}
				if gaps := evaluate[int](b, gapsOfFigures); gaps > 1 {
					t.Errorf("%s at %d px: the figures leave %d px empty", p[1], width, gaps)
				}
			}
		}
	}
}

// brokenWords returns the words of tables that are on two lines, without those of texts that no line can hold.
const brokenWords = `(() => {
	const found = [];
	for (const cell of document.querySelectorAll("th, td")) {
		if (!cell.checkVisibility()) continue;
		const walk = document.createTreeWalker(cell, NodeFilter.SHOW_TEXT);
		for (let node; node = walk.nextNode();) {
			if (node.parentElement.closest(".mono, .address, code, details:not([open])")) continue;
			for (const word of node.data.matchAll(/[\p{L}\p{N}]+/gu)) {
				if (word[0].length > 22) continue;
				const range = document.createRange();
				range.setStart(node, word.index);
				range.setEnd(node, word.index + word[0].length);
				const lines = new Set([...range.getClientRects()].map(r => Math.round(r.top)));
				if (lines.size > 1) found.push(word[0] + " in " + cell.textContent.trim().slice(0, 60));
			}
		}
	}
	return found.slice(0, 5);
})()`

// gapsOfFigures returns the width at the end of the last row that no figure fills.
const gapsOfFigures = `(() => {
	const last = document.querySelector(".figures li:last-child");
	const right = e => e.getBoundingClientRect().right;
	return last ? Math.round(right(last.parentElement) - right(last)) - 1 : 0;
})()`

func TestOnAPhoneTheMenuIsADrawerWithoutScript(t *testing.T) {
	c := open(t)
	b := c.browser(false)
	b.take(c.signIn("olga"))
	for _, width := range []int64{360, 390, 768} {
		b.size(width)
		b.open("/tenants/acme/certificates")
		height := evaluate[float64](b, `document.querySelector("header.top").getBoundingClientRect().height`)
		if height != 48 {
			t.Errorf("at %d px the header is %g px high", width, height)
		}
		shown := `document.querySelector("#menu").checkVisibility()`
		if evaluate[bool](b, shown) {
			t.Errorf("at %d px the menu is open", width)
		}
		b.do(chromedp.Click(chromedp.CSS(".open-menu")), chromedp.WaitVisible(chromedp.CSS("#menu a[href='/runs']")))
		if !evaluate[bool](b, `document.querySelector("#menu a[href='/tenants/acme/people']").checkVisibility()`) {
			t.Errorf("at %d px the menu has no pages of the tenant", width)
		}
		b.do(chromedp.KeyEvent("\u001b"))
		if evaluate[bool](b, shown) {
			t.Errorf("at %d px Escape does not close the menu", width)
		}
		b.do(chromedp.Click(chromedp.CSS(".open-menu")))
		b.leave(chromedp.Click(chromedp.CSS("#menu a[href='/runs']")))
		b.reads("The background job cannot be turned off.")
	}
	b.size(1440)
	if !evaluate[bool](b, `document.querySelector("#menu").checkVisibility()`) ||
		evaluate[bool](b, `document.querySelector("header.top").checkVisibility()`) {
		t.Error("on a wide screen the menu is not beside the page")
	}
}

// The console of the browser shows what a content security policy forbids, also for the icon of the page.
func TestTheConsoleOfTheBrowserHasNoErrors(t *testing.T) {
	c := open(t)
	for who, pages := range c.everyPage(c.newLink()) {
		b := c.browser(true)
		command(b, log.Enable, cdp.Empty{})
		var mu sync.Mutex
		var entries []string
		go func() {
			for e, err := range chromedp.Events(b.ctx, log.EntryAdded) {
				if err != nil {
					return
				}
				mu.Lock()
				if entry := e.Entry; entry.Level == log.EntryLevelError && !strings.Contains(entry.Text, "status of 404") {
					entries = append(entries, entry.Text)
				}
				mu.Unlock()
			}
		}()
		if who != "" {
			b.take(c.signIn(who))
		}
		for _, p := range append(pages, [2]string{"", "/nope"}, [2]string{"", "/healthz"}) {
			b.open(p[1])
			if live := `document.querySelector("[data-live]")`; evaluate[bool](b, live+" !== null") {
				evaluate[bool](b, `new Promise(done => {
					document.addEventListener("htmx:afterSettle", () => done(true), {once: true});
					htmx.trigger(`+live+`, "retry");
				})`)
			}
			mu.Lock()
			if len(entries) > 0 {
				t.Errorf("%s: %s", p[1], strings.Join(entries, "\n"))
			}
			entries = nil
			mu.Unlock()
		}
	}
}

func TestPaperKeepsTheContentAndDropsTheNavigation(t *testing.T) {
	c := open(t)
	b := c.browser(true)
	b.take(c.signIn("alice"))
	command(b, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Media: "print"})
	for path, selectors := range map[string][]string{
		"/tenants/acme/scope":        {"form legend", ".band-name"},
		"/tenants/acme/people":       {"table", "#contacts"},
		"/tenants/acme/certificates": {"dl.facts", "figcaption"},
		bankPage:                     {".lead", "table"},
	} {
		b.open(path)
		for _, s := range selectors {
			if !evaluate[bool](b, fmt.Sprintf(`document.querySelector(".content %s").checkVisibility()`, s)) {
				t.Errorf("%s: %s is not printed", path, s)
			}
		}
		for _, s := range []string{"#menu", "main button", "footer"} {
			if evaluate[bool](b, fmt.Sprintf(`[...document.querySelectorAll(%q)].some(e => e.checkVisibility())`, s)) {
				t.Errorf("%s: %s is printed", path, s)
			}
		}
	}
}

func TestACancelledPasskeyIsExplainedInPlainWords(t *testing.T) {
	c := open(t)
	b := c.browser(true)
	for name, want := range map[string]string{"NotAllowedError": "No passkey was used",
		"SecurityError": "This browser or device cannot do this"} {
		b.open("/sign-in")
		evaluate[bool](b, fmt.Sprintf(`navigator.credentials.get = () => Promise.reject(new DOMException(
			"The operation either timed out or was not allowed. See: https://www.w3.org/TR/webauthn-2/", %q)), true`, name))
		b.do(click("Sign in with a passkey"))
		b.reads(want)
		if said := b.text("#passkey-said"); strings.Contains(said, "w3.org") {
			t.Errorf("%s: %s", name, said)
		}
	}
}

func TestTheIconIsVisibleOnDarkTabs(t *testing.T) {
	c := open(t)
	b := c.browser(true)
	b.open("/sign-in")
	icon := evaluate[string](b, `document.querySelector("link[rel=icon]").getAttribute("href")`)
	var colors []string
	for _, theme := range []string{"light", "dark"} {
		b.theme(theme)
		b.open(icon)
		colors = append(colors, evaluate[string](b, `getComputedStyle(document.querySelector("rect")).fill`))
	}
	if want := []string{"rgb(11, 94, 74)", "rgb(111, 211, 181)"}; !slices.Equal(colors, want) {
		t.Errorf("the colors are %q, want %q", colors, want)
	}
}
