package peering

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/catalyst-router/catalyst/bgp"
	"github.com/catalyst-router/catalyst/bgp/attr"
	"github.com/catalyst-router/catalyst/bgp/speaker"
)

// took is how long the next message of a stream is put off.
func took(t *testing.T, p *pace, a *account) time.Duration {
	t.Helper()
	began := time.Now()
	if err := p.await(t.Context(), a); err != nil {
		t.Fatal(err)
	}
	return time.Since(began)
}

// Who sends much is put off while somebody else is there, and not otherwise.
func TestWhoSendsMuchIsPutOffForOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		calls := false
		ready := make(chan struct{})
		p := &pace{serving: func() bool { return calls }, ready: ready}
		a, b := &account{}, &account{}
		<-time.After(time.Minute)
		flood := func() time.Duration { a.charge(time.Now(), 10*time.Millisecond); return took(t, p, a) }
		if d := flood(); d != 0 {
			t.Errorf("nobody is there, and a message is put off for %s", d)
		}
		if !b.charge(time.Now(), 100*time.Microsecond) {
			t.Error("one message in a while is much")
		}
		p.heard(time.Now())
		if d := flood(); d != 0 {
			t.Errorf("the node has not got its tables back, and a message is put off for %s", d)
		}
		close(ready)
		if d := flood(); d < firstPause*10*time.Millisecond {
			t.Errorf("another peer said something, and a message is put off for %s alone", d)
		}
		if b.charge(time.Now(), unpaid); took(t, p, b) != 0 {
			t.Error("who sends little is put off")
		}
		<-time.After(othersLast)
		if d := flood(); d != 0 {
			t.Errorf("the other peer said nothing for long, and a message is put off for %s", d)
		}
		if calls = true; flood() == 0 {
			t.Error("applications are served, and a message is not put off")
		}
	})
}

// Pauses grow while cores are wanting, up to a limit, and shrink when they are not.
func TestPausesFollowTheMachine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &account{}
		const work = 500 * time.Microsecond
		pause := func() time.Duration {
			<-time.After(time.Millisecond)
			a.charge(time.Now(), work)
			return a.pause(time.Now())
		}
		a.charge(time.Now(), 2*littleWork)
		a.pause(time.Now())
		first := pause()
		late := tooLate + tooLate/2
		a.paused(late)
		if second := pause(); second != 2*first-late {
			t.Errorf("a pause ended %s late, and the next is %s after %s", late, second, first)
		}
		for range 20 {
			a.paused(5 * time.Millisecond)
		}
		if pause(); pause() != mostPause*work {
			t.Errorf("the longest pause is not %s", mostPause*work)
		}
		for range 400 {
			a.paused(0)
		}
		if d := pause(); d != inTime {
			t.Errorf("a machine with room still puts a message off for %s", d)
		}
		a.charge(time.Now(), time.Minute)
		a.paused(time.Second)
		a.paused(time.Second)
		if d := a.pause(time.Now()); d > longest {
			t.Errorf("a pause of %s", d)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		ready := make(chan struct{})
		close(ready)
		p := &pace{at: time.Now(), ready: ready}
		a.charge(time.Now(), time.Second)
		if p.await(ctx, a) == nil {
			t.Error("a pause outlasts its session")
		}
	})
}

// A peer is put off for what it says of itself, and not for what it passes on.
func TestWhatIsPassedOnIsNotPutOff(t *testing.T) {
	crowd, far := bgp.NodeID{Org: "acme.example", Name: "crowd"}, bgp.NodeID{Org: "acme.example", Name: "far"}
	update := func(path ...bgp.NodeID) speaker.Event {
		set := attr.Append(nil, &bgp.Attributes{Protocol: bgp.HTTP, NodePath: path})
		return speaker.Received{Msg: &bgp.Update{Announced: []bgp.Group{{
			Attributes: set, Routes: []bgp.NLRI{{Service: "x.acme.example"}},
		}}}}
	}
	if !isOwn(update(crowd)) || isOwn(update(crowd, far)) || !isOwn(speaker.Received{Msg: &bgp.Subscribe{}}) {
		t.Error("own routes and requests count, and nothing else")
	}
}

// Who is put off still sends much: what it says is no word of somebody else, for whom it would be put off.
func TestWhoIsPutOffIsNobodyElse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, little := &account{times: mostPause}, 0
		ready := make(chan struct{})
		p := &pace{ready: ready, serving: func() bool { return true }}
		close(ready)
		for i := range 600 {
			if a.charge(time.Now(), unpaid) && i > 150 {
				little++
			}
			took(t, p, a)
			a.paused(2 * tooLate)
		}
		if little > 0 {
			t.Errorf("%d of 450 portions of a flood count as the word of somebody who sends little", little)
		}
		<-time.After(3 * time.Second)
		if !a.charge(time.Now(), unpaid) {
			t.Error("who was quiet for long still sends much")
		}
	})
}

// What a message costs is judged by what is in it: so many routes, names and bytes.
func TestCostsGoByWhatIsSent(t *testing.T) {
	one := speaker.Received{Msg: &bgp.Update{Withdrawn: make([]bgp.NLRI, 1)}}
	many := speaker.Received{Msg: &bgp.Update{Announced: []bgp.Group{{Routes: make([]bgp.NLRI, 1000)}}}}
	names := speaker.Received{Msg: &bgp.Subscribe{Services: make([]bgp.Service, 10_000)}}
	if few := 100 * costOf(one, 100); few > littleWork {
		t.Errorf("100 single routes cost %s, which is much", few)
	}
	for ev, least := range map[*speaker.Received]time.Duration{&many: 900 * costOfRoute, &names: 9000 * costOfName} {
		if cost := costOf(*ev, 0); cost < least {
			t.Errorf("%T costs %s", ev.Msg, cost)
		}
	}
	if costOf(one, 1<<20) < time.Millisecond {
		t.Error("a mebibyte costs next to nothing")
	}
	p := &pace{at: time.Now()}
	if n := len(p.portions(many)); n != 1000/portionRoutes {
		t.Errorf("a thousand routes are taken in %d portions", n)
	}
	if n := len((&pace{}).portions(many)); n != 1 {
		t.Errorf("nobody else is there, and a thousand routes are taken in %d portions", n)
	}
}
