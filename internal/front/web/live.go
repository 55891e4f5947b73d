package web

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/perennial-pki/perennial/tenancy"
)

const (
	// lookEvery is the interval at which the audit log is read for open pages.
	lookEvery = time.Second
	// longestLive limits a stream. The browser then opens a new one, and its rights are checked again.
	longestLive = 10 * time.Minute
)

// News is the audit log as open pages follow it.
type News interface {
	// EventHead returns the latest entry.
	EventHead(ctx context.Context) (tenancy.Chain, error)
	// Events returns at most limit entries after one, the oldest first, of a tenant or of all if it is empty.
	Events(ctx context.Context, tenant string, after int64, limit int) ([]tenancy.Event, error)
}

// A watch notifies open pages of new entries in the audit log. Every change of state has an entry, from any replica.
// One goroutine reads the log for all pages of a process, and none if no page is open.
type watch struct {
	mu    sync.Mutex
	pages map[chan struct{}]string // name of the tenant that the page is about; "" for all. Guarded by mu.
}

// open notifies a page until close is called. since is the entry of the log as of which the page was read: a page that
// is out of date already is notified at once.
func (w *watch) open(c *console, tenant string, since int64) (news <-chan struct{}, close func()) {
	page := make(chan struct{}, 1)
	from := c.head(since)
	w.mu.Lock()
	if w.pages == nil {
		w.pages = map[chan struct{}]string{}
	}
	if w.pages[page] = tenant; len(w.pages) == 1 {
		go w.look(c, from)
	}
	w.mu.Unlock()
	if c.head(since) > since { // read again, now that the page is notified of what follows
		if missed, err := c.news.Events(context.Background(), tenant, since, 1); err != nil || len(missed) > 0 {
			select {
			case page <- struct{}{}:
			default: // it is notified already
			}
		}
	}
	return page, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		delete(w.pages, page)
	}
}

// head returns the latest entry of the log, or otherwise if the log cannot be read.
func (c *console) head(otherwise int64) int64 {
	head, err := c.news.EventHead(context.Background())
	if err != nil {
		return otherwise
	}
	return head.Seq
}

// look reads the log after an entry, as long as a page is open.
func (w *watch) look(c *console, last int64) {
	ctx := context.Background()
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for range tick.C {
		head, err := c.news.EventHead(ctx)
		var events []tenancy.Event
		if err == nil && head.Seq > last {
			events, err = c.news.Events(ctx, "", last, mostRows)
		}
		if err != nil { // pages are also refreshed at intervals
			c.logger.WarnContext(ctx, "open pages are not notified of changes at the moment", "error", err)
			head.Seq = last
		}
		last = head.Seq
		if !w.publish(events) {
			return
		}
	}
}

// publish notifies the pages that events are about. It reports whether any page is open.
func (w *watch) publish(events []tenancy.Event) (any bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	about := map[string]bool{"": len(events) > 0}
	for _, e := range events {
		about[e.Tenant] = true
	}
	for page, tenant := range w.pages {
		if about[tenant] || len(events) == mostRows { // there may be more
			select {
			case page <- struct{}{}:
			default: // the page has not read the last notification yet
			}
		}
	}
	return len(w.pages) > 0
}

// live is a stream of server-sent events. The event "changed" means that a page about the tenant, or about all tenants,
// is out of date.
func (c *console) live(v *view) error {
	tenant := v.r.URL.Query().Get("tenant")
	if !v.Operator() && tenant != v.account.Tenant {
		return &refusal{http.StatusNotFound, ""}
	}
	out := http.NewResponseController(v.w)
	if err := out.SetWriteDeadline(time.Time{}); err != nil {
		return err
	}
	since, _ := strconv.ParseInt(v.r.URL.Query().Get("since"), 10, 64) // 0, if it is not valid: the page is read again
	news, stop := c.watch.open(c, tenant, since)
	defer stop()
	v.w.Header().Set("Content-Type", "text/event-stream")
	v.w.WriteHeader(http.StatusOK)
	end := time.NewTimer(longestLive)
	defer end.Stop()
	for {
		if err := out.Flush(); err != nil {
			return nil // the page is closed
		}
		select {
		case <-news:
			fmt.Fprint(v.w, "event: changed\ndata: \n\n")
		case <-end.C:
			return nil
		case <-c.ending.Done():
			return nil
		case <-v.ctx().Done():
			return nil
		}
	}
}
