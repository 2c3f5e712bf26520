package xds

import (
	"net/netip"
	"time"

	"github.com/catalyst-router/catalyst/bgp"
)

// Envoy and a node ping each other at KeepaliveInterval over connections that carry nothing, and leave one of which
// nothing is heard for KeepaliveTimeout after that. Both ends take it from here: a gRPC server ends the connection of
// a client that pings more often than it allows.
const (
	KeepaliveInterval = 10 * time.Second
	KeepaliveTimeout  = 5 * time.Second
)

// Forwarding is everything that the data plane needs to know of one service. A newer one replaces it whole.
type Forwarding struct {
	Service  bgp.Service
	Protocol bgp.Protocol
	// Tiers holds the targets in use: those of the first tier share the traffic by weight, each later tier takes over
	// when all before it are dead.
	Tiers [][]Target
	// Down names the nodes that say of their workload that it is down, where there is no target for that reason:
	// requests are answered with that word. With neither Tiers nor Down the service is gone.
	Down []bgp.NodeID
	// Port is the local port of a TCP service, which wants one; of others it does not count.
	Port uint16
	// ServicePort is the port that applications dial a TCP service at by its name, as its originator says; 0 if it says
	// none.
	ServicePort uint16
	// Dial is the address of the TCP service's own at which it takes connections besides Port; the zero value for none.
	Dial netip.AddrPort
	// Idle is how long a connection to the service's workloads beside this node is kept without a request; 0 for
	// Limits.WorkloadIdle. TCP services have none.
	Idle time.Duration
	// Kept is how long one of those workloads says that it keeps a connection without a request; 0 for unknown. Where
	// nobody has ordered Idle, connections of HTTP/1 are closed before.
	Kept time.Duration
	// TLS is how those workloads are known; nil where they do not speak TLS.
	TLS *WorkloadTLS
	// Watched has Envoy tell of calls, of a service that has no workload beside this node (Config, OnDemand).
	Watched bool
	// Revision is that of the Loc-RIB.
	Revision uint64
	Trace    bgp.Trace
}

// Target is where traffic goes: a workload of this node, or another node's mesh ingress.
type Target struct {
	Backend Backend     // if its Address is set
	NextHop bgp.NextHop // otherwise
	Weight  uint32      // 1 to 1,000; 0 counts as 100
	// Draining targets finish what they have.
	Draining bool
}

// Backend is a workload beside this node.
type Backend struct {
	Address string // HOST:PORT; the host is an IP address or a DNS name
	// IP:PORT of the same workload in the other family, tried when Address does not answer (RFC 8305); "" for none
	Other string
}

// WorkloadTLS is how Envoy knows a workload that speaks TLS. One of CA, ID and Insecure is set at least.
type WorkloadTLS struct {
	CA string // PEM; "" for none
	// Name is a DNS name or an IP address: what is asked for (SNI, a DNS name only) and, without ID, what the certificate
	// has to be for.
	Name     string
	ID       string // the SPIFFE id that the certificate has to carry; judged by its organisation's roots without CA
	Insecure bool   // whoever answers is believed
}

// Gone tells whether nothing is left of a service.
func (f *Forwarding) Gone() bool { return len(f.Tiers) == 0 && len(f.Down) == 0 }

// run is a part of a service's tiers that one cluster holds: workloads beside this node, or next hops.
type run struct {
	local bool
	tiers [][]Target
}

// runs cuts the tiers into runs, in order of preference. A tier that has both comes as two, workloads first.
func (f *Forwarding) runs() []run {
	var all []run
	add := func(local bool, targets []Target) {
		if len(targets) == 0 {
			return
		}
		if n := len(all); n > 0 && all[n-1].local == local {
			all[n-1].tiers = append(all[n-1].tiers, targets)
			return
		}
		all = append(all, run{local, [][]Target{targets}})
	}
	for _, tier := range f.Tiers {
		var here, there []Target
		for _, t := range tier {
			if t.Backend.Address != "" {
				here = append(here, t)
			} else {
				there = append(there, t)
			}
		}
		add(true, here)
		add(false, there)
	}
	return all
}

// Change is a batch of newest states.
type Change struct{ Services []Forwarding }

// Identity is what Envoy proves itself with, and whom it believes.
type Identity struct {
	Chain []byte             // PEM, leaf first
	Key   []byte             // PEM; secret
	Roots map[bgp.Org][]byte // PEM, by trust domain
}

// Config is what a compiler needs to know of its node.
type Config struct {
	Self bgp.NodeID // required
	// Ingress is where the mesh ingress listens, IP:PORT; empty for none.
	Ingress string
	// Egress is where the HTTP egress listens, IP:PORT; required. Beyond loopback everybody who reaches it may use every
	// service.
	Egress string
	// Socket is the path of a Unix socket that this node's Envoy opens for itself; required with an Ingress.
	Socket string
	// EgressTLS is where TLS connections go to the TCP service of their server name, IP:PORT; "" for nowhere.
	EgressTLS string
	// EgressIP is the address of the TCP services' listeners. Empty means 127.0.0.1.
	EgressIP string
	// ClusterNamespace is the namespace of a Kubernetes cluster in which services are called by the names that they have
	// as Services there; "" for none.
	ClusterNamespace string
	// Admission is who may come in at the mesh ingress when it begins; Admit changes it. The zero value lets nobody in.
	Admission Admission
	// TunnelsTo are the nodes that this one dials to be reached by, with the HOST:PORT of their mesh ingress: a site
	// that cannot be dialled names its hubs.
	TunnelsTo []bgp.NextHop
	// TunnelsFrom are the nodes that may do so here; they are reached by their tunnels alone. It wants an Ingress.
	TunnelsFrom []bgp.NodeID
	// AccessLog is the file of Envoy's access log; empty for none.
	AccessLog string
	// Tap has Envoy tell the node of calls as they end; nil for none.
	Tap *Tap
	// Policy has requests and connections decided by the node; nil for whoever may come in may call everything.
	Policy *PolicyCheck
	Limits Limits
	// Underway is the path of the Unix socket where the node says which requests of other nodes may not go on (package
	// underway); "" for nowhere: what is under way goes on when its right ends.
	Underway string
	// OnDemand has Envoy ask the node for services that it has no routes for (see AskService), and tell it of calls of
	// those that are watched.
	OnDemand bool
	// Pings is how often Envoy pings other nodes over connections that carry nothing. Zero means KeepaliveInterval.
	Pings time.Duration
}

// Problem is a service that could not be compiled. Its last good resources stay.
type Problem struct {
	Service bgp.Service
	Err     error
}

// Resource is one of Envoy's resources, encoded.
type Resource struct {
	Type    string // type URL
	Name    string
	Version string // hash of Body
	Body    []byte // the message, deterministic
	// Needs names that without which Envoy has no use for it, in the order in which it has to come: where something is
	// missing, it sends nowhere. See Needed.
	Needs []string
	// Secret tells that Body has a private key, this node's: it is for the Envoy on this node's machine alone.
	Secret bool
	// Service is whose change it carries, "" for constant ones.
	Service bgp.Service
	Trace   bgp.Trace
}

// Ref names a resource.
type Ref struct{ Type, Name string }

// Delta is what has to change in Envoy. Resources are in the order in which they have to arrive, removals come last.
type Delta struct {
	Set     []Resource
	Removed []Ref
}

// Empty tells whether there is nothing to do.
func (d *Delta) Empty() bool { return len(d.Set) == 0 && len(d.Removed) == 0 }
