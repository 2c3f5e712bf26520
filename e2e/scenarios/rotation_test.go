package scenarios

// rotation is what becomes of certificates, roots and keys as they change.
func rotation() []scenario {
	const (
		memberFile     = "auth/member/member.go"
		membershipFile = "cmd/internal/membership/membership.go"
	)
	return []scenario{
		{257, "a root that Envoy does not have yet", "An organisation's root is replaced, and one node's Envoy takes the " +
			"new one late: nothing is signed with it before.", []guard{
			one("a node uses roots once its Envoys have taken them", "cmd/internal/forwarding TestRootsAreInUseOnceEnvoyHasThem",
				"cmd/internal/forwarding/forwarder.go", "ok = ok && f.ads.Held(ref)", "_ = ref"),
		}},
		{258, "certificates by a former root", "Another root signs: nodes do not wait for half the life of their " +
			"certificates.", []guard{
			one("they renew within a sixtieth of it", "auth/server TestRenewedWhenAnotherRootSigns", memberFile,
				"next = min(next, (life/60+jitter(life/60))/2)", "next += 0"),
		}},
		{259, "killed while something is issued", "The identity service or a node is killed at any write of a join, a " +
			"renewal, a mint, a revocation or a rotation.", []guard{
			one("what was issued is put in its place at the next start", "auth/member TestKilledWhileAnswerIsKept", memberFile,
				"if err := finish(v); err != nil {", "if err := error(nil); err != nil {"),
			one("an answer can be fetched again by whoever it was for", "auth/server TestKilledAtEveryWrite", joinFile,
				"now.Sub(j.Used) <= lostAnswer:", "now.Sub(j.Used) < 0:"),
		}},
		{260, "a revoked node with a valid certificate", "A node is revoked by its organisation, and goes on sending, to " +
			"nodes of its own and of another organisation.", []guard{
			one("its organisation's word counts", "cmd/internal/membership TestRevokedNodesOfAnotherOrganisation",
				membershipFile, "		return set.CheckCertificate(leaf)\n", "		return nil\n"),
			one("and nobody else's", "cmd/internal/membership TestRevokedNodesOfAnotherOrganisation", membershipFile,
				"err == nil && id.Org == org {", "err == nil {"),
			one("it comes in at no mesh ingress", "xds/ads TestTheListFollowsPeersAtOnce", "xds/admission.go",
				"		exact[n.URI()] = deny()\n", ""),
			one("nor after a restart", "cmd/internal/forwarding TestRevokedNodesAreKeptOutAfterARestart",
				"cmd/internal/forwarding/admission.go", "	a.readRefused()\n", ""),
		}},
		{261, "a flood of tokens", "Somebody sends tokens faster than signatures can be checked.", []guard{
			one("no more wait than a second's work", "auth/token TestFloodOfTokens", verifyFile,
				"if v.waiting.Add(1) > maxWaiting {", "if v.waiting.Add(1) < 0 {"),
		}},
		{262, "a bound token at a renewal", "Somebody sends through a node with a token that is bound to its certificate, " +
			"and the certificate is renewed.", []guard{
			one("the token is minted anew for the next one", "auth/server TestBoundTokensGoAlong", "auth/member/enrol.go",
				"in.Bound[name] = out.GetCarried()[i]", "_ = name"),
		}},
		{268, "a copy of the CA's directory", "Somebody has the CA's key file, and not what it is sealed under.", []guard{
			one("the key does not lie in clear", "auth/disk TestACAIsSealedWhereItLies", "auth/disk/sealed.go",
				"return true, Replace(path, []byte(sealedMark+s.Seal(key, KeyFile)+\"\\n\"), 0o600)", "return true, nil"),
		}},
	}
}
