package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func FuzzReadConfig(f *testing.F) {
	f.Add("listen: 127.0.0.1:8080\nsmtp: smtp://me:s3cret@h\n")
	f.Add("a: &a [*a]")
	f.Add("? {}\n: x")
	f.Add("- a\n")
	path := filepath.Join(f.TempDir(), "c.yaml")
	f.Fuzz(func(t *testing.T, in string) {
		if err := os.WriteFile(path, []byte(in), 0o600); err != nil {
			t.Fatal(err)
		}
		c, err := readConfig(path)
		if err != nil {
			if !strings.HasPrefix(err.Error(), "configuration "+path+": ") {
				t.Fatalf("the error does not name the file: %v", err)
			}
			return
		}
		if len(c.values) != len(c.keys) {
			t.Fatalf("%d values, %d lines", len(c.values), len(c.keys))
		}
	})
}
