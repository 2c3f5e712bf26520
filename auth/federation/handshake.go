package federation

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/catalyst-router/catalyst/auth/bundle"
	"github.com/catalyst-router/catalyst/bgp"
)

// Handshake is a certificate that one side showed and the other did not believe. Both sides have it: who refused tells
// the other, so that the operators of either read the same story.
type Handshake struct {
	By bgp.NodeID `json:"by"` // who refused
	Of bgp.NodeID `json:"of"` // who was to be proved
	// Name is the URI in the certificate, "" if it has not exactly one; SHA256 is of the certificate's DER, in hex.
	Name   string    `json:"name,omitempty"`
	Serial string    `json:"serial,omitempty"`
	SHA256 string    `json:"sha256,omitempty"`
	From   time.Time `json:"from,omitzero"`
	Until  time.Time `json:"until,omitzero"`
	Tried  Keys      `json:"tried"` // the bundle that it was judged by; the zero value for none
	Kind   string    `json:"kind"`  // of a fault
	Text   string    `json:"text"`
	First  time.Time `json:"first"` // by the clock of who refused
	Last   time.Time `json:"last"`
	Times  int       `json:"times"`
}

// Limits of what is told of handshakes.
const (
	MaxHandshakes    = 8 // that are remembered of one organisation
	maxHandshakeText = 500
	maxHandshakeName = 300
)

// NotProved is why whoever answered is not believed.
type NotProved struct {
	Err   error
	Chain []*x509.Certificate // that it showed
}

// Error implements error.
func (n *NotProved) Error() string { return n.Err.Error() }

// Unwrap returns the reason.
func (n *NotProved) Unwrap() error { return n.Err }

// RefusedBy is the handshake of a peering that came to nothing because this side did not believe the other's
// certificate; nil if err says that of none.
func RefusedBy(by bgp.NodeID, p *Peering, of bgp.NodeID, held *bundle.Bundle, err error, now time.Time) *Handshake {
	var bad *NotProved
	if !errors.As(err, &bad) {
		return nil
	}
	return handshake(by, of, bad.Chain, held, KindOf(err, p, held), err.Error(), now)
}

func handshake(by, of bgp.NodeID, chain []*x509.Certificate, held *bundle.Bundle, kind, text string,
	now time.Time) *Handshake {
	now = now.UTC()
	h := &Handshake{By: by, Of: of, Tried: KeysOf(held), Kind: kind, Text: bgp.Printable(clip(text, maxHandshakeText)),
		First: now, Last: now, Times: 1}
	if len(chain) > 0 {
		leaf := chain[0]
		sum := sha256.Sum256(leaf.Raw)
		h.SHA256, h.Serial = hex.EncodeToString(sum[:]), clip(leaf.SerialNumber.Text(16), 64)
		h.From, h.Until = leaf.NotBefore.UTC(), leaf.NotAfter.UTC()
		if len(leaf.URIs) == 1 {
			h.Name = bgp.Printable(clip(leaf.URIs[0].String(), maxHandshakeName))
		}
	}
	return h
}

// check keeps what a neighbour says of a handshake within bounds.
func (h *Handshake) check() error {
	if len(h.Name) > maxHandshakeName || len(h.Serial) > 64 || len(h.SHA256) > 64 || len(h.Kind) > 64 ||
		len(h.Text) > maxHandshakeText || h.Times < 1 || len(h.Tried.Pins) > bundle.MaxKeys || len(h.Tried.Digest) > 64 ||
		slices.ContainsFunc(h.Tried.Pins, func(p string) bool { return len(p) != 64 }) {
		return fmt.Errorf("what %s says of a handshake is out of bounds", h.By)
	}
	return nil
}

// ToldBy returns those of the handshakes that a neighbour may tell of: that it refused this node, within bounds.
func ToldBy(neighbour, self bgp.NodeID, all []Handshake) []Handshake {
	var out []Handshake
	for _, h := range all[:min(len(all), MaxHandshakes)] {
		if h.By != neighbour || h.Of != self || h.check() != nil {
			continue
		}
		h.Name, h.Serial, h.SHA256 = bgp.Printable(h.Name), bgp.Printable(h.Serial), bgp.Printable(h.SHA256)
		h.Kind, h.Text = bgp.Printable(h.Kind), bgp.Printable(h.Text)
		out = append(out, h)
	}
	return out
}

// Remember adds a handshake to those that are remembered, the latest first: the same certificate, refused by the same
// node for the same reason, is one.
func Remember(all []Handshake, h Handshake) []Handshake {
	same := slices.IndexFunc(all, func(x Handshake) bool {
		return x.By == h.By && x.Of == h.Of && x.SHA256 == h.SHA256 && x.Kind == h.Kind
	})
	if same >= 0 {
		if old := all[same]; h.Times == 1 && h.Last.After(old.Last) { // once more
			h.First, h.Times = old.First, old.Times+1
		}
		all = slices.Delete(slices.Clone(all), same, same+1)
	}
	all = append([]Handshake{h}, all...)
	slices.SortStableFunc(all, func(x, y Handshake) int { return y.Last.Compare(x.Last) })
	return all[:min(len(all), MaxHandshakes)]
}
