package follow

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/perennial-pki/perennial/internal/keys/certfile"
)

// A Target is a place to write to: a file, or a key of a ConfigMap.
type Target struct {
	Path           string // absolute path of a file
	ConfigMap, Key string
}

func (t Target) String() string {
	if t.ConfigMap != "" {
		return "configmap/" + t.ConfigMap + "/" + t.Key
	}
	return t.Path
}

var (
	configMapName = regexp.MustCompile(`^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$`) // a DNS subdomain (RFC 1123)
	configMapKey  = regexp.MustCompile(`^[A-Za-z0-9._-]{1,253}$`)
)

// ParseTarget reads a target: the path of a file, configmap/NAME or configmap/NAME/KEY. Without a key, that of the
// format is used.
func ParseTarget(text string, f Format) (Target, error) {
	rest, isMap := strings.CutPrefix(text, "configmap/")
	if !isMap {
		path, err := filepath.Abs(text)
		if err != nil || text == "" || strings.HasSuffix(text, "/") {
			return Target{}, fmt.Errorf("invalid path %q: name a file to write", text)
		}
		return Target{Path: path}, nil
	}
	name, key, _ := strings.Cut(rest, "/")
	if key == "" {
		key = f.key
	}
	if !configMapName.MatchString(name) || !configMapKey.MatchString(key) {
		return Target{}, fmt.Errorf("invalid target %q: use configmap/NAME or configmap/NAME/KEY with names of Kubernetes",
			text)
	}
	return Target{ConfigMap: name, Key: key}, nil
}

// ServiceAccount is the folder in which Kubernetes places the credentials of a pod.
const ServiceAccount = "/var/run/secrets/kubernetes.io/serviceaccount"

// Kubernetes is the API server of a cluster, for ConfigMaps of one namespace.
type Kubernetes struct {
	base      url.URL
	tokenFile string // read for each request, because Kubernetes replaces it
	namespace string
	client    *http.Client
}

// InCluster returns the API server at host:port with the credentials of a pod: the files token, ca.crt and namespace of
// a folder. The address is in KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT.
func InCluster(host, port, folder string) (*Kubernetes, error) {
	if host == "" || port == "" {
		return nil, errors.New("write a ConfigMap: KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT are not set, so run " +
			"this in a pod")
	}
	roots, err := certfile.ReadRoots(filepath.Join(folder, "ca.crt"))
	if err != nil {
		return nil, fmt.Errorf("read the cluster's CA: %w", err)
	}
	namespace, err := os.ReadFile(filepath.Join(folder, "namespace"))
	if err != nil {
		return nil, fmt.Errorf("read the pod's namespace: %w", err)
	}
	name := strings.TrimSpace(string(namespace))
	if !configMapName.MatchString(name) {
		return nil, fmt.Errorf("invalid namespace %q in %s", name, filepath.Join(folder, "namespace"))
	}
	return &Kubernetes{base: url.URL{Scheme: "https", Host: net.JoinHostPort(host, port), Path: "/"},
		tokenFile: filepath.Join(folder, "token"), namespace: name, client: guarded(&http.Client{
			Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}}})}, nil
}

// apply writes the outputs that are ConfigMaps, by server-side apply. The keys of other programs stay.
func (k *Kubernetes) apply(ctx context.Context, outputs []Output, rendered [][]byte) error {
	maps := map[string]map[string]string{}
	var names []string
	for i, o := range outputs {
		name := o.Target.ConfigMap
		if name == "" {
			continue
		}
		if maps[name] == nil {
			maps[name] = map[string]string{}
			names = append(names, name)
		}
		maps[name][o.Target.Key] = string(rendered[i])
	}
	for _, name := range names {
		if err := k.patch(ctx, name, maps[name]); err != nil {
			return fmt.Errorf("write the ConfigMap %s in the namespace %s: %w", name, k.namespace, err)
		}
	}
	return nil
}

func (k *Kubernetes) patch(ctx context.Context, name string, data map[string]string) error {
	token, err := os.ReadFile(k.tokenFile)
	if err != nil {
		return fmt.Errorf("read the pod's token: %w", err)
	}
	body, err := json.Marshal(map[string]any{"apiVersion": "v1", "kind": "ConfigMap",
		"metadata": map[string]string{"name": name, "namespace": k.namespace}, "data": data})
	if err != nil {
		return err
	}
	target := k.base.JoinPath("api/v1/namespaces", k.namespace, "configmaps", name)
	target.RawQuery = url.Values{"fieldManager": {manager(data)}, "force": {"true"}}.Encode()
	req, err := http.NewRequestWithContext(ctx, http.MethodPatch, target.String(), bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+strings.TrimSpace(string(token)))
	req.Header.Set("Content-Type", "application/apply-patch+yaml") // JSON is YAML
	req.Header.Set("User-Agent", agent)
	res, err := k.client.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode/100 == 2 {
		return nil
	}
	var status struct {
		Message string `json:"message"`
	}
	answer, _ := io.ReadAll(io.LimitReader(res.Body, 16<<10))
	if json.Unmarshal(answer, &status) != nil || status.Message == "" {
		return fmt.Errorf("the API server answers %d", res.StatusCode)
	}
	return fmt.Errorf("the API server answers %d: %.300s", res.StatusCode, oneLine(status.Message))
}

// manager returns the name of the owner of some keys. An owner's next request removes its other keys, so two followers
// that write different keys of a ConfigMap need different names.
func manager(data map[string]string) string {
	var keys []string
	for key := range data {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	sum := sha256.Sum256([]byte(strings.Join(keys, "\n")))
	return agent + "-" + hex.EncodeToString(sum[:6])
}
