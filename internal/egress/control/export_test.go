package control

import "time"

// SetClock sets the clock of a client that is not yet in use.
func (c *Client) SetClock(now func() time.Time) { c.now = now }
