package envoy

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/catalyst-router/catalyst/bgp"
)

// PortStore keeps the ports of services over restarts.
type PortStore interface {
	SavePort(svc bgp.Service, port uint16) error
	DeletePort(svc bgp.Service) error
}

// PortPool hands out ports to services. A service keeps its port until it is released, and a released one is the last to be given again.
// It is safe for concurrent use.
type PortPool struct {
	store PortStore

	mu    sync.Mutex
	free  []uint16               // guarded by mu
	taken map[bgp.Service]uint16 // guarded by mu
	size  int
}

// ParsePorts reads the syntax of a pool: a JSON list of ports and of [first, last] pairs, such as [8000, [9000, 9010]].
func ParsePorts(s string) ([]uint16, error) {
	var items []json.RawMessage
	if err := json.Unmarshal([]byte(s), &items); err != nil {
		return nil, fmt.Errorf("port pool %q: want a list such as [8000, [9000, 9010]]", s)
	}
	var ports []uint16
	for _, item := range items {
		var one uint16
		var pair []uint16
		switch {
		case json.Unmarshal(item, &one) == nil && one > 0:
			ports = append(ports, one)
		case json.Unmarshal(item, &pair) == nil && len(pair) == 2 && pair[0] > 0 && pair[0] <= pair[1]:
			for p := int(pair[0]); p <= int(pair[1]); p++ {
				ports = append(ports, uint16(p))
			}
		default:
			return nil, fmt.Errorf("port pool: %s: want a port of 1 to 65535, or [first, last]", item)
		}
	}
	sorted := slices.Sorted(slices.Values(ports))
	if len(slices.Compact(sorted)) != len(ports) {
		return nil, errors.New("port pool: a port stands in it twice")
	}
	return ports, nil
}

// NewPortPool returns a pool of ports, of which some are taken already. A kept port that is no longer in the pool stays with its service.
func NewPortPool(ports []uint16, kept map[bgp.Service]uint16, store PortStore) *PortPool {
	p := &PortPool{store: store, taken: map[bgp.Service]uint16{}, size: len(ports)}
	used := map[uint16]bool{}
	for svc, port := range kept {
		p.taken[svc] = port
		used[port] = true
	}
	for _, port := range ports {
		if !used[port] {
			p.free = append(p.free, port)
		}
	}
	return p
}

// Port implements xds.Ports.
func (p *PortPool) Port(svc bgp.Service) (uint16, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if port, ok := p.taken[svc]; ok {
		return port, nil
	}
	if len(p.free) == 0 {
		return 0, fmt.Errorf("all %d ports of the pool are taken: widen envoy.tcp-ports", p.size)
	}
	port := p.free[0]
	if err := p.store.SavePort(svc, port); err != nil {
		return 0, fmt.Errorf("keep port %d: %w", port, err)
	}
	p.free = p.free[1:]
	p.taken[svc] = port
	return port, nil
}

// Release implements xds.Ports.
func (p *PortPool) Release(svc bgp.Service) {
	p.mu.Lock()
	defer p.mu.Unlock()
	port, ok := p.taken[svc]
	if !ok || p.store.DeletePort(svc) != nil {
		return // it stays taken, which is better than taken twice
	}
	delete(p.taken, svc)
	p.free = append(p.free, port)
}

// Of returns the port of a service; 0 if it has none.
func (p *PortPool) Of(svc bgp.Service) uint16 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.taken[svc]
}

// Taken returns the services that have a port, sorted by name, and how many ports are free.
func (p *PortPool) Taken() (list []PortOf, free int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for svc, port := range p.taken {
		list = append(list, PortOf{svc, port})
	}
	slices.SortFunc(list, func(a, b PortOf) int { return strings.Compare(string(a.Service), string(b.Service)) })
	return list, len(p.free)
}

// PortOf is a service's port.
type PortOf struct {
	Service bgp.Service
	Port    uint16
}
