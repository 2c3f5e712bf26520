package ads

import (
	"slices"
	"time"

	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"

	"github.com/catalyst-router/catalyst/xds"
)

// answers takes what Envoys say of what they were sent.
type answers struct {
	*books
	quarantine *quarantine
	waits      *waits
}

// answered books an ACK or a NACK.
func (a *answers) answered(st *stream, sub *subscription, req *discovery.DeltaDiscoveryRequest) {
	out := st.outstanding[req.GetResponseNonce()]
	if out == nil {
		return
	}
	delete(st.outstanding, req.GetResponseNonce())
	a.book(st, sub, out, req.GetErrorDetail().GetMessage())
}

// book keeps what an Envoy took of a response, and what it refused with which words; "" if it took all. The caller
// holds mu.
func (a *answers) book(st *stream, sub *subscription, out *response, words string) {
	var guilty, again []*xds.Resource
	if words != "" {
		if guilty, again = blame(words, out.resources); out.whole {
			guilty, again = append(guilty, again...), nil // all of a type in one response: it cannot be sent by halves
		}
	}
	for _, r := range guilty {
		a.quarantine.refuse(st, sub, r, words)
	}
	if len(again) > 0 {
		st.apart(sub, again[0].Type, again, len(guilty) == 0)
	}
	for _, r := range out.resources {
		if !out.overtaken[r.Name] && !slices.Contains(guilty, r) && !slices.Contains(again, r) {
			a.taken(st, sub, r, out.sent)
		}
	}
}

// taken books that an Envoy has a version.
func (a *answers) taken(st *stream, sub *subscription, r *xds.Resource, sent time.Time) {
	ref := refOf(r)
	sub.acked[r.Name] = ack{r.Version, time.Now().UnixNano()}
	a.quarantine.absolve(st.node, versionOf(r))
	st.answeredFor(ref)
	a.stir(ref)
	if a.view.proven(r, true) && a.cfg.Store != nil {
		a.tell(func() { a.cfg.Store.Set(r) })
	}
	if a.cfg.OnAck != nil {
		taken := Acknowledged{
			Node:     st.node,
			Resource: ref,
			Version:  r.Version,
			Service:  r.Service,
			Trace:    r.Trace,
			Took:     time.Since(sent),
		}
		a.tell(func() { a.cfg.OnAck(taken) })
	}
	a.waits.settle(ref)
}
