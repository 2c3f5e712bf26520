package imported

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"pgregory.net/rapid"

	"github.com/catalyst-router/catalyst/bgp"
	"github.com/catalyst-router/catalyst/cmd/internal/cluster"
)

const hold = 5 * time.Minute

func at(node string) *Place {
	return &Place{
		Namespace: "catalyst", Address: netip.MustParseAddr("10.0.0.1"), Node: node,
		Pod:   &metav1.OwnerReference{APIVersion: "v1", Kind: "Pod", Name: node, UID: types.UID(node + "-uid")},
		Owner: &metav1.OwnerReference{APIVersion: "v1", Kind: "ConfigMap", Name: "imports", UID: "owner-uid"},
	}
}

func wants(names ...bgp.Service) (all []Want) {
	for _, n := range names {
		all = append(all, Want{Service: n, Protocol: bgp.HTTP, Port: 8080, Dialled: 80})
	}
	return all
}

// carry is what the cluster has once changes are written.
func carry(has Has, c *Changes) Has {
	services, slicesOf := map[string]*cluster.Service{}, map[string]*cluster.EndpointSlice{}
	for _, all := range [][]*cluster.Service{has.Services, c.Services, c.NewServices} {
		for _, s := range all {
			services[s.Name] = s
		}
	}
	for _, all := range [][]*cluster.EndpointSlice{has.Slices, c.Slices, c.NewSlices} {
		for _, s := range all {
			slicesOf[s.Name] = s
		}
	}
	for _, s := range c.GoneServices {
		delete(services, s.Name)
	}
	for _, s := range c.GoneSlices {
		delete(slicesOf, s.Name)
	}
	var next Has
	for _, s := range services {
		next.Services = append(next.Services, s)
	}
	for _, s := range slicesOf {
		next.Slices = append(next.Slices, s)
	}
	return next
}

// said is what has to be written, in words.
func said(c *Changes) string {
	var all []string
	for _, s := range c.NewServices {
		p := s.Spec.Ports[0]
		all = append(all, fmt.Sprintf("+service %s %s:%d", s.Name, p.Name, p.Port))
	}
	for _, s := range c.Services {
		all = append(all, "=service "+s.Name)
	}
	for _, s := range c.NewSlices {
		all = append(all, fmt.Sprintf("+slice %s %s:%d", s.Name, s.Endpoints[0].Addresses[0], *s.Ports[0].Port))
	}
	for _, s := range c.Slices {
		all = append(all, "=slice "+s.Name)
	}
	for _, s := range c.GoneSlices {
		all = append(all, "-slice "+s.Name)
	}
	for _, s := range c.GoneServices {
		all = append(all, "-service "+s.Name)
	}
	for _, p := range c.Problems {
		all = append(all, "!"+p.In)
	}
	return strings.Join(all, ", ")
}

// A service comes, stays as it is, moves, goes: what has to be written each time, and nothing otherwise. It is
// removed after the stated time, and by each node what is its own.
func TestPlan(t *testing.T) {
	start := time.Unix(1_000_000, 0)
	now := start.Add(time.Hour)
	var has Has
	gone := map[string]time.Time{}
	step := func(place *Place, want []Want, expect string) {
		t.Helper()
		c := Plan(now, start, hold, place, want, has, gone)
		if got := said(&c); got != expect {
			t.Errorf("got  %s\nwant %s", got, expect)
		}
		has = carry(has, &c)
	}
	books := wants("books.acme.example")
	step(at("a"), books, "+service books-acme-example http:80, +slice books-acme-example-a 10.0.0.1:8080")
	step(at("a"), books, "")
	step(at("b"), books, "+slice books-acme-example-b 10.0.0.1:8080")
	moved := at("a")
	moved.Address = netip.MustParseAddr("10.0.0.2")
	step(moved, books, "=slice books-acme-example-a")
	restarted := at("a")
	restarted.Pod.UID = "another"
	step(restarted, books, "=slice books-acme-example-a")
	tcp := []Want{{Service: "books.acme.example", Protocol: bgp.TCP, Port: 10001, Dialled: 5432}}
	step(at("a"), tcp, "=service books-acme-example, =slice books-acme-example-a")

	gone["books-acme-example"] = now
	c := Plan(now, start, hold, at("a"), nil, has, gone)
	if got := said(&c); got != "" || !c.Until.Equal(now.Add(hold)) {
		t.Errorf("it is removed at once: %s, until %s", got, c.Until)
	}
	now = now.Add(hold)
	step(at("a"), nil, "-slice books-acme-example-a")
	step(at("b"), nil, "-slice books-acme-example-b, -service books-acme-example")
	step(at("a"), nil, "")
}

// After a restart nothing says since when a service is gone: it counts from the start.
func TestPlanAfterARestart(t *testing.T) {
	start := time.Unix(1_000_000, 0)
	c := Plan(start, start, hold, at("a"), wants("books.acme.example"), Has{}, nil)
	has := carry(Has{}, &c)
	if c = Plan(start.Add(hold-time.Second), start, hold, at("a"), nil, has, nil); said(&c) != "" {
		t.Error(said(&c))
	}
	c = Plan(start.Add(hold), start, hold, at("a"), nil, has, nil)
	if got := said(&c); got != "-slice books-acme-example-a, -service books-acme-example" {
		t.Error(got)
	}
}

// What cannot be a Service is named, and harms nobody else. Of too many those that are there stay.
func TestPlanProblems(t *testing.T) {
	long := bgp.Service(strings.Repeat("a", 60) + ".acme.example")
	start := time.Unix(1_000_000, 0)
	c := Plan(start, start, hold, at("a"), wants("books.acme.example", long, "3d.acme.example"), Has{}, nil)
	if got := said(&c); got != "+service books-acme-example http:80, +slice books-acme-example-a 10.0.0.1:8080, !"+
		string(long)+", !3d.acme.example" {
		t.Error(got)
	}
	all := wants("zebra.acme.example")
	c = Plan(start, start, hold, at("a"), all, Has{}, nil)
	has := carry(Has{}, &c)
	for i := range Most {
		all = append(all, wants(bgp.Service(fmt.Sprintf("s%04d.acme.example", i)))...)
	}
	c = Plan(start, start, hold, at("a"), all, has, nil)
	if len(c.NewServices) != Most-1 || len(c.Problems) != 1 || c.Problems[0].In != "s0999.acme.example" ||
		c.Offered != Most {
		t.Errorf("%d created, problems %v", len(c.NewServices), c.Problems)
	}
}

// Of what others have added to a Service nothing is taken away; a selector is no addition: it would bring other Pods.
func TestPlanLeavesAlone(t *testing.T) {
	start := time.Unix(1_000_000, 0)
	c := Plan(start, start, hold, at("a"), wants("books.acme.example"), Has{}, nil)
	has := carry(Has{}, &c)
	s := has.Services[0]
	s.Labels["team"], s.Annotations["note"], s.Spec.ClusterIP = "x", "y", "10.96.0.7"
	if c = Plan(start, start, hold, at("a"), wants("books.acme.example"), has, nil); said(&c) != "" {
		t.Error(said(&c))
	}
	s.Spec.Selector = map[string]string{"app": "mine"}
	c = Plan(start, start, hold, at("a"), wants("books.acme.example"), has, nil)
	if said(&c) != "=service books-acme-example" || c.Services[0].Spec.ClusterIP != "10.96.0.7" {
		t.Error(said(&c))
	}
}

// The name in the cluster tells the service: no two have the same.
func TestNamesTellTheService(t *testing.T) {
	back := func(name string) string {
		return strings.NewReplacer("--", "-", "-", ".").Replace(name)
	}
	label := rapid.StringMatching(`[a-z]([a-z0-9-]{0,6}[a-z0-9])?`)
	rapid.Check(t, func(t *rapid.T) {
		svc := bgp.Service(strings.Join(rapid.SliceOfN(label, 3, 5).Draw(t, "labels"), "."))
		if svc.Check() != nil {
			t.Skip("no service")
		}
		name, err := NameOf(svc)
		if err != nil {
			return
		}
		if got := back(name); got != string(svc) || strings.Contains(name, ".") {
			t.Errorf("%s is %s, which is %s", svc, name, got)
		}
	})
	for svc, want := range map[bgp.Service]string{
		"books.acme.example": "books-acme-example", "orders-db.acme.example": "orders--db-acme-example",
	} {
		if got, err := NameOf(svc); got != want || err != nil {
			t.Errorf("%s: got %s, %v, want %s", svc, got, err, want)
		}
	}
}
