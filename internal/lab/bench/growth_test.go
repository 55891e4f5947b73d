package bench

import (
	"flag"
	"fmt"
	"io"
	"math"
	"os"
	"runtime"
	"syscall"
	"testing"

	"github.com/perennial-pki/perennial/internal/testing/testenv"
)

var growthPicture = flag.String("growth", "", "measure how costs grow, and write the picture to this file")

// mostExponent is the exponent above which a cost is not counted as linear. Anything above it is explained in
// docs/performance.md.
const mostExponent = 1.1

// A growth records how a cost depends on one size of an installation, while everything else stays the same.
type growth struct {
	work    string // what is done
	of      string // what is counted by sizes
	unit    string // of the cost
	sizes   []int
	measure func(t *testing.T, size int) float64
	// The results.
	costs    []float64
	exponent float64
}

// TestGrowth writes the picture of docs/performance.md, and prints its table: make bench-growth. Costs are CPU seconds
// and bytes, which depend less than times on what else the machine does.
func TestGrowth(t *testing.T) {
	if *growthPicture == "" {
		t.Skip("takes some minutes: run make bench-growth")
	}
	all := growths(t)
	for _, g := range all {
		for _, size := range g.sizes {
			g.costs = append(g.costs, g.measure(t, size))
		}
		g.exponent = exponent(g.sizes, g.costs)
		t.Logf("%s: %v %s, exponent %.2f", g.work, g.costs, g.unit, g.exponent)
	}
	out, err := os.Create(*growthPicture)
	testenv.Check(t, err)
	defer out.Close()
	testenv.Check(t, drawGrowth(out, all))
	printGrowth(os.Stdout, all)
}

func printGrowth(w io.Writer, all []*growth) {
	fmt.Fprintf(w, "| work | 1x | 10x | 100x | cost | exponent |\n|---|---|---|---|---|---|\n")
	for _, g := range all {
		fmt.Fprintf(w, "| %s |", g.work)
		for i, size := range g.sizes {
			fmt.Fprintf(w, " %s for %s |", brief(g.costs[i]), grouped(size))
		}
		fmt.Fprintf(w, " %s | %.2f%s |\n", g.unit, g.exponent, map[bool]string{true: " **not linear**"}[g.exponent >
			mostExponent])
	}
}

// brief returns a cost with three digits.
func brief(cost float64) string {
	if cost >= 100 {
		return fmt.Sprintf("%.0f", cost)
	}
	return fmt.Sprintf("%.3g", cost)
}

// grouped returns a size with separated thousands.
func grouped(n int) string {
	if n < 1000 {
		return fmt.Sprint(n)
	}
	return fmt.Sprintf("%s,%03d", grouped(n/1000), n%1000)
}

// exponent returns the k of cost = c * size^k: the slope of the line through the logarithms with the least squares.
func exponent(sizes []int, costs []float64) float64 {
	var x, y, xx, xy float64
	for i, size := range sizes {
		a, b := math.Log(float64(size)), math.Log(costs[i])
		x, y, xx, xy = x+a, y+b, xx+a*a, xy+a*b
	}
	n := float64(len(sizes))
	return (n*xy - x*y) / (n*xx - x*x)
}

func TestTheExponentIsTheSlopeOfTheLogarithms(t *testing.T) {
	for _, c := range []struct {
		costs []float64
		want  float64
	}{{[]float64{3, 30, 300}, 1}, {[]float64{1, 100, 10_000}, 2}, {[]float64{7, 7, 7}, 0}, {[]float64{1, 1, 10}, 0.5}} {
		if got := exponent([]int{100, 1000, 10_000}, c.costs); math.Abs(got-c.want) > 1e-9 {
			t.Errorf("%v: %.3f, want %.3f", c.costs, got, c.want)
		}
	}
}

// cpu returns the CPU seconds of this process while a function runs.
func cpu(t *testing.T, work func()) float64 {
	t.Helper()
	runtime.GC()
	before := used(t)
	work()
	return used(t) - before
}

func used(t *testing.T) (seconds float64) {
	t.Helper()
	var u syscall.Rusage
	testenv.Check(t, syscall.Getrusage(syscall.RUSAGE_SELF, &u))
	for _, v := range []syscall.Timeval{u.Utime, u.Stime} {
		seconds += float64(v.Sec) + float64(v.Usec)/1e6
	}
	return seconds
}

// heap returns the bytes that are reachable.
func heap() float64 {
	runtime.GC()
	runtime.GC() // what finalizers and pools kept
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return float64(m.HeapAlloc)
}

const megabyte = 1 << 20
