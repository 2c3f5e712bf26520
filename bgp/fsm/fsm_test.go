package fsm

import (
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/catalyst-router/catalyst/bgp"
)

var (
	a     = bgp.NodeID{Org: "acme.example", Name: "a"}
	b     = bgp.NodeID{Org: "acme.example", Name: "b"}
	start = time.Unix(1_000_000, 0)
)

func open(n bgp.NodeID) *bgp.Open {
	return &bgp.Open{Version: bgp.Version, Node: n, HoldTime: 90 * time.Second}
}

func TestOpenIsRefused(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(*bgp.Open)
		code   bgp.Code
		sub    bgp.Subcode
		text   string
	}{
		{"another version", func(o *bgp.Open) { o.Version = 2 }, bgp.OpenMessageError, bgp.UnsupportedVersion, "version 2"},
		{"another organisation than the certificate", func(o *bgp.Open) { o.Node.Org = "bravo.example" },
			bgp.OpenMessageError, bgp.BadPeerOrg, "bravo.example/b"},
		{"another node than the certificate", func(o *bgp.Open) { o.Node.Name = "c" }, bgp.OpenMessageError, bgp.BadNodeID,
			"acme.example/c"},
		{"hold time of a second", func(o *bgp.Open) { o.HoldTime = time.Second }, bgp.OpenMessageError,
			bgp.UnacceptableHoldTime, "1s"},
		{"negative hold time", func(o *bgp.Open) { o.HoldTime = -time.Second }, bgp.OpenMessageError,
			bgp.UnacceptableHoldTime, "-1s"},
		{"two providers", func(o *bgp.Open) { o.Role = bgp.RoleProvider }, bgp.OpenMessageError, bgp.RoleMismatch, "role"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			own := *open(a)
			own.Role = bgp.RoleProvider
			s := NewSession(start, Config{Open: own, Remote: b})
			o := open(b)
			o.Role = bgp.RoleCustomer
			tt.change(o)
			got := s.Receive(start, o)
			if got.Fail == nil || got.Fail.Code != tt.code || got.Fail.Subcode != tt.sub ||
				!strings.Contains(got.Fail.Text, tt.text) {
				t.Errorf("got %v, want code %d.%d with %q", got.Fail, tt.code, tt.sub, tt.text)
			}
			if len(got.Send) != 1 || got.Send[0] != bgp.Message(got.Fail) {
				t.Errorf("sends %v, want the notification", got.Send)
			}
		})
	}
}

func TestHoldTimeIsTheLowerAndKeepalivesAThird(t *testing.T) {
	s := NewSession(start, Config{Open: *open(a), Remote: b})
	o := open(b)
	o.HoldTime = 9 * time.Second
	if out := s.Receive(start, o); out.Fail != nil || len(out.Send) != 1 {
		t.Fatalf("OPEN: %+v", out)
	}
	if out := s.Receive(start, bgp.Keepalive{}); !out.Up || s.State() != Established {
		t.Fatalf("KEEPALIVE: %+v in %s", out, s.State())
	}
	if got, want := s.Deadline(), start.Add(3*time.Second); !got.Equal(want) {
		t.Errorf("deadline %s, want the keepalive at %s", got, want)
	}
	if out := s.Tick(start.Add(3 * time.Second)); len(out.Send) != 1 {
		t.Errorf("no keepalive: %+v", out)
	}
	s.Receive(start.Add(5*time.Second), bgp.Keepalive{})
	if out := s.Tick(start.Add(13 * time.Second)); out.Fail != nil {
		t.Errorf("expired 8 s after life: %v", out.Fail)
	}
	if out := s.Tick(start.Add(14 * time.Second)); out.Fail == nil || out.Fail.Code != bgp.HoldTimerExpired {
		t.Errorf("did not expire 9 s after life: %+v", out)
	}
}

func TestZeroHoldTimeNeedsNoKeepalives(t *testing.T) {
	s := NewSession(start, Config{Open: *open(a), Remote: b})
	o := open(b)
	o.HoldTime = 0
	s.Receive(start, o)
	s.Receive(start, bgp.Keepalive{})
	if !s.Deadline().IsZero() {
		t.Errorf("deadline %s, want none", s.Deadline())
	}
}

func TestOutOfOrder(t *testing.T) {
	s := NewSession(start, Config{Open: *open(a), Remote: b})
	if out := s.Receive(start, &bgp.Update{}); out.Fail == nil || out.Fail.Code != bgp.FSMError {
		t.Errorf("UPDATE before OPEN: %+v", out)
	}
	s = NewSession(start, Config{Open: *open(a), Remote: b})
	s.Receive(start, open(b))
	if out := s.Receive(start, &bgp.Update{}); out.Fail == nil || out.Fail.Code != bgp.FSMError {
		t.Errorf("UPDATE before KEEPALIVE: %+v", out)
	}
}

// Both ends of both streams have to choose the same one.
func TestExactlyOneStreamSurvives(t *testing.T) {
	for _, dialler := range []bgp.NodeID{a, b} {
		atA, atB := Survives(a, b, dialler == a), Survives(b, a, dialler == b)
		if atA != atB {
			t.Errorf("stream dialled by %s: a says %v, b says %v", dialler, atA, atB)
		}
		if want := dialler == b; atA != want {
			t.Errorf("stream dialled by %s survives: %v, want %v", dialler, atA, want)
		}
	}
}

func TestBackoffDoublesToAMinute(t *testing.T) {
	var back Backoff
	rnd := rand.New(rand.NewPCG(1, 1))
	for _, want := range []time.Duration{1, 2, 4, 8, 16, 32, 60, 60} {
		want *= time.Second
		if got := back.Next(rnd); got < want || got > want+want/4 {
			t.Errorf("waits %s, want %s to %s", got, want, want+want/4)
		}
	}
	back.Reset()
	if got := back.Next(rnd); got > 1250*time.Millisecond {
		t.Errorf("waits %s after a reset", got)
	}
}

// A node whose process was stopped for a while wakes up with all deadlines past. What its peers said meanwhile waits
// to be read: it must not judge them by its own absence, but give them one more interval.
func TestSleeperJudgesNobody(t *testing.T) {
	own, other := *open(a), open(b)
	own.Capabilities.Liveness, other.Capabilities.Liveness = 100*time.Millisecond, 100*time.Millisecond
	up := func() *Session {
		s := NewSession(start, Config{Open: own, Remote: b})
		s.Receive(start, other)
		s.Receive(start, bgp.Keepalive{})
		return s
	}
	s := up()
	if out := s.Tick(start.Add(350 * time.Millisecond)); out.Fail == nil || out.Fail.Subcode != bgp.LivenessLost {
		t.Errorf("50 ms late: %+v, want the session lost", out)
	}
	s = up()
	woken := start.Add(5 * time.Second)
	if out := s.Tick(woken); out.Fail != nil {
		t.Errorf("woken after 5 s: %v", out.Fail)
	}
	if out := s.Tick(woken.Add(150 * time.Millisecond)); out.Fail == nil {
		t.Error("silent for one more interval, and not lost")
	}
}
