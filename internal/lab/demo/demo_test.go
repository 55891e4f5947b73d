package demo

import (
	"bytes"
	"strings"
	"testing"

	"github.com/perennial-pki/perennial/policy"
)

func TestTheStoryTakesItsCourseUnderEveryPolicy(t *testing.T) {
	for _, p := range policy.Presets() {
		t.Run(p.Name, func(t *testing.T) {
			t.Parallel()
			var out bytes.Buffer
			if err := Run(t.Context(), &out, p); err != nil {
				t.Fatalf("%v\n%s", err, out.String())
			}
			for _, want := range []string{
				"messages: erp 200 OK, shop 200 OK, bank 401 Unauthorized",
				`task for carol: "Tenant Certificate has been renewed"`,
				`mail to alice@acme.example.com: "Tenant Certificate has been renewed", 1 attachment`,
				`mail to ina@acme.example.com: "M-user Certificate has been renewed"`,
				"entries, verified",
			} {
				if !strings.Contains(out.String(), want) {
					t.Errorf("the story lacks %q:\n%s", want, out.String())
				}
			}
			surprised := strings.Contains(out.String(), "NO WARNING WAS SENT")
			if surprised != (p.Name == "sap-c4c") || surprised == strings.Contains(out.String(), "is going to expire soon") {
				t.Errorf("surprised: %v\n%s", surprised, out.String())
			}
			if strings.Contains(out.String(), "bob chooses") != strings.Contains(out.String(), "mail to bob") {
				t.Errorf("bob got mail without a subscription, or none with one:\n%s", out.String())
			}
		})
	}
}
