package nameserver

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/miekg/dns"

	"github.com/catalyst-router/catalyst/bgp"
)

const (
	// wakePatience is how long a question waits for an Envoy to listen for what it names: less than resolvers wait.
	wakePatience = 3 * time.Second
	// maxWaking is how many questions wait at a time; one more is told to ask again.
	maxWaking = 256
)

// Demand has Envoys given the services that are asked for. ondemand.Room is one.
type Demand interface {
	// Used tells whether the node's Envoys are given a service.
	Used(svc bgp.Service) bool
	// Use has them given it, and returns once they have taken it.
	Use(ctx context.Context, svc bgp.Service) error
}

// unused tells whether a TCP service has no listener because nobody has asked for it.
func (s *Server) unused(svc bgp.Service) bool { return s.cfg.Demand != nil && !s.cfg.Demand.Used(svc) }

// wake has the TCP service that a question names listened for, if Envoys have none because nobody asked for it, and
// tells whether the question is to be answered anew.
func (s *Server) wake(ctx context.Context, req *dns.Msg) bool {
	svc, waits := s.zones.waits(req)
	if !waits || !s.unused(svc) {
		return false
	}
	select {
	case s.waking <- struct{}{}:
	default:
		return false
	}
	defer func() { <-s.waking }()
	ctx, cancel := context.WithTimeout(ctx, wakePatience)
	defer cancel()
	if err := s.cfg.Demand.Use(ctx, svc); err != nil {
		s.cfg.Log.Debug("a name is asked for that no Envoy listens for", "service", string(svc), "error", err)
		return false
	}
	told := make(chan struct{})
	s.await(svc, told, true)
	defer s.await(svc, told, false)
	s.Dialled(svc)
	select {
	case <-told:
		return true
	case <-ctx.Done():
		return false
	}
}

// await has told closed when it is known where a service is dialled, or has it left alone.
func (s *Server) await(svc bgp.Service, told chan struct{}, on bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if on {
		s.awaited[svc] = append(s.awaited[svc], told)
		return
	}
	s.awaited[svc] = slices.DeleteFunc(s.awaited[svc], func(c chan struct{}) bool { return c == told })
	if len(s.awaited[svc]) == 0 {
		delete(s.awaited, svc)
	}
}

// known closes what awaits a service.
func (s *Server) known(svc bgp.Service) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, told := range s.awaited[svc] {
		close(told)
	}
	delete(s.awaited, svc)
}

// waits returns the service whose address a message asks for, if it is not known yet where that is dialled.
func (z *Zones) waits(req *dns.Msg) (bgp.Service, bool) {
	if req.Opcode != dns.OpcodeQuery || len(req.Question) != 1 || req.Question[0].Qclass != dns.ClassINET {
		return "", false
	}
	switch req.Question[0].Qtype {
	case dns.TypeA, dns.TypeAAAA, dns.TypeSRV:
	default:
		return "", false
	}
	name := strings.TrimSuffix(strings.ToLower(req.Question[0].Name), ".")
	base, isSRV := service(name)
	z.mu.RLock()
	defer z.mu.RUnlock()
	n, ok := z.names[base]
	return n.Service, ok && n.State == Waiting && (isSRV || base == name)
}
