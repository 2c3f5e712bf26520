package xds

import (
	"strconv"
	"time"

	xdscore "github.com/cncf/xds/go/xds/core/v3"
	xdsmatcher "github.com/cncf/xds/go/xds/type/matcher/v3"
	cluster "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listener "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	connlimit "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/connection_limit/v3"
	network "github.com/envoyproxy/go-control-plane/envoy/extensions/matching/common_inputs/network/v3"
	hashing "github.com/envoyproxy/go-control-plane/envoy/extensions/matching/input_matchers/consistent_hashing/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// Limits bounds what a stream, a connection, a source and a service may take of an Envoy. A zero field means its
// default.
type Limits struct {
	// StreamWindow is how many bytes of one HTTP/2 stream are under way or wait for a slow reader, in each direction and
	// at each Envoy: 65,535 to 8,388,608. A stream carries at most that much in a round trip. 0 means 1 MiB.
	StreamWindow uint32
	// Descriptors is how many files, sockets among them, Envoy may have open (RLIMIT_NOFILE). 0 means 20,000.
	Descriptors uint32
	// HeaderKiB is how large the headers of a request or a response may be: 1 to 8,192. 0 means 128.
	HeaderKiB uint32
	// RefuseHTTP10 has the egress answer requests of HTTP/1.0 with 426 instead of serving them.
	RefuseHTTP10 bool
	// WorkloadIdle is how long a connection to an HTTP/1 workload is kept without a request. 0 means 4 s: common servers
	// close theirs after 5 s and more, and a request that is sent at that very moment would be lost.
	WorkloadIdle time.Duration
	// Connect is how long a try to connect to the only workload or next hop of a service lasts, TLS included; half of it
	// where there are several, of which up to four are tried. 0 means 2 s.
	Connect time.Duration
	// MeshStream is how long a request or connection of another node may last, MeshConnection how old a connection to
	// another node becomes before requests go over a new one, made with the certificates of that moment: what is under way
	// on the old one goes on. 0 means 7 days and an hour, a negative value no bound.
	MeshStream, MeshConnection time.Duration
}

const (
	defaultWindow      = 1 << 20
	defaultDescriptors = 20_000
	defaultHeaderKiB   = 128
	defaultIdle        = 4 * time.Second
	defaultConnect     = 2 * time.Second

	defaultMeshStream     = 7 * 24 * time.Hour
	defaultMeshConnection = time.Hour

	maxWindow = 1<<31 - 1 // of a connection, RFC 9113 §6.9.1
	// hopStreams is how many streams share a connection between two Envoys. For more, there are more connections.
	hopStreams = 128
	// tunnelStreams is how many streams share a tunnel: a site holds a fixed number of them.
	tunnelStreams = 1000
	// egressStreams is how many calls an application may have open on one HTTP/2 connection: gRPC clients wait when
	// there are more.
	egressStreams = 1000
	maxHeaders    = 1000 // header fields of a request or response
	// localBuffer is how many bytes Envoy keeps of a connection to an application or workload beside it before it reads
	// no more of the other side.
	localBuffer   = 256 << 10
	meshBuffer    = 1 << 20  // of a connection to another node
	ingressBuffer = 64 << 10 // of one of another node's: a worker reads so much before it looks at others (0096)

	acceptsAtOnce    = 8 // connections of the mesh ingress that a worker takes before it looks at anything else
	handshakeTimeout = 5 * time.Second
	// sourceGroups is into how many groups the sources of the mesh ingress' connections are put.
	sourceGroups = 16
)

func (l Limits) withDefaults() Limits {
	orDefault(&l.StreamWindow, defaultWindow)
	orDefault(&l.Descriptors, defaultDescriptors)
	orDefault(&l.HeaderKiB, defaultHeaderKiB)
	if l.WorkloadIdle == 0 {
		l.WorkloadIdle = defaultIdle
	}
	if l.Connect == 0 {
		l.Connect = defaultConnect
	}
	if l.MeshStream == 0 {
		l.MeshStream = defaultMeshStream
	}
	if l.MeshConnection == 0 {
		l.MeshConnection = defaultMeshConnection
	}
	return l
}

// ForLeaves bounds the age of connections between nodes, if it is bounded at all, by half the life of this node's
// certificates as well, which are renewed in the middle of it. An example: one of 60 s is shown for the last time after
// 36 s; a connection that was made then is left after 30 more, 6 s after that certificate has ended.
func (l Limits) ForLeaves(life time.Duration) Limits {
	if l.MeshConnection == 0 {
		l.MeshConnection = defaultMeshConnection
	}
	if half := (life / 2).Truncate(time.Second); half > 0 && l.MeshConnection > half {
		l.MeshConnection = half
	}
	return l
}

func orDefault(v *uint32, to uint32) {
	if *v == 0 {
		*v = to
	}
}

// Connections is how many connections an Envoy accepts, of applications and of other nodes: two fifths of its
// descriptors. The others are for connections to workloads and next hops.
func (l Limits) Connections() uint32 { return l.withDefaults().Descriptors / 5 * 2 }

// IngressConnections is how many of them other nodes may have. The other half is the applications'.
func (l Limits) IngressConnections() uint32 { return l.Connections() / 2 }

// sourceConnections is how many connections a group of sources may have at the mesh ingress.
func (l Limits) sourceConnections() uint32 { return max(l.IngressConnections()/8, 1) }

// serviceConnections is how many connections the workloads of one service may take, so that no service takes the
// descriptors of all.
func (l Limits) serviceConnections() uint32 { return max(l.Descriptors/8, 1) }

// IngressListener is the name of the mesh ingress among Envoy's listeners.
const IngressListener = ingressName

// http2 returns how Envoy speaks HTTP/2. The window of the connection is those of all its streams together: a stream
// that nobody reads fills its own and takes nothing of the others', and what a connection can hold is bounded.
func (c *Compiler) http2(streams uint32) *core.Http2ProtocolOptions {
	window := c.cfg.Limits.StreamWindow
	streams = min(streams, maxWindow/window)
	return &core.Http2ProtocolOptions{
		AllowConnect: true, MaxConcurrentStreams: wrapperspb.UInt32(streams),
		InitialStreamWindowSize: wrapperspb.UInt32(window), InitialConnectionWindowSize: wrapperspb.UInt32(window * streams),
	}
}

// hopBreakers bounds what goes to next hops: streams, and connections for them.
func (c *Compiler) hopBreakers() *cluster.CircuitBreakers {
	return breakers(max(c.cfg.Limits.Descriptors/8, 16), c.cfg.Limits.Descriptors*4)
}

// workloadBreakers bounds what goes to the workloads of one service beside this node. What is more waits for a
// connection, and of that so many again.
func (c *Compiler) workloadBreakers() *cluster.CircuitBreakers {
	most := c.cfg.Limits.serviceConnections()
	return breakers(most, most*hopStreams)
}

// endingBreakers bounds the streams that end at workloads of TCP services, each of which takes a connection of its own.
func (c *Compiler) endingBreakers() *cluster.CircuitBreakers {
	return breakers(max(c.cfg.Limits.Descriptors/8, 16), c.cfg.Limits.Descriptors/4)
}

func breakers(connections, requests uint32) *cluster.CircuitBreakers {
	return &cluster.CircuitBreakers{Thresholds: []*cluster.CircuitBreakers_Thresholds{{
		MaxConnections:     wrapperspb.UInt32(connections),
		MaxPendingRequests: wrapperspb.UInt32(requests),
		MaxRequests:        wrapperspb.UInt32(requests),
		MaxRetries:         wrapperspb.UInt32(100),
	}}}
}

// fairly gives a listener a chain for each group of sources, with a limit of connections of its own. A connection is
// put into a group by a hash of its address: a source that opens connections without end, with or without TLS, fills
// one group in sixteen and leaves room in the others. Envoy counts no connections by their source itself. The chains
// of sites that hold tunnels are chosen by the server name that they ask for, before that.
func (c *Compiler) fairly(l *listener.Listener, chain *listener.FilterChain, sites []*listener.FilterChain) {
	limit := networkFilter("envoy.filters.network.connection_limit", &connlimit.ConnectionLimit{
		StatPrefix: ingressName, MaxConnections: wrapperspb.UInt64(uint64(c.cfg.Limits.sourceConnections()))})
	chain.TransportSocketConnectTimeout = durationpb.New(handshakeTimeout)
	// Envoy goes on with its other connections after so many: without a limit a flood of new ones keeps a worker for as
	// long as it lasts.
	l.MaxConnectionsToAcceptPerSocketEvent = wrapperspb.UInt32(acceptsAtOnce)
	source := typed("source", &network.SourceIPInput{})
	groups := &xdsmatcher.Matcher_MatcherList{}
	for _, site := range sites {
		groups.Matchers = append(groups.Matchers, askedFor(site))
	}
	if len(sites) > 0 {
		l.ListenerFilters, l.FilterChains = serverNames(), sites
	}
	for i := range sourceGroups {
		group := proto.CloneOf(chain)
		group.Name = "sources-" + strconv.Itoa(i)
		group.Filters = append([]*listener.Filter{limit}, group.Filters...)
		l.FilterChains = append(l.FilterChains, group)
		if i == 0 {
			continue // what matches none of the others
		}
		// The remainder of the hash is at least i: asked from the largest on, it is exactly i.
		atLeast := &hashing.ConsistentHashing{Threshold: uint32(sourceGroups - i), Modulo: sourceGroups}
		groups.Matchers = append(groups.Matchers, &xdsmatcher.Matcher_MatcherList_FieldMatcher{
			Predicate: &xdsmatcher.Matcher_MatcherList_Predicate{MatchType: &xdsmatcher.Matcher_MatcherList_Predicate_SinglePredicate_{
				SinglePredicate: &xdsmatcher.Matcher_MatcherList_Predicate_SinglePredicate{
					Input: source,
					Matcher: &xdsmatcher.Matcher_MatcherList_Predicate_SinglePredicate_CustomMatch{CustomMatch: typed("hash",
						atLeast)},
				}}},
			OnMatch: toChain("sources-" + strconv.Itoa(sourceGroups-i)),
		})
	}
	l.FilterChainMatcher = &xdsmatcher.Matcher{
		MatcherType: &xdsmatcher.Matcher_MatcherList_{MatcherList: groups}, OnNoMatch: toChain("sources-0"),
	}
}

// askedFor chooses a chain by the server name that it is for, which the matcher then says instead of the chain.
func askedFor(chain *listener.FilterChain) *xdsmatcher.Matcher_MatcherList_FieldMatcher {
	name := chain.GetFilterChainMatch().GetServerNames()[0]
	chain.FilterChainMatch, chain.TransportSocketConnectTimeout = nil, durationpb.New(handshakeTimeout)
	return &xdsmatcher.Matcher_MatcherList_FieldMatcher{
		Predicate: &xdsmatcher.Matcher_MatcherList_Predicate{MatchType: &xdsmatcher.Matcher_MatcherList_Predicate_SinglePredicate_{
			SinglePredicate: &xdsmatcher.Matcher_MatcherList_Predicate_SinglePredicate{
				Input: typed("server-name", &network.ServerNameInput{}),
				Matcher: &xdsmatcher.Matcher_MatcherList_Predicate_SinglePredicate_ValueMatch{ValueMatch: &xdsmatcher.StringMatcher{
					MatchPattern: &xdsmatcher.StringMatcher_Exact{Exact: name}}},
			}}},
		OnMatch: toChain(chain.GetName()),
	}
}

func toChain(name string) *xdsmatcher.Matcher_OnMatch {
	return &xdsmatcher.Matcher_OnMatch{
		OnMatch: &xdsmatcher.Matcher_OnMatch_Action{Action: typed("chain", wrapperspb.String(name))},
	}
}

func typed(name string, m proto.Message) *xdscore.TypedExtensionConfig {
	return &xdscore.TypedExtensionConfig{Name: name, TypedConfig: toAny(m)}
}
