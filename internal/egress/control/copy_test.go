package control_test

import (
	"net/http"
	"strings"
	"testing"
	"time"
)

// signed returns the number of signatures that the service has sent.
func (f *fixture) signed() int {
	return strings.Count(f.answered(), `"Signature"`)
}

// withCopies starts a gateway that gets copies of keys for an outage of 15 minutes.
func withCopies(t *testing.T) (f *fixture, url string) {
	t.Helper()
	f = setUp(t)
	f.keysStay.Store(true)
	f.copyFor.Store(int64(15 * time.Minute))
	f.closing()
	url = f.gateway()
	for range 2 { // the first answer shows how the receiver is spoken to
		f.sends(url, "closing", http.StatusOK)
	}
	return f, url
}

func TestACopyOfAKeySignsOnlyWhileTheServiceIsAwayAndForALimitedTime(t *testing.T) {
	f, url := withCopies(t)
	before := f.signed()
	f.sends(url, "closing", http.StatusOK)
	if f.signed() == before {
		t.Error("the gateway used the copy although the service answers")
	}
	f.setDown(true)
	for range 3 {
		f.sends(url, "closing", http.StatusOK)
	}
	f.later.Store(int64(16 * time.Minute))
	f.sends(url, "closing", http.StatusServiceUnavailable)
	f.setDown(false)
	f.later.Store(int64(17 * time.Minute))
	f.sends(url, "closing", http.StatusOK)
}

func TestACopyOfAKeyDoesNotSignWhatTheServiceAnswersAndDoesNotSign(t *testing.T) {
	f, url := withCopies(t)
	f.answer("sign", `{"Signature":"AAAA"}`)
	f.sends(url, "closing", http.StatusServiceUnavailable)
}

func TestACopyOfAKeyEndsWithTheTokenOfTheGateway(t *testing.T) {
	f, url := withCopies(t)
	_, err := f.engine.Store.DB().ExecContext(t.Context(), "UPDATE tokens SET revoked_at = ? WHERE role = 'gateway'",
		time.Now().UnixMicro())
	check(t, err)
	f.sends(url, "closing", http.StatusServiceUnavailable)
	f.setDown(true)
	f.sends(url, "closing", http.StatusServiceUnavailable)
}
