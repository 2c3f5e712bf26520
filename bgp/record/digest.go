package record

import (
	"encoding/binary"
	"fmt"
	"strings"

	"github.com/cespare/xxhash/v2"

	"github.com/catalyst-router/catalyst/bgp"
	"github.com/catalyst-router/catalyst/bgp/attr"
	"github.com/catalyst-router/catalyst/bgp/speaker"
	"github.com/catalyst-router/catalyst/bgp/wire"
)

// digest is what a speaker did in one step, as a number. Routes count by themselves, so that neither their order in
// messages nor where one message ends and the next begins makes a difference.
type digest struct{ buf []byte }

func (d *digest) of(effects []speaker.Effect) uint64 {
	var sum uint64
	for _, eff := range effects {
		if s, ok := eff.(speaker.Send); ok {
			sum += d.sent(s)
			continue
		}
		d.buf = append(d.buf[:0], effectText(eff, nil)...)
		sum += xxhash.Sum64(d.buf)
	}
	return sum
}

func (d *digest) sent(s speaker.Send) uint64 {
	d.buf = binary.AppendUvarint(d.buf[:0], uint64(s.Conn))
	head := len(d.buf)
	u, ok := s.Msg.(*bgp.Update)
	if !ok {
		d.buf = wire.Append(d.buf, s.Msg)
		return xxhash.Sum64(d.buf)
	}
	var sum uint64
	for i := range u.Withdrawn {
		d.buf = appendRoute(append(d.buf[:head], 'w'), &u.Withdrawn[i])
		sum += xxhash.Sum64(d.buf)
	}
	for i := range u.Announced {
		g := &u.Announced[i]
		d.buf = binary.LittleEndian.AppendUint64(append(d.buf[:head], 'a'), xxhash.Sum64(g.Attributes))
		at := len(d.buf)
		for j := range g.Routes {
			d.buf = appendRoute(d.buf[:at], &g.Routes[j])
			sum += xxhash.Sum64(d.buf)
		}
	}
	if u.Marker != bgp.NoMarker {
		d.buf = append(d.buf[:head], 'm', byte(u.Marker))
		sum += xxhash.Sum64(d.buf)
	}
	return sum
}

func appendRoute(dst []byte, n *bgp.NLRI) []byte {
	return append(binary.AppendUvarint(dst, uint64(n.PathID)), n.Service...)
}

// names are the peers behind streams.
type names map[speaker.ConnID]bgp.NodeID

func (n names) of(c speaker.ConnID) string {
	if peer, ok := n[c]; ok {
		return fmt.Sprintf("%s (stream %d)", peer, c)
	}
	return fmt.Sprintf("stream %d", c)
}

// eventText is an event in one line.
func eventText(ev speaker.Event, n names) string {
	switch ev := ev.(type) {
	case speaker.Received:
		return "received from " + n.of(ev.Conn) + ": " + messageText(ev.Msg)
	case speaker.Writable:
		return "writable " + n.of(ev.Conn)
	case speaker.Tick:
		return "tick"
	case speaker.Restored:
		return "restored"
	case speaker.ConnUp:
		return fmt.Sprintf("stream %d with %s is up, dialled here: %t", ev.Conn, ev.Remote, ev.Dialled)
	case speaker.ConnDown:
		return fmt.Sprintf("%s is down: %s", n.of(ev.Conn), ev.Err)
	case speaker.DialFailed:
		return fmt.Sprintf("dial of %s failed: %s", ev.Peer, ev.Err)
	case speaker.LocalSet:
		return fmt.Sprintf("offer %s %s", ev.Service, attributesText(&ev.Attributes))
	case speaker.LocalRemoved:
		return fmt.Sprintf("offer %s no more", ev.Service)
	case speaker.PeerSet:
		return fmt.Sprintf("peer %s at %v", ev.Peer.Node, ev.Peer.Addresses)
	case speaker.PeerRemoved:
		return fmt.Sprintf("remove peer %s", ev.Node)
	case speaker.Guarded:
		return fmt.Sprintf("routes are guarded by %q, made of %d bytes", ev.Set, len(ev.Source))
	case speaker.Say:
		return fmt.Sprintf("say to %s: %s", ev.Peer, messageText(ev.Msg))
	}
	return strings.TrimPrefix(fmt.Sprintf("%T%+v", ev, ev), "speaker.")
}

// effectText is an effect in one line.
func effectText(eff speaker.Effect, n names) string {
	switch eff := eff.(type) {
	case speaker.Send:
		return "send to " + n.of(eff.Conn) + ": " + messageText(eff.Msg)
	case speaker.CloseConn:
		return "close " + n.of(eff.Conn)
	case speaker.Dial:
		return fmt.Sprintf("dial %s at %s", eff.Peer, eff.Address)
	case speaker.SessionChanged:
		text := fmt.Sprintf("session with %s: %s to %s", eff.Peer, eff.From, eff.To)
		if eff.Remote {
			text += ", by the peer"
		}
		return strings.TrimSuffix(text+": "+eff.Reason, ": ")
	case speaker.Heard:
		return fmt.Sprintf("heard from %s: %s", eff.Peer, messageText(eff.Msg))
	}
	return strings.TrimPrefix(fmt.Sprintf("%T%+v", eff, eff), "speaker.")
}

func messageText(m bgp.Message) string {
	switch m := m.(type) {
	case *bgp.Update:
		return updateText(m)
	case *bgp.Open:
		return fmt.Sprintf("OPEN of %s, hold time %s", m.Node, m.HoldTime)
	case bgp.Keepalive:
		return "KEEPALIVE"
	case *bgp.Notification:
		return "NOTIFICATION " + m.Error()
	case *bgp.Refresh:
		return "REFRESH"
	case *bgp.TraceRequest:
		return fmt.Sprintf("TRACE-REQUEST %s", m.Service)
	case *bgp.TraceReply:
		return fmt.Sprintf("TRACE-REPLY of %d hops", len(m.Hops))
	case *bgp.WhyRequest:
		return fmt.Sprintf("WHY-REQUEST %s", m.Service)
	case *bgp.Hops:
		return fmt.Sprintf("HOPS, %d of them", len(m.Signed))
	case *bgp.Bulletin:
		return fmt.Sprintf("BULLETIN of %d bytes", len(m.Body))
	}
	return strings.TrimPrefix(fmt.Sprintf("%T%+v", m, m), "*bgp.")
}

// maxListed bounds the routes that one line names.
const maxListed = 20

func updateText(u *bgp.Update) string {
	var parts []string
	listed := 0
	route := func(n *bgp.NLRI) string {
		listed++
		if n.PathID != 0 {
			return fmt.Sprintf("%s#%d", n.Service, n.PathID)
		}
		return string(n.Service)
	}
	for i := 0; i < len(u.Withdrawn) && listed < maxListed; i++ {
		parts = append(parts, "-"+route(&u.Withdrawn[i]))
	}
	total := len(u.Withdrawn)
	for i := range u.Announced {
		g := &u.Announced[i]
		total += len(g.Routes)
		if listed >= maxListed {
			continue
		}
		text := "its attributes break a rule"
		if a, err := attr.Parse(g.Attributes); err == nil {
			text = attributesText(&a)
		}
		for j := 0; j < len(g.Routes) && listed < maxListed; j++ {
			parts = append(parts, "+"+route(&g.Routes[j])+" "+text)
		}
	}
	if total > listed {
		parts = append(parts, fmt.Sprintf("and %d more", total-listed))
	}
	if u.Marker != bgp.NoMarker {
		parts = append(parts, [...]string{bgp.EndOfRIB: "End-of-RIB", bgp.BeginOfRefresh: "begin of refresh",
			bgp.EndOfRefresh: "end of refresh"}[u.Marker])
	}
	return "UPDATE " + strings.Join(parts, ", ")
}

func attributesText(a *bgp.Attributes) string {
	path := make([]string, 0, len(a.NodePath))
	for _, n := range a.NodePath {
		path = append(path, n.String())
	}
	text := fmt.Sprintf("(%s", a.Protocol)
	if len(path) > 0 {
		text += " by " + strings.Join(path, " → ")
	}
	if a.LocalPref != 0 {
		text += fmt.Sprintf(", preference %d", a.LocalPref)
	}
	if a.MED != 0 {
		text += fmt.Sprintf(", MED %d", a.MED)
	}
	if a.Health != bgp.HealthUnknown {
		text += ", " + a.Health.String()
	}
	for _, c := range a.Communities {
		text += ", " + c.String()
	}
	return text + ")"
}
