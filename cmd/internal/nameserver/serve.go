package nameserver

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/miekg/dns"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"golang.org/x/net/netutil"
	"golang.org/x/sync/errgroup"
)

// Bounds of what clients may take.
const (
	maxConns = 256             // TCP connections at once
	maxAsked = 128             // questions of one of them
	patience = 5 * time.Second // for a question, and to take an answer
)

// Listener is where names are asked, over UDP and TCP at one address.
type Listener struct {
	udp net.PacketConn
	tcp net.Listener
}

// Listen opens both, or none.
func Listen(ctx context.Context, address string) (*Listener, error) {
	var lc net.ListenConfig
	udp, err := lc.ListenPacket(ctx, "udp", address)
	if err != nil {
		return nil, fmt.Errorf("dns: %w", err)
	}
	tcp, err := lc.Listen(ctx, "tcp", udp.LocalAddr().String())
	if err != nil {
		return nil, errors.Join(fmt.Errorf("dns: %w", err), udp.Close())
	}
	return &Listener{udp, tcp}, nil
}

// Addr is the address of both.
func (l *Listener) Addr() net.Addr { return l.udp.LocalAddr() }

// Close closes both.
func (l *Listener) Close() error { return errors.Join(l.udp.Close(), l.tcp.Close()) }

// serve answers until ctx ends.
func (s *Server) serve(ctx context.Context, l *Listener) error {
	servers := []*dns.Server{
		{PacketConn: l.udp, UDPSize: largest},
		{Listener: netutil.LimitListener(l.tcp, maxConns), MaxTCPQueries: maxAsked,
			IdleTimeout: func() time.Duration { return patience }},
	}
	tasks, ctx := errgroup.WithContext(ctx)
	for _, srv := range servers {
		udp := srv.PacketConn != nil
		srv.ReadTimeout, srv.WriteTimeout = patience, patience
		srv.Handler = dns.HandlerFunc(func(w dns.ResponseWriter, req *dns.Msg) { s.answer(ctx, w, req, udp) })
		started, ended := make(chan struct{}), make(chan struct{})
		srv.NotifyStartedFunc = func() { close(started) }
		tasks.Go(func() error {
			defer close(ended)
			if err := srv.ActivateAndServe(); err != nil && ctx.Err() == nil {
				return fmt.Errorf("dns: %w", err)
			}
			return nil
		})
		tasks.Go(func() error {
			<-ctx.Done()
			select {
			case <-started: // before that Shutdown finds nothing to end
			case <-ended:
				return nil
			}
			ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
			defer cancel()
			_ = srv.ShutdownContext(ending)
			return nil
		})
	}
	return tasks.Wait()
}

func (s *Server) answer(ctx context.Context, w dns.ResponseWriter, req *dns.Msg, udp bool) {
	out := s.zones.respond(req, udp)
	if out.Rcode == dns.RcodeServerFailure && s.wake(ctx, req) {
		out = s.zones.respond(req, udp)
	}
	s.metrics.answered(out.Rcode)
	_ = w.WriteMsg(out) // the client asks again, or has gone
}

// metrics are the figures of answers. Names are those of docs/dns.md.
type metrics struct {
	answers metric.Int64Counter
	byCode  [16]metric.MeasurementOption
}

func newMetrics(m metric.Meter) (*metrics, error) {
	x := &metrics{}
	for code := range x.byCode {
		word := dns.RcodeToString[code]
		if word == "" {
			word = "other"
		}
		x.byCode[code] = metric.WithAttributeSet(attribute.NewSet(attribute.String("rcode", word)))
	}
	var err error
	x.answers, err = m.Int64Counter("catalyst.dns.answers", metric.WithDescription("answers of names, by {rcode}"))
	return x, err
}

func (x *metrics) answered(code int) {
	x.answers.Add(context.Background(), 1, x.byCode[code&0xf])
}
