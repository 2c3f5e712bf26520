package supergraph

import "slices"

// traits say which of the rarer things stand at a type or its fields, so that those who look for them in all types pass
// the others over.
type traits struct {
	override, auth, cacheTag, requires bool
}

// survey notes the traits of the subgraph's types.
func (s *subgraph) survey() {
	for _, t := range s.types {
		has := traits{auth: t.authorised(), cacheTag: t.dirs.ForName("cacheTag") != nil}
		for _, f := range t.fields {
			has.requires = has.requires || f.requires != nil
			for _, d := range f.dirs {
				has.override = has.override || d.Name == "override"
				has.cacheTag = has.cacheTag || d.Name == "cacheTag"
				has.auth = has.auth || slices.Contains(authDirectives, d.Name)
			}
		}
		t.has = has
	}
}

func (t *typeDef) authorised() bool {
	return slices.ContainsFunc(authDirectives, func(d string) bool { return t.dirs.ForName(d) != nil })
}
