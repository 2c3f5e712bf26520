package filter

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/catalyst-router/catalyst/bgp"
)

// MaxAggregates is the most aggregates of a chain.
const MaxAggregates = 100

// checkAggregates reports what is wrong with the aggregates.
func (c *Chain) checkAggregates() error {
	var errs []error
	if len(c.Aggregates) > MaxAggregates {
		errs = append(errs, fmt.Errorf("aggregates: %d patterns: the limit is %d", len(c.Aggregates), MaxAggregates))
	}
	for i, p := range c.Aggregates {
		errs = append(errs, CheckAggregate(p))
		if slices.Contains(c.Aggregates[:i], p) {
			errs = append(errs, fmt.Errorf("aggregates: %q stands there twice", p))
		}
	}
	return errors.Join(errs...)
}

// CheckAggregate tells what is wrong with a pattern that is to stand for all names below it; nil if nothing is.
func CheckAggregate(p string) error {
	if !strings.HasPrefix(p, "*.") {
		return fmt.Errorf("aggregates: %q: want *. and a name, such as *.eu.acme.example", bgp.Printable(p))
	}
	if err := bgp.Service(p).Check(); err != nil {
		return fmt.Errorf("aggregates: %q: %w", bgp.Printable(p), err)
	}
	return nil
}

// Aggregate is the closest of the aggregates that a service is below; "" if it is below none, or an aggregate itself.
func (c *Chain) Aggregate(svc bgp.Service) (closest string) {
	if c == nil {
		return ""
	}
	for _, p := range c.Aggregates {
		if len(p) > len(closest) && p != string(svc) && Covers(p, svc) {
			closest = p
		}
	}
	if slices.Contains(c.Aggregates, string(svc)) {
		return ""
	}
	return closest
}
