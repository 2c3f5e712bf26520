// Package splitdns says how a machine's resolver is told to ask a node for the names of organisations, and nobody else
// for them, while every other name goes where it went. It makes texts of values; its caller writes them.
package splitdns

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/catalyst-router/catalyst/bgp"
)

// Setup is what a resolver has to be told.
type Setup struct {
	Server        netip.AddrPort // where the node is asked
	Organisations []string       // at least one
	// Upstream are the resolvers that containers ask for every other name; for Docker alone.
	Upstream []netip.Addr
}

// Plan is what has to be done on the machine, in this order.
type Plan struct {
	Files    []File
	Commands [][]string
	Notes    []string // for people
}

// File is a file as it has to be. What was in it is replaced.
type File struct{ Path, Content string }

// Resolvers returns those for which there is a plan.
func Resolvers() []string { return []string{"systemd-resolved", "dnsmasq", "unbound", "docker"} }

// For returns the plan for a resolver. An error says what is wrong with the set-up.
func For(resolver string, s Setup) (Plan, error) {
	switch {
	case !s.Server.IsValid():
		return Plan{}, errors.New("want IP:PORT of the node's DNS (catalyst node --dns)")
	case len(s.Organisations) == 0:
		return Plan{}, errors.New("want at least one organisation whose names the node is asked for")
	}
	for _, o := range s.Organisations {
		if _, err := bgp.ParseOrg(o); err != nil {
			return Plan{}, err
		}
	}
	s.Organisations = slices.Compact(slices.Sorted(slices.Values(s.Organisations)))
	switch resolver {
	case "systemd-resolved":
		return resolved(s), nil
	case "dnsmasq":
		return dnsmasq(s), nil
	case "unbound":
		return unbound(s), nil
	case "docker":
		return docker(s)
	}
	return Plan{}, fmt.Errorf("resolver %q: want %s", resolver, strings.Join(Resolvers(), ", "))
}

const heading = "# Written by catalyst dns setup: it may be written again.\n"

// resolved gives the node a link of its own. A server in resolved.conf would be asked for every other name as well,
// as soon as no link has one (systemd-resolved.service(8), "Protocols and routing").
func resolved(s Setup) Plan {
	const link, address = "catalyst0", "192.0.0.8/32" // the IPv4 dummy address (RFC 7600); a link needs one
	var domains []string
	for _, o := range s.Organisations {
		domains = append(domains, "~"+o)
	}
	unit := heading + `[Unit]
Description=Names of Catalyst services in systemd-resolved
After=systemd-resolved.service
Requires=systemd-resolved.service
PartOf=systemd-resolved.service

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=-/sbin/ip link add ` + link + ` type dummy
ExecStart=/sbin/ip link set ` + link + ` up
ExecStart=-/sbin/ip address add ` + address + ` dev ` + link + `
ExecStart=/usr/bin/resolvectl dns ` + link + ` ` + s.Server.String() + `
ExecStart=/usr/bin/resolvectl domain ` + link + ` ` + strings.Join(domains, " ") + `
ExecStart=/usr/bin/resolvectl default-route ` + link + ` no
ExecStop=-/sbin/ip link delete ` + link + `

[Install]
WantedBy=systemd-resolved.service
`
	return Plan{
		Files: []File{{"/etc/systemd/system/catalyst-dns.service", unit}},
		Commands: [][]string{
			{"systemctl", "daemon-reload"}, {"systemctl", "enable", "catalyst-dns.service"},
			{"systemctl", "restart", "catalyst-dns.service"},
		},
	}
}

func dnsmasq(s Setup) Plan {
	var b strings.Builder
	b.WriteString(heading)
	for _, o := range s.Organisations {
		// Addresses of loopback are no attack here, if dnsmasq looks for such (--stop-dns-rebind).
		fmt.Fprintf(&b, "server=/%s/%s#%d\nrebind-domain-ok=/%s/\n", o, s.Server.Addr(), s.Server.Port(), o)
	}
	return Plan{
		Files:    []File{{"/etc/dnsmasq.d/catalyst.conf", b.String()}},
		Commands: [][]string{{"systemctl", "restart", "dnsmasq.service"}},
	}
}

func unbound(s Setup) Plan {
	var b strings.Builder
	b.WriteString(heading + "server:\n\tdo-not-query-localhost: no\n")
	for _, o := range s.Organisations {
		// The names are signed by nobody, and their addresses may be of loopback.
		fmt.Fprintf(&b, "\tdomain-insecure: \"%s.\"\n\tprivate-domain: \"%s.\"\n\tlocal-zone: \"%s.\" transparent\n", o, o, o)
	}
	for _, o := range s.Organisations {
		fmt.Fprintf(&b, "stub-zone:\n\tname: \"%s.\"\n\tstub-addr: %s@%d\n", o, s.Server.Addr(), s.Server.Port())
	}
	return Plan{
		Files:    []File{{"/etc/unbound/unbound.conf.d/catalyst.conf", b.String()}},
		Commands: [][]string{{"systemctl", "restart", "unbound.service"}},
	}
}

// docker has containers ask the node first. It refuses what it does not know, and the next one is asked then.
func docker(s Setup) (Plan, error) {
	switch {
	case s.Server.Port() != 53:
		return Plan{}, fmt.Errorf("docker: %s: containers ask at port 53 alone: start the node with --dns IP:53, at the "+
			"address of Docker's bridge", s.Server)
	case s.Server.Addr().IsLoopback():
		return Plan{}, fmt.Errorf("docker: %s: a container's loopback is its own: start the node with --dns IP:53 at the "+
			"address of Docker's bridge (172.17.0.1), and --dns-addresses in a private range", s.Server)
	}
	dns := []string{s.Server.Addr().String()}
	for _, u := range s.Upstream {
		if u != s.Server.Addr() && !u.IsLoopback() {
			dns = append(dns, u.String())
		}
	}
	text, err := json.MarshalIndent(map[string][]string{"dns": dns}, "", "  ")
	if err != nil {
		return Plan{}, err
	}
	p := Plan{
		Files:    []File{{"/etc/docker/daemon.json", string(text) + "\n"}},
		Commands: [][]string{{"systemctl", "reload-or-restart", "docker.service"}},
		Notes: []string{
			"Containers do not share this machine's loopback: give the node --dns-addresses in a private range that is used " +
				"for nothing else, such as 172.31.0.0/16, --envoy-egress at the bridge's address, and route the range here: " +
				"ip route add local 172.31.0.0/16 dev lo",
			"Whoever reaches these addresses may use every service.",
		},
	}
	if len(dns) == 1 {
		p.Notes = append(p.Notes, "No resolver for other names was found: add one to \"dns\".")
	}
	return p, nil
}
