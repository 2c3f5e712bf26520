package federation

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/catalyst-router/catalyst/bgp"
	"github.com/catalyst-router/catalyst/bgp/filter"
)

// Limits of terms.
const (
	MaxPatterns  = 100
	MaxMaxRoutes = 1_000_000
)

// Terms are what one side has with another organisation.
type Terms struct {
	// Take are the names that are taken of the other side: a service, or *.NAME for all below NAME. Empty takes none.
	Take []string `json:"take,omitempty"`
	// Offer are the names that it is offered, likewise. Empty offers none.
	Offer []string `json:"offer,omitempty"`
	// Aggregate are patterns of what is offered, *.NAME, that it is told of in the place of all that is below them.
	Aggregate []string `json:"aggregate,omitempty"`
	// Role is what the other organisation is to this one (RFC 9234): customer, provider, peer, or "" for none.
	Role string `json:"role,omitempty"`
	// MaxRoutes is the most routes that are taken of it; 0 for the default.
	MaxRoutes int `json:"maxRoutes,omitempty"`
	// Tokens are the services, likewise, for which tokens of the other organisation's issuer are believed here. Empty
	// believes them for none.
	Tokens []string `json:"tokens,omitempty"`
}

// roles are what another organisation may be to this one, with what this one is to it then.
//
//nolint:gochecknoglobals // a constant table
var roles = map[string]string{"": "", "customer": "provider", "provider": "customer", "peer": "peer"}

// Opposite is what we are to an organisation that is role to us.
func Opposite(role string) string { return roles[role] }

// Check returns what is wrong with terms, naming the fields.
func (t *Terms) Check() error {
	var errs []error
	for _, list := range t.lists() {
		names := *list.names
		if len(names) > MaxPatterns {
			errs = append(errs, fmt.Errorf("%s: %d names: want at most %d", list.field, len(names), MaxPatterns))
		}
		for _, p := range names[:min(len(names), MaxPatterns)] {
			errs = append(errs, checkPattern(list.field, p))
		}
	}
	errs = append(errs, t.checkAggregates())
	if _, known := roles[t.Role]; !known {
		errs = append(errs, fmt.Errorf("role: %q: want customer, provider or peer", bgp.Printable(t.Role)))
	}
	if t.MaxRoutes < 0 || t.MaxRoutes > MaxMaxRoutes {
		errs = append(errs, fmt.Errorf("maxRoutes: %d: want 1 to %d, or 0 for the default", t.MaxRoutes, MaxMaxRoutes))
	}
	return errors.Join(errs...)
}

// checkAggregates wants patterns that are offered as a whole: a peer that is told of one may call all below it.
func (t *Terms) checkAggregates() error {
	var errs []error
	for _, p := range t.Aggregate[:min(len(t.Aggregate), MaxPatterns)] {
		offered := slices.ContainsFunc(t.Offer, func(o string) bool { return filter.Covers(o, bgp.Service(p)) })
		switch err := filter.CheckAggregate(p); {
		case err != nil:
			errs = append(errs, err)
		case !offered:
			errs = append(errs, fmt.Errorf("aggregate: %q is not offered: offer it, or a pattern that it is below",
				bgp.Printable(p)))
		}
	}
	return errors.Join(errs...)
}

// checkPattern takes a service's full name, or *.NAME.
func checkPattern(field, p string) error {
	if p != strings.ToLower(p) {
		return fmt.Errorf("%s: %q: want lower case", field, bgp.Printable(p))
	}
	if below, ok := strings.CutPrefix(p, "*."); ok {
		if _, err := bgp.ParseOrg(below); err != nil {
			return fmt.Errorf("%s: %q: %w", field, bgp.Printable(p), err)
		}
		return nil
	}
	if _, err := bgp.ParseService(p, ""); err != nil {
		return fmt.Errorf("%s: %w", field, err)
	}
	return nil
}

// list is one of the lists of names that terms consist of.
type list struct {
	field string
	names *[]string
}

// lists are all lists of names that there are: whatever holds for each of them goes through here.
func (t *Terms) lists() []list {
	return []list{{"take", &t.Take}, {"offer", &t.Offer}, {"tokens", &t.Tokens}, {"aggregate", &t.Aggregate}}
}

// Map returns terms with each name of each list replaced by what full returns for it.
func (t Terms) Map(full func(name string) string) Terms {
	for _, l := range t.lists() {
		names := slices.Clone(*l.names)
		for i := range names {
			names[i] = full(names[i])
		}
		*l.names = names
	}
	return t
}

// Clean returns terms with their lists sorted and without doubles, so that the same terms are the same record.
func (t Terms) Clean() Terms {
	for _, l := range t.lists() {
		names := slices.Clone(*l.names)
		slices.Sort(names)
		*l.names = slices.Compact(names)
	}
	return t
}

// equal compares terms that are clean.
func equal(x, y Terms) bool {
	theirs := y.lists()
	for i, l := range x.lists() {
		if !slices.Equal(*l.names, *theirs[i].names) {
			return false
		}
	}
	return x.Role == y.Role && x.MaxRoutes == y.MaxRoutes
}
