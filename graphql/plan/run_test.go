package plan_test

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"

	"github.com/catalyst-router/catalyst/graphql/plan"
	"github.com/catalyst-router/catalyst/graphql/plan/graph"
)

// runner carries out plans in the dumbest way: maps, no concurrency, no sharing.
type runner struct {
	w    *world
	p    *plan.Plan
	vars map[string]any
	tree map[string]any
}

func execute(w *world, p *plan.Plan, vars map[string]any) any {
	r := &runner{w: w, p: p, vars: vars, tree: map[string]any{}}
	var blocks []plan.Block
	switch n := p.Root.(type) {
	case *plan.Subscription:
		r.node(n.Primary)
		r.node(n.Then)
	case *plan.Defer:
		r.node(n.Primary)
		blocks = n.Blocks
	default:
		r.node(p.Root)
	}
	out, ok := r.object(p.Response, r.tree)
	if !ok {
		return map[string]any(nil)
	}
	first := copied(out)
	for _, b := range blocks {
		r.node(b.Node)
		r.deliver(b, b.Path, r.tree, out)
	}
	keepNulls(out, first)
	return out
}

// copied is a copy of an answer.
func copied(v any) any {
	switch v := v.(type) {
	case map[string]any:
		m := map[string]any{}
		for k, e := range v {
			m[k] = copied(e)
		}
		return m
	case []any:
		l := make([]any, len(v))
		for i, e := range v {
			l[i] = copied(e)
		}
		return l
	}
	return v
}

// keepNulls has an answer be null where its first part was: nothing is delivered below a null.
func keepNulls(v, first any) {
	switch first := first.(type) {
	case map[string]any:
		m, ok := v.(map[string]any)
		for k, e := range first {
			if !ok {
				return
			}
			if e == nil {
				m[k] = nil
			} else {
				keepNulls(m[k], e)
			}
		}
	case []any:
		l, _ := v.([]any)
		for i, e := range first[:min(len(first), len(l))] {
			if e == nil {
				l[i] = nil
			} else {
				keepNulls(l[i], e)
			}
		}
	}
}

// deliver merges a deferred block into the answer: at is the object of the tree, into its answer.
func (r *runner) deliver(b plan.Block, path plan.Path, at map[string]any, into any) {
	m, ok := into.(map[string]any)
	if !ok {
		return
	}
	if len(path) == 0 {
		if got, ok := r.object(b.Response, at); ok {
			merge(m, got)
		} else {
			r.w.nulled = true
		}
		return
	}
	if !r.is(path[0].On, at) {
		return
	}
	var walk func(v, into any)
	walk = func(v, into any) {
		switch v := v.(type) {
		case map[string]any:
			r.deliver(b, path[1:], v, into)
		case []any:
			l, ok := into.([]any)
			for i := range v {
				if ok {
					walk(v[i], l[i])
				}
			}
		}
	}
	walk(at[path[0].Source], m[path[0].ClientKey])
}

func (r *runner) node(n plan.Node) {
	switch n := n.(type) {
	case nil:
	case *plan.Sequence:
		for _, c := range n.Nodes {
			r.node(c)
		}
	case *plan.Parallel:
		for i := range n.Nodes { // in the other order: it must not matter
			r.node(n.Nodes[len(n.Nodes)-1-i])
		}
	case *plan.Fetch:
		merge(r.tree, r.send(&n.Request, nil))
	case *plan.EntityFetch:
		r.entities(n)
	default:
		r.w.t.Fatalf("unexpected node %T", n)
	}
}

func (r *runner) send(q *plan.Request, own map[int]any) map[string]any {
	vars := map[string]any{}
	body := string(q.Head)
	n := 0
	for i, v := range q.Variables {
		val, ok := own[i]
		if v.Client >= 0 {
			val, ok = r.vars[r.p.Variables[v.Client].Name]
		}
		if !ok {
			continue
		}
		vars[v.Name] = val
		b, err := json.Marshal(val)
		if err != nil {
			r.w.t.Fatal(err)
		}
		if n > 0 {
			body += ","
		}
		n++
		body += string(v.JSON) + string(b)
	}
	body += string(q.Tail)
	var check struct {
		Query     string
		Variables map[string]any
	}
	if err := json.Unmarshal([]byte(body), &check); err != nil || check.Query != q.Query ||
		len(check.Variables) != len(vars) {
		r.w.t.Fatalf("request body %s: %v", body, err)
	}
	return r.w.request(q.Subgraph, q.Query, vars)
}

func (r *runner) entities(n *plan.EntityFetch) {
	groups := make([][]*batch, len(n.Groups))
	requests := 0
	for i, g := range n.Groups {
		for _, p := range g.Paths {
			r.at(p, r.tree, nil, func(o map[string]any, above []map[string]any) {
				for _, rep := range g.Reps {
					if !r.is(rep.On, o) {
						continue
					}
					if m := r.rep(rep, o); m != nil {
						b := batchFor(&groups[i], r.contexts(g, above))
						b.reps, b.targets = append(b.reps, m), append(b.targets, o)
					}
					return
				}
			})
		}
		requests = max(requests, len(groups[i]))
	}
	for k := range requests {
		own := map[int]any{}
		for i, g := range n.Groups {
			if !n.Root {
				own[g.Variable] = []any{}
				if k < len(groups[i]) {
					own[g.Variable] = groups[i][k].reps
				}
			}
			for _, c := range g.Contexts {
				own[c.Variable] = nil
				if len(groups[i]) > 0 {
					own[c.Variable] = groups[i][min(k, len(groups[i])-1)].tuple[c.Variable]
				}
			}
		}
		data := r.send(&n.Request, own)
		for i, g := range n.Groups {
			if n.Root {
				for _, o := range groups[i][k].targets {
					merge(o, normal(data).(map[string]any))
				}
				continue
			}
			if k < len(groups[i]) {
				r.merge(groups[i][k].targets, data[g.Key])
			}
		}
	}
}

// batch is what one request asks of a group: entities whose context values are alike.
type batch struct {
	tuple   map[int]any // by variable
	reps    []any
	targets []map[string]any
}

func batchFor(list *[]*batch, tuple map[int]any) *batch {
	for _, b := range *list {
		if reflect.DeepEqual(b.tuple, tuple) {
			return b
		}
	}
	b := &batch{tuple: tuple}
	*list = append(*list, b)
	return b
}

// contexts are the values that the objects above an entity give.
func (r *runner) contexts(g plan.EntityGroup, above []map[string]any) map[int]any {
	out := map[int]any{}
	for _, c := range g.Contexts {
		o := above[len(above)-c.Up]
		if _, done := out[c.Variable]; done || !r.is(c.On, o) {
			continue
		}
		var v any = o
		ok := true
		for _, s := range c.From {
			m, is := v.(map[string]any)
			if is && !r.is(s.On, m) {
				ok = false
				break
			}
			v = m[s.Source]
		}
		if ok {
			out[c.Variable] = v
		}
	}
	return out
}

func (r *runner) merge(targets []map[string]any, entities any) {
	list, _ := entities.([]any)
	if len(list) != len(targets) {
		r.w.t.Fatalf("%d entities for %d representations", len(list), len(targets))
	}
	for j, e := range list {
		if m, ok := e.(map[string]any); ok {
			merge(targets[j], m)
		}
	}
}

func (r *runner) is(types graph.TypeSet, o map[string]any) bool {
	if types == nil {
		return true
	}
	name, _ := o["__typename"].(string)
	id, ok := r.p.Types.ID(name)
	return ok && types.Has(id)
}

func (r *runner) at(p plan.Path, o map[string]any, above []map[string]any, do func(map[string]any, []map[string]any)) {
	if len(p) == 0 {
		do(o, above)
		return
	}
	if !r.is(p[0].On, o) {
		return
	}
	var walk func(v any, lists int)
	walk = func(v any, lists int) {
		switch v := v.(type) {
		case map[string]any:
			if lists != 0 {
				r.w.t.Fatalf("path %v has wrong lists", p)
			}
			r.at(p[1:], v, append(slices.Clone(above), o), do)
		case []any:
			for _, e := range v {
				walk(e, lists-1)
			}
		}
	}
	walk(o[p[0].Source], p[0].Lists)
}

func (r *runner) rep(rep plan.Rep, o map[string]any) map[string]any {
	out := r.repFields(rep.Fields, o)
	if out == nil {
		return nil
	}
	out["__typename"] = rep.TypeName
	if rep.TypeName == "" {
		if o["__typename"] == nil {
			r.w.t.Fatalf("no __typename for a representation in %v", o)
		}
		out["__typename"] = o["__typename"]
	}
	return out
}

func (r *runner) repFields(fields []plan.RepField, o map[string]any) map[string]any {
	out := map[string]any{}
	for _, f := range fields {
		if !r.is(f.On, o) {
			continue
		}
		v, ok := o[f.Source]
		if !ok {
			r.w.t.Logf("no representation: %s is %v in %v", f.Source, v, o)
			return nil
		}
		if f.Fields != nil {
			if v, ok = r.repValue(f.Fields, v); !ok {
				return nil
			}
		}
		out[f.Name] = v
	}
	return out
}

func (r *runner) repValue(fields []plan.RepField, v any) (any, bool) {
	switch v := v.(type) {
	case map[string]any:
		m := r.repFields(fields, v)
		return m, m != nil
	case []any:
		out := []any{}
		for _, e := range v {
			x, ok := r.repValue(fields, e)
			if !ok {
				return nil, false
			}
			out = append(out, x)
		}
		return out, true
	}
	return v, true
}

func merge(into, from map[string]any) {
	for k, v := range from {
		into[k] = merged2(into[k], v)
	}
}

func merged2(have, v any) any {
	switch v := v.(type) {
	case map[string]any:
		if m, ok := have.(map[string]any); ok {
			merge(m, v)
			return m
		}
	case []any:
		if l, ok := have.([]any); ok && len(l) == len(v) {
			for i := range v {
				l[i] = merged2(l[i], v[i])
			}
			return l
		}
	}
	return v
}

func (r *runner) object(shape *plan.Object, v map[string]any) (map[string]any, bool) {
	name := shape.Static
	var id graph.TypeID
	known := name != ""
	if known {
		id = shape.StaticID
	} else if name, known = v["__typename"].(string); known {
		var ok bool
		if id, ok = r.p.Types.ID(name); !ok || !shape.Possible.Has(id) {
			return nil, false
		}
	}
	out := map[string]any{}
	for _, f := range shape.Fields {
		if f.On != nil && (!known || !f.On.Has(id)) {
			if !known {
				r.w.t.Fatalf("type of %v is unknown, but %s depends on it", v, f.Key)
			}
			continue
		}
		if _, dup := out[f.Key]; dup {
			r.w.t.Fatalf("response key %s twice", f.Key)
		}
		switch {
		case f.Shape == plan.TypeName:
			if !known {
				r.w.t.Fatalf("__typename of %v is unknown", v)
			}
			out[f.Key] = name
			continue
		case f.Denied:
			if f.Wrap[0].NonNull {
				return nil, false
			}
			out[f.Key] = nil
			continue
		case f.Shape == plan.Local:
			var x any
			if err := json.Unmarshal(f.Local.Append(nil, func(string) []byte { return nil }), &x); err != nil {
				r.w.t.Fatal(err)
			}
			out[f.Key] = x
			continue
		}
		x, ok := r.value(&f, f.Wrap, v[f.Source])
		if !ok {
			return nil, false
		}
		out[f.Key] = x
	}
	return out, true
}

func (r *runner) value(f *plan.Field, wrap []plan.Wrap, v any) (any, bool) {
	switch x := v.(type) {
	case nil:
		return nil, !wrap[0].NonNull
	case []any:
		if !wrap[0].List {
			return x, true
		}
		out := []any{}
		for _, e := range x {
			y, ok := r.value(f, wrap[1:], e)
			if !ok {
				return nil, !wrap[0].NonNull
			}
			out = append(out, y)
		}
		return out, true
	case map[string]any:
		if f.Shape != plan.Composite {
			r.w.t.Fatalf("%s is an object: %v", f.Key, v)
		}
		o, ok := r.object(f.Object, x)
		if !ok {
			return nil, !wrap[0].NonNull
		}
		return o, true
	}
	if f.Shape == plan.Enum {
		if _, ok := f.Values[fmt.Sprint(v)]; !ok {
			return nil, !wrap[0].NonNull
		}
	}
	return v, true
}
