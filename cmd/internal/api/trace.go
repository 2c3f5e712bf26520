package api

import (
	"context"
	"time"

	"github.com/catalyst-router/catalyst/cmd/internal/trace"
	"github.com/catalyst-router/catalyst/graphql/operator"
)

// Trace implements operator.Backend.
func (a *API) Trace(ctx context.Context, service string) (*operator.Trace, error) {
	svc, err := a.service(service)
	if err != nil {
		return nil, err
	}
	began := time.Now()
	hops, err := a.cfg.Tracer.Begin(ctx, svc)
	if err != nil {
		return nil, err
	}
	out := &operator.Trace{
		Service:  string(svc),
		Hops:     []operator.TraceHop{},
		Complete: trace.Complete(hops),
		Millis:   millis(time.Since(began)),
	}
	for _, h := range hops {
		hop := operator.TraceHop{Node: h.Node.String(), Note: h.Note, Steps: []operator.TraceStep{}}
		for _, s := range h.Steps {
			hop.Steps = append(hop.Steps, operator.TraceStep{
				Name:   s.Name,
				State:  s.State.String(),
				Text:   s.Text,
				Advice: s.Advice,
				Millis: millis(s.Took),
			})
		}
		out.Hops = append(out.Hops, hop)
	}
	if broken := trace.Broken(hops); broken != nil {
		out.Broken = &operator.TraceBroken{
			Node:   broken.Node.String(),
			Step:   broken.Step.Name,
			Text:   broken.Step.Text,
			Advice: broken.Step.Advice,
		}
	}
	out.Ok = out.Broken == nil
	return out, nil
}

// millis is a duration in milliseconds, to the microsecond.
func millis(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
