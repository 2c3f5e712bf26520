package api

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/catalyst-router/catalyst/bgp"
	"github.com/catalyst-router/catalyst/cmd/internal/nameserver"
	"github.com/catalyst-router/catalyst/graphql/operator"
)

// Names implements operator.Backend.
func (a *API) Names(_ context.Context, after string, first int) (*operator.NamePage, error) {
	if first < 1 || first > 1000 {
		return nil, operator.Input(errors.New("names: want first of 1 to 1000"))
	}
	p := &operator.NamePage{
		Listen: a.cfg.Config.DNS, Addresses: a.cfg.Config.DNSAddresses, Organisations: []string{},
		Names: []operator.DNSName{},
	}
	if a.cfg.Names == nil {
		return p, nil
	}
	zones := a.cfg.Names.Zones()
	p.Organisations = zones.Organisations()
	page, all := zones.Page(bgp.Service(after), first)
	for i := range page {
		p.Names = append(p.Names, nameOf(&page[i]))
	}
	if p.All = all; len(page) == first {
		p.Next = string(page[first-1].Service)
	}
	return p, nil
}

func nameOf(n *nameserver.Name) operator.DNSName {
	d := operator.DNSName{
		Service: string(n.Service), Protocol: n.Protocol.String(), State: n.State.String(), TTL: int(n.TTL), Why: n.Why,
	}
	if n.At.IsValid() {
		d.Address = n.At.String()
	}
	return d
}

// Resolve implements operator.Backend.
func (a *API) Resolve(ctx context.Context, name string) (*operator.Resolution, error) {
	if a.cfg.Names == nil {
		return nil, errors.New("this node answers no names: start it with --dns, such as --dns 127.0.0.1:5300")
	}
	name = strings.ToLower(strings.TrimSuffix(name, "."))
	if !strings.Contains(name, ".") {
		name += "." + string(a.cfg.Node.Org)
	}
	if err := bgp.CheckName(name); err != nil {
		return nil, operator.Input(fmt.Errorf("name %q: %w", name, err))
	}
	code, records, org := a.cfg.Names.Zones().Resolve(name)
	r := &operator.Resolution{Name: name, Code: code, Records: records}
	if len(records) > 0 {
		return r, nil
	}
	n, ok := a.cfg.Names.Zones().Get(bgp.Service(name))
	switch {
	case ok:
		r.Why = n.Why
	case org == "":
		r.Why = "no organisation that this node knows has this name: " +
			strings.Join(a.cfg.Names.Zones().Organisations(), ", ")
	default:
		x, err := a.Explain(ctx, name, false)
		if err != nil {
			r.Why = "it is no name of a service"
			return r, nil //nolint:nilerr // that is the answer
		}
		r.Why = cmp.Or(rejected(x), x.Verdict, "nothing is offered under this name")
	}
	return r, nil
}

// rejected says whose announcements of a service are not taken; "" if there are none.
func rejected(x *operator.Explanation) string {
	if x.Route == nil {
		return ""
	}
	for i := range x.Route.Paths {
		if p := &x.Route.Paths[i]; p.Rejected != "" {
			return fmt.Sprintf("%s offers it, and it is not allowed here: %s (catalyst route explain %s)", p.Peer, p.Rejected,
				x.Service)
		}
	}
	return ""
}
