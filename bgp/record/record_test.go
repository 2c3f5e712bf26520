package record

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/catalyst-router/catalyst/bgp"
	"github.com/catalyst-router/catalyst/bgp/filter"
	"github.com/catalyst-router/catalyst/bgp/logfile"
	"github.com/catalyst-router/catalyst/bgp/sim"
	"github.com/catalyst-router/catalyst/bgp/speaker"
)

// runs is how many seeds each property is tried with; -runs=300 for more.
var runs = flag.Int("runs", 5, "seeds of each property")

func node(i int) bgp.NodeID { return bgp.NodeID{Org: "acme.example", Name: fmt.Sprintf("n%d", i)} }

// open opens a recorder whose files the test writes itself, with flush.
func open(t interface {
	Helper()
	Fatal(...any)
}, dir string, limit int64) (*Recorder, func()) {
	t.Helper()
	r, err := Open(Config{Dir: dir, Bytes: limit, Version: "test", Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	var f *os.File
	return r, func() {
		t.Helper()
		var err error
		if f, err = r.write(f); err != nil {
			t.Fatal(err)
		}
	}
}

// state is what a speaker knows: every path of every service with its outcome, and what each peer was told, without
// the numbers of paths.
func state(sp *speaker.Speaker) map[string][]string {
	all := map[string][]string{}
	tab := sp.Table()
	for from := uint32(0); ; {
		var services []bgp.Service
		from = tab.Names(from, 1000, func(s bgp.Service) { services = append(services, s) })
		for _, svc := range services {
			for _, c := range tab.Explain(svc) {
				all[string(svc)] = append(all[string(svc)],
					fmt.Sprintf("%d %s %v stale=%t %s by %s %+v", c.Tier, c.Reject, c.Lost, c.Stale, c.Peer, c.NextHop.Address,
						c.Attrs))
			}
			slices.Sort(all[string(svc)]) // rejected ones have no order
		}
		if from == 0 {
			break
		}
	}
	for _, p := range sp.Peers() {
		id, _ := sp.PeerID(p.Config.Node)
		key := "told " + p.Config.Node.String()
		tab.AdvertisedTo(id, func(svc bgp.Service, a bgp.Attributes) bool {
			all[key] = append(all[key], fmt.Sprintf("%s %+v", svc, a))
			return true
		})
		slices.Sort(all[key])
		all["peer "+p.Config.Node.String()] = []string{fmt.Sprintf("%s %v stale until %s", p.State, p.EndOfRIB, p.StaleUntil)}
	}
	return all
}

// churn lets a network of five live through random events; steps says when.
func churn(n *sim.Net, rnd *rand.Rand, events int) {
	const nodes = 5
	svc := func() bgp.Service { return bgp.Service(fmt.Sprintf("s%d.acme.example", rnd.IntN(12))) }
	down := map[int]bool{}
	for range events {
		at := 1 + rnd.IntN(nodes-1) // node 0, which is recorded, is crashed by nobody
		switch k := rnd.IntN(12); {
		case k < 4 && !down[at]:
			n.Announce(node(at), svc(), bgp.Attributes{
				Protocol: bgp.HTTP,
				MED:      rnd.Uint32N(3),
				Tags:     []string{fmt.Sprint("t", rnd.IntN(4))},
			})
		case k == 4:
			n.Announce(node(0), svc(), bgp.Attributes{Protocol: bgp.TCP})
		case k == 5:
			n.Withdraw(node(0), svc())
		case k == 6 && !down[at]:
			n.Withdraw(node(at), svc())
		case k == 7:
			n.Cut(node(0), node(at), time.Duration(rnd.IntN(3))*time.Second)
		case k == 8:
			n.Mend(node(0), node(at))
		case k == 9 && !down[at]:
			n.Crash(node(at))
			down[at] = true
		case k == 9:
			n.Restart(node(at))
			down[at] = false
		case k == 10:
			p := speaker.Peer{Node: node(at), Addresses: []string{node(at).Name}, AddPath: uint8(rnd.IntN(2))}
			if rnd.IntN(2) == 0 {
				p.Import = &filter.Chain{
					Terms: []filter.Term{{Name: "no", Match: filter.Match{Services: []string{string(svc())}}, Action: filter.Reject}},
				}
			}
			n.SetPeer(node(0), p)
		case k == 11:
			n.Do(node(0), speaker.Drain{On: rnd.IntN(2) == 0})
		}
		n.Run(time.Duration(rnd.IntN(4000)) * time.Millisecond)
	}
}

// network is five nodes in a full mesh of which the first has a tape.
func network(seed uint64, tape sim.Tape) *sim.Net {
	n := sim.New(seed)
	n.Tape = func(id bgp.NodeID) sim.Tape {
		if id == node(0) {
			return tape
		}
		return nil
	}
	for i := range 5 {
		n.Add(node(i), nil)
	}
	for i := range 5 {
		for j := range i {
			n.Link(node(i), node(j), time.Duration(i+j)*time.Millisecond)
			n.Peer(node(i), node(j), (i+j)%2 == 0)
		}
	}
	n.Run(5 * time.Second)
	return n
}

// play replays all files to the end, and returns how many steps there were and how many were not the same.
func play(t interface {
	Helper()
	Fatal(...any)
}, dir string) (p *Player, steps, differ int) {
	t.Helper()
	files, err := Files(dir)
	if err != nil {
		t.Fatal(err)
	}
	if p, err = Play(nil, files...); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = p.Close() }()
	for {
		s, err := p.Next()
		if errors.Is(err, io.EOF) {
			return p, steps, differ
		}
		if err != nil {
			t.Fatal(err)
		}
		if steps++; !s.Same() {
			differ++
		}
	}
}

// seeds runs a test with some chance, each run by its own name.
func seeds(t *testing.T, test func(t *testing.T, seed uint64)) {
	n := uint64(*runs)
	if testing.Short() {
		n = min(n, 2)
	}
	for seed := range n {
		t.Run(fmt.Sprint(seed), func(t *testing.T) { test(t, seed) })
	}
}

// The same events give the same messages, step by step, and the same tables.
func TestReplayIsExact(t *testing.T) {
	seeds(t, func(t *testing.T, seed uint64) {
		dir, rnd := t.TempDir(), rand.New(rand.NewPCG(seed, 3))
		r, flush := open(t, dir, 1<<30)
		n := network(seed, r)
		churn(n, rnd, 1+rnd.IntN(60))
		flush()
		p, steps, differ := play(t, dir)
		if differ > 0 || steps < 20 {
			t.Fatalf("%d of %d steps are not the same", differ, steps)
		}
		if diff := cmp.Diff(state(n.Node(node(0)).Speaker()), state(p.Speaker())); diff != "" {
			t.Fatalf("tables (-then +now):\n%s", diff)
		}
	})
}

// A recording whose beginning is gone starts with a checkpoint, and leads to the same tables.
func TestReplayFromACheckpoint(t *testing.T) {
	seeds(t, func(t *testing.T, seed uint64) {
		dir, rnd := t.TempDir(), rand.New(rand.NewPCG(seed, 3))
		r, flush := open(t, dir, 1<<30)
		n := network(seed, r)
		churn(n, rnd, 1+rnd.IntN(60))
		sp := n.Node(node(0)).Speaker()
		flush()
		r.checkpoint(n.Now, sp, true)
		flush()
		churn(n, rnd, rnd.IntN(30))
		flush()
		whole, _, differ := play(t, dir)
		if diff := cmp.Diff(state(sp), state(whole.Speaker())); diff != "" || differ > 0 {
			t.Fatalf("from the beginning, %d steps differ (-then +now):\n%s", differ, diff)
		}
		if err := os.Remove(filepath.Join(dir, "000001.rec")); err != nil {
			t.Fatal(err)
		}
		part, _, _ := play(t, dir)
		if !part.Rebuilt() {
			t.Fatal("does not say that it begins with a checkpoint")
		}
		if diff := cmp.Diff(state(sp), state(part.Speaker()), unrestored(sp)); diff != "" {
			t.Fatalf("from the checkpoint (-then +now):\n%s", diff)
		}
	})
}

// unrestored leaves out what a checkpoint does not bring back: when a peer is dialled next, and how far one that does
// not read has got.
func unrestored(sp *speaker.Speaker) cmp.Option {
	behind := map[string]bool{}
	for _, p := range sp.Peers() {
		behind["told "+p.Config.Node.String()] = p.Pending > 0
	}
	return cmpopts.IgnoreMapEntries(func(k string, _ []string) bool { return strings.HasPrefix(k, "peer ") || behind[k] })
}

// The bound holds, the oldest files go, and what is left can be replayed from its first file on.
func TestFilesAreBounded(t *testing.T) {
	dir := t.TempDir()
	limit, rounds := int64(200<<10), 60
	if testing.Short() {
		limit, rounds = 50<<10, 20
	}
	r, flush := open(t, dir, limit)
	n := network(1, r)
	rnd := rand.New(rand.NewPCG(1, 3))
	for range rounds {
		churn(n, rnd, 30)
		flush()
	}
	files, err := Files(dir)
	if err != nil {
		t.Fatal(err)
	}
	var total int64
	for _, f := range files {
		info, err := os.Stat(f)
		if err != nil {
			t.Fatal(err)
		}
		total += info.Size()
	}
	if total > limit*5/4 || number(files[0]) == 1 || len(files) < 2 {
		t.Fatalf("%d bytes in %v, the limit is %d", total, files, limit)
	}
	p, steps, _ := play(t, dir)
	if steps == 0 {
		t.Fatal("nothing is left")
	}
	sp := n.Node(node(0)).Speaker()
	if diff := cmp.Diff(state(sp), state(p.Speaker()), unrestored(sp)); diff != "" {
		t.Fatalf("tables (-then +now):\n%s", diff)
	}
}

// What cannot be written in time is left out, and the next file begins anew: nothing waits for the disk, and memory
// is bounded.
func TestFallingBehind(t *testing.T) {
	dir := t.TempDir()
	r, flush := open(t, dir, 1<<30)
	sp := speaker.New(speaker.Config{Self: node(0), BootID: 1}, rand.New(rand.NewPCG(1, 1)))
	now := time.Unix(1_700_000_000, 0)
	r.Begin(now, speaker.Config{Self: node(0), BootID: 1}, rand.NewPCG(1, 1))
	tags := slices.Repeat([]string{strings.Repeat("x", 200)}, 30)
	for i := range tags {
		tags[i] += fmt.Sprint(i)
	}
	slices.Sort(tags)
	set := func(i int) {
		ev := speaker.LocalSet{
			Service:    bgp.Service(fmt.Sprintf("s%d.acme.example", i)),
			Attributes: bgp.Attributes{Protocol: bgp.HTTP, Tags: tags},
		}
		r.Event(now, ev)
		r.Done(now, sp, sp.Step(now, ev))
	}
	i := 0
	for ; !r.broken; i++ {
		if set(i); r.waiting > maxPending+1<<20 {
			t.Fatalf("%d bytes wait", r.waiting)
		}
	}
	for range 10 {
		i++
		set(i)
	}
	flush()
	i++
	set(i) // the checkpoint
	flush()
	i++
	set(i)
	flush()
	files, err := Files(dir)
	if err != nil || len(files) != 2 {
		t.Fatalf("files are %v, %v", files, err)
	}
	p, _, _ := play(t, dir)
	if got, want := p.Speaker().Table().Counts().Services, sp.Table().Counts().Services; got != want || !p.Rebuilt() {
		t.Errorf("%d services after the replay, want %d", got, want)
	}
}

// A file that ends anywhere is read up to there, and one that was changed anywhere is refused or read, without harm.
func TestDamagedFiles(t *testing.T) {
	whole := recorded(t)
	for cut := range whole {
		if (cut > 600 || testing.Short()) && cut%(len(whole)/100) != 0 {
			continue
		}
		p, err := playFrom(bytes.NewReader(whole[:cut]))
		for err == nil {
			_, err = p.Next()
		}
		if p != nil && p.sp != nil && !errors.Is(err, io.EOF) {
			t.Fatalf("cut at %d: %v", cut, err)
		}
	}
	for at := len(whole) - 100; at < len(whole); at++ {
		flipped := slices.Clone(whole)
		flipped[at] ^= 1
		p, err := playFrom(bytes.NewReader(flipped))
		for err == nil {
			_, err = p.Next()
		}
		if errors.Is(err, io.EOF) && !p.CutOff() {
			t.Fatalf("a change of byte %d of %d is not noticed", at, len(whole))
		}
	}
}

// What a consumer of the table has not taken yet keeps names alive, and so decides in which order a new peer is told:
// a replay has to know.
func TestConsumersAreReplayed(t *testing.T) {
	dir := t.TempDir()
	r, flush := open(t, dir, 1<<30)
	cfg, chance, now := speaker.Config{Self: node(0), BootID: 1}, rand.NewPCG(1, 1), time.Unix(1_700_000_000, 0)
	sp := speaker.New(cfg, rand.New(chance))
	sp.Start(now)
	r.Begin(now, cfg, chance)
	step := func(ev speaker.Event) {
		r.Event(now, ev)
		r.Done(now, sp, sp.Step(now, ev))
	}
	name := func(kind string, i int) bgp.Service { return bgp.Service(fmt.Sprintf("%s%d.acme.example", kind, i)) }
	cursor := sp.Table().Subscribe()
	r.FeedAdded(1)
	take := func() {
		r.FeedTook(1, 20_000)
		cursor.Next(nil, 20_000)
	}
	for i := range 9000 {
		step(speaker.LocalSet{Service: name("s", i), Attributes: bgp.Attributes{Protocol: bgp.HTTP}})
	}
	take()
	for i := range 100 {
		step(speaker.LocalRemoved{Service: name("s", i)})
	}
	for i := range 100 { // while the consumer has yet to hear of the names that went
		step(speaker.LocalSet{Service: name("t", i), Attributes: bgp.Attributes{Protocol: bgp.HTTP}})
	}
	take()
	step(speaker.PeerSet{Peer: speaker.Peer{Node: node(1)}})
	step(speaker.ConnUp{Conn: 1, Remote: node(1)})
	step(speaker.Received{Conn: 1, Msg: &bgp.Open{Version: bgp.Version, Node: node(1), BootID: 2}})
	step(speaker.Received{Conn: 1, Msg: bgp.Keepalive{}})
	flush()
	if _, steps, differ := play(t, dir); differ > 0 {
		t.Errorf("%d of %d steps are not the same", differ, steps)
	}
}

// recorded is a small recording of every kind of event.
func recorded(t *testing.T) []byte {
	t.Helper()
	dir := t.TempDir()
	r, flush := open(t, dir, 1<<30)
	churn(network(7, r), rand.New(rand.NewPCG(7, 3)), 15)
	flush()
	b, err := os.ReadFile(filepath.Join(dir, "000001.rec"))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// Whatever the entries say, in whatever order, replaying them does not panic, and memory follows what is read.
func FuzzPlay(f *testing.F) {
	var script []byte
	for _, ev := range everyEvent() {
		b, err := appendEvent([]byte{entryEvent, 0, 0, 0, 0, 0, 0, 0, 0, 20}, ev)
		if err != nil {
			f.Fatal(err)
		}
		b = append(b, strings.Repeat(" ", 3-(len(b)+3)%4)...) // JSON does not mind, and the others are short
		script = append(append(script, byte(len(b)/4)), b...)
		f.Add(append([]byte{byte(len(b) / 4)}, b...))
	}
	f.Add(script)
	f.Add(append([]byte{1, entryFeed, feedAdded, 0, 0, 1, entryFeed, feedTook, 0, 9}, script...))
	f.Fuzz(func(_ *testing.T, script []byte) {
		p, err := playFrom(bytes.NewReader(framed(script)))
		for n := 0; err == nil && n < 1000; n++ {
			var s *Step
			if s, err = p.Next(); err == nil {
				s.EventText()
				s.EffectTexts()
			}
		}
	})
}

// framed makes a file of a script: a byte for each entry's length in fours, and the entry; checksums are right.
func framed(script []byte) []byte {
	chance, _ := rand.NewPCG(1, 1).MarshalBinary()
	head, _ := json.Marshal(start{
		Config: speaker.Config{Self: node(0), BootID: 1},
		At:     time.Unix(1_700_000_000, 0),
		Chance: chance,
	})
	file := logfile.Append([]byte(magic), append([]byte{entryStart}, head...))
	for len(script) > 1 {
		size := min(max(1, 4*int(script[0])), len(script)-1)
		file = logfile.Append(file, script[1:1+size])
		script = script[1+size:]
	}
	return file
}

// Events of every kind come back as they were.
func FuzzEvent(f *testing.F) {
	for _, ev := range everyEvent() {
		b, err := appendEvent(nil, ev)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		ev, err := decodeEvent(b)
		if err != nil {
			return
		}
		again, err := appendEvent(nil, ev)
		if err != nil {
			t.Fatalf("%#v is read and cannot be written: %v", ev, err)
		}
		twice, err := decodeEvent(again)
		if err != nil {
			t.Fatalf("%#v cannot be read again: %v", ev, err)
		}
		if diff := cmp.Diff(ev, twice, cmpopts.EquateEmpty()); diff != "" {
			t.Fatalf("(-first +second):\n%s", diff)
		}
	})
}

func everyEvent() []speaker.Event {
	pref := uint32(200)
	chain := &filter.Chain{
		Default: filter.Reject,
		Terms: []filter.Term{{
			Name:   "x",
			Action: filter.Accept,
			Set:    filter.Set{LocalPref: &pref, AddCommunities: []bgp.Community{bgp.NoExport}},
			Match: filter.Match{
				Services:  []string{"*.acme.example"},
				Protocols: []bgp.Protocol{bgp.HTTP},
				Origins:   []bgp.NodeID{node(2)},
			},
		}},
	}
	return []speaker.Event{
		speaker.PeerSet{Peer: speaker.Peer{
			Node:           node(1),
			Addresses:      []string{"a:1"},
			HoldTime:       time.Minute,
			Import:         chain,
			Export:         chain,
			Client:         true,
			Role:           bgp.RolePeer,
			MaxRoutes:      5,
			OverLimit:      speaker.OverLimitClose,
			AddPath:        3,
			Disabled:       true,
			Liveness:       time.Second,
			Subscribe:      []bgp.Service{"books.acme.example"},
			LongLivedStale: -1,
		}},
		speaker.PeerRemoved{Node: node(1), Text: "gone"}, speaker.PeerReset{Node: node(1), Text: "reset"},
		speaker.LocalSet{
			Service:    "books.acme.example",
			Attributes: bgp.Attributes{Protocol: bgp.GRPC, Tags: []string{"a"}, Weight: 7},
			Trace:      bgp.Trace{TraceID: [16]byte{1}, Declared: 9},
		},
		speaker.LocalRemoved{Service: "books.acme.example", Trace: bgp.Trace{SpanID: [8]byte{1}}},
		speaker.ConnUp{Conn: 1 << 63, Remote: node(1), Dialled: true}, speaker.ConnDown{Conn: 3, Err: "reset"},
		speaker.DialFailed{Peer: node(1), Err: "refused"},
		speaker.Received{Conn: 3, Msg: bgp.Keepalive{}},
		speaker.Received{
			Conn: 3,
			Msg: &bgp.Update{
				Withdrawn: []bgp.NLRI{{Service: "books.acme.example"}},
				Malformed: []bgp.Malformed{{Service: "books.acme.example", Attribute: "tags", Reason: "no", Withdrawn: true}},
			},
		},
		speaker.Undecodable{Conn: 3, Notification: bgp.Notify(bgp.MessageHeaderError, 1, "x"), Frame: []byte{1}},
		speaker.Writable{Conn: 300}, speaker.NextHopChanged{Node: node(1), Usable: true, Cost: 7}, speaker.Drain{On: true},
		speaker.Restored{},
		speaker.Say{Peer: node(1), Msg: &bgp.TraceReply{ID: 7}}, speaker.Tick{}, speaker.Shutdown{Restart: true, Text: "bye"},
		speaker.Problem{Service: "books.acme.example", Kind: bgp.ReportRefused, Text: "no"},
		speaker.Guarded{Set: "1f", Source: []byte("permit")},
	}
}

func TestEveryEventComesBack(t *testing.T) {
	for _, ev := range everyEvent() {
		b, err := appendEvent(nil, ev)
		if err != nil {
			t.Fatal(err)
		}
		got, err := decodeEvent(b)
		if err != nil {
			t.Fatalf("%T: %v", ev, err)
		}
		if diff := cmp.Diff(ev, got); diff != "" {
			t.Errorf("%T (-written +read):\n%s", ev, diff)
		}
	}
}

var _ sim.Tape = (*Recorder)(nil)
