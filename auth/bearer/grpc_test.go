package bearer_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"

	"github.com/catalyst-router/catalyst/auth/bearer"
	"github.com/catalyst-router/catalyst/auth/revoke"
	"github.com/catalyst-router/catalyst/auth/token"
)

// guarded serves gRPC's health service behind a guard until the test ends: Check is a unary call, Watch a stream.
func guarded(t *testing.T, g *bearer.Guard) healthv1.HealthClient {
	t.Helper()
	srv := grpc.NewServer(grpc.UnaryInterceptor(g.Unary), grpc.StreamInterceptor(g.Stream))
	service := health.NewServer()
	healthv1.RegisterHealthServer(srv, service)
	lis := bufconn.Listen(1 << 16)
	var serving sync.WaitGroup
	serving.Go(func() {
		if err := srv.Serve(lis); err != nil {
			t.Error(err)
		}
	})
	conn, err := grpc.NewClient("passthrough:///guarded", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return lis.DialContext(ctx) }))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = conn.Close()
		service.Shutdown()
		srv.Stop()
		serving.Wait()
	})
	return healthv1.NewHealthClient(conn)
}

// Calls and streams of gRPC are let through by the same rules as requests of HTTP, and never told the reason.
func TestInterceptorsRefuse(t *testing.T) {
	w := newWorld(func(_ context.Context, c *token.Claims) error {
		if c.ID == "forbidden" {
			return errors.New("not this one")
		}
		return nil
	})
	c := guarded(t, w.guard)
	good := "Bearer " + mint(w.signer, claims("1", time.Hour))
	bound := claims("bound", time.Hour)
	bound.Bound = token.Thumbprint{1}
	w.revoke("revoked")
	for name, tt := range map[string]struct {
		headers []string
		want    codes.Code
	}{
		"good":          {[]string{good}, codes.OK},
		"none":          {nil, codes.Unauthenticated},
		"two":           {[]string{good, good}, codes.Unauthenticated},
		"two in one":    {[]string{good + ", " + good}, codes.Unauthenticated},
		"another kind":  {[]string{"Basic eA=="}, codes.Unauthenticated},
		"nonsense":      {[]string{"Bearer x"}, codes.Unauthenticated},
		"another key":   {[]string{"Bearer " + mint(signer(), claims("2", time.Hour))}, codes.Unauthenticated},
		"revoked":       {[]string{"Bearer " + mint(w.signer, claims("revoked", time.Hour))}, codes.Unauthenticated},
		"forbidden":     {[]string{"Bearer " + mint(w.signer, claims("forbidden", time.Hour))}, codes.PermissionDenied},
		"bound, no TLS": {[]string{"Bearer " + mint(w.signer, bound)}, codes.Unauthenticated},
	} {
		md := metadata.MD{"authorization": tt.headers}
		ctx := metadata.NewOutgoingContext(t.Context(), md)
		_, err := c.Check(ctx, &healthv1.HealthCheckRequest{})
		stream, open := c.Watch(ctx, &healthv1.HealthCheckRequest{})
		if open == nil {
			_, open = stream.Recv()
		}
		for kind, err := range map[string]error{"a call": err, "a stream": open} {
			if status.Code(err) != tt.want {
				t.Errorf("%s, %s: %v, want %s", name, kind, err, tt.want)
			}
			if text := status.Convert(err).Message(); strings.Contains(text, "revoked") || strings.Contains(text, "not this") {
				t.Errorf("%s, %s: it is told why: %s", name, kind, text)
			}
		}
	}
}

// deaf is a stream on which nothing comes until it ends.
type deaf struct {
	grpc.ServerStream
	ctx context.Context
}

func (d deaf) Context() context.Context { return d.ctx }

func (d deaf) RecvMsg(any) error { <-d.ctx.Done(); return d.ctx.Err() }

// A handler that waits for a message does not keep a stream open whose token is revoked, and is waited for.
func TestHandlersAreWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(nil)
		md := metadata.Pairs("authorization", "Bearer "+mint(w.signer, claims("1", time.Hour)))
		ctx, end := context.WithCancel(metadata.NewIncomingContext(t.Context(), md))
		handled := false
		ended := make(chan error, 1)
		go func() {
			ended <- w.guard.Stream(nil, deaf{ctx: ctx}, nil, func(_ any, s grpc.ServerStream) error {
				err := s.RecvMsg(nil)
				handled = true
				return err
			})
		}()
		synctest.Wait()
		w.revoke("1")
		if err := <-ended; status.Code(err) != codes.Unauthenticated || handled {
			t.Errorf("the stream: %v, its handler returned: %t", err, handled)
		}
		end() // as gRPC does when the stream is over
		w.guard.Wait()
		if !handled {
			t.Error("the handler is not waited for")
		}
	})
}

// An open stream of gRPC ends when its token expires, to the second, and when it is revoked; another goes on.
func TestStreamsEndWithTheirTokens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(nil)
		c := guarded(t, w.guard)
		open := func(id string, life time.Duration) (healthv1.Health_WatchClient, func()) {
			t.Helper()
			ctx, cancel := context.WithCancel(metadata.NewOutgoingContext(t.Context(),
				metadata.Pairs("authorization", "Bearer "+mint(w.signer, claims(id, life)))))
			s, err := c.Watch(ctx, &healthv1.HealthCheckRequest{})
			if err == nil {
				_, err = s.Recv()
			}
			if err != nil {
				t.Fatal(err)
			}
			return s, cancel
		}
		ends := func(what string, s healthv1.Health_WatchClient, after time.Duration) {
			t.Helper()
			began := time.Now()
			if _, err := s.Recv(); status.Code(err) != codes.Unauthenticated {
				t.Errorf("%s: %v", what, err)
			}
			if took := time.Since(began); took < after || took > after+time.Second {
				t.Errorf("%s: it ended after %s, want %s", what, took, after)
			}
		}
		revoked, end := open("revoked", time.Hour)
		defer end()
		short, endShort := open("short", 40*time.Second)
		defer endShort()
		other, endOther := open("other", time.Hour)
		w.revoke("revoked")
		ends("revoked", revoked, 0)
		ends("expired", short, 40*time.Second)
		synctest.Wait()
		if other.Context().Err() != nil {
			t.Error("another stream ended")
		}
		endOther()
		if _, err := other.Recv(); status.Code(err) != codes.Canceled {
			t.Errorf("the other was ended by its caller: %v", err)
		}
		synctest.Wait()
	})
}

// teller answers for an issuer's /v1/revocations.
type teller struct {
	signer *token.Signer

	mu      sync.Mutex
	entries []revoke.Entry // guarded by mu
	away    bool           // guarded by mu
	asked   []time.Time    // guarded by mu
}

// RoundTrip implements http.RoundTripper.
func (k *teller) RoundTrip(r *http.Request) (*http.Response, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.asked = append(k.asked, time.Now())
	if k.away {
		return nil, errors.New("nobody answers")
	}
	after, err := strconv.Atoi(r.URL.Query().Get("after"))
	if err != nil {
		return nil, err
	}
	upTo := min(len(k.entries), after+revoke.MaxEntries)
	d := &revoke.Delta{Issuer: issuer, After: int64(after), Seq: int64(upTo), Issued: time.Now().Unix(), Interval: 5,
		Entries: k.entries[after:upTo]}
	raw, err := revoke.Sign(d, k.signer)
	return &http.Response{StatusCode: http.StatusOK, Body: io.NopCloser(strings.NewReader(raw)), Request: r}, err
}

func (k *teller) revoke(ids ...string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, id := range ids {
		k.entries = append(k.entries, revoke.Entry{Seq: int64(len(k.entries) + 1), Kind: revoke.Token, Value: id,
			Expires: time.Now().Add(time.Hour).Unix()})
	}
}

func (k *teller) be(away bool) { k.mu.Lock(); defer k.mu.Unlock(); k.away = away }

// A service that polls knows what was revoked within a second, all of it however much there is; while nobody answers
// it goes by what it knows for as long as that is fresh, and then nothing passes until it is answered again.
func TestFeedOfRevocations(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := &teller{signer: signer()}
		trusted := &token.Issuer{Name: issuer, Keys: token.KeySet{k.signer.Key().ID: k.signer.Key()}}
		feed := bearer.NewFeed(bearer.FeedConfig{URL: "https://auth.acme.example/v1/revocations", Issuer: trusted,
			Transport: k})
		check := func(id string) token.Reason {
			return token.ReasonOf(feed.Set().Check(&token.Claims{ID: id, Issuer: issuer}, time.Now()))
		}
		if got := check("1"); got != token.Stale {
			t.Errorf("before anything was heard: %s", got)
		}
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() {
			if err := feed.Run(ctx); err != nil {
				t.Error(err)
			}
		})
		defer running.Wait()
		defer cancel()
		synctest.Wait()
		if got := check("1"); got != "" {
			t.Errorf("nothing is revoked: %s", got)
		}
		k.revoke("1")
		time.Sleep(time.Second)
		synctest.Wait()
		if got := check("1"); got != token.Revoked {
			t.Errorf("a second later: %q", got)
		}
		many := make([]string, 2*revoke.MaxEntries+10)
		for i := range many {
			many[i] = "m" + strconv.Itoa(i)
		}
		k.revoke(many...)
		time.Sleep(time.Second)
		synctest.Wait()
		if got := check(many[len(many)-1]); got != token.Revoked {
			t.Errorf("the last of many, a second later: %q", got)
		}
		k.be(true)
		time.Sleep(40 * time.Second)
		if got := check("2"); got != "" {
			t.Errorf("while what is known is fresh: %q", got)
		}
		time.Sleep(20 * time.Second)
		if got := check("2"); got != token.Stale {
			t.Errorf("when it is not any more: %q", got)
		}
		k.be(false)
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if got := check("2"); got != "" {
			t.Errorf("answered again: %q", got)
		}
		k.mu.Lock()
		k.signer = signer() // somebody else answers
		k.mu.Unlock()
		k.revoke("3")
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if got := check("3"); got != "" {
			t.Errorf("the word of a stranger: %q", got)
		}
	})
}
