package record

import (
	"fmt"
	"log/slog"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/catalyst-router/catalyst/bgp"
	"github.com/catalyst-router/catalyst/bgp/attr"
	"github.com/catalyst-router/catalyst/bgp/speaker"
)

// BenchmarkStep is a transit node's step for UPDATEs of so many routes, each with its own attributes, without and
// with recording.
func BenchmarkStep(b *testing.B) {
	for _, routes := range []int{1, 100, 1000} {
		for _, recorded := range []bool{false, true} {
			b.Run(fmt.Sprintf("routes=%d/recorded=%t", routes, recorded),
				func(b *testing.B) { benchmarkStep(b, routes, recorded) })
		}
	}
}

func benchmarkStep(b *testing.B, routes int, recorded bool) {
	now := time.Unix(1_700_000_000, 0)
	cfg := speaker.Config{Self: node(0), BootID: 1}
	chance := rand.NewPCG(1, 1)
	sp := speaker.New(cfg, rand.New(chance))
	sp.Start(now)
	r, err := Open(Config{Dir: b.TempDir(), Bytes: 1 << 40, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		b.Fatal(err)
	}
	r.Begin(now, cfg, chance)
	step := func(ev speaker.Event) {
		if recorded {
			r.Event(now, ev)
		}
		effects := sp.Step(now, ev)
		if recorded {
			r.Done(now, sp, effects)
		}
	}
	for i := range 2 {
		c := speaker.ConnID(i + 1)
		step(speaker.PeerSet{Peer: speaker.Peer{Node: node(i + 1)}})
		step(speaker.ConnUp{Conn: c, Remote: node(i + 1)})
		step(speaker.Received{Conn: c, Msg: &bgp.Open{Version: bgp.Version, Node: node(i + 1), BootID: 2}})
		step(speaker.Received{Conn: c, Msg: bgp.Keepalive{}})
	}
	updates := make([]*bgp.Update, 2)
	for v := range updates {
		updates[v] = &bgp.Update{}
		for i := range routes {
			a := bgp.Attributes{
				Protocol: bgp.HTTP,
				NodePath: []bgp.NodeID{node(1)},
				Tags:     []string{fmt.Sprintf("tag-%d-%d", v, i)},
			}
			updates[v].Announced = append(updates[v].Announced,
				bgp.Group{
					Attributes: attr.Append(nil, &a),
					Routes:     []bgp.NLRI{{Service: bgp.Service(fmt.Sprintf("s%d.acme.example", i))}},
				})
		}
	}
	i := 0
	for b.Loop() {
		step(speaker.Received{Conn: 1, Msg: updates[i%2]})
		step(speaker.Writable{Conn: 2})
		r.take()
		i++
	}
}

// BenchmarkCheckpoint is what the loop stands still for when another file begins, with a table of 100,000 routes.
func BenchmarkCheckpoint(b *testing.B) {
	now := time.Unix(1_700_000_000, 0)
	sp := speaker.New(speaker.Config{Self: node(0), BootID: 1}, rand.New(rand.NewPCG(1, 1)))
	r, err := Open(Config{Dir: b.TempDir(), Bytes: 1 << 40, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		b.Fatal(err)
	}
	r.chance = rand.NewPCG(1, 1)
	step := func(ev speaker.Event) { sp.Step(now, ev) }
	step(speaker.PeerSet{Peer: speaker.Peer{Node: node(1)}})
	step(speaker.ConnUp{Conn: 1, Remote: node(1)})
	step(speaker.Received{Conn: 1, Msg: &bgp.Open{Version: bgp.Version, Node: node(1), BootID: 2}})
	step(speaker.Received{Conn: 1, Msg: bgp.Keepalive{}})
	for i := range 100_000 {
		a := bgp.Attributes{Protocol: bgp.HTTP, NodePath: []bgp.NodeID{node(1)}, Tags: []string{fmt.Sprintf("tag-%d", i)}}
		step(speaker.Received{
			Conn: 1,
			Msg: &bgp.Update{
				Announced: []bgp.Group{{
					Attributes: attr.Append(nil, &a),
					Routes:     []bgp.NLRI{{Service: bgp.Service(fmt.Sprintf("s%d.acme.example", i))}},
				}},
			},
		})
	}
	for b.Loop() {
		r.checkpoint(now, sp, true)
		b.ReportMetric(float64(r.size)/100_000, "B/route")
		r.take()
	}
}
