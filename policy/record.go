package policy

import (
	"crypto/rand"
	"encoding/base32"
	"strconv"
	"strings"
	"time"
)

// Record is one decision on a call or an order, with all that it was made of: it can be explained later (see Why) and
// made again by another set (see Snapshot.Replay).
type Record struct {
	ID       string        `json:"id"`
	At       time.Time     `json:"at"`
	Took     time.Duration `json:"took"`
	Call     Call          `json:"call"`
	Order    *Order        `json:"order,omitempty"` // instead of a call
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

// Principal is whom the policies took the caller for.
func (r Record) Principal() string {
	if r.Order != nil {
		return Call{Bearer: &r.Order.Bearer}.Principal()
	}
	return r.Call.Principal()
}

// Action is what was asked for: REQUEST or CONNECT for a call.
func (r Record) Action() string {
	switch {
	case r.Order != nil:
		return r.Order.Action
	case r.Call.Connect:
		return Connect
	}
	return Ask
}

// Resource is the name of the service that is called; of an order, TYPE::"id" of what it is about.
func (r Record) Resource() string {
	if r.Order != nil {
		return r.Order.Kind + "::" + strconv.Quote(r.Order.ID)
	}
	return r.Call.Service
}

// Request is the question again.
func (r Record) Request() Request {
	if r.Order != nil {
		return r.Order.Request()
	}
	return r.Call.Request()
}

// Replay decides a recorded question anew.
func (s *Snapshot) Replay(r Record) Decision { return s.Decide(r.Request()) }

// NewID names a decision: 80 random bits, 16 letters and digits.
func NewID() string {
	var b [10]byte
	_, _ = rand.Read(b[:]) // it never fails
	return strings.ToLower(base32.StdEncoding.EncodeToString(b[:]))
}
