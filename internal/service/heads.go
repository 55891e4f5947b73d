package service

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"sync"
	"time"

	"github.com/perennial-pki/perennial/internal/egress/serve"
	"github.com/perennial-pki/perennial/internal/engine/lifecycle"
	"github.com/perennial-pki/perennial/internal/keys/givenup"
	"github.com/perennial-pki/perennial/tenancy"
)

// Audit configures where heads of the audit log are kept outside the database.
type Audit struct {
	HeadFile    string `name:"audit-head-file" env:"PERENNIAL_AUDIT_HEAD_FILE" placeholder:"FILE" help:"Append the head of the audit log to this file once a day, for perennial audit verify --head. Keep it on another machine."`
	HeadWebhook string `name:"audit-head-webhook" env:"PERENNIAL_AUDIT_HEAD_WEBHOOK" secret:"" placeholder:"URL" help:"Post the head of the audit log to this address once a day, as JSON."`
}

func (a *Audit) check() error {
	if a.HeadWebhook == "" {
		return nil
	}
	u, err := url.Parse(a.HeadWebhook)
	if err != nil || u.Host == "" || u.Scheme != "https" && !(u.Scheme == "http" && serve.IsLoopback(u.Host)) {
		return errors.New("--audit-head-webhook: use an https URL, so that no one in between can change the head")
	}
	return nil
}

// sinks returns the sinks of the heads. The log is always one, because many installations collect it on another
// machine.
func (a *Audit) sinks(log *slog.Logger) []lifecycle.HeadSink {
	all := []lifecycle.HeadSink{headLog{log}}
	if a.HeadFile != "" {
		all = append(all, &headFile{path: a.HeadFile})
	}
	if a.HeadWebhook != "" {
		all = append(all, headWebhook{a.HeadWebhook, &http.Client{Timeout: headPatience,
			Transport: givenup.Transport{RoundTripper: http.DefaultTransport},
			// Behind a redirect is a page to sign in, or an address that --audit-head-webhook would not accept.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}})
	}
	return all
}

type headLog struct{ log *slog.Logger }

func (headLog) Name() string { return "log" }

func (l headLog) Keep(ctx context.Context, head tenancy.Chain, _ time.Time) error {
	l.log.InfoContext(ctx, "head of the audit log", "head", head.String())
	return nil
}

// headPatience limits the time of a destination. A tick, which renews certificates, waits for it.
const headPatience = 20 * time.Second

// A headFile appends heads to a file, one a line. The file may be on another machine that does not respond. The write
// is then abandoned, and there is no other one before it has ended.
type headFile struct {
	path string
	busy sync.Mutex // held by a write
}

func (*headFile) Name() string { return "file" }

func (h *headFile) Keep(ctx context.Context, head tenancy.Chain, at time.Time) error {
	if !h.busy.TryLock() {
		return errors.New("an earlier write has not finished: is the file on a machine that does not respond?")
	}
	written := make(chan error, 1)
	go func() {
		err := appendLine(h.path, fmt.Sprintf("%s %s\n", at.UTC().Format(time.RFC3339), head))
		h.busy.Unlock()
		written <- err
	}()
	select {
	case err := <-written:
		return err
	case <-time.After(headPatience):
		return fmt.Errorf("the head could not be written to the file within %s", headPatience)
	case <-ctx.Done():
		return ctx.Err()
	}
}

func appendLine(path, line string) (err error) {
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if _, err := f.WriteString(line); err != nil {
		return err
	}
	return f.Sync()
}

type headWebhook struct {
	url    string
	client *http.Client
}

func (headWebhook) Name() string { return "webhook" }

func (h headWebhook) Keep(ctx context.Context, head tenancy.Chain, at time.Time) error {
	body, err := json.Marshal(map[string]any{"type": "perennial.audit-head", "at": at.UTC(), "head": head.String()})
	if err != nil {
		return err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, h.url, bytes.NewReader(body))
	if err != nil {
		return errors.New("the address of --audit-head-webhook is not valid") // it may contain a secret
	}
	r.Header.Set("Content-Type", "application/json")
	res, err := h.client.Do(r)
	if wrapped := (*url.Error)(nil); errors.As(err, &wrapped) {
		return wrapped.Err // without the address, which may contain a secret
	} else if err != nil {
		return err
	}
	defer res.Body.Close()
	io.Copy(io.Discard, io.LimitReader(res.Body, 64<<10))
	if res.StatusCode/100 != 2 {
		return fmt.Errorf("the webhook answered %s", res.Status)
	}
	return nil
}
