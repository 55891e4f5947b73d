// Command mutants checks that the tests notice a change of the code.
//
// It makes one small change at a time (a mutant), runs the tests of the package that holds it, and reports the mutants
// that every test passes with: the survivors. The source stays as it is, because the change is an overlay of the build.
// A mutant that does not compile is not counted. The same seed draws the same mutants from the same source.
//
// The exit status is 0 if enough mutants were killed, 1 if too few were, and 2 if the run could not be made.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

type options struct {
	root       string
	also       []string
	sample     int
	seed       uint64
	jobs       int
	timeout    time.Duration
	least      float64
	equivalent string
	testFlags  []string
	firstRun   []string // the environment of a first, quick run of a package's own tests
	list       bool
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	o := options{}
	flag.StringVar(&o.root, "root", ".", "directory of the module whose packages are changed")
	flag.IntVar(&o.sample, "sample", 100, "number of mutants that are drawn, 0 for all")
	flag.Uint64Var(&o.seed, "seed", 1, "seed of the draw")
	flag.IntVar(&o.jobs, "jobs", 1, "number of mutants that are tested at a time")
	flag.DurationVar(&o.timeout, "timeout", 0,
		"maximum time of a mutant's tests, 0 for four times that of the unchanged tests")
	flag.Float64Var(&o.least, "least", 90, "percentage of mutants that must be killed")
	flag.StringVar(&o.equivalent, "equivalent", "", "file that lists mutants that no test can kill, with reasons")
	flag.BoolVar(&o.list, "list", false, "print the mutants that would be drawn, and test none")
	also := flag.String("also", "", "further packages whose tests must pass, separated by blanks")
	testFlags := flag.String("test-flags", "", "further flags of go test, separated by blanks")
	firstRun := flag.String("first-run", "",
		"variables NAME=value, separated by blanks, of a first and quicker run of a package's own tests")
	flag.Usage = func() {
		fmt.Fprintf(flag.CommandLine.Output(), "usage: mutants [flags] package...\n")
		flag.PrintDefaults()
	}
	flag.Parse()
	if flag.NArg() == 0 {
		flag.Usage()
		os.Exit(2)
	}
	o.also = strings.Fields(*also)
	o.testFlags, o.firstRun = strings.Fields(*testFlags), strings.Fields(*firstRun)
	enough, err := run(ctx, o, flag.Args(), os.Stdout)
	if err != nil {
		fmt.Fprintln(os.Stderr, "mutants:", err)
		os.Exit(2)
	}
	if !enough {
		os.Exit(1)
	}
}

// memory bounds what a test may allocate, because a changed loop can allocate for ever.
const memory = 6 << 30

// run tests a sample of the packages' mutants. It returns whether enough of them were killed.
func run(ctx context.Context, o options, patterns []string, out io.Writer) (enough bool, err error) {
	if o.root, err = filepath.EvalSymlinks(o.root); err != nil { // an overlay names real files
		return false, err
	}
	packages, err := listPackages(ctx, o.root, patterns)
	if err != nil {
		return false, err
	}
	whole, err := listPackages(ctx, o.root, []string{"./..."})
	if err != nil {
		return false, err
	}
	zeros, err := zeroConstants(whole)
	if err != nil {
		return false, err
	}
	var all []mutant
	for _, p := range packages {
		found, err := p.mutants(o.root, zeros)
		if err != nil {
			return false, err
		}
		all = append(all, found...)
	}
	known, err := readEquivalent(o.equivalent)
	if err != nil {
		return false, err
	}
	all, err = known.remove(all)
	if err != nil {
		return false, err
	}
	rand.New(rand.NewPCG(o.seed, o.seed)).Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	if o.list {
		for i := range all {
			if o.sample == 0 || i < o.sample {
				fmt.Fprintln(out, all[i])
			}
		}
		return true, nil
	}
	if err := syscall.Setrlimit(syscall.RLIMIT_DATA, &syscall.Rlimit{Cur: memory, Max: memory}); err != nil {
		return false, fmt.Errorf("limit the memory of tests: %w", err)
	}
	t := &tester{options: o, timeouts: map[string]time.Duration{}}
	for _, p := range packages {
		if err := t.baseline(ctx, p.ImportPath); err != nil {
			return false, err
		}
	}
	sum := t.testAll(ctx, all, out)
	if err := ctx.Err(); err != nil {
		return false, errors.New("interrupted")
	}
	fmt.Fprintf(out, "%d mutants of %d tested (seed %d): %d killed, %d survived: %.1f %% killed; %d did not compile\n",
		sum.killed+sum.survived, len(all), o.seed, sum.killed, sum.survived, sum.share(), sum.invalid)
	if sum.killed+sum.survived == 0 {
		return false, errors.New("no mutant was tested")
	}
	return sum.share() >= o.least, sum.err
}

type summary struct {
	killed, survived, invalid int
	err                       error
}

// share returns the percentage of mutants that were killed.
func (s summary) share() float64 {
	return 100 * float64(s.killed) / float64(max(1, s.killed+s.survived))
}

// testAll tests mutants in order until the sample is full, and prints the survivors.
func (t *tester) testAll(ctx context.Context, all []mutant, out io.Writer) summary {
	var (
		mu   sync.Mutex // guards sum, next and out
		sum  summary
		next int
		wait sync.WaitGroup
	)
	take := func() (mutant, bool) {
		mu.Lock()
		defer mu.Unlock()
		full := t.options.sample > 0 && sum.killed+sum.survived >= t.options.sample
		if full || next == len(all) || ctx.Err() != nil || sum.err != nil {
			return mutant{}, false
		}
		next++
		return all[next-1], true
	}
	for range max(1, t.options.jobs) {
		wait.Go(func() {
			for m, ok := take(); ok; m, ok = take() {
				began := time.Now()
				result, by, err := t.test(ctx, m)
				mu.Lock()
				switch {
				case err != nil:
					sum.err = errors.Join(sum.err, err)
				case ctx.Err() != nil:
				case result == invalid:
					sum.invalid++
				case result == killed:
					sum.killed++
					fmt.Fprintf(out, "killed   %s (%.1fs, by %s)\n", m, time.Since(began).Seconds(), by)
				case result == survived:
					sum.survived++
					fmt.Fprintf(out, "SURVIVED %s (%.1fs)\n", m, time.Since(began).Seconds())
				}
				mu.Unlock()
			}
		})
	}
	wait.Wait()
	return sum
}
