package kms

import (
	"context"
	"sync"
	"time"
)

// loginKept limits how long the credentials of a signing key are used before they are read again.
const loginKept = time.Minute

// A login keeps the data that is needed for a call, such as an access token, because signatures come in quick
// succession. It is safe for concurrent use.
type login[T any] struct {
	get func(ctx context.Context) (T, error)

	mu   sync.Mutex // guards what follows, and is held while the credentials are read
	kept T
	at   time.Time // zero if nothing is kept
}

func (l *login[T]) use(ctx context.Context) (T, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.at.IsZero() && time.Since(l.at) < loginKept {
		return l.kept, nil
	}
	fresh, err := l.get(ctx)
	if err == nil {
		l.kept, l.at = fresh, time.Now()
	}
	return fresh, err
}

// forget makes the next call read the credentials again.
func (l *login[T]) forget() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.at = time.Time{}
}
