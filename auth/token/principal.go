package token

import (
	"fmt"
	"strings"
)

// Principal is the kind of whoever a token speaks for. It decides which Cedar policies can apply.
type Principal string

// The five principals.
const (
	Admin         Principal = "ADMIN"          // runs the organisation: everything
	Node          Principal = "NODE"           // a node: peers
	NodeCustodian Principal = "NODE_CUSTODIAN" // configures peers
	DataCustodian Principal = "DATA_CUSTODIAN" // configures services
	User          Principal = "USER"           // uses services
)

// Principals lists the five.
func Principals() []Principal {
	return []Principal{Admin, Node, NodeCustodian, DataCustodian, User}
}

// namespace stands before a principal in a token, as in the Cedar schema.
const namespace = "CATALYST::"

// ParsePrincipal accepts "NODE_CUSTODIAN", "node-custodian" and "CATALYST::NODE_CUSTODIAN", as people type them.
// Tokens must have the last form exactly.
func ParsePrincipal(s string) (Principal, error) {
	p := Principal(strings.ReplaceAll(strings.ToUpper(strings.TrimPrefix(s, namespace)), "-", "_"))
	if !p.known() {
		return "", fmt.Errorf("principal %q: want ADMIN, NODE, NODE_CUSTODIAN, DATA_CUSTODIAN or USER", clip(s))
	}
	return p, nil
}

func (p Principal) known() bool {
	switch p {
	case Admin, Node, NodeCustodian, DataCustodian, User:
		return true
	}
	return false
}

// Qualified returns the name that tokens and Cedar use: "CATALYST::ADMIN".
func (p Principal) Qualified() string { return namespace + string(p) }

// clip shortens what somebody gave for an error text.
func clip(s string) string {
	if len(s) <= 80 {
		return s
	}
	return s[:80] + "…"
}
