package demo

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"text/tabwriter"
	"time"

	"github.com/perennial-pki/perennial/tenancy"
)

// live sends messages for a year. The platform's background job looks once a day whether a run is due.
func (y *year) live(ctx context.Context) error {
	end := begin.AddDate(1, 0, 0)
	for now := begin; now.Before(end); now = now.Add(y.step) {
		before := y.clock()
		if now.Month() != before.Month() {
			y.month(before)
		}
		y.at(now)
		if now.YearDay() != before.YearDay() {
			if err := y.tick(ctx, now); err != nil {
				return err
			}
		}
		if !y.repairAt.IsZero() && !now.Before(y.repairAt) {
			y.repair()
		}
		if err := y.send(ctx); err != nil {
			return err
		}
	}
	y.month(y.clock())
	return nil
}

// tick executes the run of a day, and presents the new certificate if there is one.
func (y *year) tick(ctx context.Context, now time.Time) error {
	if err := y.engine.Tick(ctx, now); err != nil {
		return err
	}
	a, err := y.store.Arrangement(ctx, y.tenant.ID, y.arrangement.Name)
	if err != nil || a.Generation == y.arrangement.Generation {
		return err
	}
	y.arrangement = a
	old, err := y.store.Certificate(ctx, y.tenant.ID, tenancy.ForTenant, y.presented.Generation)
	if err != nil {
		return err
	}
	if err := y.present(ctx); err != nil {
		return err
	}
	fmt.Fprintln(y.out)
	y.say("the platform has renewed the certificate, and presents %s from now on", short(y.presented.Fingerprint))
	if old.WarnedAt.IsZero() {
		y.more("it sent no warning to anyone")
	}
	return nil
}

// send sends a message to each side, and prints the answers if one differs from that before.
func (y *year) send(ctx context.Context) error {
	changed := false
	for i := range y.sides {
		v := &y.sides[i]
		status, err := y.sender.do(order{At: y.clock(), URL: v.url})
		if err != nil {
			return fmt.Errorf("%s: a message to %s: %w", moment(y.clock()), v.url, err)
		}
		changed = changed || v.status != status
		v.status = status
		v.sent++
		if status != http.StatusOK {
			v.failed++
			v.failedInMonth++
		}
	}
	y.counts++
	if changed {
		y.answers("the message at this time")
	}
	if y.sides[0].status != http.StatusOK && y.repairAt.IsZero() {
		y.repairAt = y.clock().Add(repairTakes)
	}
	return y.event(ctx)
}

func (y *year) answers(what string) {
	var texts [2]string
	for i, v := range y.sides {
		texts[i] = fmt.Sprintf("%d %s", v.status, http.StatusText(v.status))
	}
	y.say("%-42s%-22s%s", what, texts[0], texts[1])
}

// month prints the counts of a month that is over.
func (y *year) month(of time.Time) {
	var texts [2]string
	for i := range y.sides {
		v := &y.sides[i]
		texts[i] = "all 200 OK"
		if v.failedInMonth > 0 {
			texts[i] = fmt.Sprintf("%d failed", v.failedInMonth)
		}
		v.failedInMonth = 0
	}
	y.say("%-42s%-22s%s", fmt.Sprintf("%d messages in %s", y.counts, of.Month()), texts[0], texts[1])
	y.counts = 0
}

// repair makes the administrator of the system without a guard install the new certificate.
func (y *year) repair() {
	y.repairAt = time.Time{}
	y.repairs++
	y.system.Install(y.presented.Fingerprint)
	y.say("without the guard: the administrator has found the reason, and installs the new certificate")
}

// event prints the event of the guard about a new certificate, after its first message.
func (y *year) event(ctx context.Context) error {
	if y.heard == y.presented.Generation || y.sides[1].status != http.StatusOK {
		return nil
	}
	y.heard = y.presented.Generation
	timeout := time.NewTimer(eventTakes)
	defer timeout.Stop()
	select {
	case text := <-y.events:
		y.more("guard: %s", text)
		return nil
	case <-timeout.C:
		return fmt.Errorf("the guard reported nothing about certificate %s of %s", short(y.presented.Fingerprint), partner)
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// sum prints the totals. The error reports a story that shows nothing.
func (y *year) sum() error {
	fmt.Fprintln(y.out)
	w := tabwriter.NewWriter(y.out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "\tMESSAGES\tFAILED\tCERTIFICATES INSTALLED BY A PERSON\t")
	without, with := y.sides[0], y.sides[1]
	fmt.Fprintf(w, "without the guard\t%d\t%d\t%d\t\n", without.sent, without.failed, y.repairs)
	fmt.Fprintf(w, "with the guard\t%d\t%d\t%d\t\n", with.sent, with.failed, 0)
	if err := w.Flush(); err != nil {
		return err
	}
	switch {
	case without.failed == 0:
		return errors.New("no message failed without the guard")
	case with.failed > 0:
		return fmt.Errorf("%d messages failed with the guard", with.failed)
	}
	return nil
}

// A watch is a log that passes on the events about certificates of partners.
type watch struct{ events chan<- string }

// Enabled implements [slog.Handler].
func (*watch) Enabled(context.Context, slog.Level) bool { return true }

// Handle implements [slog.Handler].
func (w *watch) Handle(_ context.Context, r slog.Record) error {
	r.Attrs(func(a slog.Attr) bool {
		if a.Key == "standing" {
			select {
			case w.events <- r.Message:
			default: // the guard must not wait for the demo
			}
		}
		return a.Key != "standing"
	})
	return nil
}

// WithAttrs implements [slog.Handler].
func (w *watch) WithAttrs([]slog.Attr) slog.Handler { return w }

// WithGroup implements [slog.Handler].
func (w *watch) WithGroup(string) slog.Handler { return w }
