package operator

import (
	"context"
	"fmt"
	"slices"
	"strings"
)

// Auditor is told of orders once they are carried out or refused.
type Auditor interface {
	Ordered(ctx context.Context, o Order)
}

// Order is an operation that changes something or looks at calls, or one that was refused.
type Order struct {
	Operation string
	Refused   bool
	Err       error // nil if it was carried out

	audited bool
	rights  []right
	given   args
}

// looksAtCalls tells whether an operation shows single calls of others: who looked at them is written down.
func looksAtCalls(operation string) bool {
	return operation == "calls" || operation == "tap" || operation == "callParts"
}

// ordered tells the auditor. What reads is not told of unless it was refused.
func (r *resolver) ordered(ctx context.Context, o Order, err error) {
	if r.auditor == nil || !o.audited && !o.Refused {
		return
	}
	o.Err = err
	r.auditor.Ordered(ctx, o)
}

// Target is what it was done to.
func (o *Order) Target() string {
	var all []string
	for _, n := range o.rights {
		if n.resource.Kind == "AdminPanel" || n.resource.Kind == "Gateway" {
			continue
		}
		if text := n.resource.Kind + " " + n.resource.ID; !slices.Contains(all, text) {
			all = append(all, text)
		}
	}
	const most = 5
	if len(all) > most {
		return fmt.Sprintf("%s and %d more", strings.Join(all[:most], ", "), len(all)-most)
	}
	return strings.Join(all, ", ")
}

// arguments are those that are written down: what is not among them may be secret, or long. The arguments of a right's
// resource are in Target.
var arguments = []string{ //nolint:gochecknoglobals // a table
	"on", "port", "create", "anyway", "number", "note", "text", "organisation", "id", "first",
}

// Arguments says how it was to be done.
func (o *Order) Arguments() string {
	var all []string
	for _, name := range arguments {
		switch v := o.given[name].(type) {
		case string:
			if v != "" {
				all = append(all, fmt.Sprintf("%s=%q", name, v))
			}
		case int, bool:
			all = append(all, fmt.Sprintf("%s=%v", name, v))
		}
	}
	return strings.Join(append(all, o.inputs()...), " ")
}

// inputs says what stands in arguments that are more than a value.
func (o *Order) inputs() (all []string) {
	say := func(name, value string) {
		if value != "" {
			all = append(all, fmt.Sprintf("%s=%q", name, value))
		}
	}
	switch v := o.given["filter"].(type) {
	case CallFilter:
		say("service", v.Service)
		say("from", v.From)
		say("code", v.Code)
		say("outcome", v.Outcome)
	}
	switch v := o.given["input"].(type) {
	case OfferInput:
		say("with", v.With)
	case PeeringInput:
		say("organisation", v.Organisation)
	case ApplyInput:
		all = append(all, fmt.Sprintf("peers=%d services=%d prune=%t dry_run=%t", len(v.Peers), len(v.Services), v.Prune,
			v.DryRun))
	case PolicyInput:
		all = append(all, fmt.Sprintf("policies=%d entities=%d", len(v.Policies), len(v.Entities)))
	}
	return all
}
