package doctor

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/catalyst-router/catalyst/bgp/journal"
	"github.com/catalyst-router/catalyst/cmd/internal/snapshot"
)

const journalFile = "journal.db"

// kept is what is in the journal.
type kept struct {
	path   string
	absent bool // nothing was ever ordered, and nothing says otherwise
	bad    bool // a damaged one lies beside it
	damage []journal.Damage
	err    error // why it cannot be opened
	peers  []Peer
}

// journal looks into a copy of the journal: the node may have it open, and nothing of it is changed. It returns the
// peers to dial: those of the node that runs, else those of the journal.
func (e *examination) journal(ctx context.Context) ([]Peer, []Finding) {
	k := read(ctx, filepath.Join(e.cfg.Node.Data, journalFile))
	if r := e.cfg.Running; r != nil {
		k.peers = r.Peers
	}
	return k.peers, judgeJournal(k)
}

func read(ctx context.Context, path string) kept {
	k := kept{path: path}
	if _, err := os.Stat(path + ".bad"); err == nil {
		k.bad = true
	}
	_, mark := os.Stat(path + ".kept")
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		if k.absent = mark != nil; !k.absent {
			k.err = errors.New("it is not there, although something was ordered")
		}
		return k
	}
	dir, err := os.MkdirTemp("", "catalyst-doctor-")
	if err != nil {
		k.err = err
		return k
	}
	defer func() { _ = os.RemoveAll(dir) }()
	copied := filepath.Join(dir, journalFile)
	if k.err = snapshot.Take(ctx, path, copied); k.err != nil {
		return k
	}
	if mark == nil {
		k.err = os.WriteFile(copied+".kept", nil, 0o600)
	}
	j, err := journal.Open(ctx, copied)
	if err != nil {
		k.err = err
		return k
	}
	defer func() { _ = j.Close() }()
	k.damage = j.Damage()
	peers, err := j.Peers(ctx)
	k.err = errors.Join(k.err, err)
	for _, p := range peers {
		k.peers = append(k.peers, Peer{Node: p.Node.String(), Addresses: p.Addresses, Disabled: p.Disabled})
	}
	return k
}

func judgeJournal(k kept) []Finding {
	const back = "put back a backup (catalyst restore), or order again what the log of the node names as damaged"
	switch {
	case k.absent:
		return []Finding{{checkJournal, OK, k.path, "there is none yet: nothing was ordered", ""}}
	case k.err != nil:
		return []Finding{{checkJournal, Wrong, k.path, k.err.Error(), back}}
	}
	var all []Finding
	for _, d := range k.damage {
		all = append(all, Finding{checkJournal, Wrong, k.path, "it is damaged: " + d.String(), back})
	}
	if k.bad {
		all = append(all, Finding{checkJournal, Wrong, k.path + ".bad", "a damaged journal was set aside here, and part " +
			"of it " +
			"is not served", "order again what the log of the node names, then remove " + k.path + ".bad"})
	}
	if len(all) == 0 {
		all = append(all, Finding{checkJournal, OK, k.path, "every record is whole", ""})
	}
	return all
}
