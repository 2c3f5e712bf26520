package sim

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/catalyst-router/catalyst/bgp"
	"github.com/catalyst-router/catalyst/bgp/filter"
	"github.com/catalyst-router/catalyst/bgp/fsm"
	"github.com/catalyst-router/catalyst/bgp/speaker"
)

// stopwatch is a tape that sums up the processor time of its speaker.
type stopwatch struct {
	began, spent time.Duration
	changing     bool
	change       time.Duration // of the newest step that changed a service of its own
}

func (w *stopwatch) Begin(time.Time, speaker.Config, *rand.PCG) {}

func (w *stopwatch) Event(_ time.Time, ev speaker.Event) {
	_, w.changing = ev.(speaker.LocalSet)
	w.began = threadTime()
}

func (w *stopwatch) Done(time.Time, *speaker.Speaker, []speaker.Effect) {
	took := threadTime() - w.began
	if w.spent += took; w.changing {
		w.change = took
	}
}

func (w *stopwatch) FeedAdded(uint64)     {}
func (w *stopwatch) FeedTook(uint64, int) {}

// threadTime is what this thread has used: unlike time, it says little of the machine's other users.
func threadTime() time.Duration {
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_THREAD, &r); err != nil {
		panic(err) // Linux has it
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

// crowd is a border node, what it offers, and its peers, each the border of an organisation of its own.
type crowd struct {
	net      *Net
	border   bgp.NodeID
	peers    []bgp.NodeID
	watch    stopwatch // of the border
	services int
	med      uint32
}

const crowdDelay = time.Millisecond // of each link

func newCrowd(tb testing.TB, peers, services int) *crowd {
	tb.Helper()
	c := &crowd{net: New(15), border: id("border"), services: services}
	c.net.Tape = func(node bgp.NodeID) Tape {
		if node == c.border {
			return &c.watch
		}
		return nil
	}
	c.net.Add(c.border, nil)
	for i := range services {
		c.net.Announce(c.border, c.service(i), bgp.Attributes{Protocol: bgp.HTTP})
	}
	rules := &filter.Chain{Terms: []filter.Term{{Name: "own", Action: filter.Accept}}}
	for i := range peers {
		peer := bgp.NodeID{Org: bgp.Org(fmt.Sprintf("org%d.example", i)), Name: "edge"}
		c.peers = append(c.peers, peer)
		c.net.Add(peer, nil)
		c.net.Link(c.border, peer, crowdDelay)
		c.net.Announce(peer, bgp.Service("s."+string(peer.Org)), bgp.Attributes{Protocol: bgp.HTTP})
		c.net.SetPeer(c.border, speaker.Peer{Node: peer, Import: rules, Export: rules})
		c.net.SetPeer(peer, speaker.Peer{Node: c.border, Addresses: []string{"border"}, Import: rules, Export: rules})
	}
	c.net.Run(time.Minute)
	for _, peer := range c.peers {
		if v, _ := c.net.Node(c.border).sp.Peer(peer); v.State != fsm.Established {
			tb.Fatalf("%s: %s: %s", peer, v.State, v.LastError)
		}
		if n := len(c.net.Node(peer).Table); n != services+1 {
			tb.Fatalf("%s has %d services: want %d and its own", peer, n, services)
		}
	}
	if n := len(c.net.Node(c.border).Table); n != services+peers {
		tb.Fatalf("the border has %d services: want %d and one of each of %d peers", n, services, peers)
	}
	return c
}

func (c *crowd) service(i int) bgp.Service {
	return bgp.Service(fmt.Sprintf("s%d.%s", i, c.border.Org))
}

// change changes a service of the border, and tells how long in the network's time it took until every peer had it.
func (c *crowd) change(tb testing.TB) time.Duration {
	tb.Helper()
	c.med++
	began := c.net.Now
	c.net.Announce(c.border, c.service(0), bgp.Attributes{Protocol: bgp.HTTP, MED: c.med})
	for told := 0; told < len(c.peers); c.net.Run(crowdDelay / 4) {
		if c.net.Now.Sub(began) > time.Minute {
			tb.Fatalf("after a minute %d of %d peers have a change", told, len(c.peers))
		}
		for told < len(c.peers) {
			s := c.net.Node(c.peers[told]).Table[c.service(0)]
			if len(s.Tiers) == 0 || s.Tiers[0][0].Attrs.MED != c.med {
				break
			}
			told++
		}
	}
	return c.net.Now.Sub(began)
}

// What a border changes, all its peers of other organisations have as soon as the network has brought it.
func TestAllPeersAreToldAtOnce(t *testing.T) {
	t.Parallel()
	c := newCrowd(t, 100, 20)
	for range 3 {
		if took := c.change(t); took > 2*crowdDelay {
			t.Errorf("all peers had a change after %s: the links take %s", took, crowdDelay)
		}
		c.net.Run(time.Second)
	}
}

// A border with 1,000 peers of other organisations, each a speaker. Of the border's processor time there is what one
// step takes that has a change on its way to each peer (told), and with it all that follows, such as that each stream
// takes more (settled). network-ms is until every peer has taken it, where each link takes a millisecond.
func BenchmarkBorderOfThousandPeers(b *testing.B) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	c := newCrowd(b, 1000, 100)
	var took, told, settled time.Duration
	for b.Loop() {
		before := c.watch.spent
		took = max(took, c.change(b))
		told, settled = told+c.watch.change, settled+c.watch.spent-before
		b.StopTimer()
		c.net.Run(time.Second)
		b.StartTimer()
	}
	heap := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := heap()
	border := c.net.Node(c.border)
	border.sp, border.cursor, border.Table, border.streams, c.net.queue = nil, nil, nil, nil, nil
	each := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 / float64(b.N) }
	b.ReportMetric(float64(before-heap())/float64(len(c.peers)), "B/peer")
	b.ReportMetric(each(told), "told-cpu-ms")
	b.ReportMetric(each(settled), "settled-cpu-ms")
	b.ReportMetric(float64(took.Microseconds())/1000, "network-ms")
	b.ReportMetric(0, "ns/op")
}
