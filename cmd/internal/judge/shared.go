package judge

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/catalyst-router/catalyst/auth/identity"
	"github.com/catalyst-router/catalyst/bgp"
	"github.com/catalyst-router/catalyst/bgp/fsm"
	"github.com/catalyst-router/catalyst/bgp/speaker"
	"github.com/catalyst-router/catalyst/policy"
	"github.com/catalyst-router/catalyst/policy/spread"
	"github.com/catalyst-router/catalyst/policy/store"
)

// Sharing has a node share its policies with those of its organisation.
type Sharing struct {
	Self     bgp.NodeID
	Follow   func(bgp.NodeID) bool // whose sets are taken; this node may apply some if it is among them
	Identity spread.Identity
	Peers    spread.Peers
}

// Follow returns who is meant by a list of names of nodes; "*" is every node.
func Follow(names []string) func(bgp.NodeID) bool {
	named := map[string]bool{}
	for _, n := range names {
		named[n] = true
	}
	return func(n bgp.NodeID) bool { return named["*"] || named[n.Name] }
}

// resume takes up what was shared before the restart: what is on disk is believed if its signature holds.
func (j *Judge) resume(ctx context.Context) error {
	sharing := j.cfg.Sharing
	if sharing == nil {
		return nil
	}
	sh, err := j.store.Shared(ctx)
	if err != nil && !errors.Is(err, store.ErrNone) {
		return err
	}
	var head *spread.Head
	if err == nil {
		head = &spread.Head{}
		if err = json.Unmarshal(sh.Head, head); err == nil {
			err = head.Verify(sharing.Identity, sh.Packed)
		}
		if err != nil {
			j.cfg.Log.Error("the organisation's policies on disk are not as they were signed: they are asked for again",
				"error", err)
			head, sh.Packed = nil, nil
		}
	}
	set := ""
	if snap := j.engine.Snapshot(); snap != nil {
		set = snap.Hash()
	}
	j.spread = spread.New(spread.Config{Self: sharing.Self, Follow: sharing.Follow, Identity: sharing.Identity,
		Peers: sharing.Peers, Take: j.take, Log: j.cfg.Log}, head, sh.Packed, set)
	return nil
}

// take puts a set of the organisation in force, as spread.Config.Take.
func (j *Judge) take(ctx context.Context, h *spread.Head, packed []byte, b spread.Bundle) (string, error) {
	snap, err := policy.Compile(b.Source)
	if err != nil {
		return "", err
	}
	j.applying.Lock()
	defer j.applying.Unlock()
	if !h.Newer(j.spread.Head()) {
		return "", errors.New("a newer one was applied meanwhile")
	}
	head, err := json.Marshal(h)
	if err != nil {
		return "", err
	}
	by := fmt.Sprintf("%s at %s", b.By, h.Signer)
	v, err := j.store.Apply(ctx, b.Source, snap.Hash(), by, b.Note, time.Now(), &store.Shared{Head: head, Packed: packed})
	if err != nil {
		return "", err
	}
	j.publish(snap, v.Number)
	return snap.Hash(), nil
}

// sign makes a set of this node's the organisation's. The caller holds applying, and publishes it then.
func (j *Judge) sign(src policy.Source, by, note string) (*spread.Head, *store.Shared, error) {
	if !j.cfg.Sharing.Follow(j.cfg.Sharing.Self) {
		return nil, nil, fmt.Errorf("the policies of this node are those of another: apply them there, or name %s in "+
			"policy.follow of all nodes", j.cfg.Sharing.Self.Name)
	}
	h, packed, err := j.spread.Next(spread.Bundle{Source: src, By: by, Note: note})
	if err != nil {
		return nil, nil, err
	}
	head, err := json.Marshal(h)
	return h, &store.Shared{Head: head, Packed: packed}, err
}

// understood refuses a set that nodes of the organisation are too old for.
func (j *Judge) understood(ctx context.Context, level int) error {
	if old := j.spread.TooOld(ctx, level); len(old) > 0 {
		return TooOldError{old}
	}
	return nil
}

// TooOldError names the nodes that would not understand a set.
type TooOldError struct{ Nodes []string }

func (e TooOldError) Error() string {
	return fmt.Sprintf("%d nodes are too old for these policies, and would go on with those before: %.500s: upgrade them "+
		"first, or apply with --anyway", len(e.Nodes), fmt.Sprint(e.Nodes))
}

// Age is how long ago the policies in force were confirmed by the node that set them.
func (j *Judge) Age() time.Duration {
	if j.spread == nil {
		return 0
	}
	return j.spread.Age()
}

// Shared returns what the organisation's set is known by here, and which node has which; nil if this node shares none.
func (j *Judge) Shared() (*spread.Head, []spread.Holder) {
	if j.spread == nil {
		return nil, nil
	}
	return j.spread.Head(), j.spread.Holders()
}

// Heard takes what other nodes say of policies.
func (j *Judge) Heard(from bgp.NodeID, body []byte) {
	if j.spread != nil {
		j.spread.Heard(from, body)
	}
}

// Signing signs by a node's certificate, and verifies by the roots that the node knows.
type Signing struct {
	Identity *identity.Source
	Revoked  func(leaf *x509.Certificate) error // nil: nothing is
}

// Sign implements spread.Identity: ECDSA over SHA-256.
func (s Signing) Sign(text []byte) (signature []byte, chain [][]byte, err error) {
	svid, err := s.Identity.GetX509SVID()
	if err != nil {
		return nil, nil, err
	}
	for _, c := range svid.Certificates {
		chain = append(chain, c.Raw)
	}
	sum := sha256.Sum256(text)
	signature, err = svid.PrivateKey.Sign(rand.Reader, sum[:], crypto.SHA256)
	return signature, chain, err
}

// Verify implements spread.Identity.
func (s Signing) Verify(node bgp.NodeID, text, signature []byte, chain [][]byte, at time.Time) error {
	if len(chain) == 0 {
		return errors.New("there is no certificate")
	}
	leaf, err := x509.ParseCertificate(chain[0])
	if err != nil {
		return errors.New("the signer's certificate cannot be read")
	}
	if len(leaf.URIs) != 1 || leaf.URIs[0].String() != node.URI() || leaf.IsCA {
		return fmt.Errorf("the certificate is not that of %s", node)
	}
	roots, between := x509.NewCertPool(), x509.NewCertPool()
	roots.AppendCertsFromPEM(s.Identity.Material().Roots[node.Org])
	for _, der := range chain[1:] {
		if c, err := x509.ParseCertificate(der); err == nil {
			between.AddCert(c)
		}
	}
	_, err = leaf.Verify(x509.VerifyOptions{Roots: roots, Intermediates: between, CurrentTime: at,
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}})
	if err == nil && s.Revoked != nil {
		err = s.Revoked(leaf)
	}
	if err == nil {
		err = leaf.CheckSignature(x509.ECDSAWithSHA256, text, signature)
	}
	return err
}

// Router is what carries bulletins.
type Router interface {
	Query(ctx context.Context, ask func(*speaker.Speaker)) error
	Do(ctx context.Context, ev speaker.Event) error
}

// Neighbours are a router's peers of one organisation.
type Neighbours struct {
	Org    bgp.Org
	Router Router
}

// Hearing implements spread.Peers.
func (n Neighbours) Hearing(ctx context.Context) (hearing, deaf []bgp.NodeID) {
	_ = n.Router.Query(ctx, func(s *speaker.Speaker) { // it errs when the router has ended, and so has all else
		for _, p := range s.Peers() {
			switch {
			case p.State != fsm.Established || p.Config.Node.Org != n.Org:
			case p.Caps.Bulletins:
				hearing = append(hearing, p.Config.Node)
			default:
				deaf = append(deaf, p.Config.Node)
			}
		}
	})
	return hearing, deaf
}

// Say implements spread.Peers.
func (n Neighbours) Say(ctx context.Context, to bgp.NodeID, body []byte) {
	_ = n.Router.Do(ctx, speaker.Say{Peer: to, Msg: &bgp.Bulletin{Body: body}}) // it is said again
}
