package wire

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"github.com/catalyst-router/catalyst/bgp"
	"github.com/catalyst-router/catalyst/bgp/attr"
	"github.com/catalyst-router/catalyst/bgp/wire/peeringv1"
)

func encodedSet(a bgp.Attributes) []byte { return attr.Append(nil, &a) }

func messages() []bgp.Message {
	a := bgp.Attributes{
		NodePath:       []bgp.NodeID{{Org: "acme.example", Name: "b"}, {Org: "bravo.example", Name: "edge-1"}},
		Protocol:       bgp.GRPC,
		LocalPref:      200,
		MED:            7,
		Communities:    []bgp.Community{{Org: "acme.example", Key: "k", Value: "v"}, bgp.NoExport},
		OnlyToCustomer: "acme.example",
		NextHop:        bgp.NextHop{Node: bgp.NodeID{Org: "acme.example", Name: "c"}, Address: "10.0.0.1:8443"},
		Originator:     bgp.NodeID{Org: "acme.example", Name: "c"},
		ClusterList:    []bgp.NodeID{{Org: "acme.example", Name: "hub"}},
		Health:         bgp.HealthUp,
		Weight:         300,
		Region:         "eu",
		Tags:           []string{"a", "b"},
		Attestation:    []byte{1, 2},
	}
	return []bgp.Message{
		&bgp.Open{
			Version:  1,
			Node:     bgp.NodeID{Org: "acme.example", Name: "a"},
			HoldTime: 90 * time.Second,
			Ingress:  "127.0.0.1:8443",
			Role:     bgp.RoleCustomer,
			BootID:   77,
			Capabilities: bgp.Capabilities{
				GracefulRestart: 2 * time.Minute,
				Restarting:      true,
				LongLivedStale:  time.Hour,
				AddPath:         4,
				Refresh:         true,
				Subscribe:       true,
				Liveness:        300 * time.Millisecond,
				Reports:         true,
				Trace:           true,
				Bulletins:       true,
				Why:             true,
				Hops:            true,
				Patterns:        true,
			},
		},
		bgp.Keepalive{},
		&bgp.Notification{Code: bgp.Cease, Subcode: bgp.AdminShutdown, Text: "bis zwölf"},
		&bgp.Refresh{},
		&bgp.Subscribe{Services: []bgp.Service{"books.acme.example", "*.bravo.example"}},
		&bgp.Update{Marker: bgp.EndOfRIB},
		&bgp.Update{
			Withdrawn: []bgp.NLRI{{Service: "old.acme.example"}, {Service: "older.acme.example", PathID: 9}},
			Announced: []bgp.Group{{
				Attributes: encodedSet(a),
				Routes:     []bgp.NLRI{{Service: "x.bravo.example"}, {Service: "y.bravo.example", PathID: 3}},
			}},
			Trace: bgp.Trace{TraceID: [16]byte{1}, SpanID: [8]byte{2}, Declared: 1_700_000_000_000_000_000},
		},
		&bgp.Report{
			Service: "books.acme.example",
			Node:    bgp.NodeID{Org: "bravo.example", Name: "edge-1"},
			Kind:    bgp.ReportRefused,
			Text:    "kann nicht",
			Hops:    2,
		},
		&bgp.Report{},
		&bgp.TraceRequest{ID: 1 << 63, Service: "books.acme.example", TTL: 8, Budget: 5 * time.Second, Search: true},
		&bgp.Bulletin{Body: []byte{0, 255, 7}},
		&bgp.WhyRequest{ID: 9, Service: "books.acme.example"},
		&bgp.WhyReply{
			ID: 9, Outcome: bgp.WhyAnswered, Told: bgp.Fate{Why: "eine Regel", Term: "no"}, Taken: bgp.Fate{OK: true},
			Announced: true,
		},
		&bgp.Hops{Signed: [][]byte{{1, 2}, {3}}},
		&bgp.TraceReply{ID: 7, Hops: []bgp.TraceHop{
			{Node: bgp.NodeID{Org: "acme.example", Name: "b"}, Steps: []bgp.TraceStep{
				{Name: "route", State: bgp.TraceOK, Text: "via acme.example/a", Took: 12 * time.Microsecond},
				{Name: "tls", State: bgp.TraceFailed, Text: "certificate has expired", Advice: "issue another"},
			}},
			{Node: bgp.NodeID{Org: "acme.example", Name: "a"}, Note: "does not answer traces"},
		}},
	}
}

func TestRoundTripThroughOurAndTheGeneratedCode(t *testing.T) {
	for _, m := range messages() {
		frame := Append(nil, m)
		got, n := Decode(frame)
		if n != nil {
			t.Fatalf("%T: %v", m, n)
		}
		if diff := cmp.Diff(m, got); diff != "" {
			t.Errorf("%T (-sent +read):\n%s", m, diff)
		}
		var generated peeringv1.Frame
		if err := proto.Unmarshal(frame, &generated); err != nil {
			t.Fatalf("%T: the generated code refuses it: %v", m, err)
		}
		again, err := proto.MarshalOptions{Deterministic: true}.Marshal(&generated)
		if err != nil {
			t.Fatal(err)
		}
		if got, n = Decode(again); n != nil {
			t.Fatalf("%T from the generated code: %v", m, n)
		}
		if diff := cmp.Diff(m, got); diff != "" {
			t.Errorf("%T by the generated code (-sent +read):\n%s", m, diff)
		}
	}
}

func TestAttributesAgreeWithTheGeneratedCode(t *testing.T) {
	g := messages()[6].(*bgp.Update).Announced[0].Attributes
	var a peeringv1.Attributes
	if err := proto.Unmarshal(g, &a); err != nil {
		t.Fatal(err)
	}
	again, err := proto.MarshalOptions{Deterministic: true}.Marshal(&a)
	if err != nil {
		t.Fatal(err)
	}
	if string(again) != string(g) {
		t.Errorf("generated code writes\n%q, ours\n%q", again, g)
	}
}

// What is wrong with one route costs that route alone, and as little of it as can be.
func TestMalformedByDegree(t *testing.T) {
	good := bgp.Attributes{NodePath: []bgp.NodeID{{Org: "acme.example", Name: "b"}}, Protocol: bgp.HTTP}
	fine := &peeringv1.Group{Attributes: encodedSet(good), Routes: []*peeringv1.Route{{Service: "fine.acme.example"}}}
	bad := func(change func(*peeringv1.Attributes)) *peeringv1.Group {
		var a peeringv1.Attributes
		if err := proto.Unmarshal(encodedSet(good), &a); err != nil {
			t.Fatal(err)
		}
		change(&a)
		b, err := proto.Marshal(&a)
		if err != nil {
			t.Fatal(err)
		}
		return &peeringv1.Group{Attributes: b, Routes: []*peeringv1.Route{{Service: "odd.acme.example"}}}
	}
	for _, tt := range []struct {
		name      string
		group     *peeringv1.Group
		withdrawn bool
		reason    string
	}{
		{"unsorted tags are sorted", bad(func(a *peeringv1.Attributes) { a.Tags = []string{"b", "a"} }), false, ""},
		{"a weight out of range is dropped", bad(func(a *peeringv1.Attributes) { a.Weight = 5000 }), false, "weight"},
		{"an unknown health is dropped", bad(func(a *peeringv1.Attributes) { a.Health = 9 }), false, "health"},
		{"a bad community", bad(func(a *peeringv1.Attributes) { a.Communities = []string{"x y"} }), true, "communities"},
		{"33 communities, of which the last would be no-export", bad(func(a *peeringv1.Attributes) {
			for i := range 32 {
				a.Communities = append(a.Communities, fmt.Sprintf("acme.example:k:%02d", i))
			}
			a.Communities = append(a.Communities, "no-export")
		}), true, "communities"},
		{"33 tags lose one", bad(func(a *peeringv1.Attributes) {
			for i := range 33 {
				a.Tags = append(a.Tags, fmt.Sprintf("t%02d", i))
			}
		}), false, "tags"},
		{"no protocol", bad(func(a *peeringv1.Attributes) { a.Protocol = 0 }), true, "protocol"},
		{"an unknown protocol", bad(func(a *peeringv1.Attributes) { a.Protocol = 99 }), true, "protocol"},
		{"a hop that is no node", bad(func(a *peeringv1.Attributes) { a.NodePath = []string{"nobody"} }), true, "node_path"},
		{"65 hops", bad(func(a *peeringv1.Attributes) {
			for len(a.NodePath) < 65 {
				a.NodePath = append(a.NodePath, "acme.example/n")
			}
		}), true, "node_path"},
		{"an unreadable only-to-customer mark", bad(func(a *peeringv1.Attributes) { a.OnlyToCustomer = "!" }), true,
			"only_to_customer"},
		{"a bad service name", &peeringv1.Group{
			Attributes: encodedSet(good),
			Routes:     []*peeringv1.Route{{Service: "BAD NAME!!"}},
		}, true, "service name"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			frame, err := proto.Marshal(&peeringv1.Frame{
				Message: &peeringv1.Frame_Update{Update: &peeringv1.Update{Announced: []*peeringv1.Group{tt.group, fine}}},
			})
			if err != nil {
				t.Fatal(err)
			}
			m, n := Decode(frame)
			if n != nil {
				t.Fatalf("costs the session: %v", n)
			}
			u := m.(*bgp.Update)
			if last := u.Announced[len(u.Announced)-1]; last.Routes[0].Service != "fine.acme.example" {
				t.Errorf("the other route is lost: %+v", u.Announced)
			}
			if got := len(u.Announced) == 1; got != tt.withdrawn {
				t.Errorf("withdrawn: %v, want %v", got, tt.withdrawn)
			}
			if named := tt.group.Routes[0].Service == "odd.acme.example"; named &&
				tt.withdrawn != (len(u.Withdrawn) == 1 && u.Withdrawn[0].Service == "odd.acme.example") {
				t.Errorf("withdraws %v, withdrawn: %v", u.Withdrawn, tt.withdrawn)
			}
			if got := fmt.Sprint(u.Malformed); !strings.Contains(got, tt.reason) ||
				(tt.reason == "") != (len(u.Malformed) == 0) {
				t.Errorf("books say %s, want %q", got, tt.reason)
			}
			for _, g := range u.Announced {
				if _, ok := attr.Check(g.Attributes); !ok {
					t.Errorf("delivers a set that breaks a rule: %q", g.Attributes)
				}
			}
		})
	}
}

func TestLimitsOfAMessage(t *testing.T) {
	u := &bgp.Update{}
	for i := range bgp.MaxUpdateRoutes + 1 {
		u.Withdrawn = append(u.Withdrawn, bgp.NLRI{Service: bgp.Service(fmt.Sprintf("s%d.acme.example", i))})
	}
	if _, n := Decode(Append(nil, u)); n == nil || n.Code != bgp.UpdateMessageError {
		t.Errorf("1001 routes: %v", n)
	}
	if _, n := Decode(make([]byte, bgp.MaxMessageSize+1)); n == nil || n.Code != bgp.MessageHeaderError ||
		n.Subcode != bgp.BadMessageLength {
		t.Errorf("oversized: %v", n)
	}
	for _, frame := range [][]byte{nil, {0xff}, {0x0a, 0xff, 0xff, 0xff, 0xff, 0x0f}, {0xf2, 0x01, 0}} {
		if _, n := Decode(frame); n == nil {
			t.Errorf("%q passes", frame)
		}
	}
}

// A reply that is too much in every way is cut to what fits, at either end.
func TestTraceReplyIsBounded(t *testing.T) {
	long := strings.Repeat("ö\x1b", 1000)
	hop := bgp.TraceHop{Node: bgp.NodeID{Org: "acme.example", Name: "b"}, Note: long}
	for range 100 {
		hop.Steps = append(hop.Steps, bgp.TraceStep{Name: long, State: 9, Text: long, Advice: long, Took: time.Hour})
	}
	reply := &bgp.TraceReply{ID: 1}
	for range 100 {
		reply.Hops = append(reply.Hops, hop)
	}
	frame := Append(nil, reply)
	if len(frame) > bgp.MaxMessageSize {
		t.Errorf("%d bytes, the limit is %d", len(frame), bgp.MaxMessageSize)
	}
	m, n := Decode(frame)
	if n != nil {
		t.Fatal(n)
	}
	got := m.(*bgp.TraceReply)
	if len(got.Hops) != bgp.MaxTraceHops || len(got.Hops[0].Steps) != bgp.MaxTraceSteps {
		t.Fatalf("%d hops of %d steps", len(got.Hops), len(got.Hops[0].Steps))
	}
	s := got.Hops[0].Steps[0]
	if len(s.Text) > bgp.MaxTraceText || strings.Contains(s.Text, "\x1b") || s.State != bgp.TraceUnknown ||
		s.Took > bgp.MaxTraceBudget {
		t.Errorf("step is %+v", s)
	}
	if m, n := Decode(Append(nil, &bgp.TraceRequest{ID: 1, Service: "no name", TTL: 255, Budget: time.Hour})); n != nil ||
		*m.(*bgp.TraceRequest) != (bgp.TraceRequest{ID: 1, TTL: bgp.MaxTraceHops, Budget: bgp.MaxTraceBudget}) {
		t.Errorf("request is %+v, %v", m, n)
	}
}

func TestNotificationTextIsSafeForATerminal(t *testing.T) {
	m, n := Decode(Append(nil, &bgp.Notification{
		Code: bgp.Cease,
		Text: "\x1b[2Jgone\nand\xffmore" + strings.Repeat("x", 500),
	}))
	if n != nil {
		t.Fatal(n)
	}
	text := m.(*bgp.Notification).Text
	if strings.ContainsAny(text, "\x1b\n") || len(text) > bgp.MaxNotificationText {
		t.Errorf("text is %q", text)
	}
}

// A report that is no good costs nothing but itself, and what it says is safe for a terminal.
func TestReportsAreBounded(t *testing.T) {
	odd := &peeringv1.Report{
		Service: "NO NAME",
		Node:    "nobody",
		Kind:    1 << 20,
		Text:    "\x1b[2J\u009b" + strings.Repeat("x", 5000),
		Hops:    1 << 30,
	}
	frame, err := proto.Marshal(&peeringv1.Frame{Message: &peeringv1.Frame_Report{Report: odd}})
	if err != nil {
		t.Fatal(err)
	}
	m, n := Decode(frame)
	if n != nil {
		t.Fatalf("costs the session: %v", n)
	}
	r := m.(*bgp.Report)
	if r.Service != "" || !r.Node.IsZero() || r.Kind != 255 || r.Hops != 255 || len(r.Text) > bgp.MaxReportText ||
		strings.ContainsAny(r.Text, "\x1b\u009b") {
		t.Errorf("got %+v", r)
	}
}

func TestCheckedSetsRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := rapid.SliceOf(rapid.Byte()).Draw(t, "bytes")
		if _, ok := attr.Check(b); ok {
			a, err := attr.Parse(b)
			if err != nil || string(attr.Append(nil, &a)) != string(b) {
				t.Fatalf("%q is taken as canonical, but is not: %v", b, err)
			}
		}
	})
}

func FuzzDecode(f *testing.F) {
	for _, m := range messages() {
		f.Add(Append(nil, m))
	}
	f.Fuzz(func(t *testing.T, frame []byte) {
		m, n := Decode(frame)
		if n != nil {
			return
		}
		if u, ok := m.(*bgp.Update); ok {
			if len(u.Withdrawn) > bgp.MaxUpdateRoutes {
				t.Fatalf("%d withdrawals", len(u.Withdrawn))
			}
			for _, g := range u.Announced {
				if _, ok := attr.Check(g.Attributes); !ok {
					t.Fatalf("delivers a set that breaks a rule: %q", g.Attributes)
				}
				a, err := attr.Parse(g.Attributes)
				if err != nil || string(attr.Append(nil, &a)) != string(g.Attributes) {
					t.Fatalf("set %q does not round-trip: %v", g.Attributes, err)
				}
			}
			u.Malformed = nil
		}
		again, n := Decode(Append(nil, m))
		if n != nil {
			t.Fatalf("what was read cannot be read again: %v", n)
		}
		if diff := cmp.Diff(m, again, cmpopts.EquateEmpty()); diff != "" {
			t.Fatalf("(-first +second):\n%s", diff)
		}
	})
}

func BenchmarkUpdate(b *testing.B) {
	u := &bgp.Update{}
	for i := range 400 {
		a := bgp.Attributes{
			NodePath: []bgp.NodeID{{Org: "acme.example", Name: "b"}, {Org: "acme.example", Name: "c"}},
			Protocol: bgp.HTTP,
			Region:   fmt.Sprintf("r%d", i),
			Tags:     []string{fmt.Sprintf("tag-%d", i)},
		}
		u.Announced = append(u.Announced, bgp.Group{
			Attributes: encodedSet(a),
			Routes:     []bgp.NLRI{{Service: bgp.Service(fmt.Sprintf("service-%d.acme.example", i))}},
		})
	}
	frame := Append(nil, u)
	b.Run("decode", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, n := Decode(frame); n != nil {
				b.Fatal(n)
			}
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/400, "ns/route")
	})
	b.Run("encode", func(b *testing.B) {
		buf := make([]byte, 0, len(frame))
		for b.Loop() {
			buf = Append(buf[:0], u)
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/400, "ns/route")
	})
}
