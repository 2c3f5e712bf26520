package scenarios

// strangers are about what somebody meets who has never run a node: mistakes, and what is left of them.
func strangers() []scenario {
	return []scenario{
		{500, "data directory removed under Envoy", "A node is ended by a plain kill, its data directory removed, and the " +
			"node started anew: the Envoy that runs on is out of reach, and another takes its place.", []guard{
			one("an Envoy of a directory that is gone is not adopted", "envoy TestAnEnvoyWhoseDirectoryWasRemoved",
				"envoy/supervisor.go", "\t\tif !s.stray() {\n", "\t\tif !s.stray() || pid > 0 {\n"),
		}},
		{501, "another program has the gateway's port", "A node is started whose gateway.listen is taken: it ends before " +
			"it is up, and no Envoy is left.", []guard{
			one("the gateway's listener is opened with the others", "cmd/internal/cli TestScripts/node",
				"cmd/internal/daemon/listeners.go", "\tif d.graph != nil {\n", "\tif d.graph != nil && l.admin != nil {\n"),
		}},
		{502, "the sealing key in a log", "A node that is given its sealing key logs in JSON where the key is.", []guard{
			one("a place is logged as words", "auth/seal TestAPlaceIsLoggedWithoutItsKey", "auth/seal/place.go",
				"func (p Place) MarshalText() ([]byte, error) { return []byte(p.String()), nil }",
				"func (p Place) MarshalText() ([]byte, error) { return []byte(p.Key), nil }"),
		}},
		{503, "a number that is none", "A variable of OTLP is mistyped: the node says so at its start, and does not go on " +
			"with another value.", []guard{
			one("numbers are looked at", "cmd/internal/telemetry TestTheEnvironmentIsHonouredOrRefusedByName",
				"cmd/internal/telemetry/environment.go", "v != \"\" && (err != nil || n < 0)", "v != \"\" && err == nil && n < 0"),
			one("what the SDK says of itself has the log's form", "cmd/internal/telemetry TestEveryLineIsJSON",
				"cmd/internal/telemetry/telemetry.go", "\totel.SetLogger(logr.FromSlogHandler(l.Handler()))",
				"\t_ = logr.FromSlogHandler(l.Handler())"),
		}},
	}
}
