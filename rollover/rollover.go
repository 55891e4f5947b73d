// Package rollover decides which generation of the tenant certificate an arrangement presents.
//
// It promises that nothing but the strategy and what is known of the receiver enters the decision: it reads no clock and
// does no I/O.
package rollover

import "github.com/perennial-pki/perennial/tenancy"

// Renewed says what an arrangement presents once generation next exists. Immediate switches at once, whatever the receiver
// accepts. Arrangements without a client certificate present none.
func Renewed(a tenancy.Arrangement, next int) (after tenancy.Arrangement, cutOver bool) {
	if a.Authentication != tenancy.ClientCertificate || a.Generation == next {
		return a, false
	}
	a.Generation = next
	return a, true
}

// Settled says whether no arrangement presents anything but the given generation any more: then the one before it can be
// retired.
func Settled(arrangements []tenancy.Arrangement, generation int) bool {
	for _, a := range arrangements {
		if a.Authentication == tenancy.ClientCertificate && a.Generation != generation {
			return false
		}
	}
	return true
}
