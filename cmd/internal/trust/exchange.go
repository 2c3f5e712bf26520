package trust

import (
	"context"
	"crypto/x509"
	"errors"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/catalyst-router/catalyst/auth/bundle"
	"github.com/catalyst-router/catalyst/auth/federation"
	"github.com/catalyst-router/catalyst/bgp"
)

const (
	exchangeEvery = 20 * time.Second
	exchangesMost = 16 // under way at once
	pollEvery     = time.Minute
	pollLeast     = 10 * time.Second
)

// state is what is known of a peering besides what is kept.
type state struct {
	begun   time.Time
	view    *federation.View
	heard   time.Time // when view came
	checked time.Time // when its bundle was last found to be the newest
	err     error     // of the last exchange that this side began
	refused error     // why its last bundle was not taken
	at      time.Time // of refused
	poll    error
	polled  time.Time
	since   map[string]time.Time // of faults, by kind
	// refusals are handshakes that were refused, by either side, the latest first.
	refusals []federation.Handshake
}

// note remembers a handshake that was refused.
func (r *Room) note(org bgp.Org, h federation.Handshake) {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.state(org)
	s.refusals = federation.Remember(s.refusals, h)
}

// state returns that of an organisation. The caller holds mu.
func (r *Room) state(org bgp.Org) *state {
	s := r.states[org]
	if s == nil {
		s = &state{begun: time.Now(), since: map[string]time.Time{}}
		r.states[org] = s
	}
	return s
}

// exchanges tells every neighbour how it stands, again and again until ctx ends: at once when something changes here.
// A neighbour that does not answer holds up no other.
func (r *Room) exchanges(ctx context.Context) error {
	identity := r.cfg.Identity.Changed()
	tick := time.NewTicker(exchangeEvery)
	defer tick.Stop()
	var under sync.WaitGroup
	defer under.Wait()
	slots := make(chan struct{}, exchangesMost)
	for {
		changed := r.book.Changed()
		r.exchangeAll(ctx, &under, slots)
		r.pollAll(ctx, &under)
		select {
		case <-ctx.Done():
			return nil
		case <-identity:
		case <-changed:
		case <-tick.C:
		}
	}
}

// exchangeAll begins an exchange with every neighbour that can be dialled. One with whom an exchange is under way
// has another one after it.
func (r *Room) exchangeAll(ctx context.Context, under *sync.WaitGroup, slots chan struct{}) {
	for _, p := range r.book.Peerings() {
		for _, node := range p.Nodes {
			if len(node.Addresses) == 0 || !r.claim(node.Node) {
				continue
			}
			under.Go(func() {
				for again := true; again && ctx.Err() == nil; again = r.release(node.Node) {
					slots <- struct{}{}
					if now := r.book.Peering(p.Org); now != nil {
						r.exchange(ctx, now, node)
					}
					<-slots
				}
			})
		}
	}
}

// claim tells whether an exchange with a node may begin; if one is under way, there will be another.
func (r *Room) claim(n bgp.NodeID) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, under := r.busy[n]; under {
		r.busy[n] = true
		return false
	}
	r.busy[n] = false
	return true
}

// release ends an exchange, and tells whether another one is wanted.
func (r *Room) release(n bgp.NodeID) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.busy[n] {
		r.busy[n] = false
		return true
	}
	delete(r.busy, n)
	return false
}

// exchange exchanges with one neighbour.
func (r *Room) exchange(ctx context.Context, p *federation.Peering, n federation.Neighbour) {
	held := r.book.Held(p.Org)
	if held == nil {
		return
	}
	mine, err := r.mine(p)
	var theirs *federation.Exchange
	if err == nil {
		for _, at := range n.Addresses {
			if theirs, err = r.asker.Exchange(ctx, at, n.Node, held, *mine); err == nil {
				break
			}
		}
	}
	if ctx.Err() != nil {
		return
	}
	r.mu.Lock()
	r.state(p.Org).err = err
	r.mu.Unlock()
	if h := federation.RefusedBy(r.cfg.Node, p, n.Node, held, err, time.Now()); h != nil {
		r.note(p.Org, *h)
	}
	var bad *federation.Misuse
	if errors.As(err, &bad) && bad.Handshake != nil {
		for _, h := range federation.ToldBy(n.Node, r.cfg.Node, []federation.Handshake{*bad.Handshake}) {
			r.note(p.Org, h)
		}
	}
	if err == nil {
		r.hear(ctx, p, held, theirs)
	}
}

// mine is what this side says to an organisation.
func (r *Room) mine(p *federation.Peering) (*federation.Exchange, error) {
	own, err := r.Bundle()
	if err != nil {
		return nil, err
	}
	cert, err := r.cfg.Identity.Certificate()
	if err != nil {
		return nil, err
	}
	signed, err := federation.Sign(cert, r.cfg.Node, p.Org, own)
	if err != nil {
		return nil, err
	}
	m := r.cfg.Identity.Material()
	out := &federation.Exchange{Statement: signed, View: federation.View{
		Node: r.cfg.Node, Now: time.Now().UTC(), Serves: federation.KeysOf(own), Holds: federation.KeysOf(r.book.Held(p.Org)),
		Terms: p.Terms, From: m.Issued.UTC(), Until: m.Expires.UTC(),
	}}
	r.mu.Lock()
	defer r.mu.Unlock()
	if refused := r.state(p.Org).refused; refused != nil {
		out.View.Refused = federation.FaultStaleBundle
		if errors.Is(refused, federation.ErrOlder) {
			out.View.Refused = federation.FaultOlderSequence
		}
	}
	for _, h := range r.state(p.Org).refusals {
		if h.By == r.cfg.Node {
			out.View.Handshakes = append(out.View.Handshakes, h)
		}
	}
	return out, nil
}

// hear takes over what a neighbour says.
func (r *Room) hear(ctx context.Context, p *federation.Peering, held *bundle.Bundle, in *federation.Exchange) {
	fresh, err := federation.Verify(in.Statement, r.cfg.Node.Org, held)
	if err == nil {
		err = r.take(ctx, fresh, federation.ByPeering)
	}
	if e := r.book.Declared(ctx, p.Org, in.View.Terms); e != nil {
		r.cfg.Log.Error("what another organisation declares is not kept", "organisation", string(p.Org), "error", e)
	}
	for _, h := range slices.Backward(federation.ToldBy(in.View.Node, r.cfg.Node, in.View.Handshakes)) {
		r.note(p.Org, h)
	}
	now := time.Now()
	r.mu.Lock()
	s := r.state(p.Org)
	s.view, s.heard, s.refused = &in.View, now, err
	if s.err != nil && federation.KindOf(s.err, p, held) != federation.FaultEndpointDown {
		s.err = nil // it is believed again
	}
	if s.at = now; err == nil {
		s.checked = now
	}
	close(r.told)
	r.told = make(chan struct{})
	r.mu.Unlock()
	if err != nil {
		r.cfg.Log.Warn("a bundle of another organisation is not taken", "organisation", string(p.Org), "node",
			in.View.Node.String(), "error", err)
	}
}

// take takes over a newer bundle and has everything follow.
func (r *Room) take(ctx context.Context, fresh *bundle.Bundle, by string) error {
	changed, err := r.book.Take(ctx, fresh, by)
	if err != nil || !changed {
		return err
	}
	r.cfg.Log.Info("another organisation's bundle changed", "organisation", string(fresh.Org), "sequence", fresh.Sequence,
		"roots", len(fresh.Roots), "token_keys", len(fresh.TokenKeys), "by", by, "left_out", fresh.Skipped)
	return r.files()
}

// answer serves an exchange that a neighbour begins.
func (r *Room) answer(w http.ResponseWriter, req *http.Request) {
	p, node, held, err := r.book.Neighbour(req)
	var bad *federation.Misuse
	if errors.As(err, &bad) {
		if p != nil { // it is one of ours, by its name: both sides shall know why it is not believed
			r.mu.Lock()
			r.state(p.Org).err = bad
			r.mu.Unlock()
			if bad.Handshake != nil {
				r.note(p.Org, *bad.Handshake)
			}
			r.cfg.Log.Warn("a neighbour is not believed", "node", node.String(), "kind", bad.Kind, "reason", bad.Text,
				"from", req.RemoteAddr)
		}
		federation.Refuse(w, bad)
		return
	}
	in, ok := federation.ReadExchange(w, req, node)
	if !ok {
		return
	}
	r.hear(req.Context(), p, held, in)
	mine, err := r.mine(p)
	if err != nil {
		r.cfg.Log.Error("an exchange cannot be answered", "node", node.String(), "error", err)
		http.Error(w, "not just now: try again", http.StatusServiceUnavailable)
		return
	}
	federation.WriteJSON(w, http.StatusOK, mine)
}

// pollAll begins to read the endpoints that are due.
func (r *Room) pollAll(ctx context.Context, under *sync.WaitGroup) {
	for _, p := range r.book.Peerings() {
		if p.Source.URL == "" {
			continue
		}
		held := r.book.Held(p.Org)
		every := pollEvery
		if held != nil && held.RefreshHint > 0 {
			every = max(held.RefreshHint, pollLeast)
		}
		r.mu.Lock()
		s := r.state(p.Org)
		due := time.Since(s.polled) >= every
		if due {
			s.polled = time.Now()
		}
		r.mu.Unlock()
		if due {
			under.Go(func() { r.poll(ctx, p, held) })
		}
	}
}

func (r *Room) poll(ctx context.Context, p *federation.Peering, held *bundle.Bundle) {
	fresh, err := r.asker.Fetch(ctx, p.Org, p.Source, held, r.cfg.Web)
	if err == nil {
		err = r.take(ctx, fresh, federation.ByPoll)
	}
	if ctx.Err() != nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.state(p.Org)
	if err != nil && s.poll == nil {
		r.cfg.Log.Warn("the endpoint of another organisation's bundle cannot be read; what is held of it stays",
			"organisation", string(p.Org), "url", p.Source.URL, "holds_one", held != nil, "error", err)
	}
	if s.poll = err; err == nil {
		s.checked = time.Now()
	}
}

// Published tells whether every neighbour that is heard of holds these roots of this organisation, in PEM. It waits a
// second for one that does not: as long as it says no, the node does not tell its identity service that it uses them,
// so that no certificate is signed by a root that others do not know.
func (r *Room) Published(ctx context.Context, roots []byte) bool {
	own, err := bundle.FromPEM(r.cfg.Node.Org, roots, nil)
	if err != nil {
		return true // that is for others to say
	}
	wait := time.NewTimer(time.Second)
	defer wait.Stop()
	for {
		r.mu.Lock()
		told := r.told
		missing := false
		for _, p := range r.book.Peerings() {
			s := r.states[p.Org]
			if s == nil || s.view == nil || time.Since(s.heard) > 2*time.Minute {
				continue // nobody to wait for
			}
			for _, pin := range own.Pins() {
				missing = missing || !slices.Contains(s.view.Holds.Pins, pin)
			}
		}
		r.mu.Unlock()
		if !missing {
			return true
		}
		select {
		case <-told:
		case <-wait.C:
			return false
		case <-ctx.Done():
			return false
		}
	}
}

// Standing is how it stands with a peering.
type Standing struct {
	Checked   time.Time // when its bundle was last found to be the newest; zero if never
	Refused   string    // why its last one was not taken; "" if it was
	RefusedAt time.Time
	Faults    []federation.Fault
	Since     []time.Time // of each fault
	// Handshakes are those that either side refused, the latest first.
	Handshakes []federation.Handshake
}

// Standing tells how it stands with a peering.
func (r *Room) Standing(p *federation.Peering) Standing {
	own, err := r.Bundle()
	if err != nil {
		r.cfg.Log.Error("this organisation's bundle", "error", err)
		own = &bundle.Bundle{Org: r.cfg.Node.Org}
	}
	m := r.cfg.Identity.Material()
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.state(p.Org)
	now := time.Now()
	out := Standing{Checked: s.checked, Handshakes: s.refusals, Faults: federation.Faults(&federation.Seen{
		Now: now, Node: r.cfg.Node, Peering: p, Own: own, Held: r.book.Held(p.Org), From: m.Issued, Until: m.Expires,
		Root: r.signer(own), View: s.view, Heard: s.heard, Begun: s.begun, Err: s.err, Refused: s.refused, Poll: s.poll,
	})}
	if s.refused != nil {
		out.Refused, out.RefusedAt = s.refused.Error(), s.at
	}
	there := map[string]time.Time{}
	for _, f := range out.Faults {
		if there[f.Kind] = s.since[f.Kind]; there[f.Kind].IsZero() {
			there[f.Kind] = now
		}
		out.Since = append(out.Since, there[f.Kind])
	}
	s.since = there
	return out
}

// signer is the pin of the root that signed this node's certificate; "" if that is not found.
func (r *Room) signer(own *bundle.Bundle) string {
	cert, err := r.cfg.Identity.Certificate()
	if err != nil || len(cert.Certificate) == 0 {
		return ""
	}
	top, err := x509.ParseCertificate(cert.Certificate[len(cert.Certificate)-1])
	if err != nil {
		return ""
	}
	for i, root := range own.Roots {
		if top.CheckSignatureFrom(root) == nil {
			return own.Pins()[i]
		}
	}
	return ""
}
