package certfile

import (
	"crypto/x509"
	"encoding/hex"
	"math/big"
	"strings"
)

// Serials are the notations of a serial number.
type Serials struct {
	Hex     string // lowercase, two digits per byte, with a minus sign if it is negative
	Decimal string
	OpenSSL string // as "openssl x509 -serial" prints it: Hex in uppercase
	// DotNET is X509Certificate2.SerialNumber of .NET, which Windows shows too: the bytes of the DER integer (two's
	// complement) in uppercase. A number whose first bit is set begins with 00.
	DotNET string
}

// Serial returns the serial number in lowercase hexadecimal, two digits per byte, with a minus sign if it is negative.
func Serial(c *x509.Certificate) string { return SerialsOf(c.SerialNumber).Hex }

// SerialsOf returns the notations of a serial number.
func SerialsOf(n *big.Int) Serials {
	digits := hex.EncodeToString(n.Bytes())
	if digits == "" {
		digits = "00"
	}
	if n.Sign() < 0 {
		digits = "-" + digits
	}
	return Serials{Hex: digits, Decimal: n.String(), OpenSSL: strings.ToUpper(digits),
		DotNET: strings.ToUpper(hex.EncodeToString(integerBytes(n)))}
}

// integerBytes returns the content of the DER integer (X.690, 8.3): the shortest two's complement, at least one byte.
func integerBytes(n *big.Int) []byte {
	if n.Sign() >= 0 {
		return n.FillBytes(make([]byte, n.BitLen()/8+1))
	}
	size := new(big.Int).Not(n).BitLen()/8 + 1
	return new(big.Int).Add(n, new(big.Int).Lsh(big.NewInt(1), uint(8*size))).FillBytes(make([]byte, size))
}

// ParseSerial returns the serial numbers that a text may be in any notation of [Serials], also with colons or spaces
// between the digits. Each is in the form of [Serial]. Short numbers are left out, because they may be anything.
func ParseSerial(text string) (all []string) {
	const shortest = 8 // digits: a serial number of 32 bits
	digits, negative := strings.CutPrefix(strings.NewReplacer(":", "", " ", "").Replace(text), "-")
	if len(digits) < shortest || strings.Trim(digits, "0123456789abcdefABCDEF") != "" {
		return nil
	}
	add := func(n *big.Int) {
		if negative {
			n.Neg(n)
		}
		all = append(all, SerialsOf(n).Hex)
	}
	if n, ok := new(big.Int).SetString(digits, 10); ok {
		add(n)
	}
	octets, err := hex.DecodeString(digits)
	if err != nil {
		return all
	}
	add(new(big.Int).SetBytes(octets))
	if !negative && octets[0] >= 0x80 { // a negative number as .NET writes it
		n := new(big.Int).SetBytes(octets)
		add(n.Sub(n, new(big.Int).Lsh(big.NewInt(1), uint(8*len(octets)))))
	}
	return all
}
