package rib

import (
	"strings"

	"github.com/catalyst-router/catalyst/bgp"
	"github.com/catalyst-router/catalyst/bgp/attr"
	"github.com/catalyst-router/catalyst/bgp/filter"
)

// Trial is what other rules of a peer would make of one route.
type Trial struct {
	Service bgp.Service
	Export  bool // of what the peer is told; otherwise of what it announces
	PathID  uint32
	Was, Is Fate
}

// Fate is what rules make of a route.
type Fate struct {
	Why   string         // why it is not taken or told; "" if it is
	Term  string         // of the rules, that decided; "" for their default
	Attrs bgp.Attributes // as it is taken or told; the zero value if it is not
}

// Try calls yield for each route of a peer that other rules would change, and changes nothing: of up to n services from
// number from on, with the guards of its own. It returns the number to go on from; 0 at the end. The decision is the
// table's own.
func (t *Table) Try(id PeerID, imports, exports *filter.Chain, from uint32, n int, yield func(Trial)) (next uint32) {
	p := t.peers[id]
	was := p.cfg
	other := was
	imports, exports = imports.GuardedAs(was.Import), exports.GuardedAs(was.Export)
	other.Import, other.Export = imports, exports
	defer func() { p.cfg = was }()
	for svc := from; int(svc) < len(t.svcs); svc++ {
		if n == 0 {
			return svc
		}
		n--
		if t.names.counts[svc] == 0 {
			continue
		}
		if !equalChains(was.Import, imports) {
			t.tryImport(p, svc, was, other, yield)
		}
		if !equalChains(was.Export, exports) {
			t.tryExport(p, svc, was, other, yield)
		}
	}
	return 0
}

func (t *Table) tryImport(p *peer, svc uint32, was, other PeerConfig, yield func(Trial)) {
	for i := t.svcs[svc].head; i != none; i = t.paths[i].next {
		x := &t.paths[i]
		if x.peer != p.id || x.raw == none {
			continue
		}
		fate := func(cfg PeerConfig) (Fate, uint32) {
			p.cfg = cfg
			set, why := none, t.vetName(p, t.name(svc), x.raw, t.vet(p, t.attrs.bytes(x.raw), &t.sums[x.raw]))
			f := Fate{}
			if why == Accepted {
				set, why = t.imported(p, svc, x.raw)
				f.Term = t.termOf(p, svc, x.raw)
			}
			if why != Accepted {
				f.Why = why.String()
			}
			return f, set
		}
		t.compareFates(Trial{Service: t.cloned(svc), PathID: x.id}, was, other, fate, yield)
	}
}

func (t *Table) tryExport(p *peer, svc uint32, was, other PeerConfig, yield func(Trial)) {
	if t.svcs[svc].ties == 0 {
		return
	}
	head := t.svcs[svc].head
	fate := func(cfg PeerConfig) (Fate, uint32) {
		p.cfg = cfg
		why, term := t.why(p, head)
		f := Fate{Term: term}
		if why != NotWithheld {
			f.Why = why.String()
			return f, none
		}
		return f, t.exported(p, head)
	}
	t.compareFates(Trial{Service: t.cloned(svc), Export: true}, was, other, fate, yield)
}

// compareFates yields a trial if the two fates differ in more than the words.
func (t *Table) compareFates(x Trial, was, other PeerConfig, fate func(PeerConfig) (Fate, uint32), yield func(Trial)) {
	var before, after uint32
	x.Was, before = fate(was)
	x.Is, after = fate(other)
	if before != after {
		x.Was.Attrs, x.Is.Attrs = t.decoded(before), t.decoded(after)
		yield(x)
	}
	t.releaseSet(before)
	t.releaseSet(after)
	t.attrs.compact()
}

func (t *Table) decoded(set uint32) bgp.Attributes {
	if set == none {
		return bgp.Attributes{}
	}
	a, _ := attr.Parse(t.attrs.bytes(set)) // it passed Check when it came in
	return a
}

func (t *Table) cloned(svc uint32) bgp.Service {
	return bgp.Service(strings.Clone(string(t.name(svc))))
}

// termOf is the term of a peer's import rules that decides for a set.
func (t *Table) termOf(p *peer, svc, set uint32) string {
	if p.cfg.Import == nil {
		return ""
	}
	a, _, ok := t.corrected(p, set, t.corrects(p, set))
	if !ok {
		return ""
	}
	return p.cfg.Import.Apply(t.name(svc), &a, t.importFacts(p, svc, set)).Term
}

// Traced is what each term of a peer's rules makes of one route.
type Traced struct {
	Export  bool
	PathID  uint32
	Steps   []filter.Step
	Verdict filter.Verdict
	Before  string // why the route never came to the rules, or is kept away after them; "" if the rules decide
}

// Trace follows the routes to a service through a peer's rules, or through others given in their place: those that it
// announces through import rules, and the one that it would be told through export rules.
func (t *Table) Trace(id PeerID, name bgp.Service, imports, exports *filter.Chain) []Traced {
	svc := t.names.find([]byte(name))
	if svc == none {
		return nil
	}
	p := t.peers[id]
	was := p.cfg
	defer func() { p.cfg = was }()
	imports, exports = imports.GuardedAs(was.Import), exports.GuardedAs(was.Export)
	p.cfg.Import, p.cfg.Export = imports, exports
	var all []Traced
	for i := t.svcs[svc].head; i != none; i = t.paths[i].next {
		x := &t.paths[i]
		if x.peer != id || x.raw == none {
			continue
		}
		out := Traced{PathID: x.id}
		if why := t.vetName(p, name, x.raw, t.vet(p, t.attrs.bytes(x.raw), &t.sums[x.raw])); why != Accepted {
			out.Before = why.String()
		}
		if a, _, ok := t.corrected(p, x.raw, t.corrects(p, x.raw)); ok && imports != nil {
			out.Steps, out.Verdict = imports.Explain(name, &a, t.importFacts(p, svc, x.raw))
		}
		all = append(all, out)
	}
	if s := &t.svcs[svc]; s.ties > 0 && t.paths[s.head].peer != id {
		all = append(all, t.traceExport(p, s.head, exports))
	}
	return all
}

func (t *Table) traceExport(p *peer, i uint32, exports *filter.Chain) Traced {
	x := &t.paths[i]
	out := Traced{Export: true}
	why, _ := t.why(p, i)
	if why != NotWithheld && why != WithheldFilter {
		out.Before = why.String()
	}
	if exports != nil {
		a := t.decoded(x.attrs)
		from := t.peers[x.peer]
		t.rewrite(p, from, &a, !p.cfg.External && !from.cfg.External && x.peer != Local && t.hub)
		out.Steps, out.Verdict = exports.Explain(t.name(x.svc), &a, t.exportFacts())
	}
	return out
}
