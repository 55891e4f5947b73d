package service

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/perennial-pki/perennial/policy"
)

// LoadPolicy finds a policy by its name or its file's path, and refuses an unsound one.
func LoadPolicy(nameOrFile string) (policy.Policy, error) {
	p, err := ReadPolicy(nameOrFile)
	if err != nil {
		return policy.Policy{}, err
	}
	return p, p.Check()
}

// ReadPolicy finds a policy by its name or its file's path. It may be unsound.
func ReadPolicy(nameOrFile string) (policy.Policy, error) {
	if p, err := policy.Preset(nameOrFile); err == nil {
		return p, nil
	}
	f, err := os.Open(nameOrFile)
	if errors.Is(err, fs.ErrNotExist) {
		_, err = policy.Preset(nameOrFile)
		return policy.Policy{}, err
	}
	if err != nil {
		return policy.Policy{}, err
	}
	defer f.Close()
	p, err := policy.Read(f)
	if err != nil {
		return policy.Policy{}, fmt.Errorf("policy file %s: %w", nameOrFile, err)
	}
	return p, nil
}
