package xds

import (
	"flag"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

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
		d, _ := compiler().Apply(Change{Services: []Forwarding{situated(t, name).Services[0]}})
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
	f := situated(t, "grpc_shared").Services[0]
	fresh, _ := compiler().Apply(Change{Services: []Forwarding{f}})
	c := compiler()
	for _, other := range situations(t) {
		c.Apply(Change{Services: other.Services})
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
