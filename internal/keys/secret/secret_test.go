package secret_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/perennial-pki/perennial/internal/keys/secret"
	"github.com/perennial-pki/perennial/internal/testing/testenv"
)

var check = testenv.Check

func TestASecretIsReadAgainWhenItsFileChanges(t *testing.T) {
	path := filepath.Join(t.TempDir(), "token")
	ref, err := secret.Parse("file:" + path)
	check(t, err)
	if _, err := ref.Read(); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("a missing file: %v", err)
	}
	for _, want := range []string{"hvs.one", "hvs.two"} {
		check(t, os.WriteFile(path, []byte(want+"\n"), 0o600))
		if v, err := ref.Read(); err != nil || v.Reveal() != want {
			t.Errorf("%q, %v, want %q", v.Reveal(), err, want)
		}
	}
	t.Setenv("PERENNIAL_TEST_SECRET", "from the environment")
	ref, err = secret.Parse("env:PERENNIAL_TEST_SECRET")
	check(t, err)
	if v, err := ref.Read(); err != nil || v.Reveal() != "from the environment" {
		t.Errorf("%q, %v", v.Reveal(), err)
	}
	if ref.String() != "env:PERENNIAL_TEST_SECRET" {
		t.Errorf("the reference prints itself as %q", ref)
	}
}

func TestAMissingOrEmptySecretIsAnErrorThatNamesItsReference(t *testing.T) {
	empty, large := filepath.Join(t.TempDir(), "empty"), filepath.Join(t.TempDir(), "large")
	check(t, os.WriteFile(empty, []byte(" \n"), 0o600))
	check(t, os.WriteFile(large, bytes.Repeat([]byte("x"), secret.MaxSize+1), 0o600))
	for reference, want := range map[string]string{
		"env:PERENNIAL_TEST_ABSENT": "no variable PERENNIAL_TEST_ABSENT",
		"file:" + empty:             "is empty",
		"file:" + large:             "larger than 64 KiB",
	} {
		ref, err := secret.Parse(reference)
		check(t, err)
		if _, err := ref.Read(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", reference, err, want)
		}
	}
	if _, err := (secret.Ref{}).Read(); err == nil {
		t.Error("no reference has a secret")
	}
}

func TestASecretInPlaceOfAReferenceIsNotQuoted(t *testing.T) {
	for _, text := range []string{"hvs.CAESIJ", "file:", "env:", "", "vault:hvs.CAESIJ"} {
		var ref secret.Ref
		err := ref.UnmarshalText([]byte(text))
		if err == nil || strings.Contains(err.Error(), "CAESIJ") || !ref.IsZero() {
			t.Errorf("%q: %v, %v", text, ref, err)
		}
	}
}

func TestASecretIsNeverPrinted(t *testing.T) {
	t.Setenv("PERENNIAL_TEST_SECRET", "hush")
	ref, err := secret.Parse("env:PERENNIAL_TEST_SECRET")
	check(t, err)
	v, err := ref.Read()
	check(t, err)
	var out bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		fmt.Fprintf(&out, verb+verb, v, struct{ Token secret.Value }{v})
	}
	text, err := json.Marshal(map[string]any{"token": v})
	check(t, err)
	out.Write(text)
	slog.New(slog.NewJSONHandler(&out, nil)).Info("sign", "token", v)
	slog.New(slog.NewTextHandler(&out, nil)).Info("sign", "token", v, "all", []any{v})
	fmt.Fprint(&out, fmt.Errorf("sign with %v", v))
	if printed := out.String(); strings.Contains(printed, "hush") || strings.Contains(printed, "68757368") {
		t.Errorf("the secret is in %s", printed)
	}
}
