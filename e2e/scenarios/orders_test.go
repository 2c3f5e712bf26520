package scenarios

// orderScenarios are about who may order what of a node.
func orderScenarios() []scenario {
	return []scenario{
		{241, "the right to one thing", "A caller may do some things to some nodes: each operation is checked for " +
			"itself, when it is called.", []guard{
			one("each right of an operation is asked for", "graphql/operator TestRightsOfArguments",
				"graphql/operator/authorize.go",
				"\t\t\treturn zero, err\n", "\t\t\tbreak\n"),
			one("the policies of the node decide", "cmd/internal/api TestOrdersByPolicy", "cmd/internal/api/authorize.go",
				"if d.Decision.Allow {", "if d.Decision.Allow || r.Principal.Subject != \"\" {"),
			one("policies have one name for a peer", "cmd/internal/api TestResourcesHaveOneName",
				"cmd/internal/api/authorize.go",
				"return id.String(), err", "return r.ID, err"),
		}},
	}
}
