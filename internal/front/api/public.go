package api

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/perennial-pki/perennial/internal/keys/issuer"
	"github.com/perennial-pki/perennial/tenancy"
)

// handlePublic registers the paths outside of the API, which need no token.
func (s *server) handlePublic(mux *http.ServeMux) {
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("GET /readyz", s.ready)
	if ca, ok := issuer.As[issuer.Bundler](s.issuer); ok {
		mux.HandleFunc("GET /pki/ca.pem", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/x-pem-file")
			w.Write(ca.Bundle())
		})
	}
	mux.HandleFunc("GET /pki/crl.pem", s.allCRLs)
	mux.HandleFunc("GET /pki/{crl}", s.crl)
	s.handleUnsubscribe(mux)
	s.handleFeeds(mux)
	mux.HandleFunc("GET /rollover/{secret}/certificate", s.linkCertificate)
	mux.HandleFunc("GET "+counterpartyPagePath+"{secret}/certificates.zip", s.counterpartyArchive)
}

// ready reports whether the database answers.
func (s *server) ready(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), 3*time.Second)
	defer cancel()
	if err := s.store.Ping(ctx); err != nil {
		s.log.ErrorContext(ctx, "not ready", "error", err)
		http.Error(w, "the database does not answer", http.StatusServiceUnavailable)
		return
	}
	fmt.Fprintln(w, "ready")
}

var requests = prometheus.NewCounterVec(prometheus.CounterOpts{Name: "perennial_http_requests_total",
	Help: "HTTP requests by method and status."}, []string{"method", "status"})

var expiredTokens = prometheus.NewCounterVec(prometheus.CounterOpts{Name: "perennial_expired_tokens_used_total",
	Help: "Requests with a token that has expired or was revoked, by the role of the token."}, []string{"role"})

// metrics serves Prometheus metrics. Values from the database are read at each request.
func (s *server) metrics() http.Handler {
	r := prometheus.NewRegistry()
	r.MustRegister(requests, expiredTokens, collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), s)
	r.MustRegister(s.collectors...)
	return promhttp.HandlerFor(r, promhttp.HandlerOpts{})
}

var (
	mailsDesc   = prometheus.NewDesc("perennial_mails", "Mails that are not sent, by state.", []string{"state"}, nil)
	runDateDesc = prometheus.NewDesc("perennial_last_run_date_seconds", "Run date of the latest run.", nil, nil)
	nextRunDesc = prometheus.NewDesc("perennial_next_run_date_seconds",
		"Earliest run date that has not been executed; in the past if a run was missed.", nil, nil)
	mailsHeldDesc = prometheus.NewDesc("perennial_mails_held",
		"1 if the mail server refuses this installation, so that no mail is sent; otherwise 0.", nil, nil)
	runFailed = prometheus.NewDesc("perennial_last_run_failed",
		"Certificates that the latest run left for its next attempt.", nil, nil)
	runUnended = prometheus.NewDesc("perennial_runs_unfinished", "Runs that have not processed every due certificate.",
		nil, nil)
	atRiskDesc = prometheus.NewDesc("perennial_arrangements_at_risk",
		"Arrangements whose receiver has not been proved to accept the newest certificate.", nil, nil)
	deadlineDesc = prometheus.NewDesc("perennial_at_risk_deadline_seconds",
		"Earliest deadline of an arrangement at risk. Absent if none is at risk.", nil, nil)
	tokensDesc = prometheus.NewDesc("perennial_tokens_expiring",
		"Tokens of senders and gateways that expire within 30 days, or expired within the last 7, and have no successor.",
		[]string{"role"}, nil)
	tokenExpiryDesc = prometheus.NewDesc("perennial_token_expiry_seconds",
		"Earliest expiry of these tokens. Absent if there are none.", []string{"role"}, nil)
	parkedDesc  = prometheus.NewDesc("perennial_parked_messages", "Messages that wait for delivery.", nil, nil)
	parkedBytes = prometheus.NewDesc("perennial_parked_bytes",
		"Size of the waiting messages, including bodies that are still arriving.", nil, nil)
	parkedQuota = prometheus.NewDesc("perennial_parked_quota_used_ratio",
		"Used share of the quota for parked messages, for the tenant with the highest share.", nil, nil)
	failingDesc = prometheus.NewDesc("perennial_arrangements_failing",
		"Arrangements with at least 3 failed messages in the last 5 minutes and no success since.", nil, nil)
	tokenKeysDesc = prometheus.NewDesc("perennial_token_keys_to_destroy",
		"Private keys in PKCS#11 tokens that must still be destroyed. Above 0 for hours: a token does not destroy them.", nil,
		nil)
	watchedDesc = prometheus.NewDesc("perennial_watched_certificates",
		"Watched certificates of others that need attention, by problem: overdue, expired, or unread (the source fails).",
		[]string{"problem"}, nil)
	heldDesc = prometheus.NewDesc("perennial_certificates_held",
		"Certificates that are held back, because they differ from those that they replace without an earlier notice.", nil,
		nil)
	feedsSilentDesc = prometheus.NewDesc("perennial_feeds_silent",
		"Feeds of arrangements and counterparties that were fetched before, but not within the last 7 days.", nil, nil)
	databaseUpDesc = prometheus.NewDesc("perennial_database_up", "1 if the database answers this replica, otherwise 0.",
		nil, nil)
	caExpiryDesc = prometheus.NewDesc("perennial_authority_expiry_seconds",
		"When an authority of the service's CA expires.",
		[]string{"kind", "id"}, nil)
	caAwaitedDesc = prometheus.NewDesc("perennial_authority_awaited_by_seconds",
		"When the issuing CA that a root elsewhere has to sign must be installed. Absent if none is awaited.", nil, nil)
)

// An arrangement counts as failing if at least failingLeast of its messages failed in the time failingFor. At most
// failingMost are counted, and at most failingNamed of them are named in the log.
const failingLeast, failingFor, failingMost, failingNamed = 3, 5 * time.Minute, 1000, 20

// nameFailing logs the names of arrangements that began to fail, because the metric has none.
func (s *server) nameFailing(ctx context.Context, ids []string) {
	s.failingMu.Lock()
	before := s.failing
	s.failing = ids
	s.failingMu.Unlock()
	var names []string
	for _, id := range ids {
		if slices.Contains(before, id) || len(names) == failingNamed {
			continue
		}
		if t, a, err := s.store.OwnedArrangement(ctx, id); err == nil {
			names = append(names, t.Name+"/"+a.Name)
		}
	}
	if len(names) > 0 {
		s.log.WarnContext(ctx, "the latest messages of these arrangements failed: run perennial diagnose for each",
			"arrangements", names)
	}
}

// Describe implements [prometheus.Collector].
func (s *server) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{mailsDesc, mailsHeldDesc, runDateDesc, nextRunDesc, runFailed, runUnended,
		atRiskDesc, deadlineDesc, parkedDesc, parkedBytes, parkedQuota, tokensDesc, tokenExpiryDesc, failingDesc,
		heldDesc, watchedDesc, tokenKeysDesc, feedsSilentDesc, databaseUpDesc, caExpiryDesc, caAwaitedDesc,
		webhookDeliveriesDesc, webhookOldestDesc} {
		ch <- d
	}
}

// Collect implements [prometheus.Collector]. Values that cannot be read are left out.
func (s *server) Collect(ch chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	ping, pinged := context.WithTimeout(ctx, 2*time.Second)
	defer pinged()
	if err := s.store.Ping(ping); err != nil {
		gauge(databaseUpDesc, 0)
		return // all other values are in it
	}
	gauge(databaseUpDesc, 1)
	if counts, err := s.store.CountMails(ctx); err == nil {
		for _, state := range []tenancy.MailState{tenancy.MailWaiting, tenancy.MailQueued, tenancy.MailDead} {
			gauge(mailsDesc, float64(counts[state]), string(state))
		}
	}
	if hold, err := s.store.MailHold(ctx); err == nil {
		held := 0.
		if !hold.Since.IsZero() {
			held = 1
		}
		gauge(mailsHeldDesc, held)
	}
	if run, err := s.store.LatestRun(ctx); err == nil {
		gauge(runDateDesc, float64(run.RunDate.Unix()))
		gauge(runFailed, float64(run.Failed))
	}
	if due, err := s.engine.NextRun(ctx, s.clock()); err == nil {
		gauge(nextRunDesc, float64(due.Unix()))
	}
	if runs, err := s.store.UnfinishedRuns(ctx); err == nil {
		gauge(runUnended, float64(len(runs)))
	}
	if n, err := s.store.CountHeld(ctx, s.clock()); err == nil {
		gauge(heldDesc, float64(n))
	}
	if overdue, expired, unread, err := s.store.CountWatchedProblems(ctx); err == nil {
		gauge(watchedDesc, float64(overdue), "overdue")
		gauge(watchedDesc, float64(expired), "expired")
		gauge(watchedDesc, float64(unread), "unread")
	}
	if n, err := s.store.CountDoomedTokenKeys(ctx); err == nil {
		gauge(tokenKeysDesc, float64(n))
	}
	n, err1 := s.store.CountSilentFeeds(ctx, s.clock().Add(-tenancy.FeedSilence))
	parties, err2 := s.store.SilentCounterpartyFeeds(ctx, s.clock().Add(-tenancy.FeedSilence))
	if err1 == nil && err2 == nil {
		gauge(feedsSilentDesc, float64(n+len(parties)))
	}
	s.collectWebhooks(ctx, gauge)
	if risk, _, err := s.fleetRollovers.get(ctx); err == nil {
		gauge(atRiskDesc, float64(len(risk)))
		if len(risk) > 0 { // the most urgent one is the first
			first, _ := risk[0].Rollover.Risk(s.clock())
			gauge(deadlineDesc, float64(first.Deadline.Unix()))
		}
	}
	if total, largest, err := s.store.ParkedTotals(ctx); err == nil {
		gauge(parkedDesc, float64(total.Messages))
		gauge(parkedBytes, float64(total.Bytes))
		gauge(parkedQuota, max(float64(largest.Messages)/float64(s.quota.Messages),
			float64(largest.Bytes)/float64(s.quota.Bytes)))
	}
	if tokens, err := s.expiringTokens(ctx); err == nil {
		counts := map[tenancy.Role]int{tenancy.RoleSender: 0, tenancy.RoleGateway: 0}
		for _, t := range tokens {
			if counts[t.Role]++; counts[t.Role] == 1 {
				gauge(tokenExpiryDesc, float64(t.ExpiresAt.Unix()), string(t.Role))
			}
		}
		for role, n := range counts {
			gauge(tokensDesc, float64(n), string(role))
		}
	}
	for _, p := range s.viewAuthorities() {
		gauge(caExpiryDesc, float64(p.NotAfter.Unix()), string(p.Kind), p.ID)
	}
	if ca, err := s.subordinate(); err == nil {
		if by, due := ca.Awaited(s.clock()); due {
			gauge(caAwaitedDesc, float64(by.Unix()))
		}
	}
	if ids, err := s.store.FailingArrangements(ctx, s.clock().Add(-failingFor), failingLeast, failingMost); err == nil {
		gauge(failingDesc, float64(len(ids)))
		s.nameFailing(ctx, ids)
	}
}

// observe sets the headers of every answer, and counts and logs the requests.
func (s *server) observe(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Content-Type-Options", "nosniff")
		w.Header().Set("Content-Security-Policy", "default-src 'none'; form-action 'self'; frame-ancestors 'none'")
		w.Header().Set("Referrer-Policy", "no-referrer")
		w.Header().Set("Cache-Control", "no-store")
		if strings.HasPrefix(s.baseURL, "https://") {
			w.Header().Set("Strict-Transport-Security", "max-age=31536000") // RFC 6797
		}
		started := time.Now() // not the service's clock: it measures a duration
		status := &statusWriter{ResponseWriter: w, status: http.StatusOK}
		next.ServeHTTP(status, r)
		requests.WithLabelValues(methodLabel(r.Method), strconv.Itoa(status.status)).Inc()
		path := r.URL.Path
		for _, secret := range []string{"/unsubscribe/", "/rollover/", "/watched/", counterpartyPagePath, linksPath,
			feedsPath} {
			if strings.HasPrefix(path, secret) {
				path = secret + "..."
			}
		}
		s.log.DebugContext(r.Context(), "request", "method", r.Method, "path", path, "status", status.status, "duration",
			time.Since(started))
	})
}

// methodLabel bounds the values of the label: a method is text of the caller's choice (RFC 9110, section 9.1).
func methodLabel(method string) string {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete,
		http.MethodOptions:
		return method
	}
	return "other"
}

type statusWriter struct {
	http.ResponseWriter
	status int
}

func (w *statusWriter) WriteHeader(status int) {
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}

// Unwrap is for [http.ResponseController].
func (w *statusWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }
