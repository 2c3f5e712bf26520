package scenarios

// nameScenarios are what may go wrong with the names of services, and the addresses of their own.
func nameScenarios() []scenario {
	const (
		table  = "envoy/addresses/addresses.go"
		zones  = "cmd/internal/nameserver/zones.go"
		follow = "cmd/internal/nameserver/nameserver.go"
	)
	return []scenario{
		{341, "names of one address", "Two services have one address and port, of one organisation or of two: who was " +
			"there first keeps it, also over a restart, and the other is told.", []guard{
			one("another service's address is not taken", "envoy/addresses TestCollisionsAreNamed", table,
				"if h != nil && h.service != svc {", "if false {"),
			one("who leaves for a moment keeps it", "envoy/addresses TestCollisionsAreNamed", table,
				"if h.away.IsZero() || now.Sub(h.away) < Grace {\n\t\t\treturn", "if h.away.IsZero() {\n\t\t\treturn"),
			one("a restart does not change who was first", "cmd/internal/localports TestTwoNamesOfOneAddress",
				"cmd/internal/localports/book.go", "\t\treturn b.adopt(svc, at)\n",
				"\t\treturn at.Port() != 0 && svc != \"\"\n"),
		}},
		{342, "a program of the machine has the port", "A PostgreSQL of the machine's own listens at 0.0.0.0:5432: nobody " +
			"is sent there who dials another site's database.", []guard{
			one("an address is told only once an Envoy listens there", "cmd/internal/nameserver TestAnAddressIsToldWhenEnvoyListens",
				follow, "case at.IsValid() && (has || was.State == Answered && was.At == at):", "case at.IsValid():"),
			one("one that Envoy refuses is told no more", "e2e TestAPortOfTheMachinesOwn", follow, "case refused != \"\":",
				"case false:"),
			one("the service is served at its local port, and nobody is told otherwise", "e2e TestAPortOfTheMachinesOwn",
				"xds/ads/quarantine.go", "_, extra := xds.Dialled(refOf(e.now)); extra {",
				"_, extra := xds.Dialled(refOf(e.now)); extra && false {"),
		}},
		{343, "a peer that chooses port 22", "Another organisation's service wants a port of the system: no program of " +
			"this machine is kept from its port.", []guard{
			one("ports below 1024 are not given", "envoy/addresses TestPortsOfTheSystem", table,
				"if port < firstPort && !t.low {", "if false {"),
		}},
		{344, "names as a listing", "Somebody asks for names to find out which services there are: what is not allowed is " +
			"answered as what does not exist.", []guard{
			one("a hidden name is in no zone", "cmd/internal/nameserver TestNotAllowedIsUnknown", zones,
				"if n.State == Hidden {", "if false {"),
			one("another's names are not answered for it", "cmd/internal/nameserver TestNamesOfOthers", follow,
				"if !sel.Service.Below(p.org) || sel", "if sel"),
		}},
		{345, "names over a restart", "A node that starts does not know all routes yet: nobody is told that a name does " +
			"not exist, and remembers it.", []guard{
			one("nothing is denied before all tables are there", "cmd/internal/nameserver TestNothingIsDeniedTooEarly", zones,
				"case !z.complete:", "case false:"),
			one("organisations are bounded", "cmd/internal/nameserver TestOrganisationsAreBounded", zones,
				"if len(z.orgs) >= MaxOrganisations && !z.orgs[string(o)] {", "if false {"),
		}},
	}
}
