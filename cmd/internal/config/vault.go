package config

import (
	"os"
	"path/filepath"

	"github.com/catalyst-router/catalyst/auth/disk"
	"github.com/catalyst-router/catalyst/auth/seal"
)

// NodeSealKey is the variable with the key, base64, that a node's secrets are sealed under.
const NodeSealKey = "CATALYST_NODE_SEAL_KEY"

// SealNone is what SealKey says to have secrets written in clear.
const SealNone = "none"

// Vault is where the node's secrets are, and how they are sealed.
func (c *Config) Vault() disk.Vault { return VaultIn(c.Identity, c.SealKey) }

// VaultIn is Vault for a directory of an identity. key is as SealKey.
func VaultIn(dir, key string) disk.Vault {
	p := seal.Place{Own: filepath.Join(dir, disk.SealFile), Clear: key == SealNone}
	switch key {
	case "", SealNone:
		p.Key = os.Getenv(NodeSealKey)
	default:
		p.File = key
	}
	return disk.Vault{Dir: dir, Seal: p}
}
