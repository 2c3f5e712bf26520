package api

import (
	"fmt"
	"time"

	"github.com/catalyst-router/catalyst/bgp"
	"github.com/catalyst-router/catalyst/bgp/journal"
	"github.com/catalyst-router/catalyst/cmd/internal/offer"
	"github.com/catalyst-router/catalyst/graphql/operator"
)

// What happens to a service whose workload is down, as the operator spells it.
const (
	whenDownAnnounce = "announce"
	whenDownWithdraw = "withdraw"
)

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
	c, err := offer.CheckOf(s)
	s.HealthPath = c.String()
	return []error{err}
}

// showHealth adds to a service what is known of its workload.
func (a *API) showHealth(out *operator.Service) {
	st, _ := a.cfg.Offer.Health(bgp.Service(out.Service))
	out.Health, out.HealthSince, out.HealthError, out.HealthHeldUntil = st.Health.String(), stamp(st.Since), st.Error,
		stamp(st.HeldUntil)
	for _, w := range a.cfg.Offer.Workloads(bgp.Service(out.Service)) {
		out.Workloads = append(out.Workloads, operator.Workload{
			Ordered:     w.Ordered,
			Address:     w.Address,
			Other:       w.Other,
			Health:      w.Status.Health.String(),
			HealthSince: stamp(w.Status.Since),
			HealthError: w.Status.Error, Trouble: w.Trouble, LostSince: stamp(w.Lost), KeptUntil: stamp(w.Until),
		})
	}
}
