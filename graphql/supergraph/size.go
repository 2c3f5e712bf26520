package supergraph

import (
	"fmt"

	"github.com/catalyst-router/catalyst/graphql/supergraph/measure"
)

// Limits bound what a schema may make the composer hold. They are counted in the text, before it is parsed. Zero
// means the value named.
type Limits struct {
	// Bytes of one schema's text: 8 MiB.
	Bytes int
	// Types and Fields (arguments, enum values and input fields included) of one schema: 20,000 and 200,000.
	Types, Fields int
	// AllTypes and AllFields of all schemas of a graph together: 60,000 and 600,000.
	AllTypes, AllFields int
}

func (l Limits) withDefaults() Limits {
	set := func(v *int, to int) {
		if *v == 0 {
			*v = to
		}
	}
	set(&l.Bytes, 8<<20)
	set(&l.Types, 20_000)
	set(&l.Fields, 200_000)
	set(&l.AllTypes, 60_000)
	set(&l.AllFields, 600_000)
	return l
}

// tooLarge says what is too much of a schema; "" if nothing is.
func (l Limits) tooLarge(sdl string) (string, measure.Size) {
	if len(sdl) > l.Bytes {
		return fmt.Sprintf("the schema has %d bytes, and at most %d are taken", len(sdl), l.Bytes), measure.Size{}
	}
	n := measure.Text(sdl)
	switch {
	case n.Types > l.Types:
		return fmt.Sprintf("the schema has %d types, and at most %d are taken", n.Types, l.Types), n
	case n.Fields > l.Fields:
		return fmt.Sprintf("the schema has some %d fields, arguments and values, and at most %d are taken", n.Fields,
			l.Fields), n
	}
	return "", n
}

// together reports schemas that are too much only together, each by itself so that the newest can be left out.
func (l Limits) together(subs []*subgraph) []Error {
	var all measure.Size
	for _, s := range subs {
		all.Types, all.Fields = all.Types+s.holds.Types, all.Fields+s.holds.Fields
	}
	if all.Types <= l.AllTypes && all.Fields <= l.AllFields {
		return nil
	}
	e := Error{
		Code: SchemaTooLarge,
		Message: fmt.Sprintf("the schemas have %d types and some %d fields, arguments and values together, and at most "+
			"%d and %d are taken",
			all.Types, all.Fields, l.AllTypes, l.AllFields),
	}
	for _, s := range subs {
		e.Subgraphs = append(e.Subgraphs, s.name)
	}
	return []Error{e}
}
