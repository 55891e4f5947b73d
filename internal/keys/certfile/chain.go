package certfile

import (
	"encoding/asn1"
	"errors"
)

// JoinChain returns a chain as one value, for storage. [SplitChain] takes it apart.
func JoinChain(chain [][]byte) (joined []byte) {
	for _, der := range chain {
		joined = append(joined, der...)
	}
	return joined
}

// SplitChain returns the certificates of a chain that is stored as one value.
func SplitChain(joined []byte) (chain [][]byte, err error) {
	for len(joined) > 0 {
		var one asn1.RawValue
		rest, err := asn1.Unmarshal(joined, &one)
		if err != nil {
			return nil, errors.New("a stored chain is not a sequence of DER certificates")
		}
		chain, joined = append(chain, one.FullBytes), rest
	}
	return chain, nil
}
