package tenancy

import (
	"strings"
	"testing"
	"time"
)

func TestALinkInAMailServesItsKeyUserItsPurposeAndItsLifetimeAlone(t *testing.T) {
	at := time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC)
	alice := KeyUser{ID: "a", UnsubscribeToken: "secret of alice"}
	bob := KeyUser{ID: "b", UnsubscribeToken: "secret of bob"}
	purposes := []LinkPurpose{LinkAsk, LinkStop, LinkConfirm, LinkUndo}
	for _, p := range purposes {
		secret := alice.LinkSecret(p, at)
		if LinkUser(secret) != "a" || strings.Contains(secret, alice.UnsubscribeToken) {
			t.Errorf("%s: %q", p, secret)
		}
		for _, other := range purposes {
			if alice.Opens(other, secret, at) != (other == p) {
				t.Errorf("a link to %s opens %s: %v", p, other, other != p)
			}
		}
		end := at.Add(linkLifetimes[p])
		if !alice.Opens(p, secret, end.Add(-time.Second)) || alice.Opens(p, secret, end) {
			t.Errorf("%s does not end at %s", p, end)
		}
		extended := strings.Replace(secret, ".", ".9", 1)
		for name, wrong := range map[string]string{"of another": bob.LinkSecret(p, at), "extended": extended, "empty": "",
			"cut": secret[:len(secret)-1], "without a signature": "a.9999999999.", "only an ID": "a"} {
			if alice.Opens(p, wrong, at) {
				t.Errorf("%s: a secret that is %s is accepted", p, name)
			}
		}
		again := alice
		again.Subscribe(at, "another secret")
		if again.Opens(p, secret, at) {
			t.Errorf("%s: the link survives a new subscription", p)
		}
	}
	if alice.Opens("delete", alice.LinkSecret("delete", at.AddDate(1, 0, 0)), at) {
		t.Error("a link has an unknown purpose")
	}
}
