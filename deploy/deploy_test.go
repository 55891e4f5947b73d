// Package deploy holds what operators put beside the service; its tests show that it fits the service.
package deploy

import (
	"bytes"
	"encoding/json"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var metric = regexp.MustCompile(`perennial_[a-z_]+`)

// exported are the names of the metrics that the service's code makes.
func exported(t *testing.T) map[string]bool {
	t.Helper()
	all := map[string]bool{}
	err := filepath.WalkDir("../internal", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		code, err := os.ReadFile(path)
		if bytes.Contains(code, []byte("client_golang/prometheus")) {
			for _, name := range regexp.MustCompile(`"(perennial_[a-z_]+)"`).FindAllSubmatch(code, -1) {
				all[string(name[1])] = true
			}
		}
		return err
	})
	if err != nil || len(all) < 5 {
		t.Fatalf("%d metrics were found: %v", len(all), err)
	}
	return all
}

func TestAlertsAndDashboardAskForMetricsThatThereAre(t *testing.T) {
	there := exported(t)
	for _, file := range []string{"prometheus/alerts.yml", "grafana/perennial.json"} {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		names := metric.FindAllString(string(data), -1)
		if len(names) < 5 {
			t.Errorf("%s asks for %d metrics only", file, len(names))
		}
		for _, name := range names {
			if !there[name] {
				t.Errorf("%s asks for %s, which nobody exports", file, name)
			}
		}
		if strings.HasSuffix(file, ".json") && !json.Valid(data) {
			t.Errorf("%s is no JSON", file)
		}
	}
}

func TestEachAlertFiresWhenItShouldAndNotBefore(t *testing.T) {
	for _, args := range [][]string{{"check", "rules", "prometheus/alerts.yml"}, {"test", "rules", "prometheus/alerts_test.yml"}} {
		if out, err := exec.CommandContext(t.Context(), "promtool", args...).CombinedOutput(); err != nil {
			t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
}
