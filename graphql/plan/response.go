package plan

import (
	"slices"

	"github.com/vektah/gqlparser/v2/ast"

	"github.com/catalyst-router/catalyst/graphql/plan/graph"
)

// shaper makes the shapes of answers.
type shaper struct {
	*emitter
	block  int // whose parts are printed
	path   []string
	denied map[string]bool
}

// object is the shape of the values at a position as a selection asks for them. pos is nil below denied fields.
func (s *shaper) object(sel *graph.Selection, pos *position) *Object {
	if pos != nil && pos.slot != nil { // the selection may be wanted at several positions
		if at := sel.Types.And(pos.types); !at.Equal(sel.Types) {
			c := *sel
			c.Types = at
			sel = &c
		}
	}
	out := &Object{Possible: sel.Types, Fields: make([]Field, 0, len(sel.Entries))}
	// One visible type is no proof of an object's type: one that clients must not see may stand here.
	if ids := sel.Types.IDs(); len(ids) == 1 && (pos == nil || pos.static()) {
		out.Static, out.StaticID = s.g.Object(ids[0]).Name, ids[0]
	}
	for _, e := range sel.Entries {
		if !s.wanted(e) || !e.On.Overlaps(sel.Types) {
			continue
		}
		switch {
		case e.Name == graph.TypeName:
			f := s.field(e, e.On, sel)
			f.Shape, f.Wrap, f.NamedType, f.Type = TypeName, []Wrap{{NonNull: true}}, "String", s.parentName(e, e.On)
			if s.nameless(e.On.And(sel.Types)) {
				f.Shape = String // that nobody answers: an error
			}
			out.Fields = append(out.Fields, f)
		case pos != nil && pos.slot == nil && isIntrospection(e.Name):
			f := s.field(e, e.On, sel)
			f.Shape, f.Wrap = Local, []Wrap{{NonNull: e.Name == "__schema"}}
			f.Type, f.NamedType = s.plan.RootType, map[string]string{"__schema": "__Schema", "__type": "__Type"}[e.Name]
			f.Local = s.introspection(e)
			out.Fields = append(out.Fields, f)
		case e.Denied:
			out.Fields = append(out.Fields, s.deniedFields(e, sel)...)
		default:
			rest := e.On.And(sel.Types)
			for _, sl := range s.answersAt(e, pos) {
				out.Fields = s.fields(out.Fields, e, sl, sel)
				rest = rest.Minus(sl.on)
			}
			out.Fields = append(out.Fields, s.unanswered(e, rest, sel)...)
		}
	}
	return out
}

// nameless reports whether objects of some types have no type that clients know.
func (s *shaper) nameless(types graph.TypeSet) bool {
	return slices.ContainsFunc(types.IDs(), func(id graph.TypeID) bool { return s.g.Object(id).Nameless })
}

// unanswered are the shapes of an entry for types that no subgraph returns here, as far as the supergraph says. If
// one does, the field is null, with an error if it must not be: nothing that was asked for is left out.
func (s *shaper) unanswered(e *graph.Entry, types graph.TypeSet, sel *graph.Selection) []Field {
	var out []Field
	for _, on := range s.sameType(e.Name, types) {
		def := s.g.Object(on.IDs()[0]).Fields()[e.Name]
		if def == nil {
			continue
		}
		f := s.field(e, on, sel)
		s.describe(&f, e, def, on)
		if f.Shape == Composite {
			f.Object = &Object{Possible: def.Named.Possible}
		}
		out = append(out, f)
	}
	return out
}

// wanted reports whether an entry, or something below it, is part of the block's answer.
func (s *shaper) wanted(e *graph.Entry) bool {
	if e.Defer == s.block {
		return true
	}
	return e.Sub != nil && slices.ContainsFunc(e.Sub.Entries, s.wanted)
}

// field starts the shape of an entry.
func (s *shaper) field(e *graph.Entry, on graph.TypeSet, sel *graph.Selection) Field {
	f := Field{Key: e.Key, JSON: jsonKey(e.Key), Name: e.Name}
	if !on.Contains(sel.Types) {
		f.On = on
	}
	return f
}

// fields appends the shapes of an entry that a slot answers: one for each type of field that the object types give it.
func (s *shaper) fields(out []Field, e *graph.Entry, sl *slot, sel *graph.Selection) []Field {
	for _, on := range s.sameType(e.Name, e.On.And(sl.on).And(sel.Types)) {
		def := sl.pos.field(s.g, sl, on)
		if def == nil {
			continue
		}
		f := s.field(e, on, sel)
		f.Source = sl.source
		s.describe(&f, e, def, on)
		if f.Stream = s.stream(e, def.Type); f.Stream != nil && len(s.answersAt(e, sl.pos)) == 1 {
			s.streamed[sl] = f.Stream
		}
		if e.Sub != nil {
			s.path = append(s.path, steps(e.Key, def.Type)...)
			f.Object = s.object(e.Sub, sl.child)
			s.path = s.path[:len(s.path)-len(steps(e.Key, def.Type))]
		}
		if sl.source != e.Key {
			s.plan.ClientKeys[sl.source] = e.Key
		}
		out = append(out, f)
	}
	return out
}

func steps(key string, t *ast.Type) []string {
	out := []string{key}
	for ; t.Elem != nil; t = t.Elem {
		out = append(out, "@")
	}
	return out
}

func (s *shaper) sameType(name string, types graph.TypeSet) []graph.TypeSet {
	if types.Empty() {
		return nil
	}
	return partition(types, func(id graph.TypeID) string {
		if f := s.g.Object(id).Fields()[name]; f != nil {
			return f.Type.String()
		}
		return ""
	})
}

func (s *shaper) describe(f *Field, e *graph.Entry, def *graph.Field, on graph.TypeSet) {
	f.Type, f.NamedType, f.Wrap, f.Shape = s.parentName(e, on), def.Named.Name, wraps(def.Type), shapeOf(def.Named)
	if f.Shape == Enum {
		f.Values = def.Named.Values
	}
}

// parentName is the type a field is reported under: the object type, or the one the client selected it on if there
// are several.
func (s *shaper) parentName(e *graph.Entry, on graph.TypeSet) string {
	if ids := on.IDs(); len(ids) == 1 || e.Field == nil || e.Field.ObjectDefinition == nil {
		return s.g.Object(ids[0]).Name
	}
	return e.Field.ObjectDefinition.Name
}

func wraps(t *ast.Type) []Wrap {
	var out []Wrap
	for ; t != nil; t = t.Elem {
		out = append(out, Wrap{List: t.Elem != nil, NonNull: t.NonNull})
	}
	return out
}

func shapeOf(t *graph.Type) Shape {
	switch t.Kind {
	case ast.Enum:
		return Enum
	case ast.Object, ast.Interface, ast.Union:
		return Composite
	}
	switch t.Name {
	case "Int":
		return Int
	case "Float":
		return Float
	case "String":
		return String
	case "Boolean":
		return Boolean
	case "ID":
		return ID
	}
	return Scalar
}

func (s *shaper) deniedFields(e *graph.Entry, sel *graph.Selection) []Field {
	var out []Field
	for _, on := range s.sameType(e.Name, e.On.And(sel.Types)) {
		id := on.IDs()[0]
		def := s.g.Object(id).Fields()[e.Name]
		f := s.field(e, on, sel)
		s.describe(&f, e, def, on)
		f.Denied = true
		if f.Shape == Composite {
			f.Object = &Object{Possible: def.Named.Possible}
		}
		out = append(out, f)
		d := Denial{
			Path:       append(slices.Clone(s.path), e.Key),
			Coordinate: s.g.Object(id).Name + "." + e.Name,
			Reason:     s.reason(def),
		}
		key := d.Coordinate + " " + pathText(d.Path)
		if !s.denied[key] {
			s.denied[key] = true
			s.plan.Denied = append(s.plan.Denied, d)
		}
	}
	return out
}

func pathText(p []string) string {
	out := ""
	for i, s := range p {
		if i > 0 {
			out += "."
		}
		out += s
	}
	return out
}

// reason is the first of the things asked for that the caller does not meet.
func (s *shaper) reason(f *graph.Field) string {
	for _, a := range slices.Concat(f.Auth.Parts(), f.Parent.Auth.Parts(), f.Named.Auth.Parts()) {
		switch {
		case a.Authenticated && !s.f.Authenticated:
			return "@authenticated"
		case !anyHeld(a.Scopes, s.f.Scopes):
			return "@requiresScopes"
		case !anyHeld(a.Policies, s.f.Policies):
			return "@policy"
		}
	}
	return ""
}
