package ca

import (
	"crypto"
	"crypto/ecdsa"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/catalyst-router/catalyst/bgp"
)

// The identities of an organisation that are neither nodes nor Envoys.
const (
	servicePath  = "/auth"      // its identity service: it signs, so nobody else may be called so
	operatorPath = "/operator/" // people who run it, by name
)

// ServiceURI is the SPIFFE ID of an organisation's identity service.
func ServiceURI(org bgp.Org) string { return "spiffe://" + string(org) + servicePath }

// OperatorURI is the SPIFFE ID of an operator.
func OperatorURI(org bgp.Org, name string) string {
	return "spiffe://" + string(org) + operatorPath + name
}

// ParseOperator returns the operator's name in a SPIFFE ID of an organisation, or false.
func ParseOperator(org bgp.Org, uri string) (string, bool) {
	name, ok := strings.CutPrefix(uri, OperatorURI(org, ""))
	return name, ok && bgp.CheckName(name) == nil
}

// IssueService signs the key of the identity service, for the hosts under which clients know it, and for life as
// Issue takes it.
func (a *Authority) IssueService(key crypto.PublicKey, hosts []string, life time.Duration) (*SVID, error) {
	return a.issue(key, servicePath, hosts, life)
}

// IssueOperator signs the key of an operator, for life as Issue takes it.
func (a *Authority) IssueOperator(key crypto.PublicKey, name string, life time.Duration) (*SVID, error) {
	if err := bgp.CheckName(name); err != nil {
		return nil, fmt.Errorf("operator %q: %w", name, err)
	}
	return a.issue(key, operatorPath+name, nil, life)
}

func (a *Authority) issue(key crypto.PublicKey, path string, hosts []string, life time.Duration) (*SVID, error) {
	public, ok := key.(*ecdsa.PublicKey)
	if !ok {
		return nil, errors.New("key: want an ECDSA key")
	}
	if life == 0 {
		life = ByHand
	}
	if life < MinLife || life > MaxByHand {
		return nil, fmt.Errorf("life of %s: want %s to %s", life, MinLife, MaxByHand)
	}
	return a.leaf(public, &url.URL{Scheme: "spiffe", Host: string(a.Org), Path: path}, hosts, life)
}
