package receivertest

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/perennial-pki/perennial/internal/lab/receiver"
	"github.com/perennial-pki/perennial/internal/testing/testenv"
)

const (
	loginPage = `<html><title>Sign in</title><form method="post"><input type="password" name="p"></form></html>`
	soapFault = `<Envelope><Body><Fault><faultcode>Client.Authentication</faultcode></Fault></Body></Envelope>`
)

// tomcat holds the libraries of Tomcat, in Debian's package libtomcat10-embed-java.
const tomcat = "/usr/share/java/tomcat10-embed-core.jar"

// jetty begins the names of the libraries of Jetty, in Debian's package libjetty9-java.
const jetty = "/usr/share/java/jetty9-"

// jettyPath returns the class path of a server with HTTP/2.
func jettyPath() string {
	path := "/usr/share/java/servlet-api.jar"
	for _, part := range []string{"server", "http", "io", "util", "alpn-server", "alpn-java-server", "http2-server",
		"http2-common", "http2-hpack"} {
		path += ":" + jetty + part + ".jar"
	}
	return path
}

// peers are the receivers of the table in docs/receivers.md.
var peers = slices.Concat(goPeers(), programPeers(), serverPeers())

// goPeers refuse in every way, in the same receiver.
func goPeers() (all []peer) {
	for _, v := range []struct {
		way     string
		promise promise
		short   bool
		options receiver.Options
	}{
		{"401", nothingFails, false, receiver.Options{Refuse: 401}},
		{"403", nothingFails, true, receiver.Options{Refuse: 403}},
		{"302 to a login page", firstMayFail, true, receiver.Options{Refusal: redirect}},
		{"200 with a login page", firstMayFail, true, receiver.Options{Refusal: page(200, "text/html", loginPage)}},
		{"400", firstMayFail, false, receiver.Options{Refuse: 400}},
		{"404", firstMayFail, true, receiver.Options{Refuse: 404}},
		{"407", firstMayFail, false, receiver.Options{Refuse: 407}},
		{"498", firstMayFail, false, receiver.Options{Refuse: 498}},
		{"499", firstMayFail, false, receiver.Options{Refuse: 499}},
		{"500 with a SOAP fault", firstMayFail, true, receiver.Options{Refusal: page(500, "text/xml", soapFault)}},
		{"503", firstMayFail, false, receiver.Options{Refuse: 503}},
		{"closes", firstMayFail, true, receiver.Options{Refuse: receiver.Close}},
		{"resets the connection", firstMayFail, false, receiver.Options{Refuse: receiver.Reset}},
		{"RST_STREAM", firstMayFail, true, receiver.Options{Refuse: receiver.Close, HTTP2: true}},
	} {
		v.options.Anonymous = true
		all = append(all, peer{name: "Go", way: v.way, start: placed(golang(v.options)), promise: v.promise, short: v.short})
	}
	return append(all,
		peer{name: "Go", way: "TLS 1.3 alert", start: placed(golang(receiver.Options{Refuse: receiver.Alert}))},
		peer{name: "Go", way: "hangs", start: hangs, promise: nothingFails, patience: 1},
	)
}

func redirect(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Location", "/login")
	w.WriteHeader(http.StatusFound)
}

func page(status int, contentType, text string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", contentType)
		w.WriteHeader(status)
		fmt.Fprint(w, text)
	}
}

// hangs never answers a request with a certificate that it does not accept.
func hangs(*world) place {
	return func(w *world, _ string) system {
		ended := make(chan struct{})
		s := golang(receiver.Options{Anonymous: true, Refusal: func(_ http.ResponseWriter, r *http.Request) {
			select {
			case <-r.Context().Done():
			case <-ended:
			}
			panic(http.ErrAbortHandler) // returning would answer 200
		}})(w)
		w.t.Cleanup(func() { close(ended) })
		return s
	}
}

// placed starts a system of its own for each order.
func placed(start func(w *world) system) func(*world) place {
	return func(*world) place {
		return func(w *world, _ string) system { return start(w) }
	}
}

// programPeers are the programs below testdata.
func programPeers() (all []peer) {
	for _, v := range []struct {
		name, needs string
		command     []string
		ways        []string // the first is short
	}{
		{"Node.js https", "node", []string{"node", "receiver.js", "https"},
			[]string{"close", "401", "403", "login302", "login200"}},
		{"Node.js http2", "node", []string{"node", "receiver.js", "http2"}, []string{"reset", "401", "close", "login302"}},
		{"Python http.server", "/usr/bin/python3", []string{"/usr/bin/python3", "receiver.py"},
			[]string{"close", "401", "403", "login200"}},
		{"Python aiohttp", "/usr/lib/python3/dist-packages/aiohttp/__init__.py",
			[]string{"/usr/bin/python3", "receiver_aiohttp.py"}, []string{"close", "403", "login302"}},
		{"JDK HttpServer", "java", []string{"java", "-Xmx128m", "-XX:TieredStopAtLevel=1", "Receiver.java"},
			[]string{"403", "401", "close", "500"}},
		{"Tomcat, HTTP/2", tomcat, []string{"java", "-Xmx192m", "-XX:TieredStopAtLevel=1", "-cp",
			strings.Join([]string{tomcat,
				"/usr/share/java/tomcat10-servlet-api.jar", "/usr/share/java/tomcat10-annotations-api.jar"}, ":"),
			"TomcatReceiver.java"}, []string{"403", "login302", "soap500"}},
		{"Jetty, HTTP/2", jetty + "http2-server.jar", []string{"java", "-Xmx192m", "-XX:TieredStopAtLevel=1", "-cp",
			jettyPath(), "JettyReceiver.java"}, []string{"403", "401", "close", "login302", "soap500"}},
		{"gunicorn", "gunicorn", []string{"/usr/bin/python3", "receiver_gunicorn.py"},
			[]string{"close", "403", "login302", "login200"}},
	} {
		for i, way := range v.ways {
			promised := firstMayFail
			if way == "401" || way == "403" {
				promised = nothingFails
			}
			all = append(all, peer{name: v.name, way: way, needs: v.needs, start: program(v.command, way),
				promise: promised, short: i == 0})
		}
	}
	return all
}

// program starts a program of testdata. All orders share its process: their paths differ.
func program(command []string, way string) func(*world) place {
	return func(w *world) place {
		w.t.Helper()
		source, err := filepath.Abs("testdata")
		check(w.t, err)
		name := fmt.Sprintf("program-%d", files.Add(1))
		var args []string
		for _, a := range command[1:] {
			if strings.HasSuffix(a, ".js") || strings.HasSuffix(a, ".py") || strings.HasSuffix(a, ".java") {
				args = append(args, filepath.Join(source, a), w.dir, name)
				continue
			}
			args = append(args, a)
		}
		testenv.Start(w.t, exec.Command(command[0], args...))
		var port []byte
		testenv.Eventually(w.t, func() bool {
			port, err = os.ReadFile(filepath.Join(w.dir, name+".port"))
			return err == nil
		})
		return func(w *world, slot string) system {
			w.write(slot+".accepted", nil)
			return system{
				url:    fmt.Sprintf("https://127.0.0.1:%s/%s/%s", port, way, slot),
				accept: func(certs ...*x509.Certificate) { w.replace(slot+".accepted", fingerprints(certs)) },
				times:  func(key string) int { return written(filepath.Join(w.dir, name+".taken"), key) },
			}
		}
	}
}

func fingerprints(certs []*x509.Certificate) []byte {
	var b strings.Builder
	for _, c := range certs {
		sum := sha256.Sum256(c.Raw)
		b.WriteString(hex.EncodeToString(sum[:]) + "\n")
	}
	return []byte(b.String())
}

// replace writes a file at once, so that no reader finds a part of it.
func (w *world) replace(name string, data []byte) {
	w.t.Helper()
	w.write(name+".new", data)
	check(w.t, os.Rename(filepath.Join(w.dir, name+".new"), filepath.Join(w.dir, name)))
}

// written counts the lines of a file that equal a key.
func written(file, key string) int {
	data, err := os.ReadFile(file)
	if err != nil {
		return 0
	}
	return strings.Count("\n"+string(data), "\n"+key+"\n")
}
