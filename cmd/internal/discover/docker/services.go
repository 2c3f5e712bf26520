package docker

import (
	"cmp"
	"fmt"
	"maps"
	"net"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/catalyst-router/catalyst/bgp"
	"github.com/catalyst-router/catalyst/cmd/internal/discover"
	"github.com/catalyst-router/catalyst/cmd/internal/discover/labels"
	"github.com/catalyst-router/catalyst/graphql/operator"
)

// Labels.
const (
	Prefix       = "catalyst."
	ServiceLabel = Prefix + "service"
	composeLabel = "com.docker.compose.project"
)

const (
	maxReplicas = 64 // workloads that a service may have
	namesShown  = 3
)

// replica is a container, and what its labels say.
type replica struct {
	name    string
	created int64
	order   operator.ServiceInput // without an address
	address string
}

// services makes services of containers. Those of one name are replicas of it; all have to say the same of it, and the
// oldest is right where they do not. It is a function of its arguments.
func services(all []container) discover.Set {
	var set discover.Set
	byName := map[string][]replica{}
	for i := range all {
		c := &all[i]
		r, err := read(c)
		if err != nil {
			set.Problems = append(set.Problems, discover.Problem{In: c.name(), Why: err.Error()})
			continue
		}
		byName[r.order.Service] = append(byName[r.order.Service], r)
	}
	for _, name := range slices.Sorted(maps.Keys(byName)) {
		add(&set, byName[name])
	}
	slices.SortFunc(set.Problems, func(a, b discover.Problem) int { return cmp.Compare(a.In, b.In) })
	return set
}

// add adds the service of some replicas.
func add(set *discover.Set, all []replica) {
	slices.SortFunc(
		all,
		func(a, b replica) int { return cmp.Or(cmp.Compare(a.created, b.created), cmp.Compare(a.name, b.name)) },
	)
	first := &all[0]
	order := first.order
	var names []string
	for i := range all {
		r := &all[i]
		problem := func(format string, args ...any) {
			set.Problems = append(set.Problems, discover.Problem{In: r.name, Why: fmt.Sprintf(format, args...)})
		}
		switch {
		case !reflect.DeepEqual(r.order, first.order):
			problem("its labels say of %s something else than those of %s: %s; all containers of a service want the same",
				order.Service, first.name, differing(&first.order, &r.order))
		case slices.Contains(order.Addresses, r.address):
			problem("%s is the address of another container of %s", r.address, order.Service)
		case len(order.Addresses) == maxReplicas:
			problem("%s has %d containers already, as many as a service may have at a node", order.Service, maxReplicas)
		default:
			order.Addresses = append(order.Addresses, r.address)
			names = append(names, r.name)
		}
	}
	slices.Sort(order.Addresses)
	slices.Sort(names)
	in := strings.Join(names[:min(namesShown, len(names))], ", ")
	if more := len(names) - namesShown; more > 0 {
		in += fmt.Sprintf(" and %d more", more)
	}
	set.Items = append(set.Items, discover.Item{In: in, Order: order})
}

// differing names the first field in which two orders differ.
func differing(a, b *operator.ServiceInput) string {
	x, y := reflect.ValueOf(a).Elem(), reflect.ValueOf(b).Elem()
	for i := range x.NumField() {
		if !reflect.DeepEqual(x.Field(i).Interface(), y.Field(i).Interface()) {
			name, _, _ := strings.Cut(x.Type().Field(i).Tag.Get("json"), ",")
			return name
		}
	}
	return "nothing"
}

// read reads a container.
func read(c *container) (replica, error) {
	r := replica{name: c.name(), created: c.Created}
	o, err := labels.Read(c.Labels, Prefix)
	if err != nil {
		return r, err
	}
	r.order = o.Service
	if r.order.Protocol == "" {
		r.order.Protocol = bgp.HTTP.String()
	}
	port, err := portOf(c, &o)
	if err != nil {
		return r, err
	}
	if o.Published {
		r.address, err = publishedAt(c, port)
	} else {
		r.address, err = inNetwork(c, &o, port)
	}
	return r, err
}

// portOf is the port of the label, or the only TCP port that the container exposes.
func portOf(c *container, o *labels.Order) (uint16, error) {
	if o.Port > 0 {
		return o.Port, nil
	}
	var all []uint16
	for _, p := range c.Ports {
		if p.Type == "tcp" && !slices.Contains(all, p.PrivatePort) {
			all = append(all, p.PrivatePort)
		}
	}
	if len(all) == 1 {
		return all[0], nil
	}
	return 0, fmt.Errorf("%sport: it exposes %d TCP ports: say at which one the service listens", Prefix, len(all))
}

// publishedAt is where the container's machine publishes a port.
func publishedAt(c *container, port uint16) (string, error) {
	for _, p := range c.Ports {
		if p.Type != "tcp" || p.PrivatePort != port || p.PublicPort == 0 {
			continue
		}
		host := p.IP
		if ip := net.ParseIP(host); ip == nil || ip.IsUnspecified() {
			host = "127.0.0.1"
		}
		return net.JoinHostPort(host, strconv.Itoa(int(p.PublicPort))), nil
	}
	return "", fmt.Errorf("%saddress: port %d is not published: publish it, or leave the label out", Prefix, port)
}

// inNetwork is where a container listens in its network.
func inNetwork(c *container, o *labels.Order, port uint16) (string, error) {
	if c.HostConfig.NetworkMode == "host" {
		return net.JoinHostPort("127.0.0.1", strconv.Itoa(int(port))), nil
	}
	networks := c.NetworkSettings.Networks
	name := o.Network
	if project := c.Labels[composeLabel]; name != "" && project != "" {
		if _, ok := networks[name]; !ok {
			name = project + "_" + name // Compose names networks so
		}
	}
	if name == "" {
		if len(networks) != 1 {
			return "", fmt.Errorf("%snetwork: it is in %d networks (%s): say in which one this node reaches it", Prefix,
				len(networks), strings.Join(slices.Sorted(maps.Keys(networks)), ", "))
		}
		for only := range networks {
			name = only
		}
	}
	at, ok := networks[name]
	host := cmp.Or(at.IPAddress, at.GlobalIPv6Address)
	switch {
	case !ok:
		return "", fmt.Errorf("%snetwork: it is not in the network %s, but in %s", Prefix, o.Network,
			strings.Join(slices.Sorted(maps.Keys(networks)), ", "))
	case host == "":
		return "", fmt.Errorf("%snetwork: it has no address in %s", Prefix, name)
	}
	return net.JoinHostPort(host, strconv.Itoa(int(port))), nil
}
