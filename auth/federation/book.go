package federation

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/catalyst-router/catalyst/auth/bundle"
	"github.com/catalyst-router/catalyst/bgp"
)

// Limits of a book.
const (
	MaxPeerings    = 4096
	maxInvitations = 1000 // that are remembered, spent or not
	keepSpent      = 7 * 24 * time.Hour
	maxNeighbours  = 16 // of one organisation, at one node
)

// Store keeps records by key, a change of several as a whole or not at all. journal.Journal is one.
type Store interface {
	SaveTrust(ctx context.Context, put map[string]json.RawMessage, drop []string) error
	Trust(ctx context.Context) (map[string]json.RawMessage, error)
}

// Neighbour is a node of another organisation that this node peers with.
type Neighbour struct {
	Node      bgp.NodeID `json:"node"`
	Addresses []string   `json:"addresses,omitempty"` // HOST:PORT; none for one that dials
}

// Peering is what this node has with another organisation.
type Peering struct {
	Org   bgp.Org     `json:"org"`
	Nodes []Neighbour `json:"nodes,omitempty"`
	Terms Terms       `json:"terms"`
	// Theirs are the terms that the other side declared; nil as long as it has declared none.
	Theirs *Terms `json:"theirs,omitempty"`
	// Invitation is the id of that by which it was made; "" for one made by hand.
	Invitation string    `json:"invitation,omitempty"`
	Since      time.Time `json:"since"`
	// Source is where newer bundles are looked for besides the peering itself.
	Source Source `json:"source,omitzero"`
	Trust  Trust  `json:"trust,omitzero"`
	// Label names the file that manages the peering (catalyst apply); "" for none.
	Label string `json:"label,omitempty"`
}

// Source is an endpoint of an organisation's bundle (SPIFFE Federation §5).
type Source struct {
	URL     string `json:"url,omitempty"`     // https; "" for none
	Profile string `json:"profile,omitempty"` // https_web or https_spiffe
	// Server is the SPIFFE ID that has to be shown there, for https_spiffe.
	Server string `json:"server,omitempty"`
}

// Ways by which a bundle comes.
const (
	ByInvitation = "invitation"
	ByPeering    = "peering" // signed, over the session
	ByPoll       = "poll"    // from an endpoint
	ByHand       = "hand"
)

// Trust is another organisation's bundle as it was taken.
type Trust struct {
	Document json.RawMessage `json:"document,omitempty"`
	Sequence uint64          `json:"sequence,omitempty"`
	Digest   string          `json:"digest,omitempty"`
	Since    time.Time       `json:"since,omitzero"`
	By       string          `json:"by,omitempty"`
}

// Bundle reads the document; nil if there is none.
func (t *Trust) Bundle(org bgp.Org) (*bundle.Bundle, error) {
	if len(t.Document) == 0 {
		return nil, nil //nolint:nilnil // configured, no bundle yet
	}
	return bundle.Parse(org, t.Document)
}

func trustOf(b *bundle.Bundle, by string, now time.Time) (Trust, error) {
	doc, err := b.Marshal()
	if err != nil {
		return Trust{}, err
	}
	return Trust{Document: doc, Sequence: b.Sequence, Digest: b.Digest(), Since: now.UTC(), By: by}, nil
}

// Offered is an invitation as this side remembers it: the secret's hash, never the secret.
type Offered struct {
	ID      string    `json:"id"`
	Hash    []byte    `json:"hash"`
	With    bgp.Org   `json:"with"`
	Terms   Terms     `json:"terms"`
	Made    time.Time `json:"made"`
	Expires time.Time `json:"expires"`
	// UsedBy is the node that redeemed it, and UsedAt when; empty as long as nobody has.
	UsedBy string    `json:"usedBy,omitempty"`
	UsedAt time.Time `json:"usedAt,omitzero"`
	// Holder is the SHA-256 of the key that redeemed it: the same may ask again if the answer was lost.
	Holder    []byte `json:"holder,omitempty"`
	Withdrawn bool   `json:"withdrawn,omitempty"`
}

// State says in one word how it stands with an invitation.
func (o *Offered) State(now time.Time) string {
	switch {
	case o.UsedBy != "":
		return "used"
	case o.Withdrawn:
		return "withdrawn"
	case !now.Before(o.Expires):
		return "expired"
	}
	return "open"
}

// Event is something that happened to what is trusted, for the audit.
type Event struct {
	At     time.Time `json:"at"`
	Action string    `json:"action"` // offer, redeem, refuse, accept, update, end, trust, withdraw
	Org    bgp.Org   `json:"organisation,omitempty"`
	Node   string    `json:"node,omitempty"`
	Kind   string    `json:"kind,omitempty"` // of a refusal
	Text   string    `json:"text,omitempty"`
	From   string    `json:"from,omitempty"` // address
}

// Config is what a book needs.
type Config struct {
	Node  bgp.NodeID
	Store Store
	Now   func() time.Time // required
	Log   *slog.Logger
	Audit func(Event) // nil for nobody
}

// Book is whom a node trusts beyond its own organisation. It is safe for concurrent use.
type Book struct {
	cfg Config

	mu       sync.Mutex
	peerings map[bgp.Org]*Peering // guarded by mu; the values are replaced, never written to
	offers   map[string]*Offered  // guarded by mu; by id, likewise
	ended    map[bgp.Org]*Ended   // guarded by mu; of organisations that are not peered with now
	changed  chan struct{}        // guarded by mu; closed at each change

	believed atomic.Pointer[believed]
}

const (
	peeringKey = "peering/"
	offerKey   = "invitation/"
	endedKey   = "ended/"
)

// Open reads what was kept.
func Open(ctx context.Context, cfg Config) (*Book, error) {
	b := &Book{
		cfg: cfg, peerings: map[bgp.Org]*Peering{}, offers: map[string]*Offered{}, ended: map[bgp.Org]*Ended{},
		changed: make(chan struct{}),
	}
	all, err := cfg.Store.Trust(ctx)
	if err != nil {
		return nil, err
	}
	for key, spec := range all {
		if strings.HasPrefix(key, peeringKey) {
			p := new(Peering)
			if err := json.Unmarshal(spec, p); err != nil {
				return nil, fmt.Errorf("read %s: %w", key, err)
			}
			b.peerings[p.Org] = p
		}
		if strings.HasPrefix(key, offerKey) {
			o := new(Offered)
			if err := json.Unmarshal(spec, o); err != nil {
				return nil, fmt.Errorf("read %s: %w", key, err)
			}
			b.offers[o.ID] = o
		}
		if strings.HasPrefix(key, endedKey) {
			e := new(Ended)
			if err := json.Unmarshal(spec, e); err != nil {
				return nil, fmt.Errorf("read %s: %w", key, err)
			}
			b.ended[e.Org] = e
		}
	}
	b.publish()
	return b, nil
}

// Peerings returns all, by organisation. They are not to be changed.
func (b *Book) Peerings() []*Peering {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.SortedFunc(maps.Values(b.peerings),
		func(x, y *Peering) int { return strings.Compare(string(x.Org), string(y.Org)) })
}

// Peering returns that with an organisation; nil if there is none. It is not to be changed.
func (b *Book) Peering(org bgp.Org) *Peering {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.peerings[org]
}

// Offers returns the invitations that are remembered, the newest first. They are not to be changed.
func (b *Book) Offers() []*Offered {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.SortedFunc(maps.Values(b.offers), func(x, y *Offered) int { return y.Made.Compare(x.Made) })
}

// Changed returns a channel that is closed at the next change of a peering.
func (b *Book) Changed() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.changed
}

func (b *Book) audit(e Event) {
	e.At = b.cfg.Now().UTC()
	if b.cfg.Audit != nil {
		b.cfg.Audit(e)
	}
}

// save keeps records and takes them over. The caller holds mu.
func (b *Book) save(ctx context.Context, p *Peering, offers ...*Offered) error {
	put, drop := map[string]json.RawMessage{}, []string(nil)
	var err error
	if p != nil {
		if b.ended[p.Org] != nil {
			drop = append(drop, endedKey+string(p.Org))
		}
		if len(b.peerings) >= MaxPeerings && b.peerings[p.Org] == nil {
			return fmt.Errorf("there are %d peerings, and no more are kept", MaxPeerings)
		}
		if put[peeringKey+string(p.Org)], err = json.Marshal(p); err != nil {
			return err
		}
	}
	for _, o := range offers {
		if put[offerKey+o.ID], err = json.Marshal(o); err != nil {
			return err
		}
	}
	if err := b.cfg.Store.SaveTrust(ctx, put, drop); err != nil {
		return err
	}
	for _, o := range offers {
		b.offers[o.ID] = o
	}
	if p != nil {
		b.peerings[p.Org] = p
		delete(b.ended, p.Org)
		b.notify()
	}
	return nil
}

func (b *Book) notify() {
	b.publish()
	close(b.changed)
	b.changed = make(chan struct{})
}

// Invite is what an invitation is made of.
type Invite struct {
	With    bgp.Org
	Address string // HOST:PORT where this node takes peers
	Terms   Terms
	Life    time.Duration // 0 for DefaultInvitationLife
	Bundle  *bundle.Bundle
}

// Offer makes an invitation. Its secret is in what is returned and nowhere else.
func (b *Book) Offer(ctx context.Context, in Invite) (*Invitation, error) {
	if in.Life == 0 {
		in.Life = DefaultInvitationLife
	}
	var errs []error
	if in.With == b.cfg.Node.Org {
		errs = append(errs, fmt.Errorf("with: %s is this node's own organisation: nodes of one join it", in.With))
	}
	if in.Life < time.Minute || in.Life > MaxInvitationLife {
		errs = append(errs, fmt.Errorf("life: %s: want 1m to %s", in.Life, MaxInvitationLife))
	}
	if _, err := bgp.ParseEndpoint(in.Address); err != nil {
		errs = append(errs, fmt.Errorf("address: %w", err))
	}
	if err := errors.Join(append(errs, in.Terms.Check())...); err != nil {
		return nil, err
	}
	now := b.cfg.Now().UTC().Truncate(time.Second)
	inv := &Invitation{
		Node: b.cfg.Node, Address: in.Address, With: in.With, Bundle: in.Bundle, Terms: in.Terms.Clean(),
		Expires: now.Add(in.Life), secret: newSecret(),
	}
	hash := hashOf(inv.secret)
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.forget(ctx, now); err != nil {
		return nil, err
	}
	err := b.save(ctx, nil, &Offered{
		ID: inv.ID(), Hash: hash[:], With: in.With, Terms: inv.Terms, Made: now, Expires: inv.Expires,
	})
	if err != nil {
		return nil, err
	}
	b.audit(Event{Action: "offer", Org: in.With, Text: inv.String()})
	return inv, nil
}

// forget drops invitations that are over for long. The caller holds mu.
func (b *Book) forget(ctx context.Context, now time.Time) error {
	var drop []string
	for id, o := range b.offers {
		if now.After(o.Expires.Add(keepSpent)) {
			drop = append(drop, offerKey+id)
		}
	}
	if len(b.offers)-len(drop) >= maxInvitations {
		return fmt.Errorf("%d invitations are remembered, and no more: wait until some are forgotten, a week after "+
			"their end", maxInvitations)
	}
	if len(drop) == 0 {
		return nil
	}
	if err := b.cfg.Store.SaveTrust(ctx, nil, drop); err != nil {
		return err
	}
	for _, key := range drop {
		delete(b.offers, strings.TrimPrefix(key, offerKey))
	}
	return nil
}

// Withdraw makes an invitation worthless; false if there is no open one of that id.
func (b *Book) Withdraw(ctx context.Context, id string) (bool, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	o := b.offers[id]
	if o == nil || o.State(b.cfg.Now()) != "open" {
		return false, nil
	}
	gone := *o
	gone.Withdrawn = true
	if err := b.save(ctx, nil, &gone); err != nil {
		return false, err
	}
	b.audit(Event{Action: "withdraw", Org: o.With, Text: "invitation " + id})
	return true, nil
}

// merge is a peering with one more neighbour, or its newer address. The caller holds mu.
func (b *Book) merge(org bgp.Org, n Neighbour) (Peering, error) {
	p := Peering{Org: org, Since: b.cfg.Now().UTC()}
	if old := b.peerings[org]; old != nil {
		p = *old
	}
	p.Nodes = slices.Clone(p.Nodes)
	i := slices.IndexFunc(p.Nodes, func(x Neighbour) bool { return x.Node == n.Node })
	if i < 0 {
		if len(p.Nodes) == maxNeighbours {
			return p, fmt.Errorf("%s has %d nodes here, and no more are taken", org, maxNeighbours)
		}
		p.Nodes = append(p.Nodes, n)
	} else {
		p.Nodes[i] = n
	}
	return p, nil
}

// Accepted keeps the peering that an accepted invitation made, on the side that accepted.
func (b *Book) Accepted(ctx context.Context, inv *Invitation, answer *Answer, terms Terms) (*Peering, error) {
	fresh, err := bundle.Parse(inv.Node.Org, answer.Bundle)
	if err != nil {
		return nil, err
	}
	trust, err := trustOf(fresh, ByInvitation, b.cfg.Now())
	if err != nil {
		return nil, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	p, err := b.merge(inv.Node.Org, Neighbour{Node: inv.Node, Addresses: []string{inv.Address}})
	if err != nil {
		return nil, err
	}
	theirs := answer.Terms.Clean()
	p.Terms, p.Theirs, p.Trust, p.Invitation = terms.Clean(), &theirs, trust, inv.ID()
	if err := b.save(ctx, &p); err != nil {
		return nil, err
	}
	b.audit(Event{Action: "accept", Org: p.Org, Node: inv.Node.String(), Text: inv.String()})
	return &p, nil
}

// Put keeps a peering as an operator ordered it, whatever was there. A bundle in it replaces the one that is held,
// whatever its sequence: it comes from the operator's own hand.
func (b *Book) Put(ctx context.Context, p Peering, by *bundle.Bundle) error {
	if err := p.Terms.Check(); err != nil {
		return err
	}
	p.Terms = p.Terms.Clean()
	b.mu.Lock()
	defer b.mu.Unlock()
	if old := b.peerings[p.Org]; old != nil {
		p.Since, p.Trust, p.Theirs, p.Invitation = old.Since, old.Trust, old.Theirs, old.Invitation
	} else {
		p.Since = b.cfg.Now().UTC()
	}
	if by != nil && by.Digest() != p.Trust.Digest {
		var err error
		if p.Trust, err = trustOf(by, ByHand, b.cfg.Now()); err != nil {
			return err
		}
	}
	if err := b.save(ctx, &p); err != nil {
		return err
	}
	b.audit(Event{Action: "update", Org: p.Org, Text: fmt.Sprintf("%+v", p.Terms)})
	return nil
}

// Declared notes the terms that the other side declares.
func (b *Book) Declared(ctx context.Context, org bgp.Org, theirs Terms) error {
	theirs = theirs.Clean()
	if err := theirs.Check(); err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	old := b.peerings[org]
	if old == nil || old.Theirs != nil && equal(*old.Theirs, theirs) {
		return nil
	}
	p := *old
	p.Theirs = &theirs
	return b.save(ctx, &p)
}
