package certfile

import (
	"encoding/asn1"
	"strings"
	"testing"
	"time"

	"software.sslmate.com/src/go-pkcs12"
)

// A file of a hundred bytes could keep a processor busy for hours.
func TestPKCS12ThatAsksForEndlessWorkIsRefusedBeforeTheWork(t *testing.T) {
	type parameters struct {
		Salt       []byte
		Iterations int
	}
	type file struct {
		Version int
		Safe    []byte
		MAC     parameters
	}
	encoded := func(safe []byte, iterations int) []byte {
		return must(asn1.Marshal(file{3, safe, parameters{[]byte("salt"), iterations}}))
	}
	const refused = "asks for more than 10000000 iterations"
	for name, c := range map[string]struct {
		data    []byte
		refused bool
	}{
		"of the MAC":                  {encoded([]byte("x"), 1<<31-1), true},
		"one too many":                {encoded([]byte("x"), 10_000_001), true},
		"as many as allowed":          {encoded([]byte("x"), 10_000_000), false},
		"of a part in a string":       {encoded(encoded([]byte("x"), 1<<31-1), 1), true},
		"of a part in two strings":    {encoded(encoded(encoded(nil, 1<<31-1), 1), 1), true},
		"few, behind a broken string": {encoded([]byte{0x04, 0x7f}, 1), false},
	} {
		_, err := ReadPair(c.data, "secret", time.Now())
		if got := err != nil && strings.Contains(err.Error(), refused); got != c.refused {
			t.Errorf("%s: got %v", name, err)
		}
	}
	key, leaf := certificate(t, "acme", false)
	for _, encoder := range []*pkcs12.Encoder{pkcs12.Modern2023, pkcs12.LegacyDES, pkcs12.LegacyRC2} {
		data := must(encoder.WithIterations(600_000).Encode(key, leaf, nil, "secret"))
		if _, err := ReadPair(data, "secret", leaf.NotBefore); err != nil {
			t.Errorf("with as many iterations as OWASP recommends: %v", err)
		}
	}
}
