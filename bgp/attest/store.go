package attest

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/catalyst-router/catalyst/bgp"
)

// Store holds the keys of organisations and the newest set of each. Its zero value is empty. It is not safe for
// concurrent use.
type Store struct {
	orgs  map[bgp.Org]*holding
	paths paths
}

// holding is what is known of one organisation.
type holding struct {
	keys     []Key
	manifest *manifest
	digest   Digest // of the manifest
	signed   []byte
	chunks   [][]byte
	index    index
	entries  int
	active   bool // its time has come and is not over, and its key is still trusted
}

// The kinds of errors of Add, for counting.
var (
	ErrUnknown   = errors.New("unknown organisation") //nolint:gochecknoglobals // sentinels
	ErrSignature = errors.New("bad signature")        //nolint:gochecknoglobals
	ErrOlder     = errors.New("older set")            //nolint:gochecknoglobals
	ErrSame      = errors.New("known set")            //nolint:gochecknoglobals
	ErrExpired   = errors.New("expired set")          //nolint:gochecknoglobals
	ErrMalformed = errors.New("malformed set")        //nolint:gochecknoglobals
)

func (s *Store) of(org bgp.Org) *holding {
	if s.orgs == nil {
		s.orgs = map[bgp.Org]*holding{}
	}
	h := s.orgs[org]
	if h == nil {
		h = &holding{}
		s.orgs[org] = h
	}
	return h
}

// SetKeys says which keys an organisation signs with; none for an organisation that is not trusted any more. A set
// whose key has gone does not count any more, and its serial is remembered. It tells whether that changes anything.
func (s *Store) SetKeys(now time.Time, org bgp.Org, keys []Key) bool {
	h := s.of(org)
	h.keys = slices.Clone(keys)
	lost := s.forgetHops(org)
	return h.judge(now) || lost
}

// judge works out whether a set counts now, and tells whether that changed.
func (h *holding) judge(now time.Time) bool {
	was := h.active
	h.active = h.manifest != nil && !now.Before(h.manifest.notBefore) && now.Before(h.manifest.notAfter) &&
		slices.ContainsFunc(h.keys, func(k Key) bool { return k.ID == h.manifest.keyID && !k.Path })
	return h.active != was
}

// Expire works out which sets and signed paths count at a time, and returns the organisations for which that changed.
func (s *Store) Expire(now time.Time) []bgp.Org {
	var all []bgp.Org
	for org, h := range s.orgs {
		if h.judge(now) {
			all = append(all, org)
		}
	}
	all = append(all, s.expirePaths(now)...)
	slices.Sort(all)
	return slices.Compact(all)
}

// NextChange returns when Expire has something to do next; zero for never.
func (s *Store) NextChange(now time.Time) time.Time {
	next := s.paths.next(now)
	for _, h := range s.orgs {
		if h.manifest == nil {
			continue
		}
		for _, at := range []time.Time{h.manifest.notBefore, h.manifest.notAfter} {
			if at.After(now) && (next.IsZero() || at.Before(next)) {
				next = at
			}
		}
	}
	return next
}

// Incoming is a set of which the manifest has been verified and chunks are still to come.
type Incoming struct {
	m      *manifest
	signed []byte
	chunks [][]byte
	left   int
}

// Org returns whose set it is, and Serial which.
func (in *Incoming) Org() bgp.Org { return in.m.org }

// Serial returns the set's serial.
func (in *Incoming) Serial() uint64 { return in.m.serial }

// MaxSize is the most bytes that the chunks may take which are still to come.
func (in *Incoming) MaxSize() int { return in.left * MaxChunk }

// Complete tells whether all chunks are there.
func (in *Incoming) Complete() bool { return in.left == 0 }

// Begin verifies a signed manifest. Chunks that the set before had as well are there already. Errors wrap one of those
// above.
func (s *Store) Begin(now time.Time, signed []byte) (*Incoming, error) {
	body, signature, err := split(signed)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	m, err := decodeManifest(body)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	h := s.orgs[m.org]
	switch {
	case h == nil || len(h.keys) == 0:
		return nil, fmt.Errorf("%w: this node has no attestation key of %s", ErrUnknown, m.org)
	case h.manifest != nil && string(signed) == string(h.signed):
		return nil, fmt.Errorf("%w: serial %d of %s", ErrSame, m.serial, m.org)
	case h.manifest != nil && m.serial <= h.manifest.serial:
		return nil, fmt.Errorf("%w: %s has serial %d, and %d is known", ErrOlder, m.org, m.serial, h.manifest.serial)
	case !now.Before(m.notAfter):
		return nil, fmt.Errorf("%w: %s of %s ended at %s", ErrExpired, number(m.serial), m.org,
			m.notAfter.UTC().Format(time.RFC3339))
	}
	if err := verify(h.keys, m, body, signature); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrSignature, err)
	}
	in := &Incoming{m: m, signed: slices.Clone(signed), chunks: make([][]byte, len(m.digests)), left: len(m.digests)}
	for i, d := range m.digests {
		if h.manifest == nil {
			break
		}
		if j := slices.Index(h.manifest.digests, d); j >= 0 {
			in.chunks[i] = h.chunks[j]
			in.left--
		}
	}
	return in, nil
}

func number(serial uint64) string { return fmt.Sprintf("serial %d", serial) }

// Chunk takes a chunk of a set. It has to have the digest that the manifest lists.
func (in *Incoming) Chunk(b []byte) error {
	i := slices.Index(in.m.digests, sumOf(b))
	if i < 0 {
		return fmt.Errorf("%w: a chunk is none of %s of %s", ErrMalformed, number(in.m.serial), in.m.org)
	}
	if in.chunks[i] == nil {
		in.chunks[i] = slices.Clone(b)
		in.left--
	}
	return nil
}

// Finish makes a complete set the one that counts for its organisation.
func (s *Store) Finish(now time.Time, in *Incoming) error {
	h := s.of(in.m.org)
	if !in.Complete() {
		return fmt.Errorf("%w: %d chunks are missing", ErrMalformed, in.left)
	}
	if h.manifest != nil && in.m.serial <= h.manifest.serial {
		return fmt.Errorf("%w: %d is known", ErrOlder, h.manifest.serial)
	}
	ix, err := newIndex(in.m.org, in.chunks)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	h.manifest, h.signed, h.chunks, h.index, h.entries = in.m, in.signed, in.chunks, ix, len(ix.refs)
	h.digest = sumOf(in.m.encode())
	h.judge(now)
	return nil
}

// Add takes a whole set.
func (s *Store) Add(now time.Time, signed []byte, chunks [][]byte) error {
	in, err := s.Begin(now, signed)
	if err != nil {
		return err
	}
	for _, c := range chunks {
		if err := in.Chunk(c); err != nil {
			return err
		}
	}
	return s.Finish(now, in)
}

// Validate tells what is known of a route's origin, and why it is invalid. Only the organisation that a name lies
// below attests it; whether a name does is not asked here.
func (s *Store) Validate(r *Route) (bgp.OriginState, string) {
	h := s.orgs[r.Origin.Org]
	if h == nil || !h.active {
		return bgp.OriginNotFound, ""
	}
	field, valid := "name", false
	h.index.find(r.Service, func(e *Entry) bool {
		f := e.allows(r)
		if valid = f == ""; !valid && field == "name" {
			field = f
		}
		return !valid
	})
	if valid {
		return bgp.OriginValid, ""
	}
	return bgp.OriginInvalid, why(field, r)
}

// Knows tells whether an organisation has a set that counts, so that its routes are valid or invalid.
func (s *Store) Knows(org bgp.Org) bool { h := s.orgs[org]; return h != nil && h.active }

// Held is the newest set of an organisation.
type Held struct {
	Org                 bgp.Org
	Serial              uint64
	NotBefore, NotAfter time.Time
	KeyID               string
	Active              bool // it counts now
	Entries             int
	Keys                []Key
	Signed              []byte   // nil where there is no set yet
	Chunks              [][]byte // not to be changed
}

// Held returns the newest set of an organisation; false if neither a set nor a key is known.
func (s *Store) Held(org bgp.Org) (Held, bool) {
	h := s.orgs[org]
	if h == nil {
		return Held{}, false
	}
	out := Held{Org: org, Active: h.active, Entries: h.entries, Keys: h.keys}
	if m := h.manifest; m != nil {
		out.Serial, out.NotBefore, out.NotAfter, out.KeyID = m.serial, m.notBefore, m.notAfter, m.keyID
		out.Signed, out.Chunks = h.signed, h.chunks
	}
	return out, true
}

// Orgs returns the organisations of which something is known, sorted.
func (s *Store) Orgs() []bgp.Org {
	all := make([]bgp.Org, 0, len(s.orgs))
	for org := range s.orgs {
		all = append(all, org)
	}
	slices.Sort(all)
	return all
}
