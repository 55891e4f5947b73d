package webhook_test

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/perennial-pki/perennial/webhook"
)

// The vector is from the tests of the official library, github.com/standard-webhooks/standard-webhooks.
func TestASignatureIsThatOfStandardWebhooks(t *testing.T) {
	secret, err := webhook.ParseSecret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
	if err != nil {
		t.Fatal(err)
	}
	got := webhook.Sign("msg_p5jXN8AQM9LWM0D4loKWxJek", time.Unix(1614265330, 0), []byte(`{"test": 2432232314}`), secret)
	want := webhook.Signature{ID: "msg_p5jXN8AQM9LWM0D4loKWxJek", Timestamp: "1614265330",
		Signature: "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="}
	if got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func secretOf(t *testing.T, fill byte) webhook.Secret {
	t.Helper()
	s, err := webhook.NewSecret(bytes.Repeat([]byte{fill}, webhook.SecretSize))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestARequestIsVerified(t *testing.T) {
	present, former, other := secretOf(t, 1), secretOf(t, 2), secretOf(t, 3)
	body := []byte(`{"a":1}`)
	signed := webhook.Sign("id", at, body, present, former)
	change := func(fn func(*webhook.Signature)) webhook.Signature {
		s := signed
		fn(&s)
		return s
	}
	for _, c := range []struct {
		name   string
		s      webhook.Signature
		body   string
		secret webhook.Secret
		now    time.Time
		want   error
	}{
		{"the present secret", signed, `{"a":1}`, present, at, nil},
		{"the former secret", signed, `{"a":1}`, former, at, nil},
		{"another secret", signed, `{"a":1}`, other, at, webhook.ErrSignature},
		{"no secret", signed, `{"a":1}`, webhook.Secret{}, at, webhook.ErrSignature},
		{"another body", signed, `{"a":2}`, present, at, webhook.ErrSignature},
		{"another ID", change(func(s *webhook.Signature) { s.ID = "x" }), `{"a":1}`, present, at, webhook.ErrSignature},
		{"no ID", change(func(s *webhook.Signature) { s.ID = "" }), `{"a":1}`, present, at, webhook.ErrSignature},
		{"another timestamp", change(func(s *webhook.Signature) { s.Timestamp = "1796083501" }), `{"a":1}`, present, at,
			webhook.ErrSignature},
		{"no timestamp", change(func(s *webhook.Signature) { s.Timestamp = "" }), `{"a":1}`, present, at,
			webhook.ErrTimestamp},
		{"the last moment", signed, `{"a":1}`, present, at.Add(webhook.Tolerance), nil},
		{"too late", signed, `{"a":1}`, present, at.Add(webhook.Tolerance + time.Second), webhook.ErrTimestamp},
		{"too early", signed, `{"a":1}`, present, at.Add(-webhook.Tolerance - time.Second), webhook.ErrTimestamp},
		{"another scheme", change(func(s *webhook.Signature) { s.Signature = strings.ReplaceAll(s.Signature, "v1,", "v2,") }),
			`{"a":1}`, present, at, webhook.ErrSignature},
	} {
		if err := webhook.Verify(c.s, []byte(c.body), c.secret, c.now); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
	}
}

func TestASecretHasItsSizeAndHidesItself(t *testing.T) {
	s := secretOf(t, 1)
	back, err := webhook.ParseSecret(s.Text())
	if err != nil || back.Text() != s.Text() {
		t.Errorf("%v, %s", err, back.Text())
	}
	for _, shown := range []string{fmt.Sprint(s), fmt.Sprintf("%+v", s)} {
		if shown != "whsec_(hidden)" {
			t.Errorf("a secret is shown as %s", shown)
		}
	}
	for _, wrong := range []string{"", "whsec_", "whsec_c2hvcnQ=", "whsec_***", "whsec_" + strings.Repeat("QUFB", 30)} {
		if _, err := webhook.ParseSecret(wrong); err == nil || wrong != "" && strings.Contains(err.Error(), wrong[6:]) &&
			len(wrong) > 6 {
			t.Errorf("the secret %q: %v", wrong, err)
		}
	}
}

func FuzzVerify(f *testing.F) {
	key := bytes.Repeat([]byte{7}, webhook.SecretSize)
	secret, err := webhook.NewSecret(key)
	if err != nil {
		f.Fatal(err)
	}
	valid := webhook.Sign("id", at, []byte("{}"), secret)
	f.Add(valid.ID, valid.Timestamp, valid.Signature, []byte("{}"))
	f.Add("id", "-1", "v1,=", []byte(nil))
	f.Fuzz(func(t *testing.T, id, timestamp, signature string, body []byte) {
		s := webhook.Signature{ID: id, Timestamp: timestamp, Signature: signature}
		if webhook.Verify(s, body, secret, at) != nil {
			return
		}
		if again := webhook.Sign(id, at, body, secret); !strings.Contains(signature, again.Signature) &&
			timestamp == again.Timestamp {
			t.Errorf("%+v is valid, although %+v is the signature", s, again)
		}
	})
}
