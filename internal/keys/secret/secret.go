// Package secret reads secrets that settings name by reference.
//
// A setting holds "env:NAME" or "file:PATH" instead of the secret. The secret is read each time it is used, so that a
// file can be replaced while the service runs. A [Value] prints itself as "[secret]" in every format. The guarantee
// ends with [Value.Reveal].
package secret

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
)

// MaxSize is the maximum size of a secret. A private key with its chain is under 20 KiB.
const MaxSize = 64 << 10

// A Ref refers to a secret. The zero value refers to none.
type Ref struct{ kind, name string }

// Parse reads a reference: env:NAME or file:PATH. An error does not quote the text, because it may be a secret.
func Parse(text string) (Ref, error) {
	kind, name, _ := strings.Cut(text, ":")
	if kind != "env" && kind != "file" || name == "" {
		return Ref{}, errors.New("not a reference to a secret: use env:NAME for a variable of the environment, or " +
			"file:PATH for a file, instead of the secret itself")
	}
	return Ref{kind, name}, nil
}

// File refers to the content of a file.
func File(path string) Ref { return Ref{"file", path} }

// IsZero reports whether the reference refers to no secret.
func (r Ref) IsZero() bool { return r == Ref{} }

// String returns the reference, which is not secret.
func (r Ref) String() string {
	if r.IsZero() {
		return ""
	}
	return r.kind + ":" + r.name
}

// UnmarshalText implements [encoding.TextUnmarshaler].
func (r *Ref) UnmarshalText(text []byte) (err error) {
	*r, err = Parse(string(text))
	return err
}

// Read returns the secret as it is now, without white space around it. The error names the reference.
func (r Ref) Read() (Value, error) {
	var data []byte
	var err error
	switch r.kind {
	case "":
		return Value{}, errors.New("a secret is missing in the settings")
	case "env":
		text, set := os.LookupEnv(r.name)
		if !set {
			return Value{}, fmt.Errorf("the environment has no variable %s: set it, or change the reference %s", r.name, r)
		}
		data = []byte(text)
	case "file":
		if data, err = readFile(r.name); err != nil {
			return Value{}, fmt.Errorf("read the secret %s: %w", r, err)
		}
	}
	if data = bytes.TrimSpace(data); len(data) == 0 {
		return Value{}, fmt.Errorf("the secret %s is empty", r)
	}
	return Value{data}, nil
}

func readFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, MaxSize+1))
	if err == nil && len(data) > MaxSize {
		return nil, fmt.Errorf("it is larger than %d KiB", MaxSize>>10)
	}
	return data, err
}

// A Value is a secret.
type Value struct{ data []byte }

const redacted = "[secret]"

// Reveal returns the secret.
func (v Value) Reveal() string { return string(v.data) }

// String implements [fmt.Stringer].
func (Value) String() string { return redacted }

// Format implements [fmt.Formatter], so that no verb prints the secret.
func (Value) Format(f fmt.State, _ rune) { io.WriteString(f, redacted) }

// LogValue implements [slog.LogValuer].
func (Value) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText implements [encoding.TextMarshaler], for JSON too.
func (Value) MarshalText() ([]byte, error) { return []byte(redacted), nil }
