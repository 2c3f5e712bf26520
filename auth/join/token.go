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
}

type tokenJSON struct {
	Org     string `json:"o"`
	Node    string `json:"n"`
	Address string `json:"a"`
	Pin     []byte `json:"p"`
	Secret  []byte `json:"s"`
}

// Text returns what the operator carries to the machine. It is secret.
func (t Token) Text() string {
	b, err := json.Marshal(tokenJSON{string(t.Org), t.Node, t.Address, t.Pin[:], t.Secret})
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
	return Token{Org: id.Org, Node: id.Name, Address: j.Address, Pin: [32]byte(j.Pin), Secret: j.Secret}, nil
}
