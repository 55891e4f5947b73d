package control

import (
	"testing"
	"time"
)

func TestHandshakesDoNotWaitForAServiceThatDidNotAnswerAMomentAgo(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	ago := func(d time.Duration) *time.Time { at := now.Add(-d); return &at }
	for name, c := range map[string]struct {
		answered, failed *time.Time
		want             bool
	}{
		"never asked":                   {nil, nil, false},
		"it answered":                   {ago(time.Second / 2), nil, false},
		"it did not answer":             {nil, ago(time.Second / 2), true},
		"it did not answer a while ago": {nil, ago(time.Second), false},
		"it answered since":             {ago(time.Second / 4), ago(time.Second / 2), false},
		"it answered before":            {ago(time.Minute), ago(time.Second / 2), true},
	} {
		var contact contact
		contact.answered.Store(c.answered)
		contact.failed.Store(c.failed)
		if got := contact.isAway(now); got != c.want {
			t.Errorf("%s: away %t", name, got)
		}
	}
}
