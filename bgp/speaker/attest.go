package speaker

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/catalyst-router/catalyst/bgp"
	"github.com/catalyst-router/catalyst/bgp/attest"
)

// AttestKeys says which keys an organisation signs what it attests with, as a JSON Web Key Set (attest.ParseKeys); with
// none it is not trusted any more. Keys that cannot be read change nothing.
type AttestKeys struct {
	Org  bgp.Org
	Keys []byte
}

// AttestSet enters what an organisation attests, as an operator or a restart brings it. It is judged as if a peer had
// sent it.
type AttestSet struct {
	Signed []byte
	Chunks [][]byte
}

// AttestPath enters a signed path that was held before. One that does not count any more is passed over.
type AttestPath struct{ Signed [][]byte }

func (AttestKeys) event() {}
func (AttestPath) event() {}
func (AttestSet) event()  {}

// Attested tells of a set that counts from now on for its organisation, for whoever keeps it. The bytes are not to be
// changed.
type Attested struct {
	Org    bgp.Org
	Serial uint64
	Signed []byte
	Chunks [][]byte
	From   bgp.NodeID // the peer that sent it; zero for an operator
}

// AttestRefused tells of a set that was not taken.
type AttestRefused struct {
	From bgp.NodeID // the peer that sent it; zero for an operator
	Err  error
}

func (Attested) effect()      {}
func (AttestRefused) effect() {}

// attestLooks is what one signature to be checked costs of a peer's budget: about 40 a second are checked for it.
const attestLooks = 5000

// attestOut is a message that a peer is owed.
type attestOut struct {
	org bgp.Org
	// path is that of a *bgp.Hops; "" for a *bgp.Attest
	path string
	msg  bgp.Message
}

// attestKeys replaces an organisation's keys. Sets that came before the keys are asked for again.
func (s *Speaker) attestKeys(now time.Time, ev AttestKeys) {
	keys, err := attest.ParseKeys(ev.Keys)
	if err != nil {
		s.emit(AttestRefused{Err: fmt.Errorf("keys of %s: %w", ev.Org, err)})
		return
	}
	store := s.table.Attested()
	changed := store.SetKeys(now, ev.Org, keys)
	s.attestAt = store.NextChange(now)
	if changed {
		s.table.Revalidate()
	}
	s.hopsChanged()
	signsPaths := slices.ContainsFunc(keys, func(k attest.Key) bool { return k.Path })
	if store.Knows(ev.Org) && !signsPaths || len(keys) == 0 {
		return
	}
	for _, p := range s.order {
		if p.session != nil && p.caps.Attest {
			s.emit(Send{p.session.id, &bgp.Refresh{}})
		}
	}
}

func (s *Speaker) attestSet(now time.Time, ev AttestSet) {
	in, err := s.table.Attested().Begin(now, ev.Signed)
	for i := 0; err == nil && i < len(ev.Chunks); i++ {
		err = in.Chunk(ev.Chunks[i])
	}
	if err == nil {
		err = s.table.Attested().Finish(now, in)
	}
	if err != nil {
		s.emit(AttestRefused{Err: err})
		return
	}
	s.attested(now, in.Org(), nil)
}

// attested does what follows when a new set counts: routes are judged again, and peers hear of it.
func (s *Speaker) attested(now time.Time, org bgp.Org, from *peer) {
	store := s.table.Attested()
	h, _ := store.Held(org)
	ev := Attested{Org: org, Serial: h.Serial, Signed: h.Signed, Chunks: h.Chunks}
	if from != nil {
		ev.From = from.cfg.Node
	}
	s.emit(ev)
	s.attestAt = store.NextChange(now)
	s.table.Revalidate()
	for _, p := range s.order {
		if p != from {
			s.oweSet(p, &h)
		}
	}
	s.hopsChanged()
}

// oweAttested queues all sets for a peer whose session has just come up.
func (s *Speaker) oweAttested(p *peer) {
	store := s.table.Attested()
	for _, org := range store.Orgs() {
		if h, _ := store.Held(org); h.Active {
			s.oweSet(p, &h)
		}
	}
	s.owePaths(p)
}

// oweSet queues a set for a peer, in the place of one of the same organisation that still waits.
func (s *Speaker) oweSet(p *peer, h *attest.Held) {
	if p.session == nil || !p.caps.Attest || h.Org == p.cfg.Node.Org && s.external(p) {
		return
	}
	p.owes = slices.DeleteFunc(p.owes, func(o attestOut) bool { return o.org == h.Org && o.path == "" })
	p.owes = append(p.owes, attestOut{org: h.Org, msg: &bgp.Attest{Signed: h.Signed}})
	for _, c := range h.Chunks {
		p.owes = append(p.owes, attestOut{org: h.Org, msg: &bgp.Attest{Chunk: c}})
	}
}

// flushAttested sends a peer what it is owed, as far as its stream takes it: before routes, which are judged by it.
func (s *Speaker) flushAttested(now time.Time, p *peer) {
	for c := p.session; c.credits > 0 && len(p.owes) > 0; p.owes = p.owes[1:] {
		c.spend(now)
		s.emit(Send{c.id, p.owes[0].msg})
	}
}

// attest takes a message of a set from a peer.
func (s *Speaker) attest(now time.Time, p *peer, m *bgp.Attest) {
	err := s.takeAttest(now, p, m)
	if err == nil {
		return
	}
	p.incoming = nil
	kind := "attestation: " + attestKind(err)
	p.fault(Fault{At: now, Degree: AttributeDropped, Attribute: kind, Reason: err.Error()}, nil)
	s.emit(AttestRefused{From: p.cfg.Node, Err: err})
}

func (s *Speaker) takeAttest(now time.Time, p *peer, m *bgp.Attest) error {
	store := s.table.Attested()
	if m.Signed != nil {
		if !p.budget.free(now) {
			return errors.New("too many sets in a short time")
		}
		p.budget.spend(attestLooks)
		p.incoming = nil
		in, err := store.Begin(now, m.Signed)
		switch {
		case errors.Is(err, attest.ErrUnknown), errors.Is(err, attest.ErrSame):
			return nil // others may be able to verify it, or sent it first
		case err != nil:
			return err
		case s.external(p) && in.MaxSize() > s.limits(p).MaxBytes:
			return fmt.Errorf("%w: serial %d of %s has chunks of up to %d bytes, and this peer may send %d (max-bytes)",
				attest.ErrMalformed, in.Serial(), in.Org(), in.MaxSize(), s.limits(p).MaxBytes)
		}
		p.incoming = in
	} else if p.incoming != nil {
		if err := p.incoming.Chunk(m.Chunk); err != nil {
			return err
		}
	}
	if in := p.incoming; in != nil && in.Complete() {
		p.incoming = nil
		if err := store.Finish(now, in); err != nil {
			return err
		}
		s.attested(now, in.Org(), p)
	}
	return nil
}

// attestKind is what refused sets are counted by.
func attestKind(err error) string {
	for _, kind := range []error{attest.ErrSignature, attest.ErrOlder, attest.ErrExpired, attest.ErrMalformed} {
		if errors.Is(err, kind) {
			return kind.Error()
		}
	}
	return "too many"
}

// attestDue judges routes again when a set begins to count, or ends.
func (s *Speaker) attestDue(now time.Time) {
	if s.attestAt.IsZero() || now.Before(s.attestAt) {
		return
	}
	store := s.table.Attested()
	if len(store.Expire(now)) > 0 {
		s.table.Revalidate()
		s.hopsChanged()
	}
	s.attestAt = store.NextChange(now)
}

// checkpointAttested enters the keys and sets.
func (s *Speaker) checkpointAttested(now time.Time, yield func(Timed)) {
	store := s.table.Attested()
	for _, org := range store.Orgs() {
		h, _ := store.Held(org)
		if keys, err := attest.FormatKeys(h.Keys); err == nil {
			yield(Timed{now, AttestKeys{org, keys}})
		}
		if h.Signed != nil {
			yield(Timed{now, AttestSet{h.Signed, h.Chunks}})
		}
	}
	for _, p := range store.Paths("") {
		yield(Timed{now, AttestPath{p.Signed}})
	}
}
