package attest

import (
	"bytes"
	"crypto/ecdsa"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/catalyst-router/catalyst/bgp"
)

// hopContext begins what is signed of a hop.
const hopContext = "catalyst path v1\x00"

// MaxHopLife bounds how far ahead a hop may end.
const MaxHopLife = 8 * 24 * time.Hour

// Fields of a hop; a signed one is a hop and a signature as a signed manifest is.
const (
	fieldHopFrom   = 1
	fieldHopTo     = 2
	fieldHopSet    = 3
	fieldHopBefore = 4
	fieldHopUntil  = 5
	fieldHopKey    = 6
)

// Hop is one step of a path: From tells To of what a set attests, which it came by as the hop before says.
type Hop struct {
	From, To bgp.Org
	Set      Digest    // of the manifest
	Before   Digest    // of the hop before, unsigned; zero for the origin's own
	Until    time.Time // the first second in which it does not count any more
	KeyID    string
}

// Encode returns what is signed.
func (h *Hop) Encode() []byte {
	b := appendBytes(nil, fieldHopFrom, string(h.From))
	b = appendBytes(b, fieldHopTo, string(h.To))
	b = appendBytes(b, fieldHopSet, h.Set[:])
	if h.Before != (Digest{}) {
		b = appendBytes(b, fieldHopBefore, h.Before[:])
	}
	b = appendNumber(b, fieldHopUntil, uint64(h.Until.Unix())) //nolint:gosec // after 1970
	return appendBytes(b, fieldHopKey, h.KeyID)
}

// SignHop signs an encoded hop.
func SignHop(hop []byte, key *ecdsa.PrivateKey, random io.Reader) ([]byte, error) {
	s, err := signature(hopContext, hop, key, random)
	return JoinHop(hop, s), err
}

// JoinHop returns a signed hop.
func JoinHop(hop, signature []byte) []byte {
	return appendBytes(appendBytes(nil, fieldManifest, hop), fieldSignature, signature)
}

// HopDigest is by what the next hop names one: the SHA-384 of what is signed.
func HopDigest(h Hop) Digest { return sumOf(h.Encode()) }

// HopOf tells whether a signed hop is that hop, whoever signed it.
func HopOf(signed, hop []byte) bool {
	body, _, err := split(signed)
	return err == nil && bytes.Equal(body, hop)
}

func decodeHop(b []byte) (*Hop, error) {
	h := &Hop{}
	err := fields(b, func(f int, v uint64) error {
		if f != fieldHopUntil || v > maxUnix {
			return fmt.Errorf("field %d: %d is not allowed", f, v)
		}
		h.Until = time.Unix(int64(v), 0) //nolint:gosec // it is bounded
		return nil
	}, func(f int, v []byte) error {
		switch {
		case f == fieldHopFrom:
			h.From = bgp.Org(v)
		case f == fieldHopTo:
			h.To = bgp.Org(v)
		case f == fieldHopSet && len(v) == len(Digest{}):
			h.Set = Digest(v)
		case f == fieldHopBefore && len(v) == len(Digest{}):
			h.Before = Digest(v)
		case f == fieldHopKey && len(v) <= maxKeyID:
			h.KeyID = string(v)
		default:
			return fmt.Errorf("field %d is not allowed", f)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	for _, o := range []bgp.Org{h.From, h.To} {
		if org, err := bgp.ParseOrg(string(o)); err != nil || org != o {
			return nil, fmt.Errorf("%q is no organisation in lower case", o)
		}
	}
	if !bytes.Equal(h.Encode(), b) {
		return nil, errors.New("is not in its one encoding")
	}
	return h, nil
}

// Path is a way by which a set came to this node's organisation, signed by each organisation on it for the next one.
type Path struct {
	Origin bgp.Org
	Orgs   []bgp.Org // nearest first, the origin's last, as an organisation path has them
	Set    Digest    // of the manifest that they signed for
	Until  time.Time // when the first of the signatures ends
	Signed [][]byte  // the hops, the origin's first; not to be changed
	// Last is the digest of the last hop, which a further one names.
	Last Digest
	keys []string // of the hops, in their order
}

// PathText names the organisations of a path, nearest first, in one text.
func PathText(orgs []bgp.Org) string {
	all := make([]string, 0, len(orgs))
	for _, o := range orgs {
		all = append(all, string(o))
	}
	return strings.Join(all, " ")
}

// Limits of what is kept of paths.
const (
	maxPaths    = 4096 // paths in all
	maxVerified = 4096 // hops that are not verified twice
)

// paths are those that are signed. The zero value is empty.
type paths struct {
	by       map[string]*Path // by their organisations; the origin's is the last of them
	verified map[Digest]bool  // signed hops, with whichever key
}

// AddPath verifies a signed path that ends at an organisation, and keeps it in the place of the one over the same
// organisations. fresh tells whether it says anything new. Signatures are verified as long as spend allows: it is told
// of each beforehand. Errors wrap ErrUnknown (there is no key of an organisation on it), ErrSignature, ErrExpired or
// ErrMalformed.
func (s *Store) AddPath(now time.Time, reader bgp.Org, signed [][]byte, spend func() error) (
	p *Path, fresh bool, err error,
) {
	if len(signed) == 0 || len(signed) > bgp.MaxPathHops {
		return nil, false, fmt.Errorf("%w: %d hops: want 1 to %d", ErrMalformed, len(signed), bgp.MaxPathHops)
	}
	p = &Path{}
	for i, raw := range signed {
		if err := s.addHop(now, p, raw, spend); err != nil {
			return nil, false, fmt.Errorf("hop %d of the path: %w", i+1, err)
		}
	}
	if to := p.Orgs[0]; to != reader {
		return nil, false, fmt.Errorf("%w: the path is signed for %s, and this is %s", ErrMalformed, to, reader)
	}
	p.Orgs = p.Orgs[1:]
	return p, s.keepPath(p), nil
}

// addHop puts a hop at the near end of a path. While that grows, the organisation that the last hop is for stands
// first in Orgs.
func (s *Store) addHop(now time.Time, p *Path, raw []byte, spend func() error) error {
	body, sig, err := split(raw)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	h, err := decodeHop(body)
	switch {
	case err != nil:
		return fmt.Errorf("%w: %w", ErrMalformed, err)
	case len(sig) != signatureSize:
		return fmt.Errorf("%w: signature of %d bytes: want %d", ErrMalformed, len(sig), signatureSize)
	case p.Origin == "":
		p.Origin, p.Orgs, p.Set, p.Until = h.From, []bgp.Org{h.From}, h.Set, h.Until
	}
	switch {
	case h.From != p.Orgs[0]:
		return fmt.Errorf("%w: it is signed by %s, and the one before was for %s", ErrMalformed, h.From, p.Orgs[0])
	case h.Before != p.Last:
		return fmt.Errorf("%w: it follows another hop than the one before", ErrMalformed)
	case h.Set != p.Set:
		return fmt.Errorf("%w: it is about another set than the one before", ErrMalformed)
	case slices.Contains(p.Orgs, h.To):
		return fmt.Errorf("%w: the path comes back to %s", ErrMalformed, h.To)
	case !now.Before(h.Until):
		return fmt.Errorf("%w: the hop of %s ended at %s", ErrExpired, h.From, h.Until.UTC().Format(time.RFC3339))
	case h.Until.Sub(now) > MaxHopLife:
		return fmt.Errorf("%w: the hop of %s ends in more than %s", ErrMalformed, h.From, MaxHopLife)
	}
	if err := s.verifyHop(h, body, sig, raw, spend); err != nil {
		return err
	}
	p.Orgs = append([]bgp.Org{h.To}, p.Orgs...)
	p.Last, p.keys, p.Signed = sumOf(body), append(p.keys, h.KeyID), append(p.Signed, slices.Clone(raw))
	if h.Until.Before(p.Until) {
		p.Until = h.Until
	}
	return nil
}

func (s *Store) verifyHop(h *Hop, body, sig, raw []byte, spend func() error) error {
	key := s.pathKey(h.From, h.KeyID)
	if key == nil {
		return fmt.Errorf("%w: this node has no path key %q of %s", ErrUnknown, h.KeyID, h.From)
	}
	whole := sumOf(raw)
	if s.paths.verified[whole] {
		return nil
	}
	if err := spend(); err != nil {
		return err
	}
	if !key.signed(hopContext, body, sig) {
		return fmt.Errorf("%w: it is not one of key %q of %s", ErrSignature, h.KeyID, h.From)
	}
	if s.paths.verified == nil || len(s.paths.verified) >= maxVerified {
		s.paths.verified = map[Digest]bool{}
	}
	s.paths.verified[whole] = true
	return nil
}

func (s *Store) pathKey(org bgp.Org, id string) *Key {
	h := s.orgs[org]
	if h == nil {
		return nil
	}
	for i := range h.keys {
		if k := &h.keys[i]; k.Path && k.ID == id {
			return k
		}
	}
	return nil
}

// keepPath keeps a path, unless what is kept is about the set that counts and it is not. It tells whether it was kept
// and is another than before.
func (s *Store) keepPath(p *Path) bool {
	key := PathText(p.Orgs)
	was := s.paths.by[key]
	if was != nil && (was.Last == p.Last || s.current(was) && !s.current(p)) {
		return false
	}
	if was == nil && len(s.paths.by) >= maxPaths {
		return false
	}
	if s.paths.by == nil {
		s.paths.by = map[string]*Path{}
	}
	s.paths.by[key] = p
	return true
}

// current tells whether a path is signed for the set that counts.
func (s *Store) current(p *Path) bool {
	h := s.orgs[p.Origin]
	return h != nil && h.active && h.digest == p.Set
}

// PathSigned returns the signed path over organisations, as PathText names them, if it is for the set that counts.
func (s *Store) PathSigned(key string) (*Path, bool) {
	p := s.paths.by[key]
	return p, p != nil && s.current(p)
}

// Paths returns the signed paths from an organisation, by the organisations on them.
func (s *Store) Paths(origin bgp.Org) []*Path {
	var all []*Path
	for _, p := range s.paths.by {
		if p.Origin == origin || origin == "" {
			all = append(all, p)
		}
	}
	slices.SortFunc(all, func(a, b *Path) int { return strings.Compare(PathText(a.Orgs), PathText(b.Orgs)) })
	return all
}

// CurrentSet returns the digest of the set that counts for an organisation; false if none does.
func (s *Store) CurrentSet(org bgp.Org) (Digest, bool) {
	h := s.orgs[org]
	if h == nil || !h.active {
		return Digest{}, false
	}
	return h.digest, true
}

// forgetHops drops the paths that a key of an organisation signed which it has not any more, and tells whether there
// were any.
func (s *Store) forgetHops(org bgp.Org) (any bool) {
	s.paths.verified = nil // a key of the same name may be another
	for key, p := range s.paths.by {
		for i, id := range p.keys {
			if p.Orgs[len(p.Orgs)-1-i] == org && s.pathKey(org, id) == nil {
				delete(s.paths.by, key)
				any = true
			}
		}
	}
	return any
}

// expirePaths drops the paths whose time is over, and returns the organisations whose they are.
func (s *Store) expirePaths(now time.Time) (orgs []bgp.Org) {
	for key, p := range s.paths.by {
		if !now.Before(p.Until) {
			delete(s.paths.by, key)
			orgs = append(orgs, p.Origin)
		}
	}
	return orgs
}

// next returns when the next path ends; zero for never.
func (ps *paths) next(now time.Time) (next time.Time) {
	for _, p := range ps.by {
		if p.Until.After(now) && (next.IsZero() || p.Until.Before(next)) {
			next = p.Until
		}
	}
	return next
}
