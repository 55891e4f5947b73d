package docs

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
)

// asvs numbers the requirements of OWASP ASVS 5.0.0 of the levels 1 and 2.
const asvs = `
1.1.1-2 1.2.1-9 1.3.1-11 1.4.1-3 1.5.1-2 2.1.1-3 2.2.1-3 2.3.1-4 2.4.1 3.2.1-2 3.3.1-4 3.4.1-6 3.5.1-5 3.7.1-2
4.1.1-3 4.2.1 4.3.1-2 4.4.1-4 5.1.1 5.2.1-3 5.3.1-2 5.4.1-3 6.1.1-3 6.2.1-12 6.3.1-4 6.4.1-4 6.5.1-5 6.6.1-3
6.8.1-4 7.1.1-3 7.2.1-4 7.3.1-2 7.4.1-5 7.5.1-2 7.6.1-2 8.1.1-2 8.2.1-3 8.3.1 8.4.1 9.1.1-3 9.2.1-4 10.1.1-2
10.2.1-2 10.3.1-4 10.4.1-11 10.5.1-5 10.6.1-2 10.7.1-3 11.1.1-2 11.2.1-3 11.3.1-3 11.4.1-4 11.5.1 11.6.1
12.1.1-3 12.2.1-2 12.3.1-4 13.1.1 13.2.1-5 13.3.1-2 13.4.1-5 14.1.1-2 14.2.1-4 14.3.1-3 15.1.1-3 15.2.1-3
15.3.1-7 16.1.1 16.2.1-5 16.3.1-4 16.4.1-3 16.5.1-3 17.1.1 17.2.1-4 17.3.1-2
`

var asvsRow = regexp.MustCompile(`(?m)^\| ([0-9.]+(?:, [0-9.]+)*) \| (.+) \| (.+) \|$`)

func TestTheSecurityDocumentAnswersEveryRequirementOnce(t *testing.T) {
	data, err := os.ReadFile("security.md")
	if err != nil {
		t.Fatal(err)
	}
	answered := map[string]int{}
	for _, m := range asvsRow.FindAllStringSubmatch(string(data), -1) {
		for id := range strings.SplitSeq(m[1], ", ") {
			answered[id]++
		}
		if marked := strings.Contains(m[2], "**Open"); marked != strings.HasSuffix(m[3], "open") {
			t.Errorf("%s: the text and the last column differ about whether it is open", m[1])
		}
	}
	wanted := 0
	for span := range strings.FieldsSeq(asvs) {
		dot := strings.LastIndex(span, ".")
		var first, last int
		if n, _ := fmt.Sscanf(span[dot+1:], "%d-%d", &first, &last); n == 1 {
			last = first
		}
		for i := first; i <= last; i++ {
			wanted++
			id := fmt.Sprintf("%s.%d", span[:dot], i)
			if answered[id] != 1 {
				t.Errorf("requirement %s is answered %d times", id, answered[id])
			}
			delete(answered, id)
		}
	}
	if len(answered) > 0 {
		t.Errorf("these are not requirements of level 1 or 2: %v", answered)
	}
	atLeast(t, 253, wanted, "requirements")
}
