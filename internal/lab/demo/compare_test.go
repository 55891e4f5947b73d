package demo

import (
	"bytes"
	"encoding/xml"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/perennial-pki/perennial/policy"
)

func TestAdaptiveLosesNoMessageAndImmediateDoes(t *testing.T) {
	p, err := policy.Preset(policy.Default)
	if err != nil {
		t.Fatal(err)
	}
	var out, svg bytes.Buffer
	if err := compare(t.Context(), &out, &svg, p, 25*time.Hour); err != nil {
		t.Fatal(err)
	}
	lost := 0
	for line := range strings.Lines(out.String()) {
		fields := strings.Fields(line)
		if len(fields) < 7 || fields[0] == "RECEIVER" || strings.HasPrefix(line, "One") || strings.HasPrefix(line, "The") {
			continue
		}
		immediate, adaptive := fields[len(fields)-5], fields[len(fields)-2]
		if adaptive != "0" {
			t.Errorf("adaptive lost messages: %s", line)
		}
		if immediate != "0" {
			lost++
		}
	}
	if lost != 5 { // bank, depot, port, agency, and the sum
		t.Errorf("immediate lost messages in %d lines:\n%s", lost, out.String())
	}
	for d := xml.NewDecoder(&svg); ; {
		if _, err := d.Token(); err == io.EOF {
			break
		} else if err != nil {
			t.Fatalf("the picture is not XML: %v", err)
		}
	}
}
