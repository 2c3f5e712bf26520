package imported

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/catalyst-router/catalyst/bgp"
	"github.com/catalyst-router/catalyst/cmd/internal/cluster"
	"github.com/catalyst-router/catalyst/cmd/internal/discover"
)

// Most is how many services a cluster has from other nodes at the most: peers decide how many there are.
const Most = 1000

const (
	// Annotation says of a Service which service it stands for.
	Annotation = "catalyst.imported"
	// NodeLabel says of an EndpointSlice which node wrote it.
	NodeLabel = "catalyst.node"

	httpPort = 80 // at which the cluster has HTTP services
	longest  = 63 // characters of a Service's name
)

// Want is a service that the cluster is to have.
type Want struct {
	Service  bgp.Service
	Protocol bgp.Protocol
	// Port is where Envoy takes calls of it, and Dialled at which port applications dial it.
	Port, Dialled uint16
}

// Place is where services are brought, and where their calls go.
type Place struct {
	Namespace string
	Address   netip.Addr // at which Pods reach Envoy
	Node      string     // the name of this node
	// Pod is that in which Envoy runs, and Owner the ConfigMap with which all Services go; nil for none.
	Pod, Owner *metav1.OwnerReference
}

// Has is what the cluster has of Catalyst: the Services, and the EndpointSlices of all nodes.
type Has struct {
	Services []*cluster.Service
	Slices   []*cluster.EndpointSlice
}

// Changes are what has to be written. What is created and updated comes before what is deleted.
type Changes struct {
	Services, NewServices []*cluster.Service
	Slices, NewSlices     []*cluster.EndpointSlice
	GoneServices          []*cluster.Service
	GoneSlices            []*cluster.EndpointSlice
	Problems              []discover.Problem
	// Until is when something has been gone for long enough to be removed; zero for never.
	Until time.Time
	// Offered is how many services the cluster has then.
	Offered int
}

// NameOf returns the name that a service has as a Service: each dot of its name becomes a hyphen, and each hyphen two.
// So no two services have one name, and the name tells the service:
//
//	books.acme.example     books-acme-example
//	orders-db.acme.example orders--db-acme-example
func NameOf(svc bgp.Service) (string, error) {
	name := strings.NewReplacer(".", "-", "-", "--").Replace(string(svc))
	switch {
	case len(name) > longest:
		return "", fmt.Errorf("%s would be its name in the cluster, and is longer than %d characters", name, longest)
	case name[0] < 'a' || name[0] > 'z':
		return "", fmt.Errorf("%s would be its name in the cluster, where names of Services begin with a letter", name)
	}
	return name, nil
}

// Plan says what has to change for the cluster to have what is wanted. gone says since when a Service, by its name, is
// not wanted any more; what it does not say is not wanted since start. What is not wanted is removed once hold is over,
// and what another node still has is left to it. Plan reads no clock and touches nothing.
func Plan(
	now, start time.Time, hold time.Duration, at *Place, want []Want, has Has, gone map[string]time.Time,
) Changes {
	p := planner{at: at, services: map[string]*cluster.Service{}, mine: map[string]*cluster.EndpointSlice{},
		others: map[string]bool{}, wanted: map[string]bool{}}
	for _, s := range has.Services {
		p.services[s.Name] = s
	}
	for _, s := range has.Slices {
		if s.Labels[NodeLabel] == at.Node {
			p.mine[s.Name] = s
		} else {
			p.others[s.Labels[cluster.ServiceNameLabel]] = true
		}
	}
	p.all(want)
	over := func(name string) bool {
		since, ok := gone[name]
		if !ok {
			since = start
		}
		until := since.Add(hold)
		if now.Before(until) && (p.c.Until.IsZero() || until.Before(p.c.Until)) {
			p.c.Until = until
		}
		return !now.Before(until)
	}
	for _, name := range slices.Sorted(maps.Keys(p.mine)) {
		s := p.mine[name]
		if of := s.Labels[cluster.ServiceNameLabel]; (!p.wanted[of] || name != at.sliceName(of)) && over(of) {
			p.c.GoneSlices = append(p.c.GoneSlices, s)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(p.services)) {
		if !p.wanted[name] && !p.others[name] && over(name) {
			p.c.GoneServices = append(p.c.GoneServices, p.services[name])
		}
	}
	return p.c
}

// planner is the state of one Plan.
type planner struct {
	at       *Place
	services map[string]*cluster.Service       // of Catalyst, by name
	mine     map[string]*cluster.EndpointSlice // of this node, by name
	others   map[string]bool                   // Services that other nodes have as well
	wanted   map[string]bool                   // Services
	c        Changes
}

// all puts what is wanted, first what the cluster has already: of too many the others are left out.
func (p *planner) all(want []Want) {
	names := map[bgp.Service]string{}
	for _, w := range want {
		name, err := NameOf(w.Service)
		if err != nil {
			p.problem(w.Service, err.Error())
			continue
		}
		names[w.Service] = name
	}
	want = slices.SortedFunc(slices.Values(want), func(a, b Want) int {
		return cmp.Or(p.rank(names[a.Service])-p.rank(names[b.Service]), cmp.Compare(a.Service, b.Service))
	})
	for i := range want {
		name := names[want[i].Service]
		switch {
		case name == "":
		case len(p.wanted) == Most:
			p.problem(want[i].Service, fmt.Sprintf("the cluster has %d services of other nodes already, and no more are "+
				"brought there: select fewer with kubernetes.import", Most))
		default:
			p.wanted[name] = true
			p.put(name, &want[i])
		}
	}
	p.c.Offered = len(p.wanted)
}

func (p *planner) rank(name string) int {
	if p.services[name] != nil {
		return 0
	}
	return 1
}

func (p *planner) problem(svc bgp.Service, why string) {
	p.c.Problems = append(p.c.Problems, discover.Problem{In: string(svc), Why: why})
}

// put has the cluster have a service.
func (p *planner) put(name string, w *Want) {
	next := p.at.service(name, w)
	switch old := p.services[name]; {
	case old == nil:
		p.c.NewServices = append(p.c.NewServices, next)
	case !sameService(old, next):
		next.UID, next.ResourceVersion = old.UID, old.ResourceVersion
		next.Spec.ClusterIP, next.Spec.IPFamilies = old.Spec.ClusterIP, old.Spec.IPFamilies
		p.c.Services = append(p.c.Services, next)
	}
	slice := p.at.slice(name, w)
	switch old := p.mine[slice.Name]; {
	case old == nil:
		p.c.NewSlices = append(p.c.NewSlices, slice)
	case !sameSlice(old, slice):
		slice.UID, slice.ResourceVersion = old.UID, old.ResourceVersion
		p.c.Slices = append(p.c.Slices, slice)
	}
}

// portName and appProtocol are what the cluster is told of a protocol.
func portName(p bgp.Protocol) (name, appProtocol string) {
	switch p {
	case bgp.TCP:
		return "tcp", ""
	case bgp.HTTP2, bgp.GRPC:
		return "http", "kubernetes.io/h2c"
	}
	return "http", "http"
}

func (at *Place) meta(name string, owner *metav1.OwnerReference) metav1.ObjectMeta {
	m := metav1.ObjectMeta{
		Namespace: at.Namespace, Name: name, Labels: map[string]string{cluster.PartByLabel: cluster.Manager},
	}
	if owner != nil {
		m.OwnerReferences = []metav1.OwnerReference{*owner}
	}
	return m
}

// service is the Service of a service.
func (at *Place) service(name string, w *Want) *cluster.Service {
	s := &cluster.Service{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Service"}, ObjectMeta: at.meta(name, at.Owner),
	}
	s.Annotations = map[string]string{Annotation: string(w.Service)}
	port, app := portName(w.Protocol)
	s.Spec.Type = "ClusterIP"
	s.Spec.Ports = []cluster.ServicePort{{Name: port, Protocol: "TCP", AppProtocol: app, Port: int32(w.Dialled)}}
	return s
}

// sliceName is the name of this node's EndpointSlice of a Service.
func (at *Place) sliceName(name string) string { return name + "-" + at.Node }

// slice is this node's EndpointSlice of a service: Envoy.
func (at *Place) slice(name string, w *Want) *cluster.EndpointSlice {
	s := &cluster.EndpointSlice{
		TypeMeta:   metav1.TypeMeta{APIVersion: "discovery.k8s.io/v1", Kind: "EndpointSlice"},
		ObjectMeta: at.meta(at.sliceName(name), at.Pod),
	}
	s.Labels[cluster.ServiceNameLabel], s.Labels[cluster.ManagedByLabel] = name, cluster.Manager
	s.Labels[NodeLabel] = at.Node
	s.AddressType = "IPv4"
	if at.Address.Is6() {
		s.AddressType = "IPv6"
	}
	port, app := portName(w.Protocol)
	s.Ports = []cluster.EndpointPort{{Name: port, Protocol: "TCP", AppProtocol: app, Port: new(int32(w.Port))}}
	s.Endpoints = []cluster.Endpoint{{
		Addresses: []string{at.Address.String()}, Conditions: cluster.Conditions{Ready: new(true)},
	}}
	return s
}

// sameService tells whether a Service says what it is to say; what others have added to it is theirs.
func sameService(old, next *cluster.Service) bool {
	return old.Annotations[Annotation] == next.Annotations[Annotation] && slices.Equal(old.Spec.Ports, next.Spec.Ports) &&
		len(old.Spec.Selector) == 0 && sameOwner(old.OwnerReferences, next.OwnerReferences)
}

func sameSlice(old, next *cluster.EndpointSlice) bool {
	if len(old.Ports) != 1 || len(old.Endpoints) != 1 || old.Ports[0].Port == nil {
		return false
	}
	a, b := old.Ports[0], next.Ports[0]
	return *a.Port == *b.Port && a.Name == b.Name && a.AppProtocol == b.AppProtocol &&
		old.AddressType == next.AddressType &&
		slices.Equal(old.Endpoints[0].Addresses, next.Endpoints[0].Addresses) && old.Endpoints[0].Ready() &&
		old.Labels[cluster.ServiceNameLabel] == next.Labels[cluster.ServiceNameLabel] &&
		sameOwner(old.OwnerReferences, next.OwnerReferences)
}

func sameOwner(old, next []metav1.OwnerReference) bool {
	return slices.EqualFunc(old, next, func(a, b metav1.OwnerReference) bool { return a.UID == b.UID })
}
