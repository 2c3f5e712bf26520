package ads

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/catalyst-router/catalyst/bgp"
	"github.com/catalyst-router/catalyst/xds"
)

// A version that an Envoy refuses is in quarantine for that Envoy. It is given the last version that it took in its
// place, or none if it took none; and so it is with whatever needs the refused version: where Envoy refuses a
// cluster, the route that was to lead there stays as it was. A newer version is tried at once, the same one again
// after a while: a port that was taken may be free.
const (
	firstRetry = 30 * time.Second
	lastRetry  = 30 * time.Minute
)

// version is a version of a resource.
type version struct {
	xds.Ref
	version string
}

func versionOf(r *xds.Resource) version { return version{refOf(r), r.Version} }

// refusal is a version in quarantine.
type refusal struct {
	Refused
	pause    time.Duration // until it is tried again
	retryAt  time.Time
	retrying bool
}

// Refused is a resource that an Envoy did not take; what it had before stays.
type Refused struct {
	Node     string
	Resource xds.Ref
	Version  string
	Service  bgp.Service
	Error    string // Envoy's own words
	At       time.Time
}

// Quarantined is a service that an Envoy cannot be given as it was compiled.
type Quarantined struct {
	Service bgp.Service
	Refused // of what it stands on
	// Serving tells that the Envoy has an earlier version of the service.
	Serving bool
}

// quarantine is what Envoys refused. It says what each of them is given: the newest version, or the last one that it
// took.
type quarantine struct {
	*books
	refusals map[string]map[version]*refusal // by node; guarded by mu
	refused  map[xds.Ref]int                 // how many refusals there are of a resource; guarded by mu
}

// serves returns the version of a resource that an Envoy is given; nil for none. The caller holds mu.
func (q *quarantine) serves(st *stream, ref xds.Ref) *xds.Resource {
	e := q.view.get(ref)
	switch {
	case e == nil || !st.uses(ref):
		return nil
	case e.now != nil && q.usable(st, e.now):
		return e.now
	case e.good != nil && e.good != e.now && q.usable(st, e.good):
		return e.good
	}
	return nil
}

// usable tells whether an Envoy may be given a version: it refuses neither that nor what it needs.
func (q *quarantine) usable(st *stream, r *xds.Resource) bool {
	mine := q.refusals[st.node]
	if len(mine) == 0 {
		return true
	}
	if x := mine[versionOf(r)]; x != nil && !x.retrying {
		return false
	}
	for _, n := range r.Needs {
		if q.serves(st, xds.Needed(n)) == nil {
			return false
		}
	}
	return true
}

// refuse puts a version into quarantine. The Envoy has what it had before.
func (q *quarantine) refuse(st *stream, sub *subscription, r *xds.Resource, words string) {
	words = printable(words)
	st.declined(sub, r)
	st.changed(refOf(r))
	q.stirAll()
	st.answeredFor(refOf(r))
	if q.view.proven(r, false) {
		q.dropped()
	}
	x := q.refusalOf(st, r)
	if x == nil {
		sub.known[r.Name] = r.Version // it is not sent again on this connection
		q.tell(func() { q.cfg.Log.Error("Envoy refuses more than can be kept", "node", st.node, "kept", maxNacks) })
		return
	}
	now := time.Now()
	x.Refused = Refused{Node: st.node, Resource: refOf(r), Version: r.Version, Service: r.Service, Error: words, At: now}
	x.retryAt, x.retrying = now.Add(x.pause), false
	said, pause := x.Refused, x.pause
	q.tell(func() {
		q.cfg.Log.Error("Envoy refuses a resource, what it had before stays", "node", said.Node, "type", r.Type, "name",
			r.Name, "version", r.Version,
			"retry", pause, "error", words)
	})
	if q.cfg.OnNack != nil {
		q.tell(func() { q.cfg.OnNack(said) })
	}
	q.quarantined()
}

// refusalOf returns the books of a version that an Envoy refuses, once more or for the first time; nil if they are
// full.
func (q *quarantine) refusalOf(st *stream, r *xds.Resource) *refusal {
	mine := q.refusals[st.node]
	if mine == nil {
		q.forgetNodes()
		mine = map[version]*refusal{}
		q.refusals[st.node] = mine
	}
	x := mine[versionOf(r)]
	switch {
	case x != nil:
		x.pause = min(2*x.pause, lastRetry)
	case len(mine) < maxNacks:
		x = &refusal{pause: firstRetry}
		q.refused[refOf(r)]++
		mine[versionOf(r)] = x
	}
	return x
}

// absolve ends the quarantine of a version at one Envoy.
func (q *quarantine) absolve(node string, v version) {
	if q.refusals[node][v] == nil {
		return
	}
	delete(q.refusals[node], v)
	q.forgive(v.Ref)
	q.quarantined()
}

// forgive books that there is one refusal less of a resource.
func (q *quarantine) forgive(ref xds.Ref) {
	if q.refused[ref]--; q.refused[ref] == 0 {
		delete(q.refused, ref)
	}
}

// superseded ends the quarantine of versions of a resource that are served no more.
func (q *quarantine) superseded(ref xds.Ref) {
	if q.refused[ref] == 0 {
		return
	}
	e := q.view.get(ref)
	for node, mine := range q.refusals {
		for v := range mine {
			if v.Ref == ref && !e.has(v.version) {
				q.absolve(node, v)
			}
		}
	}
}

func (b *books) changed(ref xds.Ref) {
	for st := range b.streams {
		st.changed(ref)
		st.poke()
	}
}

// quarantined lets the owner know that Quarantined returns something else.
func (q *quarantine) quarantined() {
	if q.cfg.OnQuarantine != nil {
		q.tell(q.cfg.OnQuarantine)
	}
}

// forgetNodes keeps the books of refusals to as many nodes as may be connected, and those.
func (q *quarantine) forgetNodes() {
	if len(q.refusals) < maxStreams {
		return
	}
	connected := map[string]bool{}
	for st := range q.streams {
		connected[st.node] = true
	}
	for node, theirs := range q.refusals {
		if !connected[node] {
			for v := range theirs {
				q.forgive(v.Ref)
			}
			delete(q.refusals, node)
		}
	}
}

// retries has versions tried again whose time has come, and returns how long it is until the next one's; 0 for never.
func (q *quarantine) retries(st *stream) time.Duration {
	var wait time.Duration
	for v, x := range q.refusals[st.node] {
		if x.retrying {
			continue
		}
		left := time.Until(x.retryAt)
		if left <= 0 {
			x.retrying = true
			st.changed(v.Ref)
		} else if wait == 0 || left < wait {
			wait = left
		}
	}
	return wait
}

// Quarantined returns the services that an Envoy cannot be given as they were compiled, by name.
func (s *Server) Quarantined() []Quarantined {
	s.mu.Lock()
	defer s.unlock()
	var all []Quarantined
	for st := range s.streams {
		mine := s.quarantine.refusals[st.node]
		if len(mine) == 0 {
			continue
		}
		for _, byName := range s.view.byType {
			for _, e := range byName {
				if x := s.quarantine.culprit(mine, e); x != nil {
					all = append(all, Quarantined{
						Service: e.now.Service,
						Refused: x.Refused,
						Serving: e.good != nil && e.good != e.now && !e.unproven,
					})
				}
			}
		}
	}
	slices.SortFunc(all, func(a, b Quarantined) int {
		return cmp.Or(strings.Compare(string(a.Service), string(b.Service)), strings.Compare(a.Node, b.Node),
			strings.Compare(a.Resource.Name, b.Resource.Name))
	})
	return slices.CompactFunc(all, func(a, b Quarantined) bool { return a.Service == b.Service && a.Node == b.Node })
}

// culprit returns the refusal that keeps an Envoy from an entry's newest version: of that version itself, or of
// something that it needs; nil if nothing does. A refusal of something shared, such as a listener, has no service of
// its own: it counts for each service that needs it.
func (q *quarantine) culprit(mine map[version]*refusal, e *entry) *refusal {
	if e.now == nil || e.now.Service == "" || xds.IsShared(e.now.Name) {
		return nil
	}
	if _, extra := xds.Dialled(refOf(e.now)); extra { // the service is served at its port all the same: see Serving
		return nil
	}
	if x := mine[versionOf(e.now)]; x != nil {
		return x
	}
	return q.refusedNeed(mine, e.now)
}

// refusedNeed returns why something that a resource stands on, however far down, is refused; nil if nothing is.
func (q *quarantine) refusedNeed(mine map[version]*refusal, r *xds.Resource) *refusal {
	for _, n := range r.Needs {
		need := q.view.get(xds.Needed(n))
		if need == nil || need.now == nil {
			continue
		}
		if x := mine[versionOf(need.now)]; x != nil {
			return x
		}
		if x := q.refusedNeed(mine, need.now); x != nil {
			return x
		}
	}
	return nil
}

// partly tells whether an Envoy took that part of a refused response which its error text does not name. It did if it
// adds resources one by one (CdsApiHelper, LdsApiImpl). If it could not read one of them, it took none.
func partly(words string) bool {
	return strings.HasPrefix(words, "Error adding/updating cluster(s)") ||
		strings.HasPrefix(words, "Error adding/updating listener(s)")
}

// mentions tells whether words have a name in them, and not only as a part of a longer one.
func mentions(words, name string) bool {
	for from := 0; ; {
		i := strings.Index(words[from:], name)
		if i < 0 {
			return false
		}
		i += from
		end := i + len(name)
		if (i == 0 || !nameByte(words[i-1])) &&
			(end == len(words) || !nameByte(words[end]) ||
				words[end] == '.' && (end+1 == len(words) || !nameByte(words[end+1]))) {
			return true
		}
		from = i + 1
	}
}

func nameByte(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("-._/*", c) >= 0
}

// blame sorts a response that was refused into what is to blame and what is to be sent again, because the Envoy took
// none of it. What is left was taken.
func blame(words string, all []*xds.Resource) (guilty, again []*xds.Resource) {
	for _, r := range all {
		if mentions(words, r.Name) {
			guilty = append(guilty, r)
		}
	}
	switch {
	case len(all) == 1:
		return all, nil
	case len(guilty) > 0 && partly(words):
		return guilty, nil
	case len(guilty) > 0:
		return guilty, slices.DeleteFunc(slices.Clone(all), func(r *xds.Resource) bool { return slices.Contains(guilty, r) })
	}
	return nil, all
}

// apart has resources sent again, in as many responses as it takes to find out which of them is refused: half of them
// at a time, if nothing is known.
func (st *stream) apart(sub *subscription, typeURL string, again []*xds.Resource, halve bool) {
	groups := [][]*xds.Resource{again}
	if halve {
		groups = [][]*xds.Resource{again[:len(again)/2], again[len(again)/2:]}
	}
	for _, g := range groups {
		if len(g) == 0 {
			continue
		}
		names := make([]string, 0, len(g))
		for _, r := range g {
			names = append(names, r.Name)
			st.declined(sub, r)
		}
		st.groups = append(st.groups, group{typeURL, names})
	}
}

// declined books that an Envoy did not take a version, and has what it had before, unless another one is on its way
// to it.
func (st *stream) declined(sub *subscription, r *xds.Resource) {
	for _, out := range st.outstanding {
		if slices.ContainsFunc(out.resources, func(x *xds.Resource) bool { return x.Type == r.Type && x.Name == r.Name }) {
			return
		}
	}
	if had := sub.acked[r.Name].version; had != "" {
		sub.known[r.Name] = had
	} else {
		delete(sub.known, r.Name)
	}
}

// group is to be sent in a response of its own.
type group struct {
	typeURL string
	names   []string
}

// nextGroup builds the response of a group; nil if there is none. What changed meanwhile is in its newest version, or
// not in it.
func (q *quarantine) nextGroup(st *stream) []*xds.Resource {
	for len(st.groups) > 0 {
		g := st.groups[0]
		st.groups = st.groups[1:]
		sub := st.subs[g.typeURL]
		var set []*xds.Resource
		for _, name := range g.names {
			r := q.serves(st, xds.Ref{Type: g.typeURL, Name: name})
			if r != nil && sub.covers(name) && !st.sentAlready(sub, r) {
				set = append(set, r)
				sub.known[name] = r.Version
			}
		}
		if len(set) > 0 {
			return set
		}
	}
	return nil
}

// dropped follows what is gone from the view.
func (q *quarantine) dropped() {
	for _, ref := range q.view.drop() {
		q.superseded(ref)
		q.changed(ref)
		for st := range q.streams {
			st.answeredFor(ref)
		}
		if q.cfg.Store != nil {
			q.tell(func() { q.cfg.Store.Remove(ref) })
		}
	}
	q.view.shrink()
}
