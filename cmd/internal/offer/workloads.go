package offer

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"github.com/catalyst-router/catalyst/bgp"
	"github.com/catalyst-router/catalyst/bgp/journal"
	"github.com/catalyst-router/catalyst/cmd/internal/offer/probe"
)

// Workload is one of those that share a service's traffic, as it is reached now. The node's checks, its traces and
// its Envoy all go by it.
type Workload struct {
	Ordered string // HOST:PORT, as the operator ordered it
	// Address is IP:PORT; "" where the host has no address. Other is the same workload in the other family, tried when
	// Address does not answer; "" for none.
	Address, Other string
	Status         probe.Status // nothing is known where it is not checked
	// Trouble is what the last lookup of the host complained of, "" for nothing; Until is how long the last addresses
	// are used all the same.
	Trouble     string
	Lost, Until time.Time
}

// Addresses returns where a service's workloads are, as the operator ordered it.
func Addresses(s *journal.Service) []string { return append([]string{s.Address}, s.Others...) }

// hosts are the names among a service's addresses.
func hosts(s *journal.Service) []string {
	var all []string
	for _, text := range Addresses(s) {
		if at, err := bgp.ParseEndpoint(text); err == nil {
			if _, isIP := at.IP(); !isIP {
				all = append(all, at.Host)
			}
		}
	}
	return all
}

// Workloads returns the workloads of a service of this node, in the order in which they were ordered and their hosts'
// addresses come.
func (o *Offer) Workloads(svc bgp.Service) []Workload {
	s, ok := o.Get(svc)
	if !ok {
		return nil
	}
	all := o.workloads(&s)
	for i := range all {
		if st, checked := o.probes.Of(svc, all[i].Address); checked {
			all[i].Status = st
		}
	}
	return all
}

// KeepAlive is the shortest time for which one of some workloads says that it keeps a connection without a request; 0
// if none says.
func KeepAlive(all []Workload) time.Duration {
	var least time.Duration
	for _, w := range all {
		if said := w.Status.KeepAlive; said > 0 && (least == 0 || said < least) {
			least = said
		}
	}
	return least
}

func (o *Offer) workloads(s *journal.Service) (all []Workload) {
	for _, text := range Addresses(s) {
		at, err := bgp.ParseEndpoint(text)
		if err != nil { // it was checked when it was ordered
			all = append(all, Workload{Ordered: text, Trouble: err.Error()})
			continue
		}
		if _, isIP := at.IP(); isIP {
			all = append(all, Workload{Ordered: text, Address: text})
			continue
		}
		st := o.names.State(at.Host)
		pairs := pair(st.Addresses, at.Port)
		if len(pairs) == 0 {
			pairs = []Workload{{}}
		}
		for _, w := range pairs {
			w.Ordered, w.Trouble, w.Lost, w.Until = text, st.Error, st.Lost, st.Until
			all = append(all, w)
		}
	}
	return all
}

// pair makes workloads of a host's addresses, which have IPv4 first. Those of one family are replicas; the nth of the
// other family is another way to the nth, so localhost with 127.0.0.1 and ::1 is one workload and not two.
func pair(addresses []netip.Addr, port uint16) []Workload {
	split := 0
	for split < len(addresses) && addresses[split].Is4() {
		split++
	}
	first, second := addresses[:split], addresses[split:]
	if len(second) > len(first) {
		first, second = second, first
	}
	var all []Workload
	for i, a := range first {
		w := Workload{Address: netip.AddrPortFrom(a, port).String()}
		if i < len(second) {
			w.Other = netip.AddrPortFrom(second[i], port).String()
		}
		all = append(all, w)
	}
	return all
}

// unreachable tells whether none of a service's workloads has an address, and why.
func (o *Offer) unreachable(s *journal.Service) (probe.Status, bool) {
	st := probe.Status{Health: bgp.HealthDown}
	for _, w := range o.workloads(s) {
		if w.Address != "" || w.Trouble == "" { // or was not looked up yet
			return probe.Status{}, false
		}
		if st.Since = w.Lost; st.Error == "" {
			st.Error = fmt.Sprintf("%s: %s", w.Ordered, w.Trouble)
		}
	}
	return st, true
}

// Stale says which hosts of a service have lost their addresses and since when, and until when the last ones are
// used; "" for none.
func (o *Offer) Stale(svc bgp.Service) string {
	for _, w := range o.Workloads(svc) {
		switch {
		case w.Trouble == "":
		case w.Address == "":
			return fmt.Sprintf("%s: %s since %s", w.Ordered, w.Trouble, w.Lost.UTC().Format(time.RFC3339))
		default:
			return fmt.Sprintf("%s: %s since %s; its last address %s is used until %s",
				w.Ordered, w.Trouble, w.Lost.UTC().Format(time.RFC3339), w.Address, w.Until.UTC().Format(time.RFC3339))
		}
	}
	return ""
}

// addressesChanged follows a host's addresses with the checks, the route and the Envoy of a service.
func (o *Offer) addressesChanged(ctx context.Context, svc bgp.Service) {
	if s, ok := o.Get(svc); ok {
		o.check(&s)
		o.healthChanged(ctx, svc)
		o.tell(ctx, svc)
	}
}
