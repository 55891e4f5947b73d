// Package recent keeps the values that were used last. Untrusted callers may choose the keys, so a cache never holds
// more than twice its limit, and other keys cannot evict a value that is in use.
package recent

import "sync"

// A Cache keeps values by key. It can be used concurrently.
type Cache[K comparable, V any] struct {
	most int

	mu           sync.RWMutex // guards newer and older
	newer, older map[K]V
}

// New returns a cache that holds at least the last most values, and at most twice as many. The older half is dropped
// when the newer one is full.
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
	c.put(key, v)
}

func (c *Cache[K, V]) put(key K, v V) {
	if len(c.newer) >= c.most {
		c.newer, c.older = map[K]V{}, c.newer
	}
	c.newer[key] = v
}

// GetOrPut returns the value of a key, which counts as used. If there is none, it adds v. Concurrent calls return the
// same value.
func (c *Cache[K, V]) GetOrPut(key K, v V) V {
	c.mu.Lock()
	defer c.mu.Unlock()
	if newer, ok := c.newer[key]; ok {
		return newer
	}
	if older, ok := c.older[key]; ok {
		v = older
	}
	c.put(key, v)
	return v
}

// Delete removes the value of a key, if there is one.
func (c *Cache[K, V]) Delete(key K) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.newer, key)
	delete(c.older, key)
}

// Len returns the number of values.
func (c *Cache[K, V]) Len() int {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return len(c.newer) + len(c.older)
}
