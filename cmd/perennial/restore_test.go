package main

import (
	"bufio"
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/perennial-pki/perennial/internal/engine/store"
)

// A step of a transcript is a command and what it prints.
type step struct{ command, output string }

// transcript returns the first transcript of a section of a document.
func transcript(t *testing.T, document, section string) (steps []step) {
	t.Helper()
	_, text, ok := strings.Cut(documents(t)[document], "\n## "+section+"\n")
	if !ok {
		t.Fatalf("%s has no section %q", document, section)
	}
	_, text, _ = strings.Cut(text, "```console\n")
	text, _, _ = strings.Cut(text, "```")
	for line := range strings.Lines(text) {
		if command, ok := strings.CutPrefix(line, "$ "); ok {
			steps = append(steps, step{command: strings.TrimSpace(command)})
		} else if len(steps) > 0 {
			steps[len(steps)-1].output += line
		}
	}
	return steps
}

var (
	documentedHead = regexp.MustCompile(`\b(\d+:)?[0-9a-f]{32,64}\b`)
	documentedDate = regexp.MustCompile(`\b\d{8}T\d{6}Z\b`)
	documentedInt  = regexp.MustCompile(`\b\d+\b`)
)

// alike returns an output without what differs from time to time.
func alike(output string) string {
	output = documentedHead.ReplaceAllString(output, "HEAD")
	return documentedInt.ReplaceAllString(documentedDate.ReplaceAllString(output, "TIME"), "N")
}

// serveIn starts a service in a directory, as the transcript does, with other ports.
func serveIn(t *testing.T, dir, command string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command("sh", "-c", "exec "+command+" --listen 127.0.0.1:0 --gateway 127.0.0.1:0 --log-level error")
	cmd.Dir, cmd.Stderr = dir, os.Stderr
	out, err := cmd.StdoutPipe()
	check(t, err)
	check(t, cmd.Start())
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if strings.Contains(lines.Text(), "ready at") {
			go func() {
				for lines.Scan() {
				}
			}()
			return cmd
		}
	}
	t.Fatal("the service did not start")
	return nil
}

// The transcript of docs/operations.md, performed: what was there at the backup is there after it, and what was added
// later is in the database that was kept.
func TestTheDrillAfterACrash(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	url := "sqlite:" + filepath.Join(dir, "perennial.db")
	serving := serveIn(t, dir, `perennial serve --smtp ""`)
	addDue(t, url, 0, 3)
	heads := map[string]string{} // by the one in the document
	replaced := ""
	steps := transcript(t, "docs/operations.md", "Backup and restore")
	if len(steps) != 5 {
		t.Fatalf("the transcript has %d steps", len(steps))
	}
	for _, step := range steps {
		if strings.HasPrefix(step.command, "perennial serve") {
			serving = serveIn(t, dir, step.command)
			continue
		}
		if strings.HasPrefix(step.command, "kill") {
			addDue(t, url, 3, 1) // lost by the restore, and kept
		}
		command := step.command
		for documented, actual := range heads {
			command = strings.ReplaceAll(command, documented, actual)
		}
		cmd := exec.Command("sh", "-c", command)
		cmd.Dir = dir
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%s: %v\n%s", step.command, err, out)
		}
		if strings.HasPrefix(step.command, "kill") {
			serving.Wait()
			if info, err := os.Stat(filepath.Join(dir, "perennial.db-wal")); err != nil || info.Size() == 0 {
				t.Fatalf("the crash left no log, so the drill shows nothing: %v", err)
			}
		}
		if got, want := alike(string(out)), alike(step.output); got != want {
			t.Errorf("%s printed\n%s\nand the document has\n%s", step.command, out, step.output)
		}
		if actual := documentedHead.FindString(string(out)); actual != "" {
			heads[documentedHead.FindString(step.output)] = actual
		}
		if at := documentedDate.FindString(string(out)); at != "" {
			replaced = "sqlite:" + filepath.Join(dir, "perennial.db.replaced."+at)
		}
	}
	for database, want := range map[string]int{url: 3, replaced: 4} {
		s, err := store.Open(t.Context(), database)
		check(t, err)
		defer s.Close()
		tenants, err := s.Tenants(context.Background(), "", 10)
		check(t, err)
		if len(tenants) != want {
			t.Errorf("%s: %d tenants, want %d", database, len(tenants), want)
		}
	}
}

func TestServeRefusesABackupThatWasCopiedOverACrashedDatabase(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "perennial.db")
	serving := serveIn(t, dir, "perennial serve")
	if code, out := command("backup", "--database", "sqlite:"+file, filepath.Join(dir, "copy.db")); code != 0 {
		t.Fatal(out)
	}
	addDue(t, "sqlite:"+file, 0, 1)
	check(t, serving.Process.Kill())
	serving.Wait()
	data, err := os.ReadFile(filepath.Join(dir, "copy.db"))
	check(t, err)
	check(t, os.WriteFile(file, data, 0o600))
	key := filepath.Join(dir, "perennial.key")
	code, out := command("serve", "--listen", "127.0.0.1:0", "--gateway", "127.0.0.1:0", "--database", "sqlite:"+file,
		"--key-file", key)
	if code != exitFailed || !strings.Contains(out, "belongs to another file") {
		t.Errorf("%d: %s", code, out)
	}
	if after, err := os.ReadFile(file); err != nil || !bytes.Equal(after, data) {
		t.Errorf("the refusal changed the file: %v", err)
	}
	code, out = command("restore", "--database", "sqlite:"+file, "--key-file", key, filepath.Join(dir, "copy.db"))
	if code != exitOK || !strings.Contains(out, "The old database is kept") {
		t.Errorf("%d: %s", code, out)
	}
}

func TestRestoreRefusesWhatItCannotServe(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	url, key := "sqlite:"+filepath.Join(dir, "perennial.db"), filepath.Join(dir, "perennial.key")
	serving := serveIn(t, dir, "perennial serve")
	backup, unserved := filepath.Join(dir, "copy.db"), filepath.Join(dir, "unserved.db")
	if code, out := command("backup", "--database", url, backup); code != 0 {
		t.Fatal(out)
	}
	s, err := store.Open(t.Context(), "sqlite:"+unserved)
	check(t, err)
	check(t, s.Close())
	other := t.TempDir()
	second := serveIn(t, other, "perennial serve")
	check(t, second.Process.Kill())
	fresh := "sqlite:" + filepath.Join(dir, "new.db")
	for name, tt := range map[string]struct {
		url, key, file, want string
	}{
		"a database in use":        {url, key, backup, "stop it first"},
		"without a key file":       {fresh, filepath.Join(dir, "none"), backup, "restore it from its backup"},
		"with another key file":    {fresh, filepath.Join(other, "perennial.key"), backup, "sealed with another key"},
		"never served":             {fresh, key, unserved, "not a backup"},
		"a database of PostgreSQL": {"postgres://localhost/none", key, backup, "psql"},
	} {
		code, out := command("restore", "--database", tt.url, "--key-file", tt.key, tt.file)
		if code != exitFailed || !strings.Contains(out, tt.want) {
			t.Errorf("%s: %d: %s", name, code, out)
		}
	}
	if left, err := filepath.Glob(filepath.Join(dir, "new.db*")); err != nil || len(left) != 1 { // its lock
		t.Errorf("files were left: %v, %v", left, err)
	}
	check(t, serving.Process.Kill())
}
