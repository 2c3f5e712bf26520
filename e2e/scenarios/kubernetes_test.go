package scenarios

// clusters are what may go wrong beside a Kubernetes cluster.
func clusters() []scenario {
	const (
		found   = "cmd/internal/discover/kubernetes/services.go"
		follow  = "cmd/internal/cluster/follow.go"
		plan    = "cmd/internal/imported/plan.go"
		objects = "cmd/internal/cluster/objects.go"
	)
	return []scenario{
		{440, "a Pod that is about to end",
			"An endpoint that is terminating, or not ready, gets no new call; with none left " +
				"the service is withdrawn.", []guard{
				one("it is left out", "cmd/internal/discover/kubernetes TestServices", objects,
					"(c.Ready == nil || *c.Ready) && (c.Terminating == nil || !*c.Terminating)", "true"),
			}},
		{441, "a mistyped annotation",
			"Somebody mistypes an annotation of a Service that is offered: it stays as it was, and " +
				"he is told at the Service.", []guard{
				one("it is unclear, and not gone", "cmd/internal/discover/kubernetes TestServices", found,
					"set.Unclear = append(set.Unclear, in)", ""),
				one("one Event for each mistake", "cmd/internal/discover/kubernetes TestEventsOfProblems",
					"cmd/internal/discover/kubernetes/events.go", "e.told = now", ""),
			}},
		{442, "the kube-apiserver goes away",
			"What is offered because of the cluster stays for a while, and what the cluster " +
				"has of other sites stays.", []guard{
				one("what was known is not told as if it were so still", "cmd/internal/cluster TestFollow", follow,
					"o.err = plain(err)", "o.err = nil"),
			}},
		{443, "a route of another site goes, or flaps", "Its Service stays in the cluster for the stated time, with its " +
			"address, also over a restart of the node.", []guard{
			one("it is held", "cmd/internal/imported TestPlanAfterARestart", plan, "return !now.Before(until)", "return true"),
			one("a node leaves to others what is theirs", "cmd/internal/imported TestPlan", plan,
				"!p.wanted[name] && !p.others[name] && over(name)", "!p.wanted[name] && over(name)"),
		}},
		{444, "a peer tells of any number of services",
			"A cluster that imports all gets a bounded number of Services.", []guard{
				one("those that are there stay, others are left out", "cmd/internal/imported TestPlanProblems", plan,
					"case len(p.wanted) == Most:", "case false:"),
			}},
		{445, "a service that was brought into a cluster is annotated",
			"It would be offered again, to whom it came from: a " +
				"loop.", []guard{
				one("what Catalyst wrote is not found", "cmd/internal/discover/kubernetes TestServices", found,
					"if s.Labels[cluster.PartByLabel] == cluster.Manager {", "if false {"),
			}},
	}
}
