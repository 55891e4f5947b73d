package acceptance

import "maps"

// mostOver limits the later entries of a [layered] map. Beyond it, a copy joins them with the others.
const mostOver = 128

// layered is a map that is copied often and changed little. A copy shares the base, which is never changed once there
// is a copy, and has its own few entries over it. Entries are added and replaced, and not removed.
type layered[K comparable, V any] struct {
	base, over map[K]V // over is nil until the first copy
}

func newLayered[K comparable, V any]() layered[K, V] { return layered[K, V]{base: map[K]V{}} }

// copied returns a copy that can be changed.
func (l layered[K, V]) copied() layered[K, V] {
	if len(l.over) < mostOver {
		over := maps.Clone(l.over)
		if over == nil {
			over = map[K]V{}
		}
		return layered[K, V]{l.base, over}
	}
	base := maps.Clone(l.base)
	maps.Copy(base, l.over)
	return layered[K, V]{base, map[K]V{}}
}

func (l layered[K, V]) get(key K) V {
	if v, ok := l.over[key]; ok {
		return v
	}
	return l.base[key]
}

func (l layered[K, V]) set(key K, value V) {
	if l.over != nil {
		l.over[key] = value
		return
	}
	l.base[key] = value
}

// keys returns the keys, in any order.
func (l layered[K, V]) keys() []K {
	all := make([]K, 0, len(l.base)+len(l.over))
	for key := range l.base {
		all = append(all, key)
	}
	for key := range l.over {
		if _, known := l.base[key]; !known {
			all = append(all, key)
		}
	}
	return all
}
