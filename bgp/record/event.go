package record

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/catalyst-router/catalyst/bgp"
	"github.com/catalyst-router/catalyst/bgp/attr"
	"github.com/catalyst-router/catalyst/bgp/speaker"
	"github.com/catalyst-router/catalyst/bgp/wire"
)

// Kinds of events in a file. Numbers are for ever.
const (
	kindReceived       = 1
	kindWritable       = 2
	kindTick           = 3
	kindPeerSet        = 4
	kindPeerRemoved    = 5
	kindPeerReset      = 6
	kindLocalSet       = 7
	kindLocalRemoved   = 8
	kindConnUp         = 9
	kindConnDown       = 10
	kindDialFailed     = 11
	kindUndecodable    = 12
	kindNextHopChanged = 13
	kindDrain          = 14
	kindRestored       = 15
	kindSay            = 16
	kindShutdown       = 17
	kindProblem        = 18
	kindRemember       = 19
	kindAgree          = 20
	kindAttestKeys     = 21
	kindAttestSet      = 22
	kindAttestPath     = 23
	kindHopSigned      = 24
	kindGuarded        = 25
	kindFeed           = 100 // a consumer of the Loc-RIB came, took something, or went
)

// localSet is speaker.LocalSet with its attributes as a peer would get them.
type localSet struct {
	Service bgp.Service
	Set     []byte
	Trace   bgp.Trace
	Yields  bool `json:",omitempty"`
}

// say is speaker.Say with its message as a frame.
type say struct {
	Peer  bgp.NodeID
	Frame []byte
}

// received is what a frame does not hold of a message.
type received struct{ Malformed []bgp.Malformed }

// appendEvent appends an event's kind and body.
func appendEvent(dst []byte, ev speaker.Event) ([]byte, error) {
	switch ev := ev.(type) {
	case speaker.Received:
		return appendReceived(dst, ev)
	case speaker.Writable:
		return binary.AppendUvarint(append(dst, kindWritable), uint64(ev.Conn)), nil
	case speaker.Tick:
		return append(dst, kindTick), nil
	case speaker.Restored:
		return append(dst, kindRestored), nil
	case speaker.LocalSet:
		return appendJSON(dst, kindLocalSet, localSet{ev.Service, attr.Append(nil, &ev.Attributes), ev.Trace, ev.Yields})
	case speaker.Say:
		return appendJSON(dst, kindSay, say{ev.Peer, wire.Append(nil, ev.Msg)})
	}
	if kind := kindOf(ev); kind != 0 {
		return appendJSON(dst, kind, ev)
	}
	return dst, fmt.Errorf("event of unknown type %T", ev)
}

// kindOf is the kind of an event that stands as JSON; 0 for another.
func kindOf(ev speaker.Event) byte {
	switch ev.(type) {
	case speaker.PeerSet:
		return kindPeerSet
	case speaker.PeerRemoved:
		return kindPeerRemoved
	case speaker.PeerReset:
		return kindPeerReset
	case speaker.LocalRemoved:
		return kindLocalRemoved
	case speaker.ConnUp:
		return kindConnUp
	case speaker.ConnDown:
		return kindConnDown
	case speaker.DialFailed:
		return kindDialFailed
	case speaker.Undecodable:
		return kindUndecodable
	case speaker.NextHopChanged:
		return kindNextHopChanged
	case speaker.Drain:
		return kindDrain
	case speaker.Shutdown:
		return kindShutdown
	case speaker.Problem:
		return kindProblem
	case speaker.Remember:
		return kindRemember
	case speaker.Agree:
		return kindAgree
	case speaker.AttestKeys:
		return kindAttestKeys
	case speaker.AttestSet:
		return kindAttestSet
	case speaker.AttestPath:
		return kindAttestPath
	case speaker.HopSigned:
		return kindHopSigned
	case speaker.Guarded:
		return kindGuarded
	}
	return 0
}

func appendJSON(dst []byte, kind byte, v any) ([]byte, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return dst, fmt.Errorf("encode %T: %w", v, err)
	}
	return append(append(dst, kind), b...), nil
}

// appendReceived writes the stream, what the frame does not hold (most often nothing), and the frame.
func appendReceived(dst []byte, ev speaker.Received) ([]byte, error) {
	dst = binary.AppendUvarint(append(dst, kindReceived), uint64(ev.Conn))
	var extra []byte
	if u, ok := ev.Msg.(*bgp.Update); ok && len(u.Malformed) > 0 {
		var err error
		if extra, err = json.Marshal(received{u.Malformed}); err != nil {
			return dst, fmt.Errorf("encode %T: %w", ev, err)
		}
	}
	dst = binary.AppendUvarint(dst, uint64(len(extra)))
	return wire.Append(append(dst, extra...), ev.Msg), nil
}

var errShort = errors.New("is cut off") //nolint:gochecknoglobals // a sentinel

// decodeEvent reads an event. It refers to b.
func decodeEvent(b []byte) (speaker.Event, error) {
	if len(b) == 0 {
		return nil, errShort
	}
	kind, body := b[0], b[1:]
	switch kind {
	case kindReceived:
		return decodeReceived(body)
	case kindWritable:
		conn, n := binary.Uvarint(body)
		if n <= 0 {
			return nil, errShort
		}
		return speaker.Writable{Conn: speaker.ConnID(conn)}, nil
	case kindTick:
		return speaker.Tick{}, nil
	case kindRestored:
		return speaker.Restored{}, nil
	case kindLocalSet:
		var l localSet
		if err := json.Unmarshal(body, &l); err != nil {
			return nil, err
		}
		a, err := attr.Parse(l.Set)
		if err != nil {
			return nil, fmt.Errorf("attributes: %w", err)
		}
		return speaker.LocalSet{Service: l.Service, Attributes: a, Trace: l.Trace, Yields: l.Yields}, l.Service.Check()
	case kindSay:
		var s say
		if err := json.Unmarshal(body, &s); err != nil {
			return nil, err
		}
		m, n := wire.Decode(s.Frame)
		if n != nil {
			return nil, n
		}
		return speaker.Say{Peer: s.Peer, Msg: m}, nil
	}
	return decodePlain(kind, body)
}

func decodeReceived(body []byte) (speaker.Event, error) {
	conn, n := binary.Uvarint(body)
	if n <= 0 {
		return nil, errShort
	}
	extra, m := binary.Uvarint(body[n:])
	if m <= 0 || extra > uint64(len(body)-n-m) {
		return nil, errShort
	}
	at := n + m + int(extra) //nolint:gosec // it is within body
	msg, notification := wire.Decode(body[at:])
	if notification != nil {
		return nil, notification
	}
	if u, ok := msg.(*bgp.Update); ok && extra > 0 {
		var r received
		if err := json.Unmarshal(body[n+m:at], &r); err != nil {
			return nil, err
		}
		u.Malformed = r.Malformed
	}
	return speaker.Received{Conn: speaker.ConnID(conn), Msg: msg}, nil
}

// decodePlain reads an event that stands as JSON, and checks what a speaker relies on.
func decodePlain(kind byte, body []byte) (speaker.Event, error) {
	switch kind {
	case kindPeerSet:
		return plain(body, func(ev speaker.PeerSet) error { return checkPeer(&ev.Peer) })
	case kindPeerRemoved:
		return plain(body, unchecked[speaker.PeerRemoved])
	case kindPeerReset:
		return plain(body, unchecked[speaker.PeerReset])
	case kindLocalRemoved:
		return plain(body, func(ev speaker.LocalRemoved) error { return ev.Service.Check() })
	case kindConnUp:
		return plain(body, unchecked[speaker.ConnUp])
	case kindConnDown:
		return plain(body, unchecked[speaker.ConnDown])
	case kindDialFailed:
		return plain(body, unchecked[speaker.DialFailed])
	case kindUndecodable:
		return plain(body, func(ev speaker.Undecodable) error {
			if ev.Notification == nil {
				return errors.New("undecodable without a notification")
			}
			return nil
		})
	case kindNextHopChanged:
		return plain(body, unchecked[speaker.NextHopChanged])
	case kindDrain:
		return plain(body, unchecked[speaker.Drain])
	case kindShutdown:
		return plain(body, unchecked[speaker.Shutdown])
	case kindProblem:
		return plain(body, func(ev speaker.Problem) error { return ev.Service.Check() })
	case kindRemember:
		return plain(body, func(ev speaker.Remember) error { return ev.Offers.Service.Check() })
	case kindAgree:
		return plain(body, func(ev speaker.Agree) error { return ev.Service.Check() })
	case kindAttestKeys:
		return plain(body, unchecked[speaker.AttestKeys])
	case kindAttestSet:
		return plain(body, unchecked[speaker.AttestSet])
	case kindAttestPath:
		return plain(body, unchecked[speaker.AttestPath])
	case kindHopSigned:
		return plain(body, unchecked[speaker.HopSigned])
	case kindGuarded:
		return plain(body, unchecked[speaker.Guarded])
	}
	return nil, fmt.Errorf("event of unknown kind %d: the recording is of another version", kind)
}

// plain reads an event in JSON.
func plain[T speaker.Event](body []byte, check func(T) error) (speaker.Event, error) {
	var ev T
	if err := json.Unmarshal(body, &ev); err != nil {
		return nil, err
	}
	if err := check(ev); err != nil {
		return nil, err
	}
	return ev, nil
}

func unchecked[T speaker.Event](T) error { return nil }

func checkPeer(p *speaker.Peer) error {
	if p.Node.IsZero() {
		return errors.New("peer without a node")
	}
	if p.Import != nil {
		if err := p.Import.Validate(); err != nil {
			return fmt.Errorf("import: %w", err)
		}
	}
	if p.Export != nil {
		if err := p.Export.Validate(); err != nil {
			return fmt.Errorf("export: %w", err)
		}
	}
	return nil
}
