package probe

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"syscall"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	health "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	"github.com/catalyst-router/catalyst/bgp"
)

// maxAnswer bounds what is read of an answer: its status is what counts.
const maxAnswer = 64 << 10

// Answer is what a workload says besides that it is well.
type Answer struct {
	// KeepAlive is how long it keeps a connection without a request (`Keep-Alive: timeout=5`); 0 if it does not say.
	KeepAlive time.Duration
}

// Ask does one check, on a connection of its own: one that was opened long ago says nothing of whether new ones are
// taken. A nil error is success.
func (a Asker) Ask(ctx context.Context, t Target) (Answer, error) {
	switch t.Check.Kind {
	case HTTP:
		return a.askHTTP(ctx, t)
	case GRPC:
		return Answer{}, a.askGRPC(ctx, t)
	case None, TCP:
	}
	return Answer{}, a.askTCP(ctx, t)
}

// keptFor reads how long an HTTP/1 workload says that it keeps connections: `Keep-Alive: timeout=5, max=100`
// (RFC 2068 §19.7.1.1). What is not a number of seconds is as if it were not said.
func keptFor(h http.Header) time.Duration {
	for part := range strings.SplitSeq(strings.Join(h.Values("Keep-Alive"), ","), ",") {
		text, ok := strings.CutPrefix(strings.ToLower(strings.TrimSpace(part)), "timeout=")
		if seconds, err := strconv.ParseUint(text, 10, 31); ok && err == nil && seconds > 0 {
			return time.Duration(seconds) * time.Second
		}
	}
	return 0
}

func (a Asker) askTCP(ctx context.Context, t Target) error {
	conn, err := a.dial(ctx, &t)
	if err != nil {
		return errors.New(refusal(err))
	}
	return conn.Close()
}

// otherAfter is how long the second family waits for the first (RFC 8305 §5, Connection Attempt Delay).
const otherAfter = 250 * time.Millisecond

// Dial connects to a workload as Envoy does: at its first address, and at that of the other family ("" for none) when
// the first refuses or does not answer soon.
func Dial(ctx context.Context, address, other string) (net.Conn, error) {
	if other == "" {
		return new(net.Dialer).DialContext(ctx, "tcp", address)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	type result struct {
		conn net.Conn
		err  error
	}
	results := make(chan result, 2)
	refused := make(chan struct{})
	go func() {
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", address)
		if err != nil {
			close(refused)
		}
		results <- result{conn, err}
	}()
	go func() {
		timer := time.NewTimer(otherAfter)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-refused:
		case <-ctx.Done():
		}
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", other)
		results <- result{conn, err}
	}()
	var first net.Conn
	var errs [2]error
	for i := range 2 { // both end: the one that is not needed with ctx
		r := <-results
		switch {
		case r.err != nil:
			errs[i] = r.err
		case first == nil:
			first = r.conn
			cancel()
		default:
			_ = r.conn.Close()
		}
	}
	if first != nil {
		return first, nil
	}
	return nil, errors.Join(errs[:]...)
}

// askHTTP asks under the service's own name, since a strict workload refuses another. It does not send "Connection:
// close", so that the workload says in its answer how long it keeps a connection open (keptFor).
func (a Asker) askHTTP(ctx context.Context, t Target) (Answer, error) {
	transport := &http.Transport{
		DisableCompression:     true,
		MaxResponseHeaderBytes: maxAnswer,
		Protocols:              new(http.Protocols),
	}
	if t.Protocol == bgp.HTTP2 || t.Protocol == bgp.GRPC {
		transport.Protocols.SetUnencryptedHTTP2(true)
	} else {
		transport.Protocols.SetHTTP1(true)
	}
	transport.DialContext = func(ctx context.Context,
		_, _ string) (net.Conn, error) {
		return a.dial(ctx, &t)
	}
	defer transport.CloseIdleConnections()
	path, err := url.ParseRequestURI(t.Check.Argument)
	if err != nil {
		return Answer{}, fmt.Errorf("health: path %q: %w", t.Check.Argument, err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+t.Address+path.RequestURI(), nil)
	if err != nil {
		return Answer{}, err
	}
	req.Host = string(t.Service)
	req.Header.Set("User-Agent", "catalyst-health")
	resp, err := transport.RoundTrip(req)
	if err != nil {
		return Answer{}, fmt.Errorf("GET %s: %s", t.Check.Argument, refusal(err))
	}
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, maxAnswer))
	_ = resp.Body.Close()
	if resp.StatusCode < 200 || resp.StatusCode > 399 {
		return Answer{}, fmt.Errorf("GET %s: %s", t.Check.Argument, resp.Status)
	}
	if resp.ProtoMajor == 1 && !resp.Close {
		return Answer{KeepAlive: keptFor(resp.Header)}, nil
	}
	return Answer{}, nil
}

func (a Asker) askGRPC(ctx context.Context, t Target) error {
	cc, err := grpc.NewClient("passthrough:///"+t.Address, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithAuthority(string(t.Service)),
		grpc.WithContextDialer(func(ctx context.Context,
			_ string) (net.Conn, error) {
			return a.dial(ctx, &t)
		}),
		grpc.WithDisableServiceConfig(), grpc.WithDisableRetry(), grpc.WithNoProxy(), grpc.WithUserAgent("catalyst-health"))
	if err != nil {
		return err
	}
	defer func() { _ = cc.Close() }()
	resp, err := health.NewHealthClient(cc).Check(ctx, &health.HealthCheckRequest{Service: t.Check.Argument})
	if err != nil {
		return fmt.Errorf("grpc.health.v1: %s: %s", status.Code(err), status.Convert(err).Message())
	}
	if resp.GetStatus() != health.HealthCheckResponse_SERVING {
		return fmt.Errorf("grpc.health.v1: %s", resp.GetStatus())
	}
	return nil
}

// refusal says why a connection was not made, without the addresses that differ from try to try.
func refusal(err error) string {
	var errno syscall.Errno
	if errors.As(err, &errno) {
		return errno.Error()
	}
	var dns *net.DNSError
	if errors.As(err, &dns) {
		return dns.Error()
	}
	return err.Error()
}
