// Package revoke tells what an organisation does not believe any more, in memory and within nanoseconds: tokens by
// id, subject, certificate or key, and certificates by serial number, node or thumbprint. What is revoked comes as
// signed deltas in the order of their sequence numbers; each says when the next is due, so that a feed that stopped
// is noticed.
//
//	set := revoke.NewSet("https://auth.acme.example")
//	err := set.Apply(delta, time.Now())           // a *Gap asks for all from its sequence number on
//	err = set.Check(claims, time.Now())           // as token.Revocations
//	err = set.CheckCertificate(leaf, time.Now())  // in tls.Config.VerifyConnection
package revoke

import (
	"crypto/x509"
	"fmt"
	"math/big"
	"strings"
	"sync"
	"time"

	"github.com/catalyst-router/catalyst/auth/token"
)

// Kind is what a revocation is about.
type Kind string

// The kinds.
const (
	Token       Kind = "jti"     // one token
	Subject     Kind = "subject" // tokens of a subject that were issued up to then
	Certificate Kind = "x5t#S256"
	Serial      Kind = "serial" // a certificate's serial number, in hexadecimal
	Node        Kind = "node"   // a SPIFFE id: every certificate of it, until it is lifted
	Key         Kind = "kid"    // a token signing key, and all it signed
)

// ParseKind accepts the names of the kinds.
func ParseKind(s string) (Kind, error) {
	switch k := Kind(s); k {
	case Token, Subject, Certificate, Serial, Node, Key:
		return k, nil
	}
	return "", fmt.Errorf("revocation %q: want jti, subject, x5t#S256, serial, node or kid", s)
}

// Entry is one revocation, or with Lifted the end of one.
type Entry struct {
	Seq     int64  `json:"seq"`
	Kind    Kind   `json:"kind"`
	Value   string `json:"value"`
	At      int64  `json:"at"`      // seconds since 1970
	Expires int64  `json:"expires"` // when nothing that it is about can be valid any more
	Lifted  bool   `json:"lifted,omitempty"`
}

// Delta is what a feed says: all that changed after one sequence number, up to and with another.
type Delta struct {
	Issuer   string  `json:"iss"`
	After    int64   `json:"after"`
	Seq      int64   `json:"seq"`
	Issued   int64   `json:"iat"`         // seconds since 1970
	Interval int64   `json:"next_update"` // seconds until the next one is due, whether anything changed or not
	Entries  []Entry `json:"revocations"`
}

// Gap tells that deltas are missing.
type Gap struct {
	Have, Got int64
}

// Error implements error.
func (g *Gap) Error() string {
	return fmt.Sprintf("revocations up to %d are known, and the next that came follow %d", g.Have, g.Got)
}

// How much later than due an update may be.
const (
	sensitiveLimit = 2  // intervals, until sensitive actions are refused
	limit          = 10 // intervals, until everything is
	maxInterval    = 10 * time.Minute
	skew           = 5 * time.Minute // clocks may differ by as much before an entry is forgotten
)

type id struct {
	kind  Kind
	value string
}

// Set is what one issuer revoked. It is safe for concurrent use.
type Set struct {
	issuer string

	mu       sync.RWMutex
	entries  map[id]Entry
	bound    int // entries of kind Certificate
	seq      int64
	heard    time.Time     // when the last delta came; zero before the first
	interval time.Duration // within which the next is due
	changed  chan struct{} // closed at each change, and replaced
	tell     []func()      // are called at each change, without mu
	prune    time.Time
	// recalled tells that the entries are those of before a restart, until all of them have come anew.
	recalled bool
}

var _ token.Revocations = (*Set)(nil)

// NewSet returns an empty set that has heard of nothing yet: until its first delta it is stale.
func NewSet(issuer string) *Set {
	return &Set{issuer: issuer, entries: map[id]Entry{}, changed: make(chan struct{})}
}

// Seq is the sequence number up to which everything is known.
func (s *Set) Seq() int64 {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.seq
}

// Len is how many revocations are remembered.
func (s *Set) Len() int {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return len(s.entries)
}

// Changed returns a channel that is closed when something is revoked or lifted.
func (s *Set) Changed() <-chan struct{} {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.changed
}

// Apply takes a delta, which has to be verified already. One that is known is ignored, one that leaves a gap is a
// *Gap and changes nothing.
func (s *Set) Apply(d *Delta, now time.Time) error {
	interval := time.Duration(d.Interval) * time.Second
	switch {
	case d.Issuer != s.issuer:
		return fmt.Errorf("revocations of another issuer")
	case d.Seq < d.After || interval <= 0 || interval > maxInterval:
		return fmt.Errorf("revocations that contradict themselves")
	}
	tell, err := s.apply(d, interval, now)
	for _, f := range tell {
		f()
	}
	return err
}

// apply returns who is to be told of a change.
func (s *Set) apply(d *Delta, interval time.Duration, now time.Time) (tell []func(), err error) {
	issued := time.Unix(d.Issued, 0)
	s.mu.Lock()
	defer s.mu.Unlock()
	if d.After > s.seq {
		return nil, &Gap{s.seq, d.After}
	}
	if d.Seq < s.seq {
		return nil, nil // an old one, again: it says nothing about now
	}
	changed := false
	if s.recalled { // the first delta after a restart is all that there is: nothing is asked for after a number
		s.entries, s.bound, s.recalled, changed = map[id]Entry{}, 0, false, true
	}
	for _, e := range d.Entries {
		if e.Seq > s.seq && e.Seq <= d.Seq {
			s.take(e)
			changed = true
		}
	}
	s.seq = d.Seq
	// A delta that was held back tells of the time when it was made, not of now.
	if at := earliest(now, issued.Add(skew)); at.After(s.heard) {
		s.heard, s.interval = at, interval
	}
	if changed {
		close(s.changed)
		s.changed = make(chan struct{})
		tell = s.tell
	}
	s.forget(now)
	return tell, nil
}

// Recall takes over what was known before a restart, as State returned it. It is looked at as any other, and is as old
// as it says; the first delta, which tells all, takes its place. A set that has heard already stays as it is.
func (s *Set) Recall(k *Known, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if k.Issuer != s.issuer || !s.heard.IsZero() || k.Interval <= 0 || k.Interval > int64(maxInterval/time.Second) {
		return
	}
	for _, e := range k.Entries {
		s.take(e)
	}
	s.heard, s.interval, s.recalled = earliest(now, time.Unix(k.Heard, 0)), time.Duration(k.Interval)*time.Second, true
}

// Known is what a set knows at one moment, to be kept for a restart.
type Known struct {
	Issuer   string  `json:"iss"`
	Heard    int64   `json:"heard"`       // seconds since 1970
	Interval int64   `json:"next_update"` // seconds
	Entries  []Entry `json:"revocations"` // in no order
}

// State returns what is known; nil if nothing was heard.
func (s *Set) State() *Known {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.heard.IsZero() {
		return nil
	}
	k := &Known{Issuer: s.issuer, Heard: s.heard.Unix(), Interval: int64(s.interval / time.Second)}
	for _, e := range s.entries {
		k.Entries = append(k.Entries, e)
	}
	return k
}

// notify has f called at each change from now on.
func (s *Set) notify(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tell = append(s.tell[:len(s.tell):len(s.tell)], f)
}

func earliest(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

func (s *Set) take(e Entry) {
	k := id{e.Kind, e.Value}
	s.drop(k)
	if e.Lifted {
		return
	}
	s.entries[k] = e
	if e.Kind == Certificate {
		s.bound++
	}
}

func (s *Set) drop(k id) {
	if _, there := s.entries[k]; there && k.kind == Certificate {
		s.bound--
	}
	delete(s.entries, k)
}

// forget drops what is over, once in a while.
func (s *Set) forget(now time.Time) {
	if now.Before(s.prune) {
		return
	}
	s.prune = now.Add(time.Minute)
	for k, e := range s.entries {
		if time.Unix(e.Expires, 0).Add(skew).Before(now) {
			s.drop(k)
		}
	}
}

func (s *Set) has(kind Kind, value string) (Entry, bool) {
	e, ok := s.entries[id{kind, value}]
	return e, ok
}

// Check implements token.Revocations.
func (s *Set) Check(c *token.Claims, now time.Time) error {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if err := s.fresh(now, limit); err != nil {
		return err
	}
	if len(s.entries) == 0 {
		return nil
	}
	if _, yes := s.has(Token, c.ID); yes {
		return &token.Refusal{Reason: token.Revoked, Text: "it is revoked"}
	}
	if e, yes := s.has(Subject, c.Subject); yes && c.IssuedAt.Unix() <= e.At {
		return &token.Refusal{Reason: token.Revoked, Text: "its subject's tokens are revoked"}
	}
	if _, yes := s.has(Key, c.KeyID); yes {
		return &token.Refusal{Reason: token.Revoked, Text: "the key that it is signed with is revoked"}
	}
	if s.bound > 0 && !c.Bound.IsZero() {
		if _, yes := s.has(Certificate, c.Bound.String()); yes {
			return &token.Refusal{Reason: token.Revoked, Text: "the certificate that it is bound to is revoked"}
		}
	}
	if strings.HasPrefix(c.Subject, "spiffe://") {
		if _, yes := s.has(Node, c.Subject); yes {
			return &token.Refusal{Reason: token.Revoked, Text: "the node that it speaks for is revoked"}
		}
	}
	return nil
}

// CheckSensitive is for actions that must not go on what was known a while ago: it refuses as soon as two updates are
// missing, where Check waits for ten.
func (s *Set) CheckSensitive(now time.Time) error {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.fresh(now, sensitiveLimit)
}

// fresh wants mu.
func (s *Set) fresh(now time.Time, intervals int) error {
	if s.heard.IsZero() {
		return &token.Refusal{Reason: token.Stale, Text: "what its issuer revoked is not known yet"}
	}
	if now.Sub(s.heard) > time.Duration(intervals)*s.interval {
		return &token.Refusal{Reason: token.Stale, Text: fmt.Sprintf("what its issuer revoked is not known since %s",
			s.heard.UTC().Format(time.RFC3339))}
	}
	return nil
}

// Freshness is when the last update came and within which time the next is due; zero before the first.
func (s *Set) Freshness() (heard time.Time, interval time.Duration) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.heard, s.interval
}

// CertificateRevoked tells that a certificate is not believed any more.
type CertificateRevoked struct {
	What string
}

// Error implements error.
func (c *CertificateRevoked) Error() string { return c.What + " is revoked" }

// CheckCertificate returns a *CertificateRevoked for a leaf that is revoked by its serial number, its SPIFFE id or
// its thumbprint. A feed that is stale does not refuse certificates: they are short-lived, and an outage of the
// identity service must not end peerings.
func (s *Set) CheckCertificate(leaf *x509.Certificate) error {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if len(s.entries) == 0 {
		return nil
	}
	if _, yes := s.has(Serial, SerialText(leaf)); yes {
		return &CertificateRevoked{"certificate " + SerialText(leaf)}
	}
	if _, yes := s.has(Certificate, token.ThumbprintOf(leaf).String()); yes {
		return &CertificateRevoked{"certificate " + SerialText(leaf)}
	}
	for _, u := range leaf.URIs {
		if _, yes := s.has(Node, u.String()); yes {
			return &CertificateRevoked{u.String()}
		}
	}
	return nil
}

// Values returns what is revoked of one kind, in no order.
func (s *Set) Values(kind Kind) (all []string) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	for k := range s.entries {
		if k.kind == kind {
			all = append(all, k.value)
		}
	}
	return all
}

// SerialText is how a serial number is written in revocations.
func SerialText(leaf *x509.Certificate) string { return leaf.SerialNumber.Text(16) }

// ParseSerial reads a serial number in hexadecimal as tools write them, and returns it as SerialText does: openssl has
// capitals and leading zeros (02A83E4B), others colons between the bytes (02:a8:3e:4b).
func ParseSerial(text string) (string, error) {
	n, ok := new(big.Int).SetString(strings.ReplaceAll(text, ":", ""), 16)
	if !ok || n.Sign() <= 0 || n.BitLen() > maxSerialBits {
		return "", fmt.Errorf("serial number %.50q: want 1 to 40 hexadecimal digits, such as 02a83e4b", text)
	}
	return n.Text(16), nil
}

// maxSerialBits is the length of the longest serial number (RFC 5280 §4.1.2.2).
const maxSerialBits = 160

// Book is the sets of several issuers. A token of an issuer that has none is judged stale: whoever trusts an issuer
// wants its revocations, or says that it has none.
type Book struct {
	mu      sync.RWMutex
	sets    map[string]*Set
	none    map[string]bool
	changed chan struct{} // closed when one of the sets changes, and replaced
}

// NewBook returns an empty book.
func NewBook() *Book {
	return &Book{sets: map[string]*Set{}, none: map[string]bool{}, changed: make(chan struct{})}
}

// Of returns the set of an issuer, which is made if it is not there.
func (b *Book) Of(issuer string) *Set {
	b.mu.RLock()
	s := b.sets[issuer]
	b.mu.RUnlock()
	if s == nil {
		s = NewSet(issuer)
		b.Put(s)
	}
	return s
}

// Put adds a set that somebody else keeps up to date, in place of any other of the same issuer.
func (b *Book) Put(s *Set) {
	b.mu.Lock()
	b.sets[s.issuer] = s
	b.mu.Unlock()
	s.notify(b.ring)
}

func (b *Book) ring() {
	b.mu.Lock()
	defer b.mu.Unlock()
	close(b.changed)
	b.changed = make(chan struct{})
}

// Changed returns a channel that is closed when something is revoked or lifted, by whatever issuer.
func (b *Book) Changed() <-chan struct{} {
	b.mu.RLock()
	defer b.mu.RUnlock()
	return b.changed
}

// Without says that an issuer has no feed: its tokens live until they expire.
func (b *Book) Without(issuer string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.none[issuer] = true
}

// Check implements token.Revocations.
func (b *Book) Check(c *token.Claims, now time.Time) error {
	return b.ask(c.Issuer, func(s *Set) error { return s.Check(c, now) })
}

// CheckSensitive is Set.CheckSensitive of an issuer's set.
func (b *Book) CheckSensitive(issuer string, now time.Time) error {
	return b.ask(issuer, func(s *Set) error { return s.CheckSensitive(now) })
}

func (b *Book) ask(issuer string, check func(*Set) error) error {
	b.mu.RLock()
	set, none := b.sets[issuer], b.none[issuer]
	b.mu.RUnlock()
	switch {
	case set != nil:
		return check(set)
	case none:
		return nil
	}
	return &token.Refusal{Reason: token.Stale, Text: "what its issuer revokes is not known here"}
}
