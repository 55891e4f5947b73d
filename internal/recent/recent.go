// Package recent keeps the values that were used last. Strangers choose the keys of its users, so a cache never has
// more than twice its number of values, and one that is in use stays however many others come.
package recent

import "sync"

// A Cache keeps values by key. It can be used concurrently.
type Cache[K comparable, V any] struct {
	most int

	mu           sync.RWMutex // guards newer and older
	newer, older map[K]V
}

// New returns a cache for most values, and at most twice as many: the older half is dropped when the newer one is full.
func New[K comparable, V any](most int) *Cache[K, V] {
	return &Cache[K, V]{most: most, newer: map[K]V{}}
}

// Get returns the value of a key, which counts as used.
func (c *Cache[K, V]) Get(key K) (v V, ok bool) {
	c.mu.RLock()
	v, ok = c.newer[key]
	older, wasOlder := c.older[key]
	c.mu.RUnlock()
	if !ok && wasOlder {
		c.Put(key, older)
		return older, true
	}
	return v, ok
}

// Put adds a value or replaces it.
func (c *Cache[K, V]) Put(key K, v V) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.newer) >= c.most {
		c.newer, c.older = map[K]V{}, c.newer
	}
	c.newer[key] = v
}

// Len returns the number of values.
func (c *Cache[K, V]) Len() int {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return len(c.newer) + len(c.older)
}
