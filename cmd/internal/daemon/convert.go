package daemon

import (
	"strings"
	"time"

	"github.com/catalyst-router/catalyst/bgp"
	"github.com/catalyst-router/catalyst/bgp/journal"
	"github.com/catalyst-router/catalyst/bgp/rib"
	"github.com/catalyst-router/catalyst/bgp/speaker"
	"github.com/catalyst-router/catalyst/graphql/operator"
)

// stamp is a time as the API gives it; "" for none.
func stamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339Nano)
}

// attributesOf is what is announced of a service of this node.
func attributesOf(s journal.Service) bgp.Attributes {
	return bgp.Attributes{Protocol: s.Protocol, MED: s.MED, Weight: s.Weight, Region: s.Region, Tags: s.Tags, Communities: s.Communities}
}

func peerOf(p journal.Peer) speaker.Peer {
	out := speaker.Peer{
		Node: p.Node, Addresses: p.Addresses, HoldTime: time.Duration(p.HoldTimeSeconds) * time.Second, Import: p.Import, Export: p.Export,
		Client: p.Client, MaxRoutes: p.MaxRoutes, AddPath: p.AddPath, Disabled: p.Disabled,
	}
	if p.CloseOverLimit {
		out.OverLimit = speaker.OverLimitClose
	}
	return out
}

func serviceOf(s journal.Service) operator.Service {
	out := operator.Service{
		Service: string(s.Name), Protocol: s.Protocol.String(), Address: s.Address, HealthPath: s.HealthPath, Region: s.Region,
		Tags: append([]string{}, s.Tags...), Communities: []string{}, Weight: int(s.Weight), Med: int(s.MED),
	}
	for _, c := range s.Communities {
		out.Communities = append(out.Communities, c.String())
	}
	out.HealthInterval, out.HealthTimeout, out.HealthRise, out.HealthFall = period(s.HealthInterval), period(s.HealthTimeout), s.HealthRise, s.HealthFall
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

func viewOf(v speaker.PeerView) operator.Peer {
	p := operator.Peer{
		Node: v.Config.Node.String(), External: v.External, State: v.State.String(), Addresses: append([]string{}, v.Config.Addresses...),
		Since: stamp(v.Since), NextDial: stamp(v.NextDial), HoldTimeSeconds: int(v.HoldTime.Seconds()), Ingress: v.Ingress,
		Received: v.Routes.Received, Rejected: v.Routes.Rejected, Stale: v.Routes.Stale, Advertised: v.Routes.Advertised, Pending: v.Pending, Blocked: v.Routes.Blocked,
		UpdatesIn: int(v.Counters.UpdatesIn), UpdatesOut: int(v.Counters.UpdatesOut), Sessions: int(v.Counters.Sessions), Malformed: int(v.Counters.Malformed),
		EndOfRib: v.EndOfRIB, StaleUntil: stamp(v.StaleUntil), LastError: v.LastError, LastErrorByPeer: v.Remote, Notice: v.Notice,
		Client: v.Config.Client, Disabled: v.Config.Disabled, MaxRoutes: v.Config.MaxRoutes, Rejections: []operator.Count{},
	}
	for reason := range 255 {
		if n := v.Counters.Rejected[reason]; n > 0 {
			p.Rejections = append(p.Rejections, operator.Count{Name: rib.Reject(reason).String(), Count: int(n)})
		}
	}
	return p
}

func pathOf(c *rib.Candidate) operator.Path {
	p := operator.Path{
		Peer: c.Peer.String(), Local: c.Local, NodePath: []string{}, Origin: c.Attrs.Origin().String(), Tier: c.Tier, LocalPref: int(c.Attrs.EffectiveLocalPref()),
		Med: int(c.Attrs.MED), Weight: int(c.Attrs.Weight), Health: c.Attrs.Health.String(), Region: c.Attrs.Region,
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
