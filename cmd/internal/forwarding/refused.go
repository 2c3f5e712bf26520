package forwarding

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/catalyst-router/catalyst/auth/disk"
	"github.com/catalyst-router/catalyst/bgp"
)

// refusedFile holds whose certificates were revoked when that was last heard, below the data directory: a node that
// restarts knows it before the first revocation reaches it again.
const refusedFile = "refused.json"

// Refuse has the mesh ingress let these nodes of an organisation in no more, peers or not; those of it that were
// refused before and are not named may come in again. It returns when Envoys are told; requests that are under way go
// on.
func (f *Forwarder) Refuse(org bgp.Org, nodes []bgp.NodeID) error {
	return f.admission.refuse(org, nodes)
}

func (a *admission) refuse(org bgp.Org, nodes []bgp.NodeID) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	nodes = slices.Clone(nodes)
	for _, n := range a.refused {
		if n.Org != org {
			nodes = append(nodes, n)
		}
	}
	slices.SortFunc(nodes, bgp.NodeID.Compare)
	nodes = slices.Compact(nodes)
	if slices.Equal(nodes, a.refused) {
		return nil
	}
	a.refused = nodes
	err := a.tell()
	text, e := json.Marshal(nodes)
	if e == nil {
		e = disk.Replace(a.refusedPath(), text, 0o600)
	}
	return errors.Join(err, e)
}

func (a *admission) refusedPath() string { return filepath.Join(filepath.Dir(a.path), refusedFile) }

// readRefused reads who was refused last.
func (a *admission) readRefused() {
	text, err := os.ReadFile(a.refusedPath())
	if errors.Is(err, fs.ErrNotExist) {
		return
	}
	if err == nil {
		err = json.Unmarshal(text, &a.refused)
	}
	if err != nil {
		a.refused = nil
		a.log.Error("which nodes are revoked is not known until the organisation says it",
			"error", fmt.Errorf("%s: %w", a.refusedPath(), err))
	}
}
