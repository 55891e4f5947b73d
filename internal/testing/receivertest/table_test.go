package receivertest

import (
	"cmp"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
)

var write = flag.Bool("write", false, "write the table of docs/receivers.md; only with -full")

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
	fmt.Printf("%s, %s, %s:", p.name, p.way, order)
	for i, c := range tallies {
		fmt.Printf(" %s sent=%d failed=%d;", flowNames[i], c.sent, c.failed)
	}
	fmt.Println()
}

// finish prints the summary, and writes the document if asked to.
func (b *board) finish(t *testing.T) {
	b.mu.Lock()
	defer b.mu.Unlock()
	var sent, failed int
	receivers := map[string]bool{}
	for _, r := range b.rows {
		receivers[r.peer.name+", "+r.peer.way] = true
		for _, c := range r.tallies {
			sent, failed = sent+c.sent, failed+c.failed
		}
	}
	fmt.Printf("receivers: %d receivers, %d pairs of receiver and order, %d sent, %d failed\n", len(receivers),
		len(b.rows), sent, failed)
	defer fmt.Println("receivers: the table is in docs/receivers.md; -write renews it after a full run without a failure")
	if *write && *full && !t.Failed() {
		check(t, os.WriteFile(document, []byte(b.document(len(receivers), sent, failed)), 0o644))
	}
}

const document = "../../../docs/receivers.md"

// introduction explains the table. The run writes it with the counts.
const introduction = `# Receivers

This file is written by ` + "`make receivers WRITE=-write`" + `. Do not edit it. It covers %d receivers. Of %d
messages, %d failed. A test compares its rows with the list of receivers in ` + "`receivertest`" + `.

Each receiver accepts generation 1 of a tenant's certificate. The certificate is then renewed, and the receiver changes
in one of these orders:

| order | the receiver accepts |
|---|---|
| adds | 1, then 1 and 2, then 2 |
| replaces early | 2 at once |
| replaces late | 1 for two rounds, then 2 |
| flips | 2, 1, 2 |
| never | 1 only |

Three arrangements with the strategy *adaptive* each send one message at a time. The flow *mixed* sends GET, HEAD,
DELETE, and POST with 300 bytes, 100 KiB of unknown length, 900 KiB and 5 MiB. *POST, question* sends the same POST
requests, and its arrangement has a question that the receiver answers like a message. *POST only* has no question. A
message fails if its sender gets any answer other than that of the application. Each cell shows failed / sent. In the
order *never*, no message may fail, and the arrangement must not switch to generation 2.

`

// document returns the text of docs/receivers.md.
func (b *board) document(receivers, sent, failed int) string {
	var out strings.Builder
	fmt.Fprintf(&out, introduction, receivers, sent, failed)
	out.WriteString("| receiver | refuses with | order | mixed | POST, question | POST only | note |\n" +
		"|---|---|---|---|---|---|---|\n")
	position := func(r row) int {
		return slices.IndexFunc(peers, func(p peer) bool { return p.name == r.peer.name && p.way == r.peer.way })*10 +
			slices.IndexFunc(sequences, func(s sequence) bool { return s.name == r.order })
	}
	slices.SortFunc(b.rows, func(x, y row) int { return cmp.Compare(position(x), position(y)) })
	var notes []string
	for _, r := range b.rows {
		fmt.Fprintf(&out, "| %s | %s | %s |", r.peer.name, r.peer.refusal(), r.order)
		note := ""
		for _, c := range r.tallies {
			fmt.Fprintf(&out, " %d / %d |", c.failed, c.sent)
			if c.failed > 0 {
				note = r.peer.in(r.order).why
			}
		}
		if note != "" && !slices.Contains(notes, note) {
			notes = append(notes, note)
		}
		if note != "" {
			note = fmt.Sprint(slices.Index(notes, note) + 1)
		}
		fmt.Fprintf(&out, " %s |\n", note)
	}
	out.WriteString("\n## What is not promised\n\n")
	for i, n := range notes {
		fmt.Fprintf(&out, "%d. %s\n", i+1, n)
	}
	return out.String()
}

// TestTheDocumentListsEveryReceiver fails if docs/receivers.md was written before a receiver or an order changed.
func TestTheDocumentListsEveryReceiver(t *testing.T) {
	text, err := os.ReadFile(document)
	check(t, err)
	var want, got []string
	for _, p := range peers {
		for _, o := range sequences {
			if p.takes(o.name) {
				want = append(want, fmt.Sprintf("| %s | %s | %s |", p.name, p.refusal(), o.name))
			}
		}
	}
	for line := range strings.Lines(string(text)) {
		if cells := strings.Split(line, " | "); len(cells) == 7 && strings.Contains(line, " / ") {
			got = append(got, strings.Join(cells[:3], " | ")+" |")
		}
	}
	if !slices.Equal(want, got) {
		t.Errorf("docs/receivers.md has %d rows, want %d: run make receivers WRITE=-write", len(got), len(want))
	}
	readme, err := os.ReadFile("../../../README.md")
	check(t, err)
	if n := fmt.Sprintf(" %d receivers", len(peers)); strings.Count(string(readme), n) != 2 {
		t.Errorf("README.md does not have %q twice", n)
	}
}
