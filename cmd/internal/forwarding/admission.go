package forwarding

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/catalyst-router/catalyst/auth/disk"
	"github.com/catalyst-router/catalyst/bgp"
	"github.com/catalyst-router/catalyst/bgp/filter"
	"github.com/catalyst-router/catalyst/bgp/fsm"
	"github.com/catalyst-router/catalyst/bgp/speaker"
	"github.com/catalyst-router/catalyst/xds"
)

const (
	// admissionFile holds who was let in last, below the data directory.
	admissionFile = "admission.json"
	// keepAfter is how long changes are gathered before the file is written.
	keepAfter = time.Second
	// atOnce is how many services one question to the speaker is about, so that its loop is never held up for long.
	atOnce = 500
)

// admission is who may come in at the mesh ingress: the peers that this node has now, and nobody else. A peer of this
// node's own organisation reaches everything that this node forwards. One of another organisation reaches the
// services that the export rules let it have, whether or not its session is up: traffic goes on while sessions
// restart.
//
// The last state is kept on disk. A node that restarts knows its peers at once; what those of other organisations may
// reach it knows only when the routes have come, and Envoy lets them in meanwhile.
type admission struct {
	router       Router
	log          *slog.Logger
	path         string
	organisation bool // every node of this organisation is let in
	publish      func(xds.Admission) error
	again        chan struct{} // something is to be worked out anew
	dirty        chan struct{} // something is to be written down

	// mu is held over a question to the router and what follows from its answer, so that an older answer never replaces
	// a newer one.
	mu    sync.Mutex
	peers map[bgp.NodeID]*admitted // guarded by mu
	// refused are let in no more, peers or not; guarded by mu
	refused refused
}

// admitted is one peer. Its fields are exported for the file.
type admitted struct {
	Everything bool `json:"everything,omitempty"`
	// Reflects tells that it is a hub of this node: nodes that are no peers of this one send here.
	Reflects bool                 `json:"reflects,omitempty"`
	Services map[bgp.Service]bool `json:"services,omitempty"`

	rules *filter.Chain
	role  bgp.Role
	stale bool // Services is to be worked out anew
}

func newAdmission(cfg *Config, publish func(xds.Admission) error) *admission {
	a := &admission{
		router: cfg.Router, log: cfg.Log, path: filepath.Join(cfg.Data, admissionFile),
		organisation: cfg.AdmitOrganisation, publish: publish,
		again: make(chan struct{}, 1), dirty: make(chan struct{}, 1), peers: map[bgp.NodeID]*admitted{},
	}
	a.readRefused()
	kept := map[bgp.NodeID]*admitted{}
	text, err := os.ReadFile(a.path)
	if err == nil {
		err = json.Unmarshal(text, &kept)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		a.log.Error(
			"who was let in last is not known: peers of other organisations come in when the tables are complete", "error", err,
		)
	}
	for _, n := range cfg.Peers {
		a.peers[n] = &admitted{stale: true}
		if k := kept[n]; k != nil && err == nil {
			a.peers[n].Reflects, a.peers[n].Services = k.Reflects, k.Services
		}
		a.peers[n].Everything = n.Org == cfg.Node.Org
	}
	return a
}

// now is the admission as it is. The caller holds mu, or nothing runs yet.
func (a *admission) now() xds.Admission {
	out := xds.Admission{Organisation: a.organisation, Refused: a.refused.Nodes, Leaves: a.refused.Leaves}
	for _, n := range slices.SortedFunc(maps.Keys(a.peers), bgp.NodeID.Compare) {
		p := a.peers[n]
		out.Organisation = out.Organisation || p.Everything && p.Reflects
		out.Peers = append(out.Peers, xds.Admitted{
			Node: n, Everything: p.Everything, Services: slices.Sorted(maps.Keys(p.Services)),
		})
	}
	return out
}

// Admitted is who may come in at the mesh ingress, and to what.
func (f *Forwarder) Admitted() xds.Admission {
	f.admission.mu.Lock()
	defer f.admission.mu.Unlock()
	return f.admission.now()
}

// tell publishes what changed. The caller holds mu.
func (a *admission) tell() error {
	poke(a.dirty)
	return a.publish(a.now())
}

// follow takes over which peers there are, before it returns; what those of other organisations may have is worked
// out after that.
func (a *admission) follow(ctx context.Context) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	var views []speaker.PeerView
	if err := a.router.Query(ctx, func(s *speaker.Speaker) { views = s.Peers() }); err != nil {
		return err
	}
	changed := false
	there := map[bgp.NodeID]bool{}
	for i := range views {
		v := &views[i]
		if v.Config.Disabled {
			continue
		}
		there[v.Config.Node] = true
		p := a.peers[v.Config.Node]
		if p == nil {
			p = &admitted{Everything: !v.External, stale: true}
			a.peers[v.Config.Node] = p
			changed = true
		}
		if reflects := v.Caps.Client && !v.External; v.State == fsm.Established && reflects != p.Reflects {
			p.Reflects, changed = reflects, true
		}
		if p.role != v.Config.Role || !equalRules(p.rules, v.Config.Export) {
			p.rules, p.role, p.stale = v.Config.Export, v.Config.Role, true
		}
		if p.stale && v.External {
			poke(a.again)
		}
	}
	for n := range a.peers {
		if !there[n] {
			delete(a.peers, n)
			changed = true
		}
	}
	if !changed {
		return nil
	}
	return a.tell()
}

func equalRules(a, b *filter.Chain) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a.Equal(b)
}

// changed works out anew who may have services whose routes are not what they were.
func (a *admission) changed(ctx context.Context, services []bgp.Service) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	foreign := a.foreign()
	if len(foreign) == 0 {
		return nil
	}
	told := false
	for part := range slices.Chunk(services, atOnce) {
		err := a.router.Query(ctx, func(s *speaker.Speaker) {
			for _, n := range foreign {
				for _, svc := range part {
					told = a.peers[n].grant(svc, s.MayUse(n, svc)) || told
				}
			}
		})
		if err != nil {
			return err
		}
	}
	if !told {
		return nil
	}
	return a.tell()
}

// foreign returns the peers of other organisations. The caller holds mu.
func (a *admission) foreign() []bgp.NodeID {
	var all []bgp.NodeID
	for n, p := range a.peers {
		if !p.Everything {
			all = append(all, n)
		}
	}
	return all
}

// grant notes whether a peer may have a service, and tells whether that is news.
func (p *admitted) grant(svc bgp.Service, may bool) bool {
	if p.Services[svc] == may {
		return false
	}
	if !may {
		delete(p.Services, svc)
		return true
	}
	if p.Services == nil {
		p.Services = map[bgp.Service]bool{}
	}
	p.Services[svc] = true
	return true
}

// review works out all that peers may have whose rules are not what they were.
func (a *admission) review(ctx context.Context) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	told := false
	for _, n := range a.foreign() {
		p := a.peers[n]
		if !p.stale {
			continue
		}
		may := map[bgp.Service]bool{}
		for from, more := uint32(0), true; more; more = from != 0 {
			err := a.router.Query(ctx, func(s *speaker.Speaker) {
				from = s.Table().Names(from, atOnce, func(svc bgp.Service) {
					if s.MayUse(n, svc) {
						may[svc] = true
					}
				})
			})
			if err != nil {
				return err
			}
		}
		err := a.router.Query(ctx, func(s *speaker.Speaker) { // in the place of what is below them
			for _, pattern := range s.Aggregates(n) {
				may[pattern] = true
			}
		})
		if err != nil {
			return err
		}
		told = told || !maps.Equal(may, p.Services)
		p.Services, p.stale = may, false
	}
	if !told {
		return nil
	}
	return a.tell()
}

// run follows sessions, works out anew whom a change concerns, and keeps the result on disk, until ctx ends. Before
// the tables are complete it works out nothing: whoever was let in before the restart is let in still.
func (a *admission) run(ctx context.Context) error {
	watch, err := a.router.Watch(ctx)
	if err != nil {
		return nil //nolint:nilerr // the node is stopping
	}
	defer func() { // the router runs on
		closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), keepAfter)
		defer cancel()
		_ = watch.Close(closing)
	}()
	var keep <-chan time.Time
	var again <-chan struct{}
	published := a.router.Published()
	a.note(a.follow(ctx))
	for {
		select {
		case <-ctx.Done():
			if keep != nil {
				a.note(a.keep())
			}
			return nil
		case ev, ok := <-watch.Events():
			if !ok {
				return nil
			}
			if ev.To == fsm.Established || watch.Lost() > 0 {
				a.note(a.follow(ctx))
			}
		case <-published:
			published, again = nil, a.again
			poke(a.again)
		case <-again:
			a.note(a.review(ctx))
		case <-a.dirty:
			if keep == nil {
				keep = time.After(keepAfter)
			}
		case <-keep:
			keep = nil
			a.note(a.keep())
		}
	}
}

func (a *admission) note(err error) {
	if err != nil && !errors.Is(err, context.Canceled) {
		a.log.Error("who may come in at the mesh ingress", "error", err)
	}
}

// keep writes down who is let in.
func (a *admission) keep() error {
	a.mu.Lock()
	text, err := json.Marshal(a.peers)
	a.mu.Unlock()
	if err != nil {
		return err
	}
	return disk.Replace(a.path, text, 0o600)
}

func poke(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
