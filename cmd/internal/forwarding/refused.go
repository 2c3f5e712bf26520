package forwarding

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/catalyst-router/catalyst/auth/disk"
	"github.com/catalyst-router/catalyst/bgp"
	"github.com/catalyst-router/catalyst/xds"
)

// refusedFile, below the data directory, lists whose certificates were revoked when this node last heard of it. A
// node that restarts refuses them from its start, and not only when revocations reach it again.
const refusedFile = "refused.json"

// refused is the content of the file.
type refused struct {
	Nodes  []bgp.NodeID
	Leaves []xds.Leaf
}

// Refuse has the mesh ingress turn away these nodes and certificates of an organisation, whether or not they are
// peers. They take the place of those refused before: what is not named any more may come in again. It returns when
// Envoys are told.
func (f *Forwarder) Refuse(org bgp.Org, nodes []bgp.NodeID, leaves []xds.Leaf) error {
	return f.admission.refuse(org, nodes, leaves)
}

func (a *admission) refuse(org bgp.Org, nodes []bgp.NodeID, leaves []xds.Leaf) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	now := refused{slices.Clone(nodes), slices.Clone(leaves)}
	for _, n := range a.refused.Nodes {
		if n.Org != org {
			now.Nodes = append(now.Nodes, n)
		}
	}
	for _, l := range a.refused.Leaves {
		if l.Org != org {
			now.Leaves = append(now.Leaves, l)
		}
	}
	slices.SortFunc(now.Nodes, bgp.NodeID.Compare)
	now.Nodes = slices.Compact(now.Nodes)
	slices.SortFunc(now.Leaves, func(a, b xds.Leaf) int {
		return cmp.Or(cmp.Compare(a.Org, b.Org), cmp.Compare(a.Serial, b.Serial), cmp.Compare(a.SHA256, b.SHA256))
	})
	now.Leaves = slices.Compact(now.Leaves)
	if slices.Equal(now.Nodes, a.refused.Nodes) && slices.Equal(now.Leaves, a.refused.Leaves) {
		return nil
	}
	a.refused = now
	err := a.tell()
	text, e := json.Marshal(now)
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
	if err == nil && bytes.HasPrefix(text, []byte("[")) { // as it was when there were nodes alone
		err = json.Unmarshal(text, &a.refused.Nodes)
	} else if err == nil {
		err = json.Unmarshal(text, &a.refused)
	}
	if err != nil {
		a.refused = refused{}
		a.log.Error("who is revoked is not known until the organisation says it",
			"error", fmt.Errorf("%s: %w", a.refusedPath(), err))
	}
}
