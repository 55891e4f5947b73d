package web_test

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// A consoleLog holds the errors and warnings that the browser reports about the pages of a tab: violations of the
// content security policy, failures of scripts, and resources that do not load.
type consoleLog struct {
	mu  sync.Mutex
	all []string // guarded by mu
}

// console collects what the browser reports from now on.
func (b *tab) console() *consoleLog {
	b.t.Helper()
	c := &consoleLog{}
	check(b.t, chromedp.Listen(b.ctx, func(event any) {
		switch e := event.(type) {
		case *log.EventEntryAdded:
			if e.Entry.Level == log.EntryLevelError || e.Entry.Level == log.EntryLevelWarning {
				c.add(fmt.Sprintf("%s: %s (%s)", e.Entry.Source, e.Entry.Text, e.Entry.URL))
			}
		case *runtime.EventExceptionThrown:
			c.add("exception: " + e.ExceptionDetails.Text)
		}
	}))
	command(b, log.Enable, cdp.Empty{})
	return c
}

func (c *consoleLog) add(text string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.all = append(c.all, text)
}

// taken returns what was reported since the last call.
func (c *consoleLog) taken() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	all := c.all
	c.all = nil
	return all
}

// quiet fails if the browser has reported something about a page that was just opened, apart from the status of a page
// that does not exist.
func (c *consoleLog) quiet(t *testing.T, page [2]string) {
	t.Helper()
	gone := slices.Contains([]string{"nothing-here", "link-gone"}, page[0])
	for _, text := range c.taken() {
		if !gone || !strings.Contains(text, "status of 404") {
			t.Errorf("%s: the browser reports %s", page[1], text)
		}
	}
}

// The tests that visit every page, in both languages, require that the browser reports nothing.
func TestAViolationOfTheContentSecurityPolicyIsNoticed(t *testing.T) {
	c := open(t)
	b := c.browser(true)
	reported := b.console()
	b.open("/sign-in")
	reported.quiet(t, [2]string{"sign-in", "/sign-in"})
	evaluate[bool](b, `document.head.append(Object.assign(document.createElement("style"), {textContent: "p {}"})), true`)
	if all := reported.taken(); !slices.ContainsFunc(all, func(s string) bool {
		return strings.Contains(s, "Content Security Policy")
	}) {
		t.Errorf("the browser reports %q", all)
	}
}
