package guard

import (
	"crypto/x509"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"

	"google.golang.org/protobuf/encoding/protowire"

	core "github.com/perennial-pki/perennial/guard"
)

// envoyGRPC is the form of Envoy's ext_authz over gRPC.
const envoyGRPC = "envoy-grpc"

// checkPath is the only method of the service, envoy/service/auth/v3/external_auth.proto.
const checkPath = "/envoy.service.auth.v3.Authorization/Check"

// The numbers of the fields that are read and written, from attribute_context.proto and external_auth.proto of Envoy.
const (
	attributes, source, request  = 1, 1, 4 // of CheckRequest and AttributeContext
	peerAddress, peerCertificate = 1, 5    // of Peer
	socketAddress, addressText   = 1, 2    // of Address and SocketAddress
	httpRequest, httpHost        = 2, 5    // of Request and HttpRequest

	checkStatus, deniedResponse, okResponse = 1, 2, 3 // of CheckResponse
	statusCode                              = 1       // of google.rpc.Status and HttpStatus
	deniedStatus, deniedBody                = 1, 3    // of DeniedHttpResponse
	okHeaders, okRemoved                    = 2, 5    // of OkHttpResponse
	optionHeader, optionAction              = 1, 3    // of HeaderValueOption
	headerKey, headerValue                  = 1, 2    // of HeaderValue

	permissionDenied = 7 // a code of gRPC
	overwrite        = 2 // an action: OVERWRITE_IF_EXISTS_OR_ADD
)

// maxMessage limits a request of Envoy, which has the headers of a call.
const maxMessage = 1 << 20

// check answers a call of gRPC with one message each way. The protocol of such calls is a prefix of five bytes and a
// trailer, so that the program does not need to link a whole library for it.
func (s *Service) check(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/grpc")
	w.Header().Set("Trailer", "Grpc-Status, Grpc-Message")
	fail := func(code int, message string) {
		w.Header().Set("Grpc-Status", strconv.Itoa(code))
		w.Header().Set("Grpc-Message", message)
	}
	const unimplemented, invalidArgument = 12, 3
	if r.URL.Path != checkPath {
		fail(unimplemented, "unknown method")
		return
	}
	message, err := readMessage(r.Body)
	if err != nil {
		fail(invalidArgument, err.Error())
		return
	}
	remote, host, certificate := readCheck(message)
	var chain []*x509.Certificate
	if certificate != "" {
		chain, err = s.parse(peerCertificateForm, []string{certificate})
	}
	answer := checkAnswer(s.decide(remote, host, chain, err))
	prefix := binary.BigEndian.AppendUint32([]byte{0}, uint32(len(answer)))
	w.Write(append(prefix, answer...)) // the proxy may have left
	fail(0, "")
}

// readMessage reads a message that is not compressed.
func readMessage(body io.Reader) ([]byte, error) {
	var prefix [5]byte
	if _, err := io.ReadFull(body, prefix[:]); err != nil {
		return nil, errors.New("there is no message")
	}
	size := binary.BigEndian.Uint32(prefix[1:])
	if prefix[0] != 0 || size > maxMessage {
		return nil, fmt.Errorf("messages are not compressed, and have at most %d KiB", maxMessage>>10)
	}
	message := make([]byte, size)
	if _, err := io.ReadFull(body, message); err != nil {
		return nil, errors.New("the message is not complete")
	}
	return message, nil
}

// peerCertificateForm reads source.certificate.
var peerCertificateForm = form{header: "source.certificate", read: escapedPEM}

// readCheck reads what a decision needs from a CheckRequest. certificate is empty if there is none.
func readCheck(message []byte) (remote, host, certificate string) {
	context := field(message, attributes)
	peer := field(context, source)
	remote = string(field(field(field(peer, peerAddress), socketAddress), addressText))
	host = string(field(field(field(context, request), httpRequest), httpHost))
	return remote, host, string(field(peer, peerCertificate))
}

// field returns the last value of a field with a length; nil without one, or if the message is not well formed.
func field(message []byte, number protowire.Number) (value []byte) {
	for len(message) > 0 {
		n, kind, size := protowire.ConsumeField(message)
		if size < 0 {
			return nil
		}
		if n == number && kind == protowire.BytesType {
			_, _, tag := protowire.ConsumeTag(message)
			value, _ = protowire.ConsumeBytes(message[tag:])
		}
		message = message[size:]
	}
	return value
}

// checkAnswer returns a CheckResponse: the headers for the application, or 403. Those that a partner does not have are
// removed, because a caller may have sent them.
func checkAnswer(c core.Call) []byte {
	if !c.Accepted {
		status := appendVarint(nil, statusCode, http.StatusForbidden)
		denied := appendBytes(nil, deniedStatus, status)
		body := "The client certificate is not accepted: " + string(c.Decision.Code) + "\n"
		denied = appendBytes(denied, deniedBody, []byte(body))
		answer := appendBytes(nil, checkStatus, appendVarint(nil, statusCode, permissionDenied))
		return appendBytes(answer, deniedResponse, denied)
	}
	var headers []byte
	for _, h := range [...]struct{ name, value string }{{core.PartnerHeader, c.Decision.Partner},
		{core.TenantHeader, c.Decision.Source.Tenant}, {core.ArrangementHeader, c.Decision.Arrangements}} {
		if h.value == "" {
			headers = appendBytes(headers, okRemoved, []byte(h.name))
			continue
		}
		header := appendBytes(appendBytes(nil, headerKey, []byte(h.name)), headerValue, []byte(h.value))
		headers = appendBytes(headers, okHeaders, appendVarint(appendBytes(nil, optionHeader, header), optionAction,
			overwrite))
	}
	return appendBytes(appendBytes(nil, checkStatus, nil), okResponse, headers)
}

func appendBytes(b []byte, n protowire.Number, value []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(b, n, protowire.BytesType), value)
}

func appendVarint(b []byte, n protowire.Number, value uint64) []byte {
	return protowire.AppendVarint(protowire.AppendTag(b, n, protowire.VarintType), value)
}
