package scenarios

const (
	verifyFile  = "auth/token/verify.go"
	jsonFile    = "auth/token/json.go"
	parseFile   = "auth/token/parse.go"
	claimsFile  = "auth/token/claims.go"
	tokenCache  = "auth/token/cache.go"
	revokeFile  = "auth/revoke/revoke.go"
	storeFile   = "auth/store/store.go"
	auditFile   = "auth/store/audit.go"
	joinFile    = "auth/service/join.go"
	mintFile    = "auth/service/mint.go"
	callerFile  = "auth/service/caller.go"
	memberTLS   = "auth/member/files.go"
	authorities = "auth/service/authorities.go"
	bearerFile  = "auth/bearer/bearer.go"
	keysFile    = "auth/keys/keys.go"
)

// identityScenarios are what may go wrong with joining, certificates, tokens and revocation.
func identityScenarios() []scenario {
	return []scenario{
		{211, "a bent token", "Somebody forges, bends or replays a token in one of two hundred ways.", []guard{
			one("a name twice is refused, whichever a reader would take", "auth/token TestAttacks", jsonFile,
				"if strings.EqualFold(other, name) {", "if false && strings.EqualFold(other, name) {"),
			one("a header says no more than alg, kid and typ", "auth/token TestAttacks", parseFile,
				`if !slices.Contains([]string{"alg", "kid", "typ", "x5t", "x5t#S256"}, name) {`,
				`if !slices.Contains([]string{name}, name) {`),
			one("a key is used with its own algorithm alone", "auth/token TestAttacks", verifyFile,
				"if key.Algorithm != t.alg || issuer.Map == nil && t.alg != ES384 {", "if false {"),
			one("a claim in another case is refused", "auth/token TestAttacks", claimsFile,
				"if name != known && strings.EqualFold(name, known) {", "if name != known && name == known {"),
			one("a token is for one audience", "auth/token TestAttacks", verifyFile,
				"case !v.cfg.AnyAudience && !slices.Contains(c.Audience, audience):", "case false:"),
		}},
		{212, "the wrong certificate", "A token is used by somebody who does not hold the key that it is bound to.", []guard{
			one("the binding is looked at, in the cache too", "auth/token TestCacheForgetsWhatIsOver/another_caller",
				verifyFile, "if certificate != nil && !c.Bound.IsZero() {", "if false && certificate != nil {"),
		}},
		{213, "a twin of a signature", "Anybody can turn (r, s) into (r, n−s): a revocation and the cache must not be " +
			"got around by it.", []guard{
			one("both take one place in the cache", "auth/token TestTwinSignature", tokenCache,
				"return subtle.ConstantTimeCompare(buf[:], e.first)|subtle.ConstantTimeCompare(buf[:], e.second) == 1",
				"return subtle.ConstantTimeCompare(buf[:], e.first) == 1 || true"),
		}},
		{214, "revoked while verified", "A token is revoked while its signature is being checked.", []guard{
			one("what can change is looked at again afterwards", "auth/token TestRevokedWhileTheSignatureIsChecked", verifyFile,
				"	if err := v.standing(ctx, c, issuer, key, certificate, v.cfg.Now()); err != nil {\n		return nil, err\n	}\n", ""),
		}},
		{215, "a feed that is held back", "Somebody keeps revocations from a node, or plays old ones again.", []guard{
			one("a feed that stopped is stale, and nothing passes", "auth/revoke TestStale", revokeFile,
				"if now.Sub(s.heard) > time.Duration(intervals)*s.interval {", "if false {"),
			one("an old delta says nothing about now", "auth/revoke TestStale", revokeFile,
				"if at := earliest(now, issued.Add(skew)); at.After(s.heard) {",
				"if at := now; !issued.IsZero() && at.After(s.heard) {"),
			one("a gap is noticed", "auth/revoke TestOrder", revokeFile, "if d.After > s.seq {", "if false {"),
		}},
		{216, "a join token twice", "A join token is used again, by another machine, for another node, or after its time.",
			[]guard{
				one("used by another key is refused", "auth/server TestJoinMisused", joinFile, "	case !j.Used.IsZero():\n",
					"	case false:\n"),
				one("for another node is refused", "auth/server TestJoinMisused", joinFile, "	case j.Node != id.Name:\n",
					"	case false:\n"),
			}},
		{217, "an answer that was lost", "A node is killed, or the network breaks, between the service's answer and its " +
			"being kept.", []guard{
			one("the same key may fetch the answer again", "auth/server TestJoinAnswerLost", joinFile,
				"now.Sub(j.Used) <= lostAnswer:", "now.Sub(j.Used) < 0:"),
		}},
		{218, "a copied disk", "Two machines use one identity.", []guard{
			one("whoever renews second does not know what the first was told", "auth/server TestCopiedIdentity", joinFile,
				"if !current && !lost && !forgotten {", "if false && !current && !lost && !forgotten {"),
		}},
		{219, "an impostor of the service", "Somebody else answers where the identity service should be.", []guard{
			one("the join token's pin is the service's root", "auth/server TestJoinToTheWrongService", memberTLS,
				"if sha256.Sum256(c.Raw) == t.Pin {", "if sha256.Sum256(c.Raw) == t.Pin || len(chain) > 1 {"),
		}},
		{220, "a sleeper", "A node was off for longer than every certificate and root in play.", []guard{
			one("roots sign their successors", "auth/server TestSleepersReturn", authorities,
				"	if err := s.keepSuccession(ctx, tx, *current, *next); err != nil {\n		return err\n	}\n", ""),
			one("only the key that joined comes back", "auth/server TestWhoMayNotReturn", joinFile,
				"case r.Returning && KeyHash(r.Leaf) != n.Key:", "case false:"),
			one("not too often", "auth/server TestWhoMayNotReturn", joinFile, "	n.Credits--\n", ""),
		}},
		{221, "an administrator's token alone", "Somebody has an administrator's token, and not its key.", []guard{
			one("administration wants a bound token", "auth/server TestAdministrationWantsAnAdmin", callerFile,
				"	case !c.Bound:\n", "	case false:\n"),
		}},
		{222, "an exchange", "Somebody exchanges another's token, or for more than it allowed.", []guard{
			one("audience and scopes become narrower only", "auth/server TestOAuth", mintFile,
				"if !slices.Contains(old.Scopes, a) {", "if false {"),
		}},
		{223, "an open stream", "A token expires or is revoked while a stream is open.", []guard{
			one("the stream's context ends", "auth/bearer TestOpenStreamLosesItsRight", bearerFile,
				"		cancel(err)\n", ""),
		}},
		{224, "a changed log", "Somebody changes the audit log in the database.", []guard{
			one("each entry holds the hash of the one before", "auth/store TestStores", auditFile,
				"case e.digest() != e.Hash:", "case false:"),
		}},
		{225, "two replicas", "Two identity services over one PostgreSQL do the same at once.", []guard{
			one("changes wait for each other", "auth/store TestStores", storeFile,
				"UPDATE head SET seq = seq + 1 WHERE id = 1 RETURNING seq, hash", "SELECT seq + 1, hash FROM head WHERE id = 1"),
			one("a key that was rotated elsewhere signs no more", "auth/server TestTwoReplicas", mintFile,
				"if snap := s.snapshot.Load(); reflect.DeepEqual(rows, snap.signing) {",
				"if snap := s.snapshot.Load(); snap != nil || reflect.DeepEqual(rows, rows) {"),
		}},
		{226, "a key that verifies too long", "A signing key was rotated, and its grace is over.", []guard{
			one("a retired key stops at its time", "auth/keys TestRotateThreeTimes", keysFile,
				"if k.Slot != Retired || now.Before(k.Until) {", "if true {"),
			one("a key is published before it signs", "auth/keys TestRotateTooEarly", keysFile,
				"if ready := r.Next().Published.Add(Publish); !how.Immediate && now.Before(ready) {",
				"if ready := now; !ready.Equal(now) {"),
		}},
	}
}
