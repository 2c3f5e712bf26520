//go:build chaos

package chaos

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/catalyst-router/catalyst/e2e/examples"
	"github.com/catalyst-router/catalyst/e2e/lab"
)

// nosuch is an address that an Envoy refuses on a machine without that interface.
const nosuch = "[fe80::1%nosuch]:80"

// pair is a link; the first dials.
type pair [2]string

var (
	nodes = []string{"a", "b", "c", "d"}
	links = []pair{{"a", "b"}, {"b", "c"}, {"c", "d"}, {"d", "a"}, {"a", "c"}}
)

// service is one that nodes may offer.
type service struct {
	name     string
	protocol string
	offers   map[string]string // by node: the instance, or nosuch
}

// world is what there is, and what is wrong with it.
type world struct {
	t        *testing.T
	rnd      *rand.Rand
	lab      *lab.Lab
	services []*service
	address  map[string]string // of a workload, by instance and protocol
	down     map[string]bool   // nodes without a process
	stopped  map[string]bool   // nodes in their tracks
	draining map[string]bool
	cut      map[pair]bool
	rounds   int
	counts   map[string]int
	spent    map[string]time.Duration
	history  []string
}

func newWorld(t *testing.T, rnd *rand.Rand) *world {
	t.Helper()
	path, err := lab.Binary("../..")
	must(t, err)
	l, err := lab.New(t.Context(), path, org)
	must(t, err)
	w := &world{
		t:        t,
		rnd:      rnd,
		lab:      l,
		address:  map[string]string{},
		down:     map[string]bool{},
		stopped:  map[string]bool{},
		draining: map[string]bool{},
		cut:      map[pair]bool{},
		counts:   map[string]int{},
		spent:    map[string]time.Duration{},
	}
	t.Cleanup(w.close)
	for _, name := range nodes {
		_, err := l.Add(t.Context(), name, "--log-level", "info", "--peering-deferral", "2s")
		must(t, err)
		for _, instance := range []string{name + "-1", name + "-2"} {
			w.workload(instance, "http", func(lis net.Listener) {
				_ = examples.ServeHTTP(t.Context(), lis,
					examples.HTTPAPI(instance))
			})
			w.workload(instance, "tcp", func(lis net.Listener) { _ = examples.ServeLines(t.Context(), lis, instance) })
		}
	}
	for _, p := range links {
		must(t, lab.Peer(t.Context(), l.Nodes[p[0]], l.Nodes[p[1]]))
	}
	for i, protocol := range []string{"http", "http", "http", "http", "http", "tcp", "tcp"} {
		w.services = append(w.services, &service{
			name:     fmt.Sprintf("s%d", i),
			protocol: protocol,
			offers:   map[string]string{},
		})
	}
	return w
}

// close ends everything, and shows what there is to be seen of a failure.
func (w *world) close() {
	if w.t.Failed() {
		w.t.Log(strings.Join(w.history, "\n"))
		for name, n := range w.lab.Nodes {
			text, _ := os.ReadFile(filepath.Join(n.Dir, "node.log"))
			w.t.Logf("node %s:\n%s", name, text[max(0, len(text)-6000):])
		}
	}
	for name := range w.stopped {
		_ = w.lab.Nodes[name].Resume()
	}
	if err := w.lab.Close(); err != nil {
		w.t.Error(err)
	}
}

// workload serves an instance.
func (w *world) workload(instance, protocol string, serve func(net.Listener)) {
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	must(w.t, err)
	w.address[instance+" "+protocol] = lis.Addr().String()
	go serve(lis)
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// event lets one thing happen, of those that can.
func (w *world) event(ctx context.Context) {
	kinds := []struct {
		name   string
		often  int
		happen func(context.Context) bool
	}{
		{"offer", 4, w.offer}, {"withdraw", 1, w.withdraw}, {"kill", 1, w.kill}, {"start", 2, w.start},
		{"kill Envoy", 1, w.killEnvoy}, {"stop", 1, w.stop}, {"go on", 1, w.goOn},
		{"cut", 1, w.cutLink}, {"mend", 1, w.mendLink}, {"reset", 1, w.reset}, {"drain", 1, w.drain},
		{"undrain", 1, w.undrain}, {"breathe", 2, w.breathe},
	}
	var urn []int
	for i, k := range kinds {
		urn = append(urn, slices.Repeat([]int{i}, k.often)...)
	}
	for {
		k, begun := kinds[urn[w.rnd.IntN(len(urn))]], time.Now()
		if k.happen(ctx) {
			w.counts[k.name]++
			w.spent[k.name] += time.Since(begun)
			return
		}
	}
}

// awake returns a node that takes commands; nil if there is none.
func (w *world) awake() *lab.Node {
	var all []string
	for _, name := range nodes {
		if w.up(name) {
			all = append(all, name)
		}
	}
	if len(all) == 0 {
		return nil
	}
	return w.lab.Nodes[all[w.rnd.IntN(len(all))]]
}

func (w *world) up(name string) bool { return !w.down[name] && !w.stopped[name] }

// offer has a node offer a service, anew or from another instance; now and then with an address that Envoy refuses.
func (w *world) offer(ctx context.Context) bool {
	n := w.awake()
	if n == nil {
		return false
	}
	s := w.services[w.rnd.IntN(len(w.services))]
	instance := fmt.Sprintf("%s-%d", n.Name, 1+w.rnd.IntN(2))
	address := w.address[instance+" "+s.protocol]
	if w.rnd.IntN(8) == 0 {
		instance, address = nosuch, nosuch
	}
	verb := "add"
	if s.offers[n.Name] != "" {
		verb = "update"
	}
	w.say("%s: route %s %s %s", n.Name, verb, s.name, instance)
	w.cli(ctx, n, "route", verb, s.name, "--addr", address, "-p", s.protocol)
	s.offers[n.Name] = instance
	return true
}

func (w *world) withdraw(ctx context.Context) bool {
	n := w.awake()
	s := w.services[w.rnd.IntN(len(w.services))]
	if n == nil || s.offers[n.Name] == "" {
		return false
	}
	w.say("%s: route remove %s", n.Name, s.name)
	w.cli(ctx, n, "route", "remove", s.name)
	delete(s.offers, n.Name)
	return true
}

// kill ends a node's process, with a farewell or not, and its Envoy with it or not.
func (w *world) kill(context.Context) bool {
	n := w.awake()
	if n == nil {
		return false
	}
	sig := []syscall.Signal{syscall.SIGKILL, syscall.SIGKILL, syscall.SIGTERM, syscall.SIGINT}[w.rnd.IntN(4)]
	envoy := w.rnd.IntN(3) == 0
	w.say("%s: %v, Envoy too: %t", n.Name, sig, envoy)
	if err := n.Stop(sig); err != nil {
		w.t.Error(err)
	}
	if envoy {
		n.KillEnvoy()
	}
	w.down[n.Name] = true
	return true
}

func (w *world) start(ctx context.Context) bool {
	for _, name := range nodes {
		if w.down[name] {
			w.say("%s: start", name)
			if err := w.lab.Nodes[name].Start(ctx); err != nil {
				w.t.Error(err)
			}
			delete(w.down, name)
			return true
		}
	}
	return false
}

func (w *world) killEnvoy(context.Context) bool {
	n := w.awake()
	if n == nil {
		return false
	}
	w.say("%s: kill Envoy", n.Name)
	n.KillEnvoy()
	return true
}

func (w *world) stop(context.Context) bool {
	n := w.awake()
	if n == nil {
		return false
	}
	w.say("%s: SIGSTOP", n.Name)
	if err := n.Pause(); err != nil {
		w.t.Error(err)
	}
	w.stopped[n.Name] = true
	return true
}

func (w *world) goOn(context.Context) bool {
	for _, name := range nodes {
		if w.stopped[name] {
			w.say("%s: SIGCONT", name)
			if err := w.lab.Nodes[name].Resume(); err != nil {
				w.t.Error(err)
			}
			delete(w.stopped, name)
			return true
		}
	}
	return false
}

// cutLink has one end of a link forget the other.
func (w *world) cutLink(ctx context.Context) bool {
	p := links[w.rnd.IntN(len(links))]
	if w.cut[p] || !w.up(p[0]) {
		return false
	}
	w.say("%s: peer remove %s", p[0], p[1])
	w.cli(ctx, w.lab.Nodes[p[0]], "peer", "remove", p[1])
	w.cut[p] = true
	return true
}

func (w *world) mendLink(ctx context.Context) bool {
	for _, p := range links {
		if w.cut[p] && w.up(p[0]) {
			w.say("%s: peer add %s", p[0], p[1])
			w.cli(ctx, w.lab.Nodes[p[0]], "peer", "add", p[1], w.lab.Nodes[p[1]].Peering)
			delete(w.cut, p)
			return true
		}
	}
	return false
}

func (w *world) reset(ctx context.Context) bool {
	p := links[w.rnd.IntN(len(links))]
	if w.cut[p] || !w.up(p[0]) {
		return false
	}
	w.say("%s: peer reset %s", p[0], p[1])
	w.cli(ctx, w.lab.Nodes[p[0]], "peer", "reset", p[1])
	return true
}

func (w *world) drain(ctx context.Context) bool {
	n := w.awake()
	if n == nil || w.draining[n.Name] {
		return false
	}
	w.say("%s: drain", n.Name)
	w.cli(ctx, n, "drain")
	w.draining[n.Name] = true
	return true
}

func (w *world) undrain(ctx context.Context) bool {
	for _, name := range nodes {
		if w.draining[name] && w.up(name) {
			w.say("%s: drain --off", name)
			w.cli(ctx, w.lab.Nodes[name], "drain", "--off")
			delete(w.draining, name)
			return true
		}
	}
	return false
}

// breathe lets some time pass.
func (w *world) breathe(ctx context.Context) bool {
	d := time.Duration(w.rnd.IntN(1500)) * time.Millisecond
	w.say("%v pass", d)
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
	return true
}

// heal undoes every fault; what is offered stays.
func (w *world) heal(ctx context.Context) {
	w.say("heal")
	for _, undo := range []func(context.Context) bool{w.goOn, w.start, w.mendLink, w.undrain} {
		for undo(ctx) {
			continue
		}
	}
}
