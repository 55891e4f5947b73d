// Package tools pins the programs that the build needs. Its tests use the code of Helm and Compose, on which the
// product must not depend.
package tools

import (
	"context"
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

func TestTheChartRefusesInvalidValues(t *testing.T) {
	for name, values := range map[string]map[string]any{
		"no replica": {"replicas": 0}, "a misspelled name": {"replica": 3},
		"an address with a path":                    {"baseURL": "https://a/b"},
		"a variable that the service does not have": {"environment": map[string]any{"PATH": "/"}},
		"no secret": {"secret": ""},
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
	replica, err := project.GetService("replica")
	if err != nil {
		t.Fatal(err)
	}
	if !replica.ReadOnly || len(replica.CapDrop) != 1 || replica.CapDrop[0] != "ALL" || len(replica.SecurityOpt) != 1 ||
		len(replica.Ports) != 0 {
		t.Errorf("%+v", replica)
	}
}
