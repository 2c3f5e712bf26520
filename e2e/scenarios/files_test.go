package scenarios

// fileScenarios are about the files of a node and what its operator reads: damage, disks without room, and secrets.
func fileScenarios() []scenario {
	return []scenario{
		{181, "many Envoys", "The pid file cannot be written: there is one Envoy all the same, and a later process adopts it.", []guard{
			one("nobody starts an Envoy without the lock of the data directory", "envoy TestTheLockIsTheLaw", "envoy/supervisor.go",
				"\tif lock == nil {\n", "\tif lock == nil && s.cfg.Dir == \"\" {\n"),
			one("Envoy holds the lock as long as it lives", "envoy TestOneEnvoyWithoutItsPidFile", "envoy/supervisor.go",
				"cmd.ExtraFiles = []*os.File{lock}", "_ = lock"),
		}},
		{182, "a pipe in a file's place", "A FIFO, socket or directory has the name of one of the node's files: no start hangs on it.", []guard{
			one("a file is opened without waiting for anybody", "bgp/datafile TestOnlyFilesAreOpened", "bgp/datafile/datafile.go",
				"flag|syscall.O_NONBLOCK", "flag"),
		}},
		{183, "flipped bit", "One bit of the journal is another: what it changed is not served, and is named.", []guard{
			one("every row has a checksum", "bgp/journal TestOneBadRecord", "bgp/journal/sums.go",
				"if t.sum(r.key, r.value) != r.sum {", "if false {"),
			one("every table knows how many rows it has", "bgp/journal TestOneBadRecord", "bgp/journal/damage.go",
				"if have != want {", "if false {"),
			one("what cannot be read costs no more than itself", "bgp/journal TestFlippedBits", "bgp/journal/open.go",
				"case lib.SQLITE_CORRUPT, ", "case "),
		}},
		{184, "emptied journal", "Somebody removes the journal: the node starts, and says that something was there.", []guard{
			one("a file beside the journal says that something is kept in it", "bgp/journal TestEmptiedJournal", "bgp/journal/damage.go",
				"if j.marked && len(j.damage) == 0 {", "if false {"),
		}},
		{185, "full disk", "Not a byte is free after a clean stop: the node starts and serves; orders are refused in words.", []guard{
			one("the journal opens without a file of shared memory", "bgp/journal TestOpensOnFullDisk", "bgp/journal/open.go",
				"e.Code() == lib.SQLITE_IOERR_SHMSIZE || e.Code() == lib.SQLITE_IOERR_SHMOPEN", "e.Code() < 0"),
			one("Envoy's bootstrap is not written again", "envoy TestBootstrapIsLeftAlone", "envoy/supervisor.go",
				"err == nil && bytes.Equal(old, text)", "err == nil && len(old) < 0"),
		}},
		{186, "secrets in listings", "A configuration with passwords is shown, logged, and refused: the passwords are not in it.", []guard{
			one("a secret prints as hidden, whatever the verb", "auth/secret TestNothingPrintsASecret", "auth/secret/secret.go",
				"func (t Text) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(t.String())) }", "func (t Text) format(f fmt.State, _ rune) { _, _ = f.Write([]byte(t.String())) }"),
			one("a configuration's error does not quote its text", "cmd/internal/config TestSecretsAreNotShown", "cmd/internal/config/config.go",
				"return fmt.Errorf(\"%s (%s): %s\", f.Key, from, inWords(err))", "return fmt.Errorf(\"%s (%s): %s\", f.Key, from, yaml.FormatError(err, false, true))"),
		}},
		{187, "keep-alives", "A local user keeps hundreds of connections to the admin port: it costs the node no more than so many files.", []guard{
			one("the connection that is idle longest is closed", "cmd/internal/idle TestIdleConnectionsAreBounded", "cmd/internal/idle/idle.go",
				"\t_ = victim.Close()", "\t_ = victim"),
		}},
	}
}
