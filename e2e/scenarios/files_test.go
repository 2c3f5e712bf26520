package scenarios

// fileScenarios are about the files of a node and what its operator reads: damage, disks without room, and secrets.
func fileScenarios() []scenario {
	return []scenario{
		{181, "many Envoys", "The pid file cannot be written: there is one Envoy all the same, and a later " +
			"process adopts it.", []guard{
			one("nobody starts an Envoy without the lock of the data directory", "envoy TestTheLockIsTheLaw",
				"envoy/supervisor.go",
				"\tif lock == nil {\n", "\tif lock == nil && s.cfg.Dir == \"\" {\n"),
			one("Envoy holds the lock as long as it lives", "envoy TestOneEnvoyWithoutItsPidFile", "envoy/supervisor.go",
				"cmd.ExtraFiles = []*os.File{lock}", "_ = lock"),
		}},
		{182, "a pipe in a file's place", "A FIFO, socket or directory has the name of one of the node's files: no " +
			"start hangs on it.", []guard{
			one("a file is opened without waiting for anybody", "bgp/datafile TestOnlyFilesAreOpened",
				"bgp/datafile/datafile.go",
				"flag|syscall.O_NONBLOCK", "flag"),
		}},
		{183, "flipped bit", "One bit of the journal is another: what it changed is not served, and is named.", []guard{
			one("every row has a checksum", "bgp/journal TestOneBadRecord", "bgp/journal/sums.go",
				"if t.sum(r.key, r.value) != r.sum {", "if false {"),
			one("every table knows how many rows it has", "bgp/journal TestVanishedRow", "bgp/journal/damage.go",
				"if have != want {", "if false {"),
			one("what cannot be read costs no more than itself", "bgp/journal TestFlippedBits", "bgp/journal/open.go",
				"case lib.SQLITE_CORRUPT, ", "case "),
		}},
		{184, "emptied journal", "Somebody removes the journal: the node starts, and says that something was there.", []guard{
			one("a file beside the journal says that something is kept in it", "bgp/journal TestEmptiedJournal",
				"bgp/journal/damage.go",
				"if j.marked && len(j.damage) == 0 {", "if false {"),
		}},
		{185, "full disk",
			"Not a byte is free after a clean stop: the node starts and serves; orders are refused in words.", []guard{
				one("the journal opens without a file of shared memory", "bgp/journal TestOpensOnFullDisk", "bgp/journal/open.go",
					"e.Code() == lib.SQLITE_IOERR_SHMSIZE || e.Code() == lib.SQLITE_IOERR_SHMOPEN", "e.Code() < 0"),
				one("Envoy's bootstrap is not written again", "envoy TestBootstrapIsLeftAlone", "envoy/supervisor.go",
					"err == nil && bytes.Equal(old, text)", "err == nil && len(old) < 0"),
			}},
		{186, "secrets in listings", "A configuration with passwords is shown, logged, and refused: the passwords " +
			"are not in it.", []guard{
			one("a secret prints as hidden, whatever the verb", "auth/secret TestNothingPrintsASecret", "auth/secret/secret.go",
				"func (t Text) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(t.String())) }",
				"func (t Text) format(f fmt.State, _ rune) { _, _ = f.Write([]byte(t.String())) }"),
			one("a configuration's error does not quote its text", "cmd/internal/config TestSecretsAreNotShown",
				"cmd/internal/config/config.go",
				"return fmt.Errorf(\"%s (%s): %s\", f.Key, from, inWords(err))",
				"return fmt.Errorf(\"%s (%s): %s\", f.Key, from, yaml.FormatError(err, false, true))"),
		}},
		{187, "keep-alives", "A local user keeps hundreds of connections to the admin port: it costs the node no more " +
			"than so many files.", []guard{
			one("the connection that is idle longest is closed", "cmd/internal/idle TestIdleConnectionsAreBounded",
				"cmd/internal/idle/idle.go",
				"\t_ = victim.Close()", "\t_ = victim"),
		}},
		{188, "spoofed identity", "A caller sends the headers by which workloads are told who calls: they are what the " +
			"policy found.", []guard{
			one("identity headers are written over", "policy/extauthz TestChecks", "policy/extauthz/extauthz.go",
				"const overwrite = core.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD",
				"const overwrite = core.HeaderValueOption_ADD_IF_ABSENT"),
		}},
		{189, "two readings of a path", "A path that policy and workload could read differently is denied.", []guard{
			one("a path is judged as it is decoded", "policy/extauthz TestChecks", "policy/extauthz/read.go",
				"\treturn plain, nil\n", "\treturn path, nil\n"),
			one("what not everybody reads alike is an error", "policy/extauthz TestChecks", "policy/extauthz/read.go",
				"if strings.Contains(lower, odd) {", "if strings.Contains(lower, odd) && false {"),
		}},
		{190, "a forbid that errs", "A forbid cannot be evaluated: nothing is permitted.", []guard{
			one("any error denies", "policy TestErrorsDeny", "policy/decide.go",
				"verdict == cedar.Allow && len(diag.Errors) == 0", "verdict == cedar.Allow"),
		}},
		{191, "a million brackets", "A policy of nothing but brackets: it is refused before a parser sees it.", []guard{
			one("brackets are counted before parsing", "policy TestProblems", "policy/source.go",
				"s.depth++; s.depth > MaxNesting", "s.depth++; s.depth > 1<<30"),
		}},
		{192, "half a set", "Policies are exchanged under load: every call is decided by one set or the other.", []guard{
			one("looking only at policies that can apply decides as a look at all of them",
				"policy TestSlicingAgreesWithTheFullScan", "policy/slice.go",
				"keys = append(keys, types.EntityUID{}, anyOf(uid.Type), uid)", "keys = append(keys, types.EntityUID{}, uid)"),
		}},
		{193, "nobody to ask", "The node that decides is away: nothing passes, and callers see a failure instead " +
			"of a denial.", []guard{
			one("a check that fails is 503", "xds/ads TestPolicyFailsClosed", "xds/policy.go",
				"StatusOnError:     &typev3.HttpStatus{Code: typev3.StatusCode_ServiceUnavailable},", "FailureModeAllow: true,"),
		}},
		{194, "restart of who decides", "The node is restarted under traffic: calls wait for it, and none fails.", []guard{
			one("a check is tried again", "xds/ads TestPolicyWaitsForARestart", "xds/policy.go",
				"Timeout:         durationpb.New(policyTimeout), RetryPolicy: whileItRestarts(),",
				"Timeout:         durationpb.New(policyTimeout),"),
		}},
		{195, "policies that are not valid any more",
			"A later version of the program refuses what was applied: the node starts, and permits nothing.", []guard{
				one("nothing is in force rather than the defaults, which are open",
					"cmd/internal/judge TestSetThatIsNotValidAnyMore", "cmd/internal/judge/judge.go",
					"\t\treturn j, j.resume(ctx)\n\t}\n\tj.publish(snap, v.Number)",
					"\t\tsnap, _ = policy.Compile(policy.Source{})\n\t}\n\tj.publish(snap, v.Number)"),
			}},
	}
}
