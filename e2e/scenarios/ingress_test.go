package scenarios

const (
	guardFile    = "xds/admission.go"
	secretFile   = "xds/secret.go"
	remoteFile   = "xds/ads/remote.go"
	judgeFile    = "auth/identity/judge.go"
	listFile     = "cmd/internal/forwarding/admission.go"
	discreetFile = "cmd/internal/trace/discreet.go"
)

// ingressScenarios are about who may be an Envoy of a node, who may come in at its ingress, and what is told to whom.
func ingressScenarios() []scenario {
	return []scenario{
		{101, "an Envoy on another machine", "Somebody of the organisation connects as a node's Envoy.", []guard{
			one("nobody who comes by TLS is sent a private key", "xds/ads TestNobodyElsewhereIsSentAKey", remoteFile,
				"if r.Secret && st.certified != \"\" {", "if false {"),
			one("only Envoys of this node are let in", "xds/ads TestNobodyElsewhereIsSentAKey", remoteFile,
				"\tif err == nil {\n\t\treturn name, nil\n\t}\n", "\tif err == nil || err != nil {\n\t\treturn name, nil\n\t}\n"),
			one("one certificate takes no place of another", "xds/ads TestOneCertificateTakesNoPlaceOfAnother", remoteFile,
				"\t\toldest.end()\n", ""),
		}},
		{102, "a certificate that is none", "The organisation's own CA signs what is no SVID.", []guard{
			one("one name, and no more", "auth/identity TestOnlyGoodCertificatesPeer", judgeFile, "case len(uris) != 1:",
				"case len(uris) == 0:"),
			one("names are compared to the byte", "auth/identity TestOnlyGoodCertificatesPeer", judgeFile,
				"if err == nil && n.URI() != id {", "if false {"),
			one("a certificate that may sign is no leaf", "auth/identity TestOnlyGoodCertificatesPeer", judgeFile,
				"case leaf.IsCA || leaf.KeyUsage&(x509.KeyUsageCertSign|x509.KeyUsageCRLSign) != 0:", "case false:"),
		}},
		{103, "a stranger at the ingress", "A node that is no peer, or no longer, calls services with a good certificate.",
			[]guard{
				one("who is let in is on the list", "xds/ads TestOnlyPeersComeIn", guardFile,
					"\tif c.cfg.Admission.Organisation {\n", "\tif true {\n"),
				one("an Envoy's name is matched to its end", "xds/ads TestOnlyPeersComeIn", guardFile,
					"Regex: regexp.QuoteMeta(prefix) + rest,", "Regex: regexp.QuoteMeta(prefix) + rest + \".*\","),
				one("a peer that is removed is off the list at once", "cmd/internal/forwarding TestWhoComesInFollowsThePeers",
					listFile,
					"\t\t\tdelete(a.peers, n)\n", ""),
			}},
		{104, "a peer of another organisation", "It calls what it was not offered.", []guard{
			one("it reaches what the export rules let it have", "xds/ads TestOnlyPeersComeIn", guardFile,
				"\tif p.Everything {\n", "\tif true {\n"),
			one("rules that change change what it reaches", "cmd/internal/forwarding TestAForeignPeerReachesWhatItIsOffered",
				listFile,
				"p.rules, p.role, p.stale = v.Config.Export, v.Config.Role, true",
				"p.rules, p.role = v.Config.Export, v.Config.Role"),
			one("its CA does not stand in for a next hop of ours", "xds/ads TestANextHopIsJudgedByItsOwnRoots", secretFile,
				"map[bgp.Org][]byte{domain: c.roots[domain]}", "c.roots"),
		}},
		{105, "a trace that scans", "A peer announces an address, asks for a trace, and reads whether something " +
			"listens there.", []guard{
			one("nothing is tried that the one who asks could have chosen", "cmd/internal/trace TestNoAddressIsTriedForAPeer",
				discreetFile,
				"case slices.Contains(best.Attrs.NodePath, asker):", "case false:"),
		}},
		{106, "forged headers", "An application says where its request was, for whom it is, and how Envoy is to treat it.",
			[]guard{
				one("what callers claim reaches no workload", "xds/ads TestCallersClaimsReachNoWorkload", "xds/listener.go",
					"\t\t\twithoutClaims(name), extension(", "\t\t\textension("),
			}},
		{107, "a certificate nears its end", "Nobody renews it.", []guard{
			one("a third of its life before, it is said", "auth/identity TestWhatEndsIsSaidBefore", "auth/identity/validity.go",
				"if left >= v.Until.Sub(v.From)/3 {", "if left >= 0 {"),
		}},
	}
}
