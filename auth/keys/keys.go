// Package keys holds an organisation's token signing keys: which one signs, which one will, and which still verify. A
// Ring is a value; whoever keeps it writes it down before using what Rotate returns.
//
// A key goes through slots: next (published, signs nothing), current (signs), retired (verifies until its grace is
// over), gone. Verifiers keep key sets for minutes, so a key is published well before its first signature.
package keys

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/catalyst-router/catalyst/auth/token"
)

const (
	// DefaultGrace is how long a retired key verifies.
	DefaultGrace = 24 * time.Hour
	// MaxGrace bounds it: a key that is out of use is a key that nobody watches.
	MaxGrace = 30 * 24 * time.Hour
	// MaxAge is how long verifiers may keep the key set (Cache-Control of the JWKS).
	MaxAge = 5 * time.Minute
	// Publish is how long a key stands in the key set before its first signature: twice the longest cache.
	Publish = 2 * MaxAge
)

// Slot is where a key stands.
type Slot string

// The slots, in the order in which a key goes through them.
const (
	Next    Slot = "next"
	Current Slot = "current"
	Retired Slot = "retired"
)

// Key is one signing key. It does not print its private half.
type Key struct {
	Slot      Slot
	Signer    *token.Signer
	Published time.Time // since when it is in the key set
	Signs     time.Time // since when it signs; zero for next
	Until     time.Time // when it stops verifying; zero unless retired
	private   *ecdsa.PrivateKey
}

// ID is the RFC 7638 thumbprint.
func (k *Key) ID() string { return k.Signer.Key().ID }

// String names the key and nothing secret.
func (k *Key) String() string { return string(k.Slot) + " " + k.ID() }

// Secret returns the private key as PKCS#8, for whoever seals it.
func (k *Key) Secret() ([]byte, error) { return x509.MarshalPKCS8PrivateKey(k.private) }

// Open makes a key of what Secret returned.
func Open(slot Slot, secret []byte, published, signs, until time.Time) (*Key, error) {
	parsed, err := x509.ParsePKCS8PrivateKey(secret)
	if err != nil {
		return nil, fmt.Errorf("read a signing key: %w", err)
	}
	private, ok := parsed.(*ecdsa.PrivateKey)
	if !ok {
		return nil, errors.New("read a signing key: want an ECDSA key")
	}
	switch slot {
	case Next, Current, Retired:
	default:
		return nil, fmt.Errorf("read a signing key: slot %q is not known", slot)
	}
	signer, err := token.NewSigner(private)
	if err != nil {
		return nil, fmt.Errorf("read a signing key: %w", err)
	}
	return &Key{Slot: slot, Signer: signer, Published: published, Signs: signs, Until: until, private: private}, nil
}

func generate(slot Slot, now time.Time) (*Key, error) {
	private, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("generate a signing key: %w", err)
	}
	signer, err := token.NewSigner(private)
	if err != nil {
		return nil, err
	}
	k := &Key{Slot: slot, Signer: signer, Published: now, private: private}
	if slot == Current {
		k.Signs = now
	}
	return k, nil
}

// Ring is all keys of an organisation: one current, one next, some retired. It is not changed once it is made.
type Ring struct {
	keys []*Key // current, next, then the retired, the latest first
}

// New returns a ring with a fresh current and next key.
func New(now time.Time) (*Ring, error) {
	current, err := generate(Current, now)
	if err != nil {
		return nil, err
	}
	next, err := generate(Next, now)
	if err != nil {
		return nil, err
	}
	return Of([]*Key{current, next})
}

// Of makes a ring of keys that were kept. There must be exactly one current and one next key, and no key twice.
func Of(all []*Key) (*Ring, error) {
	order := map[Slot]int{Current: 0, Next: 1, Retired: 2}
	sorted := slices.Clone(all)
	slices.SortStableFunc(sorted, func(a, b *Key) int {
		if d := order[a.Slot] - order[b.Slot]; d != 0 {
			return d
		}
		return b.Until.Compare(a.Until)
	})
	seen, slots := map[string]bool{}, map[Slot]int{}
	for _, k := range sorted {
		if seen[k.ID()] {
			return nil, fmt.Errorf("signing key %s is there twice", k.ID())
		}
		seen[k.ID()] = true
		slots[k.Slot]++
	}
	if slots[Current] != 1 || slots[Next] != 1 {
		return nil, fmt.Errorf("there are %d current and %d next signing keys, want one of each", slots[Current], slots[Next])
	}
	return &Ring{sorted}, nil
}

// Keys returns every key, current first. It is not to be changed.
func (r *Ring) Keys() []*Key { return r.keys }

// Current returns the key that signs.
func (r *Ring) Current() *Key { return r.keys[0] }

// Next returns the key that will sign after it.
func (r *Ring) Next() *Key { return r.keys[1] }

// Public returns the keys that verify at a time: the key set to publish then.
func (r *Ring) Public(now time.Time) []*token.Key {
	var all []*token.Key
	for _, k := range r.keys {
		if k.Slot != Retired || now.Before(k.Until) {
			all = append(all, k.Signer.Key())
		}
	}
	return all
}

// How says how a rotation treats the keys before.
type How struct {
	// Grace is how long the former current key goes on verifying; 0 to 720 h. Ignored when Immediate.
	Grace time.Duration
	// Immediate is for keys that leaked: none of those before verifies any more, and the next key signs even if some
	// verifiers do not know it yet.
	Immediate bool
}

// Rotate makes the next key current, and a new one next. Keys whose grace is over, and with How.Immediate all earlier
// ones, are in gone: they are to be revoked and forgotten.
func (r *Ring) Rotate(now time.Time, how How) (ring *Ring, gone []*Key, err error) {
	if how.Grace < 0 || how.Grace > MaxGrace {
		return nil, nil, fmt.Errorf("grace of %s: want 0s to %s", how.Grace, MaxGrace)
	}
	if ready := r.Next().Published.Add(Publish); !how.Immediate && now.Before(ready) {
		return nil, nil, &TooEarly{Ready: ready}
	}
	fresh, err := generate(Next, now)
	if err != nil {
		return nil, nil, err
	}
	current := *r.Next()
	current.Slot, current.Signs = Current, now
	kept := []*Key{&current, fresh}
	former := *r.Current()
	former.Slot, former.Until = Retired, now.Add(how.Grace)
	for _, k := range append([]*Key{&former}, r.keys[2:]...) {
		if how.Immediate || !now.Before(k.Until) {
			gone = append(gone, k)
		} else {
			kept = append(kept, k)
		}
	}
	ring, err = Of(kept)
	return ring, gone, err
}

// Expire returns the ring without the retired keys whose grace is over, and those.
func (r *Ring) Expire(now time.Time) (ring *Ring, gone []*Key) {
	var kept []*Key
	for _, k := range r.keys {
		if k.Slot == Retired && !now.Before(k.Until) {
			gone = append(gone, k)
		} else {
			kept = append(kept, k)
		}
	}
	return &Ring{kept}, gone
}

// TooEarly tells that some verifiers may not know the next key yet.
type TooEarly struct {
	Ready time.Time
}

// Error implements error.
func (e *TooEarly) Error() string {
	return fmt.Sprintf("the next key is in the key set for less than %s, and some verifiers may not have it: wait "+
		"until %s, or rotate immediately if the current key leaked",
		Publish, e.Ready.UTC().Format(time.RFC3339))
}
