// Package yamlfile reads configuration files strictly. An unknown key, a key that appears twice and a value that does
// not fit are errors that name the line. No error quotes a value that could be a secret.
package yamlfile

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"strings"

	"go.yaml.in/yaml/v3"
)

// maxSize limits a file.
const maxSize = 4 << 20

// Read reads a file into the struct that into points to, and returns the node of its keys, which has the lines.
func Read(path string, into any) (*yaml.Node, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxSize+1))
	switch {
	case err != nil:
		return nil, err
	case len(data) > maxSize:
		return nil, fmt.Errorf("%s: the file is larger than %d MiB", path, maxSize>>20)
	}
	var root yaml.Node
	switch err := yaml.NewDecoder(bytes.NewReader(data)).Decode(&root); {
	case errors.Is(err, io.EOF):
		return nil, fmt.Errorf("%s: the file is empty", path)
	case err != nil:
		return nil, fmt.Errorf("%s: %s", path, strings.TrimPrefix(err.Error(), "yaml: "))
	}
	top := root.Content[0]
	if err := Check(top, reflect.TypeOf(into).Elem()); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if err := top.Decode(into); err != nil {
		return nil, fmt.Errorf("%s: %s", path, strings.TrimPrefix(err.Error(), "yaml: "))
	}
	return top, nil
}
