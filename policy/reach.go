package policy

import (
	"github.com/cedar-policy/cedar-go"
	"github.com/cedar-policy/cedar-go/types"
	"github.com/cedar-policy/cedar-go/x/exp/ast"
)

// Reachable tells whether there is a policy that permits anybody beside the node to call an HTTP service: one with that
// action and this service, or the organisation that it belongs to, in its scope. Without one every call is denied,
// whoever makes it and whatever the conditions of other policies say. That there is one promises nothing.
func (s *Snapshot) Reachable(service, organisation string) bool {
	r := Call{Service: service, Organisation: organisation}.Request()
	if r.err != nil {
		return false
	}
	q, entities := r.asked(everything())
	v := s.view(q, entities, nil, nil)
	resources := map[types.EntityUID]bool{}
	for _, key := range v.resources {
		resources[key] = true
	}
	for scope, bucket := range s.index.buckets {
		if !resources[scope.resource] {
			continue
		}
		for _, e := range bucket {
			if e.actions&v.action != 0 && e.policy.Effect() == cedar.Permit && calls(e.tree.Principal) {
				return true
			}
		}
	}
	return false
}

// calls tells whether a scope may take in somebody who calls services: everybody but other nodes, who come in at the
// mesh ingress.
func calls(s ast.IsScopeNode) bool {
	switch s := s.(type) {
	case ast.ScopeTypeEq:
		return s.Entity.Type != typeNode
	case ast.ScopeTypeIs:
		return s.Type != typeNode
	case ast.ScopeTypeIsIn:
		return s.Type != typeNode
	}
	return true
}
