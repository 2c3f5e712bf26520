package ads

import (
	"crypto/tls"
	"path/filepath"
	"slices"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/catalyst-router/catalyst/bgp"
	"github.com/catalyst-router/catalyst/xds"
)

// Who says which Envoy a connection by TLS is of, by the name that it has as node id, or why it may not connect.
type Who func(tls.ConnectionState) (string, error)

// Places for Envoys. Those on the Unix socket, which only the node's owner opens, have places of their own: nobody
// who comes by TLS can take them. A certificate has few, and one connection more ends the oldest of that certificate:
// an Envoy that comes back is not kept out by what is left of itself, and no certificate keeps out another.
const (
	maxStreams     = 64 // on the Unix socket, and certificates by TLS
	maxPerEnvoy    = 4  // streams of one certificate
	maxText        = 4 << 10
	maxBundlePath  = 1 << 10
	identityMember = "catalyst_identity" // of an Envoy's node metadata: where its own certificate and key are
)

// join gives a stream its place, or says why there is none.
func (p *places) join(st *stream) error {
	p.mu.Lock()
	defer p.unlock()
	if err := p.place(st); err != nil {
		return err
	}
	p.streams[st] = true
	if !p.met {
		p.met = true
		close(p.first)
	}
	return nil
}

// place finds a place for a stream. The caller holds mu.
func (p *places) place(st *stream) error {
	var mine []*stream // of the same certificate
	names := map[string]bool{}
	local := 0
	for other := range p.streams {
		switch {
		case other.certified == "":
			local++
		case other.certified == st.certified && !other.ended:
			mine = append(mine, other)
		default:
			names[other.certified] = true
		}
	}
	switch {
	case st.certified == "" && local >= maxStreams:
		return status.Errorf(codes.ResourceExhausted, "%d Envoys are connected to this node's socket already", maxStreams)
	case st.certified != "" && len(mine) == 0 && len(names) >= maxStreams:
		return status.Errorf(codes.ResourceExhausted, "Envoys of %d certificates are connected already", maxStreams)
	case st.certified != "" && len(mine) >= maxPerEnvoy:
		oldest := slices.MinFunc(mine, func(a, b *stream) int { return a.since.Compare(b.since) })
		p.cfg.Log.Warn("an Envoy opened more connections than one has, its oldest is ended: do two share a certificate?",
			"envoy", st.certified)
		oldest.end()
	}
	return nil
}

// admit judges who opens a stream by TLS.
func (p *places) admit(state tls.ConnectionState, address string) (string, error) {
	var name string
	err := status.Error(codes.PermissionDenied, "this node takes no Envoys by TLS")
	if p.cfg.Who != nil {
		name, err = p.cfg.Who(state)
	}
	if err == nil {
		return name, nil
	}
	who := address
	if len(state.PeerCertificates) > 0 && len(state.PeerCertificates[0].URIs) > 0 {
		who = printable(state.PeerCertificates[0].URIs[0].String())
	}
	return "", p.turnAwayAs(who, false, status.Error(codes.PermissionDenied, printable(err.Error())))
}

// introduce takes what an Envoy says of itself in its first request: its name, which has to be that of its
// certificate, and, if it came by TLS, where on its own machine its certificate and key are. The caller holds mu.
func (s *Server) introduce(st *stream, n *core.Node) error {
	if st.certified == "" {
		st.node = printable(n.GetId())
		return nil
	}
	var why string
	dir := n.GetMetadata().GetFields()[identityMember].GetStringValue()
	switch {
	case n.GetId() != st.certified:
		why = "its bootstrap names it " + printable(n.GetId()) + ", its certificate " + st.certified
	case !filepath.IsAbs(dir) || len(dir) > maxBundlePath:
		why = "its bootstrap does not say where its own certificate and key are: " +
			"print it again with catalyst envoy bootstrap --remote"
	default:
		own, err := xds.CertificateOnFiles(dir)
		if err != nil {
			why = err.Error()
			break
		}
		st.node, st.secret = st.certified, own
		return nil
	}
	return status.Error(codes.PermissionDenied, why)
}

// body is a resource as this Envoy is sent it. The node's own key is for the Envoy on its machine alone: any other is
// told to use its own.
func (st *stream) body(r *xds.Resource) []byte {
	if r.Secret && st.certified != "" {
		return st.secret
	}
	return r.Body
}

// printable makes a text that came over the network fit for logs and terminals: of at most 4 KiB, and without control
// characters.
func printable(s string) string {
	if len(s) > maxText {
		s = s[:maxText] + "…"
	}
	return bgp.Printable(s)
}
