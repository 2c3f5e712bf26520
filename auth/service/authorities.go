package service

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha512"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"time"

	"github.com/catalyst-router/catalyst/auth/ca"
	"github.com/catalyst-router/catalyst/auth/join"
	"github.com/catalyst-router/catalyst/auth/keys"
	"github.com/catalyst-router/catalyst/auth/revoke"
	"github.com/catalyst-router/catalyst/auth/store"
	"github.com/catalyst-router/catalyst/auth/token"
)

// RotationWait is how long a new root is published before anything is signed with it, if some nodes do not say that
// they use it.
const RotationWait = time.Hour

const renewBefore = 30 * 24 * time.Hour // an authority of ours is followed by another so long before its end

// authorityIn returns the authority that signs, as the change under way sees it.
func (s *Service) authorityIn(ctx context.Context, tx *store.Tx) (*ca.Authority, string, error) {
	rows, err := tx.Authorities(ctx)
	if err != nil {
		return nil, "", err
	}
	snap := s.snapshot.Load()
	for _, k := range rows {
		switch {
		case keys.Slot(k.Slot) != keys.Current:
		case k.ID == snap.currentID:
			return snap.current, k.ID, nil
		default:
			a, err := s.openAuthority(k)
			return a, k.ID, err
		}
	}
	return nil, "", errors.New("there is no current authority")
}

// Authorities returns the certificate authorities, for lists: without their keys.
func (s *Service) Authorities() []store.Sealed {
	var all []store.Sealed
	for _, k := range s.snapshot.Load().authorities {
		k.Secret = ""
		all = append(all, k)
	}
	return all
}

// RotateCA begins a rotation of the authority: a new root is published, and signs as soon as every node says that it
// uses it, or after RotationWait. With immediate it signs at once; with compromised besides, the former is not
// trusted any more: every node has to come back with a hand on its machine or a join token.
func (s *Service) RotateCA(ctx context.Context, c Caller, immediate, compromised bool) error {
	if err := s.admin(ctx, c, "ca.rotate", ""); err != nil {
		return err
	}
	root, err := ca.NewRoot(s.cfg.Org, ca.RootLife)
	if err != nil {
		return err
	}
	now := s.cfg.Now()
	e := store.Entry{Actor: c.Name, Action: "ca.rotate", Target: authorityID(root)}
	return s.write(ctx, e, func(ctx context.Context, tx *store.Tx) error {
		rows, err := tx.Authorities(ctx)
		if err != nil {
			return err
		}
		fresh, err := s.sealAuthority(root, keys.Next, now)
		if err != nil {
			return err
		}
		var kept []store.Sealed
		for _, k := range rows {
			switch {
			case keys.Slot(k.Slot) == keys.Next && !immediate:
				return conflict("a rotation is under way since %s: it goes on by itself", k.Published.UTC().Format(time.RFC3339))
			case keys.Slot(k.Slot) == keys.Next, compromised:
				continue
			}
			kept = append(kept, k)
		}
		tx.Note("immediate %v, compromised %v", immediate, compromised)
		if compromised {
			fresh.Slot, fresh.Signs = string(keys.Current), now
			return tx.SetAuthorities(ctx, []store.Sealed{fresh})
		}
		if err := tx.SetAuthorities(ctx, append(kept, fresh)); err != nil || !immediate {
			return err
		}
		return s.promote(ctx, tx)
	})
}

// promote makes the next authority sign. The former one signs its successor, so that those who slept can follow, and
// stays trusted until the last certificate that it signed has ended.
func (s *Service) promote(ctx context.Context, tx *store.Tx) error {
	rows, err := tx.Authorities(ctx)
	if err != nil {
		return err
	}
	now := s.cfg.Now()
	var current, next *store.Sealed
	for i := range rows {
		switch keys.Slot(rows[i].Slot) {
		case keys.Current:
			current = &rows[i]
		case keys.Next:
			next = &rows[i]
		}
	}
	if current == nil || next == nil {
		return conflict("no rotation is under way")
	}
	last, err := tx.LastExpiry(ctx, current.ID)
	if err != nil {
		return err
	}
	if err := s.keepSuccession(ctx, tx, *current, *next); err != nil {
		return err
	}
	current.Slot, current.Ends = string(keys.Retired), later(last, now.Add(ca.MaxLife))
	next.Slot, next.Signs = string(keys.Current), now
	return tx.SetAuthorities(ctx, rows)
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// moveAuthorities promotes a next authority whose time has come, drops retired ones, and begins a rotation before a
// root of ours ends.
func (s *Service) moveAuthorities(ctx context.Context) error {
	now := s.cfg.Now()
	snap := s.snapshot.Load()
	for _, k := range snap.authorities {
		switch {
		case keys.Slot(k.Slot) == keys.Next:
			ready, err := s.allUse(ctx, k, now)
			if err != nil || !ready {
				return err
			}
			e := store.Entry{Actor: "service", Action: "ca.promote", Target: k.ID}
			return s.write(ctx, e, s.promote)
		case keys.Slot(k.Slot) == keys.Retired && !now.Before(k.Ends):
			e := store.Entry{Actor: "service", Action: "ca.drop", Target: k.ID}
			return s.write(ctx, e, func(ctx context.Context, tx *store.Tx) error { return s.drop(ctx, tx, k.ID) })
		}
	}
	if snap.next == nil && snap.current.Until().Sub(now) < renewBefore && selfSigned(snap.current) {
		return s.RotateCA(ctx, Owner(), !now.Before(snap.current.Until()), false)
	}
	return nil
}

func selfSigned(a *ca.Authority) bool { return string(a.ChainPEM()) == string(a.Roots()) }

func (s *Service) drop(ctx context.Context, tx *store.Tx, id string) error {
	rows, err := tx.Authorities(ctx)
	if err != nil {
		return err
	}
	var kept []store.Sealed
	for _, k := range rows {
		if k.ID != id || keys.Slot(k.Slot) != keys.Retired {
			kept = append(kept, k)
		}
	}
	return tx.SetAuthorities(ctx, kept)
}

// allUse tells whether every node whose certificate is valid uses the roots that hold the new one, or enough time has
// passed.
func (s *Service) allUse(ctx context.Context, next store.Sealed, now time.Time) (bool, error) {
	if now.Sub(next.Published) >= RotationWait {
		return true, nil
	}
	nodes, err := s.cfg.Store.Nodes(ctx)
	if err != nil {
		return false, err
	}
	want := hashText(s.Roots())
	for _, n := range nodes {
		if n.State == store.NodeActive && now.Before(n.Expires) && n.Roots != want {
			return false, nil
		}
	}
	return true, nil
}

// Uses keeps that a node said which roots it uses.
func (s *Service) Uses(ctx context.Context, node string, roots string) error {
	n, err := s.cfg.Store.Node(ctx, node)
	if err != nil || n == nil || n.Roots == roots {
		return err
	}
	e := store.Entry{Actor: "node " + node, Action: "node.roots", Target: node, Detail: clip(roots)}
	err = s.write(ctx, e, func(ctx context.Context, tx *store.Tx) error {
		n, err := tx.Node(ctx, node)
		if err != nil || n == nil {
			return err
		}
		n.Roots = roots
		return tx.PutNode(ctx, *n)
	})
	if err == nil && s.snapshot.Load().next != nil {
		err = s.moveAuthorities(ctx)
	}
	return err
}

// succession is a change of the root as it is kept.
type succession struct {
	From string // id of the root before
	To   string // id of the new one
	join.Succession
}

// keepSuccession has the former authority sign the new root.
func (s *Service) keepSuccession(ctx context.Context, tx *store.Tx, from, to store.Sealed) error {
	former, err := s.openAuthority(from)
	if err != nil {
		return err
	}
	successor, err := s.openAuthority(to)
	if err != nil {
		return err
	}
	if !selfSigned(former) {
		return nil // its root is the operator's own PKI, which outlives it
	}
	block, _ := pem.Decode(successor.Roots())
	step := join.Succession{Root: block.Bytes}
	if step.Signature, err = signSuccession(former, block.Bytes); err != nil {
		return err
	}
	all, err := successions(ctx, tx.Reader)
	if err != nil {
		return err
	}
	b, err := json.Marshal(append(all, succession{from.ID, to.ID, step}))
	if err != nil {
		return err
	}
	return tx.Set(ctx, "successions", string(b))
}

func signSuccession(former *ca.Authority, root []byte) ([]byte, error) {
	text, err := former.KeyPEM()
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(text)
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, err
	}
	key, ok := parsed.(*ecdsa.PrivateKey)
	if !ok {
		return nil, errors.New("the authority's key is not ECDSA")
	}
	sum := sha512.Sum384(join.SuccessionText(root))
	return key.Sign(rand.Reader, sum[:], crypto.SHA384)
}

func successions(ctx context.Context, r store.Reader) (all []succession, err error) {
	text, err := r.Setting(ctx, "successions")
	if err != nil || text == "" {
		return nil, err
	}
	if err := json.Unmarshal([]byte(text), &all); err != nil {
		return nil, fmt.Errorf("read how roots followed one another: %w", err)
	}
	return all, nil
}

// Successions returns the steps from a root, given by its id, to the one that signs now.
func (s *Service) Successions(ctx context.Context, from string) ([]join.Succession, error) {
	all, err := successions(ctx, s.cfg.Store.Reader)
	if err != nil {
		return nil, err
	}
	var steps []join.Succession
	for _, step := range all {
		if step.From == from {
			steps, from = append(steps, step.Succession), step.To
		}
	}
	return steps, nil
}

// RootsHash names roots, as a node says which ones it uses.
func RootsHash(roots []byte) string { return hashText(roots) }

// IssueService signs the certificate of the identity service itself, and keeps that it did.
func (s *Service) IssueService(key crypto.PublicKey, hosts []string, life time.Duration) (*ca.SVID, error) {
	snap := s.snapshot.Load()
	svid, err := snap.own.IssueService(key, hosts, life)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), callTime)
	defer cancel()
	uri := ca.ServiceURI(s.cfg.Org)
	e := store.Entry{Actor: "service", Action: "certificate.issue", Target: uri}
	return svid, s.write(ctx, e, func(ctx context.Context, tx *store.Tx) error {
		return tx.AddCertificate(ctx, store.Certificate{
			Serial: revoke.SerialText(svid.Leaf), Subject: uri, Thumbprint: token.ThumbprintOf(svid.Leaf).String(),
			Authority: snap.ownID,
			Issued:    s.cfg.Now(), Expires: svid.Leaf.NotAfter,
		})
	})
}

const callTime = 15 * time.Second
