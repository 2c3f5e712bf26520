package organisation

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"fmt"
	"path/filepath"
	"time"

	"github.com/catalyst-router/catalyst/auth/ca"
	"github.com/catalyst-router/catalyst/auth/disk"
	"github.com/catalyst-router/catalyst/auth/join"
	"github.com/catalyst-router/catalyst/cmd/internal/cli/console"
)

// AdminCredential writes the first administrator's certificate and key into the CA's directory.
func AdminCredential(at *At) error {
	authority, err := at.Authority()
	if err != nil {
		return err
	}
	return IssueOperator(authority, filepath.Join(*at.Dir, adminDir), "admin", ca.MaxByHand)
}

// Introduced adds the peers of a joining node to its token.
func Introduced(text string, peers []string) (string, error) {
	t, err := join.ParseToken(text)
	if err != nil {
		return "", err
	}
	if len(peers) > join.MaxPeers {
		return "", console.Usage(fmt.Errorf("--peer: %d peers: want at most %d", len(peers), join.MaxPeers))
	}
	for _, p := range peers {
		peer, err := join.ParsePeer(t.Org, p)
		if err != nil {
			return "", console.Usage(fmt.Errorf("--peer: %w", err))
		}
		t.Peers = append(t.Peers, peer)
	}
	return t.Text(), nil
}

// IssueOperator writes an operator's credential: a certificate whose key is in a file of mode 0600.
func IssueOperator(authority *ca.Authority, dir, name string, life time.Duration) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return fmt.Errorf("generate a key: %w", err)
	}
	svid, err := authority.IssueOperator(key.Public(), name, life)
	if err != nil {
		return err
	}
	return disk.SaveBundle(dir, authority, svid, key)
}
