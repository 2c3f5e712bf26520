package daemon

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"github.com/catalyst-router/catalyst/bgp"
	"github.com/catalyst-router/catalyst/bgp/journal"
	"github.com/catalyst-router/catalyst/bgp/speaker"
	"github.com/catalyst-router/catalyst/cmd/internal/probe"
	"github.com/catalyst-router/catalyst/graphql/operator"
)

// firstChecks is how long a node that starts waits for the first results, so that it does not announce as up what was down and is.
const firstChecks = 3 * time.Second

// What happens to a service whose workload is down, as the operator spells it.
const (
	whenDownAnnounce = "announce"
	whenDownWithdraw = "withdraw"
)

// checkOf is how a service is checked.
func checkOf(s *journal.Service) (probe.Check, error) {
	c, err := probe.Parse(s.HealthPath)
	if err != nil {
		return c, fmt.Errorf("health: %w", err)
	}
	c.Interval, c.Timeout, c.Rise, c.Fall = s.HealthInterval, s.HealthTimeout, s.HealthRise, s.HealthFall
	return c, errors.Join(c.Validate(s.Protocol)...)
}

// healthInput takes the fields of a service that say how it is checked.
func healthInput(s *journal.Service, in *operator.ServiceInput) []error {
	s.HealthPath, s.HealthRise, s.HealthFall = in.HealthPath, in.HealthRise, in.HealthFall
	var errs []error
	for _, f := range []struct {
		name, text string
		into       *time.Duration
	}{{"healthInterval", in.HealthInterval, &s.HealthInterval}, {"healthTimeout", in.HealthTimeout, &s.HealthTimeout}} {
		if f.text == "" {
			continue
		}
		d, err := time.ParseDuration(f.text)
		if err != nil || d <= 0 {
			errs = append(errs, fmt.Errorf("%s: %q: want a duration such as 2s or 500ms", f.name, f.text))
		}
		*f.into = d
	}
	switch in.WhenDown {
	case "", whenDownAnnounce:
	case whenDownWithdraw:
		s.WithdrawDown = true
	default:
		errs = append(errs, fmt.Errorf("whenDown: %q: want %s or %s", in.WhenDown, whenDownAnnounce, whenDownWithdraw))
	}
	if len(errs) > 0 {
		return errs
	}
	c, err := checkOf(s)
	s.HealthPath = c.String()
	return []error{err}
}

// check has a service's workload checked from now on, as the operator ordered.
func (d *Daemon) check(s *journal.Service) {
	c, err := checkOf(s)
	if err != nil { // it was checked when it was ordered
		d.tel.Log.Error("service is not checked", "service", string(s.Name), "error", err)
	}
	if err != nil || c.Kind == probe.None {
		d.probes.Remove(s.Name)
		return
	}
	d.probes.Put(probe.Target{Service: s.Name, Protocol: s.Protocol, Address: s.Address, Check: c})
}

// announce tells the router of a service of this node as it is now: announced with its health, or withdrawn where the operator wants that of one that is down,
// or that has not been checked yet.
func (d *Daemon) announce(ctx context.Context, svc bgp.Service, t bgp.Trace) error {
	d.announcing.Lock()
	defer d.announcing.Unlock()
	s, ok := d.fwd.backend(svc)
	if !ok {
		return d.router.Do(ctx, speaker.LocalRemoved{Service: svc, Trace: t})
	}
	a := attributesOf(s)
	st, checked := d.probes.Status(svc)
	if a.Health = st.Health; checked && s.WithdrawDown && a.Health != bgp.HealthUp {
		return d.router.Do(ctx, speaker.LocalRemoved{Service: svc, Trace: t})
	}
	return d.router.Do(ctx, speaker.LocalSet{Service: svc, Attributes: a, Trace: t})
}

// healthChanged follows a workload's health with its route.
func (d *Daemon) healthChanged(ctx context.Context, svc bgp.Service) {
	if err := d.announce(ctx, svc, d.declare(ctx, "route.health", svc)); err != nil && ctx.Err() == nil {
		d.tel.Log.Error("announce a service's health", "service", string(svc), "error", err)
	}
}

// declare begins the trace of a change.
func (d *Daemon) declare(ctx context.Context, span string, svc bgp.Service) bgp.Trace {
	_, s := d.tel.Tracer.Start(ctx, span, trace.WithAttributes(attribute.String("catalyst.service", string(svc)), attribute.String("catalyst.node", d.self.String())))
	defer s.End()
	return bgp.Trace{TraceID: s.SpanContext().TraceID(), SpanID: s.SpanContext().SpanID(), Declared: time.Now().UnixNano()}
}

// restoreServices announces what the operator ordered before, once the first checks are through or have taken too long.
func (d *Daemon) restoreServices(ctx context.Context) error {
	services, err := d.journal.Services(ctx)
	if err != nil {
		return err
	}
	for i := range services {
		d.fwd.setBackend(services[i])
		d.check(&services[i])
	}
	limited, cancel := context.WithTimeout(ctx, firstChecks)
	defer cancel()
	for i := range services {
		d.probes.First(limited, services[i].Name)
		if err := d.announce(ctx, services[i].Name, bgp.Trace{}); err != nil {
			return err
		}
	}
	return nil
}

// showHealth adds to a service what is known of its workload.
func (d *Daemon) showHealth(out *operator.Service) {
	st, _ := d.probes.Status(bgp.Service(out.Service))
	out.Health, out.HealthSince, out.HealthError, out.HealthHeldUntil = st.Health.String(), stamp(st.Since), st.Error, stamp(st.HeldUntil)
}
