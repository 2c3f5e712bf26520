package doctor

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"
)

// port is where the node or its Envoy is to listen.
type port struct {
	key, address string
	envoys       bool     // Envoy listens there, not the node
	holder       *process // who listens there; nil for nobody
	err          error    // why nobody can
}

// process is one of this machine's.
type process struct {
	pid  int // 0 if it is not known: another user's
	name string
}

// ports looks at every address of the configuration.
func (e *examination) ports(ctx context.Context) []port {
	c := e.cfg.Node
	all := []port{
		{key: "peering.listen", address: c.Peering.Listen}, {key: "admin", address: c.Admin}, {key: "api", address: c.API},
		{key: "web", address: c.Web}, {key: "dns", address: c.DNS}, {key: "gateway.listen", address: c.Gateway.Listen},
		{key: "envoy.ads", address: c.Envoy.ADS},
	}
	if c.Envoy.Enabled && c.Envoy.ADS == "" { // an Envoy elsewhere listens there
		all = append(all, port{key: "envoy.ingress", address: c.Envoy.Ingress, envoys: true},
			port{key: "envoy.egress", address: c.Envoy.Egress, envoys: true})
	}
	var wanted []port
	for _, p := range all {
		if p.address == "" {
			continue
		}
		p.err = bind(ctx, p.address)
		if errors.Is(p.err, syscall.EADDRINUSE) {
			p.holder = listener(p.address)
			p.err = nil
		}
		wanted = append(wanted, p)
	}
	return wanted
}

// bind listens for a moment.
func bind(ctx context.Context, address string) error {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	if err != nil {
		return err
	}
	return l.Close()
}

// judgePorts judges whether each is free, or taken by the node itself.
func judgePorts(ports []port, running *Running) []Finding {
	var all []Finding
	for _, p := range ports {
		where := p.key + " " + p.address
		ours := p.holder != nil && running != nil && p.holder.pid > 0 &&
			(p.holder.pid == running.PID || p.holder.pid == running.EnvoyPID)
		who := "the node"
		if p.envoys {
			who = "Envoy"
		}
		f := Finding{Check: checkPorts, State: OK, Where: where}
		switch {
		case errors.Is(p.err, syscall.EADDRNOTAVAIL):
			f.State, f.What = Wrong, "this machine does not have that address"
			f.Advice = "see ip address, and correct " + p.key
		case errors.Is(p.err, os.ErrPermission):
			f.State, f.What = Wrong, "this user may not listen at a port below 1024"
			f.Advice = "choose a higher port, or give the node CAP_NET_BIND_SERVICE"
		case p.err != nil:
			f.State, f.What, f.Advice = Wrong, p.err.Error(), "correct "+p.key
		case ours:
			f.What = fmt.Sprintf("%s listens there", who)
		case p.holder == nil && running != nil:
			f.State, f.What = Wrong, fmt.Sprintf("%s does not listen there", who)
			f.Advice = "see the log of the node, and envoy.log; was the configuration changed since it started?"
		case p.holder == nil:
			f.What = "it is free"
		case p.holder.pid == 0 && running != nil:
			f.State, f.What = Unknown, "somebody listens there, who may be the node"
			f.Advice = "run catalyst doctor as root to see who"
		case p.envoys && p.holder.name == "envoy" && running == nil:
			f.What = fmt.Sprintf("Envoy (process %d) runs on, as it does while the node is restarted", p.holder.pid)
		case p.holder.pid == 0:
			f.State, f.What = Wrong, "another user's process listens there"
			f.Advice = "see ss -ltnp as root; end it, or choose another address for " + p.key
		default:
			f.State, f.What = Wrong, fmt.Sprintf("process %d (%s) listens there", p.holder.pid, p.holder.name)
			f.Advice = "end it, or choose another address for " + p.key
		}
		all = append(all, f)
	}
	return all
}
