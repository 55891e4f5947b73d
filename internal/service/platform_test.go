package service

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/perennial-pki/perennial/internal/testing/testenv"
)

func TestALogoThatCannotBeShownIsRefusedAtTheStart(t *testing.T) {
	folder := t.TempDir()
	write := func(name, content string) string {
		path := filepath.Join(folder, name)
		testenv.Check(t, os.WriteFile(path, []byte(content), 0o600))
		return path
	}
	text, large := write("notes.png", "hello"), write("large.svg", strings.Repeat(" ", 64<<10+1))
	for path, want := range map[string]string{
		text:                             "--platform-logo: " + text + ": the file is not a PNG, SVG or WebP image",
		large:                            large + ": the file is larger than 64 KiB",
		filepath.Join(folder, "missing"): "--platform-logo: open " + filepath.Join(folder, "missing"),
		folder:                           "--platform-logo: read " + folder,
	} {
		if err := (Platform{Logo: path}).check(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	good := Platform{Logo: write("logo", `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 1 1"/>`)}
	testenv.Check(t, good.check())
	if p, err := good.web(); err != nil || !strings.HasPrefix(p.Logo.Address(), "/platform/logo?") {
		t.Errorf("%v, %v", p, err)
	}
	// Replicas may have it at another path.
	other := good
	other.Logo = text
	if (&Settings{Platform: good}).fingerprint() != (&Settings{Platform: other}).fingerprint() {
		t.Error("the fingerprint of the settings depends on the path of the logo")
	}
}
