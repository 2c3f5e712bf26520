package federation

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/catalyst-router/catalyst/auth/bundle"
	"github.com/catalyst-router/catalyst/bgp"
)

// ExchangePath takes a POST of a neighbour: Exchange → Exchange.
const ExchangePath = "/v1/exchange"

// Exchange is what two neighbours tell each other, every 20 seconds and whenever it changes.
type Exchange struct {
	Statement string `json:"statement"` // the sender's bundle, signed
	View      View   `json:"view"`
}

// View is how it stands with a peering as its one side sees it.
type View struct {
	Node   bgp.NodeID `json:"node"`
	Now    time.Time  `json:"now"`
	Serves Keys       `json:"serves"` // the sender's own bundle
	Holds  Keys       `json:"holds"`  // the receiver's, as the sender holds it
	Terms  Terms      `json:"terms"`
	// From and Until are those of the certificate that the sender shows.
	From  time.Time `json:"from"`
	Until time.Time `json:"until"`
	// Refused is the kind of fault for which the receiver's last bundle was not taken; "" if it was.
	Refused string `json:"refused,omitempty"`
	// Handshakes are those in which the sender did not believe the receiver's certificate, the latest first.
	Handshakes []Handshake `json:"handshakes,omitempty"`
}

// Keys are a bundle in short.
type Keys struct {
	Sequence uint64   `json:"sequence"`
	Digest   string   `json:"digest"`
	Pins     []string `json:"pins"`
}

// KeysOf is a bundle in short; the zero value for none.
func KeysOf(b *bundle.Bundle) Keys {
	if b == nil {
		return Keys{}
	}
	return Keys{b.Sequence, b.Digest(), b.Pins()}
}

// check keeps what a neighbour says within bounds.
func (v *View) check() error {
	if len(v.Serves.Pins) > bundle.MaxKeys || len(v.Holds.Pins) > bundle.MaxKeys || len(v.Refused) > 64 {
		return fmt.Errorf("the view of %s is out of bounds", v.Node)
	}
	for _, k := range []Keys{v.Serves, v.Holds} {
		if len(k.Digest) > 64 {
			return fmt.Errorf("the view of %s is out of bounds", v.Node)
		}
		for _, p := range k.Pins {
			if len(p) != 64 {
				return fmt.Errorf("the view of %s is out of bounds", v.Node)
			}
		}
	}
	return v.Terms.Check()
}

// Exchange tells a neighbour at an address what mine says, and returns what it says. held proves that it is the node.
// A *Misuse is its refusal.
func (a Asker) Exchange(
	ctx context.Context, address string, node bgp.NodeID, held *bundle.Bundle, mine Exchange,
) (*Exchange, error) {
	body, err := json.Marshal(mine)
	if err != nil {
		return nil, err
	}
	at := url.URL{Scheme: "https", Host: address, Path: ExchangePath}
	b, err := a.call(ctx, http.MethodPost, at.String(), a.spiffe(held, node.URI()), body)
	if err != nil {
		return nil, fmt.Errorf("%s at %s: %w", node, address, err)
	}
	out := new(Exchange)
	if err := json.Unmarshal(b, out); err != nil {
		return nil, fmt.Errorf("%s at %s: its answer is no JSON of an exchange", node, address)
	}
	if out.View.Node != node {
		return nil, fmt.Errorf("%s at %s: it speaks for %s", node, address, out.View.Node)
	}
	return out, out.View.check()
}

// Neighbour returns which node of which peering sends a request, by the certificate that it shows and the bundle that
// is held. A *Misuse says why it is nobody's: it was not verified in the handshake.
func (b *Book) Neighbour(r *http.Request) (*Peering, bgp.NodeID, *bundle.Bundle, error) {
	chain := Shown(r)
	if len(chain) == 0 || len(chain[0].URIs) != 1 {
		return nil, bgp.NodeID{}, nil, misuse("certificate", "no certificate of a node was shown")
	}
	node, err := bgp.ParseNodeID(chain[0].URIs[0].String())
	if err != nil {
		return nil, node, nil, misuse("certificate", "%v", err)
	}
	p := b.Peering(node.Org)
	known := false
	if p != nil {
		for _, n := range p.Nodes {
			known = known || n.Node == node
		}
	}
	if !known {
		return nil, node, nil, misuse("no-peering", "there is no peering with %s here", node)
	}
	held := b.Held(node.Org)
	if held == nil {
		return p, node, nil, misuse(FaultNoBundle, "no bundle of %s is held here", node.Org)
	}
	if err := verify(chain, held, node); err != nil {
		bad := misuse(KindOf(err, p, held), "the certificate of %s is not believed here: %v (bundle of sequence %d)", node,
			err, held.Sequence)
		bad.Handshake = handshake(b.cfg.Node, node, chain, held, bad.Kind, err.Error(), b.cfg.Now())
		return p, node, held, bad
	}
	return p, node, held, nil
}

// ReadExchange reads what a neighbour tells; false if it is out of bounds, which it has been told then.
func ReadExchange(w http.ResponseWriter, r *http.Request, from bgp.NodeID) (*Exchange, bool) {
	in := new(Exchange)
	if !ReadJSON(w, r, in) {
		return nil, false
	}
	if err := in.View.check(); err != nil || in.View.Node != from {
		Refuse(w, misuse("malformed", "it is no exchange of %s", from))
		return nil, false
	}
	return in, true
}

// Refuse answers a request with why it is refused.
func Refuse(w http.ResponseWriter, m *Misuse) {
	WriteJSON(w, http.StatusForbidden, problem{m.Kind, m.Text, m.Handshake})
}
