package daemon

import (
	"fmt"
	"slices"
	"strings"

	"github.com/catalyst-router/catalyst/auth/federation"
	"github.com/catalyst-router/catalyst/auth/member"
	"github.com/catalyst-router/catalyst/bgp"
	"github.com/catalyst-router/catalyst/cmd/internal/audit"
	"github.com/catalyst-router/catalyst/cmd/internal/tap"
	"github.com/catalyst-router/catalyst/cmd/internal/trace"
)

// remembered is what this node remembers of a call; nil if Envoy tells of none.
func (d *Daemon) remembered() func(svc bgp.Service, id string) []trace.Seen {
	if d.tap == nil {
		return nil
	}
	return func(svc bgp.Service, id string) []trace.Seen {
		var all []trace.Seen
		for _, c := range slices.Backward(d.tap.Find(tap.Filter{Service: string(svc), ID: id}, bgp.MaxTraceSteps)) {
			s := trace.Seen{
				Where: c.Seen, From: c.Sender(), Upstream: c.Upstream, Failed: c.Outcome != tap.OK, Took: c.Took,
				Text: strings.TrimSpace(fmt.Sprintf("%s %d %s %s", c.Outcome, c.Status, c.Method, c.Path)),
			}
			if c.GRPC != "" {
				s.Text += ", gRPC " + c.GRPC
			}
			if s.Failed {
				s.Text += " (" + strings.Join(append(slices.Clone(c.Flags), c.Reason), ", ") + ")"
			}
			if c.Outcome == tap.Denied && c.Decision != "" {
				s.More = fmt.Sprintf("catalyst policy why %s, at %s", c.Decision, d.self)
			}
			all = append(all, s)
		}
		return all
	}
}

// joined are the organisations with which calls are joined.
func (d *Daemon) joined() (all []bgp.Org) {
	for _, o := range d.cfg.Tap.Join {
		all = append(all, bgp.Org(o))
	}
	return all
}

// memberStatus tells how it stands with the membership; nil for a node without one.
func (d *Daemon) memberStatus() func() member.Status {
	if d.member == nil {
		return nil
	}
	return d.member.Status
}

// happened writes down what happened to a peering with another organisation.
func (d *Daemon) happened(e federation.Event) {
	entry := audit.Entry{At: e.At, By: d.self.String(), Action: e.Action, Outcome: audit.Done, Detail: e.Text}
	if e.Org != "" {
		entry.Target = "Organisation " + string(e.Org)
	}
	if e.Action == "refuse" {
		entry.Outcome, entry.Detail = audit.Refused, strings.TrimSpace(e.Kind+": "+e.Text)
	}
	if from := strings.TrimSpace(e.Node + " " + e.From); from != "" {
		entry.By = from
	}
	d.audit.Write(entry)
}
