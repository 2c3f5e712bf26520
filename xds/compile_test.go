package xds

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	cluster "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	listener "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	route "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	"golang.org/x/tools/txtar"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/catalyst-router/catalyst/bgp"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func compiler() *Compiler {
	return NewCompiler(Config{
		Self:    bgp.NodeID{Org: "acme.example", Name: "c"},
		Ingress: "127.0.0.1:8443",
		Egress:  "127.0.0.1:8080",
		Socket:  "/run/tcp.sock",
	})
}

func hop(name, address string) Target {
	return Target{NextHop: bgp.NextHop{Node: bgp.NodeID{Org: "acme.example", Name: name}, Address: address}}
}

func cases() map[string]Forwarding {
	a, b := hop("a", "10.0.0.1:8443"), hop("b", "10.0.0.2:8443")
	heavy := a
	heavy.Weight = 300
	draining := a
	draining.Draining = true
	return map[string]Forwarding{
		"http_with_backup": {Service: "books.acme.example", Protocol: bgp.HTTP, Tiers: [][]Target{{a}, {b}}},
		"http_abroad": {Service: "shelf.bravo.example", Protocol: bgp.HTTP, Tiers: [][]Target{{{NextHop: bgp.NextHop{
			Node: bgp.NodeID{Org: "bravo.example", Name: "x"}, Address: "192.0.2.7:8443"}}}}},
		"grpc_shared": {Service: "stock.acme.example", Protocol: bgp.GRPC, Tiers: [][]Target{{heavy, b}}},
		"tcp_remote":  {Service: "lines.acme.example", Protocol: bgp.TCP, Port: 10000, Tiers: [][]Target{{a}}},
		"tcp_local": {
			Service:  "lines.acme.example",
			Protocol: bgp.TCP,
			Port:     10000,
			Tiers:    [][]Target{{{Backend: Backend{Address: "127.0.0.1:5432"}}}},
		},
		"tcp_local_backup": {
			Service:  "lines.acme.example",
			Protocol: bgp.TCP,
			Port:     10000,
			Tiers:    [][]Target{{{Backend: Backend{Address: "127.0.0.1:5432"}}}, {b}},
		},
		"http_local_by_dns": {
			Service:  "books.acme.example",
			Protocol: bgp.HTTP,
			Tiers:    [][]Target{{{Backend: Backend{Address: "web.internal:80"}}}, {b}},
		},
		"http_local_replicas": {Service: "books.acme.example", Protocol: bgp.HTTP, Tiers: [][]Target{{
			{Backend: Backend{Address: "127.0.0.1:80", Other: "[::1]:80"}},
			{Backend: Backend{Address: "10.0.0.7:80"}, Weight: 50}}}},
		"http_next_hop_by_name": {
			Service:  "books.acme.example",
			Protocol: bgp.HTTP,
			Tiers:    [][]Target{{hop("a", "a.acme.example:8443")}},
		},
		"http_local_last": {
			Service:  "books.acme.example",
			Protocol: bgp.HTTP,
			Tiers:    [][]Target{{a}, {{Backend: Backend{Address: "127.0.0.1:80"}}}, {b}},
		},
		"http_down": {
			Service:  "books.acme.example",
			Protocol: bgp.HTTP,
			Down:     []bgp.NodeID{a.NextHop.Node, b.NextHop.Node},
		},
		"http_both_in_one_tier": {
			Service:  "books.acme.example",
			Protocol: bgp.HTTP,
			Tiers:    [][]Target{{{Backend: Backend{Address: "127.0.0.1:80"}}, b}},
		},
		"http_draining": {Service: "books.acme.example", Protocol: bgp.HTTP, Tiers: [][]Target{{draining, b}}},
		"grpc_local": {
			Service:  "stock.acme.example",
			Protocol: bgp.GRPC,
			Tiers:    [][]Target{{{Backend: Backend{Address: "127.0.0.1:50051"}}}},
		},
		"http_over_tls": {
			Service: "books.acme.example", Protocol: bgp.HTTP, Idle: 1500 * time.Millisecond,
			Tiers: [][]Target{{{Backend: Backend{Address: "127.0.0.1:443"}}}},
			TLS:   &WorkloadTLS{CA: "PEM", Name: "web.internal"},
		},
		"grpc_by_id": {
			Service: "stock.acme.example", Protocol: bgp.GRPC, Idle: time.Minute,
			Tiers: [][]Target{{{Backend: Backend{Address: "127.0.0.1:50051"}}}},
			TLS:   &WorkloadTLS{ID: "spiffe://bravo.example/stock", Name: "127.0.0.1"},
		},
		"graphql_remote": {Service: "graph.acme.example", Protocol: bgp.GraphQL, Tiers: [][]Target{{a}, {b}}},
		"tcp_own_address": {Service: "lines.acme.example", Protocol: bgp.TCP, Port: 10000,
			Dial: netip.MustParseAddrPort("127.83.0.20:5432"), Tiers: [][]Target{{a}}},
		"tcp_down": {Service: "lines.acme.example", Protocol: bgp.TCP, Port: 10000, Down: []bgp.NodeID{a.NextHop.Node}},
	}
}

// What a resource needs is what it stands on, and nothing that changes without it.
func TestNeeds(t *testing.T) {
	want := map[string][]string{
		"tcp_local_backup": {"tcp/lines.acme.example: workload/lines.acme.example local/lines.acme.example HOPS",
			"route/lines.acme.example: tcp/lines.acme.example", "tcp-egress/lines.acme.example: tcp/lines.acme.example"},
		"tcp_local": {"tcp/lines.acme.example: workload/lines.acme.example",
			"route/lines.acme.example: tcp/lines.acme.example", "tcp-egress/lines.acme.example: tcp/lines.acme.example"},
		"tcp_remote": {"tcp/lines.acme.example: HOPS", "route/lines.acme.example: tcp/lines.acme.example",
			"tcp-egress/lines.acme.example: tcp/lines.acme.example"},
		"http_with_backup": {"via/HOPS: HOPS scout/via/HOPS", "scout/via/HOPS: HOPS",
			"route/books.acme.example: HOPS scout/via/HOPS via/HOPS"},
		"http_local_last": {"http/books.acme.example: HOPS local/books.acme.example HOPS",
			"route/books.acme.example: http/books.acme.example"},
		"tcp_down": {"route/lines.acme.example: tcp/lines.acme.example",
			"tcp-egress/lines.acme.example: tcp/lines.acme.example"},
	}
	hash := regexp.MustCompile(`hops/[0-9a-f]{20}`)
	for name, want := range want {
		d, _ := compiler().Apply(Change{Services: []Forwarding{cases()[name]}})
		var got []string
		for _, r := range d.Set {
			if len(r.Needs) > 0 {
				got = append(got, hash.ReplaceAllString(r.Name+": "+strings.Join(r.Needs, " "), "HOPS"))
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
}

func TestGolden(t *testing.T) {
	for name, f := range cases() {
		t.Run(name, func(t *testing.T) {
			d, problems := compiler().Apply(Change{Services: []Forwarding{f}})
			if len(problems) > 0 {
				t.Fatal(problems)
			}
			golden(t, name, fmt.Sprintf("%s, %s, tiers %+v, down %v\n", f.Service, f.Protocol, f.Tiers, f.Down), d.Set)
		})
	}
}

// golden compares resources with those of a file, below the situation that they are for.
func golden(t *testing.T, name, situation string, set []Resource) {
	t.Helper()
	ar := &txtar.Archive{Comment: []byte(situation)}
	for _, r := range set {
		ar.Files = append(ar.Files, txtar.File{
			Name: r.Type[strings.LastIndexByte(r.Type, '.')+1:] + " " + r.Name,
			Data: readable(t, r),
		})
	}
	path := filepath.Join("testdata", name+".txtar")
	got := txtar.Format(ar)
	if *update {
		if err := os.WriteFile(path, got, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s differs; rewrite it with -update and read the difference.\n%s", path, got)
	}
}

// readable is a resource in JSON; protojson varies its spacing, so it is indented anew.
func readable(t *testing.T, r Resource) []byte {
	t.Helper()
	m := map[string]proto.Message{
		TypeCluster:  &cluster.Cluster{},
		TypeListener: &listener.Listener{},
		TypeScope:    &route.ScopedRouteConfiguration{},
		TypeRoute:    &route.RouteConfiguration{},
		TypeSecret:   &tlsv3.Secret{},
	}[r.Type]
	if err := proto.Unmarshal(r.Body, m); err != nil {
		t.Fatal(err)
	}
	raw, err := protojson.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := json.Indent(&out, raw, "", "  "); err != nil {
		t.Fatal(err)
	}
	return append(out.Bytes(), '\n')
}

// A change costs what changes: the same state again costs nothing, and services that share next hops share their
// cluster and the routes to it.
func TestOnlyDifferencesAreSent(t *testing.T) {
	c := compiler()
	a := []Target{hop("a", "10.0.0.1:8443")}
	for i := range 100 {
		d, _ := c.Apply(Change{
			Services: []Forwarding{{
				Service:  bgp.Service(fmt.Sprintf("s%d.acme.example", i)),
				Protocol: bgp.HTTP,
				Tiers:    [][]Target{a},
			}},
		})
		want := 1 // its scope
		if i == 0 {
			want = 4 // the next hops, the routes to them, and what has Envoy ask for those
		}
		if len(d.Set) != want || len(d.Removed) != 0 {
			t.Fatalf("service %d: %d resources set, %d removed", i, len(d.Set), len(d.Removed))
		}
	}
	same := Forwarding{Service: "s7.acme.example", Protocol: bgp.HTTP, Tiers: [][]Target{a}}
	if d, _ := c.Apply(Change{Services: []Forwarding{same}}); !d.Empty() {
		t.Errorf("the same state again: %+v", d)
	}
	for i := range 100 {
		d, _ := c.Apply(Change{Services: []Forwarding{{Service: bgp.Service(fmt.Sprintf("s%d.acme.example", i))}}})
		want := 1
		if i == 99 {
			want = 4 // nobody goes there any more
		}
		if len(d.Removed) != want {
			t.Fatalf("service %d: %d removed, want %d", i, len(d.Removed), want)
		}
		if want == 4 && !strings.HasPrefix(d.Removed[3].Name, hopsPrefix) {
			t.Errorf("the cluster goes before what names it: %+v", d.Removed)
		}
	}
}

// The bytes do not depend on what came before.
func TestHistoryDoesNotMatter(t *testing.T) {
	f := cases()["grpc_shared"]
	fresh, _ := compiler().Apply(Change{Services: []Forwarding{f}})
	c := compiler()
	for _, other := range cases() {
		c.Apply(Change{Services: []Forwarding{other}})
	}
	c.Apply(Change{Services: []Forwarding{{Service: f.Service}}})
	again, _ := c.Apply(Change{Services: []Forwarding{f}})
	versions := map[string]string{}
	for _, r := range fresh.Set {
		versions[r.Name] = r.Version
	}
	for _, r := range again.Set {
		if versions[r.Name] != r.Version {
			t.Errorf("%s has another version after a history", r.Name)
		}
	}
}

// One service that cannot be compiled is named with its reason, and the others are compiled.
func TestProblemsStayWithTheirService(t *testing.T) {
	c := compiler()
	good := Forwarding{Service: "good.acme.example", Protocol: bgp.HTTP, Tiers: [][]Target{{hop("a", "10.0.0.1:8443")}}}
	d, problems := c.Apply(Change{Services: []Forwarding{
		{Service: "noport.acme.example", Protocol: bgp.TCP, Tiers: good.Tiers},
		{Service: "nohop.acme.example", Protocol: bgp.HTTP, Tiers: [][]Target{{hop("a", "")}}}, good,
	}})
	got := map[bgp.Service]string{}
	for _, p := range problems {
		got[p.Service] = p.Err.Error()
	}
	if len(got) != 2 || !strings.Contains(got["noport.acme.example"], "wants a local port") ||
		!strings.Contains(got["nohop.acme.example"], "has no ingress address") {
		t.Errorf("problems: %v", got)
	}
	found := false
	for _, r := range d.Set {
		found = found || r.Name == "route/good.acme.example"
	}
	if !found {
		t.Error("the good one was not compiled")
	}
}
