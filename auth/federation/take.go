package federation

import (
	"context"
	"errors"
	"fmt"

	"github.com/catalyst-router/catalyst/auth/bundle"
	"github.com/catalyst-router/catalyst/bgp"
)

// Why a bundle is not taken.
//
//nolint:gochecknoglobals // sentinels
var (
	ErrOlder       = errors.New("it is older than the one that is held")
	ErrContradicts = errors.New("it has the sequence of the one that is held, and other keys")
	ErrNoRoots     = errors.New("it has keys, and no root")
	ErrNoPeering   = errors.New("there is no peering with that organisation")
)

// Take takes over a newer bundle of an organisation, and tells whether it changed anything. A lower sequence, or
// other keys under the same one, never replaces what is held. A document without a sequence is taken for what it is,
// from an endpoint alone, where TLS proves that it is served now. One without any key is taken only with a higher
// sequence: the organisation has withdrawn everything.
func (b *Book) Take(ctx context.Context, fresh *bundle.Bundle, by string) (bool, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	old := b.peerings[fresh.Org]
	if old == nil {
		return false, ErrNoPeering
	}
	digest := fresh.Digest()
	held := old.Trust
	switch {
	case held.Digest == digest && fresh.Sequence <= held.Sequence:
		return false, nil // the same, or an older number of the same
	case fresh.Sequence == 0 && by != ByPoll:
		return false, fmt.Errorf("%w: it has no sequence", ErrOlder)
	case fresh.Sequence != 0 && fresh.Sequence < held.Sequence:
		return false, fmt.Errorf("%w: sequence %d, and %d is held", ErrOlder, fresh.Sequence, held.Sequence)
	case fresh.Sequence != 0 && fresh.Sequence == held.Sequence && held.Digest != "":
		return false, fmt.Errorf("%w: %d", ErrContradicts, fresh.Sequence)
	case len(fresh.Roots) == 0 && (len(fresh.TokenKeys)+len(fresh.Skipped) > 0 || fresh.Sequence <= held.Sequence):
		return false, ErrNoRoots
	}
	trust, err := trustOf(fresh, by, b.cfg.Now())
	if err != nil {
		return false, err
	}
	if held.Digest == digest {
		trust.Since = held.Since
	}
	p := *old
	p.Trust = trust
	if err := b.save(ctx, &p); err != nil {
		return false, err
	}
	if held.Digest != digest {
		b.audit(Event{
			Action: "trust",
			Org:    fresh.Org,
			Kind:   by,
			Text:   fmt.Sprintf("sequence %d, roots %v", fresh.Sequence, fresh.Pins()),
		})
	}
	return held.Digest != digest, nil
}

// Held returns an organisation's bundle as it is held; nil if there is none.
func (b *Book) Held(org bgp.Org) *bundle.Bundle {
	p := b.Peering(org)
	if p == nil {
		return nil
	}
	held, err := p.Trust.Bundle(org)
	if err != nil {
		b.cfg.Log.Error("the bundle that is kept cannot be read", "organisation", string(org), "error", err)
		return nil
	}
	return held
}
