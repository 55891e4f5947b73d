package guard

import (
	"crypto/x509"
	"testing"
)

func TestChainsOfTheSameBytesDiffer(t *testing.T) {
	one := []*x509.Certificate{{Raw: []byte("ab")}, {Raw: []byte("c")}}
	two := []*x509.Certificate{{Raw: []byte("a")}, {Raw: []byte("bc")}}
	if keyOf(one) == keyOf(two) {
		t.Error("the two chains share a verdict")
	}
}
