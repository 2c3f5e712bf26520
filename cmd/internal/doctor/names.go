package doctor

import (
	"bufio"
	"context"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"

	"github.com/miekg/dns"

	"github.com/catalyst-router/catalyst/auth/identity"
)

// named is what became of questions for names of this node's organisation.
type named struct {
	server    string // where the node answers; "" if it does not
	org       string
	running   bool
	node      error   // why the node did not answer for its organisation; nil if it did
	resolvers []asked // those of the machine
	name      string  // one of a service
	want      string  // what the node answers for it
	got       []string
	lookup    error // why the machine's resolver has no address of it
}

// asked is a resolver of the machine, and whether it asks the node for names of the organisation.
type asked struct {
	server string
	split  bool
	err    error
}

const resolvConf = "/etc/resolv.conf"

func (e *examination) names(ctx context.Context, id *identity.Source) named {
	n := named{server: e.cfg.Node.DNS, running: e.cfg.Running != nil}
	if n.server == "" || id == nil || !n.running {
		return n
	}
	n.org = string(id.Material().Node.Org)
	var soa string
	if soa, n.node = authority(ctx, n.server, n.org); n.node != nil {
		return n
	}
	for _, server := range resolversOf(resolvConf) {
		got, err := authority(ctx, server, n.org)
		n.resolvers = append(n.resolvers, asked{server, err == nil && got == soa, err})
	}
	if n.name, n.want = e.cfg.Running.Name, e.cfg.Running.Address; n.name != "" {
		ctx, cancel := context.WithTimeout(ctx, patience)
		defer cancel()
		n.got, n.lookup = net.DefaultResolver.LookupHost(ctx, n.name)
	}
	return n
}

// authority asks a server for the SOA of an organisation, and returns who it says is responsible for it.
func authority(ctx context.Context, server, org string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	m := new(dns.Msg).SetQuestion(dns.Fqdn(org), dns.TypeSOA)
	out, err := dns.ExchangeContext(ctx, m, server)
	if err != nil {
		return "", err
	}
	for _, r := range append(out.Answer, out.Ns...) {
		if soa, ok := r.(*dns.SOA); ok && strings.EqualFold(soa.Hdr.Name, dns.Fqdn(org)) {
			return strings.ToLower(soa.Ns + " " + soa.Mbox), nil
		}
	}
	return "", &net.DNSError{Err: dns.RcodeToString[out.Rcode], Name: org, Server: server, IsNotFound: true}
}

// resolversOf reads the servers that programs of the machine ask (resolv.conf(5)), as HOST:PORT.
func resolversOf(path string) (all []string) {
	f, err := os.Open(path)
	if err != nil {
		return nil
	}
	defer func() { _ = f.Close() }()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		words := strings.Fields(lines.Text())
		if len(words) < 2 || words[0] != "nameserver" {
			continue
		}
		if ip, err := netip.ParseAddr(words[1]); err == nil && len(all) < 3 { // as many as the C library asks
			all = append(all, netip.AddrPortFrom(ip, 53).String())
		}
	}
	return all
}

func judgeNames(n named) []Finding {
	const setup = "catalyst dns setup systemd-resolved --apply (or dnsmasq, unbound)"
	switch {
	case n.server == "":
		return []Finding{{checkNames, OK, "dns", "this node answers no names (dns): applications dial local ports", ""}}
	case !n.running:
		return []Finding{{checkNames, Unknown, n.server, "the node does not run, and answers nothing", ""}}
	case n.node != nil:
		return []Finding{{checkNames, Wrong, n.server, "the node does not answer for " + n.org + ": " + n.node.Error(),
			"does another program listen there? See the log of the node"}}
	}
	all := []Finding{{checkNames, OK, n.server, "the node answers for " + n.org, ""}}
	if n.name != "" {
		f := Finding{checkNames, OK, n.name, "programs of this machine are given " + n.want, ""}
		split := slices.ContainsFunc(n.resolvers, func(r asked) bool { return r.split })
		switch {
		case n.lookup != nil && !split: // calls by Host and by local ports work
			f.State, f.What = Warning, "this machine's resolver does not ask the node for "+n.org+": "+n.lookup.Error()
			f.Advice = setup
		case n.lookup != nil:
			f.State, f.What, f.Advice = Wrong, "programs of this machine do not find it: "+n.lookup.Error(), setup
		case !slices.Contains(n.got, n.want):
			f.State, f.What = Wrong, "programs of this machine are given "+strings.Join(n.got,
				", ")+", and the node says "+n.want
			f.Advice = "somebody else is asked for names below " + n.org + ": " + setup
		}
		return append(all, f)
	}
	for _, r := range n.resolvers {
		f := Finding{checkNames, OK, r.server, "this machine's resolver asks the node for " + n.org, ""}
		if !r.split {
			f.State, f.What, f.Advice = Warning, "this machine's resolver does not ask the node for "+n.org, setup
		}
		all = append(all, f)
	}
	return all
}
