package guard

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/perennial-pki/perennial/internal/testing/testca"
	"github.com/perennial-pki/perennial/internal/testing/testenv"
)

// The client and the types are those of Envoy's own protocol files.
func TestEnvoyAsksTheGuardOverGRPC(t *testing.T) {
	f := newFolder(t)
	first := f.tenant()
	f.write("chain.pem", testca.PEM(first.Certificate...)) // Envoy passes on no intermediate certificates
	g := f.start(strings.Replace(decideConfig(envoyGRPC), "[tenant.pem]", "[chain.pem]", 1), inWindow)
	_, address, _ := g.Addresses()
	conn, err := grpc.NewClient(
		strings.TrimPrefix(address, "http://"),
		grpc.WithTransportCredentials(insecure.NewCredentials()),
	)
	testenv.Check(t, err)
	defer conn.Close()
	check := func(certificate string) *authv3.CheckResponse {
		answer, err := authv3.NewAuthorizationClient(conn).Check(t.Context(), &authv3.CheckRequest{
			Attributes: &authv3.AttributeContext{
				Source: &authv3.AttributeContext_Peer{Certificate: certificate, Address: &corev3.Address{
					Address: &corev3.Address_SocketAddress{SocketAddress: &corev3.SocketAddress{Address: "192.0.2.7",
						PortSpecifier: &corev3.SocketAddress_PortValue{PortValue: 4711}}}}},
				Request: &authv3.AttributeContext_Request{
					Http: &authv3.AttributeContext_HttpRequest{Host: "erp.example.com",
						Headers: map[string]string{"perennial-partner": "globex"}},
				},
			}})
		testenv.Check(t, err)
		return answer
	}
	escaped := func(der []byte) string { return url.PathEscape(string(testca.PEM(der))) }
	for name, der := range map[string][]byte{"known": first.Certificate[0],
		"its successor": f.client("acme", inWindow).Certificate[0]} {
		answer := check(escaped(der))
		headers := answer.GetOkResponse().GetHeaders()
		if answer.GetStatus().GetCode() != int32(codes.OK) || len(headers) != 1 ||
			headers[0].GetHeader().
				GetKey() !=
				"Perennial-Partner" || headers[0].GetHeader().GetValue() != "acme-c4c" ||
			headers[0].GetAppendAction() != corev3.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD ||
			!slices.Equal(answer.GetOkResponse().GetHeadersToRemove(), []string{"Perennial-Tenant", "Perennial-Arrangement"}) {
			t.Errorf("%s: %v", name, answer)
		}
	}
	for name, certificate := range map[string]string{"none": "", "not readable": "%zz",
		"a stranger": escaped(f.client("globex", inWindow).Certificate[0])} {
		answer := check(certificate)
		if answer.GetStatus().GetCode() != int32(codes.PermissionDenied) ||
			answer.GetDeniedResponse().GetStatus().GetCode() != http.StatusForbidden {
			t.Errorf("%s: %v", name, answer)
		}
	}
	if log := g.log.String(); !strings.Contains(log, "remote=192.0.2.7") ||
		!strings.Contains(log, "host=erp.example.com") {
		t.Errorf("the log lacks the caller: %s", log)
	}
	err = conn.Invoke(t.Context(), "/other.Service/Method", &authv3.CheckRequest{}, &authv3.CheckResponse{})
	if err == nil {
		t.Error("another method is answered")
	}
}

func FuzzReadCheck(f *testing.F) {
	f.Add([]byte{10, 4, 10, 2, 42, 0})
	f.Fuzz(func(t *testing.T, message []byte) {
		_, _, certificate := readCheck(message)
		if chain, err := peerCertificateForm.parsed([]string{certificate}); err != nil && len(chain) > 0 {
			t.Error("certificates with an error")
		}
	})
}
