package acceptance

import (
	"fmt"
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// A copy has what the original had, and neither sees later changes of the other.
func TestACopyOfALayeredMapIsAMapOfItsOwn(t *testing.T) {
	most := 0
	rapid.Check(t, func(t *rapid.T) {
		current, want := newLayered[int, int](), map[int]int{}
		type past struct {
			layered layered[int, int]
			want    map[int]int
		}
		var all []past
		for range rapid.IntRange(0, 40).Draw(t, "copies") {
			for range rapid.IntRange(0, 20).Draw(t, "changes") {
				key, value := rapid.IntRange(0, 300).Draw(t, "key"), rapid.Int().Draw(t, "value")
				current.set(key, value)
				want[key] = value
			}
			all = append(all, past{current, maps.Clone(want)})
			current = current.copied()
		}
		for i, p := range all {
			most = max(most, len(p.layered.over))
			if got := slices.Sorted(slices.Values(p.layered.keys())); !slices.Equal(got, slices.Sorted(maps.Keys(p.want))) {
				t.Fatalf("copy %d has the keys %v, want those of %v", i, got, p.want)
			}
			for key, value := range p.want {
				if got := p.layered.get(key); got != value {
					t.Fatalf("copy %d: %d is %d, want %d", i, key, got, value)
				}
			}
		}
	})
	if most < mostOver/2 || most > mostOver+20 {
		t.Errorf("a copy had up to %d entries over its base, so the test did not reach the limit of %d, or it does not hold",
			most, mostOver)
	}
}

// Learning a successor costs no copy of the whole index.
func BenchmarkASuccessorIsLearned(b *testing.B) {
	for _, n := range []int{100, 10_000} {
		ps, err := New(nil)
		if err != nil {
			b.Fatal(err)
		}
		for i := range n {
			k := Known{Fingerprint: Fingerprint{byte(i), byte(i >> 8)}, subject: fmt.Sprint(i), issuer: "ca"}
			ps.insert(&partner{Partner{Name: fmt.Sprint(i), Rule: Pin, Known: []Known{k}}},
				func(all []*partner, p *partner) []*partner { return append(all, p) })
		}
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			b.ReportAllocs()
			current := ps
			for i := range b.N {
				k := Known{Fingerprint: Fingerprint{byte(i), byte(i >> 8), byte(i >> 16), 1}, subject: "x", issuer: "ca"}
				if current, err = current.WithKnown(fmt.Sprint(i%n), k); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
