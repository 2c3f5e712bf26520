package scenarios

// rotation is what becomes of certificates, roots and keys as they change.
func rotation() []scenario {
	const memberFile = "auth/member/member.go"
	return []scenario{
		{257, "a root that Envoy does not have yet", "An organisation's root is replaced, and one node's Envoy takes the new " +
			"one late: nothing is signed with it before.", []guard{
			one("a node uses roots once its Envoys have taken them", "cmd/internal/forwarding TestRootsAreInUseOnceEnvoyHasThem",
				"cmd/internal/forwarding/forwarder.go", "ok = ok && f.ads.Held(ref)", "_ = ref"),
		}},
		{258, "certificates by a former root", "Another root signs: nodes do not wait for half the life of their " +
			"certificates.", []guard{
			one("they renew within a sixtieth of it", "auth/server TestRenewedWhenAnotherRootSigns", memberFile,
				"next = min(next, (life/60+jitter(life/60))/2)", "next += 0"),
		}},
	}
}
