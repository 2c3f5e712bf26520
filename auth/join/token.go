// Package join holds what an organisation and a node that joins it tell each other: the text of a join token, and how
// roots follow one another. Values only: package member asks, package service answers.
package join

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"strings"

	"github.com/catalyst-router/catalyst/bgp"
)

// SecretBytes is the length of a join token's secret.
const SecretBytes = 32

const tokenPrefix = "catalyst-join-" // so that scanners for leaked secrets can tell it

// Token is a permission to join once. It does not print its secret.
type Token struct {
	Org     bgp.Org
	Node    string   // short name
	Address string   // HOST:PORT of the identity service
	Pin     [32]byte // SHA-256 of the DER of the organisation's root
	Secret  []byte   // empty for a node that joins by a token of an external issuer
	Peers   []Peer   // whom the node peers with once it has joined, at most MaxPeers
}

// Peer is a node of the organisation that a joining node dials.
type Peer struct {
	Node    string `json:"n"` // short name
	Address string `json:"a"` // HOST:PORT where it takes peers
}

// MaxPeers is how many peers a join token may name.
const MaxPeers = 8

// ParsePeer reads NODE=HOST:PORT of a node of org.
func ParsePeer(org bgp.Org, text string) (Peer, error) {
	name, address, ok := strings.Cut(text, "=")
	if !ok {
		return Peer{}, fmt.Errorf("%q: want NODE=HOST:PORT", text)
	}
	return Peer{name, address}.check(org)
}

func (p Peer) check(org bgp.Org) (Peer, error) {
	id, err := bgp.NewNodeID(string(org), p.Node)
	if err != nil {
		return Peer{}, err
	}
	at, err := bgp.ParseEndpoint(p.Address)
	return Peer{id.Name, at.String()}, err
}

type tokenJSON struct {
	Org     string `json:"o"`
	Node    string `json:"n"`
	Address string `json:"a"`
	Pin     []byte `json:"p"`
	Secret  []byte `json:"s"`
	Peers   []Peer `json:"w,omitempty"`
}

// Text returns what the operator carries to the machine. It is secret.
func (t Token) Text() string {
	b, err := json.Marshal(tokenJSON{string(t.Org), t.Node, t.Address, t.Pin[:], t.Secret, t.Peers})
	if err != nil {
		panic(err) // texts and bytes only
	}
	return tokenPrefix + base64.RawURLEncoding.EncodeToString(b)
}

// String names the node and nothing secret.
func (t Token) String() string { return "join token of " + string(t.Org) + "/" + t.Node }

// ParseToken reads what Text returned.
func ParseToken(text string) (Token, error) {
	bad := errors.New("this is no join token: paste what catalyst org join-token printed, whole")
	rest, ok := strings.CutPrefix(strings.TrimSpace(text), tokenPrefix)
	if !ok || len(rest) > 4096 {
		return Token{}, bad
	}
	b, err := base64.RawURLEncoding.DecodeString(rest)
	if err != nil {
		return Token{}, bad
	}
	var j tokenJSON
	if json.Unmarshal(b, &j) != nil || len(j.Pin) != 32 || len(j.Secret) != SecretBytes && len(j.Secret) != 0 {
		return Token{}, bad
	}
	id, err := bgp.NewNodeID(j.Org, j.Node)
	if err != nil {
		return Token{}, fmt.Errorf("join token: %w", err)
	}
	if _, _, err := net.SplitHostPort(j.Address); err != nil {
		return Token{}, bad
	}
	if len(j.Peers) > MaxPeers {
		return Token{}, fmt.Errorf("join token: %d peers: want at most %d", len(j.Peers), MaxPeers)
	}
	for i, p := range j.Peers {
		if j.Peers[i], err = p.check(id.Org); err != nil {
			return Token{}, fmt.Errorf("join token: peer %s: %w", p.Node, err)
		}
	}
	return Token{
		Org:     id.Org,
		Node:    id.Name,
		Address: j.Address,
		Pin:     [32]byte(j.Pin),
		Secret:  j.Secret,
		Peers:   j.Peers,
	}, nil
}
