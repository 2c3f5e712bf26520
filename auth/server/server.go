// Package server is the network of an organisation's identity service: OAuth's endpoints and an administration API
// over HTTP, and joining, renewal and the feed of revocations over gRPC, all on one port over TLS 1.3. On the
// service's own Unix socket the same HTTP is served to its owner.
//
//	srv := server.New(server.Config{Service: svc, Hosts: []string{"127.0.0.1"}, Log: log})
//	err = srv.Serve(ctx, tcpListener, unixListener)   // blocks
package server

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"

	"github.com/catalyst-router/catalyst/auth/service"
	"github.com/catalyst-router/catalyst/auth/token"
	"github.com/catalyst-router/catalyst/auth/wire/authv1"
)

// Config is what a server needs.
type Config struct {
	Service *service.Service // required
	// Hosts are the names and IP addresses under which clients that go by them know the service; its certificate has
	// them.
	Hosts []string
	// Followers is a directory with ORGANISATION.bundle.pem of other organisations: their nodes may follow what this one
	// revokes and its token keys, and nothing else. It is read again when it changes; "" for none.
	Followers string
	Log       *slog.Logger // required
}

const (
	serverLife = 24 * time.Hour // of the service's own certificate, which it signs itself and renews at half of it
	maxBody    = 64 << 10
	verified   = 4096 // certificates that are remembered as verified
	headerTime = 10 * time.Second
)

// Server serves one identity service.
type Server struct {
	cfg  Config
	grpc *grpc.Server
	mux  *http.ServeMux
	good *lru.Cache[token.Thumbprint, time.Time] // until when a chain was found to be good

	followers followers

	mu   sync.Mutex
	cert *tls.Certificate // guarded by mu; the service's own
	root string           // guarded by mu; the roots that it was made under
}

// New returns a server.
func New(cfg Config) *Server {
	s := &Server{
		cfg: cfg, grpc: grpc.NewServer(grpc.MaxRecvMsgSize(256 << 10)), followers: followers{dir: cfg.Followers},
	}
	s.good, _ = lru.New[token.Thumbprint, time.Time](verified) // fails on sizes below 1 only
	authv1.RegisterIdentityServer(s.grpc, &identity{Server: s})
	s.mux = s.routes()
	return s
}

// Serve serves until ctx ends: the network, and the owner on a Unix socket; nil for neither.
func (s *Server) Serve(ctx context.Context, network, owner net.Listener) error {
	g, ctx := errgroup.WithContext(ctx)
	if network != nil {
		if _, err := s.certificate(); err != nil {
			return err
		}
		g.Go(func() error {
			return serve(ctx, tls.NewListener(network, s.TLS()), http.HandlerFunc(s.serveNetwork))
		})
	}
	if owner != nil {
		g.Go(func() error { return serve(ctx, owner, s.Owner()) })
	}
	return g.Wait()
}

func serve(ctx context.Context, l net.Listener, h http.Handler) error {
	srv := &http.Server{
		Handler: h, ReadHeaderTimeout: headerTime, MaxHeaderBytes: 32 << 10,
		BaseContext: func(net.Listener) context.Context { return ctx },
		ErrorLog: slog.NewLogLogger(slog.DiscardHandler,
			slog.LevelDebug), // a handshake that fails is the client's business
	}
	stop := context.AfterFunc(ctx, func() { _ = srv.Close() })
	defer stop()
	if err := srv.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve %s: %w", l.Addr(), err)
	}
	return nil
}

// Owner is the HTTP that the owner of the socket, or of the files, is served.
func (s *Server) Owner() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mux.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), ownerKey{}, true)))
	})
}

type ownerKey struct{}

func (s *Server) serveNetwork(w http.ResponseWriter, r *http.Request) {
	if r.ProtoMajor == 2 && strings.HasPrefix(r.Header.Get("Content-Type"), "application/grpc") {
		s.grpc.ServeHTTP(w, r)
		return
	}
	s.mux.ServeHTTP(w, r)
}

// TLS is the configuration of the network's listener. A client may show a certificate; whether it is believed depends
// on what it asks for.
func (s *Server) TLS() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS13, CurvePreferences: []tls.CurveID{tls.X25519MLKEM768, tls.X25519, tls.CurveP256},
		NextProtos: []string{"h2", "http/1.1"}, ClientAuth: tls.RequestClientCert, SessionTicketsDisabled: true,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return s.certificate() },
	}
}

// certificate returns the service's own certificate, with the root behind it for those who know it by its pin. It is
// made anew at half its life, and when the authority changes.
func (s *Server) certificate() (*tls.Certificate, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	roots := string(s.cfg.Service.OwnRoot())
	if s.cert != nil && s.root == roots && time.Until(s.cert.Leaf.NotAfter) > serverLife/2 {
		return s.cert, nil
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("generate the service's key: %w", err)
	}
	svid, err := s.cfg.Service.IssueService(key.Public(), s.cfg.Hosts, serverLife)
	if err != nil {
		if s.cert != nil {
			s.cfg.Log.Error("the service's certificate could not be renewed", "error", err)
			return s.cert, nil
		}
		return nil, err
	}
	chain := svid.Chain
	block, _ := pem.Decode(s.cfg.Service.OwnRoot())
	s.cert = &tls.Certificate{Certificate: append(chain, block.Bytes), PrivateKey: key, Leaf: svid.Leaf}
	s.root = roots
	return s.cert, nil
}

// leafOf returns the leaf that a client showed, if its chain leads to one of the organisation's roots and it is not
// revoked.
func (s *Server) leafOf(state *tls.ConnectionState) (*x509.Certificate, error) {
	if state == nil || len(state.PeerCertificates) == 0 {
		return nil, errors.New("this wants a certificate")
	}
	leaf, now := state.PeerCertificates[0], time.Now()
	if err := s.cfg.Service.Revocations().CheckCertificate(leaf); err != nil {
		return nil, err
	}
	print := token.ThumbprintOf(leaf)
	if until, ok := s.good.Get(print); ok && now.Before(until) {
		return leaf, nil
	}
	between := x509.NewCertPool()
	for _, c := range state.PeerCertificates[1:] {
		between.AddCert(c)
	}
	_, err := leaf.Verify(x509.VerifyOptions{
		Roots: s.cfg.Service.Pool(), Intermediates: between, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
	if err == nil && (leaf.IsCA || leaf.KeyUsage&x509.KeyUsageDigitalSignature == 0) {
		err = errors.New("it is not a leaf that may sign")
	}
	if err != nil {
		return nil, fmt.Errorf("the certificate: %w", err)
	}
	until := now.Add(time.Minute) // roots change: not for long
	if leaf.NotAfter.Before(until) {
		until = leaf.NotAfter
	}
	s.good.Add(print, until)
	return leaf, nil
}

// shownBy is the certificate whose key a connection proved, whoever signed it; the zero value for none.
func shownBy(r *http.Request) (shown token.Thumbprint) {
	if r.TLS != nil && len(r.TLS.PeerCertificates) > 0 {
		shown = token.ThumbprintOf(r.TLS.PeerCertificates[0])
	}
	return shown
}

// Certificate is the service's own, which it shows to those whom it asks as well.
func (s *Server) Certificate() (*tls.Certificate, error) { return s.certificate() }

// caller finds out who asks.
func (s *Server) caller(r *http.Request) (service.Caller, error) {
	if r.Context().Value(ownerKey{}) != nil {
		return service.Owner(), nil
	}
	shown := shownBy(r)
	switch values := r.Header.Values("Authorization"); {
	case len(values) > 1:
		return service.Caller{}, errors.New("more than one Authorization header")
	case len(values) == 1:
		scheme, raw, _ := strings.Cut(values[0], " ")
		if !strings.EqualFold(scheme, "Bearer") {
			return service.Caller{}, errors.New("the Authorization header must be a bearer token")
		}
		return s.cfg.Service.CallerBy(r.Context(), raw, shown)
	}
	leaf, err := s.leafOf(r.TLS)
	if err != nil {
		return service.Caller{}, err
	}
	return s.cfg.Service.CallerOf(leaf)
}
