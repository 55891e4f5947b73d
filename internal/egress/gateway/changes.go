package gateway

// changes detect that the data of a tenant has changed while it was being read, so that an answer from before a change
// is not used. Changes of other tenants do not count, because there are thousands of them during a renewal run. The
// lock of the cache guards them.
type changes struct {
	count   int
	reading int            // number of readings that have begun and not ended
	latest  map[string]int // count at the latest change of each tenant since a reading began; "" is a change of all
}

// add records a change of a tenant, or of all.
func (c *changes) add(tenantID string) {
	c.count++
	if c.reading == 0 {
		return
	}
	if c.latest == nil {
		c.latest = map[string]int{}
	}
	c.latest[tenantID] = c.count
}

// begin begins a reading, which [changes.end] must end.
func (c *changes) begin() (since int) {
	c.reading++
	return c.count
}

func (c *changes) end() {
	if c.reading--; c.reading == 0 {
		clear(c.latest)
	}
}

// concern reports whether a tenant has changed since a reading began. Any change concerns data that belongs to no
// tenant.
func (c *changes) concern(tenantID string, since int) bool {
	return tenantID == "" && c.count > since || max(c.latest[tenantID], c.latest[""]) > since
}
