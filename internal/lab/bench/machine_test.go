package bench

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/perennial-pki/perennial/internal/testing/testenv"
)

const (
	mostBusy   = 0.10 // of all cores, while nothing is measured
	mostStolen = 0.02 // of all time, by other virtual machines
)

// A machine is watched while it measures: what others do on it makes figures worthless.
type machine struct {
	t       *testing.T
	started ticks
	busiest float64
	at      string // what was about to be measured
}

// ticks are the sums of all cores since the machine was started (proc(5), /proc/stat).
type ticks struct{ all, busy, stolen float64 }

func watch(t *testing.T) *machine { return &machine{t: t, started: readTicks(t)} }

func readTicks(t *testing.T) (sum ticks) {
	t.Helper()
	data, err := os.ReadFile("/proc/stat")
	testenv.Check(t, err)
	line, _, _ := strings.Cut(string(data), "\n")
	sum, err = parseTicks(line)
	testenv.Check(t, err)
	return sum
}

// parseTicks reads the first line of /proc/stat: user, nice, system, idle, iowait, irq, softirq, steal, guest.
func parseTicks(line string) (sum ticks, err error) {
	fields := strings.Fields(line)
	if len(fields) < 9 || fields[0] != "cpu" {
		return sum, fmt.Errorf("unexpected line in /proc/stat: %q", line)
	}
	for i, field := range fields[1:9] {
		n, err := strconv.ParseFloat(field, 64)
		if err != nil {
			return sum, err
		}
		sum.all += n
		switch i {
		case 3, 4: // idle
		case 7:
			sum.stolen += n
			fallthrough
		default:
			sum.busy += n
		}
	}
	return sum, nil
}

// look watches the cores for a second before something is measured.
func (m *machine) look(before string) {
	m.t.Helper()
	start := readTicks(m.t)
	<-time.After(time.Second)
	end := readTicks(m.t)
	if share := (end.busy - start.busy) / (end.all - start.all); share > m.busiest {
		m.busiest, m.at = share, before
	}
}

// busy returns an error if others used the machine.
func (m *machine) busy() error {
	end := readTicks(m.t)
	return verdict(m.busiest, (end.stolen-m.started.stolen)/(end.all-m.started.all), m.at)
}

func verdict(busiest, stolen float64, at string) error {
	switch {
	case busiest > mostBusy:
		return fmt.Errorf("the machine was busy: other processes used %.0f %% of its cores before %q was measured",
			100*busiest, at)
	case stolen > mostStolen:
		return fmt.Errorf("the machine was busy: other virtual machines took %.1f %% of its time", 100*stolen)
	}
	return nil
}

func TestABusyMachineHasNoTable(t *testing.T) {
	start, err1 := parseTicks("cpu  100 0 50 800 50 0 0 0 0 0")
	end, err2 := parseTicks("cpu  150 0 60 870 60 5 5 50 0 0")
	if err1 != nil || err2 != nil {
		t.Fatal(err1, err2)
	}
	between := ticks{end.all - start.all, end.busy - start.busy, end.stolen - start.stolen}
	if between != (ticks{200, 120, 50}) {
		t.Errorf("%+v", between)
	}
	if _, err := parseTicks("intr 1 2 3"); err == nil {
		t.Error("another line is read as the sums of all cores")
	}
	for _, test := range []struct {
		busiest, stolen float64
		want            string
	}{{0.05, 0.01, ""}, {0.3, 0, "other processes used 30 % of its cores before \"mails\""}, {0, 0.05, "took 5.0 %"}} {
		err := verdict(test.busiest, test.stolen, "mails")
		if got := fmt.Sprint(err); (err != nil) != (test.want != "") || !strings.Contains(got, test.want) {
			t.Errorf("busy %.2f, stolen %.2f: %v", test.busiest, test.stolen, err)
		}
	}
}
