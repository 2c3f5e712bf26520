package policy

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/cedar-policy/cedar-go"
	pubast "github.com/cedar-policy/cedar-go/ast"
	"github.com/cedar-policy/cedar-go/types"
	"github.com/cedar-policy/cedar-go/x/exp/ast"
	"github.com/cedar-policy/cedar-go/x/exp/eval"
)

// Miss is the policy that came closest to permitting a call that nothing permitted.
type Miss struct {
	Policy string `json:"policy"`
	Text   string `json:"text"`   // of the policy
	Failed string `json:"failed"` // the first of its conditions that was not met, in Cedar
	Fact   string `json:"fact"`   // what was the case instead
	Others int    `json:"others"` // further conditions that were not met
}

// Why explains a decision to an operator. Nobody else should see it.
type Why struct {
	Decision Decision          `json:"decision"`
	Texts    map[string]string `json:"texts"` // of the policies that decided, by id; "" for one that is gone
	// of a denial that no policy made; nil if no policy permits anything of this kind
	Nearest *Miss `json:"nearest,omitempty"`
}

// Why explains a recorded decision by this snapshot, which should be the one that made it.
func (s *Snapshot) Why(r Record) Why {
	w := Why{Decision: r.Decision, Texts: map[string]string{}}
	for _, id := range r.Decision.Policies {
		w.Texts[id] = s.Text(id)
	}
	if !r.Decision.Allow && len(r.Decision.Policies) == 0 && len(r.Decision.Errors) == 0 {
		w.Nearest = s.nearest(r.Request())
	}
	return w
}

// attempt is how far a policy came.
type attempt struct {
	entry  *entry
	scopes int // of principal and resource, that did not fit
	failed int // conditions that were not met
	met    int
	first  ast.IsNode // the first of them; nil if a scope did not fit
}

// nearest looks for the permitting policy with the fewest conditions that were not met: those whose scopes fit first,
// then those where one of the two does.
func (s *Snapshot) nearest(r Request) *Miss {
	if r.err != nil {
		return nil
	}
	q, entities := r.asked(everything())
	v := s.view(q, entities, nil, nil)
	env := eval.Env{
		Entities:  v,
		Principal: q.Principal,
		Action:    q.Action,
		Resource:  q.Resource,
		Context:   q.Context,
	}
	least := 3
	var near []attempt
	for _, id := range s.ids {
		e := s.policies[id]
		if e.policy.Effect() != cedar.Permit || e.actions&v.action == 0 {
			continue
		}
		a := attempt{entry: e, scopes: v.misfits(e, q)}
		if a.scopes > least {
			continue
		}
		if a.scopes < least {
			least, near = a.scopes, near[:0]
		}
		near = append(near, a)
	}
	if len(near) == 0 {
		return nil
	}
	for i := range near {
		near[i].try(env)
	}
	best := slices.MinFunc(near, func(a, b attempt) int {
		return cmp.Or(cmp.Compare(a.failed, b.failed), cmp.Compare(b.met, a.met), cmp.Compare(a.entry.id, b.entry.id))
	})
	return v.miss(best, q, env)
}

// misfits counts the scopes of a policy that do not take the request in.
func (v *view) misfits(e *entry, q types.Request) (n int) {
	if !v.fits(e.tree.Principal, q.Principal, v.principals) {
		n++
	}
	if !v.fits(e.tree.Resource, q.Resource, v.resources) {
		n++
	}
	return n
}

func (v *view) fits(s ast.IsScopeNode, uid types.EntityUID, above []types.EntityUID) bool {
	switch s := s.(type) {
	case ast.ScopeTypeEq:
		return s.Entity == uid
	case ast.ScopeTypeIn:
		return contains(above, s.Entity)
	case ast.ScopeTypeIs:
		return s.Type == uid.Type
	case ast.ScopeTypeIsIn:
		return s.Type == uid.Type && contains(above, s.Entity)
	}
	return true
}

// try evaluates the conditions of a policy one by one.
func (a *attempt) try(env eval.Env) {
	for _, c := range conditions(a.entry.tree) {
		if holds(c, env) {
			a.met++
			continue
		}
		if a.failed++; a.first == nil {
			a.first = c
		}
	}
}

func holds(n ast.IsNode, env eval.Env) bool {
	value, err := eval.Eval(n, env)
	is, ok := value.(types.Boolean)
	return err == nil && ok && bool(is)
}

// conditions are what has to hold, each by itself: `when { a && b }` are two, and so are `unless { a || b }`.
func conditions(p *ast.Policy) (all []ast.IsNode) {
	var split func(n ast.IsNode, negated bool)
	split = func(n ast.IsNode, negated bool) {
		switch n := n.(type) {
		case ast.NodeTypeAnd:
			if !negated {
				split(n.Left, false)
				split(n.Right, false)
				return
			}
		case ast.NodeTypeOr:
			if negated {
				split(n.Left, true)
				split(n.Right, true)
				return
			}
		case ast.NodeTypeNot:
			split(n.Arg, !negated)
			return
		}
		if negated {
			n = ast.NodeTypeNot{UnaryNode: ast.UnaryNode{Arg: n}}
		}
		all = append(all, n)
	}
	for _, c := range p.Conditions {
		split(c.Body, c.Condition == ast.ConditionUnless)
	}
	return all
}

// miss puts an attempt into words.
func (v *view) miss(a attempt, q types.Request, env eval.Env) *Miss {
	m := &Miss{Policy: string(a.entry.id), Text: v.snap.texts[a.entry.id], Others: a.failed + a.scopes - 1}
	switch {
	case !v.fits(a.entry.tree.Principal, q.Principal, v.principals):
		m.Failed = scopeText("principal", a.entry.tree.Principal)
		m.Fact = fmt.Sprintf("the principal is %s%s", q.Principal, inText(v.principals))
	case !v.fits(a.entry.tree.Resource, q.Resource, v.resources):
		m.Failed = scopeText("resource", a.entry.tree.Resource)
		m.Fact = fmt.Sprintf("the resource is %s%s", q.Resource, inText(v.resources))
	case a.first != nil:
		m.Failed, m.Fact = text(a.first), fact(a.first, env)
	}
	return m
}

func inText(keys []types.EntityUID) string {
	const own = 3 // anything, its type, itself
	if len(keys) <= own {
		return ", which is in nothing"
	}
	var names []string
	for _, k := range keys[own:] {
		names = append(names, k.String())
	}
	return ", which is in " + strings.Join(names, ", ")
}

func scopeText(what string, s ast.IsScopeNode) string {
	switch s := s.(type) {
	case ast.ScopeTypeEq:
		return fmt.Sprintf("%s == %s", what, s.Entity)
	case ast.ScopeTypeIn:
		return fmt.Sprintf("%s in %s", what, s.Entity)
	case ast.ScopeTypeIs:
		return fmt.Sprintf("%s is %s", what, s.Type)
	case ast.ScopeTypeIsIn:
		return fmt.Sprintf("%s is %s in %s", what, s.Type, s.Entity)
	}
	return what
}

// text is a condition in Cedar.
func text(n ast.IsNode) string {
	p := cedar.NewPolicyFromAST((*pubast.Policy)(ast.Permit().When(ast.NewNode(n))))
	_, body, _ := strings.Cut(string(p.MarshalCedar()), "when {")
	body, _, _ = cutLast(body, "}")
	return strings.TrimSpace(body)
}

func cutLast(s, sep string) (before, after string, found bool) {
	if i := strings.LastIndex(s, sep); i >= 0 {
		return s[:i], s[i+len(sep):], true
	}
	return s, "", false
}

// fact says what was the case where a condition was not met.
func fact(n ast.IsNode, env eval.Env) string {
	switch n := n.(type) {
	case ast.NodeTypeEquals:
		return compared(n.Left, n.Right, env, "it would have to be")
	case ast.NodeTypeNotEquals:
		return compared(n.Left, n.Right, env, "it would have to be other than")
	case ast.NodeTypeLessThan:
		return compared(n.Left, n.Right, env, "it would have to be below")
	case ast.NodeTypeLessThanOrEqual:
		return compared(n.Left, n.Right, env, "it would have to be at most")
	case ast.NodeTypeGreaterThan:
		return compared(n.Left, n.Right, env, "it would have to be above")
	case ast.NodeTypeGreaterThanOrEqual:
		return compared(n.Left, n.Right, env, "it would have to be at least")
	case ast.NodeTypeIn:
		return compared(n.Left, n.Right, env, "it would have to be in")
	case ast.NodeTypeContains:
		return compared(n.Left, n.Right, env, "it would have to contain")
	case ast.NodeTypeHasTag:
		return fmt.Sprintf("there is no %s of %s", shown(n.Right, env), text(n.Left))
	case ast.NodeTypeHas:
		return fmt.Sprintf("%s has no %s", text(n.Arg), n.Value)
	case ast.NodeTypeLike:
		return fmt.Sprintf("%s is %s", text(n.Arg), shown(n.Arg, env))
	case ast.NodeTypeNot:
		return fmt.Sprintf("%s holds", text(n.Arg))
	}
	if _, err := eval.Eval(n, env); err != nil {
		return "it cannot be evaluated: " + err.Error()
	}
	return text(n) + " does not hold"
}

func compared(left, right ast.IsNode, env eval.Env, how string) string {
	if constant(left) && !constant(right) {
		return fmt.Sprintf("%s is %s", text(right), shown(right, env))
	}
	return fmt.Sprintf("%s is %s; %s %s", text(left), shown(left, env), how, shown(right, env))
}

func constant(n ast.IsNode) bool {
	is := true
	ast.Inspect(ast.NewNode(n), func(n ast.IsNode) bool {
		if _, variable := n.(ast.NodeTypeVariable); variable {
			is = false
		}
		return is
	})
	return is
}

func shown(n ast.IsNode, env eval.Env) string {
	v, err := eval.Eval(n, env)
	if err != nil {
		return "not there (" + err.Error() + ")"
	}
	return string(v.MarshalCedar())
}
