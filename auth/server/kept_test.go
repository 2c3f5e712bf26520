package server_test

import (
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/catalyst-router/catalyst/auth/keys"
	"github.com/catalyst-router/catalyst/auth/service"
	"github.com/catalyst-router/catalyst/auth/store"
	"github.com/catalyst-router/catalyst/auth/token"
)

// A key is in the store before it signs: a rotation that fails at whatever write leaves the former key signing, and
// whoever starts over the store then, as after a crash, verifies every token that was answered.
func TestAKeyIsKeptBeforeItSigns(t *testing.T) {
	dir := t.TempDir()
	broken := errors.New("the disk is full")
	left := -1 // statements until the store fails; negative for never
	svc, err := crashService(t.Context(), dir, store.Steps(func(string) error {
		if left == 0 {
			return broken
		}
		left--
		return nil
	}))
	if err != nil {
		t.Fatal(err)
	}
	former := svc.Keys()[slices.IndexFunc(svc.Keys(), func(k *keys.Key) bool { return k.Slot == keys.Current })].ID()
	mint := service.MintRequest{Principal: token.User, Subject: "ada", Audience: []string{org}}
	for step, rotated := 0, false; !rotated; step++ {
		if step > 50 {
			t.Fatal("it is never rotated")
		}
		left = step
		_, err := svc.RotateKeys(t.Context(), service.Owner(), keys.How{Immediate: true})
		left = -1
		rotated = err == nil
		raw, _, err := svc.Mint(t.Context(), service.Owner(), mint)
		if err != nil {
			t.Fatal(err)
		}
		ctx, end := context.WithCancel(t.Context())
		again, err := crashService(ctx, dir)
		if err != nil {
			t.Fatal(err)
		}
		c, err := again.Verifier().Verify(t.Context(), raw, token.Thumbprint{})
		end()
		if err != nil {
			t.Fatalf("after %d writes of a rotation (%t) a token was signed by a key that is not kept: %v", step, rotated, err)
		}
		if !rotated && c.KeyID != former {
			rotated = true // it was committed, and the answer was lost
		}
		if rotated && c.KeyID == former {
			t.Error("the former key signs after the rotation")
		}
	}
}
