package serve

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestATokenInAFileIsReadAgain(t *testing.T) {
	file := filepath.Join(t.TempDir(), "token")
	r := Remote{TokenFile: file}
	for _, content := range []string{"perennial_a\n", "perennial_b"} {
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if token, err := r.token(); err != nil || token != strings.TrimSpace(content) {
			t.Errorf("%q, %v", token, err)
		}
	}
	for _, content := range []string{"\n", "id      1\nsecret  perennial_a\n"} { // the second as token create prints it
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if token, err := r.token(); err == nil {
			t.Errorf("a file with %q: %q", content, token)
		}
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if token, err := r.token(); err == nil {
		t.Errorf("no file: %q", token)
	}
	r.Token = "perennial_c"
	if _, err := r.Connect(t.Context(), "https://127.0.0.1:1", slog.New(slog.DiscardHandler)); err == nil ||
		!strings.Contains(err.Error(), "exclude each other") {
		t.Errorf("a token and a file: %v", err)
	}
}
