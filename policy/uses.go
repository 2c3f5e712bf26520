package policy

import (
	"github.com/cedar-policy/cedar-go/types"
	"github.com/cedar-policy/cedar-go/x/exp/ast"
)

// uses are the names of attributes that the policies on calls look at, anywhere. Those that none looks at need not be
// put together for a decision: that was half of what one cost. The zero value has none.
type uses struct {
	all   bool // a policy takes the context as a whole
	names map[string]bool
}

// everything is what a full scan and an explanation are given.
func everything() uses { return uses{all: true} }

// any tells whether one of these names is looked at.
func (u uses) any(names ...string) bool {
	for _, name := range names {
		if u.all || u.names[name] {
			return true
		}
	}
	return false
}

// add takes in what a policy looks at.
func (u *uses) add(p *ast.Policy) {
	if u.names == nil {
		u.names = map[string]bool{}
	}
	for _, c := range p.Conditions {
		ast.Inspect(ast.NewNode(c.Body), func(n ast.IsNode) bool {
			switch n := n.(type) {
			case ast.NodeTypeAccess:
				return u.named(n.StrOpNode)
			case ast.NodeTypeHas:
				return u.named(n.StrOpNode)
			case ast.NodeTypeVariable:
				u.all = u.all || n.Name == "context"
			}
			return true
		})
	}
}

// named adds an attribute, and tells whether there is more to look at below it.
func (u *uses) named(n ast.StrOpNode) bool {
	u.names[string(n.Value)] = true
	_, variable := n.Arg.(ast.NodeTypeVariable)
	return !variable
}

// principal tells whether attributes of a principal are looked at.
func (u uses) principal() bool {
	return u.any("id", "name", "type", "trustedNodes", "trustedDomains")
}

// service tells whether those of a service are.
func (u uses) service() bool { return u.any("name", "organisation") }

// UsesTime tells whether policies on calls look at the time, or at the age of the set: then the answer to a call may be
// another later, without another set.
func (s *Snapshot) UsesTime() bool { return s.uses.any("now", "hour", "weekday", "policyAge") }

// member is one of a record.
type member struct {
	name  string
	value types.Value
}

func record(members []member) types.Record {
	m := make(types.RecordMap, len(members))
	for _, one := range members {
		m[types.String(one.name)] = one.value
	}
	return types.NewRecord(m)
}
