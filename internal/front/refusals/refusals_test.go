package refusals_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/perennial-pki/perennial/internal/front/refusals"
)

func TestAFloodOfRefusalsFillsNeitherTheLogNorHidesOtherSources(t *testing.T) {
	var out bytes.Buffer
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	log := refusals.New(slog.New(slog.NewTextHandler(&out, nil)), func() time.Time { return now })
	refuse := func(source string) {
		log.Write(t.Context(), source, "refused", func() []any { return []any{"source", source} })
	}
	lines := func() string { defer out.Reset(); return out.String() }
	for range 1000 {
		refuse("stranger")
	}
	refuse("other")
	if text := lines(); strings.Count(text, "source=stranger") != refusals.PerSource ||
		strings.Count(text, "source=other") != 1 {
		t.Errorf("from one source:\n%s", text)
	}
	for i := range 1000 {
		refuse(fmt.Sprint(i))
	}
	if n := strings.Count(lines(), "\n"); n != refusals.PerMinute-refusals.PerSource-1 {
		t.Errorf("from many sources: %d more lines", n)
	}
	now = now.Add(time.Minute)
	refuse("other")
	refuse("other")
	if text := lines(); strings.Count(text, "\n") != 3 || !strings.Contains(text, "count=1901") {
		t.Errorf("in the next minute:\n%s", text)
	}
}
