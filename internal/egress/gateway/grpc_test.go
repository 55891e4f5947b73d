package gateway_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/perennial-pki/perennial/tenancy"
)

// A greeter is a receiver that speaks gRPC over mutual TLS. It accepts the generations that it knows, echoes each
// message of a stream at once, and ends with a trailer.
type greeter struct{ strange }

func (g *greeter) admit(ctx context.Context) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	p, _ := peer.FromContext(ctx)
	shown := p.AuthInfo.(credentials.TLSInfo).State.PeerCertificates
	for _, c := range g.known {
		if len(shown) > 0 && c.Equal(shown[0]) {
			return nil
		}
	}
	return status.Error(codes.Unauthenticated, "unknown client certificate")
}

var greeting = grpc.ServiceDesc{ServiceName: "test.Greeter", HandlerType: (*any)(nil),
	Methods: []grpc.MethodDesc{{MethodName: "Greet", Handler: func(s any, ctx context.Context, decode func(any) error,
		_ grpc.UnaryServerInterceptor) (any, error) {
		if err := s.(*greeter).admit(ctx); err != nil {
			return nil, err
		}
		in := new(wrapperspb.StringValue)
		if err := decode(in); err != nil {
			return nil, err
		}
		if in.Value == "" {
			return nil, status.Error(codes.InvalidArgument, "an empty name")
		}
		return wrapperspb.String("Hello, " + in.Value), nil
	}}},
	Streams: []grpc.StreamDesc{{StreamName: "Talk", ClientStreams: true, ServerStreams: true,
		Handler: func(s any, stream grpc.ServerStream) error {
			if err := s.(*greeter).admit(stream.Context()); err != nil {
				return err
			}
			n := 0
			for ; ; n++ {
				in := new(wrapperspb.StringValue)
				if err := stream.RecvMsg(in); errors.Is(err, io.EOF) {
					break
				} else if err != nil {
					return err
				}
				if err := stream.SendMsg(in); err != nil {
					return err
				}
			}
			stream.SetTrailer(metadata.Pairs("messages", fmt.Sprint(n)))
			return nil
		}}},
}

func (f *fixture) greeter(name string) *greeter {
	f.t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	check(f.t, err)
	g := new(greeter)
	g.accept(f.generation(1))
	server := grpc.NewServer(grpc.Creds(credentials.NewTLS(&tls.Config{Certificates: []tls.Certificate{f.server},
		ClientAuth: tls.RequestClientCert})))
	server.RegisterService(&greeting, g)
	go server.Serve(l)
	f.t.Cleanup(server.Stop)
	f.arrangement(name, tenancy.Adaptive, "https://"+l.Addr().String())
	return g
}

func TestCallsOfGRPCPassThePlainListener(t *testing.T) {
	f := setUp(t)
	server := f.greeter("bank")
	listener := f.listen("127.0.0.1:0", nil, impatient) // a stream may idle
	client, err := grpc.NewClient("passthrough:///"+listener.Addr().String(), grpc.WithAuthority("bank.acme.gateway.test"),
		grpc.WithTransportCredentials(insecure.NewCredentials()))
	check(t, err)
	defer client.Close()
	ctx, cancel := context.WithTimeout(metadata.AppendToOutgoingContext(t.Context(), "authorization", "Bearer "+f.token),
		time.Minute)
	defer cancel()

	greet := func(what, name string) error {
		t.Helper()
		out := new(wrapperspb.StringValue)
		err := client.Invoke(ctx, "/test.Greeter/Greet", wrapperspb.String(name), out)
		if err == nil && out.Value != "Hello, "+name {
			t.Errorf("%s: %q", what, out.Value)
		}
		return err
	}
	talk := func(what string) {
		t.Helper()
		stream, err := client.NewStream(ctx, &greeting.Streams[0], "/test.Greeter/Talk")
		check(t, err)
		for i := range 5 { // each message is answered before the next one is sent
			sent, got := strings.Repeat("x", 1+i*10_000), new(wrapperspb.StringValue)
			check(t, stream.SendMsg(wrapperspb.String(sent)))
			check(t, stream.RecvMsg(got))
			if got.Value != sent {
				t.Errorf("%s: got %d bytes, want %d", what, len(got.Value), len(sent))
			}
		}
		check(t, stream.CloseSend())
		if err := stream.RecvMsg(new(wrapperspb.StringValue)); !errors.Is(err, io.EOF) {
			t.Errorf("%s: %v, want the end of the stream", what, err)
		}
		if n := stream.Trailer().Get("messages"); len(n) != 1 || n[0] != "5" {
			t.Errorf("%s: trailer %q", what, n)
		}
	}
	check(t, greet("in a settled state", "Ada"))
	talk("in a settled state")
	f.renew()
	for _, generation := range []int{1, 2} {
		server.accept(f.generation(generation))
		what := fmt.Sprintf("with generation %d accepted", generation)
		if err := greet(what, "Ada"); err != nil {
			t.Errorf("%s: %v", what, err)
		}
		talk(what)
	}
	if err := greet("an error", ""); status.Code(err) != codes.InvalidArgument {
		t.Errorf("an error of the receiver: %v", err)
	}
}
