package receivertest

import (
	"fmt"
	"sync"
	"testing"
)

// A board holds what was counted.
type board struct {
	mu   sync.Mutex
	rows []row
}

type row struct {
	peer    peer
	order   string
	tallies [3]tally
}

func (b *board) add(p peer, order string, tallies [3]tally) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.rows = append(b.rows, row{p, order, tallies})
	fmt.Printf("%-20s %-22s %-15s", p.name, p.way, order)
	for i, c := range tallies {
		fmt.Printf("  %s: sent=%d failed=%d", flowNames[i], c.sent, c.failed)
	}
	fmt.Println()
}

func (b *board) finish(t *testing.T) {}
