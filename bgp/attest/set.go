package attest

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/catalyst-router/catalyst/bgp"
)

// Limits of a set. They are enforced before anything is allocated for it.
const (
	MaxChunk    = 128 << 10            // bytes of a chunk
	MaxChunks   = 256                  // of a set: 32 MiB
	MaxManifest = 32 << 10             // bytes of a signed manifest
	MaxLife     = 398 * 24 * time.Hour // from NotBefore to NotAfter
	MaxList     = 64                   // origins, and carriers, of one entry
)

// Anyone stands for every organisation among carriers.
const Anyone = "*"

// Set is the list of all that an organisation offers to others. A name that no entry covers may not be announced.
type Set struct {
	Org bgp.Org
	// Serial is higher than that of every set before; a lower or equal one is refused. Never 0.
	Serial uint64
	// NotBefore and NotAfter bound the time in which the set counts, in whole seconds.
	NotBefore, NotAfter time.Time
	Entries             []Entry
}

// Entry says who may announce the names of a pattern, and how.
type Entry struct {
	Names     string         // a service, or "*.NAME" for all below NAME; below the set's organisation
	Protocols []bgp.Protocol // none for any
	// Origins are the nodes of the organisation, by name, that announce it to others; none for any.
	Origins []string
	// Carriers are the organisations that may carry it on to others, or Anyone; none for nobody: then only the
	// organisation's own neighbours may use it.
	Carriers []string
	// Neighbours are the organisations that the origin's own borders tell of it: it may arrive through them and through
	// nobody else. None for any.
	Neighbours []string
}

// Check reports every problem of a set at once; each names the field.
func (s *Set) Check() error {
	var errs []error
	if org, err := bgp.ParseOrg(string(s.Org)); err != nil || org != s.Org {
		errs = append(errs, fmt.Errorf("org: %q: want a domain name in lower case", s.Org))
	}
	if s.Serial == 0 {
		errs = append(errs, errors.New("serial: want at least 1"))
	}
	if life := s.NotAfter.Sub(s.NotBefore); life <= 0 || life > MaxLife {
		errs = append(errs, fmt.Errorf("notAfter: %s after notBefore: want more than 0 and at most %s", life, MaxLife))
	}
	alike := map[string]int{}
	for i := range s.Entries {
		key, _ := place(s.Entries[i].Names)
		if alike[key]++; alike[key] == maxAlike+1 {
			errs = append(errs, fmt.Errorf("entries[%d] (%s): %w", i, s.Entries[i].Names, errAlike))
		}
		if err := s.Entries[i].check(s.Org); err != nil {
			errs = append(errs, fmt.Errorf("entries[%d] (%s): %w", i, s.Entries[i].Names, err))
			if len(errs) > 20 {
				break
			}
		}
	}
	return errors.Join(errs...)
}

func (e *Entry) check(org bgp.Org) error {
	if err := checkNames(e.Names, org); err != nil {
		return err
	}
	return e.checkRules()
}

func checkNames(names string, org bgp.Org) error {
	if below, _ := strings.CutPrefix(names, "*."); below != string(org) {
		if err := bgp.Service(names).Check(); err != nil {
			return fmt.Errorf("names: %w", err)
		}
	}
	if !bgp.Service(names).Below(org) {
		return fmt.Errorf("names: do not lie below %s", org)
	}
	return nil
}

func (e *Entry) checkRules() error {
	if len(e.Protocols) > int(bgp.GraphQL) || len(e.Origins) > MaxList || len(e.Carriers) > MaxList ||
		len(e.Neighbours) > MaxList {
		return fmt.Errorf("a list is too long: at most %d protocols, and %d origins, carriers and neighbours", bgp.GraphQL,
			MaxList)
	}
	for _, p := range e.Protocols {
		if !p.Valid() {
			return fmt.Errorf("protocols: %s is none", p)
		}
	}
	for _, o := range e.Origins {
		if err := bgp.CheckName(o); err != nil {
			return fmt.Errorf("origins: %q %w", o, err)
		}
	}
	for _, c := range e.Carriers {
		if org, err := bgp.ParseOrg(c); c != Anyone && (err != nil || string(org) != c) {
			return fmt.Errorf("carriers: %q: want an organisation in lower case, or %s", c, Anyone)
		}
	}
	for _, n := range e.Neighbours {
		if org, err := bgp.ParseOrg(n); err != nil || string(org) != n {
			return fmt.Errorf("neighbours: %q: want an organisation in lower case", n)
		}
	}
	return nil
}

// Route is what a set is asked about.
type Route struct {
	Service  bgp.Service
	Protocol bgp.Protocol
	Origin   bgp.NodeID // who announces it to others, as the node path says
	// Via are the organisations between the origin's and the one that asks, in any order.
	Via []bgp.Org
	// First is the organisation that the origin's told: the last of the path before it, or the one that asks.
	First bgp.Org
}

// allows returns what of a route an entry does not allow, as the entry's fields are called; "" if it allows all.
func (e *Entry) allows(r *Route) string {
	switch {
	case len(e.Protocols) > 0 && !slices.Contains(e.Protocols, r.Protocol):
		return "protocol"
	case len(e.Origins) > 0 && !slices.Contains(e.Origins, r.Origin.Name):
		return "origin"
	case len(e.Neighbours) > 0 && !slices.Contains(e.Neighbours, string(r.First)):
		return "neighbour"
	case slices.Contains(e.Carriers, Anyone):
		return ""
	}
	for _, org := range r.Via {
		if !slices.Contains(e.Carriers, string(org)) {
			return "carrier"
		}
	}
	return ""
}

// why says in words what a field of an entry does not allow of a route.
func why(field string, r *Route) string {
	switch field {
	case "protocol":
		return fmt.Sprintf("%s is not attested for protocol %s", r.Service, r.Protocol)
	case "origin":
		return fmt.Sprintf("%s may not announce %s", r.Origin, r.Service)
	case "neighbour":
		return fmt.Sprintf("%s tells others of %s, and not %s (neighbours)", r.Origin.Org, r.Service, r.First)
	case "carrier":
		via := make([]string, 0, len(r.Via))
		for _, o := range r.Via {
			via = append(via, string(o))
		}
		return fmt.Sprintf("%s does not let %s carry %s on", r.Origin.Org, strings.Join(via, ", "), r.Service)
	}
	return fmt.Sprintf("%s does not attest %s", r.Origin.Org, r.Service)
}

// sortEntries brings entries into the order in which they are signed: by names, then in the order given.
func sortEntries(entries []Entry) []Entry {
	out := slices.Clone(entries)
	slices.SortStableFunc(out, func(a, b Entry) int { return cmp.Compare(a.Names, b.Names) })
	return out
}
