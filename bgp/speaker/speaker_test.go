package speaker

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/catalyst-router/catalyst/bgp"
	"github.com/catalyst-router/catalyst/bgp/attr"
	"github.com/catalyst-router/catalyst/bgp/filter"
)

func node(i byte) bgp.NodeID { return bgp.NodeID{Org: "acme.example", Name: fmt.Sprintf("n%d", i%4)} }

// outside is what carries effects out, and knows which would be nonsense.
type outside struct {
	t     *testing.T
	live  map[ConnID]int // streams that stand, with the UPDATEs under way on each
	next  ConnID
	dials map[bgp.NodeID]int
}

func (o *outside) take(effects []Effect) {
	for _, eff := range effects {
		switch eff := eff.(type) {
		case Send:
			n, ok := o.live[eff.Conn]
			if !ok {
				o.t.Fatalf("sends %T on stream %d, which does not stand", eff.Msg, eff.Conn)
			}
			switch eff.Msg.(type) {
			case *bgp.Update, *bgp.Report, *bgp.TraceRequest, *bgp.TraceReply:
				if o.live[eff.Conn] = n + 1; n+1 > credits {
					o.t.Fatalf("%d UPDATEs under way on one stream", n+1)
				}
			}
		case CloseConn:
			if _, ok := o.live[eff.Conn]; !ok {
				o.t.Fatalf("closes stream %d, which does not stand", eff.Conn)
			}
			delete(o.live, eff.Conn)
		case Dial:
			o.dials[eff.Peer]++
		}
	}
}

// message makes a message of two bytes.
func message(kind, arg byte) bgp.Message {
	from := node(arg)
	set := func(a bgp.Attributes) []byte { return attr.Append(nil, &a) }
	svc := bgp.Service(fmt.Sprintf("s%d.acme.example", arg%8))
	if kind == 10 {
		return &bgp.Report{
			Service: []bgp.Service{svc, "l1.acme.example"}[arg%2],
			Node:    node(arg / 2),
			Kind:    bgp.ReportKind(arg % 3),
			Hops:    arg,
		}
	}
	switch kind % 11 {
	case 0:
		return &bgp.Open{
			Version:  bgp.Version,
			Node:     from,
			HoldTime: time.Duration(arg) * time.Second,
			BootID:   uint64(arg % 3),
			Capabilities: bgp.Capabilities{
				GracefulRestart: time.Duration(arg%4) * time.Minute,
				LongLivedStale:  time.Duration(arg%2) * time.Hour,
				Restarting:      arg%5 == 0,
				AddPath:         arg % 3,
				Reports:         arg%2 == 0,
				Trace:           arg%2 == 0,
			},
		}
	case 1:
		return bgp.Keepalive{}
	case 2:
		return &bgp.Update{
			Announced: []bgp.Group{{
				Attributes: set(bgp.Attributes{
					Protocol:  bgp.HTTP,
					NodePath:  []bgp.NodeID{from, node(arg / 4)},
					LocalPref: uint32(arg),
				}),
				Routes: []bgp.NLRI{{Service: svc}},
			}},
		}
	case 3:
		return &bgp.Update{Withdrawn: []bgp.NLRI{{Service: svc}}}
	case 4:
		return &bgp.Update{Marker: bgp.Marker(arg % 4)}
	case 5:
		return &bgp.Notification{Code: bgp.Code(arg % 10), Subcode: bgp.Subcode(arg % 12)}
	case 6:
		return &bgp.Refresh{}
	case 7:
		return &bgp.TraceRequest{ID: uint64(arg), Service: svc, TTL: arg}
	case 8:
		return &bgp.TraceReply{ID: uint64(arg)}
	}
	return &bgp.Subscribe{Services: []bgp.Service{svc}}
}

// event makes an event of three bytes.
func (o *outside) event(op, a, b byte) Event {
	conn := ConnID(a % 16)
	switch op % 16 {
	case 0:
		p := Peer{
			Node:      node(1 + a%3),
			MaxRoutes: int(b % 5),
			OverLimit: OverLimit(b % 2),
			Client:    b%7 == 0,
			Disabled:  b%11 == 0,
			AddPath:   b % 3,
		}
		if a%2 == 0 {
			p.Addresses = []string{"x"}
		}
		if b%3 == 0 {
			p.Import = &filter.Chain{Default: filter.Action(b % 3)}
		}
		return PeerSet{Peer: p}
	case 1:
		return PeerRemoved{Node: node(a)}
	case 2:
		return PeerReset{Node: node(a)}
	case 3:
		return LocalSet{
			Service:    bgp.Service(fmt.Sprintf("l%d.acme.example", a%4)),
			Attributes: bgp.Attributes{Protocol: bgp.TCP, MED: uint32(b)},
		}
	case 4:
		return LocalRemoved{Service: bgp.Service(fmt.Sprintf("l%d.acme.example", a%4))}
	case 5:
		o.next++
		o.live[o.next] = 0
		return ConnUp{Conn: o.next, Remote: node(a), Dialled: b%2 == 0}
	case 6:
		delete(o.live, conn)
		return ConnDown{Conn: conn, Err: "gone"}
	case 7:
		return DialFailed{Peer: node(a), Err: "refused"}
	case 8:
		if o.live[conn] > 0 {
			o.live[conn]--
			return Writable{Conn: conn}
		}
		return Tick{}
	case 9:
		return NextHopChanged{Node: node(a), Usable: b%2 == 0, Cost: uint32(b)}
	case 10:
		return Drain{On: b%2 == 0}
	case 11:
		return Undecodable{Conn: conn, Notification: bgp.Notify(bgp.MessageHeaderError, 0, "x")}
	case 12:
		return Restored{}
	case 13:
		return Problem{Service: bgp.Service(fmt.Sprintf("s%d.acme.example", a%8)), Kind: bgp.ReportKind(b % 3), Text: "x"}
	case 14:
		if b%2 == 0 {
			return Say{Peer: node(a), Msg: &bgp.TraceReply{ID: uint64(b)}}
		}
		return Say{Peer: node(a), Msg: &bgp.TraceRequest{ID: uint64(b)}}
	}
	return Tick{}
}

// Whatever happens in whatever order, a step does not panic, speaks only on streams that stand, and never queues more
// than a stream's credits; and when everything is taken away, nothing is left.
func FuzzStep(f *testing.F) {
	f.Add([]byte{0, 0, 1, 5, 1, 0, 20, 1, 1, 21, 1, 0, 22, 1, 5, 6, 1, 0, 13, 0, 200})
	f.Add([]byte{0, 0, 1, 0, 1, 1, 5, 1, 0, 5, 2, 1, 20, 1, 33, 20, 2, 34, 21, 1, 0, 21, 2, 0, 3, 1, 1, 22, 1, 9, 24, 1,
		1, 6, 1, 1, 1, 1, 1})
	f.Add([]byte{12, 0, 0, 0, 2, 2, 5, 3, 1, 20, 1, 7, 21, 1, 1, 23, 1, 7, 26, 1, 1, 10, 0, 0, 2, 3, 3})
	f.Add([]byte{0, 0, 1, 5, 1, 0, 20, 1, 4, 21, 1, 0, 22, 1, 5, 13, 5, 1, 8, 1, 0, 13, 5, 0, 3, 1, 1, 28, 1, 3, 13, 5,
		1, 22, 1, 255, 30, 0, 255})
	// asked for the table again and again
	f.Add([]byte{0, 0, 5, 5, 1, 0, 20, 1, 5, 21, 1, 0, 3, 1, 1, 26, 1, 0, 26, 1, 0, 26, 1, 0, 26, 1, 0, 26, 1, 0, 0})
	f.Fuzz(func(t *testing.T, script []byte) {
		now := time.Unix(1_700_000_000, 0)
		s := New(Config{
			Self:            node(0),
			BootID:          9,
			GracefulRestart: time.Minute,
			Trace:           true,
			Restarting:      len(script)%2 == 0,
		}, rand.New(rand.NewPCG(1, 1)))
		s.Start(now)
		o := &outside{t: t, live: map[ConnID]int{}, dials: map[bgp.NodeID]int{}}
		cursor := s.Table().Subscribe()
		for ; len(script) >= 3; script = script[3:] {
			op, a, b := script[0], script[1], script[2]
			now = now.Add(time.Duration(b) * 100 * time.Millisecond)
			var ev Event
			if conn := ConnID(a % 16); op >= 20 && op < 31 {
				if _, ok := o.live[conn]; !ok {
					continue
				}
				ev = Received{Conn: conn, Msg: message(op-20, b)}
			} else {
				ev = o.event(op, a, b)
			}
			o.take(s.Step(now, ev))
			cursor.Next(nil, 3)
		}
		for i := range byte(4) {
			o.take(s.Step(now, PeerRemoved{Node: node(i)}))
			o.take(s.Step(now, LocalRemoved{Service: bgp.Service(fmt.Sprintf("l%d.acme.example", i))}))
		}
		for s.Table().Working() {
			o.take(s.Step(now, Tick{}))
		}
		if c := s.Table().Counts(); c.Paths != 0 || c.Services != 0 {
			t.Fatalf("%+v are left", c)
		}
		if len(s.conns) != 0 {
			t.Fatalf("%d streams are left", len(s.conns))
		}
	})
}
