package speaker

import (
	"fmt"
	"hash/fnv"
	"maps"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/catalyst-router/catalyst/bgp"
	"github.com/catalyst-router/catalyst/bgp/attr"
	"github.com/catalyst-router/catalyst/bgp/filter"
)

// office is a speaker with many established peers, whose streams take everything.
type office struct {
	t       *testing.T
	s       *Speaker
	now     time.Time
	out     []ConnID // Writable is owed
	most    uint64   // effort of the dearest step
	which   string
	count   int
	stuck   map[ConnID]int                    // streams that take nothing, and how many UPDATEs they were given
	told    map[ConnID]int                    // UPDATEs on each stream
	listens map[ConnID]map[bgp.Service]uint64 // streams of which it is kept what they said, by checksum
}

func newOffice(t *testing.T, peers int) *office {
	t.Helper()
	o := &office{
		t:   t,
		now: time.Unix(1_700_000_000, 0),
		s: New(Config{Self: node(0), BootID: 9, Ingress: "x:1", GracefulRestart: time.Minute},
			rand.New(rand.NewPCG(1, 1))),
		stuck: map[ConnID]int{}, told: map[ConnID]int{}, listens: map[ConnID]map[bgp.Service]uint64{},
	}
	o.s.Start(o.now)
	for i := range peers {
		o.do("peer", PeerSet{Peer: Peer{Node: clerk(i)}})
		o.up(i, ConnID(i+1))
	}
	o.settle()
	return o
}

func clerk(i int) bgp.NodeID { return bgp.NodeID{Org: "acme.example", Name: fmt.Sprintf("p%03d", i)} }

func (o *office) up(peer int, conn ConnID) {
	o.do("up", ConnUp{Conn: conn, Remote: clerk(peer)})
	o.do("up", Received{Conn: conn, Msg: &bgp.Open{
		Version:      bgp.Version,
		Node:         clerk(peer),
		BootID:       uint64(conn),
		Ingress:      "y:1",
		Capabilities: bgp.Capabilities{GracefulRestart: time.Minute, Refresh: true},
	}})
	o.do("up", Received{Conn: conn, Msg: bgp.Keepalive{}})
}

// do gives the speaker an event, and keeps the books.
func (o *office) do(what string, ev Event) {
	before := o.s.table.Effort()
	effects := o.s.Step(o.now, ev)
	o.count++
	if cost := o.s.table.Effort() - before; cost > o.most {
		o.most, o.which = cost, fmt.Sprintf("%s (%T)", what, ev)
	}
	for _, eff := range effects {
		send, ok := eff.(Send)
		if !ok {
			continue
		}
		if u, ok := send.Msg.(*bgp.Update); ok {
			o.told[send.Conn]++
			if n, stuck := o.stuck[send.Conn]; stuck {
				o.stuck[send.Conn] = n + 1
			} else {
				o.out = append(o.out, send.Conn)
			}
			if holds := o.listens[send.Conn]; holds != nil {
				listen(holds, u)
			}
		}
	}
}

func listen(holds map[bgp.Service]uint64, u *bgp.Update) {
	for _, n := range u.Withdrawn {
		delete(holds, n.Service)
	}
	for _, g := range u.Announced {
		sum := fnv.New64a()
		_, _ = sum.Write(g.Attributes)
		for _, n := range g.Routes {
			if _, known := holds[n.Service]; known {
				holds[n.Service] = sum.Sum64()
			} else {
				holds[bgp.Service(strings.Clone(string(n.Service)))] = sum.Sum64()
			}
		}
	}
}

// settle goes on until there is nothing left to do.
func (o *office) settle() {
	for range 100_000 {
		switch {
		case len(o.out) > 0:
			conn := o.out[0]
			o.out = o.out[1:]
			o.do("written", Writable{conn})
		case !o.s.NextDeadline(o.now).After(o.now) && !o.s.NextDeadline(o.now).IsZero():
			o.do("work", Tick{})
		default:
			return
		}
	}
	o.t.Fatal("does not come to rest")
}

// announced is a table of n services, each with attributes of its own, in messages as a peer sends them.
func announced(peer, n int, region string) (all []*bgp.Update) {
	for i := 0; i < n; i += 100 {
		u := &bgp.Update{}
		for j := i; j < min(i+100, n); j++ {
			set := attr.Append(nil, &bgp.Attributes{
				Protocol: bgp.HTTP,
				NodePath: []bgp.NodeID{clerk(peer)},
				Region:   region,
				Tags:     []string{fmt.Sprint("tag-", j)},
			})
			u.Announced = append(u.Announced, bgp.Group{
				Attributes: set,
				Routes:     []bgp.NLRI{{Service: bgp.Service(fmt.Sprintf("s%d.acme.example", j))}},
			})
		}
		all = append(all, u)
	}
	return all
}

// Whatever happens to a table of 20,000 services with 50 peers, it is worked through in steps that each cost what a
// slice costs: keepalives go out between two of them, and no peer's event holds up the others.
func TestStepsAreBounded(t *testing.T) {
	const peers, services = 50, 20_000
	const slice = flushSlice + 20*bgp.MaxUpdateRoutes + bulkSlice*(3+peers/8) + bgp.MaxUpdateRoutes*(3+peers/8)
	reject := &filter.Chain{
		Terms: []filter.Term{{Name: "x", Match: filter.Match{Services: []string{"s7.acme.example"}}, Action: filter.Reject}},
	}
	o := newOffice(t, peers)
	for _, from := range []int{0, 1} {
		for _, u := range announced(from, services, "eu") {
			o.do("table", Received{Conn: ConnID(from + 1), Msg: u})
		}
		o.settle()
	}
	for _, c := range []struct {
		what string
		do   func()
	}{
		{"the tables came", func() {}},
		{"one change", func() { o.do("", Received{Conn: 1, Msg: announced(0, 1, "us")[0]}) }},
		{"drain", func() { o.do("", Drain{On: true}) }},
		{"undrain", func() { o.do("", Drain{On: false}) }},
		{"an import rule", func() { o.do("", PeerSet{Peer: Peer{Node: clerk(0), Import: reject}}) }},
		{"an export rule", func() { o.do("", PeerSet{Peer: Peer{Node: clerk(7), Export: reject}}) }},
		{"a client", func() { o.do("", PeerSet{Peer: Peer{Node: clerk(8), Client: true}}) }},
		{"the next hop is dead", func() { o.do("", NextHopChanged{Node: clerk(0)}) }},
		{"a refresh", func() { o.do("", Received{Conn: 10, Msg: &bgp.Refresh{}}) }},
		{"a session ends", func() { o.do("", ConnDown{Conn: 1}) }},
		{"and comes back", func() { o.up(0, 100) }},
		{"a receiver ends and comes back", func() { o.do("", ConnDown{Conn: 20}); o.up(19, 101) }},
		{"a peer is removed", func() { o.do("", PeerRemoved{Node: clerk(1)}) }},
	} {
		if c.what != "the tables came" {
			o.most, o.count = 0, 0
		}
		c.do()
		o.settle()
		if o.most > slice {
			t.Errorf("%s: a step cost %d, want at most %d: %s", c.what, o.most, slice, o.which)
		}
	}
}

// When much changes at once, every peer hears the beginning of it, in a short message, before any peer hears more.
func TestFirstMessagesGoFirst(t *testing.T) {
	const peers = 20
	o := newOffice(t, peers)
	whole := &bgp.Update{}
	for _, u := range announced(0, bgp.MaxUpdateRoutes, "eu") {
		whole.Announced = append(whole.Announced, u.Announced...)
	}
	told := map[ConnID]int{}
	for _, eff := range o.s.Step(o.now, Received{Conn: 1, Msg: whole}) {
		send, ok := eff.(Send)
		if !ok {
			continue
		}
		u := send.Msg.(*bgp.Update)
		if told[send.Conn]++; told[send.Conn] == 1 && len(u.Announced) > firstRoutes {
			t.Errorf("the first message to %d has %d routes, want at most %d", send.Conn, len(u.Announced), firstRoutes)
		} else if told[send.Conn] > 1 && len(told) < peers-1 {
			t.Fatalf("%d is told a second time while only %d of %d were told once", send.Conn, len(told), peers-1)
		}
	}
	if len(told) != peers-1 || told[2] < 2 {
		t.Errorf("%d peers were told, want %d; the first of them in %d messages", len(told), peers-1, told[2])
	}
}

// One of 20 peers takes nothing, while 100,000 routes change again and again. The others are told in as many messages
// as without it, what is kept for it is no more than its credits and a mark a service, and once it goes on it ends
// with exactly what the others hold.
func TestStuckReaderAmongTwenty(t *testing.T) {
	services, rounds := 100_000, 4
	if testing.Short() {
		services = 10_000
	}
	const stuck, other = ConnID(2), ConnID(3)
	o := newOffice(t, 20)
	o.listens[stuck], o.listens[other] = map[bgp.Service]uint64{}, map[bgp.Service]uint64{}
	churn := func(region string) (told int) {
		before := o.told[other]
		for _, u := range announced(0, services, region) {
			o.do("churn", Received{Conn: 1, Msg: u})
			for len(o.out) > 0 { // everybody else keeps up
				conn := o.out[0]
				o.out = o.out[1:]
				o.do("written", Writable{conn})
			}
		}
		o.settle()
		return o.told[other] - before
	}
	churn("warm")
	healthy := churn("healthy")
	before := heap()
	o.stuck[stuck] = 0
	for i := range rounds {
		if told := churn(fmt.Sprint("round ", i)); told != healthy {
			t.Errorf("round %d: another peer was told in %d messages, want %d as without the stuck one", i, told, healthy)
		}
	}
	after := heap()
	grown := float64(int64(after)-int64(before)) / (1 << 20)
	t.Logf("%d routes changed %d times: the heap grew by %.1f MiB to %.1f MiB", services, rounds, grown,
		float64(after)/(1<<20))
	if grown > 64 {
		t.Errorf("the heap grew by %.1f MiB, want at most 64", grown)
	}
	if o.stuck[stuck] != credits {
		t.Errorf("the stuck peer was given %d UPDATEs, want its %d credits", o.stuck[stuck], credits)
	}
	for range o.stuck[stuck] { // it goes on
		o.out = append(o.out, stuck)
	}
	delete(o.stuck, stuck)
	o.settle()
	if len(o.listens[stuck]) != services || !maps.Equal(o.listens[stuck], o.listens[other]) {
		t.Errorf("it holds %d services, which are not those that the others hold", len(o.listens[stuck]))
	}
}

// heap returns the bytes that are live.
func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
