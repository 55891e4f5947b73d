package receivertest

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/perennial-pki/perennial/tenancy"
)

// The bodies of several senders share the flow-control window of an HTTP/2 connection, which is 64 KiB at first, and
// break it into small frames. Tomcat counts those as overhead and ends the connection with all its messages.
func TestReceiversOverHTTP2TakeBodiesOfSeveralSenders(t *testing.T) {
	needsReceivers(t)
	for _, name := range []string{"Tomcat, HTTP/2", "Jetty, HTTP/2", "Node.js http2"} {
		p := peers[slices.IndexFunc(peers, func(p peer) bool { return p.name == name })]
		t.Run(name, func(t *testing.T) {
			p.available(t)
			w := newWorld(t)
			r := p.start(w)(w, "large")
			r.accept(w.generation(1))
			w.engine.Arrangement(t, tenancy.Arrangement{TenantID: w.acme.ID, Name: "large", Endpoint: r.url,
				Strategy: tenancy.Adaptive, Egress: tenancy.Egress{ServerCA: string(w.ca.Bundle()), TimeoutSeconds: 60}})
			for _, load := range []struct{ senders, each, size int }{
				{4, 10, 900 << 10}, {4, 3, 5 << 20}, {4, 10, -(900 << 10)}, {24, 10, 60 << 10}, {24, 10, 12 << 10},
			} {
				var all sync.WaitGroup
				var mu sync.Mutex
				var failures, keys []string
				for sender := range load.senders {
					all.Go(func() {
						client := &http.Client{Transport: &http.Transport{}, Timeout: 2 * time.Minute}
						defer client.CloseIdleConnections()
						for n := range load.each {
							var body io.Reader = bytes.NewReader(payload[:max(load.size, -load.size)])
							if load.size < 0 { // of unknown length
								body = io.MultiReader(body)
							}
							req, err := http.NewRequest("POST", w.gateway+"/acme/large/order", body)
							check(t, err)
							key := fmt.Sprintf("%d-%d-%d", load.size, sender, n)
							req.Header.Set("Idempotency-Key", key)
							answer := exchange(client, req)
							mu.Lock()
							keys = append(keys, key)
							if answer != "" {
								failures = append(failures, answer)
							}
							mu.Unlock()
						}
					})
				}
				all.Wait()
				if len(failures) > 0 {
					t.Errorf("%d senders of %d bytes: %d of %d messages failed, the first with %s", load.senders, load.size,
						len(failures), len(keys), failures[0])
				}
				for _, key := range keys {
					if n := r.times(key); n > 1 {
						t.Errorf("message %s was taken %d times", key, n)
					}
				}
			}
		})
	}
}
