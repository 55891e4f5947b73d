package web

import "cmp"

// Platform describes those who run the service to readers, who know its name from mails. All fields may be empty.
type Platform struct {
	Name        string
	HelpAddress string
	HelpPhone   string
	Imprint     string
	Logo        Logo
}

// product is the name of the platform if it has no other.
const product = "Perennial"

// named returns the name of the platform.
func (p Platform) named() string {
	return cmp.Or(p.Name, product)
}
