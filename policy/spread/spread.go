package spread

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/catalyst-router/catalyst/bgp"
)

// Times of what is said again.
const (
	turn       = 200 * time.Millisecond // how often it is looked at what is due
	headEvery  = 2 * time.Second        // a signer confirms its set
	saidEvery  = 5 * time.Second        // a node says what it has
	asksAgain  = 500 * time.Millisecond // for a part that does not come
	forgetting = time.Minute            // a node that says nothing any more
	maxRefused = 1000                   // sets that are remembered as not valid
	queued     = 4096                   // bulletins that wait to be read; more are dropped, and said again
)

// Identity signs, and verifies what others signed.
type Identity interface {
	Sign(text []byte) (signature []byte, chain [][]byte, err error)
	// Verify errs if the signature is not the node's, by a chain to a root of its organisation that held at a time.
	Verify(node bgp.NodeID, text, signature []byte, chain [][]byte, at time.Time) error
}

// Peers are the neighbours of this organisation.
type Peers interface {
	// Hearing are those with a session who read bulletins, and Deaf those with a session who are too old to.
	Hearing(ctx context.Context) (hearing, deaf []bgp.NodeID)
	// Say sends one of them a bulletin, or drops it.
	Say(ctx context.Context, to bgp.NodeID, body []byte)
}

// Config is what a Spread needs.
type Config struct {
	Self     bgp.NodeID
	Follow   func(bgp.NodeID) bool // whose sets are taken; required
	Identity Identity              // required
	Peers    Peers                 // required
	// Take puts a set in force and keeps it with its head; the hash is the snapshot's. It is called by Run.
	Take func(ctx context.Context, h *Head, packed []byte, b Bundle) (set string, err error)
	Log  *slog.Logger
	Now  func() time.Time // nil for time.Now
}

// Spread is a node's part. It is safe for concurrent use.
type Spread struct {
	cfg Config
	in  chan heard

	mu      sync.Mutex
	head    *Head  // of what is in force here; nil for none; guarded by mu, as all below
	packed  []byte // of it
	set     string // hash of its snapshot
	failed  string // why a newer one is not in force
	holders map[bgp.NodeID]Holder

	// of Run alone
	fetch    *fetching
	refused  map[string]bool // hashes that were not valid
	said     time.Time
	signed   time.Time
	previous []bgp.NodeID // neighbours at the turn before
}

type heard struct {
	from bgp.NodeID
	body []byte
}

// fetching is a set that is on its way.
type fetching struct {
	head   *Head
	from   bgp.NodeID
	packed []byte
	asked  time.Time
	tries  int
}

// New returns a Spread that has what it had before: a head and its packed set, or nil.
func New(cfg Config, head *Head, packed []byte, set string) *Spread {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	return &Spread{cfg: cfg, in: make(chan heard, queued), holders: map[bgp.NodeID]Holder{}, refused: map[string]bool{},
		head: head, packed: packed, set: set}
}

// Heard takes a bulletin. It does not block: what cannot be read now is dropped, and said again.
func (s *Spread) Heard(from bgp.NodeID, body []byte) {
	select {
	case s.in <- heard{from, body}:
	default:
	}
}

// Next signs a set to be the organisation's. It is in force elsewhere after Publish.
func (s *Spread) Next(b Bundle) (*Head, []byte, error) {
	packed, err := b.pack()
	if err != nil {
		return nil, nil, err
	}
	s.mu.Lock()
	serial := uint64(1)
	if s.head != nil {
		serial = s.head.Serial + 1
	}
	s.mu.Unlock()
	h := &Head{Signer: s.cfg.Self, Serial: serial, Hash: hashOf(packed), Size: len(packed)}
	return h, packed, s.sign(h)
}

func (s *Spread) sign(h *Head) (err error) {
	h.At = s.cfg.Now().Truncate(time.Millisecond)
	if h.Signature, h.Chain, err = s.cfg.Identity.Sign(h.signed()); err != nil {
		return fmt.Errorf("sign the policies: %w", err)
	}
	return nil
}

// Publish says a set that was signed by Next, and that this node has put in force.
func (s *Spread) Publish(ctx context.Context, h *Head, packed []byte, set string) {
	s.mu.Lock()
	s.head, s.packed, s.set, s.failed = h, packed, set, ""
	s.mu.Unlock()
	hearing, _ := s.cfg.Peers.Hearing(ctx)
	s.tell(ctx, hearing, bgp.NodeID{}, message{Head: h})
	s.tell(ctx, hearing, bgp.NodeID{}, message{Holder: s.own()})
}

// Age is how long ago the signer of what is in force confirmed it: 0 for a node that follows nobody's.
func (s *Spread) Age() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.head == nil || s.head.Signer == s.cfg.Self {
		return 0
	}
	return max(0, s.cfg.Now().Sub(s.head.At))
}

// Head returns that of what is in force; nil for none.
func (s *Spread) Head() *Head {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.head
}

// Holders are the nodes that were heard of within a minute, this one first.
func (s *Spread) Holders() []Holder {
	own := *s.own()
	s.mu.Lock()
	defer s.mu.Unlock()
	all := []Holder{}
	for _, h := range s.holders {
		all = append(all, h)
	}
	slices.SortFunc(all, func(a, b Holder) int { return cmp.Compare(a.Node.String(), b.Node.String()) })
	return append([]Holder{own}, all...)
}

// TooOld names the nodes that would not understand a set of this level, so that nobody finds out by their mistakes:
// neighbours that read no bulletins, and all who know less.
func (s *Spread) TooOld(ctx context.Context, level int) (names []string) {
	_, deaf := s.cfg.Peers.Hearing(ctx)
	for _, n := range deaf {
		names = append(names, n.String())
	}
	for _, h := range s.Holders() {
		if h.Level < level {
			names = append(names, h.Node.String())
		}
	}
	return names
}

// Run reads what is heard and says what is due until ctx ends.
func (s *Spread) Run(ctx context.Context) error {
	tick := time.NewTicker(turn)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case h := <-s.in:
			s.read(ctx, h)
		case <-tick.C:
			s.due(ctx)
		}
	}
}

// tell sends to all of these but one.
func (s *Spread) tell(ctx context.Context, to []bgp.NodeID, but bgp.NodeID, m message) {
	body := m.encode()
	for _, n := range to {
		if n != but {
			s.cfg.Peers.Say(ctx, n, body)
		}
	}
}

func (s *Spread) pass(ctx context.Context, from bgp.NodeID, m message) {
	hearing, _ := s.cfg.Peers.Hearing(ctx)
	s.tell(ctx, hearing, from, m)
}

func (s *Spread) own() *Holder {
	s.mu.Lock()
	defer s.mu.Unlock()
	h := &Holder{Node: s.cfg.Self, Set: s.set, Level: Level, At: s.cfg.Now().Truncate(time.Millisecond), Error: s.failed}
	if s.head != nil {
		h.Serial = s.head.Serial
	}
	return h
}

// due says what has to be said again, and what a neighbour that has just come has not heard.
func (s *Spread) due(ctx context.Context) {
	now := s.cfg.Now()
	hearing, _ := s.cfg.Peers.Hearing(ctx)
	fresh := slices.DeleteFunc(slices.Clone(hearing), func(n bgp.NodeID) bool { return slices.Contains(s.previous, n) })
	s.previous = hearing
	head := s.confirm(now)
	if head != nil && now.Sub(s.signed) >= headEvery {
		s.signed = now
		s.tell(ctx, hearing, bgp.NodeID{}, message{Head: head})
	} else if head != nil {
		s.tell(ctx, fresh, bgp.NodeID{}, message{Head: head})
	}
	s.mu.Lock()
	for n, h := range s.holders {
		if now.Sub(h.At) > forgetting {
			delete(s.holders, n)
		}
	}
	s.mu.Unlock()
	if now.Sub(s.said) >= saidEvery {
		s.said = now
		s.tell(ctx, hearing, bgp.NodeID{}, message{Holder: s.own()})
	} else {
		s.tell(ctx, fresh, bgp.NodeID{}, message{Holder: s.own()})
	}
	if f := s.fetch; f != nil && now.Sub(f.asked) >= asksAgain {
		s.ask(ctx, hearing)
	}
}

// confirm returns the head to say: a signer's is signed anew when it is due.
func (s *Spread) confirm(now time.Time) *Head {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.head == nil || s.head.Signer != s.cfg.Self || now.Sub(s.signed) < headEvery {
		return s.head
	}
	again := *s.head
	if err := s.sign(&again); err != nil {
		s.cfg.Log.Error("the policies cannot be confirmed to other nodes", "error", err)
		return s.head
	}
	s.head = &again
	return s.head
}

func (s *Spread) read(ctx context.Context, h heard) {
	var m message
	if err := json.Unmarshal(h.body, &m); err != nil {
		s.cfg.Log.Debug("a bulletin cannot be read", "from", h.from.String(), "error", err)
		return
	}
	switch {
	case m.Head != nil:
		s.headed(ctx, h.from, m.Head)
	case m.Want != nil:
		s.wanted(ctx, h.from, *m.Want)
	case m.Part != nil:
		s.parted(ctx, h.from, *m.Part)
	case m.Holder != nil:
		s.held(ctx, h.from, *m.Holder)
	}
}

// headed takes what a signer says. One that is known is a confirmation, and passed on; a newer one is fetched.
func (s *Spread) headed(ctx context.Context, from bgp.NodeID, h *Head) {
	now := s.cfg.Now()
	s.mu.Lock()
	current := s.head
	s.mu.Unlock()
	known := h.same(current)
	if known && !h.At.After(current.At) || !known && !h.Newer(current) || h.Signer == s.cfg.Self && known {
		return
	}
	if !s.cfg.Follow(h.Signer) || s.refused[h.Hash] || s.fetch != nil && !h.Newer(s.fetch.head) {
		return
	}
	err := h.check(s.cfg.Self.Org, now)
	if err == nil {
		err = s.cfg.Identity.Verify(h.Signer, h.signed(), h.Signature, h.Chain, h.At)
	}
	if err != nil {
		s.cfg.Log.Warn("policies that another node says are the organisation's are not taken", "signer", h.Signer.String(),
			"from", from.String(), "error", err)
		return
	}
	if known {
		s.mu.Lock()
		s.head = h
		s.mu.Unlock()
		s.pass(ctx, from, message{Head: h})
		return
	}
	s.fetch = &fetching{head: h, from: from}
	s.ask(ctx, nil)
}

// ask asks for the next part; after a while somebody else.
func (s *Spread) ask(ctx context.Context, hearing []bgp.NodeID) {
	f := s.fetch
	const patience = 4
	if f.tries++; f.tries > patience && len(hearing) > 0 {
		f.tries = 0
		i := slices.Index(hearing, f.from)
		f.from = hearing[(i+1)%len(hearing)]
	}
	f.asked = s.cfg.Now()
	s.cfg.Peers.Say(ctx, f.from, message{Want: &want{f.head.Hash, len(f.packed)}}.encode())
}

func (s *Spread) wanted(ctx context.Context, from bgp.NodeID, w want) {
	s.mu.Lock()
	head, packed := s.head, s.packed
	s.mu.Unlock()
	if head == nil || head.Hash != w.Hash || w.Offset < 0 || w.Offset >= len(packed) {
		return
	}
	end := min(len(packed), w.Offset+partBytes)
	s.cfg.Peers.Say(ctx, from, message{Part: &part{w.Hash, w.Offset, packed[w.Offset:end]}}.encode())
}

func (s *Spread) parted(ctx context.Context, from bgp.NodeID, p part) {
	f := s.fetch
	if f == nil || p.Hash != f.head.Hash || p.Offset != len(f.packed) || len(p.Data) == 0 ||
		len(f.packed)+len(p.Data) > f.head.Size {
		return
	}
	f.packed, f.tries, f.from = append(f.packed, p.Data...), 0, from
	if len(f.packed) < f.head.Size {
		s.ask(ctx, nil)
		return
	}
	s.fetch = nil
	if hashOf(f.packed) != f.head.Hash {
		s.cfg.Log.Warn("policies of another node came damaged, and are asked for again", "from", from.String())
		return // the next head begins anew
	}
	s.take(ctx, f, from)
}

// take puts what has come in force, and passes its head on.
func (s *Spread) take(ctx context.Context, f *fetching, from bgp.NodeID) {
	b, err := unpack(f.packed)
	set := ""
	if err == nil {
		set, err = s.cfg.Take(ctx, f.head, f.packed, b)
	}
	s.mu.Lock()
	if err != nil {
		if len(s.refused) >= maxRefused {
			clear(s.refused)
		}
		s.refused[f.head.Hash] = true
		s.failed = fmt.Sprintf("set %d of %s: %.300s", f.head.Serial, f.head.Signer, err)
	} else if f.head.Newer(s.head) { // unless one was applied here meanwhile
		s.head, s.packed, s.set, s.failed = f.head, f.packed, set, ""
		clear(s.refused)
	}
	s.mu.Unlock()
	if err != nil {
		s.cfg.Log.Error("policies of the organisation are not put in force: those before serve on",
			"signer", f.head.Signer.String(), "serial", f.head.Serial, "error", err)
	} else {
		s.pass(ctx, from, message{Head: f.head})
	}
	s.pass(ctx, bgp.NodeID{}, message{Holder: s.own()})
}

// held notes what a node has, and passes it on once.
func (s *Spread) held(ctx context.Context, from bgp.NodeID, h Holder) {
	now := s.cfg.Now()
	if h.Node == s.cfg.Self || h.Node.Org != s.cfg.Self.Org || h.At.After(now.Add(maxFuture)) ||
		len(h.Set) > 64 || len(h.Error) > 1000 {
		return
	}
	s.mu.Lock()
	known, ok := s.holders[h.Node]
	take := (!ok && len(s.holders) < maxHolders || ok && h.At.After(known.At)) && now.Sub(h.At) < forgetting
	if take {
		h.Error = bgp.Printable(h.Error)
		s.holders[h.Node] = h
	}
	s.mu.Unlock()
	if take {
		s.pass(ctx, from, message{Holder: &h})
	}
}
