package supergraph

// validate checks the merged schema.
func (m *merger) validate() {
	if q := m.types["Query"]; q == nil || len(q.fields) == 0 {
		m.fail(NoQueries, "Query", nil, "no queries found in any subgraph: a supergraph must have a query root type")
	}
}
