package scenarios

// webScenarios are about the looking glass.
func webScenarios() []scenario {
	const file = "graphql/operator/web/web.go"
	return []scenario{
		{356, "page without token", "Somebody on the machine opens the looking glass without its token: " +
			"nothing of the node is told.", []guard{
			one("the operator API behind the page wants the token", "graphql/operator/web TestWhoIsAnswered", file,
				"[]byte(r.Header.Get(\"Authorization\")), want) != 1", "[]byte(r.Header.Get(\"Authorization\")), want) > 1"),
		}},
		{357, "rebound name", "A page of somebody else points its own name at the looking glass " +
			"(DNS rebinding): it is refused.", []guard{
			one("the page answers under its own names alone", "graphql/operator/web TestWhoIsAnswered", file,
				"if !slices.Contains(hosts, host) {", "if !slices.Contains(hosts, host) && false {"),
		}},
	}
}
