package follow

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"os"
	"reflect"
	"slices"
	"strings"

	"github.com/perennial-pki/perennial/internal/feed"
)

// install writes what the state's document asks for, if it differs from what is there or if the last reload failed.
func (f *Follower) install(ctx context.Context, s *state) error {
	v, of, err := f.view(s)
	if err != nil {
		return err
	}
	rendered := make([][]byte, len(f.outputs))
	for i, o := range f.outputs {
		if rendered[i], err = o.Format.Render(v); err != nil {
			return err
		}
	}
	changed := f.changed(rendered)
	digest := f.digest(rendered)
	if changed || s.Pending || digest != s.Applied {
		if err := f.apply(ctx, s, rendered, changed, digest); err != nil {
			return err
		}
		if v.ofParty() {
			f.log.Info("the certificates are installed", "counterparty", v.Tenant, "sequence", v.Sequence, "entries", len(of),
				"certificates", len(v.Certificates), "written", f.written())
		} else {
			f.log.Info("the certificates are installed", "tenant", v.Tenant, "arrangement", v.Arrangement,
				"sequence", v.Sequence, "generations", generations(v), "written", f.written())
		}
	}
	if s.index != nil {
		f.reportEntries(ctx, s, of)
		return nil
	}
	f.reportOnce(ctx, s, v)
	return nil
}

// view returns what the state's document asks for now. For the feed of a counterparty, of has the generations of each
// entry by ID.
func (f *Follower) view(s *state) (v View, of map[string][]int, err error) {
	if s.index != nil {
		return partyView(*s.index, s.entries.of, f.now())
	}
	v, err = NewView(*s.document, f.now())
	return v, nil, err
}

// changed reports whether a file differs from what is rendered.
func (f *Follower) changed(rendered [][]byte) bool {
	for i, o := range f.outputs {
		if o.Target.Path != "" && !same(o.Target.Path, rendered[i]) {
			return true
		}
	}
	return false
}

// filled reports whether there is something already that rendered certificates would replace. It assumes so for
// ConfigMaps, which are not read.
func (f *Follower) filled() bool {
	return f.held || slices.ContainsFunc(f.outputs, func(o Output) bool {
		info, err := os.Stat(o.Target.Path)
		return o.Target.ConfigMap != "" || err == nil && info.Size() > 0
	})
}

// digest identifies the content of the ConfigMaps; it is empty if there are none.
func (f *Follower) digest(rendered [][]byte) string {
	sum := sha256.New()
	found := false
	for i, o := range f.outputs {
		if o.Target.ConfigMap != "" {
			fmt.Fprintf(sum, "%s %d\n%s", o.Target, len(rendered[i]), rendered[i])
			found = true
		}
	}
	if !found {
		return ""
	}
	return hex.EncodeToString(sum.Sum(nil))
}

// apply replaces the files, checks them, applies the ConfigMaps and reloads the product. The state is saved before each
// step that must be repeated or undone if the process ends there.
func (f *Follower) apply(ctx context.Context, s *state, rendered [][]byte, changed bool, digest string) error {
	before := s.Pending
	saved, err := f.saved(changed)
	if err != nil {
		return err
	}
	s.Unfinished, s.Pending = saved, true
	if err := f.save(*s); err != nil {
		s.Unfinished, s.Pending = nil, before
		return err
	}
	err = f.write(rendered, changed)
	if err == nil {
		if err = f.command(ctx, "check", f.check); err != nil {
			err = fmt.Errorf("the new certificates are not installed: %w", err)
		}
	}
	if err != nil {
		if undo := f.restore(saved); undo != nil { // the next round tries again
			return errors.Join(err, undo)
		}
		s.Unfinished, s.Pending = nil, before
		return errors.Join(err, f.save(*s))
	}
	s.Unfinished = nil
	if err := f.save(*s); err != nil {
		return err
	}
	if digest != "" {
		if err := f.api.apply(ctx, f.outputs, rendered); err != nil {
			return err
		}
	}
	if err := f.command(ctx, "reload", f.then); err != nil {
		return fmt.Errorf("%w: the new certificates are written, and the reload is repeated in the next round", err)
	}
	s.Pending, s.Applied = false, digest
	return f.save(*s)
}

// saved returns the present content of the files, if they are going to be replaced.
func (f *Follower) saved(changed bool) (all []savedFile, err error) {
	if !changed {
		return nil, nil
	}
	for _, path := range f.paths() {
		info, err := regular(path)
		if err != nil {
			return nil, err
		}
		old := savedFile{Path: path, Missing: info == nil}
		if info != nil {
			if info.Size() > maxOutput {
				return nil, fmt.Errorf("%s has %d bytes, so it was not written by a follower: name another file", path,
					info.Size())
			}
			if old.Data, err = os.ReadFile(path); err != nil {
				return nil, err
			}
		}
		all = append(all, old)
	}
	return all, nil
}

func (f *Follower) write(rendered [][]byte, changed bool) error {
	if !changed {
		return nil
	}
	for i, o := range f.outputs {
		if o.Target.Path == "" || same(o.Target.Path, rendered[i]) {
			continue
		}
		if err := f.files.replace(o.Target.Path, rendered[i], fileMode); err != nil {
			return err
		}
	}
	return nil
}

// command runs a command with a limit of time. purpose is for errors.
func (f *Follower) command(ctx context.Context, purpose, command string) error {
	if command == "" {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, commandTime)
	defer cancel()
	output, err := f.run(ctx, command)
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		err = fmt.Errorf("it did not end within %v", commandTime)
	}
	err = fmt.Errorf("the %s %q failed: %w", purpose, command, err)
	if output = strings.TrimSpace(output); output != "" {
		err = fmt.Errorf("%w: %s", err, output)
	}
	return err
}

// reportOnce reports the generations to the sender, if they changed since the last report. A report that fails is
// repeated in the next round: it helps the sender, and the receiver does not depend on it.
func (f *Follower) reportOnce(ctx context.Context, s *state, v View) {
	r := installed{Sequence: v.Sequence, Generations: generations(v), Program: f.program()}
	if s.Reported != nil && reflect.DeepEqual(*s.Reported, r) {
		return
	}
	if err := f.report(ctx, r); err != nil {
		f.log.Warn("the report to the sender failed, and is repeated in the next round", "error", err)
		return
	}
	s.Reported = &r
	if err := f.save(*s); err != nil {
		f.log.Warn("the report to the sender will be repeated", "error", err)
	}
}

// reportEntries is reportOnce for the entries of a counterparty's feed. of has the generations of each by ID.
func (f *Follower) reportEntries(ctx context.Context, s *state, of map[string][]int) {
	var changed []feed.InstalledEntry
	for _, id := range slices.Sorted(maps.Keys(of)) {
		e := s.entries.of[id]
		r := feed.InstalledEntry{ID: id, Sequence: e.Document.Sequence, Generations: of[id]}
		if e.Reported == nil || !reflect.DeepEqual(*e.Reported, r) {
			changed = append(changed, r)
		}
	}
	if len(changed) == 0 {
		return
	}
	pace := f.paced(0)
	for part := range slices.Chunk(changed, feed.MaxReports) {
		err := pace.next(ctx)
		if err == nil {
			err = f.report(ctx, feed.Report{Program: f.program(), Entries: part})
		}
		if err != nil {
			f.log.Warn("the report to the sender failed, and is repeated in the next round", "error", err)
			break
		}
		for _, r := range part {
			e := s.entries.of[r.ID]
			e.Reported = &r
			s.entries.of[r.ID] = e
		}
	}
	if err := f.saveEntries(s.entries); err != nil {
		f.log.Warn("the report to the sender will be repeated", "error", err)
	}
}

func generations(v View) (all []int) {
	for _, c := range v.Certificates {
		all = append(all, c.Generation)
	}
	return all
}

// program names this program and its formats in a report.
func (f *Follower) program() string {
	if f.reports != "" {
		return f.reports
	}
	var names []string
	for _, o := range f.outputs {
		names = append(names, o.Format.name)
	}
	return "perennial follow/" + strings.Join(names, "+")
}

func (f *Follower) written() string {
	var names []string
	for _, o := range f.outputs {
		names = append(names, o.Target.String())
	}
	return strings.Join(names, " ")
}
