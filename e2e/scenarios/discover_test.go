package scenarios

// discoveries are what may go wrong where services are found by themselves.
func discoveries() []scenario {
	const (
		plan   = "cmd/internal/discover/plan.go"
		docker = "cmd/internal/discover/docker/docker.go"
		files  = "cmd/internal/discover/dir/dir.go"
	)
	return []scenario{
		{
			283,
			"a service that an operator ordered is found",
			"A container, or a file, has the name of a service that an operator " +
				"ordered otherwise: the order stays, and the operator is told.",
			[]guard{
				one("what was ordered is not replaced", "cmd/internal/discover TestPlanProperties", plan,
					"if offered && was.Found == nil {", "if offered && was.Found == nil && false {"),
				one("nor removed", "cmd/internal/discover TestPlan", plan, "!stays && s.Found != nil {", "!stays {"),
			},
		},
		{
			284,
			"the source goes away",
			"Docker is restarted, a directory is not mounted: what was found there is offered for a " +
				"while, and not for ever.",
			[]guard{
				one("it is kept", "cmd/internal/discover TestASourceThatIsAway", plan,
					"held := !t.there() && now.Before(t.Away.Add(hold))", "held := false"),
				one("until its time is over", "cmd/internal/discover TestASourceThatNeverComes", plan,
					"held := !t.there() && now.Before(t.Away.Add(hold))", "held := !t.there()"),
			},
		},
		{
			285,
			"half a file",
			"An editor writes a file in two steps, or a file has a mistake: the service stays as it was, and the " +
				"others are not touched.",
			[]guard{
				one("a file has to settle", "cmd/internal/discover/dir TestFollow", files,
					"if f.taken || now.Sub(f.since) < settle {", "if f.taken {"),
				one("a mistake withdraws nothing", "cmd/internal/discover TestWhatIsRefused", "cmd/internal/discover/room.go",
					"t.Unclear = append(t.Unclear, item.In)", ""),
				one("a pipe is not waited for", "cmd/internal/discover/dir TestFollow", files,
					"case !info.Mode().IsRegular():", "case false:"),
			},
		},
		{
			286,
			"a container that is told to stop",
			"docker stop: no new call goes to a container that is about to end.",
			[]guard{
				one("it is left out from the signal on", "cmd/internal/discover/docker TestStopping", docker,
					"s.stopping[ev.Actor.ID] = true", ""),
			},
		},
		{287, "everybody may write the directory", "Whoever may write there offers services of this node.", []guard{
			one("such a directory is not read", "cmd/internal/discover/dir TestADirectoryThatIsAway", files,
				"info.Mode()&0o002 != 0 && info.Mode()&fs.ModeSticky == 0", "info == nil"),
		}},
		{
			288,
			"the address behind a name changes",
			"A workload given by a DNS name moves: it is followed as soon as its records " +
				"have to be asked for again, and not sooner.",
			[]guard{
				one(
					"the time to live counts",
					"cmd/internal/offer/names TestFollowingTheTimeToLive",
					"cmd/internal/offer/names/names.go",
					"|| found.TTL < 0 {",
					"|| true {",
				),
			},
		},
	}
}
