package kubernetes

import (
	"fmt"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/yaml"

	"github.com/catalyst-router/catalyst/cmd/internal/cluster"
	"github.com/catalyst-router/catalyst/cmd/internal/discover"
)

// objects reads Services and EndpointSlices from YAML, with what is in every one of them left out.
func objects(t *testing.T, text string) (all []*cluster.Service, slicesOf []*cluster.EndpointSlice) {
	t.Helper()
	for doc := range strings.SplitSeq(text, "\n---\n") {
		var u unstructured.Unstructured
		if err := yaml.Unmarshal([]byte(doc), &u.Object); err != nil {
			t.Fatal(err)
		}
		if u.Object == nil {
			continue
		}
		into := func(to any) {
			if err := runtime.DefaultUnstructuredConverter.FromUnstructured(u.Object, to); err != nil {
				t.Fatal(err)
			}
		}
		if _, ok := u.Object["endpoints"]; ok {
			s := &cluster.EndpointSlice{}
			into(s)
			slicesOf = append(slicesOf, s)
		} else {
			s := &cluster.Service{}
			into(s)
			all = append(all, s)
		}
	}
	return all, slicesOf
}

func words(set discover.Set) string {
	var all []string
	for _, i := range set.Items {
		all = append(all, fmt.Sprintf("%s: %s %s%v at %s", i.In, i.Order.Protocol, i.Order.Service, i.Order.Tags,
			strings.Join(i.Order.Addresses, " ")))
	}
	for _, p := range set.Problems {
		all = append(all, p.In+": "+p.Why)
	}
	if len(set.Unclear) > 0 {
		all = append(all, "unclear: "+strings.Join(set.Unclear, " "))
	}
	return strings.Join(all, "\n")
}

// service is a Service, with annotations and ports; slice is an EndpointSlice of it.
func service(annotations, spec string) string {
	return fmt.Sprintf("metadata: {namespace: shop, name: web, annotations: {%s}}\nspec: {%s}\n---\n", annotations, spec)
}

func slice(kind, ports, endpoints string) string {
	return fmt.Sprintf("metadata: {namespace: shop, name: web-1, labels: {kubernetes.io/service-name: web}}\n"+
		"addressType: %s\nports: [%s]\nendpoints: [%s]\n---\n", kind, ports, endpoints)
}

const (
	books  = "catalyst.service: books"
	web    = "ports: [{name: web, port: 80, protocol: TCP}]"
	web80  = "{name: web, port: 8080, protocol: TCP}"
	twoWeb = "ports: [{name: web, port: 80}, {name: admin, port: 81}, {name: dns, port: 53, protocol: UDP}]"
)

func TestServices(t *testing.T) {
	ready := slice("IPv4", web80, "{addresses: [10.0.0.2], conditions: {ready: true}}, {addresses: [10.0.0.1]}")
	for _, c := range []struct{ name, in, want string }{
		{"its ready endpoints, at the port behind that of the Service", service(books, web) + ready,
			"shop/web: http books[] at 10.0.0.1:8080 10.0.0.2:8080"},
		{"none but ready ones", service(books, web) + slice("IPv4", web80, `{addresses: [10.0.0.1], conditions: {ready: false}},
			{addresses: [10.0.0.2], conditions: {ready: true, terminating: true}}, {addresses: [10.0.0.3]}`),
			"shop/web: http books[] at 10.0.0.3:8080"},
		{"without any", service(books, web) + slice("IPv4", web80, "{addresses: [10.0.0.1], conditions: {ready: false}}"),
			"shop/web: none of its endpoints is ready"},
		{"without a slice", service(books, web), "shop/web: none of its endpoints is ready"},
		{"two slices, one endpoint in both", service(books, web) + ready + slice("IPv4", web80, "{addresses: [10.0.0.2]}"),
			"shop/web: http books[] at 10.0.0.1:8080 10.0.0.2:8080"},
		{"the first family of two", service(books, web+", ipFamilies: [IPv6, IPv4]") + ready +
			slice("IPv6", web80, "{addresses: ['fd00::1']}"), "shop/web: http books[] at [fd00::1]:8080"},
		{"which of two ports", service(books, twoWeb) + ready, "shop/web: catalyst.port: " +
			"the Service has the TCP ports 80, 81: " +
			"say which one is offered\nunclear: shop/web"},
		{"one of two ports", service(books+", catalyst.port: '80'", twoWeb) + ready,
			"shop/web: http books[] at 10.0.0.1:8080 10.0.0.2:8080"},
		{"a port that is not there", service(books+", catalyst.port: '53'", twoWeb) + ready,
			"shop/web: catalyst.port: the Service has no TCP port 53\nunclear: shop/web"},
		{"no port", service(books, "ports: [{port: 53, protocol: UDP}]") + ready,
			"shop/web: catalyst.port: the Service has no TCP port\nunclear: shop/web"},
		{"a TCP service is dialled at the port of its Service", service(books+", catalyst.protocol: tcp", web) + ready,
			"shop/web: tcp books[port=80] at 10.0.0.1:8080 10.0.0.2:8080"},
		{"or at another", service(books+", catalyst.protocol: tcp, catalyst.service-port: '5432'", web) + ready,
			"shop/web: tcp books[port=5432] at 10.0.0.1:8080 10.0.0.2:8080"},
		{"by appProtocol", service(books, "ports: [{name: web, port: 80, appProtocol: kubernetes.io/h2c}]") + ready,
			"shop/web: http2 books[] at 10.0.0.1:8080 10.0.0.2:8080"},
		{"an appProtocol that says nothing", service(books, "ports: [{name: web, port: 80, appProtocol: redis}]") + ready,
			"shop/web: catalyst.protocol: say which protocol it is: the port's appProtocol redis is not one that Catalyst " +
				"knows\nunclear: shop/web"},
		{"a mistake", service(books+", catalyst.prot: tcp", web) + ready,
			"shop/web: catalyst.prot: there is no such label; did you mean catalyst.port?\nunclear: shop/web"},
		{"for containers", service(books+", catalyst.network: back", web) + ready, "shop/web: catalyst.network and " +
			"catalyst.address are for containers: a Service is reached at its endpoints\nunclear: shop/web"},
		{"of Catalyst itself", "metadata: {namespace: shop, name: web, annotations: {catalyst.service: books}, " +
			"labels: {app.kubernetes.io/managed-by: catalyst}}\n---\n" + ready, "shop/web: catalyst.service: it was made by " +
			"Catalyst for a service of another site, which is not offered again\nunclear: shop/web"},
		{"a name", service("catalyst.service: Bücher", web) + ready,
			"shop/web: http Bücher[] at 10.0.0.1:8080 10.0.0.2:8080"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := words(services(objects(t, c.in))); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

// Of two Services that want one name the older one stands first, and so has it.
func TestTheOlderServiceIsFirst(t *testing.T) {
	of := func(name, created string) string {
		meta := "name: " + name + ", creationTimestamp: '" + created + "', ann"
		return strings.Replace(service(books, web), "name: web, ann", meta, 1) +
			strings.Replace(slice("IPv4", web80, "{addresses: [10.0.0.1]}"), "service-name: web", "service-name: "+name, 1)
	}
	set := services(objects(t, of("a", "2026-11-30T10:00:01Z")+of("b", "2026-11-30T10:00:00Z")))
	if len(set.Items) != 2 || set.Items[0].In != "shop/b" {
		t.Error(words(set))
	}
}

// A service has a bounded number of workloads: it is offered with as many, and the operator is told.
func TestManyEndpoints(t *testing.T) {
	var all []string
	for i := range maxReplicas + 2 {
		all = append(all, fmt.Sprintf("{addresses: [10.0.1.%d]}", i+1))
	}
	set := services(objects(t, service(books, web)+slice("IPv4", web80, strings.Join(all, ", "))))
	if len(set.Items) != 1 || len(set.Items[0].Order.Addresses) != maxReplicas || len(set.Problems) != 1 ||
		len(set.Unclear) != 0 || !strings.Contains(set.Problems[0].Why, "64 of its 66 ready endpoints") {
		t.Error(words(set))
	}
}

// What is kept of an object is what is looked at: a cluster has many, and most are nobody's here.
func TestWhatIsKept(t *testing.T) {
	all, slicesOf := objects(t, service("other: x, "+books, web)+service("other: x", web)+slice("IPv4", web80, ""))
	if s, ok := annotated(*all[0]); !ok || len(s.Annotations) != 1 {
		t.Errorf("%v, %v", ok, s.Annotations)
	}
	if _, ok := annotated(*all[1]); ok {
		t.Error("a Service without the annotation is kept")
	}
	if _, ok := bare(*slicesOf[0]); !ok {
		t.Error("an EndpointSlice is not kept")
	}
	slicesOf[0].Labels[cluster.ManagedByLabel] = cluster.Manager
	if _, ok := bare(*slicesOf[0]); ok {
		t.Error("an EndpointSlice of ours is kept")
	}
}

// A problem is told once as an Event, however often it is seen, and again once it was none for a while; what is only of
// a moment is not told.
func TestEventsOfProblems(t *testing.T) {
	all, _ := objects(t, service(books, web))
	e := newEvents(nil, nil)
	problem := []discover.Problem{{In: "shop/web", Why: "no such label"}}
	told := func() (n int) {
		for _, ok := e.next(); ok; _, ok = e.next() {
			n++
		}
		return n
	}
	for i, c := range []struct {
		problems []discover.Problem
		want     int
	}{
		{problem, 1}, {problem, 0}, {nil, 0}, {problem, 1},
		{[]discover.Problem{{In: "shop/web", Why: errNone.Error()}}, 0},
		{[]discover.Problem{{In: "shop/gone", Why: "no such label"}}, 0},
	} {
		if e.tell(c.problems, all); told() != c.want {
			t.Errorf("%d: want %d", i, c.want)
		}
	}
	if a, b := eventOf(all[0], "x"), eventOf(all[0], "x"); a.Name != b.Name || a.Name == eventOf(all[0], "y").Name {
		t.Error("the name of an Event does not follow from its problem")
	}
}
