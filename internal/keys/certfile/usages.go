package certfile

import (
	"crypto/x509"
	"encoding/asn1"
)

// ClientAuth is the extended key usage of a client certificate (RFC 5280, section 4.2.1.12).
const ClientAuth = "1.3.6.1.5.5.7.3.2"

var extKeyUsage = asn1.ObjectIdentifier{2, 5, 29, 37}

// Usages returns the extended key usages (OIDs) of a certificate (DER). There are none if it cannot be read.
func Usages(der []byte) (usages []string) {
	c, err := ParseCertificate(der)
	if err != nil {
		return nil
	}
	return usagesOf(c)
}

func usagesOf(c *x509.Certificate) []string {
	for _, e := range c.Extensions {
		if e.Id.Equal(extKeyUsage) {
			return oidsOf(e.Value)
		}
	}
	return nil
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
