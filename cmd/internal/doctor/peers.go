package doctor

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"

	"github.com/catalyst-router/catalyst/auth/identity"
	"github.com/catalyst-router/catalyst/bgp"
)

// reached is what came of dialling a peer's peering address.
type reached struct {
	peer    Peer
	address string // "" for a peer that is not dialled
	tcp     error  // nil if a connection came about
	tls     error  // nil if whoever answers is that peer, and takes this node
}

// mostPeers is how many peers are dialled.
const mostPeers = 50

// reach dials each address of each peer, as the node does: TCP, then TLS with this node's certificate, for that peer
// and nobody else.
func (e *examination) reach(ctx context.Context, id *identity.Source, peers []Peer) (all []reached) {
	for _, p := range peers[:min(len(peers), mostPeers)] {
		if p.Disabled {
			continue
		}
		if len(p.Addresses) == 0 {
			all = append(all, reached{peer: p})
		}
		for _, address := range p.Addresses {
			all = append(all, dial(ctx, id, p, address))
		}
	}
	return all
}

func dial(ctx context.Context, id *identity.Source, p Peer, address string) reached {
	r := reached{peer: p, address: address}
	node, err := bgp.ParseNodeID(p.Node)
	if err != nil {
		r.tls = err
		return r
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
	if err != nil {
		r.tcp = err
		return r
	}
	secure := id.ClientTLS(node)
	secure.NextProtos = []string{"h2"}
	c := tls.Client(conn, secure)
	defer func() { _ = c.Close() }()
	r.tls = c.HandshakeContext(ctx)
	return r
}

func judgeReached(all []reached, running bool) []Finding {
	var out []Finding
	for _, r := range all {
		f := Finding{Check: checkPeers, State: OK, Where: r.peer.Node}
		if r.address != "" {
			f.Where += " at " + r.address
		}
		switch {
		case r.address == "" && (r.peer.Established || !running):
			f.What = "it dials this node"
			if r.peer.Established {
				f.What = "its session is established; it dialled this node"
			}
		case r.address == "":
			f.State, f.What = Wrong, because("there is no session, and it is to dial this node", r.peer.LastError)
			f.Advice = "look at that node: does it have an address of this one, and reach it?"
		case r.tcp != nil:
			f.State, f.What = Wrong, "it takes no connection: "+r.tcp.Error()
			f.Advice = "is it running, is that its peering.listen, and does a firewall let it through?"
		case r.tls != nil:
			f.State, f.What = Wrong, "TLS fails: "+r.tls.Error()
			f.Advice = "is it that node, and do both have the roots of each other's organisation?"
		case running && !r.peer.Established:
			f.State, f.What = Wrong, because("it is reached and shows its certificate, and there is no session",
				r.peer.LastError)
			f.Advice = "catalyst peer show " + r.peer.Node + ", here and there"
		default:
			f.What = "it is reached, and shows its certificate"
		}
		out = append(out, f)
	}
	if len(out) == 0 {
		out = append(out, Finding{checkPeers, OK, "peers", "there are none to dial", ""})
	}
	return out
}

func because(what, why string) string {
	if why == "" {
		return what
	}
	return fmt.Sprintf("%s: %s", what, why)
}
