package policy

import (
	"strconv"
	"time"
)

// Record is one decision on a call, with all that it was made of: it can be explained later (see Why) and made again
// by another set (see Snapshot.Replay).
type Record struct {
	ID       string        `json:"id"`
	At       time.Time     `json:"at"`
	Took     time.Duration `json:"took"`
	Call     Call          `json:"call"`
	Decision Decision      `json:"decision"`
	Shadow   bool          `json:"shadow,omitempty"` // it was let through whatever was decided
	// Ends is the decision that had let the call through, if it was under way and this one ended it.
	Ends string `json:"ends,omitempty"`
}

// Principal is whom the policies take the caller for: the bearer of its token, else the calling node, else a workload
// beside this node.
func (c Call) Principal() string {
	switch {
	case c.Bearer != nil:
		return c.Bearer.Principal + "::" + strconv.Quote(c.Bearer.Subject)
	case c.Peer != "":
		return "NODE::" + strconv.Quote(c.Peer)
	}
	return `Workload::"local"`
}

// Replay decides a recorded call anew.
func (s *Snapshot) Replay(r Record) Decision { return s.Decide(r.Call.Request()) }
