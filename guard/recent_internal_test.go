package guard

import (
	"crypto/x509"
	"encoding/binary"
	"testing"
	"time"

	"github.com/perennial-pki/perennial/acceptance"
)

func TestWhatAStrangerPresentsDoesNotStay(t *testing.T) {
	var r recent
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	chain := []*x509.Certificate{{Raw: make([]byte, 8)}}
	first := keyOf(chain)
	kept := newVerdict(acceptance.Decision{}, nil, chain, now)
	r.put(first, kept)
	for i := range uint64(5 * mostRecent) {
		binary.BigEndian.PutUint64(chain[0].Raw, i+1)
		r.put(keyOf(chain), newVerdict(acceptance.Decision{}, nil, chain, now))
		if i%64 == 0 && r.get(first) != kept {
			t.Fatalf("a verdict in use was dropped after %d others", i)
		}
		if n := len(r.newer) + len(r.older); n > 2*mostRecent {
			t.Fatalf("%d verdicts are kept", n)
		}
	}
}

func TestChainsOfTheSameBytesDiffer(t *testing.T) {
	one := []*x509.Certificate{{Raw: []byte("ab")}, {Raw: []byte("c")}}
	two := []*x509.Certificate{{Raw: []byte("a")}, {Raw: []byte("bc")}}
	if keyOf(one) == keyOf(two) {
		t.Error("the two chains share a verdict")
	}
}
