package server

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	"github.com/catalyst-router/catalyst/auth/service"
	"github.com/catalyst-router/catalyst/auth/wire/authv1"
	"github.com/catalyst-router/catalyst/bgp"
)

// identity is the gRPC half.
type identity struct {
	authv1.UnimplementedIdentityServer
	*Server
}

func connection(ctx context.Context) *tls.ConnectionState {
	p, ok := peer.FromContext(ctx)
	if !ok {
		return nil
	}
	info, ok := p.AuthInfo.(credentials.TLSInfo)
	if !ok {
		return nil
	}
	return &info.State
}

// shown returns the certificate that the caller proved the key of, whoever signed it.
func shown(ctx context.Context) (*x509.Certificate, error) {
	state := connection(ctx)
	if state == nil || len(state.PeerCertificates) == 0 {
		return nil, status.Error(codes.Unauthenticated, "this wants a certificate of the node key")
	}
	return state.PeerCertificates[0], nil
}

// Join implements authv1.IdentityServer.
func (i *identity) Join(ctx context.Context, in *authv1.JoinRequest) (*authv1.Issued, error) {
	key, err := shown(ctx)
	if err != nil {
		return nil, err
	}
	out, err := i.cfg.Service.Join(ctx, service.JoinRequest{
		Org: in.GetOrganisation(), Node: in.GetNode(), Secret: in.GetSecret(), OIDC: in.GetOidcToken(), CSR: in.GetCsr(),
		Key: key,
	})
	return i.issued(out, err)
}

// Renew implements authv1.IdentityServer.
func (i *identity) Renew(ctx context.Context, in *authv1.RenewRequest) (*authv1.Issued, error) {
	leaf, node, err := i.node(ctx)
	if err != nil {
		return nil, err
	}
	out, err := i.cfg.Service.Renew(ctx, service.RenewRequest{
		Node: node, Leaf: leaf, CSR: in.GetCsr(), Continuity: in.GetContinuity(), Tokens: in.GetTokens(),
	})
	return i.issued(out, err)
}

// Return implements authv1.IdentityServer.
func (i *identity) Return(ctx context.Context, in *authv1.RenewRequest) (*authv1.Issued, error) {
	key, err := shown(ctx)
	if err != nil {
		return nil, err
	}
	node, err := bgp.NewNodeID(string(i.cfg.Service.Org()), in.GetNode())
	if err != nil {
		return nil, status.Error(codes.InvalidArgument, err.Error())
	}
	out, err := i.cfg.Service.Renew(ctx, service.RenewRequest{
		Node: node, Returning: true, Leaf: key, CSR: in.GetCsr(), Continuity: in.GetContinuity(),
	})
	return i.issued(out, err)
}

// node returns the node that the caller's certificate names.
func (i *identity) node(ctx context.Context) (*x509.Certificate, bgp.NodeID, error) {
	leaf, err := i.leafOf(connection(ctx))
	if err != nil {
		return nil, bgp.NodeID{}, status.Error(codes.Unauthenticated, err.Error())
	}
	node, ok := i.cfg.Service.NodeOf(leaf)
	if !ok {
		return nil, bgp.NodeID{}, status.Error(codes.PermissionDenied,
			"the certificate is not that of a node of "+string(i.cfg.Service.Org()))
	}
	return leaf, node, nil
}

func (i *identity) issued(out *service.Issued, err error) (*authv1.Issued, error) {
	if err != nil {
		return nil, i.status(err)
	}
	return &authv1.Issued{
		Chain: out.Chain, Roots: out.Roots, Continuity: out.Continuity, Issuer: i.cfg.Service.Issuer(), Token: out.Token,
		Carried: out.Carried, Alarm: out.Alarm, ReturnsLeft: int32(out.ReturnsLeft), ReturnsAnew: unix(out.ReturnsAnew),
	}, nil
}

// unix is a time in seconds; 0 for none.
func unix(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.Unix()
}

func (i *identity) status(err error) error {
	e, ok := errors.AsType[*service.Error](err)
	if !ok {
		i.cfg.Log.Error("a call failed", "error", err)
		return status.Error(codes.Internal, "the identity service failed")
	}
	code := map[service.Code]codes.Code{
		service.Invalid: codes.InvalidArgument, service.Forbidden: codes.PermissionDenied, service.NotFound: codes.NotFound,
		service.Conflict: codes.FailedPrecondition, service.Unavailable: codes.Unavailable,
	}[e.Code]
	return status.Error(code, e.Text)
}

// Roots implements authv1.IdentityServer.
func (i *identity) Roots(ctx context.Context, in *authv1.RootsRequest) (*authv1.RootsReply, error) {
	steps, err := i.cfg.Service.Successions(ctx, hex.EncodeToString(in.GetKnown()))
	if err != nil {
		return nil, i.status(err)
	}
	out := &authv1.RootsReply{}
	for _, s := range steps {
		out.Steps = append(out.Steps, &authv1.Succession{Root: s.Root, Signature: s.Signature})
	}
	return out, nil
}

// Follow implements authv1.IdentityServer.
func (i *identity) Follow(stream grpc.BidiStreamingServer[authv1.FollowRequest, authv1.FollowReply]) error {
	ctx := stream.Context()
	leaf, node, err := i.node(ctx)
	if err != nil {
		var foreign error
		if leaf, node, foreign = i.followers.node(connection(ctx)); foreign != nil {
			return err
		}
		i.cfg.Log.Info("a node of another organisation follows", "node", node.String())
	}
	ctx, cancel := context.WithDeadline(ctx, leaf.NotAfter)
	defer cancel()
	f := follower{identity: i, stream: stream, leaf: leaf, node: node, foreign: err != nil}
	for {
		// What the node knows decides what it is sent; it says so before each reply.
		in, err := stream.Recv()
		if err != nil {
			return err
		}
		if err := f.reply(ctx, in); err != nil {
			return err
		}
	}
}

// follower is one node that follows.
type follower struct {
	*identity
	stream grpc.BidiStreamingServer[authv1.FollowRequest, authv1.FollowReply]
	leaf   *x509.Certificate
	node   bgp.NodeID
	// foreign is a node of another organisation: it is told token keys and revocations, and nothing of the roots.
	foreign bool
	keySet  []byte // as it was last sent
	began   bool
}

// reply waits until there is something to say, or until an interval has passed, and says it.
func (f *follower) reply(ctx context.Context, in *authv1.FollowRequest) error {
	set, svc := f.cfg.Service.Revocations(), f.cfg.Service
	changed, keys := set.Changed(), svc.Changed()
	f.uses(ctx, in)
	behind := !f.began || set.Seq() > in.GetSeq() || f.news(in) != nil
	if !behind {
		wait := time.NewTimer(service.Interval)
		defer wait.Stop()
		select {
		case <-ctx.Done():
			if time.Now().Before(f.leaf.NotAfter) {
				return status.Error(codes.Unavailable, "the identity service stops")
			}
			return status.Error(codes.Unauthenticated, "the certificate has ended")
		case <-changed:
		case <-keys:
		case <-wait.C:
		}
	}
	refused := set.CheckCertificate(f.leaf)
	if refused != nil && !f.began {
		return status.Error(codes.Unauthenticated, refused.Error())
	}
	f.began = true
	out := f.news(in)
	if out == nil {
		out = &authv1.FollowReply{}
	}
	if len(out.GetKeySet()) > 0 {
		f.keySet = out.GetKeySet()
	}

	var err error
	if out.Revocations, _, err = svc.Delta(ctx, in.GetSeq()); err != nil {
		return f.status(err)
	}
	if err := f.stream.Send(out); err != nil || refused == nil {
		return err
	}
	return status.Error(codes.Unauthenticated, refused.Error()) // which it has been told, and can act on
}

// uses keeps what roots a node of this organisation has.
func (f *follower) uses(ctx context.Context, in *authv1.FollowRequest) {
	if f.foreign {
		return
	}
	if err := f.cfg.Service.Uses(ctx, f.node.Name, hex.EncodeToString(in.GetRootsSha256())); err != nil {
		f.cfg.Log.Error("what roots a node uses could not be kept", "node", f.node.String(), "error", err)
	}
}

// news is what changed besides revocations; nil if nothing did.
func (f *follower) news(in *authv1.FollowRequest) *authv1.FollowReply {
	out := &authv1.FollowReply{}
	if keySet, err := f.cfg.Service.JWKS(); err == nil && !bytes.Equal(keySet, f.keySet) {
		out.KeySet = keySet
	}
	if roots := f.cfg.Service.Roots(); !f.foreign && service.RootsHash(roots) != hex.EncodeToString(in.GetRootsSha256()) {
		out.Roots = roots
	}
	if out.KeySet == nil && out.Roots == nil {
		return nil
	}
	return out
}
