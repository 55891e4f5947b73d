package docs

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// spaced replaces every run of white space by one space.
func spaced(text string) string { return strings.Join(strings.Fields(text), " ") }

// Each row is a line of the code and what a document states about it. If a change of the code fails here, change the
// document and the row.
func TestNumbersInTheDocumentsAreThoseOfTheCode(t *testing.T) {
	code := spaced(source(t) + regression(t))
	text := map[string]string{}
	for _, d := range documents(t) {
		text[d.path] = spaced(d.text)
	}
	for _, c := range []struct{ code, document, text string }{
		{`firstTokenLifetime = 30 * 24 * time.Hour`, "docs/operations.md", "This token expires after 30 days"},
		{`LongestSession = 7 * 24 * time.Hour`, "docs/operations.md", "A session ends after seven days"},
		{`idleSession = 12 * time.Hour`, "docs/operations.md", "or after twelve hours without use"},
		{`companyRights = 12 * time.Hour`, "docs/operations.md",
			"Rights are read at each sign-in and end after twelve hours"},
		{`companyRights = 12 * time.Hour`, "docs/guarantees.md", "for at most twelve hours"},
		{`freeFailures = 5`, "docs/operations.md", "The fifth wrong password locks a name"},
		{`longestLock = 15 * time.Minute`, "docs/operations.md", "up to 15 minutes"},
		{`attemptsPerMinute, attemptsAtOnce = 30, 8`, "docs/operations.md", "30 times a minute"},
		{`DefaultPart = 5000`, "docs/operations.md", "more than 5,000 due certificates"},
		{`DefaultPartLease = 10 * time.Minute`, "docs/operations.md", "`--job-lease`, ten minutes by default"},
		{`mailsPerJob = 100`, "docs/operations.md", "carries up to 100 mails"},
		{`deliveryQueue: {MaxWorkers: 4}`, "docs/guarantees.md", "at most four deliveries"},
		{`DefaultMessagesKept = 30 * 24 * time.Hour`, "docs/operations.md", "deleted after 30 days"},
		{`LeastMessagesKept = 24 * time.Hour`, "docs/operations.md", "minimum is one day"},
		{`parkedKept = 30 * 24 * time.Hour`, "docs/operations.md", "A finished parked message is kept for 30 days"},
		{`samplesPerMinute = 5`, "docs/operations.md", "The first five failures of a minute"},
		{`journalEvery, journalRetry = 500 * time.Millisecond`, "docs/operations.md", "writes it every half second"},
		{`mostEntries = 10000`, "docs/operations.md", "more than 10,000 are waiting"},
		{`idleRoute = 10 * time.Minute`, "docs/operations.md", "idle for more than ten minutes"},
		{`idleRoute = 10 * time.Minute`, "docs/performance.md", "has been idle for ten minutes"},
		{`mostRoutes = 15000`, "docs/performance.md", "At most 15,000 are kept"},
		{`tokenGrace = time.Hour`, "docs/operations.md", "remains valid for an hour"},
		{`smallBody = 64 << 10`, "docs/guarantees.md", "keeps the first 64 KiB"},
		{`return 64 << 20`, "docs/guarantees.md", "more than 64 MiB"},
		{`directBody = 16 << 10`, "docs/performance.md", "of at most 16 KiB"},
		{`patience = 3`, "docs/guarantees.md", "After three such messages in a row"},
		{`firstPause, longestPause = time.Second, 30 * time.Second`, "docs/guarantees.md", "for 1 to 30 seconds"},
		{`readAgain = 200 * time.Millisecond`, "docs/guarantees.md", "at most five times a second for each arrangement"},
		{`readTimeout = 2 * time.Second`, "docs/guarantees.md", "waits for it up to two seconds"},
		{`stages = []int{30, 14, 7, 3, 1}`, "docs/guarantees.md", "30, 14, 7, 3 and 1 days"},
		{`hostingFrom = 3`, "docs/operations.md", "From 3 days before"},
		{`Quiet = 28 * 24 * time.Hour`, "docs/operations.md", "settled for 28 days"},
		{`rootLifetime = 25 * 365 * day`, "docs/operations.md", "valid for 25 years"},
		{`issuingLifetime = 10 * 365 * day`, "docs/operations.md", "valid for 10 years"},
		{`announcedFor, signsBefore = 365 * day, 90 * day`, "docs/operations.md", "it begins to sign 90 days before"},
		{`standardNotice = 28 * policy.Day`, "docs/operations.md", "not before 28 days have passed"},
		{`searchWindow = 20000`, "docs/performance.md", "examines 20,000 entries"},
		{`smallFleet = 2000`, "docs/performance.md", "more than 2,000 entries"},
		{`smallFleet = 2000`, "docs/guarantees.md", "more than 2,000 entries"},
		{`surveyAge = time.Minute`, "docs/guarantees.md", "at most once a minute"},
		{`opens, closes = 8, 17`, "docs/simulation.md", "between 8:00 and 17:00 UTC"},
		{`allocationsSQLite = 593 // 77`, "docs/performance.md", "593 allocations"},
		{`bytesSQLite = 46_250`, "docs/performance.md", "46 kB on SQLite"},
		{`allocationsPostgres = 596`, "docs/performance.md", "596 allocations"},
		{`rowsInserted = 7.02`, "docs/performance.md", "7.02 rows inserted"},
		{`rowsUpdated = 1.01`, "docs/performance.md", "1.01 updated"},
	} {
		if !strings.Contains(code, c.code) {
			t.Errorf("the code no longer has %q: does %s still hold, %q?", c.code, c.document, c.text)
		}
		if !strings.Contains(text[c.document], c.text) {
			t.Errorf("%s no longer contains %q, which states %q of the code", c.document, c.text, c.code)
		}
	}
}

// regression returns the test that holds the costs of a renewal.
func regression(t *testing.T) string {
	t.Helper()
	data, err := os.ReadFile("../internal/lab/bench/regression_test.go")
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// continued matches where a string literal continues on the next line.
var continued = regexp.MustCompile(`"\s*\+\s*"`)

func TestQuotedErrorsPagesAndFieldsExist(t *testing.T) {
	code := continued.ReplaceAllString(source(t), "")
	for _, c := range []struct {
		what, document string
		name           *regexp.Regexp // its first group
		inCode         func(name string) string
		floor          int
	}{
		{"errors in the table about starting", "docs/operations.md", regexp.MustCompile(`(?m)^\| "([^"|]+)" \|`),
			func(name string) string { return name }, 5},
		{"addresses of the service", "docs/operations.md", regexp.MustCompile("`(/[a-z][a-z/.-]*)`"),
			func(name string) string { return name }, 7},
		{"fields of the simulator's JSON", "docs/simulation.md", regexp.MustCompile("(?m)^\\| `([a-z_]+)` \\|"),
			func(name string) string { return `json:"` + name + `"` }, 7},
	} {
		i := slices.IndexFunc(documents(t), func(d document) bool { return d.path == c.document })
		checked := 0
		for _, m := range c.name.FindAllStringSubmatch(documents(t)[i].text, -1) {
			checked++
			if !strings.Contains(code, c.inCode(m[1])) {
				t.Errorf("%s: the code does not contain %q", c.document, m[1])
			}
		}
		atLeast(t, c.floor, checked, c.what)
	}
}
