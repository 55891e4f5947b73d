package main

import (
	"fmt"
	"os"
	"strings"
)

// equivalents are mutants that behave as the original does, so that no test can kill them.
type equivalents struct {
	file    string
	entries map[string]int // lines of the file, by mutant
}

// readEquivalent reads the list. A line holds a mutant as it is printed, without the number of its line, then " -- "
// and the reason. Empty lines and lines that begin with # are skipped.
func readEquivalent(file string) (equivalents, error) {
	e := equivalents{file: file, entries: map[string]int{}}
	if file == "" {
		return e, nil
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return e, err
	}
	for i, line := range strings.Split(string(data), "\n") {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		at := strings.LastIndex(line, " -- ")
		if at < 0 || strings.TrimSpace(line[at+4:]) == "" {
			return e, fmt.Errorf("%s:%d: the reason is missing: write it after \" -- \"", file, i+1)
		}
		e.entries[strings.TrimSpace(line[:at])] = i + 1
	}
	return e, nil
}

func (m mutant) key() string { return fmt.Sprintf("%s %s: %s", m.name, m.function, m.change()) }

// remove returns the mutants that are not listed. An entry for one of the files that no longer names a mutant is an
// error, so that the list does not outlive the code.
func (e equivalents) remove(all []mutant) (rest []mutant, err error) {
	used, files := map[string]bool{}, map[string]bool{}
	for _, m := range all {
		files[m.name] = true
		if _, ok := e.entries[m.key()]; ok {
			used[m.key()] = true
			continue
		}
		rest = append(rest, m)
	}
	for entry, line := range e.entries {
		file, _, _ := strings.Cut(entry, " ")
		if files[file] && !used[entry] {
			return nil, fmt.Errorf("%s:%d: no mutant of %s is so any more: delete the line", e.file, line, file)
		}
	}
	return rest, nil
}
