package certfile

import (
	"encoding/asn1"
)

// ClientAuth is the extended key usage of a client certificate (RFC 5280, section 4.2.1.12).
const ClientAuth = "1.3.6.1.5.5.7.3.2"

// Usages returns the extended key usages (OIDs) of a certificate (DER). There are none if it cannot be read.
func Usages(der []byte) (usages []string) {
	p, err := profileOf(der)
	if err != nil {
		return nil
	}
	return oidsOf(p.usage)
}

// oidsOf returns the OIDs in the value of the extension. There are none if it cannot be read.
func oidsOf(value []byte) (usages []string) {
	var oids []asn1.ObjectIdentifier
	if rest, err := asn1.Unmarshal(value, &oids); err != nil || len(rest) > 0 {
		return nil
	}
	for _, oid := range oids {
		usages = append(usages, oid.String())
	}
	return usages
}
