package keyring

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/tink-crypto/tink-go/v2/aead/subtle"
	"github.com/tink-crypto/tink-go/v2/insecurecleartextkeyset"
	"github.com/tink-crypto/tink-go/v2/keyset"
)

// A Remote wraps keys with a key that a key management service or a token holds and never releases.
type Remote interface {
	// Wrap encrypts a key of [KeySize] bytes. The error is an [Away] if another attempt may succeed.
	Wrap(ctx context.Context, key []byte) (wrapped []byte, err error)
	// Unwrap decrypts what Wrap returned. The error is an [Away] if another attempt may succeed.
	Unwrap(ctx context.Context, wrapped []byte) (key []byte, err error)
}

// Remotes returns the Remote that a URI names, without calling it. The URI contains no secret, and an error does not
// quote a URI that does.
type Remotes func(uri string) (Remote, error)

// KeySize is the length of the keys that a [Remote] wraps. Each encrypts one keyset with AES-256-GCM.
const KeySize = 32

// RemoteTime limits one call of a [Remote].
const RemoteTime = 15 * time.Second

// Away is the error of a [Remote] that does not answer, or asks to be called later.
type Away struct{ Err error }

func (e *Away) Error() string { return e.Err.Error() }

// Unwrap makes the cause reachable.
func (e *Away) Unwrap() error { return e.Err }

// wrapped is the content of a key file whose keyset is wrapped. A keyset in cleartext has none of these fields.
type wrapped struct {
	// WrappedBy is the URI of the key that wraps the keyset. It is authenticated with the keyset.
	WrappedBy string `json:"wrappedBy"`
	// WrappedKey is the key that encrypts the keyset, wrapped.
	WrappedKey []byte `json:"wrappedKey"`
	// Keyset is a Tink encrypted keyset in JSON.
	Keyset json.RawMessage `json:"keyset"`
}

// authenticated returns the associated data of the encrypted keyset.
func authenticated(uri string) []byte { return []byte("perennial key file wrapped by " + uri) }

// decode reads the content of a key file.
func decode(ctx context.Context, data []byte, remotes Remotes) (l loaded, err error) {
	var w wrapped
	if json.Unmarshal(data, &w) != nil || w.WrappedBy == "" {
		l, err = parse(data)
	} else {
		l, err = w.open(ctx, remotes)
	}
	l.source = data
	return l, err
}

func parse(data []byte) (loaded, error) {
	handle, err := insecurecleartextkeyset.Read(keyset.NewJSONReader(bytes.NewReader(data)))
	if err != nil {
		return loaded{}, errors.New("not a Tink keyset in JSON") // the library's error could quote the data
	}
	return load(handle)
}

func (w wrapped) open(ctx context.Context, remotes Remotes) (l loaded, err error) {
	remote, err := remotes.open(w.WrappedBy)
	if err != nil {
		return l, err
	}
	ctx, cancel := context.WithTimeout(ctx, RemoteTime)
	defer cancel()
	key, err := remote.Unwrap(ctx, w.WrappedKey)
	if err != nil {
		return l, fmt.Errorf("unwrap the keyset with %s: %w", w.WrappedBy, err)
	}
	if len(key) != KeySize {
		return l, fmt.Errorf("unwrap the keyset with %s: its answer is not the key that was wrapped (%d bytes instead of "+
			"%d): restore the key file from its backup, or name the right key", w.WrappedBy, len(key), KeySize)
	}
	cipher, err := subtle.NewAESGCM(key)
	if err != nil {
		return l, err
	}
	handle, err := keyset.ReadWithAssociatedData(keyset.NewJSONReader(bytes.NewReader(w.Keyset)), cipher,
		authenticated(w.WrappedBy))
	if err != nil {
		return l, fmt.Errorf("the keyset was not wrapped by %s, or the key file was changed: restore the key file from its "+
			"backup", w.WrappedBy)
	}
	l, err = load(handle)
	l.uri = w.WrappedBy
	return l, err
}

// open returns the Remote of a URI.
func (r Remotes) open(uri string) (Remote, error) {
	if r == nil {
		return nil, errors.New("the keyset is wrapped by a key management service, which is not used here")
	}
	return r(uri)
}

// encode returns the content of a key file whose keyset is wrapped by the key of a URI; in cleartext if the URI is
// empty. It reads a wrapped keyset back, because a keyset that cannot be unwrapped must not replace a key file.
func encode(ctx context.Context, handle *keyset.Handle, uri string, remotes Remotes) ([]byte, error) {
	clear, err := export(handle)
	if err != nil || uri == "" {
		return clear, err
	}
	data, err := wrap(ctx, handle, uri, remotes)
	if err != nil {
		return nil, err
	}
	back, err := decode(ctx, data, remotes)
	if err != nil {
		return nil, fmt.Errorf("what %s wrapped cannot be read back: %w", uri, err)
	}
	if again, err := export(back.handle); err != nil || !bytes.Equal(again, clear) {
		return nil, fmt.Errorf("what %s wrapped is not what was sent to it", uri)
	}
	return data, nil
}

func wrap(ctx context.Context, handle *keyset.Handle, uri string, remotes Remotes) ([]byte, error) {
	remote, err := remotes.open(uri)
	if err != nil {
		return nil, err
	}
	key := make([]byte, KeySize)
	rand.Read(key)
	cipher, err := subtle.NewAESGCM(key)
	if err != nil {
		return nil, err
	}
	var encrypted bytes.Buffer
	if err := handle.WriteWithAssociatedData(keyset.NewJSONWriter(&encrypted), cipher, authenticated(uri)); err != nil {
		return nil, errors.New("the keyset could not be encrypted")
	}
	ctx, cancel := context.WithTimeout(ctx, RemoteTime)
	defer cancel()
	w := wrapped{WrappedBy: uri, Keyset: encrypted.Bytes()}
	if w.WrappedKey, err = remote.Wrap(ctx, key); err != nil {
		return nil, fmt.Errorf("wrap the keyset with %s: %w", uri, err)
	}
	data, err := json.MarshalIndent(w, "", "  ")
	return append(data, '\n'), err
}

// ExportWrapped returns the content of a key file whose keyset is wrapped by the key of a URI.
func (k *Keyring) ExportWrapped(ctx context.Context, uri string, remotes Remotes) ([]byte, error) {
	return encode(ctx, k.current().handle, uri, remotes)
}

func export(handle *keyset.Handle) ([]byte, error) {
	var buf bytes.Buffer
	if err := insecurecleartextkeyset.Write(handle, keyset.NewJSONWriter(&buf)); err != nil {
		return nil, errors.New("the keyset could not be written")
	}
	return buf.Bytes(), nil
}
