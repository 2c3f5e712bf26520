package kubernetes

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"strconv"
	"strings"

	"github.com/catalyst-router/catalyst/bgp"
	"github.com/catalyst-router/catalyst/cmd/internal/cluster"
	"github.com/catalyst-router/catalyst/cmd/internal/discover"
	"github.com/catalyst-router/catalyst/cmd/internal/discover/labels"
	"github.com/catalyst-router/catalyst/graphql/operator"
)

// The annotations of a Service: with the first one it is offered.
const (
	Prefix     = "catalyst."
	Annotation = Prefix + "service"
)

const maxReplicas = 64 // workloads that a service may have

// errNone is why a Service without ready endpoints is not offered.
var errNone = errors.New("none of its endpoints is ready")

// services makes services of Services with an annotation, and of EndpointSlices. It is a function of its arguments.
func services(all []*cluster.Service, slicesOf []*cluster.EndpointSlice) discover.Set {
	var set discover.Set
	byService := map[string][]*cluster.EndpointSlice{}
	for _, s := range slicesOf {
		key := s.Namespace + "/" + s.Labels[cluster.ServiceNameLabel]
		byService[key] = append(byService[key], s)
	}
	all = slices.SortedFunc(slices.Values(all), func(a, b *cluster.Service) int {
		return cmp.Or(a.CreationTimestamp.Compare(b.CreationTimestamp.Time), cmp.Compare(where(a), where(b)))
	})
	for _, s := range all {
		in := where(s)
		order, more, err := read(s, byService[in])
		switch {
		case errors.Is(err, errNone):
			set.Problems = append(set.Problems, discover.Problem{In: in, Why: err.Error()})
		case err != nil: // what is offered stays as it was until the annotation is right
			set.Problems = append(set.Problems, discover.Problem{In: in, Why: err.Error()})
			set.Unclear = append(set.Unclear, in)
		default:
			set.Items = append(set.Items, discover.Item{In: in, Order: order})
			if more != "" {
				set.Problems = append(set.Problems, discover.Problem{In: in, Why: more})
			}
		}
	}
	return set
}

func where(s *cluster.Service) string { return s.Namespace + "/" + s.Name }

// read reads a Service. more is what cannot be offered of it although the rest can; "" for nothing.
func read(s *cluster.Service, its []*cluster.EndpointSlice) (order operator.ServiceInput, more string, err error) {
	if s.Labels[cluster.PartByLabel] == cluster.Manager {
		return order, "", fmt.Errorf("%s: it was made by Catalyst for a service of another site, which is not offered again",
			Annotation)
	}
	o, err := labels.Read(s.Annotations, Prefix)
	if err != nil {
		return order, "", err
	}
	if o.Network != "" || o.Published {
		return order, "", fmt.Errorf("%snetwork and %saddress are for containers: a Service is reached at its endpoints",
			Prefix, Prefix)
	}
	port, err := portOf(s, o.Port)
	if err != nil {
		return order, "", err
	}
	order = o.Service
	if order.Protocol == "" {
		if order.Protocol, err = protocolOf(port); err != nil {
			return order, "", err
		}
	}
	if order.Protocol == bgp.TCP.String() && !slices.ContainsFunc(order.Tags, bgp.IsServicePortTag) {
		order.Tags = append(order.Tags, bgp.ServicePortTag(uint16(port.Port))) //nolint:gosec // Kubernetes has checked it
	}
	order.Addresses = addresses(s, port, its)
	if len(order.Addresses) == 0 {
		return order, "", errNone
	}
	if n := len(order.Addresses); n > maxReplicas {
		order.Addresses = order.Addresses[:maxReplicas]
		more = fmt.Sprintf("%d of its %d ready endpoints are used, as many as a service may have at a node", maxReplicas, n)
	}
	return order, more, nil
}

// portOf is the port of the annotation, or the only TCP port of the Service.
func portOf(s *cluster.Service, wanted uint16) (*cluster.ServicePort, error) {
	var all []*cluster.ServicePort
	var numbers []string
	for i := range s.Spec.Ports {
		p := &s.Spec.Ports[i]
		if p.Protocol != "TCP" && p.Protocol != "" || wanted != 0 && p.Port != int32(wanted) {
			continue
		}
		all = append(all, p)
		numbers = append(numbers, strconv.Itoa(int(p.Port)))
	}
	switch {
	case len(all) == 1:
		return all[0], nil
	case wanted != 0:
		return nil, fmt.Errorf("%sport: the Service has no TCP port %d", Prefix, wanted)
	case len(all) == 0:
		return nil, fmt.Errorf("%sport: the Service has no TCP port", Prefix)
	}
	return nil, fmt.Errorf("%sport: the Service has the TCP ports %s: say which one is offered", Prefix,
		strings.Join(numbers, ", "))
}

// protocolOf is what a port says of its protocol (appProtocol); http where it says nothing.
func protocolOf(p *cluster.ServicePort) (string, error) {
	switch strings.ToLower(p.AppProtocol) {
	case "", "http", "kubernetes.io/ws":
		return bgp.HTTP.String(), nil
	case "kubernetes.io/h2c":
		return bgp.HTTP2.String(), nil
	case "grpc":
		return bgp.GRPC.String(), nil
	case "tcp":
		return bgp.TCP.String(), nil
	}
	return "", fmt.Errorf("%sprotocol: say which protocol it is: the port's appProtocol %s is not one that Catalyst knows",
		Prefix, p.AppProtocol)
}

// addresses are those of the ready endpoints, sorted. Of a Service with addresses of both families those of its first
// one count: both are of the same Pods.
func addresses(s *cluster.Service, port *cluster.ServicePort, its []*cluster.EndpointSlice) []string {
	found := map[string]bool{}
	for _, slice := range its {
		if families := s.Spec.IPFamilies; len(families) > 0 && slice.AddressType != families[0] {
			continue
		}
		i := slices.IndexFunc(slice.Ports, func(p cluster.EndpointPort) bool {
			return p.Name == port.Name && p.Port != nil && (p.Protocol == "TCP" || p.Protocol == "")
		})
		if i < 0 {
			continue
		}
		number := strconv.Itoa(int(*slice.Ports[i].Port))
		for j := range slice.Endpoints {
			e := &slice.Endpoints[j]
			if e.Ready() && len(e.Addresses) > 0 { // the first one counts, as for kube-proxy
				found[net.JoinHostPort(e.Addresses[0], number)] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(found))
}
