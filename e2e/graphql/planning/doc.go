// Package planning compares our plans and answers with those of others, under the build tag e2e: subgraphs made up by
// chance are served by @apollo/subgraph, operations on them go through the gateway, and the answer must be the one of
// a monolith in graphql-js, by no more rounds, and in as many rounds no more requests, than Apollo's planner wants. A
// shop that is served by several libraries goes through the real command. A fixed set runs by itself; for more, and
// to repeat one:
//
//	go test -tags e2e ./e2e/graphql/planning -run Generated -worlds 2000 -seed 1000
//	go test -tags e2e ./e2e/graphql/planning -run Generated -worlds 1 -seed 1234 -v
package planning
