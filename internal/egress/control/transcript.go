package control

import (
	"bytes"
	"regexp"
)

// mostSigned limits a message to be signed. In TLS 1.2 it is all of the handshake, with the certificates of both sides.
const mostSigned = 512 << 10

// clientVerify13 begins the message that a client signs in TLS 1.3 (RFC 8446, section 4.4.3). The hash of the handshake
// follows.
var clientVerify13 = append(bytes.Repeat([]byte{' '}, 64), "TLS 1.3, client CertificateVerify\x00"...)

// Types of handshake messages (RFC 5246, section 7.4).
const clientHello, serverHello, certificateList = 1, 2, 11

// clientVerify12 matches the types of the messages that a client signs in TLS 1.2 (RFC 5246, section 7.3): up to its
// key exchange, with a CertificateStatus (RFC 6066, section 8) if the server sent one.
var clientVerify12 = regexp.MustCompile(`^\x01\x02\x0b\x16?\x0c?\x0d\x0e\x0b\x10$`)

// isClientVerify reports whether a TLS 1.2 or 1.3 client with a certificate signs this message. A certificate request,
// a token, a document or a message of a TLS server is never one.
func isClientVerify(message, certificate []byte) bool {
	if hash, ok := bytes.CutPrefix(message, clientVerify13); ok {
		return len(hash) == 32 || len(hash) == 48 // of the cipher suites
	}
	var types, own []byte
	for len(message) > 0 {
		kind, body, rest, ok := nextMessage(message)
		if !ok || (kind == clientHello || kind == serverHello) && !bytes.HasPrefix(body, []byte{3, 3}) {
			return false
		}
		if kind == certificateList {
			own = body // the last one is the client's
		}
		types, message = append(types, kind), rest
	}
	// The list begins with its length, and each certificate with its own.
	return clientVerify12.Match(types) && len(own) >= 6 && bytes.HasPrefix(own[6:], certificate)
}

// nextMessage cuts off the first message of a handshake.
func nextMessage(all []byte) (kind byte, body, rest []byte, ok bool) {
	if len(all) < 4 {
		return 0, nil, nil, false
	}
	size := int(all[1])<<16 | int(all[2])<<8 | int(all[3])
	if len(all)-4 < size {
		return 0, nil, nil, false
	}
	return all[0], all[4 : 4+size], all[4+size:], true
}
