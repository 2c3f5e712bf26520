package federation

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"strings"
	"time"

	"github.com/catalyst-router/catalyst/bgp"
)

// Ended is a peering that there was.
type Ended struct {
	Org bgp.Org   `json:"org"`
	At  time.Time `json:"at"`
}

// End forgets a peering and withdraws the open invitations to it. It returns what there was; nil if nothing.
func (b *Book) End(ctx context.Context, org bgp.Org, text string) (*Peering, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	p := b.peerings[org]
	put, drop := map[string]json.RawMessage{}, []string{}
	gone := map[string]*Offered{}
	for id, o := range b.offers {
		if o.With == org && o.State(b.cfg.Now()) == "open" {
			w := *o
			w.Withdrawn = true
			var err error
			if put[offerKey+id], err = json.Marshal(w); err != nil {
				return nil, err
			}
			gone[id] = &w
		}
	}
	var over *Ended
	var forgotten bgp.Org
	if p != nil {
		over = &Ended{Org: org, At: b.cfg.Now().UTC()}
		var err error
		if put[endedKey+string(org)], err = json.Marshal(over); err != nil {
			return nil, err
		}
		drop = append(drop, peeringKey+string(org))
		if forgotten = b.oldestEnd(); forgotten != "" {
			drop = append(drop, endedKey+string(forgotten))
		}
	}
	if len(put)+len(drop) == 0 {
		return nil, nil //nolint:nilnil // there was nothing
	}
	if err := b.cfg.Store.SaveTrust(ctx, put, drop); err != nil {
		return nil, err
	}
	maps.Copy(b.offers, gone)
	delete(b.peerings, org)
	delete(b.ended, forgotten)
	if over != nil {
		b.ended[org] = over
	}
	b.notify()
	b.audit(Event{Action: "end", Org: org, Text: text})
	if p == nil {
		p = &Peering{Org: org}
	}
	return p, nil
}

// oldestEnd is the one of the ends that is forgotten for a further one; "" while there is room. The caller holds mu.
func (b *Book) oldestEnd() bgp.Org {
	if len(b.ended) < MaxPeerings {
		return ""
	}
	var oldest *Ended
	for _, e := range b.ended {
		if oldest == nil || e.At.Before(oldest.At) {
			oldest = e
		}
	}
	return oldest.Org
}

// believed is whose tokens are believed for which services, as it is asked at every call: it is never waited for.
type believed struct {
	ended  map[bgp.Org]time.Time
	tokens map[bgp.Org][]string // of each peering
}

// publish has Honours answer by what is kept now. The caller holds mu, or nobody else knows the book yet.
func (b *Book) publish() {
	now := &believed{map[bgp.Org]time.Time{}, map[bgp.Org][]string{}}
	for org, e := range b.ended {
		now.ended[org] = e.At
	}
	for org, p := range b.peerings {
		now.tokens[org] = p.Terms.Tokens
	}
	b.believed.Store(now)
}

// Over returns why nothing of an organisation is believed any more: the peering with it has ended; nil if not.
func (b *Book) Over(org bgp.Org) error {
	if at, over := b.believed.Load().ended[org]; over {
		return fmt.Errorf("the peering with %s has ended at %s", org, at.Format(time.RFC3339))
	}
	return nil
}

// Honours returns why tokens of another organisation are not believed for a service of this full name, or with "" for
// any; nil if nothing that is known here is against it. Only a node that has a peering with the organisation, or had
// one, has a say: at a node behind the border its configuration alone decides.
func (b *Book) Honours(org bgp.Org, service string) error {
	if err := b.Over(org); err != nil {
		return err
	}
	now := b.believed.Load()
	patterns, peered := now.tokens[org]
	if !peered {
		return nil
	}
	for _, pattern := range patterns {
		if service == "" || pattern == service ||
			strings.HasPrefix(pattern, "*.") && strings.HasSuffix(service, pattern[1:]) {
			return nil
		}
	}
	if service == "" {
		service = "any service"
	}
	return fmt.Errorf("the peering with %s does not have its tokens believed for %s (catalyst peering update %s --tokens)",
		org, service, org)
}
