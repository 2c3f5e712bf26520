package policy

import (
	"iter"

	"github.com/cedar-policy/cedar-go"
	"github.com/cedar-policy/cedar-go/types"
	"github.com/cedar-policy/cedar-go/x/exp/ast"
)

// maxBucket is how many policies may have the same entities in their scopes: a decision looks at all of those that it
// has anything to do with.
const maxBucket = 200

// entry is a policy in the index.
type entry struct {
	id      types.PolicyID
	policy  *cedar.Policy
	tree    *ast.Policy
	actions uint64 // set of the actions that its scope covers, by their numbers
}

// pair is what the scope of a policy names: an entity, a type (as an entity of that type whose id no entity has), or
// anything (the zero value).
type pair struct{ principal, resource types.EntityUID }

// index finds the policies that can apply to a request: a policy whose scope names an entity applies to none that is
// not this entity or in it.
type index struct {
	buckets map[pair][]*entry
	actions map[types.EntityUID]int // numbers of the actions
}

func newIndex() index {
	return index{buckets: map[pair][]*entry{}, actions: map[types.EntityUID]int{}}
}

// anyOf stands for every entity of a type. No entity that is read has a NUL in its id (see Call).
func anyOf(t types.EntityType) types.EntityUID { return types.EntityUID{Type: t, ID: "\x00any"} }

// key is what a scope of principal or resource names.
func key(s ast.IsScopeNode) types.EntityUID {
	switch s := s.(type) {
	case ast.ScopeTypeEq:
		return s.Entity
	case ast.ScopeTypeIn:
		return s.Entity
	case ast.ScopeTypeIsIn:
		return s.Entity
	case ast.ScopeTypeIs:
		return anyOf(s.Type)
	}
	return types.EntityUID{}
}

// named returns the entities that a scope names.
func named(s ast.IsScopeNode) []types.EntityUID {
	switch s := s.(type) {
	case ast.ScopeTypeEq:
		return []types.EntityUID{s.Entity}
	case ast.ScopeTypeIn:
		return []types.EntityUID{s.Entity}
	case ast.ScopeTypeIsIn:
		return []types.EntityUID{s.Entity}
	case ast.ScopeTypeInSet:
		return s.Entities
	}
	return nil
}

func (x *index) add(e *entry, snap *Snapshot) {
	e.actions = x.covers(e.tree.Action, snap)
	k := pair{key(e.tree.Principal), key(e.tree.Resource)}
	x.buckets[k] = append(x.buckets[k], e)
}

// covers is the set of actions that an action scope takes in. Actions are fewer than 64: a test holds the schema to it.
func (x *index) covers(s ast.IsScopeNode, snap *Snapshot) (set uint64) {
	if _, all := s.(ast.ScopeTypeAll); all {
		return ^uint64(0)
	}
	_, equal := s.(ast.ScopeTypeEq)
	for _, want := range named(s) {
		for action, n := range x.actions {
			if action == want || !equal && contains(snap.above[action], want) {
				set |= 1 << n
			}
		}
	}
	return set
}

// ofCalls is the set of the actions of the data plane.
func (x *index) ofCalls() uint64 {
	return 1<<x.actions[actionUID(Connect)] | 1<<x.actions[actionUID(Ask)]
}

func contains(all []types.EntityUID, uid types.EntityUID) bool {
	for _, one := range all {
		if one == uid {
			return true
		}
	}
	return false
}

// worst is the size of the largest bucket.
func (x *index) worst() (most int) {
	for _, b := range x.buckets {
		most = max(most, len(b))
	}
	return most
}

// view is one request's look at a snapshot. It implements cedar.PolicyIterator and types.EntityGetter.
type view struct {
	snap       *Snapshot
	extra      []types.Entity // of the request; before those of the snapshot
	principals []types.EntityUID
	resources  []types.EntityUID
	action     uint64
}

// Get implements types.EntityGetter. An entity that the request brings and the operator has given more about is both:
// it is in the groups of either, and has the operator's tags; its attributes are the request's.
func (v *view) Get(uid types.EntityUID) (types.Entity, bool) {
	for i := range v.extra {
		if v.extra[i].UID == uid {
			return v.extra[i], true
		}
	}
	e, ok := v.snap.entities[uid]
	return e, ok
}

// keysOf appends all that a scope may name to take in uid: anything, its type, itself, and whatever it is in.
func (v *view) keysOf(keys []types.EntityUID, uid types.EntityUID) []types.EntityUID {
	keys = append(keys, types.EntityUID{}, anyOf(uid.Type), uid)
	for i := range v.extra {
		if v.extra[i].UID != uid {
			continue
		}
		for parent := range v.extra[i].Parents.All() {
			keys = v.climb(keys, parent)
		}
		return keys
	}
	return append(keys, v.snap.above[uid]...)
}

// climb appends an entity and all that it is in.
func (v *view) climb(keys []types.EntityUID, uid types.EntityUID) []types.EntityUID {
	if contains(keys, uid) || len(keys) > maxAncestors {
		return keys
	}
	keys = append(keys, uid)
	for i := range v.extra {
		if v.extra[i].UID == uid {
			for parent := range v.extra[i].Parents.All() {
				keys = v.climb(keys, parent)
			}
			return keys
		}
	}
	for _, above := range v.snap.above[uid] {
		if !contains(keys, above) {
			keys = append(keys, above)
		}
	}
	return keys
}

// All implements cedar.PolicyIterator: only those policies that can apply.
func (v *view) All() iter.Seq2[cedar.PolicyID, *cedar.Policy] {
	return func(yield func(cedar.PolicyID, *cedar.Policy) bool) {
		for _, p := range v.principals {
			for _, r := range v.resources {
				for _, e := range v.snap.index.buckets[pair{p, r}] {
					if e.actions&v.action != 0 && !yield(e.id, e.policy) {
						return
					}
				}
			}
		}
	}
}

// whole is the same view of every policy, as cedar-go goes through them by itself.
type whole struct{ *view }

// All implements cedar.PolicyIterator.
func (w whole) All() iter.Seq2[cedar.PolicyID, *cedar.Policy] {
	return func(yield func(cedar.PolicyID, *cedar.Policy) bool) {
		for _, id := range w.snap.ids {
			if !yield(id, w.snap.policies[id].policy) {
				return
			}
		}
	}
}
