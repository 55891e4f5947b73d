package client

import "time"

// ServerCertificate is what a receiver showed of itself.
type ServerCertificate struct {
	Subject     string    `json:"subject"`
	Issuer      string    `json:"issuer"`
	Names       []string  `json:"names,omitempty" doc:"DNS names and addresses that it is for."`
	NotAfter    time.Time `json:"not_after"`
	Fingerprint string    `json:"fingerprint_sha256"`
	KeyPin      string    `json:"key_pin" doc:"For egress.server_key_pin, where a person has confirmed it."`
	Trusted     bool      `json:"trusted" doc:"It is verified with what the arrangement says: the system's CAs, its own, or a pin."`
}

// Trial is how an arrangement would fare.
type Trial struct {
	Server  *ServerCertificate `json:"server,omitempty" doc:"Absent where the receiver showed no certificate: problem says why."`
	Problem string             `json:"problem,omitempty" doc:"Why the receiver could not be reached, or is not trusted."`
	Results []ProbeResult      `json:"results,omitempty" doc:"Of a trusted receiver: which generations it accepts."`
}
