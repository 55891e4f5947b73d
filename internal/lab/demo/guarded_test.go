package demo

import (
	"bytes"
	"io"
	"log"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/perennial-pki/perennial/policy"
)

func TestMain(m *testing.M) {
	if os.Getenv(SenderVariable) != "" { // the process of the platform
		if err := Send(os.Stdin, os.Stdout); err != nil {
			log.Fatal(err)
		}
		return
	}
	os.Exit(m.Run())
}

func TestASystemBehindAGuardRefusesNoMessageAndOneWithoutDoes(t *testing.T) {
	const event = "guard: acme-c4c has renewed its certificate"
	for name, want := range map[string]int{GuardedPolicy: 1, policy.Default: 1, "short-lived": 11} { // renewals in a year
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p, err := policy.Preset(name)
			if err != nil {
				t.Fatal(err)
			}
			var out bytes.Buffer
			if err := guarded(t.Context(), &out, p, 13*time.Hour); err != nil {
				t.Fatalf("%v\n%s", err, out.String())
			}
			for _, line := range []string{`401 Unauthorized +200 OK\n`, `: accepted as successor\n`,
				`without the guard +\d+ +[1-9]\d* +[1-9]\d*\n`, `with the guard +\d+ +0 +0\n$`} {
				if !regexp.MustCompile(line).MatchString(out.String()) {
					t.Errorf("no line matches %q:\n%s", line, out.String())
				}
			}
			if got := strings.Count(out.String(), event); got != want {
				t.Errorf("the guard reports %d renewals, want %d:\n%s", got, want, out.String())
			}
			surprised := strings.Contains(out.String(), "it sent no warning to anyone")
			if surprised != (name == GuardedPolicy) {
				t.Errorf("a renewal without a warning: %t\n%s", surprised, out.String())
			}
		})
	}
}

func TestAYearThatShowsNothingIsAnError(t *testing.T) {
	for want, sides := range map[string][2]side{
		"no message failed without the guard": {{sent: 9}, {sent: 9}},
		"2 messages failed with the guard":    {{sent: 9, failed: 3}, {sent: 9, failed: 2}},
	} {
		y := &year{story: &story{out: io.Discard}, sides: sides}
		if err := y.sum(); err == nil || err.Error() != want {
			t.Errorf("%v, want %q", err, want)
		}
	}
}
