package identity

import (
	"crypto/x509"
	"fmt"
	"slices"
	"time"

	"github.com/catalyst-router/catalyst/bgp"
)

// What is valid for a time.
const (
	OfSVID  = "svid"   // the node's certificate
	OfCA    = "ca"     // what signed it: the first of its signers that ends
	OfRoots = "bundle" // the roots of an organisation: the last of them that ends
)

// Validity is how long something of an identity is valid.
type Validity struct {
	Of          string // OfSVID, OfCA or OfRoots
	Org         bgp.Org
	From, Until time.Time
}

// Validities returns those of the certificate, of its CA, and of each organisation's roots, in the order of their
// names.
func (s *Source) Validities() []Validity {
	s.mu.RLock()
	defer s.mu.RUnlock()
	org := s.now.Node.Org
	all := []Validity{{Of: OfSVID, Org: org, From: s.now.Issued, Until: s.now.Expires}}
	own, ok := s.bundles.Get(s.svid.ID.TrustDomain())
	if ok {
		if ca := signer(s.svid.Certificates, own.X509Authorities()); ca != nil {
			all = append(all, Validity{Of: OfCA, Org: org, From: ca.NotBefore, Until: ca.NotAfter})
		}
	}
	for _, b := range s.bundles.Bundles() {
		roots := b.X509Authorities()
		if len(roots) == 0 {
			continue
		}
		last := slices.MaxFunc(roots, func(a, b *x509.Certificate) int { return a.NotAfter.Compare(b.NotAfter) })
		all = append(
			all, Validity{Of: OfRoots, Org: bgp.Org(b.TrustDomain().Name()), From: last.NotBefore, Until: last.NotAfter},
		)
	}
	return all
}

// signer returns, of all that vouches for the leaf of a chain, the certificate that ends first; nil if no root signed
// it.
func signer(chain, roots []*x509.Certificate) *x509.Certificate {
	top := chain[len(chain)-1]
	i := slices.IndexFunc(roots, func(r *x509.Certificate) bool { return top.CheckSignatureFrom(r) == nil })
	if i < 0 {
		return nil
	}
	above := append(slices.Clone(chain[1:]), roots[i])
	return slices.MinFunc(above, func(a, b *x509.Certificate) int { return a.NotAfter.Compare(b.NotAfter) })
}

// Over tells whether it has ended.
func (v Validity) Over(now time.Time) bool { return !now.Before(v.Until) }

// Warning says that it ends soon, which is when less than a third of its time is left, or has ended, and what to do;
// "" before that.
func (v Validity) Warning(now time.Time) string {
	left := v.Until.Sub(now)
	if left >= v.Until.Sub(v.From)/3 {
		return ""
	}
	when := fmt.Sprintf("ends at %s, in %s", v.Until.UTC().Format(time.RFC3339), left.Round(time.Second))
	if v.Over(now) {
		when = "ended at " + v.Until.UTC().Format(time.RFC3339)
	}
	switch v.Of {
	case OfSVID:
		return fmt.Sprintf("the certificate of this node %s: a node that joined renews it by itself, and catalyst renew "+
			"tries now; one that did not is issued another with catalyst org issue-node, into the same directory", when)
	case OfCA:
		return fmt.Sprintf("the CA of %s %s, and with it all that it signed: rotate it", v.Org, when)
	}
	return fmt.Sprintf("the roots of %s that this node has %s: get its newer ones", v.Org, when)
}

// Warnings returns what ends soon, or has ended.
func (s *Source) Warnings() []string {
	var all []string
	now := time.Now()
	for _, v := range s.Validities() {
		if w := v.Warning(now); w != "" {
			all = append(all, w)
		}
	}
	return all
}

// Missing says why the identity is no good at the moment: its certificate has ended. "" if it is good. What could not
// be reloaded is told by Err; what there was before serves on.
func (s *Source) Missing() string {
	for _, v := range s.Validities() {
		if now := time.Now(); v.Of != OfRoots && v.Over(now) {
			return v.Warning(now)
		}
	}
	return ""
}

// remindAfter is how often the log repeats a warning.
const remindAfter = time.Hour

// reminder says in the log what ends soon: when it begins to, when it has ended, and again each hour.
type reminder struct{ said map[string]time.Time }

// due returns the warnings that are to be said now.
func (r *reminder) due(now time.Time, all []Validity) []string {
	if r.said == nil {
		r.said = map[string]time.Time{}
	}
	var say []string
	for _, v := range all {
		key := fmt.Sprintf("%s %s %t %s", v.Of, v.Org, v.Over(now), v.Until)
		w := v.Warning(now)
		if last, ok := r.said[key]; w == "" || ok && now.Sub(last) < remindAfter {
			continue
		}
		r.said[key] = now
		say = append(say, w)
	}
	for key, at := range r.said {
		if now.Sub(at) > 2*remindAfter {
			delete(r.said, key)
		}
	}
	return say
}
