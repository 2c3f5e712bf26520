package scenarios

// gatewayScenarios are what subgraphs and clients do to the GraphQL gateway, by mistake or on purpose.
func gatewayScenarios() []scenario {
	const (
		authFile     = "graphql/plan/graph/auth.go"
		featuresFile = "graphql/plan/graph/feature/feature.go"
		largestFile  = "graphql/supergraph/largest.go"
		stateFile    = "graphql/live/state.go"
		optionsFile  = "graphql/plan/options.go"
	)
	return []scenario{
		{420, "a null of an object that was not asked",
			"A subgraph knows an interface as an object. Clients want a field of one implementation, and it is null or fails " +
				"of another.", []guard{
				one("a field that is never null is asked of nobody else's objects", "graphql/exec TestScripted", optionsFile,
					"v.opaque && in.Type.NonNull && !in.KeyField", "false && in.Type.NonNull && !in.KeyField"),
				one("errors of objects of other types are not told", "graphql/exec TestScripted", "graphql/exec/blame.go",
					"f.Source == c.source && (f.On == nil || f.On.Has(id))",
					"f.Source == c.source && (f.On == nil || f.On.Has(id) || true)"),
			}},
		{421, "a default or a requirement that only some subgraphs know",
			"A default value, or a value given in @requires, is left out of the merged enum or input object.", []guard{
				one("the merged types have every default", "e2e/graphql/composition TestPairs", "graphql/supergraph/merge_enums.go",
					"return f == nil || !m.holds", "return f != nil && !m.holds"),
			}},
		{460, "one of many subgraphs changes",
			"A subgraph changes its schema, and others change what it names: what did not change is taken of the last " +
				"composition, and nothing that did.", []guard{
				one("a type is the same while all subgraphs say the same", "graphql/supergraph TestComposerMergesWhatChanged",
					"graphql/supergraph/past.go", "g.seen < len(in) && in[g.seen] == d", "g.seen < len(in)"),
				one("what clients see of a type is the same while they see what it names", "graphql/plan/graph TestReader",
					"graphql/plan/graph/read.go", "of != nil && same {", "of != nil {"),
			}},
		{461, "questions in any order", "Operations ask a new graph for its types in whatever order: the plans are the same.",
			[]guard{
				one("what an interface object lends is read before it is lent", "graphql/plan TestQuestionsInAnyOrder",
					"graphql/plan/graph/fieldset.go", "\t\t\tr.finish(via)\n", ""),
			}},
		{196, "a protection by another name",
			"A supergraph imports @authenticated, @requiresScopes, @policy or @inaccessible under other names, or links " +
				"what this router does not know.", []guard{
				one("an imported element has the name that the import gives it", "graphql/plan/graph TestFeaturesByAnyName",
					featuresFile,
					"if i.Directive && i.Name == name {", "if false {"),
				one("what is for security and not understood refuses the graph", "graphql/plan/graph TestUnknownFeatures",
					featuresFile,
					"\tif f.Purpose == \"\" && !f.Ours() {", "\tif !f.Ours() {"),
			}},
		{197, "computed of secrets", "A field that anybody may ask for is computed of a protected one, by @requires or " +
			"from a context.", []guard{
			one("the field asks callers for what its data asks for", "graphql/plan/graph TestComputedOfProtected", authFile,
				"if with := f.Auth.and(need); with != f.Auth {", "if with := f.Auth.and(need); with != f.Auth && false {"),
		}},
		{198, "a hidden sibling",
			"An object of a type that clients must not see stands where one visible type is possible.", []guard{
				one("one visible type is no proof of an object's type", "graphql/plan TestGeneratedOperations/sibling",
					"graphql/plan/response.go",
					"len(ids) == 1 && (pos == nil || pos.static())", "len(ids) == 1"),
			}},
		{199, "a flood of types", "A subgraph tells a schema of 200,000 types: it is not parsed, and the others serve.",
			[]guard{
				one("types are counted before the text is parsed", "graphql/supergraph TestTooLarge", "graphql/supergraph/size.go",
					"case n.Types > l.Types:", "case false:"),
			}},
		{200, "a newcomer with an earlier name",
			"One new subgraph conflicts with two honest ones, at the first start and after a restart: they stay.", []guard{
				one("the one goes without whom the others compose", "graphql/live TestNewcomerWithEarlierName", largestFile,
					"if len(suspects) > 1 {", "if false {"),
				one("members of the graph are remembered over restarts", "graphql/live TestIncumbentsStayOverRestarts", stateFile,
					"x = &sub{was: s.remembered[src.Name]}", "x = &sub{}"),
			}},
		{201, "a graph that cannot be read", "What composes cannot be planned on: the culprit is left out, the others " +
			"are served.", []guard{
			one("an unreadable graph is an error of the composition", "graphql/live TestUnreadableGraph",
				"graphql/supergraph/compose.go",
				"if c.opts.Accept != nil {", "if false {"),
		}},
		{202, "a large request with a token", "Somebody with a token sends the operator API a body without end.", []guard{
			one("a request has a largest size", "graphql/operator TestLargestRequest", "graphql/operator/resolver.go",
				"return http.MaxBytesHandler(srv, maxBody)", "return srv"),
		}},
		{203, "a bomb", "A compressed request of some kilobytes is one of megabytes: the limit counts what comes out.",
			[]guard{
				one("what is decompressed is bounded", "graphql/gateway TestCompressedRequests", "graphql/gateway/params.go",
					"io.ReadAll(http.MaxBytesReader(w, from, g.cfg.MaxBody))", "io.ReadAll(from)"),
			}},
		{204, "connections about to close", "A subgraph closes connections after a time that it tells: nothing is sent " +
			"on one that is about to go.", []guard{
			one("the subgraph's word is heeded", "graphql/exec TestShortKeepAlive", "graphql/exec/send.go",
				"\t\ts.believe(resp.Header.Get(\"Keep-Alive\"), t)\n", ""),
		}},
		{205, "nobody begins", "A client opens a WebSocket and never begins: it is told so with the protocol's code.",
			[]guard{
				one("the close frame is sent before the connection goes", "graphql/gateway TestNoInit",
					"graphql/gateway/websocket.go",
					"func() { _ = s.conn.Close(closeInitTimeout, \"Connection initialisation timeout\") }", "cancel"),
			}},
	}
}
