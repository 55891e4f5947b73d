// Package tools pins the programs that the build needs. Its tests use the code of Helm and Compose, on which the
// product must not depend.
package tools

import (
	"context"
	"errors"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/cli"
	"helm.sh/helm/v3/pkg/action"
	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/chartutil"
)

const chartDir = "../deploy/helm/perennial"

func TestTheChartIsCleanForHelmLint(t *testing.T) {
	lint := action.NewLint()
	lint.Strict = true
	if r := lint.Run([]string{chartDir}, nil); len(r.Errors) > 0 {
		t.Errorf("%v", r.Errors)
	}
}

// render returns what "helm template" prints.
func render(t *testing.T, values map[string]any) (string, error) {
	t.Helper()
	c, err := loader.LoadDir(chartDir)
	if err != nil {
		t.Fatal(err)
	}
	install := action.NewInstall(&action.Configuration{})
	install.DryRun, install.ClientOnly, install.ReleaseName, install.Namespace, install.KubeVersion = true, true, "fleet",
		"default", &chartutil.KubeVersion{Version: "v1.30.0", Major: "1", Minor: "30"}
	r, err := install.RunWithContext(context.Background(), c, values)
	if err != nil {
		return "", err
	}
	return r.Manifest, nil
}

func TestTheChartRendersAnUnprivilegedDeployment(t *testing.T) {
	out, err := render(t, map[string]any{"policyFile": "name: own\n",
		"environment": map[string]any{"PERENNIAL_ISSUER_RATE": "100"}, "serviceMonitor": map[string]any{"enabled": true}})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"replicas: 3", "runAsNonRoot: true", "readOnlyRootFilesystem: true", "drop: [ALL]", "allowPrivilegeEscalation: false",
		"automountServiceAccountToken: false",
		"maxUnavailable: 0", "kind: PodDisruptionBudget", "kind: NetworkPolicy", "kind: ServiceMonitor", "kind: ConfigMap",
		`{name: PERENNIAL_ISSUER_RATE, value: "100"}`, "path: /readyz", "perennial:development",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("the manifest lacks %q:\n%s", want, out)
		}
	}
}

func TestTheChartRendersStandAloneGatewaysWithTheirMetricsAndProbes(t *testing.T) {
	out, err := render(t, map[string]any{})
	if err != nil || strings.Contains(out, "fleet-gateway") {
		t.Errorf("by default: %v\n%s", err, out)
	}
	out, err = render(t, map[string]any{"gateway": map[string]any{"replicas": 2},
		"serviceMonitor": map[string]any{"enabled": true}})
	if err != nil {
		t.Fatal(err)
	}
	for what, want := range map[string]int{"name: fleet-gateway\n": 5, "args: [gateway, --behind-proxy]": 1,
		"httpGet: {path: /readyz, port: metrics}": 1, "httpGet: {path: /healthz, port: metrics}": 1,
		"{name: PERENNIAL_TOKEN_FILE, value: /etc/perennial/token}":         1,
		`{name: PERENNIAL_CONTROL, value: "https://perennial.example.com"}`: 1,
		"interval: 10s": 2, "readOnlyRootFilesystem: true": 2, "secretName: perennial-gateway": 1} {
		if n := strings.Count(out, what); n != want {
			t.Errorf("the manifest has %q %d times, want %d:\n%s", what, n, want, out)
		}
	}
}

func TestTheChartGivesTheServiceItsCredentialsForAKeyManagementService(t *testing.T) {
	out, err := render(t, map[string]any{})
	if err != nil || strings.Contains(out, "envFrom") || strings.Contains(out, "serviceAccountName") {
		t.Errorf("by default: %v\n%s", err, out)
	}
	out, err = render(t, map[string]any{"gateway": map[string]any{"replicas": 2},
		"keyService": map[string]any{"secret": "vault", "serviceAccount": "perennial-kms"}})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"- secretRef: {name: vault}", "serviceAccountName: perennial-kms"} {
		if n := strings.Count(out, want); n != 1 { // a stand-alone gateway gets neither
			t.Errorf("the manifest has %q %d times:\n%s", want, n, out)
		}
	}
}

// Mails name their sender by these settings, so the chart and the compose file have an entry for each.
func TestTheSenderOfMailsIsSetInTheChartAndInTheComposeFile(t *testing.T) {
	out, err := render(t, map[string]any{"platform": map[string]any{"name": "Acme Cloud", "language": "de"}})
	if err != nil {
		t.Fatal(err)
	}
	compose, err1 := os.ReadFile("../deploy/compose/compose.yaml")
	settings, err2 := os.ReadFile("../internal/service/platform.go")
	if err := errors.Join(err1, err2); err != nil {
		t.Fatal(err)
	}
	variables := regexp.MustCompile(`env:"(PERENNIAL_[A-Z_]+)"`).FindAllStringSubmatch(string(settings), -1)
	if len(variables) < 6 {
		t.Errorf("%d settings were found", len(variables))
	}
	for _, v := range variables {
		if !strings.Contains(out, "{name: "+v[1]+",") || !strings.Contains(string(compose), "      "+v[1]+": ") {
			t.Errorf("%s has no entry in the chart or in the compose file", v[1])
		}
	}
	for _, want := range []string{`PERENNIAL_PLATFORM_NAME, value: "Acme Cloud"`, `PERENNIAL_LANGUAGE, value: "de"`} {
		if !strings.Contains(out, want) {
			t.Errorf("the manifest lacks %q", want)
		}
	}
}

func TestTheChartMountsTheLogoOfThePlatform(t *testing.T) {
	out, err := render(t, map[string]any{})
	if err != nil || !strings.Contains(out, `PERENNIAL_PLATFORM_LOGO, value: ""`) || strings.Contains(out, "fleet-logo") {
		t.Errorf("by default: %v\n%s", err, out)
	}
	out, err = render(t, map[string]any{"platform": map[string]any{"logo": "PHN2Zy8+"}})
	if err != nil {
		t.Fatal(err)
	}
	for what, want := range map[string]int{`PERENNIAL_PLATFORM_LOGO, value: "/etc/perennial-platform/logo"`: 1,
		"{name: logo, mountPath: /etc/perennial-platform, readOnly: true}": 1, `logo: "PHN2Zy8+"`: 1,
		"name: fleet-logo": 2} {
		if n := strings.Count(out, what); n != want {
			t.Errorf("the manifest has %q %d times, want %d:\n%s", what, n, want, out)
		}
	}
}

func TestTheChartRefusesInvalidValues(t *testing.T) {
	for name, values := range map[string]map[string]any{
		"no replica": {"replicas": 0}, "a misspelled name": {"replica": 3},
		"an address with a path":                    {"baseURL": "https://a/b"},
		"a variable that the service does not have": {"environment": map[string]any{"PATH": "/"}},
		"no secret":           {"secret": ""},
		"an unknown language": {"platform": map[string]any{"language": "fr"}},
		"a path of a logo":    {"platform": map[string]any{"logo": "./logo.svg"}},
	} {
		if _, err := render(t, values); err == nil {
			t.Errorf("%s: the chart accepts it", name)
		}
	}
}

func TestTheComposeFileIsValidAndUnprivileged(t *testing.T) {
	options, err := cli.NewProjectOptions([]string{"../deploy/compose/compose.yaml"})
	if err != nil {
		t.Fatal(err)
	}
	project, err := options.LoadProject(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if project, err = project.WithProfiles([]string{"gateway"}); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"replica", "gateway"} {
		s, err := project.GetService(name)
		if err != nil {
			t.Fatal(err)
		}
		if !s.ReadOnly || len(s.CapDrop) != 1 || s.CapDrop[0] != "ALL" || len(s.SecurityOpt) != 1 || len(s.Ports) != 0 ||
			s.Environment["PERENNIAL_METRICS_LISTEN"] == nil {
			t.Errorf("%+v", s)
		}
	}
}
