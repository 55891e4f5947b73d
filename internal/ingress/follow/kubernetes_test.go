package follow

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/perennial-pki/perennial/internal/testing/testca"
	"github.com/perennial-pki/perennial/internal/testing/testenv"
)

// An apiServer records server-side applies as Kubernetes gets them, and merges the keys of each owner.
type apiServer struct {
	server *httptest.Server
	folder string // of the service account
	owned  map[string]map[string]string
	status int
	answer string
	tokens []string
}

func newAPIServer(t *testing.T) *apiServer {
	t.Helper()
	a := &apiServer{folder: t.TempDir(), owned: map[string]map[string]string{}, status: 200}
	a.server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a.tokens = append(a.tokens, r.Header.Get("Authorization"))
		body, err := io.ReadAll(r.Body)
		testenv.Check(t, err)
		var applied struct {
			APIVersion, Kind string
			Metadata         struct{ Name, Namespace string }
			Data             map[string]string
		}
		testenv.Check(t, json.Unmarshal(body, &applied))
		if r.Method != http.MethodPatch || r.URL.Path != "/api/v1/namespaces/shop/configmaps/partner-acme" ||
			r.Header.Get("Content-Type") != "application/apply-patch+yaml" || r.URL.Query().Get("force") != "true" ||
			applied.APIVersion != "v1" || applied.Kind != "ConfigMap" || applied.Metadata.Name != "partner-acme" ||
			applied.Metadata.Namespace != "shop" {
			t.Errorf("%s %s: %s", r.Method, r.URL, body)
		}
		if a.status == 200 {
			a.owned[r.URL.Query().Get("fieldManager")] = applied.Data
		}
		w.WriteHeader(a.status)
		io.WriteString(w, a.answer)
	}))
	t.Cleanup(a.server.Close)
	ca := testca.PEM(a.server.Certificate().Raw)
	for name, data := range map[string]string{"token": "first\n", "namespace": "shop\n", "ca.crt": string(ca)} {
		testenv.Check(t, os.WriteFile(filepath.Join(a.folder, name), []byte(data), 0o600))
	}
	return a
}

// follows makes a receiver write to a ConfigMap of the server.
func (a *apiServer) follows(t *testing.T, r *receiver, targets ...string) {
	t.Helper()
	u, err := url.Parse(a.server.URL)
	testenv.Check(t, err)
	r.config.Kubernetes, err = InCluster(u.Hostname(), u.Port(), a.folder)
	testenv.Check(t, err)
	r.config.Outputs, r.config.Check, r.config.State = nil, "", filepath.Join(r.dir, "state")
	for _, text := range targets {
		name, target, _ := strings.Cut(text, "=")
		f := formatOf(t, name)
		parsed, err := ParseTarget(target, f)
		testenv.Check(t, err)
		r.config.Outputs = append(r.config.Outputs, Output{f, parsed})
	}
}

func TestAConfigMapIsAppliedOnceForEachChange(t *testing.T) {
	s, a := newSender(t, january), newAPIServer(t)
	r := newReceiver(t, s, january, "list")
	a.follows(t, r, "nginx=configmap/partner-acme", "cas=configmap/partner-acme/ca.pem")
	r.works()
	r.works()
	testenv.Check(t, os.WriteFile(filepath.Join(a.folder, "token"), []byte("second"), 0o600))
	s.renew(january)
	r.works()
	if want := []string{"Bearer first", "Bearer second"}; !slices.Equal(a.tokens, want) {
		t.Errorf("the tokens of the requests are %q, want %q", a.tokens, want)
	}
	for _, data := range a.owned {
		if len(data) != 2 || !strings.Contains(data["accepted.map"], "generation 2") ||
			!strings.Contains(data["ca.pem"], "BEGIN CERTIFICATE") {
			t.Errorf("the ConfigMap has %q", data)
		}
	}
	if want := []string{"reload", "reload"}; !slices.Equal(r.ran, want) || len(s.reported()) != 2 {
		t.Errorf("ran %q, %d reports", r.ran, len(s.reported()))
	}
}

func TestFollowersOfOneConfigMapOwnTheirKeys(t *testing.T) {
	s, a := newSender(t, january), newAPIServer(t)
	for _, target := range []string{"pem=configmap/partner-acme/a.pem", "pem=configmap/partner-acme/b.pem"} {
		r := newReceiver(t, s, january, "list")
		a.follows(t, r, target)
		r.works()
	}
	if len(a.owned) != 2 {
		t.Errorf("the keys belong to %d owners", len(a.owned))
	}
}

func TestAConfigMapThatCannotBeAppliedIsTriedAgain(t *testing.T) {
	s, a := newSender(t, january), newAPIServer(t)
	r := newReceiver(t, s, january, "list")
	a.follows(t, r, "jwks=configmap/partner-acme")
	a.status, a.answer = 403, `{"message":"configmaps \"partner-acme\" is forbidden:\n no RBAC"}`
	if err := r.once(); err == nil || !strings.Contains(err.Error(), `write the ConfigMap partner-acme in the namespace `+
		`shop: the API server answers 403: configmaps "partner-acme" is forbidden:\0A no RBAC`) {
		t.Errorf("got %v", err)
	}
	if len(r.ran)+len(s.reported()) > 0 {
		t.Errorf("ran %q, %d reports", r.ran, len(s.reported()))
	}
	a.status, a.answer = 500, "<html>"
	if err := r.once(); err == nil || !strings.Contains(err.Error(), "the API server answers 500") {
		t.Errorf("got %v", err)
	}
	token := filepath.Join(a.folder, "token")
	testenv.Check(t, os.Rename(token, token+".away"))
	if err := r.once(); err == nil || !strings.Contains(err.Error(), "read the pod's token") {
		t.Errorf("got %v", err)
	}
	testenv.Check(t, os.Rename(token+".away", token))
	kubernetes := r.config.Kubernetes
	r.config.Kubernetes = new(*kubernetes)
	r.config.Kubernetes.base.Host = "127.0.0.1:1"
	if err := r.once(); err == nil || !strings.Contains(err.Error(), "connection refused") {
		t.Errorf("got %v", err)
	}
	r.config.Kubernetes = kubernetes
	a.status, a.answer = 200, "{}"
	r.works()
	if len(a.owned) != 1 || len(s.reported()) != 1 {
		t.Errorf("%d owners, %d reports", len(a.owned), len(s.reported()))
	}
}

func TestTargets(t *testing.T) {
	f := formatOf(t, "jwks")
	for text, want := range map[string]string{"/etc/a.json": "/etc/a.json", "/etc/x/../a": "/etc/a",
		"configmap/a": "configmap/a/jwks.json", "configmap/a/b.json": "configmap/a/b.json", "": "", "/etc/": "",
		"configmap/": "", "configmap/A": "", "configmap/a/../b": "", "configmap/a/b?c": "", "configmap/../a": ""} {
		got, err := ParseTarget(text, f)
		if want == "" && err == nil || want != "" && (err != nil || got.String() != want) {
			t.Errorf("%q: %v, %v, want %q", text, got, err, want)
		}
	}
}

func TestAFollowerOutsideAClusterIsToldSo(t *testing.T) {
	if _, err := InCluster("", "", t.TempDir()); err == nil || !strings.Contains(err.Error(), "run this in a pod") {
		t.Errorf("no variables: %v", err)
	}
	if _, err := InCluster("127.0.0.1", "1", t.TempDir()); err == nil ||
		!strings.Contains(err.Error(), "read the cluster's CA") {
		t.Errorf("no files: %v", err)
	}
	a := newAPIServer(t)
	testenv.Check(t, os.WriteFile(filepath.Join(a.folder, "namespace"), []byte("../kube-system"), 0o600))
	if _, err := InCluster("127.0.0.1", "1", a.folder); err == nil || !strings.Contains(err.Error(), "invalid namespace") {
		t.Errorf("a wrong namespace: %v", err)
	}
	r := newReceiver(t, newSender(t, january), january, "list")
	newAPIServer(t).follows(t, r, "list=configmap/partner-acme")
	r.config.State = ""
	if _, err := New(r.config); err == nil || !strings.Contains(err.Error(), "--state") {
		t.Errorf("no state file: %v", err)
	}
	r.config.State, r.config.Check = filepath.Join(r.dir, "state"), "check"
	if _, err := New(r.config); err == nil || !strings.Contains(err.Error(), "only ConfigMaps are written") {
		t.Errorf("a check: %v", err)
	}
}
