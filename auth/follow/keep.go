package follow

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/catalyst-router/catalyst/auth/disk"
	"github.com/catalyst-router/catalyst/auth/revoke"
)

// How often what was revoked is written down: soon after a change, and now and then how old it is.
const (
	keepAfter = 100 * time.Millisecond // changes are gathered for as long
	keepAge   = time.Minute
	// for each of so many revocations the age is written a minute later: a file of a million is not written all the time
	keepMany = 10_000
)

// recall reads what was revoked before a restart.
func (f *Feed) recall() {
	if f.cfg.Keep == "" {
		return
	}
	text, err := disk.ReadPrivate(f.cfg.Keep)
	if errors.Is(err, fs.ErrNotExist) {
		return
	}
	k := &revoke.Known{}
	if err == nil {
		err = json.Unmarshal(text, k)
	}
	if err != nil {
		f.cfg.Log.Error("what was revoked before the restart is not known until the identity service says it",
			"organisation", f.cfg.Org, "error", fmt.Errorf("%s: %w", f.cfg.Keep, err))
		return
	}
	f.set.Recall(k, time.Now())
}

// keep writes down what was revoked, until ctx ends.
func (f *Feed) keep(ctx context.Context) {
	failed := false
	for {
		changed := f.set.Changed()
		if err := f.write(); err != nil && !failed {
			failed = true
			f.cfg.Log.Error("what is revoked is not known after a restart, until the identity service says it",
				"organisation", f.cfg.Org, "error", err)
		} else if err == nil {
			failed = false
		}
		select {
		case <-ctx.Done():
			_ = f.write() // how old it is; what changed is written
			return
		case <-time.After(keepAge * time.Duration(1+f.set.Len()/keepMany)):
		case <-changed:
			select {
			case <-ctx.Done():
			case <-time.After(keepAfter):
			}
		}
	}
}

func (f *Feed) write() error {
	k := f.set.State()
	if k == nil {
		return nil
	}
	text, err := json.Marshal(k)
	if err != nil {
		return err
	}
	return disk.Replace(f.cfg.Keep, text, 0o600)
}
