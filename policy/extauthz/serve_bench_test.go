package extauthz

import (
	"context"
	"log/slog"
	"net"
	"path/filepath"
	"sync"
	"testing"

	auth "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	status "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/proto"
)

// BenchmarkServe is BenchmarkCheck over gRPC, beside a server that says yes to everything (the floor). Both figures
// have in them what it costs to ask, which is the same.
func BenchmarkServe(b *testing.B) {
	for name, serve := range map[string]func(context.Context, net.Listener, *Server) error{
		"floor": func(ctx context.Context, l net.Listener, _ *Server) error {
			srv := grpc.NewServer()
			auth.RegisterAuthorizationServer(srv, yes{})
			defer context.AfterFunc(ctx, srv.Stop)()
			return srv.Serve(l)
		},
		"ours": func(ctx context.Context, l net.Listener, s *Server) error { return s.Serve(ctx, l) },
	} {
		s := New(Config{Engine: grants(b, 10_000), Log: slog.New(slog.DiscardHandler), Tokens: &tokens{}})
		b.Run(name, func(b *testing.B) {
			l, err := net.Listen("unix", filepath.Join(b.TempDir(), "s"))
			if err != nil {
				b.Fatal(err)
			}
			ctx, stop := context.WithCancel(b.Context())
			var all sync.WaitGroup
			defer all.Wait()
			defer stop()
			all.Go(func() { _ = serve(ctx, l, s) }) // it ends with ctx
			askAgainAndAgain(b, l.Addr().String())
		})
	}
}

// yes says yes to everything.
type yes struct {
	auth.UnimplementedAuthorizationServer
}

func (yes) Check(context.Context, *auth.CheckRequest) (*auth.CheckResponse, error) {
	return &auth.CheckResponse{Status: &status.Status{},
		HttpResponse: &auth.CheckResponse_OkResponse{OkResponse: &auth.OkHttpResponse{}}}, nil
}

// askAgainAndAgain asks a server whether joe may read books, of 16 callers at a time. The question was encoded before
// and answers are not decoded.
func askAgainAndAgain(b *testing.B, socket string) {
	conn, err := grpc.NewClient("unix:"+socket, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		b.Fatal(err)
	}
	defer conn.Close()
	req := check("GET", "/shelf/1?q=2", "authorization", "Bearer good", "user-agent", "bench", "x-request-id", "7",
		"x-forwarded-proto", "https", "accept", "*/*")
	req.Attributes.ContextExtensions = map[string]string{ServiceKey: "books.acme.example"}
	req.Attributes.Source.Certificate = certificate(b, false, "spiffe://bravo.example/node/edge")
	raw, err := proto.Marshal(req)
	if err != nil {
		b.Fatal(err)
	}
	ask := func() error {
		return conn.Invoke(b.Context(), auth.Authorization_Check_FullMethodName, raw, nil, grpc.ForceCodec(asItIs{}))
	}
	if err := ask(); err != nil {
		b.Fatal(err)
	}
	b.SetParallelism(8)
	b.ReportAllocs()
	b.ResetTimer()
	b.RunParallel(func(p *testing.PB) {
		for p.Next() {
			if err := ask(); err != nil {
				b.Error(err)
				return
			}
		}
	})
}

// asItIs sends bytes and reads nothing.
type asItIs struct{}

func (asItIs) Marshal(v any) ([]byte, error) {
	raw, _ := v.([]byte) // there is nothing else
	return raw, nil
}

func (asItIs) Unmarshal([]byte, any) error { return nil }
func (asItIs) Name() string                { return "proto" }
