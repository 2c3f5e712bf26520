package wire

import (
	"errors"
	"math"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
	"unsafe"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/catalyst-router/catalyst/bgp"
	"github.com/catalyst-router/catalyst/bgp/attr"
)

// maxMalformed bounds what an UPDATE's books say of its own faults.
const maxMalformed = 32

// Decode reads one frame. The message refers to frame, which must not be changed while it is in use. An error is the
// NOTIFICATION to end the session with: only framing that is lost, a message of no known kind, or a limit of the
// whole message is worth that.
func Decode(frame []byte) (bgp.Message, *bgp.Notification) {
	if len(frame) > bgp.MaxMessageSize {
		return nil, bgp.Notify(bgp.MessageHeaderError, bgp.BadMessageLength, "message of %d bytes: the limit is %d",
			len(frame), bgp.MaxMessageSize)
	}
	var m bgp.Message
	err := fields(frame, func(f field) error {
		var err error
		switch f.number {
		case frameOpen:
			m, err = decodeOpen(f.bytes)
		case frameUpdate:
			m, err = decodeUpdate(f.bytes)
		case frameKeepalive:
			m = bgp.Keepalive{}
		case frameNotification:
			m, err = decodeNotification(f.bytes)
		case frameRefresh:
			m = &bgp.Refresh{}
		case frameSubscribe:
			m, err = decodeSubscribe(f.bytes)
		case frameRules:
			m, err = decodeRules(f.bytes)
		case frameAttest:
			m, err = decodeAttest(f.bytes)
		case frameReport:
			m, err = decodeReport(f.bytes)
		case frameTraceRequest:
			m, err = decodeTraceRequest(f.bytes)
		case frameTraceReply:
			m, err = decodeTraceReply(f.bytes)
		case frameWhyRequest:
			m, err = decodeWhyRequest(f.bytes)
		case frameWhyReply:
			m, err = decodeWhyReply(f.bytes)
		case frameHops:
			m, err = decodeHops(f.bytes)
		case frameBulletin:
			m, err = decodeBulletin(f.bytes)
		}
		return err
	})
	var n *bgp.Notification
	switch {
	case errors.As(err, &n):
		return nil, n
	case err != nil:
		return nil, bgp.Notify(bgp.MessageHeaderError, bgp.BadMessageLength, "message: %v", err)
	case m == nil:
		return nil, bgp.Notify(bgp.MessageHeaderError, bgp.BadMessageType, "message of no known kind")
	}
	return m, nil
}

// field is one field of a message.
type field struct {
	number protowire.Number
	value  uint64 // of a number
	bytes  []byte // of anything else; nil for a number
}

// fields walks a message. Unknown fields are passed on like known ones: it is for yield to ignore them.
func fields(b []byte, yield func(field) error) error {
	for len(b) > 0 {
		num, typ, n := protowire.ConsumeTag(b)
		if n < 0 {
			return errors.New("cut off or malformed")
		}
		b = b[n:]
		f := field{number: num}
		switch typ {
		case protowire.VarintType:
			f.value, n = protowire.ConsumeVarint(b)
		case protowire.Fixed64Type:
			f.value, n = protowire.ConsumeFixed64(b)
		case protowire.BytesType:
			f.bytes, n = protowire.ConsumeBytes(b)
			if f.bytes == nil {
				f.bytes = []byte{}
			}
		default:
			n = protowire.ConsumeFieldValue(num, typ, b)
			f.number = 0
		}
		if n < 0 {
			return errors.New("cut off or malformed")
		}
		b = b[n:]
		if err := yield(f); err != nil {
			return err
		}
	}
	return nil
}

func decodeOpen(b []byte) (*bgp.Open, error) {
	o := &bgp.Open{}
	err := fields(b, func(f field) error {
		switch f.number {
		case 1:
			o.Version = uint32(min(f.value, math.MaxUint32))
		case 2:
			node, err := bgp.ParseNodeID(string(f.bytes))
			if err != nil {
				return bgp.Notify(bgp.OpenMessageError, bgp.BadNodeID, "OPEN: %v", err)
			}
			o.Node = node
		case 3:
			o.HoldTime = duration(f.value)
		case 4:
			if len(f.bytes) > bgp.MaxEndpointLength || !utf8.Valid(f.bytes) {
				return bgp.Notify(bgp.OpenMessageError, 0, "OPEN: ingress: want at most %d characters", bgp.MaxEndpointLength)
			}
			o.Ingress = string(f.bytes)
		case 5:
			o.Role = bgp.Role(min(f.value, uint64(bgp.RolePeer)+1))
		case 6:
			o.BootID = f.value
		case 7:
			return decodeCapabilities(f.bytes, &o.Capabilities)
		}
		return nil
	})
	if err == nil && o.Node.IsZero() {
		err = bgp.Notify(bgp.OpenMessageError, bgp.BadNodeID, "OPEN: node: is missing")
	}
	if err == nil && o.Role > bgp.RolePeer {
		err = bgp.Notify(bgp.OpenMessageError, bgp.RoleMismatch, "OPEN: role: is none that is known")
	}
	return o, err
}

func decodeCapabilities(b []byte, c *bgp.Capabilities) error {
	return fields(b, func(f field) error {
		switch f.number {
		case 1:
			c.GracefulRestart = min(duration(f.value), maxRestart)
		case 2:
			c.Restarting = f.value != 0
		case 3:
			c.LongLivedStale = min(duration(f.value), maxLongLived)
		case 4:
			c.AddPath = uint8(min(f.value, maxAddPath))
		case 5:
			c.Refresh = f.value != 0
		case 6:
			c.Subscribe = f.value != 0
		case 7:
			c.Liveness = duration(f.value)
		case 8:
			c.Client = f.value != 0
		case 12:
			c.Reports = f.value != 0
		case 13:
			c.Trace = f.value != 0
		case 14:
			c.Rules = f.value != 0
		case 15:
			c.Attest = f.value != 0
		case 20:
			c.Bulletins = f.value != 0
		case 21:
			c.Why = f.value != 0
		case 22:
			c.Hops = f.value != 0
		case 23:
			c.Patterns = f.value != 0
		}
		return nil
	})
}

// What a peer may ask for at the most.
const (
	maxRestart   = 4095 * time.Second // RFC 4724 §3 has 12 bits for it
	maxLongLived = 7 * 24 * time.Hour
	maxAddPath   = 64
)

func duration(ms uint64) time.Duration {
	return time.Duration(min(ms, math.MaxInt64/uint64(time.Millisecond))) * time.Millisecond
}

func decodeNotification(b []byte) (*bgp.Notification, error) {
	var code, sub uint64
	var text string
	err := fields(b, func(f field) error {
		switch f.number {
		case 1:
			code = f.value
		case 2:
			sub = f.value
		case 3:
			text = printable(f.bytes, bgp.MaxNotificationText)
		}
		return nil
	})
	return &bgp.Notification{
		Code:    bgp.Code(min(code, math.MaxUint8)),
		Subcode: bgp.Subcode(min(sub, math.MaxUint8)),
		Text:    text,
	}, err
}

// printable returns at most so many bytes of a text that ends on the other operator's terminal.
func printable(b []byte, limit int) string {
	text := strings.ToValidUTF8(string(b[:min(len(b), limit)]), "")
	return strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f && r < 0xa0 {
			return ' '
		}
		return r
	}, text)
}

// decodeReport reads a report. One that names no service or no node says nothing, and comes out with the zero value
// there: it is not worth the session.
func decodeReport(b []byte) (*bgp.Report, error) {
	r := &bgp.Report{}
	err := fields(b, func(f field) error {
		switch f.number {
		case 1:
			if svc := bgp.Service(f.bytes); svc.Check() == nil {
				r.Service = svc
			}
		case 2:
			if node, err := bgp.ParseNodeID(string(f.bytes)); err == nil {
				r.Node = node
			}
		case 3:
			r.Kind = bgp.ReportKind(min(f.value, math.MaxUint8))
		case 4:
			r.Text = printable(f.bytes, bgp.MaxReportText)
		case 5:
			r.Hops = uint8(min(f.value, math.MaxUint8))
		}
		return nil
	})
	return r, err
}

func decodeRules(b []byte) (*bgp.Rules, error) {
	r := &bgp.Rules{}
	err := fields(b, func(f field) error {
		switch f.number {
		case 1:
			r.Import = f.value != 0
		case 2:
			r.Export = f.value != 0
		}
		return nil
	})
	return r, err
}

// decodeAttest reads a manifest or a chunk, which refer to b. What is in them is package attest's to judge.
func decodeAttest(b []byte) (*bgp.Attest, error) {
	a := &bgp.Attest{}
	err := fields(b, func(f field) error {
		switch f.number {
		case 1:
			a.Signed = f.bytes
		case 2:
			a.Chunk = f.bytes
		}
		return nil
	})
	return a, err
}

func decodeSubscribe(b []byte) (*bgp.Subscribe, error) {
	s := &bgp.Subscribe{}
	err := fields(b, func(f field) error {
		if f.number == 2 {
			s.Everything = f.value != 0
		}
		if f.number != 1 {
			return nil
		}
		if len(s.Services) == bgp.MaxSubscriptions {
			return bgp.Notify(bgp.MessageHeaderError, bgp.BadMessageLength, "SUBSCRIBE: more than %d names",
				bgp.MaxSubscriptions)
		}
		svc := bgp.Service(f.bytes)
		if err := svc.Check(); err == nil {
			s.Services = append(s.Services, svc)
		}
		return nil
	})
	return s, err
}

func decodeUpdate(b []byte) (*bgp.Update, error) {
	d := updateDecoder{u: &bgp.Update{}}
	withdrawn, announced, err := countRoutes(b)
	if err != nil {
		return nil, err
	}
	if n := withdrawn + announced; n > bgp.MaxUpdateRoutes {
		return nil, bgp.Notify(bgp.UpdateMessageError, bgp.MalformedAttributes, "UPDATE of %d routes: the limit is %d", n,
			bgp.MaxUpdateRoutes)
	}
	if withdrawn > 0 {
		d.u.Withdrawn = make([]bgp.NLRI, 0, withdrawn)
	}
	d.routes = make([]bgp.NLRI, announced)
	err = fields(b, d.field)
	if d.u.Trace.TraceID == [16]byte{} {
		d.u.Trace.SpanID = [8]byte{} // a span of no trace
	}
	return d.u, err
}

// countRoutes counts what an UPDATE holds, before anything is allocated for it.
func countRoutes(b []byte) (withdrawn, announced int, err error) {
	err = fields(b, func(f field) error {
		switch {
		case f.number == 1 && f.bytes != nil:
			withdrawn++
		case f.number == 2 && f.bytes != nil:
			return fields(f.bytes, func(g field) error {
				if g.number == 2 && g.bytes != nil {
					announced++
				}
				return nil
			})
		}
		return nil
	})
	return withdrawn, announced, err
}

type updateDecoder struct {
	u      *bgp.Update
	routes []bgp.NLRI // block that the groups' lists are cut from
}

func (d *updateDecoder) field(f field) error {
	u := d.u
	switch f.number {
	case 1:
		if f.bytes == nil {
			return nil
		}
		if n, ok := d.route(f.bytes); ok {
			u.Withdrawn = append(u.Withdrawn, n)
		}
	case 2:
		if f.bytes != nil {
			return d.group(f.bytes)
		}
	case 3:
		u.Marker = bgp.Marker(min(f.value, uint64(bgp.EndOfRefresh)+1))
		if u.Marker > bgp.EndOfRefresh {
			u.Marker = bgp.NoMarker
		}
	case 4:
		copy(u.Trace.TraceID[:], f.bytes)
	case 5:
		copy(u.Trace.SpanID[:], f.bytes)
	case 6:
		u.Trace.Declared = int64(f.value)
	}
	return nil
}

// group reads an attribute set and its routes, and applies RFC 7606 to both.
func (d *updateDecoder) group(b []byte) error {
	g := bgp.Group{Routes: d.routes[:0]}
	err := fields(b, func(f field) error {
		switch {
		case f.number == 1 && f.bytes != nil:
			g.Attributes = f.bytes
		case f.number == 2 && f.bytes != nil:
			if n, ok := d.route(f.bytes); ok {
				g.Routes = append(g.Routes, n)
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	d.routes = d.routes[len(g.Routes):]
	g.Routes = g.Routes[:len(g.Routes):len(g.Routes)]
	if _, ok := attr.Check(g.Attributes); !ok && !d.repair(&g) {
		return nil
	}
	if len(g.Routes) > 0 {
		d.u.Announced = append(d.u.Announced, g)
	}
	return nil
}

// repair mends a set if its routes can do without what is wrong with it, and withdraws them if not; it tells which.
func (d *updateDecoder) repair(g *bgp.Group) bool {
	fixed, dropped, err := attr.Repair(g.Attributes)
	var first bgp.Service
	if len(g.Routes) > 0 {
		first = g.Routes[0].Service
	}
	for _, p := range dropped {
		d.malformed(bgp.Malformed{
			Service:   first,
			Attribute: p.Attribute,
			Reason:    p.Reason,
			Routes:    len(g.Routes),
			Bytes:     g.Attributes,
		})
	}
	if err != nil {
		d.malformed(bgp.Malformed{
			Service:   first,
			Attribute: "attributes",
			Reason:    err.Error(),
			Withdrawn: true,
			Routes:    len(g.Routes),
			Bytes:     g.Attributes,
		})
		d.u.Withdrawn = append(d.u.Withdrawn, g.Routes...)
		return false
	}
	g.Attributes = fixed
	return true
}

// malformed enters a fault; what is beyond the limit is counted with the last.
func (d *updateDecoder) malformed(m bgp.Malformed) {
	if n := len(d.u.Malformed); n == maxMalformed {
		d.u.Malformed[n-1].Routes += m.Routes
		return
	}
	m.Bytes = m.Bytes[:min(len(m.Bytes), bgp.MaxFaultBytes)]
	d.u.Malformed = append(d.u.Malformed, m)
}

// route reads a service's name and path id, and says whether the name is one.
func (d *updateDecoder) route(b []byte) (bgp.NLRI, bool) {
	var n bgp.NLRI
	whole, ok := b, true
	for len(b) > 0 {
		num, typ, size := protowire.ConsumeTag(b)
		if size < 0 {
			ok = false
			break
		}
		b = b[size:]
		switch {
		case num == 1 && typ == protowire.BytesType:
			var v []byte
			if v, size = protowire.ConsumeBytes(b); size >= 0 {
				n.Service = bgp.Service(unsafe.String(unsafe.SliceData(v), len(v)))
			}
		case num == 2 && typ == protowire.VarintType:
			var v uint64
			v, size = protowire.ConsumeVarint(b)
			n.PathID = uint32(v)
		default:
			size = protowire.ConsumeFieldValue(num, typ, b)
		}
		if size < 0 {
			ok = false
			break
		}
		b = b[size:]
	}
	if ok {
		if err := n.Service.Check(); err == nil {
			return n, true
		}
	}
	d.malformed(bgp.Malformed{
		Attribute: "service",
		Reason:    "is no service name",
		Withdrawn: true,
		Routes:    1,
		Bytes:     whole,
	})
	return bgp.NLRI{}, false
}

// decodeBulletin reads a bulletin; one that is too large comes out empty, which says nothing.
func decodeBulletin(b []byte) (*bgp.Bulletin, error) {
	m := &bgp.Bulletin{}
	return m, fields(b, func(f field) error {
		if f.number == 1 && len(f.bytes) <= bgp.MaxBulletin {
			m.Body = slices.Clone(f.bytes)
		}
		return nil
	})
}
