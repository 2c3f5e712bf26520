package token

import (
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"math/big"
	"sync"

	"github.com/hashicorp/golang-lru/v2/simplelru"
)

const (
	shards         = 16
	rememberedBad  = 4096 // signatures that were found wrong
	defaultEntries = 32 << 10
)

// verified is a token whose signature was right. What can change (time, revocation, key, issuer, the caller's
// certificate) is looked at at every use.
type verified struct {
	claims *Claims
	issuer *Issuer
	key    *Key
	first  []byte // the signature
	second []byte // its twin (r, n−s), which is as good: an ECDSA signature can be turned into it by anybody
}

// by tells whether signature, in base64url, is one of the two that are right.
func (e *verified) by(signature string) bool {
	var buf [signatureBytes]byte
	if len(signature) != signatureText {
		return len(e.second) == 0 && signature == string(e.first) // not ECDSA over P-384: kept as text
	}
	n, err := base64.RawURLEncoding.Decode(buf[:], []byte(signature))
	if err != nil || n != signatureBytes {
		return false
	}
	return subtle.ConstantTimeCompare(buf[:], e.first)|subtle.ConstantTimeCompare(buf[:], e.second) == 1
}

// twins returns a P-384 signature and its twin.
func twins(signature []byte) (first, second []byte) {
	half := signatureBytes / 2
	s := new(big.Int).SetBytes(signature[half:])
	s.Sub(elliptic.P384().Params().N, s)
	second = append(make([]byte, 0, signatureBytes), signature[:half]...)
	return signature, s.FillBytes(append(second, make([]byte, half)...)[half:])
}

// cache keeps verified tokens under the hash of what was signed, so that one token takes one place, whatever is done
// to its signature.
type cache struct {
	good [shards]shard[*verified]
	bad  shard[*Key] // the hash of a whole token → the key that it is not signed by
}

type digest = [sha256.Size]byte

type shard[V any] struct {
	mu  sync.Mutex
	lru *simplelru.LRU[digest, V] // guarded by mu
}

func newCache(entries int) *cache {
	c := &cache{}
	for i := range c.good {
		c.good[i].lru, _ = simplelru.NewLRU[digest, *verified](max(1, entries/shards), nil) // fails on sizes below 1 only
	}
	c.bad.lru, _ = simplelru.NewLRU[digest, *Key](rememberedBad, nil)
	return c
}

func (c *cache) at(h digest) *shard[*verified] { return &c.good[h[0]%shards] }

func (s *shard[V]) get(h digest) (V, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.lru.Get(h)
}

func (s *shard[V]) put(h digest, v V) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lru.Add(h, v)
}

func (s *shard[V]) drop(h digest) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lru.Remove(h)
}

func (s *shard[V]) len() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.lru.Len()
}
