package tap

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	data "github.com/envoyproxy/go-control-plane/envoy/data/accesslog/v3"
	accesslog "github.com/envoyproxy/go-control-plane/envoy/service/accesslog/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/test/bufconn"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/catalyst-router/catalyst/bgp"
	"github.com/catalyst-router/catalyst/xds"
)

func newTap(t testing.TB, bytes int) *Tap {
	t.Helper()
	tap, err := New(Config{
		Bytes: bytes, Log: slog.New(slog.DiscardHandler),
		Caller: func(context.Context) (string, error) { return "", nil },
		At: func(a netip.AddrPort) bgp.Service {
			if a == netip.MustParseAddrPort("127.0.0.1:10000") {
				return "lines.acme.example"
			}
			return ""
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	return tap
}

func entry(service string, status uint32, flags *data.ResponseFlags) *data.HTTPAccessLogEntry {
	return &data.HTTPAccessLogEntry{
		CommonProperties: &data.AccessLogCommon{
			StartTime: timestamppb.New(time.Unix(1_800_000_000, 0)), ResponseFlags: flags,
			TimeToLastDownstreamTxByte: durationpb.New(20 * time.Millisecond),
		},
		Request: &data.HTTPRequestProperties{
			RequestMethod: core.RequestMethod_GET, Authority: service, Path: "/books?key=secret",
		},
		Response: &data.HTTPResponseProperties{ResponseCode: wrapperspb.UInt32(status)},
	}
}

// What Envoy tells is read as it is meant, and a call's end is judged from it.
func TestOutcomes(t *testing.T) {
	for name, c := range map[string]struct {
		status   uint32
		flags    *data.ResponseFlags
		trailers map[string]string
		reason   string
		want     Outcome
	}{
		"good":            {200, nil, nil, "via_upstream", OK},
		"not found":       {404, nil, nil, "via_upstream", OK}, // what the workload says of its own is its own
		"gRPC not found":  {200, nil, map[string]string{"grpc-status": "5"}, "", OK},
		"caller left":     {200, &data.ResponseFlags{DownstreamConnectionTermination: true}, nil, "", OK},
		"server error":    {500, nil, nil, "via_upstream", Failed},
		"gRPC failed":     {200, nil, map[string]string{"grpc-status": "14"}, "", Failed},
		"no route":        {404, &data.ResponseFlags{NoRouteFound: true}, nil, "route_not_found", Failed},
		"no connection":   {503, &data.ResponseFlags{UpstreamConnectionFailure: true}, nil, "", Failed},
		"reset":           {0, &data.ResponseFlags{UpstreamRemoteReset: true}, nil, "", Failed},
		"denied":          {403, nil, nil, "ext_authz_denied", Denied},
		"no token":        {401, nil, nil, "ext_authz_denied", Denied},
		"gRPC denied":     {200, nil, map[string]string{"grpc-status": "7"}, "", Denied},
		"nobody's friend": {0, nil, nil, "rbac_access_denied_matched_policy[none]", Denied},
	} {
		e := entry("Books.acme.example", c.status, c.flags)
		e.Response.ResponseTrailers, e.Response.ResponseCodeDetails = c.trailers, c.reason
		got := ofRequest(e)
		if got.Outcome != c.want {
			t.Errorf("%s: %s, want %s", name, got.Outcome, c.want)
		}
		if got.Service != "books.acme.example" || got.Path != "/books?…" || got.Took != 20*time.Millisecond {
			t.Errorf("%s: read as %+v", name, got)
		}
	}
}

// What others write into headers is bounded, printable, and taken for no more than it says.
func TestWhatOthersWriteIsBounded(t *testing.T) {
	e := entry(strings.Repeat("x", 100_000), 200, nil)
	e.Request.Path = "/\x1b[2J" + strings.Repeat("y", 100_000)
	e.Request.RequestHeaders = map[string]string{
		xds.TapPath:  strings.Repeat("<acme.example/a>", 5000) + "<junk><>/><x/",
		xds.TapTrace: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
	}
	c := ofRequest(e)
	if len(c.Crossed) != xds.MaxHops || c.size() > 8<<10 || strings.ContainsRune(c.Path, '\x1b') {
		t.Errorf("%d nodes, %d bytes, path %q", len(c.Crossed), c.size(), c.Path[:10])
	}
	if c.Trace != "0af7651916cd43dd8448eb211c80319c" {
		t.Errorf("trace %q", c.Trace)
	}
}

func node(name string) bgp.NodeID { return bgp.NodeID{Org: "acme.example", Name: name} }

func TestWay(t *testing.T) {
	for name, c := range map[string]struct {
		call  Call
		ahead []bgp.NodeID
		want  []bgp.NodeID
	}{
		"here and no further": {Call{Seen: xds.TapEgress}, nil, []bgp.NodeID{node("b")}},
		"from here": {Call{Seen: xds.TapEgress, Crossed: []bgp.NodeID{node("b")}}, []bgp.NodeID{node("c")},
			[]bgp.NodeID{node("b"), node("c")}},
		"through here": {Call{Seen: xds.TapIngress, Caller: "spiffe://acme.example/node/a",
			Crossed: []bgp.NodeID{node("a"), node("b")}}, []bgp.NodeID{node("c"), node("d")},
			[]bgp.NodeID{node("a"), node("b"), node("c"), node("d")}},
		"over a border that hides what is behind it": {Call{Seen: xds.TapIngress,
			Caller: "spiffe://acme.example/envoy/x/eu"}, nil, []bgp.NodeID{node("x"), node("b")}},
	} {
		if got := c.call.Way(node("b"), c.ahead); !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}

func TestFilter(t *testing.T) {
	c := &Call{Service: "books.acme.example", Org: "bravo.example", Caller: "spiffe://bravo.example/node/x", Status: 503,
		Outcome: Failed, Took: 2 * time.Second, At: time.Unix(1_800_000_000, 0), Crossed: []bgp.NodeID{node("a")}}
	for _, f := range []Filter{
		{}, {Service: "books.acme.example"}, {Service: "*.acme.example"}, {From: "bravo.example"}, {From: "bravo.example/x"},
		{From: "acme.example/a"}, {Code: "503"}, {Code: "5xx"}, {Outcome: Failed}, {Slower: time.Second},
		{Since: c.At.Add(-time.Second)},
	} {
		if err := f.Check(); err != nil || !f.Takes(c) {
			t.Errorf("%+v does not take it (%v)", f, err)
		}
	}
	for _, f := range []Filter{
		{Service: "songs.acme.example"}, {Service: "*.bravo.example"}, {From: "acme.example"}, {From: "bravo.example/y"},
		{Code: "500"}, {Code: "4xx"}, {Outcome: OK}, {Slower: 2 * time.Second}, {Since: c.At.Add(time.Second)},
		{Code: "5xx", Outcome: Denied},
	} {
		if err := f.Check(); err != nil || f.Takes(c) {
			t.Errorf("%+v takes it (%v)", f, err)
		}
	}
	for _, f := range []Filter{
		{Service: "*books"}, {From: "bravo"}, {From: "bravo.example/"}, {Code: "9xx"}, {Code: "x"}, {Code: "0503"},
		{Outcome: "bad"}, {Slower: -1},
	} {
		if f.Check() == nil {
			t.Errorf("%+v is accepted", f)
		}
	}
}

// Memory is bounded, and a flood of calls that go well does not push out the one that was denied before.
func TestMemoryIsBoundedAndFailuresStay(t *testing.T) {
	const most = 1 << 20
	tap := newTap(t, most)
	denied := ofRequest(entry("locked.acme.example", 403, nil))
	tap.take(xds.TapIngress, "acme.example/a", []*Call{denied})
	for i := range 100_000 {
		tap.take(xds.TapIngress, "acme.example/a", []*Call{ofRequest(entry(fmt.Sprintf("s%d.acme.example", i), 200, nil))})
	}
	bytes := 0
	for _, r := range []*ring{&tap.ordinary, &tap.others} {
		sum := 0
		r.newest(func(c *Call) bool { sum += c.size(); return true })
		if sum != r.bytes || cap(r.calls) > 10_000 {
			t.Errorf("counts %d bytes, has %d, and room for %d", r.bytes, sum, cap(r.calls))
		}
		bytes += sum
	}
	if bytes > most {
		t.Errorf("%d bytes are kept, %d allowed", bytes, most)
	}
	if got := tap.Find(Filter{Outcome: Denied}, 10); len(got) != 1 || got[0] != denied {
		t.Errorf("found %v", got)
	}
	got := tap.Find(Filter{}, 3)
	if len(got) != 3 || got[0].Service != "s99999.acme.example" || got[0].Seq < got[1].Seq || got[1].Seq < got[2].Seq {
		t.Errorf("the newest are %+v", got)
	}
}

// A watcher that reads nothing holds nobody up, and is told what it missed.
func TestASlowWatcherMissesSome(t *testing.T) {
	tap := newTap(t, 1<<20)
	w, err := tap.Watch(Filter{Service: "books.acme.example"})
	if err != nil {
		t.Fatal(err)
	}
	for range room + 5 {
		tap.take(xds.TapEgress, "", []*Call{ofRequest(entry("books.acme.example", 200, nil)),
			ofRequest(entry("songs.acme.example", 200, nil))})
	}
	if c, missed, err := w.Next(t.Context()); err != nil || c.Seq != 1 || missed != 5 {
		t.Errorf("got %+v, %d missed, %v", c, missed, err)
	}
	if _, missed, _ := w.Next(t.Context()); missed != 0 {
		t.Errorf("%d are missed twice", missed)
	}
	w.Close()
	for range MaxWatchers {
		if _, err := tap.Watch(Filter{}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := tap.Watch(Filter{}); !errors.Is(err, ErrBusy) {
		t.Errorf("one watcher more: %v", err)
	}
}

// Envoys are heard over gRPC; one that may not connect is not.
func TestEnvoysAreHeard(t *testing.T) {
	tap := newTap(t, 1<<20)
	refused := errors.New("who are you?")
	who := make(chan error, 1)
	tap.cfg.Caller = func(context.Context) (string, error) { return "", <-who }
	lis := bufconn.Listen(1 << 20)
	srv := grpc.NewServer()
	tap.Register(srv)
	go func() { _ = srv.Serve(lis) }()
	defer srv.Stop()
	conn, err := grpc.NewClient("passthrough:tap", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return lis.DialContext(ctx) }))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	w, err := tap.Watch(Filter{})
	if err != nil {
		t.Fatal(err)
	}
	tell := func(m *accesslog.StreamAccessLogsMessage) error {
		s, err := accesslog.NewAccessLogServiceClient(conn).StreamAccessLogs(t.Context())
		if err != nil {
			return err
		}
		m.Identifier = &accesslog.StreamAccessLogsMessage_Identifier{
			Node: &core.Node{Id: "acme.example/a"}, LogName: xds.TapTCP,
		}
		_ = s.Send(m)
		_, err = s.CloseAndRecv()
		return err
	}
	who <- refused
	if err := tell(&accesslog.StreamAccessLogsMessage{}); err == nil || !strings.Contains(err.Error(), refused.Error()) {
		t.Errorf("an Envoy that may not connect is answered %v", err)
	}
	who <- nil
	if err := tell(&accesslog.StreamAccessLogsMessage{LogEntries: &accesslog.StreamAccessLogsMessage_TcpLogs{
		TcpLogs: &accesslog.StreamAccessLogsMessage_TCPAccessLogEntries{LogEntry: []*data.TCPAccessLogEntry{{
			CommonProperties: &data.AccessLogCommon{DownstreamLocalAddress: &core.Address{
				Address: &core.Address_SocketAddress{SocketAddress: &core.SocketAddress{Address: "127.0.0.1",
					PortSpecifier: &core.SocketAddress_PortValue{PortValue: 10000}}},
			}},
		}}},
	}}); err != nil {
		t.Fatal(err)
	}
	c, _, err := w.Next(t.Context())
	if err != nil || c.Service != "lines.acme.example" || c.Envoy != "acme.example/a" || c.Seen != xds.TapTCP {
		t.Errorf("heard %+v, %v", c, err)
	}
}
