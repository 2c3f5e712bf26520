package attested

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"log/slog"
	"testing"

	"github.com/catalyst-router/catalyst/bgp/attest"
	"github.com/catalyst-router/catalyst/bgp/speaker"
)

// router notes the keys that it is given.
type router struct{ keys []string }

func (r *router) Do(_ context.Context, ev speaker.Event) error {
	if k, ok := ev.(speaker.AttestKeys); ok {
		all, err := attest.ParseKeys(k.Keys)
		if err != nil {
			return err
		}
		r.keys = nil
		for _, key := range all {
			r.keys = append(r.keys, key.ID)
		}
	}
	return nil
}

func (r *router) Query(context.Context, func(*speaker.Speaker)) error { return nil }

func (r *router) KeepAttested(context.Context, func(attest.Held) error) error { return nil }

// The keys that came with a bundle count where no operator gave others, and again when he takes his back; what was
// there before the router was is told when it is restored.
func TestKeysByHandWin(t *testing.T) {
	pair, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	keys := func(ids ...string) (all []attest.Key) {
		for _, id := range ids {
			all = append(all, attest.Key{ID: id, Public: &pair.PublicKey})
		}
		return all
	}
	hand, err := attest.FormatKeys(keys("by-hand"))
	if err != nil {
		t.Fatal(err)
	}
	ctx, dir, r := t.Context(), t.TempDir(), &router{}
	early := Keeper{Dir: dir, Log: slog.New(slog.DiscardHandler)}
	if err := early.Federate(ctx, "acme.example", keys("bundled")); err != nil {
		t.Fatal(err)
	}
	k := Keeper{Dir: dir, Router: r, Log: early.Log}
	for _, tt := range []struct {
		what string
		do   func() error
		want string
	}{
		{"restored", func() error { return k.Restore(ctx) }, "bundled"},
		{"given by hand", func() error { return k.Trust(ctx, "acme.example", hand) }, "by-hand"},
		{"another bundle", func() error { return k.Federate(ctx, "acme.example", keys("newer")) }, "by-hand"},
		{"restored again", func() error { return k.Restore(ctx) }, "by-hand"},
		{"taken back", func() error { return k.Trust(ctx, "acme.example", nil) }, "newer"},
		{"the peering ends", func() error { return k.Federate(ctx, "acme.example", nil) }, ""},
	} {
		if err := tt.do(); err != nil {
			t.Fatalf("%s: %v", tt.what, err)
		}
		got := ""
		if len(r.keys) > 0 {
			got = r.keys[0]
		}
		if got != tt.want {
			t.Errorf("%s: key %q is in force, want %q", tt.what, got, tt.want)
		}
	}
}
