package scenarios

// atRest is what becomes of identities that lie on disks.
func atRest() []scenario {
	const sealedFile = "auth/disk/sealed.go"
	return []scenario{
		{269, "a node's disk is read", "Somebody has a node's keys from a backup, and not what they " +
			"are sealed under.", []guard{
			one("what is written is sealed", "auth/disk TestVault", sealedFile,
				"		secret = []byte(sealedMark + s.Seal(secret, name) + \"\\n\")\n",
				"		_ = sealedMark + s.Seal(secret, name)\n"),
			one("what lies in clear is sealed at the start", "auth/identity TestKeyIsSealedWhereItLies",
				"auth/identity/identity.go", "	did, err := s.v.SealAll(disk.SVIDKey)\n", "	did, err := s.v.SealAll()\n"),
			one("a key that was lost is not made anew", "auth/disk TestVault", "auth/seal/place.go",
				"func (p Place) Opener() (*Sealer, error) { return p.sealer(false) }",
				"func (p Place) Opener() (*Sealer, error) { return p.sealer(true) }"),
		}},
		{270, "one certificate leaked", "A node's key was copied: its certificate is revoked by number, and the node stays.",
			[]guard{
				one("sessions that it was shown in end", "bgp/peering TestSessionsEndWithTheirCertificate",
					"bgp/peering/serve.go", "if len(c.shown) > 0 && refuse(c.shown[0]) != nil && !",
					"if len(c.shown) > 1000 && refuse(c.shown[0]) != nil && !"),
				one("requests on connections that are there are refused", "xds/ads TestRevokedCertificatesAtEnvoy",
					"xds/admission.go", "	rules = c.withoutLeaves(rules)\n", ""),
				one("what is under way ends", "xds/ads TestRevokedCertificatesAtEnvoy", "xds/admission.go",
					"return l.Org == node.Org && l.is(shown)", "return l.Org == node.Org && l.is(shown) && false"),
				one("for its own organisation alone", "xds/ads TestRevokedCertificatesAtEnvoy", "xds/admission.go",
					"return l.Org == node.Org && l.is(shown)", "return l.is(shown)"),
			}},
		{271, "cut off after a restart", "A node restarts, and cannot reach whoever knows what is revoked.", []guard{
			one("it refuses what it knew", "auth/follow TestRestartedAndCutOff", "auth/follow/follow.go",
				"	f.recall()\n", ""),
			one("which is as old as it is", "auth/follow TestRestartedAndCutOff", "auth/revoke/revoke.go",
				"earliest(now, time.Unix(k.Heard, 0))", "now"),
			one("what is heard takes its place", "auth/follow TestRestartedAndCutOff", "auth/revoke/revoke.go",
				"	if s.recalled { // the", "	if false { // the"),
		}},
		{272, "a renewal under load", "A node renews, and its Envoy goes on over connections that it made with the " +
			"certificate before.", []guard{
			one("a token that went along is good there", "auth/server TestBoundTokensGoAlong", "auth/service/join.go",
				"		c.Former = append([]token.Thumbprint{old.Bound}, old.Former...)\n", ""),
			one("and nowhere else", "auth/token TestFormerCertificates", verifyFile, "		if !ok {\n", "		if false && !ok {\n"),
			one("one of them that is revoked is worth nothing", "auth/token TestFormerCertificates", verifyFile,
				"			former.Bound = by\n", ""),
		}},
		{273, "killed after joining", "A node is killed between its first certificate and the first word to its peers.",
			[]guard{
				one("whom the token names is kept until it is taken over", "auth/member TestKilledBeforeThePeersAreKept",
					"auth/member/member.go", "		if err := take(p); err != nil {\n			return err\n		}\n", "		_ = take(p)\n"),
			}},
	}
}
