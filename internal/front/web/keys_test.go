package web_test

import (
	"os"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// key presses keys of the keyboard.
func (b *tab) key(keys string, modifiers ...chromedp.KeyOption) {
	b.t.Helper()
	b.do(chromedp.KeyEvent(keys, modifiers...))
}

// focused returns the text of the element that has the focus.
func (b *tab) focused() string {
	b.t.Helper()
	return evaluate[string](b, `document.activeElement.innerText || document.activeElement.name`)
}

func TestRowsAreReachedChosenAndOpenedBySingleKeysUnlessTheseAreTurnedOff(t *testing.T) {
	c := open(t)
	b := c.browser(true)
	b.take(c.signIn("olga"))
	b.open("/tenants?sort=name")
	for _, step := range [][2]string{{"j", "Acme GmbH"}, {"j", "Globex Corporation"}, {"k", "Acme GmbH"},
		{"k", "Acme GmbH"}} {
		if b.key(step[0]); b.focused() != step[1] {
			t.Errorf("after %s the focus is at %q, want %q", step[0], b.focused(), step[1])
		}
	}
	b.key("x")
	if !evaluate[bool](b, `document.querySelector("[name=tenant][value=acme]").checked`) {
		t.Error("x does not choose the row")
	}
	if b.key("/"); b.focused() != "q" {
		t.Errorf("after / the focus is at %q", b.focused())
	}
	b.key("jo?")
	// The protocol of the browser also types the slash, which a keyboard does not.
	if got := evaluate[string](b, `document.activeElement.value`); !strings.HasSuffix(got, "jo?") {
		t.Errorf("the field has %q", got)
	}
	b.open("/tenants?sort=name")
	b.key("j")
	b.leave(chromedp.KeyEvent("o"))
	if b.at() != "/tenants/acme" {
		t.Errorf("o leads to %s", b.at())
	}
	b.key("?")
	b.reads("Use the shortcuts of a single key in this browser")
	evaluate[bool](b, `document.querySelector("#keys input").click(), true`)
	b.open("/tenants?sort=name")
	if b.key("j"); !evaluate[bool](b, `document.activeElement === document.body`) {
		t.Error("a single key works although it is turned off")
	}
	b.do(chromedp.Click(`//button[normalize-space()="Keyboard shortcuts"]`))
	b.reads("Next row of the list")
}

func TestThePaletteLeadsToPagesAndToWhatIsFound(t *testing.T) {
	axe, err := os.ReadFile("../../../tools/node_modules/axe-core/axe.min.js")
	check(t, err)
	c := open(t)
	b := c.browser(true)
	b.take(c.signIn("olga"))
	for text, want := range map[string]string{"runs": "/runs", "globex": "/tenants/globex"} {
		b.open("/tenants")
		b.key("k", chromedp.KeyModifiers(chromedp.ModifierCtrl))
		b.key(text)
		b.do(chromedp.WaitReady(chromedp.CSS(`#palette [aria-selected=true][data-href$="` + want + `"]`)))
		if text == "globex" {
			for _, v := range b.accessible(string(axe)) {
				t.Errorf("the palette: %s %s %v", v.ID, v.Help, v.Nodes)
			}
		}
		if b.leave(chromedp.KeyEvent(kb.Enter)); b.at() != want {
			t.Errorf("%s leads to %s", text, b.at())
		}
	}
	b.key("?")
	b.reads("Keyboard shortcuts")
	for _, v := range b.accessible(string(axe)) {
		t.Errorf("the help: %s %s %v", v.ID, v.Help, v.Nodes)
	}
}
