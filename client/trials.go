package client

import "time"

// ServerCertificate is the certificate of a receiver.
type ServerCertificate struct {
	Subject     string    `json:"subject"`
	Issuer      string    `json:"issuer"`
	Names       []string  `json:"names,omitempty" doc:"DNS names and IP addresses of the certificate."`
	NotAfter    time.Time `json:"not_after"`
	Fingerprint string    `json:"fingerprint_sha256"`
	KeyPin      string    `json:"key_pin" doc:"Value for egress.server_key_pin after a person has confirmed it."`
	Trusted     bool      `json:"trusted" doc:"True if it was verified as the arrangement requires: with the CAs of the system, its own CA, or a pin."`
}

// Trial is the result of a test of an arrangement before it is saved.
type Trial struct {
	Server  *ServerCertificate `json:"server,omitempty" doc:"Absent if the receiver showed no certificate. The problem is the reason."`
	Problem string             `json:"problem,omitempty" doc:"Reason why the receiver could not be reached or is not trusted."`
	Results []ProbeResult      `json:"results,omitempty" doc:"Result for each generation, if the receiver is trusted."`
}
