package revoke

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/catalyst-router/catalyst/auth/token"
)

// announceTimeout is how long a delta may take to be read and signed.
const announceTimeout = 10 * time.Second

// Announcer signs a delta once for all who ask for the same. A revocation has all nodes ask at once: with 1,000 of
// them it is one signature instead of a third of a second of them. Its zero value is ready, and safe for concurrent
// use.
type Announcer struct {
	last   atomic.Pointer[announced]
	making singleflight.Group
}

// Announcement is all that a delta depends on: who asks for the same is given the same.
type Announcement struct {
	After, Known int64 // sequence numbers: of who asks, and the newest that is known here
	Issued       int64 // Unix seconds, as it stands in the delta
	Key          string
}

type announced struct {
	of    Announcement
	raw   string
	delta *Delta
}

// Signed returns the delta as it is sent and as it is read, which is shared and not to be changed. read makes it if it
// was not the last; an error is read's or the signer's, or the cause of ctx.
func (a *Announcer) Signed(ctx context.Context, of Announcement, signer *token.Signer,
	read func(ctx context.Context) (*Delta, error)) (string, *Delta, error) {
	if last := a.last.Load(); last != nil && last.of == of {
		return last.raw, last.delta, nil
	}
	made := a.making.DoChan(fmt.Sprint(of), func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), announceTimeout) // others wait for it as well
		defer cancel()
		d, err := read(ctx)
		if err != nil {
			return nil, err
		}
		raw, err := Sign(d, signer)
		if err != nil {
			return nil, err
		}
		said := &announced{of: of, raw: raw, delta: d}
		a.last.Store(said)
		return said, nil
	})
	select {
	case <-ctx.Done():
		return "", nil, context.Cause(ctx)
	case r := <-made:
		if r.Err != nil {
			return "", nil, r.Err
		}
		said := r.Val.(*announced) //nolint:forcetypeassert // as it is made above
		return said.raw, said.delta, nil
	}
}
