package scenarios

// machineScenarios are about machines that are lost and put back, and those on which something is not as it should be.
func machineScenarios() []scenario {
	return []scenario{
		{296, "restored identity service", "The identity service is lost after nodes renewed, and put back from a " +
			"backup: each renews " +
			"once by the certificate that it has; copies are refused.", []guard{
			one("a node whose continuity went with the store may renew", "auth/server TestAStoreThatWasPutBack",
				"auth/service/join.go", "if !current && !lost && !forgotten {", "if !current && !lost && (!forgotten || n != "+
					"nil) {"),
			one("a certificate that the store knows is no excuse", "auth/server TestAStoreThatWasPutBack",
				"auth/service/restored.go", "if c.Serial == serial {", "if c.Serial == \"\" {"),
			one("one that has renewed since needs its continuity", "auth/server TestAStoreThatWasPutBack",
				"auth/service/restored.go", "if n.Renewed.After(back.Backup) || ", "if "),
			one("numbers of revocations jump over those that were lost", "auth/server TestAStoreThatWasPutBack",
				"auth/service/restored.go", "if err := tx.Skip(ctx, skippedRevocations); err != nil {",
				"if err := tx.Skip(ctx, 0); err != nil {"),
		}},
		{297, "damaged backup", "A backup is cut, changed, of another key or of a later program: it is refused, and " +
			"nothing of it is " +
			"left on the machine.", []guard{
			one("what is staged is removed", "cmd/internal/backup TestBackupsThatAreRefused", "cmd/internal/backup/restore.go",
				"\t\t\t_ = os.RemoveAll(t.staged) // nothing", "\t\t\t_ = t.staged // nothing"),
			one("a file stays below its place", "cmd/internal/backup TestManifestsThatAreRefused",
				"cmd/internal/backup/backup.go",
				"below && !filepath.IsLocal(rest)", "below && rest == \"\""),
			one("a later format is refused", "cmd/internal/backup TestManifestsThatAreRefused", "cmd/internal/backup/backup.go",
				"m.Format > Format {", "m.Format < 0 {"),
		}},
		{298, "restore over what is there", "A backup is put back where files are, or where an Envoy runs: nothing is " +
			"overwritten.", []guard{
			one("what is there is refused", "cmd/internal/backup TestNothingIsOverwritten", "cmd/internal/backup/restore.go",
				"\tif !o.Force {\n", "\tif o.At == nil && !o.Force && t.Name == \"\" {\n"),
			one("a directory whose lock an Envoy has is in use", "cmd/internal/backup TestADirectoryInUse",
				"cmd/internal/backup/restore.go", "if held(t.Path) {", "if held(\"\") {"),
		}},
		{299, "examination of a node that runs", "catalyst doctor looks at a journal that a node has open, or that is " +
			"damaged: it stays as it is.", []guard{
			one("a copy is looked at", "cmd/internal/doctor TestTheJournalIsLeftAlone", "cmd/internal/doctor/journal.go",
				"j, err := journal.Open(ctx, copied)", "j, err := journal.Open(ctx, path)"),
		}},
	}
}
