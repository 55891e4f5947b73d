package instructions

import (
	"fmt"
	"regexp"
	"strings"
)

// Each function quotes a text for one configuration language. Names of tenants and subjects contain whatever people
// write: umlauts, quotes, dollars, backslashes.

// escapedDN returns a subject as nginx and HAProxy write it: with bytes above 127 as \XX (ASN1_STRFLGS_ESC_MSB of
// OpenSSL).
func escapedDN(dn string) string {
	var b strings.Builder
	for i := range len(dn) {
		if dn[i] > 126 {
			fmt.Fprintf(&b, `\%02X`, dn[i])
		} else {
			b.WriteByte(dn[i])
		}
	}
	return b.String()
}

// nginxString quotes a text for a configuration of nginx. Backslashes are doubled, because \n, \r and \t are escapes.
func nginxString(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"`
}

// nginxBucket returns the directive that a map with a long key needs; empty for a short key. An entry has two pointers
// and its key with a length of two bytes, aligned, and must fit a bucket of 64 bytes by default: that is a key of 46.
func nginxBucket(key string) string {
	const fits, overhead = 46, 32
	if len(key) <= fits {
		return ""
	}
	size := 128
	for size < len(key)+overhead {
		size *= 2
	}
	return fmt.Sprintf("# in the http block, once and before the first map\nmap_hash_bucket_size %d;\n", size)
}

// haproxyString quotes a text for a configuration of HAProxy: between single quotes, nothing is special.
func haproxyString(s string) string { return shellString(s) }

// shellString quotes a text for a POSIX shell.
func shellString(s string) string { return `'` + strings.ReplaceAll(s, `'`, `'\''`) + `'` }

// apacheString quotes a text for an expression of Apache httpd. A dollar or percent sign could begin a variable, and
// ${...} one of the configuration.
func apacheString(s string) string {
	var b strings.Builder
	for _, r := range s {
		if strings.ContainsRune(`\"'$%{}`, r) {
			b.WriteByte('\\')
		}
		b.WriteRune(r)
	}
	return `"` + b.String() + `"`
}

// expression returns a regular expression that matches exactly a text.
func expression(s string) string { return "^" + regexp.QuoteMeta(s) + "$" }

// evenHex returns a hexadecimal number with an even count of digits, as OpenSSL writes serial numbers.
func evenHex(s string) string {
	digits, negative := strings.CutPrefix(s, "-")
	if len(digits)%2 == 1 {
		digits = "0" + digits
	}
	if negative {
		return "-" + digits
	}
	return digits
}

// colons formats a hexadecimal number as "0A:1B".
func colons(hex string) string {
	hex, negative := strings.CutPrefix(strings.ToUpper(evenHex(hex)), "-")
	var b strings.Builder
	if negative {
		b.WriteByte('-')
	}
	for i := 0; i+2 <= len(hex); i += 2 {
		if i > 0 {
			b.WriteByte(':')
		}
		b.WriteString(hex[i : i+2])
	}
	return b.String()
}
