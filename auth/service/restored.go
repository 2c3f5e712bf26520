package service

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/catalyst-router/catalyst/auth/ca"
	"github.com/catalyst-router/catalyst/auth/revoke"
	"github.com/catalyst-router/catalyst/auth/store"
)

const (
	settingRestored = "restored"
	// skippedRevocations is how far the numbers of revocations jump: those that were given after the backup was made are
	// not known any more, and who follows the feed asks for what comes after the last that it heard.
	skippedRevocations = 1 << 20
	// restoredFor is how long after a restore nodes may renew whose continuity went with the former store.
	restoredFor = 30 * 24 * time.Hour
)

// restored says that the store was put back from a backup.
type restored struct {
	Backup time.Time `json:"backup"` // when the backup was made
	At     time.Time `json:"at"`     // when it was put back
}

// MarkRestored notes that a store was put back from a backup made at a time, before the service is started over it.
// Nodes renewed meanwhile, and what the store knows of their continuity is of before: each may renew once without it,
// by the certificate that it has (see Service.Renew). What was revoked after the backup is revoked no more.
func MarkRestored(ctx context.Context, st *store.Store, backup, now time.Time) error {
	text, err := json.Marshal(restored{backup.UTC(), now.UTC()})
	if err != nil {
		return err
	}
	e := store.Entry{Actor: "operator", Action: "store.restore", Target: "store",
		Detail: "from the backup of " + backup.UTC().Format(time.RFC3339), At: now}
	return st.Write(ctx, e, func(ctx context.Context, tx *store.Tx) error {
		if err := tx.Skip(ctx, skippedRevocations); err != nil {
			return err
		}
		return tx.Set(ctx, settingRestored, string(text))
	})
}

// lostContinuity tells whether what a node had to show was lost with the former store: the store was put back from a
// backup, and the node has not renewed since then. Whoever asks proves who it is as ever, by its key; one that shows a
// certificate which this store knows did not renew meanwhile, so that it has no excuse: it is a copy from before.
//
// For example: the backup is of 12:00, edge-1 renewed at 12:20, the store is lost at 12:30 and put back. edge-1 then
// shows the continuity of 12:20, of which the store has never heard, and the certificate of 12:20, likewise.
func (s *Service) lostContinuity(ctx context.Context, tx *store.Tx, n *store.Node, r RenewRequest) (bool, error) {
	text, err := tx.Setting(ctx, settingRestored)
	if err != nil || text == "" || n == nil {
		return false, err
	}
	var back restored
	if err := json.Unmarshal([]byte(text), &back); err != nil {
		return false, fmt.Errorf("setting %s of the store: %w", settingRestored, err)
	}
	if n.Renewed.After(back.Backup) || s.cfg.Now().Sub(back.At) > restoredFor {
		return false, nil
	}
	if r.Returning { // its key is the proof, and it costs a return
		return true, nil
	}
	known, err := tx.Certificates(ctx, r.Node.URI(), s.cfg.Now().Add(-ca.MaxLife))
	if err != nil {
		return false, err
	}
	serial := revoke.SerialText(r.Leaf)
	for _, c := range known {
		if c.Serial == serial {
			return false, nil
		}
	}
	return true, nil
}
