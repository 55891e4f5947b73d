package api

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"net/http"
	"strings"
	"time"

	"github.com/perennial-pki/perennial/internal/engine/store"
	"github.com/perennial-pki/perennial/internal/front/faults"
	"github.com/perennial-pki/perennial/internal/front/principal"
)

// rememberFor is the lifetime of an Idempotency-Key.
const rememberFor = 24 * time.Hour

// remember answers a creation that is repeated under its Idempotency-Key with the first answer. Nothing is stored for a
// caller without a token or a session, such as the holder of a link.
func (s *server) remember(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		key := r.Header.Get("Idempotency-Key")
		known := principal.Of(r.Context()).Role != ""
		if r.Method != http.MethodPost || key == "" || !known || !strings.HasPrefix(r.URL.Path, "/api/") {
			next.ServeHTTP(w, r)
			return
		}
		if len(key) > 255 {
			writeProblem(w, http.StatusBadRequest, "the Idempotency-Key is longer than 255 bytes")
			return
		}
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 1<<20))
		if err != nil {
			var tooLarge *http.MaxBytesError
			if errors.As(err, &tooLarge) {
				writeProblem(w, http.StatusRequestEntityTooLarge, "the request is larger than 1 MiB")
			} else {
				writeProblem(w, http.StatusBadRequest, "the request is incomplete")
			}
			return
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		sum := sha256.Sum256(append([]byte(r.Method+" "+r.URL.RequestURI()+"\n"), body...))
		use := keyUse{token: principal.Of(r.Context()).ID, key: key, hash: hex.EncodeToString(sum[:])}
		found, err := s.beginKey(r.Context(), use)
		switch {
		case err != nil:
			faults.Log(r.Context(), s.log, "an idempotency key failed", err)
			writeProblem(w, http.StatusServiceUnavailable, "the database does not answer: try again")
		case found != nil:
			s.replay(r.Context(), w, use, found)
		default:
			answer := &buffer{header: w.Header()}
			next.ServeHTTP(answer, r)
			s.keepAnswer(context.WithoutCancel(r.Context()), use, answer) // a caller that gave up repeats the request
			w.WriteHeader(answer.status)
			w.Write(answer.body)
		}
	})
}

// A keyUse is a request under an Idempotency-Key.
type keyUse struct {
	token, key string
	hash       string // of the request
}

// beginKey records the use of a key. It returns the earlier use, or nil if there is none.
func (s *server) beginKey(ctx context.Context, use keyUse) (found *store.Remembered, err error) {
	now := s.clock()
	err = s.store.InTx(ctx, func(tx *store.Tx) (err error) {
		if err = tx.Forget(ctx, "", "", now.Add(-rememberFor)); err == nil {
			found, err = tx.Remember(ctx, use.token, use.key, use.hash, now)
		}
		return err
	})
	return found, err
}

// replay writes the answer to the first request with a key, or the reason why there is none.
func (s *server) replay(ctx context.Context, w http.ResponseWriter, use keyUse, found *store.Remembered) {
	switch {
	case found.RequestHash != use.hash:
		writeProblem(w, http.StatusUnprocessableEntity, "this Idempotency-Key was used for another request: use a new key")
		return
	case found.Status == 0:
		writeProblem(w, http.StatusConflict, "the first request with this Idempotency-Key is running or was interrupted: "+
			"check whether it was done, and use a new key if not")
		return
	}
	var header http.Header
	err1 := json.Unmarshal([]byte(found.Header), &header)
	body, err2 := s.seal.Open(found.Body, sealContext(use.token, use.key))
	if err := errors.Join(err1, err2); err != nil {
		s.log.ErrorContext(ctx, "an idempotency key failed", "error", err)
		writeProblem(w, http.StatusConflict, "the answer to this Idempotency-Key can no longer be read: use a new key")
		return
	}
	maps.Copy(w.Header(), header)
	w.Header().Set("Idempotency-Replayed", "true")
	w.WriteHeader(found.Status)
	w.Write(body)
}

// keepAnswer stores the answer to the first request with a key. After a failure, the key can be used again.
func (s *server) keepAnswer(ctx context.Context, use keyUse, answer *buffer) {
	header, _ := json.Marshal(answer.header)
	err := s.store.InTx(ctx, func(tx *store.Tx) error {
		if answer.status >= 500 { // nothing was done
			return tx.Forget(ctx, use.token, use.key, time.Time{})
		}
		// The answer may contain the secret of a new token.
		body, err := s.seal.Seal(answer.body, sealContext(use.token, use.key))
		if err != nil {
			return err
		}
		return tx.RememberAnswer(ctx, use.token, use.key, store.Remembered{Status: answer.status, Header: string(header),
			Body: body})
	})
	if err != nil {
		s.log.ErrorContext(ctx, "the answer to an idempotency key was not stored", "error", err)
	}
}

func sealContext(token, key string) string { return "answer/" + token + "/" + key }
