package api

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"github.com/catalyst-router/catalyst/bgp"
	"github.com/catalyst-router/catalyst/bgp/attr"
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
	if s.Found != nil {
		out.FoundBy, out.FoundIn = s.Found.By, s.Found.In
	}
	out.IdleTimeout = period(s.Idle)
	if t := s.TLS; t != nil {
		out.TLS, out.TLSCa, out.TLSName, out.TLSID, out.TLSInsecure = true, t.CA, t.Name, t.ID, t.Insecure
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

// changedOf says what import made of a path.
func changedOf(c *rib.Candidate) []string {
	if c.Local || c.Reject != rib.Accepted {
		return []string{}
	}
	return differences(&c.Received, &c.Attrs)
}

// differences says what rules made of a route.
func differences(was, is *bgp.Attributes) []string {
	out := []string{}
	tell := func(what, from, to string) {
		if from != to {
			out = append(out, what+" "+cmp.Or(from, "none")+" -> "+cmp.Or(to, "none"))
		}
	}
	number := func(what string, from, to uint32) { tell(what, fmt.Sprint(from), fmt.Sprint(to)) }
	number("localPref", was.EffectiveLocalPref(), is.EffectiveLocalPref())
	number("med", was.MED, is.MED)
	number("weight", cmp.Or(was.Weight, attr.DefaultWeight), cmp.Or(is.Weight, attr.DefaultWeight))
	tell("onlyToCustomer", string(was.OnlyToCustomer), string(is.OnlyToCustomer))
	tell("communities", words(was.Communities), words(is.Communities))
	tell("tags", strings.Join(was.Tags, " "), strings.Join(is.Tags, " "))
	return out
}

func words(list []bgp.Community) string {
	all := make([]string, 0, len(list))
	for _, c := range list {
		all = append(all, c.String())
	}
	return strings.Join(all, " ")
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
	p.OriginState, p.OriginReason, p.PathSignedUntil = c.Origin.String(), c.Invalid, stamp(c.Signed)
	p.ImportTerm, p.OnlyToCustomer, p.Changed = c.Term, string(c.Received.OnlyToCustomer), changedOf(c)
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
