package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/perennial-pki/perennial/internal/testing/testenv"
)

// alarmInterval is that of Prometheus. The nightly run uses the interval that deploy/prometheus/alerts.yml names.
var alarmInterval = flag.Duration("alarm-interval", time.Second, "how often Prometheus scrapes and evaluates in the "+
	"test of the alarms")

// longestAlarm is the promise of deploy/prometheus/alerts.yml.
const longestAlarm = time.Minute

// A watched fleet is scraped by a real Prometheus with the rules that operators load.
type watched struct {
	t       *testing.T
	dir     string
	url     string // of Prometheus
	mu      sync.Mutex
	targets map[string][]string // by job
}

func watch(t *testing.T) *watched {
	t.Helper()
	w := &watched{t: t, dir: t.TempDir(), targets: map[string][]string{}}
	rules, err := filepath.Abs("../../deploy/prometheus/alerts.yml")
	check(t, err)
	config := filepath.Join(w.dir, "prometheus.yml")
	check(t, os.WriteFile(config, fmt.Appendf(nil, "global: {scrape_interval: %[1]s, scrape_timeout: %[1]s, "+
		"evaluation_interval: %[1]s}\nrule_files: [%[2]s]\nscrape_configs:\n", alarmInterval, rules), 0o600))
	f, err := os.OpenFile(config, os.O_APPEND|os.O_WRONLY, 0)
	check(t, err)
	for _, job := range []string{"perennial", "gateways"} {
		w.targets[job] = []string{}
		fmt.Fprintf(f, "  - {job_name: %s, file_sd_configs: [{files: [%s], refresh_interval: 1s}]}\n", job, w.file(job))
	}
	check(t, f.Close())
	w.write()
	address := testenv.Address(t)
	cmd := exec.Command("prometheus", "--config.file", config, "--storage.tsdb.path", filepath.Join(w.dir, "data"),
		"--web.listen-address", address, "--log.level", "error")
	testenv.Start(t, cmd)
	w.url = "http://" + address
	testenv.Eventually(t, func() bool { return w.get("/-/ready") != nil })
	return w
}

func (w *watched) file(job string) string { return filepath.Join(w.dir, job+".json") }

// write writes the files in which Prometheus finds its targets.
func (w *watched) write() {
	for job, targets := range w.targets {
		data, err := json.Marshal([]map[string][]string{{"targets": targets}})
		check(w.t, err)
		check(w.t, os.WriteFile(w.file(job)+".new", data, 0o600))
		check(w.t, os.Rename(w.file(job)+".new", w.file(job)))
	}
}

// address returns an address for metrics that Prometheus scrapes from now on.
func (w *watched) address(job string) string {
	a := testenv.Address(w.t)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.targets[job] = append(w.targets[job], a)
	return a
}

// get returns the body of an answer with status 200; nil for any other.
func (w *watched) get(path string) []byte {
	res, err := http.Get(w.url + path)
	if err != nil {
		return nil
	}
	defer res.Body.Close()
	if body, err := io.ReadAll(res.Body); err == nil && res.StatusCode == 200 {
		return body
	}
	return nil
}

// firing returns the alerts that are raised, as NAME or NAME/INSTANCE.
func (w *watched) firing() map[string]bool {
	var answer struct {
		Data struct {
			Alerts []struct {
				Labels struct{ Alertname, Instance string }
				State  string
			}
		}
	}
	json.Unmarshal(w.get("/api/v1/alerts"), &answer)
	all := map[string]bool{}
	for _, a := range answer.Data.Alerts {
		if a.State == "firing" {
			all[strings.TrimSuffix(a.Labels.Alertname+"/"+a.Labels.Instance, "/")] = true
		}
	}
	return all
}

// healthy waits until every target was scraped.
func (w *watched) healthy(targets int) {
	w.t.Helper()
	w.write()
	testenv.Eventually(w.t, func() bool {
		return strings.Count(string(w.get("/api/v1/targets?state=active")), `"health":"up"`) == targets
	})
}

// raised waits for alerts after a fault and checks the time.
func (w *watched) raised(fault time.Time, alerts ...string) {
	w.t.Helper()
	took := map[string]time.Duration{}
	for len(took) < len(alerts) && time.Since(fault) < 2*longestAlarm {
		firing := w.firing()
		for _, a := range alerts {
			if took[a] == 0 && firing[a] {
				took[a] = time.Since(fault)
			}
		}
		pause(200 * time.Millisecond)
	}
	for _, a := range alerts {
		w.t.Logf("%-50s %4.1f s", a, took[a].Seconds())
		if took[a] == 0 || took[a] > longestAlarm {
			w.t.Errorf("%s was raised %s after the fault (0s: never), want at most %s", a, took[a], longestAlarm)
		}
	}
}

// cutter forwards connections until it is cut.
func cutter(t *testing.T, target string) (address string, cut func()) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	check(t, err)
	var mu sync.Mutex
	var open []net.Conn
	go func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("tcp", target)
			if err != nil {
				in.Close()
				continue
			}
			mu.Lock()
			open = append(open, in, out)
			mu.Unlock()
			go io.Copy(in, out)
			go io.Copy(out, in)
		}
	}()
	cut = sync.OnceFunc(func() {
		l.Close()
		mu.Lock()
		defer mu.Unlock()
		for _, c := range open {
			c.Close()
		}
	})
	t.Cleanup(cut)
	return l.Addr().String(), cut
}

// A real Prometheus scrapes three replicas and two gateways. Each fault is caused, and its alert is raised within a
// minute.
func TestEachFaultRaisesItsAlarmWithinAMinute(t *testing.T) {
	t.Parallel()
	w := watch(t)
	database := testenv.NewServer(t)
	key := filepath.Join(t.TempDir(), "key")
	same := []string{"--database", database.URL("postgres"), "--key-file", key, "--base-url", "https://p.example.com",
		"--job-lease", "4s", "--log-level", "error", "--metrics-listen"}
	first := w.address("perennial")
	listen := testenv.Address(t)
	service := begin(t, append([]string{"serve", "--listen", listen, "--gateway", "off"}, append(same, first)...)...)
	perennial := commands(t, "http://"+listen, service.out["TOKEN"])
	token := regexp.MustCompile(`perennial_\S+`)
	deadAddress := w.address("perennial")
	dead := replica(t, append(same, deadAddress)...)
	gatewayToken := token.FindString(perennial("token", "create", "dmz", "--role", "gateway"))
	link, cut := cutter(t, listen)
	gateway := func(control, metrics string) *process {
		return begin(t, "gateway", "--gateway", "127.0.0.1:0", "--allow-target", "127.0.0.0/8", "--log-level", "error",
			"--control", control, "--token", gatewayToken, "--metrics-listen", metrics)
	}
	cutOff, killed := w.address("gateways"), w.address("gateways")
	behindLink := gateway("http://"+link, cutOff)
	doomed := gateway("http://"+listen, killed)

	receiver, pin, err := newReceiver() // it knows no certificate
	check(t, err)
	t.Cleanup(receiver.Close)
	perennial("tenant", "create", "acme")
	perennial("receiver", "create", "acme", "bank")
	perennial("arrangement", "create", "acme", "bank", "--receiver", "bank", "--endpoint", receiver.URL,
		"--server-key-pin", pin)
	sender := token.FindString(perennial("token", "create", "app", "--role", "sender", "--tenant", "acme"))
	w.healthy(4)
	pause(3 * *alarmInterval)
	if firing := w.firing(); len(firing) > 0 {
		t.Fatalf("without a fault, these alerts are raised: %v", firing)
	}

	fault := time.Now()
	for range 5 {
		r, err := http.NewRequest("POST", behindLink.out["GATEWAY"]+"/acme/bank/orders", strings.NewReader("order"))
		check(t, err)
		r.Header.Set("Authorization", "Bearer "+sender)
		res, err := http.DefaultClient.Do(r)
		check(t, err)
		res.Body.Close()
		if res.StatusCode < 400 {
			t.Fatalf("the receiver accepts: %s", res.Status)
		}
	}
	testenv.Eventually(t, func() bool { return strings.Contains(perennial("rollover", "messages", "acme/bank"), "POST") })
	cut()
	doomed.kill()
	check(t, dead.Process.Kill())
	perennial("token", "create", "short", "--role", "gateway", "--expires",
		time.Now().Add(48*time.Hour).UTC().Format(time.RFC3339))
	replica(t, append(append(same, w.address("perennial")), "--mail-from", "Other <other@example.com>")...)
	w.write()
	w.raised(fault, "PerennialArrangementFails", "PerennialGatewayCutOff/"+cutOff, "PerennialGatewayDown/"+killed,
		"PerennialReplicaDown/"+deadAddress, "PerennialTokenExpiresSoon", "PerennialSettingsDiffer")

	fault = time.Now()
	database.Kill()
	w.raised(fault, "PerennialDatabaseDown/"+first)
}
