package live

import (
	"github.com/catalyst-router/catalyst/graphql/supergraph"
)

// input is what there is to compose, and why.
type input struct {
	candidates []candidate
	why        []string
}

// candidate is a subgraph with its newest schema, and the one with which it is in the graph.
type candidate struct {
	src          Source
	schema, good string
}

// outcome is a composition.
type outcome struct {
	in     input
	result *supergraph.Result
	// taken says of each candidate with which schema it is in the graph ("" if it is not), and why its newest is not.
	taken map[string]taken
}

type taken struct {
	schema string
	errors []supergraph.Error
}

// compose makes the largest graph of the candidates. Those that are in the graph with the schema that they have are
// kept before what is new; a subgraph whose new schema does not go with them stays with its old one, if that does.
func compose(in input, composer *supergraph.Composer) *outcome {
	out := &outcome{in: in, taken: map[string]taken{}}
	schemas := map[string]string{}
	for _, c := range in.candidates {
		schemas[c.src.Name] = c.schema
	}
	first, refused := largest(in.candidates, schemas, composer)
	excluded := refused
	again := false
	for _, c := range in.candidates {
		if len(refused[c.src.Name]) > 0 && c.good != "" && c.good != c.schema {
			schemas[c.src.Name] = c.good
			again = true
		}
	}
	out.result = first
	if again {
		out.result, excluded = largest(in.candidates, schemas, composer)
	}
	for _, c := range in.candidates {
		name := c.src.Name
		t := taken{schema: schemas[name], errors: refused[name]}
		if len(excluded[name]) > 0 {
			t = taken{errors: excluded[name]}
		}
		out.taken[name] = t
	}
	return out
}

func largest(candidates []candidate, schemas map[string]string,
	composer *supergraph.Composer) (*supergraph.Result, map[string][]supergraph.Error) {
	var all []supergraph.Subgraph
	var kept []string
	for _, c := range candidates {
		all = append(all, supergraph.Subgraph{Name: c.src.Name, URL: c.src.URL, SDL: schemas[c.src.Name], Keys: c.src.Keys})
		if c.good == schemas[c.src.Name] {
			kept = append(kept, c.src.Name)
		}
	}
	return composer.ComposeLargest(all, kept)
}

// sources returns those of the subgraphs that are in the graph.
func (o *outcome) sources() []Source {
	var in []Source
	for _, c := range o.in.candidates {
		if o.taken[c.src.Name].schema != "" {
			in = append(in, c.src)
		}
	}
	return in
}
