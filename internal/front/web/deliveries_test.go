package web_test

import (
	"strings"
	"testing"

	"github.com/perennial-pki/perennial/internal/engine/store"
	"github.com/perennial-pki/perennial/tenancy"
)

func TestTheOverviewShowsThatMailsAreHeld(t *testing.T) {
	c := open(t)
	operator := c.signIn("olga")
	const reason = "535 5.7.8 login failed"
	check(t, c.engine.Store.InTx(t.Context(), func(tx *store.Tx) error {
		_, err := tx.HoldMails(t.Context(), tenancy.MailHold{Since: c.now(), RetryAt: c.now(), Reason: reason})
		return err
	}))
	if _, body := c.get(operator, "/"); !strings.Contains(body, "No mail is sent, because the mail server refuses this") ||
		!strings.Contains(body, reason) {
		t.Errorf("the overview does not show it:\n%s", body)
	}
	if _, body := c.get(operator, "/deliveries"); !strings.Contains(body, `action="/deliveries/requeue"`) {
		t.Error("the page of mails has no button to try all of them")
	}
	if status, body := c.post(operator, "/deliveries/requeue"); status != 409 ||
		!strings.Contains(body, "no mail server is configured") {
		t.Errorf("%d\n%s", status, body)
	}
}
