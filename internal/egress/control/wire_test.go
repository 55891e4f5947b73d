package control

import (
	"bytes"
	"context"
	"crypto/hpke"
	"crypto/sha256"
	"crypto/tls"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/perennial-pki/perennial/internal/engine/standing"
	"github.com/perennial-pki/perennial/internal/testing/testenv"
	"github.com/perennial-pki/perennial/rollover"
	"github.com/perennial-pki/perennial/tenancy"
)

var check = testenv.Check

var update = flag.Bool("update", false, "write the golden files again")

// The golden files have the format of today. The older ones are what a release sent before the format had types of its
// own, and are never written again.
const (
	golden = "testdata/wire"
	older  = "testdata/older"
)

func at(minute int) time.Time { return time.Date(2026, 3, 1, 12, minute, 0, 123456000, time.UTC) }

// values are one of each value that crosses, with every field set.
type values struct {
	standing   standing.Standing
	identities []standing.Identity
	token      tenancy.Token
	parked     tenancy.Parked
	messages   []tenancy.Message
	seen       []standing.Observation
}

func newValues(t *testing.T) (v values) {
	t.Helper()
	pair := readPair(t)
	v.standing = standing.Standing{
		Tenant: tenancy.Tenant{ID: "tenant-id", Name: "acme", DisplayName: "Acme", KeyType: tenancy.P256, CreatedAt: at(1),
			MailsAdministrators: true, Version: 7},
		Arrangement: tenancy.Arrangement{
			ID:             "arrangement-id",
			TenantID:       "tenant-id",
			ReceiverID:     "receiver-id",
			Name:           "erp",
			Scenario:       "orders",
			Endpoint:       "https://erp.example.com/orders",
			Authentication: tenancy.ClientCertificate,
			Strategy:       tenancy.Adaptive,
			Generation:     2,
			NeededOldAt:    at(2),
			Credential:     "bank",
			Learned:        tenancy.Learned{UnaskedAt: at(25), NewestOnlyAt: at(26), FollowedAt: at(27)},
			Egress: tenancy.Egress{RefusalStatuses: []int{401, 403},
				RefusalRules: []tenancy.RefusalRule{{Preset: "iis", Status: 302, Header: "Location", Contains: "/login",
					ContentType: "text/html",
					Text:        "Sign in"}}, KeepBytes: 1 << 20, TimeoutSeconds: 30, Connections: 64,
				ServerCA: "-----BEGIN CERTIFICATE-----", ServerKeyPin: "sha256/pin", Park: true, MaxTLS: "1.2",
				Proxy:        "http://proxy.test:3128",
				IdentifiesBy: []tenancy.Identifier{tenancy.BySubject, tenancy.ByCA},
				Probe: tenancy.Probe{
					Method:   "GET",
					Path:     "/health",
					Statuses: []int{204},
				}},
			CreatedAt: at(3),
			Version:   8,
		},
		Rollover: rollover.Rollover{Strategy: tenancy.Adaptive, Presents: 2, NeededOldAt: at(2),
			UnaskedAt: at(25), NewestOnly: true,
			Generations: []rollover.Generation{
				{Number: 1, NotBefore: at(4), NotAfter: at(5), Revoked: true, NoticedUntil: at(6), PresentedAt: at(7),
					Verdict: rollover.Refused, VerdictAt: at(8), By: rollover.Traffic, ClaimedAt: at(27), ClaimedBy: rollover.Person,
					Latest:   rollover.Accepted,
					TurnedAt: at(28)},
				{Number: 2, NotBefore: at(9), NotAfter: at(10), Verdict: rollover.Accepted, VerdictAt: at(11),
					By: rollover.Probe}}},
		Certificates: []tenancy.Certificate{
			{ID: "certificate-id", TenantID: "tenant-id", Purpose: tenancy.ForTenant, Issuer: "bank-ca",
				Generation: 2, State: tenancy.Revoked, Serial: "0a", Fingerprint: "ff", Subject: "CN=acme", NotBefore: at(9),
				NotAfter: at(
					10,
				), KeyType: tenancy.P256, DER: []byte{1, 2, 3}, IssuerID: "issuer-id", SuccessorID: "successor-id",
				NoticedUntil: at(12), WarnedAt: at(13), CreatedAt: at(14), RevokedAt: at(15), RevokedFor: "stolen"},
		},
		Evidence: []standing.Evidence{{ArrangementID: "arrangement-id", Generation: 1, PresentedAt: at(7),
			Verdict: rollover.Refused, VerdictAt: at(8), Source: rollover.Traffic, Detail: "401 Unauthorized",
			ClaimedAt: at(27), ClaimedBy: rollover.Person, Latest: rollover.Accepted, TurnedAt: at(28),
			Kinds: []string{"200 application/json"}}},
	}
	v.identities = []standing.Identity{{Generation: 2, Certificate: pair}}
	v.token = tenancy.Token{ID: "token-id", Name: "app", Role: tenancy.RoleSender, TenantID: "tenant-id", Tenant: "acme",
		KeyUserID: "user-id", KeyUser: "alice", Origin: "token other-id", Issuer: "https://cluster.example.com",
		Subject: "system:serviceaccount:acme:crm", CreatedAt: at(16), ExpiresAt: at(17),
		LastUsedAt: at(18), RevokedAt: at(19)}
	v.parked = tenancy.Parked{ID: "parked-id", ArrangementID: "arrangement-id", TenantID: "tenant-id",
		IdempotencyKey: "key-1", Digest: []byte{4, 5, 6}, Method: "POST", Path: "/orders", State: tenancy.ParkedWaiting,
		Bytes: 700, Chunks: 9, Attempts: 3, NextAt: at(20),
		Status: 503, LastError: "503 Service Unavailable", CreatedAt: at(21), EndedAt: at(22)}
	v.messages = []tenancy.Message{{ID: "message-id", ArrangementID: "arrangement-id", At: at(23), Method: "POST",
		Path: "/orders", Status: 200, Generation: 2, Attempts: 2, Duration: 1500 * time.Millisecond, Outcome: "fell back",
		Count: 4}}
	v.seen = []standing.Observation{{Detail: "200 OK", Kind: "200 application/json", Evidence: rollover.Evidence{
		Generation: 2, Verdict: rollover.Accepted, By: rollover.Traffic, At: at(24), Unasked: true}}}
	return v
}

// readPair reads the certificate and key that recordings use.
func readPair(t *testing.T) tls.Certificate {
	t.Helper()
	file := filepath.Join(older, "pair.pem")
	pair, err := tls.LoadX509KeyPair(file, file)
	check(t, err)
	return tls.Certificate{Certificate: pair.Certificate, PrivateKey: pair.PrivateKey}
}

// A scripted control returns the values and records the questions.
type scripted struct {
	values
	err   error
	asked map[string]string
}

func (s *scripted) note(name string, args ...any) { s.asked[name] = fmt.Sprintf("%+v", args) }

func (s *scripted) Standing(_ context.Context, tenant, arrangement string) (standing.Standing, []standing.Identity,
	error) {
	s.note("standing", tenant, arrangement)
	return s.standing, s.identities, s.err
}

func (s *scripted) Token(_ context.Context, hash string) (tenancy.Token, error) {
	s.note("token", hash)
	return s.token, s.err
}

func (s *scripted) Observe(_ context.Context, id string, seen []standing.Observation) error {
	s.note("observe", id, seen)
	return s.err
}

func (s *scripted) Record(_ context.Context, m []tenancy.Message) error {
	s.note("record", m)
	return s.err
}

func (s *scripted) Park(_ context.Context, p tenancy.Parked, request []byte) (tenancy.Parked, error) {
	s.note("park", p, request)
	return s.parked, s.err
}

func (s *scripted) ReserveParked(_ context.Context, p tenancy.Parked) (tenancy.Parked, error) {
	s.note("reserve-parked", p)
	return s.parked, s.err
}

func (s *scripted) AddParkedChunk(_ context.Context, p tenancy.Parked, part tenancy.ParkedPart) error {
	s.note("add-parked-chunk", p, part)
	return s.err
}

func (s *scripted) ParkedChunk(_ context.Context, p tenancy.Parked, n int) ([]byte, error) {
	s.note("parked-chunk", p, n)
	return []byte("chunk"), s.err
}

func (s *scripted) DropParked(_ context.Context, p tenancy.Parked) error {
	s.note("drop-parked", p)
	return s.err
}

func (s *scripted) Parked(_ context.Context, arrangementID, id string) (tenancy.Parked, error) {
	s.note("parked", arrangementID, id)
	return s.parked, s.err
}

func (s *scripted) DueParked(_ context.Context, now time.Time, limit int) ([]tenancy.Parked, error) {
	s.note("due-parked", now, limit)
	return []tenancy.Parked{s.parked}, s.err
}

func (s *scripted) ParkedAddress(_ context.Context, p tenancy.Parked) (string, string, time.Duration, error) {
	s.note("parked-address", p)
	return "acme", "erp", time.Minute, s.err
}

func (s *scripted) ClaimParked(_ context.Context, p tenancy.Parked, until time.Time) (bool, []byte, error) {
	s.note("claim-parked", p, until)
	return true, []byte("request"), s.err
}

func (s *scripted) UpdateParked(_ context.Context, p tenancy.Parked) error {
	s.note("update-parked", p)
	return s.err
}

func (s *scripted) OnChange(listen func(string)) (stop func()) {
	listen("")
	listen("tenant-id")
	return func() {}
}

// callEvery makes every call once, and checks that each returns the values.
func callEvery(t *testing.T, c *Client, v values) {
	t.Helper()
	ctx := t.Context()
	equal := func(name string, err error, got, want any) {
		t.Helper()
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %v\ngot  %+v\nwant %+v", name, err, got, want)
		}
	}
	s, ids, err := c.Standing(ctx, "acme", "erp")
	equal("standing", err, s, v.standing)
	equal("identities", err, ids, v.identities)
	token, err := c.Token(ctx, "hash")
	equal("token", err, token, v.token)
	equal("observe", c.Observe(ctx, "arrangement-id", v.seen), nil, nil)
	equal("record", c.Record(ctx, v.messages), nil, nil)
	p, err := c.Park(ctx, v.parked, []byte("request"))
	equal("park", err, p, v.parked)
	p, err = c.Parked(ctx, "arrangement-id", "parked-id")
	equal("parked", err, p, v.parked)
	due, err := c.DueParked(ctx, at(25), 16)
	equal("due-parked", err, due, []tenancy.Parked{v.parked})
	tenant, arrangement, timeout, err := c.ParkedAddress(ctx, v.parked)
	equal("parked-address", err, []any{tenant, arrangement, timeout}, []any{"acme", "erp", time.Minute})
	claimed, request, err := c.ClaimParked(ctx, v.parked, at(26))
	equal("claim-parked", err, []any{claimed, string(request)}, []any{true, "request"})
	equal("update-parked", c.UpdateParked(ctx, v.parked), nil, nil)
}

// callNewer makes the calls that the older files do not have.
func callNewer(t *testing.T, c *Client, v values) {
	t.Helper()
	ctx := t.Context()
	p, err := c.ReserveParked(ctx, v.parked)
	if err != nil || !reflect.DeepEqual(p, v.parked) {
		t.Errorf("reserve-parked: %+v, %v", p, err)
	}
	check(t, c.AddParkedChunk(ctx, v.parked, tenancy.ParkedPart{N: 8, Last: true, Data: []byte("chunk")}))
	chunk, err := c.ParkedChunk(ctx, v.parked, 8)
	if err != nil || string(chunk) != "chunk" {
		t.Errorf("parked-chunk: %q, %v", chunk, err)
	}
	check(t, c.DropParked(ctx, v.parked))
	hash := sha256.Sum256([]byte("handshake"))
	signed, err := call[signAnswer](ctx, c, "sign", signRequest{Tenant: "acme", Arrangement: "erp", Generation: 2,
		Hash: "SHA-256", Message: slices.Concat(clientVerify13, hash[:])})
	if err != nil || len(signed.Signature) == 0 {
		t.Errorf("sign: %+v, %v", signed, err)
	}
}

// newer are the operations of callNewer.
var newer = []string{"reserve-parked", "add-parked-chunk", "parked-chunk", "drop-parked", "sign"}

// operationCount is the number of operations, so that a test notices if it calls none. olderCount is that of a release
// before large bodies were stored in chunks.
const operationCount, olderCount = 15, 10

// crossed are the bodies that crossed, by operation.
type crossed struct {
	mu                sync.Mutex
	requests, answers map[string][]byte
}

// overheard serves a handler and records what crosses.
func overheard(t *testing.T, h http.Handler) (url string, c *crossed) {
	t.Helper()
	c = &crossed{requests: map[string][]byte{}, answers: map[string][]byte{}}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		answer := httptest.NewRecorder()
		h.ServeHTTP(answer, r)
		name := strings.TrimPrefix(r.URL.Path, Path)
		c.mu.Lock()
		c.requests[name], c.answers[name] = body, answer.Body.Bytes()
		c.mu.Unlock()
		maps.Copy(w.Header(), answer.Header())
		w.WriteHeader(answer.Code)
		w.Write(answer.Body.Bytes())
	}))
	t.Cleanup(server.Close)
	return server.URL, c
}

// newPeer makes a client that has the private key of the recordings.
func newPeer(t *testing.T, url string) *Client {
	t.Helper()
	c, err := NewClient(url, Fixed("perennial_token"), nil, slog.New(slog.DiscardHandler))
	check(t, err)
	secret, err := os.ReadFile(filepath.Join(older, "hpke.key"))
	check(t, err)
	c.key, err = kem.NewPrivateKey(secret)
	check(t, err)
	return c
}

func newScripted(t *testing.T) *scripted {
	t.Helper()
	return &scripted{values: newValues(t), asked: map[string]string{}}
}

func (s *scripted) handler() Handler {
	return Handler{Control: s, Ending: context.Background(), Log: slog.New(slog.DiscardHandler)}
}

// random are the parts of an answer that are random.
var random = regexp.MustCompile(`"(Key|Signature)": "[^"]+"`)

func indented(t *testing.T, body []byte) string {
	t.Helper()
	var out bytes.Buffer
	check(t, json.Indent(&out, body, "", "  "))
	return random.ReplaceAllString(strings.TrimSpace(out.String()), `"$1": "(sealed)"`) + "\n"
}

func TestTheWireFormatMatchesTheGoldenFiles(t *testing.T) {
	s := newScripted(t)
	url, c := overheard(t, s.handler())
	callEvery(t, newPeer(t, url), s.values)
	callNewer(t, newPeer(t, url), s.values)
	if len(c.requests) != operationCount || len(operations) != operationCount {
		t.Fatalf("%d of %d operations were called", len(c.requests), len(operations))
	}
	for name := range operations {
		for kind, body := range map[string][]byte{"request": c.requests[name], "answer": c.answers[name]} {
			file, got := filepath.Join(golden, name+"."+kind+".json"), indented(t, body)
			if *update {
				check(t, os.WriteFile(file, []byte(got), 0o644))
			}
			want, err := os.ReadFile(file)
			check(t, err)
			if got != string(want) {
				t.Errorf("%s differs: if that is meant, run the test with -update.\ngot\n%s\nwant\n%s", file, got, want)
			}
		}
	}
}

// The requests of an older gateway reach the control with the same values. The answers still have the fields that it
// reads.
func TestAnOlderGatewayWorksWithThisService(t *testing.T) {
	today := newScripted(t)
	today.values.seen, today.values.parked = olderValues(t).seen, olderValues(t).parked
	url, _ := overheard(t, today.handler())
	callEvery(t, newPeer(t, url), today.values)
	then := newScripted(t)
	service := httptest.NewServer(then.handler())
	defer service.Close()
	for name := range operations {
		if slices.Contains(newer, name) {
			continue
		}
		request, err := os.ReadFile(filepath.Join(older, name+".request.json"))
		check(t, err)
		res, err := http.Post(service.URL+Path+name, "application/json", bytes.NewReader(request))
		check(t, err)
		answer, err := io.ReadAll(res.Body)
		check(t, err)
		res.Body.Close()
		if res.StatusCode != http.StatusOK {
			t.Errorf("%s: %d %s", name, res.StatusCode, answer)
			continue
		}
		recorded, err := os.ReadFile(filepath.Join(older, name+".answer.json"))
		check(t, err)
		var got, want any
		check(t, json.Unmarshal([]byte(indented(t, answer)), &got))
		check(t, json.Unmarshal([]byte(indented(t, recorded)), &want))
		for _, missing := range missingFrom(got, want, name) {
			t.Errorf("the answer lacks %s, which an older gateway reads", missing)
		}
	}
	if len(then.asked) != olderCount || !maps.Equal(then.asked, today.asked) {
		t.Errorf("got  %v\nwant %v", then.asked, today.asked)
	}
}

// missingFrom lists where a value lacks something that another one has, or has another value there.
func missingFrom(got, want any, path string) (all []string) {
	switch want := want.(type) {
	case map[string]any:
		has, _ := got.(map[string]any)
		for key, value := range want {
			all = append(all, missingFrom(has[key], value, path+"."+key)...)
		}
	case []any:
		has, _ := got.([]any)
		if len(has) != len(want) {
			return []string{path}
		}
		for i, value := range want {
			all = append(all, missingFrom(has[i], value, fmt.Sprintf("%s[%d]", path, i))...)
		}
	default:
		if !reflect.DeepEqual(got, want) {
			return []string{path}
		}
	}
	return all
}

// olderValues are the values without the fields that an older release does not send.
func olderValues(t *testing.T) values {
	t.Helper()
	v := newValues(t)
	a, r, e := &v.standing.Arrangement, &v.standing.Rollover, &v.standing.Evidence[0]
	v.standing.Tenant.MailsAdministrators = false
	a.Egress.IdentifiesBy, a.Egress.RefusalRules, a.Egress.MaxTLS, a.Egress.Proxy = nil, nil, "", ""
	a.Learned, a.Credential, v.standing.Certificates[0].Issuer = tenancy.Learned{}, "", ""
	v.token.Origin, v.token.Issuer, v.token.Subject = "", "", ""
	v.parked.Bytes, v.parked.Chunks = 0, 0
	r.UnaskedAt, r.NewestOnly = time.Time{}, false
	g := &r.Generations[0]
	g.ClaimedAt, g.ClaimedBy, g.Latest, g.TurnedAt = time.Time{}, "", "", time.Time{}
	e.ClaimedAt, e.ClaimedBy, e.Latest, e.TurnedAt, e.Kinds = time.Time{}, "", "", time.Time{}, nil
	v.seen[0].Unasked, v.seen[0].Kind = false, ""
	return v
}

func TestAnOlderServiceWorksWithThisGateway(t *testing.T) {
	var mu sync.Mutex
	answered := map[string]bool{}
	service := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name := strings.TrimPrefix(r.URL.Path, Path)
		recorded, err := os.ReadFile(filepath.Join(older, name+".answer.json"))
		if err != nil {
			http.NotFound(w, r)
			return
		}
		mu.Lock()
		answered[name] = true
		mu.Unlock()
		w.Header().Set("Content-Type", "application/json")
		w.Write(recorded)
	}))
	defer service.Close()
	callEvery(t, newPeer(t, service.URL), olderValues(t))
	if len(answered) != olderCount {
		t.Errorf("%d operations were answered", len(answered))
	}
}

func TestAnOlderServicesErrorsKeepTheirKinds(t *testing.T) {
	for status, kind := range map[int]error{404: tenancy.ErrNotFound, 409: tenancy.ErrRefused, 422: tenancy.ErrInvalid,
		412: tenancy.ErrStale, 410: tenancy.ErrConflict, 507: tenancy.ErrQuota} {
		service := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/problem+json")
			w.WriteHeader(status)
			fmt.Fprintf(w, `{"title":"%s","status":%d,"detail":"because"}`, http.StatusText(status), status)
		}))
		_, _, err := newPeer(t, service.URL).Standing(t.Context(), "acme", "erp")
		service.Close()
		if !errors.Is(err, kind) || !strings.Contains(err.Error(), "because") {
			t.Errorf("%d: %v", status, err)
		}
		s := newScripted(t)
		s.err = tenancy.Errorf(kind, "because")
		url, _ := overheard(t, s.handler())
		if err := newPeer(t, url).UpdateParked(t.Context(), s.parked); !errors.Is(err, kind) {
			t.Errorf("%v arrives as %v", kind, err)
		}
	}
}

func TestANewerPeerIsRefusedWithTheSideToUpdate(t *testing.T) {
	s := newScripted(t)
	service := httptest.NewServer(s.handler())
	defer service.Close()
	for sent, want := range map[string]int{"": 200, "1": 200, "2": 400, "x": 400} {
		r, err := http.NewRequest(http.MethodPost, service.URL+Path+"token", strings.NewReader(`"hash"`))
		check(t, err)
		if sent != "" {
			r.Header.Set(versionHeader, sent)
		}
		res, err := http.DefaultClient.Do(r)
		check(t, err)
		body, _ := io.ReadAll(res.Body)
		res.Body.Close()
		if res.StatusCode != want || want == 400 && !strings.Contains(string(body), "update the service") {
			t.Errorf("version %q: %d %s", sent, res.StatusCode, body)
		}
	}
	newer := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set(versionHeader, "2")
		io.WriteString(w, "{}")
	}))
	defer newer.Close()
	if _, err := newPeer(t, newer.URL).Token(t.Context(), "hash"); err == nil ||
		!strings.Contains(err.Error(), "update the gateway") {
		t.Errorf("a newer service: %v", err)
	}
}

// A field that is added to a value and not to the format would be lost between a gateway and its service.
func TestEveryFieldOfWhatCrossesIsInTheFormat(t *testing.T) {
	v := newValues(t)
	fields := 0
	for name, pair := range map[string][2]any{
		"standing":    {v.standing, toStanding(v.standing).value()},
		"token":       {v.token, toToken(v.token).value()},
		"parked":      {v.parked, toParked(v.parked).value()},
		"message":     {v.messages[0], toMessage(v.messages[0]).value()},
		"observation": {v.seen[0], toObservation(v.seen[0]).value()},
	} {
		if !reflect.DeepEqual(pair[0], pair[1]) {
			t.Errorf("%s: %+v became %+v", name, pair[0], pair[1])
		}
		fields += allSet(t, name, reflect.ValueOf(pair[0]))
	}
	if fields < 90 {
		t.Errorf("only %d fields were checked", fields)
	}
}

var instants = reflect.TypeFor[time.Time]()

// allSet checks that each field of a value is set, so that its loss would show, and counts them. Of a list the first
// element counts.
func allSet(t *testing.T, path string, v reflect.Value) (fields int) {
	t.Helper()
	switch {
	case v.Kind() == reflect.Struct && v.Type() != instants:
		for i := range v.NumField() {
			fields += allSet(t, path+"."+v.Type().Field(i).Name, v.Field(i))
		}
		return fields
	case v.Kind() == reflect.Slice && v.Len() > 0 && v.Index(0).Kind() == reflect.Struct:
		return allSet(t, path+"[0]", v.Index(0))
	case path == "standing.Revoked": // a gateway does not need it
		return 0
	case v.IsZero():
		t.Errorf("%s is not set in the values of the test", path)
	}
	return 1
}

// olderStream is the stream of changes of an earlier release. It has a line for each change, and empty lines as signs
// of life. The first line starts it.
const olderStream = "\n*\ntenant-id\n"

func TestTheStreamOfChangesHasItsOlderForm(t *testing.T) {
	s := newScripted(t)
	service := httptest.NewServer(s.handler())
	defer service.Close()
	res, err := http.Get(service.URL + Path + "changes")
	check(t, err)
	sent := make([]byte, len(olderStream))
	_, err = io.ReadFull(res.Body, sent)
	check(t, err)
	res.Body.Close()
	if string(sent) != olderStream {
		t.Errorf("sent %q, want %q", sent, olderStream)
	}
	old := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, olderStream)
		http.NewResponseController(w).Flush()
		<-r.Context().Done()
	}))
	notified := make(chan string, 3)
	stop := newPeer(t, old.URL).OnChange(func(id string) { notified <- id })
	for _, want := range []string{"", "", "tenant-id"} {
		if got := <-notified; got != want {
			t.Errorf("notified of %q, want %q", got, want)
		}
	}
	stop()
	old.Close()
}

func TestAKeyOpensForTheProcessTheArrangementAndTheGenerationThatItIsSealedFor(t *testing.T) {
	v := newValues(t)
	mine, err := kem.GenerateKey()
	check(t, err)
	other, err := kem.GenerateKey()
	check(t, err)
	sealed, err := sealIdentity(mine.PublicKey(), "arrangement-id", v.identities[0])
	check(t, err)
	id, err := sealed.open(mine, "arrangement-id")
	if err != nil || !reflect.DeepEqual(id, v.identities[0]) {
		t.Errorf("its own process: %v", err)
	}
	if _, err := sealed.open(other, "arrangement-id"); err == nil || !strings.Contains(err.Error(), "generation 2") {
		t.Errorf("another process: %v", err)
	}
	if _, err := sealed.open(mine, "another-id"); err == nil {
		t.Error("it opens for another arrangement")
	}
	sealed.Generation++
	if _, err := sealed.open(mine, "arrangement-id"); err == nil {
		t.Error("it opens for another generation")
	}
	garbled := sealed
	garbled.Key, err = hpke.Seal(mine.PublicKey(), kdf, aead, sealInfo("arrangement-id", sealed.Generation), []byte{1})
	check(t, err)
	if _, err := garbled.open(mine, "arrangement-id"); err == nil || !strings.Contains(err.Error(), "cannot be read") {
		t.Errorf("what is sealed is not a key: %v", err)
	}
	again, err := sealIdentity(mine.PublicKey(), "arrangement-id", v.identities[0])
	check(t, err)
	if bytes.Equal(again.Key, sealed.Key) {
		t.Error("a key is sealed in the same way twice")
	}
}

// A gateway cannot open an answer that was meant for another one.
func TestAnAnswerForAnotherGatewayDoesNotOpen(t *testing.T) {
	s := newScripted(t)
	url, c := overheard(t, s.handler())
	if _, _, err := newPeer(t, url).Standing(t.Context(), "acme", "erp"); err != nil {
		t.Fatal(err)
	}
	replay := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Write(c.answers["standing"])
	}))
	defer replay.Close()
	thief, err := NewClient(replay.URL, Fixed("perennial_token"), nil, slog.New(slog.DiscardHandler))
	check(t, err)
	if _, ids, err := thief.Standing(t.Context(), "acme", "erp"); err == nil || len(ids) > 0 {
		t.Errorf("%d identities, %v", len(ids), err)
	}
}
