// Package trust is the room of a node for other organisations: it makes of what package federation has decided the
// peers, the rules and the files of roots that follow, and keeps each side's view of the other up to date.
package trust

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/catalyst-router/catalyst/auth/bundle"
	"github.com/catalyst-router/catalyst/auth/disk"
	"github.com/catalyst-router/catalyst/auth/federation"
	"github.com/catalyst-router/catalyst/auth/identity"
	"github.com/catalyst-router/catalyst/auth/token"
	"github.com/catalyst-router/catalyst/bgp"
	"github.com/catalyst-router/catalyst/bgp/attest"
)

// Identity is the node's own, and the roots that it knows. identity.Source is one.
type Identity interface {
	Material() *identity.Material
	Certificate() (*tls.Certificate, error)
	EndpointTLS() *tls.Config
	Refused(leaf *x509.Certificate) error
	Changed() <-chan struct{}
	Reload() (bool, error)
	Dir() string
}

// Peers sets what a node peers with; package api does it as for an operator's own order.
type Peers interface {
	// SetNeighbour makes a node of another organisation a peer on these terms; what an operator set besides stays.
	SetNeighbour(ctx context.Context, n federation.Neighbour, terms *federation.Terms, label string) error
	// RemoveNeighbour ends peering with it, and tells its operator why.
	RemoveNeighbour(ctx context.Context, node bgp.NodeID, text string) error
}

// Attested keeps the keys by which organisations sign what they offer. attested.Keeper is one.
type Attested interface {
	Federate(ctx context.Context, org bgp.Org, keys []attest.Key) error
	Own(org bgp.Org) ([]attest.Key, error)
}

// Config is what the room needs.
type Config struct {
	Node     bgp.NodeID
	Data     string // directory of the audit
	Listen   string // where this node takes peers; "" if it does not
	Identity Identity
	Store    federation.Store
	// TokenKeys are the organisation's; nil for a node that has none to tell of.
	TokenKeys func() token.KeySet
	// Attested keeps the keys of attestations that come with bundles, and hands out the organisation's own; nil for none.
	Attested Attested
	// Web are the roots by which endpoints of the web are judged; nil for the system's.
	Web   *x509.CertPool
	Peers Peers
	// Happened is told what is written into the audit; nil for nobody.
	Happened func(federation.Event)
	Log      *slog.Logger
}

// Room is a node's dealings with other organisations. It is safe for concurrent use.
type Room struct {
	cfg      Config
	book     *federation.Book
	endpoint *federation.Endpoint
	asker    federation.Asker
	audit    *audit

	applying sync.Mutex // held while files and peers are made to follow the book

	mu     sync.Mutex
	own    ownRecord          // guarded by mu
	states map[bgp.Org]*state // guarded by mu
	told   chan struct{}      // guarded by mu; closed when a neighbour has said something
	// busy are the neighbours with whom an exchange is under way, and whether another one is wanted.
	busy map[bgp.NodeID]bool // guarded by mu
}

// Open reads what was kept. Nothing is served before Run.
func Open(ctx context.Context, cfg Config) (*Room, error) {
	r := &Room{
		states: map[bgp.Org]*state{},
		busy:   map[bgp.NodeID]bool{},
		told:   make(chan struct{}),
		cfg:    cfg,
		audit:  newAudit(filepath.Join(cfg.Data, auditFile), cfg.Log, cfg.Happened),
	}
	r.asker = federation.Asker{Mine: cfg.Identity.Certificate, Refused: cfg.Identity.Refused}
	var err error
	r.book, err = federation.Open(ctx, federation.Config{
		Node: cfg.Node, Store: cfg.Store, Now: time.Now, Log: cfg.Log, Audit: r.audit.write,
	})
	if err != nil {
		return nil, err
	}
	if err := r.readOwn(ctx); err != nil {
		return nil, err
	}
	r.endpoint = federation.NewEndpoint(r.book, r, cfg.Log, r.follow)
	r.endpoint.Handle("POST "+federation.ExchangePath, r.answer)
	return r, r.files()
}

// Book is what the room decides by.
func (r *Room) Book() *federation.Book { return r.book }

// TLS implements peering.Endpoint.
func (r *Room) TLS() *tls.Config { return r.cfg.Identity.EndpointTLS() }

// Take implements peering.Endpoint.
func (r *Room) Take(ctx context.Context, conn *tls.Conn) { r.endpoint.Take(ctx, conn) }

// Run serves other organisations until ctx ends.
func (r *Room) Run(ctx context.Context) error {
	tasks, ctx := errgroup.WithContext(ctx)
	tasks.Go(func() error { return r.endpoint.Run(ctx) })
	tasks.Go(func() error { return r.exchanges(ctx) })
	return tasks.Wait()
}

// Offer invites another organisation.
func (r *Room) Offer(ctx context.Context, with bgp.Org, address string, terms federation.Terms,
	life time.Duration) (*federation.Invitation, error) {
	if address == "" {
		address = r.cfg.Listen
	}
	if address == "" {
		return nil, errors.New("address: this node takes no peers (peering.listen is empty): the other side has to offer")
	}
	if at, err := bgp.ParseEndpoint(address); err == nil && (at.Host == "0.0.0.0" || at.Host == "::") {
		return nil, fmt.Errorf("address: %s is no address that %s could dial: give the one by which it reaches this node",
			address, with)
	}
	own, err := r.Bundle()
	if err != nil {
		return nil, err
	}
	return r.book.Offer(ctx, federation.Invite{With: with, Address: address, Terms: terms, Life: life, Bundle: own})
}

// Accept redeems an invitation and peers with whoever made it.
func (r *Room) Accept(ctx context.Context, inv *federation.Invitation, terms federation.Terms,
	address string) (*federation.Peering, error) {
	switch {
	case inv.With != r.cfg.Node.Org:
		return nil, fmt.Errorf("the invitation is for %s, and this node is of %s", inv.With, r.cfg.Node.Org)
	case !time.Now().Before(inv.Expires):
		return nil, fmt.Errorf("the invitation ended at %s: ask %s for another", inv.Expires.Format(time.RFC3339),
			inv.Node.Org)
	}
	if err := terms.Check(); err != nil {
		return nil, err
	}
	own, err := r.Bundle()
	if err != nil {
		return nil, err
	}
	doc, err := own.Marshal()
	if err != nil {
		return nil, err
	}
	in := federation.Redemption{Node: r.cfg.Node, Bundle: doc, Terms: terms}
	if address != "" {
		if _, err := bgp.ParseEndpoint(address); err != nil {
			return nil, fmt.Errorf("address: %w", err)
		}
		in.Addresses = []string{address}
	}
	answer, err := r.asker.Redeem(ctx, inv, in)
	if err != nil {
		var bad *federation.Misuse
		if errors.As(err, &bad) {
			return nil, fmt.Errorf("%s refuses the invitation (%s): %s", inv.Node, bad.Kind, bad.Text)
		}
		return nil, err
	}
	p, err := r.book.Accepted(ctx, inv, answer, terms)
	if err != nil {
		return nil, err
	}
	return p, r.follow(ctx, p)
}

// Set makes a peering what it is given as, with a bundle by hand or that which is held.
func (r *Room) Set(ctx context.Context, p federation.Peering, by *bundle.Bundle) error {
	if p.Org == r.cfg.Node.Org {
		return fmt.Errorf("organisation: %s is this node's own: nodes of one join it", p.Org)
	}
	if err := federation.CheckSource(p.Org, p.Source); err != nil {
		return err
	}
	for _, n := range p.Nodes {
		if n.Node.Org != p.Org {
			return fmt.Errorf("nodes: %s is not of %s", n.Node, p.Org)
		}
	}
	before := r.book.Peering(p.Org)
	if before == nil || before.Source != p.Source {
		r.mu.Lock()
		s := r.state(p.Org)
		s.poll, s.polled = nil, time.Time{} // of the former endpoint
		r.mu.Unlock()
	}
	if err := r.book.Put(ctx, p, by); err != nil {
		return err
	}
	if before != nil {
		for _, n := range before.Nodes {
			if !hasNode(p.Nodes, n.Node) {
				if err := r.cfg.Peers.RemoveNeighbour(ctx, n.Node, "no longer part of the peering"); err != nil {
					return err
				}
			}
		}
	}
	return r.follow(ctx, r.book.Peering(p.Org))
}

func hasNode(all []federation.Neighbour, n bgp.NodeID) bool {
	for _, x := range all {
		if x.Node == n {
			return true
		}
	}
	return false
}

// End ends a peering. Its routes go first, then its trust: nobody of it is believed when it returns.
func (r *Room) End(ctx context.Context, org bgp.Org, text string) (bool, error) {
	gone, err := r.book.End(ctx, org, text)
	if err != nil || gone == nil {
		return false, err
	}
	if text == "" {
		text = "the peering has ended"
	}
	var errs []error
	for _, n := range gone.Nodes {
		errs = append(errs, r.cfg.Peers.RemoveNeighbour(ctx, n.Node, text))
	}
	r.mu.Lock()
	delete(r.states, org)
	r.mu.Unlock()
	r.applying.Lock()
	defer r.applying.Unlock()
	err = os.Remove(r.rootsFile(org))
	if !errors.Is(err, fs.ErrNotExist) {
		errs = append(errs, err)
	}
	errs = append(errs, r.federate(org, nil))
	_, err = r.cfg.Identity.Reload()
	return true, errors.Join(append(errs, err)...)
}

// follow makes the files and peers what a peering wants.
func (r *Room) follow(ctx context.Context, p *federation.Peering) error {
	if err := r.files(); err != nil {
		return err
	}
	for _, n := range p.Nodes {
		if err := r.cfg.Peers.SetNeighbour(ctx, n, &p.Terms, p.Label); err != nil {
			return err
		}
	}
	return nil
}

func (r *Room) rootsFile(org bgp.Org) string {
	return filepath.Join(r.cfg.Identity.Dir(), disk.BundleFile(org))
}

// files writes the roots of every organisation as they are held, where they are not so already, and has the identity
// read them.
func (r *Room) files() error {
	r.applying.Lock()
	defer r.applying.Unlock()
	for _, p := range r.book.Peerings() {
		held, err := p.Trust.Bundle(p.Org)
		if err != nil {
			return fmt.Errorf("the bundle of %s that is kept: %w", p.Org, err)
		}
		if held == nil {
			continue // configured, no bundle yet: what an operator put there by hand stays
		}
		if err := r.federate(p.Org, held.AttestKeys); err != nil {
			return fmt.Errorf("the attestation keys of %s: %w", p.Org, err)
		}
		path := r.rootsFile(p.Org)
		if len(held.Roots) == 0 {
			if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return fmt.Errorf("remove the roots of %s: %w", p.Org, err)
			}
			continue
		}
		now, err := os.ReadFile(path)
		if err == nil && string(now) == string(held.PEM()) {
			continue
		}
		if err := disk.Replace(path, held.PEM(), 0o644); err != nil {
			return fmt.Errorf("write the roots of %s: %w", p.Org, err)
		}
	}
	_, err := r.cfg.Identity.Reload()
	return err
}

// federateTime bounds how long the router is waited for.
const federateTime = 10 * time.Second

// federate has the attestation keys of an organisation's bundle trusted.
func (r *Room) federate(org bgp.Org, keys []attest.Key) error {
	if r.cfg.Attested == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), federateTime)
	defer cancel()
	return r.cfg.Attested.Federate(ctx, org, keys)
}

// ownRecord numbers this organisation's bundle as this node serves it.
type ownRecord struct {
	Digest   string `json:"digest"`
	Sequence uint64 `json:"sequence"`
}

const ownKey = "own"

func (r *Room) readOwn(ctx context.Context) error {
	all, err := r.cfg.Store.Trust(ctx)
	if err != nil {
		return err
	}
	if spec, ok := all[ownKey]; ok {
		if err := json.Unmarshal(spec, &r.own); err != nil {
			return fmt.Errorf("read the number of this organisation's bundle: %w", err)
		}
	}
	return nil
}

// refreshHint is how often others should look whether this organisation's bundle has changed.
const refreshHint = time.Minute

// Bundle implements federation.Own: the roots and token keys of this organisation as this node knows them. Its
// sequence is the Unix time at which the node first saw them so, and grows with every change: nodes of one
// organisation that see the same changes number them alike enough that a newer content never has a lower number.
func (r *Room) Bundle() (*bundle.Bundle, error) {
	var keys token.KeySet
	if r.cfg.TokenKeys != nil {
		keys = r.cfg.TokenKeys()
	}
	org := r.cfg.Node.Org
	b, err := bundle.FromPEM(org, r.cfg.Identity.Material().Roots[org], keys)
	if err != nil {
		return nil, err
	}
	if r.cfg.Attested != nil {
		if b.AttestKeys, err = r.cfg.Attested.Own(org); err != nil {
			return nil, fmt.Errorf("this organisation's attestation keys: %w", err)
		}
		slices.SortFunc(b.AttestKeys, func(x, y attest.Key) int { return strings.Compare(x.ID, y.ID) })
	}
	b.RefreshHint = refreshHint
	r.mu.Lock()
	defer r.mu.Unlock()
	if digest := b.Digest(); digest != r.own.Digest {
		next := ownRecord{digest, max(r.own.Sequence+1, uint64(time.Now().Unix()))} //nolint:gosec // after 1970
		spec, err := json.Marshal(next)
		if err == nil {
			err = r.cfg.Store.SaveTrust(context.Background(), map[string]json.RawMessage{ownKey: spec}, nil)
		}
		if err != nil {
			return nil, fmt.Errorf("keep the number of this organisation's bundle: %w", err)
		}
		r.own = next
	}
	b.Sequence = r.own.Sequence
	return b, nil
}
