package gateway

import (
	"fmt"
	"testing"
	"time"
)

func TestTheRoutesThatWereUsedLeastRecentlyAreDroppedFirst(t *testing.T) {
	rs := &routes{known: map[address]*route{}, stale: map[address]*route{}}
	begin := time.Unix(1_800_000_000, 0)
	for i := range 100 {
		rs.known[address{"acme", fmt.Sprint(i)}] = &route{usedAt: begin.Add(time.Duration(i) * time.Second)}
	}
	rs.dropOldest(10)
	if len(rs.known) != 90 || rs.known[address{"acme", "9"}] != nil || rs.known[address{"acme", "10"}] == nil {
		t.Errorf("%d are left", len(rs.known))
	}
}
