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
	}
}
