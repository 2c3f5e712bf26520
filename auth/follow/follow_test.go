package follow

import (
	"context"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/catalyst-router/catalyst/auth/wire/authv1"
)

// brief is an identity service that ends each stream with the certificate that was shown, after life. It answers
// once a second until then.
type brief struct {
	authv1.IdentityClient
	grpc.ClientStream
	ctx  context.Context
	life time.Duration
	ends time.Time
}

func (b brief) Follow(ctx context.Context, _ ...grpc.CallOption) (
	grpc.BidiStreamingClient[authv1.FollowRequest, authv1.FollowReply], error) {
	b.ctx, b.ends = ctx, time.Now().Add(b.life)
	return &b, nil
}

func (b *brief) Send(*authv1.FollowRequest) error { return nil }

func (b *brief) Recv() (*authv1.FollowReply, error) {
	time.Sleep(time.Second) // of the bubble's clock
	if b.ctx.Err() != nil {
		return nil, b.ctx.Err()
	}
	if !time.Now().Before(b.ends) {
		return nil, status.Error(codes.Unauthenticated, "the certificate has ended")
	}
	return &authv1.FollowReply{}, nil
}

// A stream ends with the certificate that was shown for it. That is no fault: the next is begun at once, and nobody is
// told that the feed is down. A service that takes no certificate at all is a fault.
func TestAStreamEndsWithItsCertificate(t *testing.T) {
	for name, tt := range map[string]struct {
		life  time.Duration
		dials int // in ten minutes
		down  bool
	}{
		"a minute": {time.Minute, 10, false},
		"none":     {0, 60, true}, // every ten seconds or so
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var said strings.Builder
				dials := 0
				f := New(Config{Issuer: issuer, Org: "acme.example", Log: slog.New(slog.NewTextHandler(&said, nil)),
					Connect: func(context.Context) (authv1.IdentityClient, func(), error) {
						dials++
						return brief{life: tt.life}, func() {}, nil
					}})
				runs(t, f, func() { time.Sleep(10*time.Minute - time.Millisecond) })
				if down := strings.Contains(said.String(), "is down"); down != tt.down || (f.Err() != nil) != tt.down {
					t.Errorf("down: %v, %t, want %t; log:\n%s", f.Err(), down, tt.down, said.String())
				}
				if dials < tt.dials*4/5 || dials > tt.dials*6/5 {
					t.Errorf("%d dials, want about %d", dials, tt.dials)
				}
			})
		})
	}
}
