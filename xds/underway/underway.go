// Package underway ends requests and connections of other nodes that may not go on (envoy.service.ext_proc.v3): the
// guard of the mesh ingress looks at a request when it begins, and a stream may then last for days. Envoy tells this
// package of each request that lasts (xds: watchUnderway), by a stream that lives as long; when the admission
// changes, those whose caller may not reach the service any more are answered 403, or reset if the answer has begun.
//
//	s := underway.New(underway.Config{Self: org, Log: log})
//	s.Admit(admission)          // again whenever it changes
//	err := s.Serve(ctx, lis)    // the Unix socket that xds.Config.Underway names
//
// A node that is restarted does not know what is under way: it goes on, for as long as Envoy lets it
// (xds.Limits.MeshStream). Before the first admission nothing is ended.
package underway

import (
	"context"
	"log/slog"
	"net"
	"strings"
	"sync"
	"sync/atomic"

	extproc "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/catalyst-router/catalyst/bgp"
	"github.com/catalyst-router/catalyst/envoy/lasting"
	"github.com/catalyst-router/catalyst/xds"
)

// Config is what a Server needs; all of it is required.
type Config struct {
	Org bgp.Org // this node's
	Log *slog.Logger
}

// Server watches what is under way. It is safe for concurrent use.
type Server struct {
	extproc.UnimplementedExternalProcessorServer
	cfg   Config
	open  atomic.Int64
	ended atomic.Int64

	mu        sync.Mutex
	admission *xds.Admission // nil before the first; guarded by mu
	changed   chan struct{}  // closed when it changes, and replaced; guarded by mu
}

// New returns a server that ends nothing yet.
func New(cfg Config) *Server { return &Server{cfg: cfg, changed: make(chan struct{})} }

// Admit takes over who may reach what, and ends what may not go on by it.
func (s *Server) Admit(a xds.Admission) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.admission = &a
	close(s.changed)
	s.changed = make(chan struct{})
}

// Counts returns how many requests are watched, and how many were ended since the process began.
func (s *Server) Counts() (open, ended int64) { return s.open.Load(), s.ended.Load() }

// Serve answers Envoy until ctx ends.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	srv := grpc.NewServer()
	extproc.RegisterExternalProcessorServer(srv, s)
	stop := context.AfterFunc(ctx, srv.Stop)
	defer stop()
	return srv.Serve(l)
}

// Process implements extproc.ExternalProcessorServer for one request.
func (s *Server) Process(stream lasting.Stream) error {
	first, err := stream.Recv()
	if err != nil {
		return err
	}
	caller, leaf, svc := said(first)
	s.open.Add(1)
	defer s.open.Add(-1)
	may, changed := s.judge(caller, leaf, svc)
	if !may {
		return s.end(stream, caller, svc)
	}
	if err := stream.Send(lasting.GoOn(first)); err != nil {
		return err
	}
	more := lasting.Receive(stream)
	for {
		select {
		case m, ok := <-more:
			if !ok {
				return nil // the request is over
			}
			if err := stream.Send(lasting.GoOn(m)); err != nil {
				return err
			}
		case <-changed:
			if may, changed = s.judge(caller, leaf, svc); !may {
				return s.end(stream, caller, svc)
			}
		}
	}
}

// judge tells whether a request may go on, and when to ask again.
func (s *Server) judge(caller, leaf string, svc bgp.Service) (may bool, changed <-chan struct{}) {
	s.mu.Lock()
	a, changed := s.admission, s.changed
	s.mu.Unlock()
	return a == nil || a.Admits(s.cfg.Org, caller, leaf, svc), changed
}

// said reads who calls, by which certificate, and what: the attributes come under the name of Envoy's filter.
func said(m *extproc.ProcessingRequest) (caller, leaf string, svc bgp.Service) {
	for _, attributes := range m.GetAttributes() {
		caller, leaf = text(attributes, xds.CallerAttribute), text(attributes, xds.LeafAttribute)
		host := strings.ToLower(text(attributes, xds.ServiceAttribute))
		if name, _, err := net.SplitHostPort(host); err == nil {
			host = name
		}
		svc = bgp.Service(strings.TrimSuffix(host, "."))
	}
	return caller, leaf, svc
}

func text(s *structpb.Struct, key string) string { return s.GetFields()[key].GetStringValue() }

func (s *Server) end(stream lasting.Stream, caller string, svc bgp.Service) error {
	s.ended.Add(1)
	s.cfg.Log.Info("what is under way ends: its caller may not reach the service any more", "caller", caller, "service",
		string(svc))
	return lasting.End(stream, &extproc.ImmediateResponse{
		Status: &typev3.HttpStatus{Code: typev3.StatusCode_Forbidden}, Details: "admission_ended",
	})
}
