package main

import (
	"context"
	"log/slog"
	"net"
	"slices"
	"strconv"
	"sync"
	"time"

	cluster "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpoint "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	listener "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	route "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	router "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/router/v3"
	hcm "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"github.com/envoyproxy/go-control-plane/pkg/cache/types"
	cachev3 "github.com/envoyproxy/go-control-plane/pkg/cache/v3"
	"github.com/envoyproxy/go-control-plane/pkg/resource/v3"
	serverv3 "github.com/envoyproxy/go-control-plane/pkg/server/v3"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/catalyst-router/catalyst/bgp"
	"github.com/catalyst-router/catalyst/xds"
	"github.com/catalyst-router/catalyst/xds/ads"
)

// ours is the compiler and the ADS server of the product. Every service has its workload beside the node.
type ours struct {
	compiler *xds.Compiler
	server   *ads.Server
	backends []string
	started  chan struct{}
	acks     acks
	taken    chan bgp.Service
}

func newOurs() plane {
	o := &ours{started: make(chan struct{}), taken: make(chan bgp.Service, 1<<18)}
	o.server = ads.NewServer(ads.Config{Log: slog.New(slog.DiscardHandler), OnAck: func(a ads.Acknowledged) {
		if a.Service != "" {
			o.taken <- a.Service
		}
	}})
	return o
}

// Acks implements plane.
func (o *ours) Acks() *acks { return &o.acks }

// book counts a service when Envoy has the newest of all its resources.
func (o *ours) book(ctx context.Context) {
	for {
		select {
		case svc := <-o.taken:
			if !slices.ContainsFunc(o.server.Service(svc), func(s ads.ServiceStatus) bool { return s.Acked != s.Current }) {
				o.acks.acknowledged(svc)
			}
		case <-ctx.Done():
			return
		}
	}
}

func (*ours) Name() string { return "Catalyst" }

func (o *ours) Serve(ctx context.Context, lis net.Listener, egress string, backends []string) error {
	o.backends = backends
	go o.book(ctx)
	o.compiler = xds.NewCompiler(xds.Config{Self: bgp.NodeID{Org: "acme.example", Name: "bench"}, Egress: egress})
	d, err := o.compiler.Start(xds.Identity{})
	if err != nil {
		return err
	}
	secretless := xds.Delta{}
	for _, r := range d.Set {
		if r.Type != xds.TypeSecret {
			secretless.Set = append(secretless.Set, r)
		}
	}
	o.server.Publish(secretless)
	o.server.Open()
	close(o.started)
	return o.server.Serve(ctx, lis)
}

func (o *ours) Declare(services []bgp.Service, at int) error {
	<-o.started
	change := xds.Change{}
	for _, svc := range services {
		change.Services = append(change.Services,
			xds.Forwarding{
				Service:  svc,
				Protocol: bgp.HTTP,
				Tiers:    [][]xds.Target{{{Backend: xds.Backend{Address: o.backends[at]}}}},
			})
	}
	d, problems := o.compiler.Apply(change)
	if len(problems) > 0 {
		return problems[0].Err
	}
	o.server.Publish(d)
	return nil
}

// floor is the library by itself: a Mux of linear caches, a static cluster a service, chosen by authority.
type floor struct {
	clusters, listeners *cachev3.LinearCache
	backends            []string
	started             chan struct{}
	acks                acks
}

// Acks implements plane.
func (f *floor) Acks() *acks { return &f.acks }

// callbacks book what a response held when its nonce comes back without an error.
func (f *floor) callbacks() serverv3.Callbacks {
	var mu sync.Mutex
	sent := map[string][]string{} // by nonce
	return serverv3.CallbackFuncs{
		StreamDeltaResponseFunc: func(_ int64, _ *discovery.DeltaDiscoveryRequest, resp *discovery.DeltaDiscoveryResponse) {
			mu.Lock()
			defer mu.Unlock()
			for _, r := range resp.GetResources() {
				sent[resp.GetNonce()] = append(sent[resp.GetNonce()], r.GetName())
			}
		},
		StreamDeltaRequestFunc: func(_ int64, req *discovery.DeltaDiscoveryRequest) error {
			mu.Lock()
			taken := sent[req.GetResponseNonce()]
			delete(sent, req.GetResponseNonce())
			mu.Unlock()
			for _, name := range taken {
				if req.GetErrorDetail() == nil {
					f.acks.acknowledged(bgp.Service(name))
				}
			}
			return nil
		},
	}
}

func newFloor() plane {
	return &floor{
		clusters:  cachev3.NewLinearCache(resource.ClusterType),
		listeners: cachev3.NewLinearCache(resource.ListenerType),
		started:   make(chan struct{}),
	}
}

func (*floor) Name() string { return "Mux of LinearCaches" }

func (f *floor) Serve(ctx context.Context, lis net.Listener, egress string, backends []string) error {
	f.backends = backends
	if err := f.listeners.UpdateResource("egress", egressListener(egress)); err != nil {
		return err
	}
	mux := &cachev3.MuxCache{
		Classify:      func(r *cachev3.Request) string { return r.GetTypeUrl() },
		ClassifyDelta: func(r *cachev3.DeltaRequest) string { return r.GetTypeUrl() },
		Caches:        map[string]cachev3.Cache{resource.ClusterType: f.clusters, resource.ListenerType: f.listeners},
	}
	srv := grpc.NewServer()
	discovery.RegisterAggregatedDiscoveryServiceServer(srv, serverv3.NewServer(ctx, mux, f.callbacks()))
	stop := context.AfterFunc(ctx, srv.Stop)
	defer stop()
	close(f.started)
	return srv.Serve(lis)
}

func (f *floor) Declare(services []bgp.Service, at int) error {
	<-f.started
	host, text, err := net.SplitHostPort(f.backends[at])
	if err != nil {
		return err
	}
	port, err := strconv.Atoi(text)
	if err != nil {
		return err
	}
	set := map[string]types.Resource{}
	for _, svc := range services {
		set[string(svc)] = &cluster.Cluster{
			Name:                 string(svc),
			ConnectTimeout:       durationpb.New(2 * time.Second),
			ClusterDiscoveryType: &cluster.Cluster_Type{Type: cluster.Cluster_STATIC},
			LoadAssignment: &endpoint.ClusterLoadAssignment{
				ClusterName: string(svc),
				Endpoints: []*endpoint.LocalityLbEndpoints{{LbEndpoints: []*endpoint.LbEndpoint{{
					HostIdentifier: &endpoint.LbEndpoint_Endpoint{Endpoint: &endpoint.Endpoint{Address: address(host, uint32(port))}},
				}}}},
			},
		}
	}
	return f.clusters.UpdateResources(set, nil)
}

func address(host string, port uint32) *core.Address {
	return &core.Address{
		Address: &core.Address_SocketAddress{
			SocketAddress: &core.SocketAddress{Address: host, PortSpecifier: &core.SocketAddress_PortValue{PortValue: port}},
		},
	}
}

func egressListener(egress string) *listener.Listener {
	host, text, _ := net.SplitHostPort(egress)
	port, _ := strconv.Atoi(text)
	manager := &hcm.HttpConnectionManager{
		StatPrefix: "egress", StripPortMode: &hcm.HttpConnectionManager_StripAnyHostPort{StripAnyHostPort: true},
		RouteSpecifier: &hcm.HttpConnectionManager_RouteConfig{RouteConfig: &route.RouteConfiguration{VirtualHosts: []*route.VirtualHost{{
			Name: "all", Domains: []string{"*"}, Routes: []*route.Route{{
				Match: &route.RouteMatch{PathSpecifier: &route.RouteMatch_Prefix{Prefix: "/"}},
				Action: &route.Route_Route{
					Route: &route.RouteAction{ClusterSpecifier: &route.RouteAction_ClusterHeader{ClusterHeader: ":authority"}},
				},
			}},
		}}}},
		HttpFilters: []*hcm.HttpFilter{{
			Name:       "router",
			ConfigType: &hcm.HttpFilter_TypedConfig{TypedConfig: pack(&router.Router{})},
		}},
	}
	return &listener.Listener{Name: "egress", Address: address(host, uint32(port)), FilterChains: []*listener.FilterChain{{
		Filters: []*listener.Filter{{Name: "hcm", ConfigType: &listener.Filter_TypedConfig{TypedConfig: pack(manager)}}}}}}
}

func pack(m proto.Message) *anypb.Any {
	a, err := anypb.New(m)
	if err != nil {
		panic(err) // messages built above
	}
	return a
}
