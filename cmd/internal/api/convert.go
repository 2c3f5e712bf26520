package api

import (
	"strings"
	"time"

	"github.com/catalyst-router/catalyst/bgp/journal"
	"github.com/catalyst-router/catalyst/bgp/rib"
	"github.com/catalyst-router/catalyst/cmd/internal/offer"
	"github.com/catalyst-router/catalyst/graphql/operator"
)

// stamp is a time as the API gives it; "" for none.
func stamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339Nano)
}

func serviceOf(s journal.Service) operator.Service {
	out := operator.Service{
		Service:   string(s.Name),
		Protocol:  s.Protocol.String(),
		Address:   s.Address,
		Addresses: offer.Addresses(&s),
		Workloads: []operator.Workload{},
		Port:      int(s.Port), HealthPath: s.HealthPath, Region: s.Region,
		Tags: append([]string{}, s.Tags...), Communities: []string{}, Weight: int(s.Weight), Med: int(s.MED), Label: s.Label,
		Yields: s.Yields,
	}
	for _, c := range s.Communities {
		out.Communities = append(out.Communities, c.String())
	}
	out.HealthInterval, out.HealthTimeout, out.HealthRise, out.HealthFall = period(s.HealthInterval),
		period(s.HealthTimeout), s.HealthRise, s.HealthFall
	if out.WhenDown = whenDownAnnounce; s.WithdrawDown {
		out.WhenDown = whenDownWithdraw
	}
	return out
}

// period is a duration as the API gives it; "" for the default.
func period(d time.Duration) string {
	if d == 0 {
		return ""
	}
	return d.String()
}

func pathOf(c *rib.Candidate) operator.Path {
	p := operator.Path{
		Peer:      c.Peer.String(),
		Local:     c.Local,
		NodePath:  []string{},
		Origin:    c.Attrs.Origin().String(),
		Tier:      c.Tier,
		LocalPref: int(c.Attrs.EffectiveLocalPref()),
		Med:       int(c.Attrs.MED), Weight: int(c.Attrs.Weight), Health: c.Attrs.Health.String(), Region: c.Attrs.Region,
		Tags: append([]string{}, c.Attrs.Tags...), Communities: []string{}, Stale: c.Stale,
	}
	p.ImportTerm = c.Term
	if c.Reject != rib.Accepted {
		p.Rejected = c.Reject.String()
	}
	if c.Local {
		p.Origin, p.NextHop = p.Peer, "local workload"
	} else {
		p.NextHop = strings.TrimSuffix(c.NextHop.Node.String()+" "+c.NextHop.Address, " ")
	}
	for _, n := range c.Attrs.NodePath {
		p.NodePath = append(p.NodePath, n.String())
	}
	for _, com := range c.Attrs.Communities {
		p.Communities = append(p.Communities, com.String())
	}
	return p
}
