package scenarios

const (
	spreadFile = "policy/spread/spread.go"
	codecFile  = "policy/extauthz/codec.go"
)

// policyScenarios are about policies that the nodes of an organisation share, and about what they permit.
func policyScenarios() []scenario {
	return append(rights(), []scenario{
		{422, "a connection of one's own application", "A node decides on what its own applications call: a TCP service " +
			"is one of those, though no request shows it.", []guard{
			one("a connection is asked about before it reaches anything", "xds TestGolden/tcp_asked", "xds/listener.go",
				"	case c.asksConnections():\n", "	case false:\n"),
		}},
		{451, "a check that is cut off", "What asks about a request sends a part of the question, or texts that are none: " +
			"less in a question must not mean another one.", []guard{
			one("texts are texts", "policy/extauthz TestBrokenQuestionIsRefused", codecFile,
				"if !utf8.Valid(b) {", "if !utf8.Valid(b) && false {"),
			one("what is looked at is read as ever", "policy/extauthz TestShortQuestionMeansTheSame", codecFile,
				"if len(raw) > 0 {", "if len(raw) > 1 {"),
			one("an answer says all that it has in it", "policy/extauthz TestAnswerIsReadAsMeant", codecFile,
				"!plain(r, out.OkResponse) {", "!plain(r, out.OkResponse) && false {"),
		}},
		{276, "a forged set", "A node, or somebody with its session, says that a set of its own is the organisation's: " +
			"only what a followed node signed is taken.", []guard{
			one("a head is verified", "policy/spread TestForgeries", spreadFile,
				"err = s.cfg.Identity.Verify(h.Signer, h.signed(), h.Signature, h.Chain, h.At)", "err = nil"),
			one("only followed nodes set policies", "policy/spread TestForgeries", spreadFile,
				"if !s.cfg.Follow(h.Signer) || ", "if "),
			one("a signature is that of the node's own certificate", "cmd/internal/judge TestSigning",
				"cmd/internal/judge/shared.go", "err = leaf.CheckSignature(x509.ECDSAWithSHA256, text, signature)",
				"err = nil"),
			one("a certificate is that of the node that is named", "cmd/internal/judge TestSigning",
				"cmd/internal/judge/shared.go", "if len(leaf.URIs) != 1 || leaf.URIs[0].String() != node.URI() || leaf.IsCA {",
				"if leaf.IsCA {"),
		}},
		{277, "a set that does not arrive", "Bulletins are lost, and a node is cut off while a set is applied: it is asked " +
			"for again, and the node says how old its own is.", []guard{
			one("a part that does not come is asked for again", "policy/spread TestWhatIsLostIsSaidAgain", spreadFile,
				"now.Sub(f.asked) >= asksAgain", "false"),
			one("a set that nobody confirms gets older", "policy/spread TestCutOff", spreadFile,
				"return max(0, s.cfg.Now().Sub(s.head.At))", "return 0"),
			one("a neighbour that is back hears what is in force", "policy/spread TestCutOff", spreadFile,
				"if head != nil && now.Sub(s.signed) >= headEvery {", "if false {"),
		}},
		{278, "a set that a node cannot use", "One node is older than the others: it keeps what it has, and everybody " +
			"learns why; an apply names it first.", []guard{
			one("a set that is not valid here changes nothing", "policy/spread TestASetThatANodeCannotUse", spreadFile,
				"	if err != nil {\n\t\tif len(s.refused)", "	if false {\n\t\tif len(s.refused)"),
			one("nodes that know less are named", "policy/spread TestTooOld", spreadFile,
				"if h.Level < level {", "if false {"),
		}},
	}...)
}
