package wire

import (
	"fmt"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/catalyst-router/catalyst/bgp"
)

// Field numbers of message Frame.
const (
	frameOpen         = 1
	frameUpdate       = 2
	frameKeepalive    = 3
	frameNotification = 4
	frameRefresh      = 5
	frameSubscribe    = 6
	frameReport       = 12
	frameTraceRequest = 13
	frameTraceReply   = 14
	frameRules        = 15
	frameAttest       = 16
	frameBulletin     = 20
	frameWhyRequest   = 21
	frameWhyReply     = 22
	frameHops         = 23
)

// Append appends m's frame to dst.
func Append(dst []byte, m bgp.Message) []byte {
	switch m := m.(type) {
	case *bgp.Update:
		return appendUpdate(dst, m)
	case bgp.Keepalive:
		return appendMessage(dst, frameKeepalive, nil)
	case *bgp.Open:
		return appendMessage(dst, frameOpen, openBody(m))
	case *bgp.Notification:
		var b []byte
		b = appendUint(b, 1, uint64(m.Code))
		b = appendUint(b, 2, uint64(m.Subcode))
		b = appendText(b, 3, m.Text)
		return appendMessage(dst, frameNotification, b)
	case *bgp.Refresh:
		return appendMessage(dst, frameRefresh, nil)
	case *bgp.Subscribe:
		var b []byte
		for _, s := range m.Services {
			b = appendText(b, 1, string(s))
		}
		b = appendBool(b, 2, m.Everything)
		return appendMessage(dst, frameSubscribe, b)
	case *bgp.Rules:
		return appendMessage(dst, frameRules, appendBool(appendBool(nil, 1, m.Import), 2, m.Export))
	case *bgp.Attest:
		return appendMessage(dst, frameAttest, appendText(appendText(nil, 1, string(m.Signed)), 2, string(m.Chunk)))
	case *bgp.Report:
		return appendMessage(dst, frameReport, reportBody(m))
	case *bgp.TraceRequest:
		return appendMessage(dst, frameTraceRequest, traceRequestBody(m))
	case *bgp.TraceReply:
		return appendMessage(dst, frameTraceReply, traceReplyBody(m))
	case *bgp.WhyRequest:
		return appendMessage(dst, frameWhyRequest, appendText(appendFixed64(nil, 1, m.ID), 2, string(m.Service)))
	case *bgp.WhyReply:
		return appendMessage(dst, frameWhyReply, whyReplyBody(m))
	case *bgp.Hops:
		return appendMessage(dst, frameHops, hopsBody(m))
	case *bgp.Bulletin:
		return appendMessage(dst, frameBulletin, appendText(nil, 1, string(m.Body)))
	}
	panic(fmt.Sprintf("wire: message of unknown type %T", m)) // a new message type without its case here
}

func appendMessage(dst []byte, field protowire.Number, body []byte) []byte {
	dst = protowire.AppendTag(dst, field, protowire.BytesType)
	return protowire.AppendBytes(dst, body)
}

func appendUint(dst []byte, field protowire.Number, v uint64) []byte {
	if v == 0 {
		return dst
	}
	dst = protowire.AppendTag(dst, field, protowire.VarintType)
	return protowire.AppendVarint(dst, v)
}

func appendText(dst []byte, field protowire.Number, s string) []byte {
	if s == "" {
		return dst
	}
	dst = protowire.AppendTag(dst, field, protowire.BytesType)
	return protowire.AppendString(dst, s)
}

func appendBool(dst []byte, field protowire.Number, v bool) []byte {
	return appendUint(dst, field, protowire.EncodeBool(v))
}

func millis(d time.Duration) uint64 { return uint64(max(0, d.Milliseconds())) }

func openBody(o *bgp.Open) []byte {
	var c []byte
	c = appendUint(c, 1, millis(o.Capabilities.GracefulRestart))
	c = appendBool(c, 2, o.Capabilities.Restarting)
	c = appendUint(c, 3, millis(o.Capabilities.LongLivedStale))
	c = appendUint(c, 4, uint64(o.Capabilities.AddPath))
	c = appendBool(c, 5, o.Capabilities.Refresh)
	c = appendBool(c, 6, o.Capabilities.Subscribe)
	c = appendUint(c, 7, millis(o.Capabilities.Liveness))
	c = appendBool(c, 8, o.Capabilities.Client)
	c = appendBool(c, 12, o.Capabilities.Reports)
	c = appendBool(c, 13, o.Capabilities.Trace)
	c = appendBool(c, 14, o.Capabilities.Rules)
	c = appendBool(c, 15, o.Capabilities.Attest)
	c = appendBool(c, 20, o.Capabilities.Bulletins)
	c = appendBool(c, 21, o.Capabilities.Why)
	c = appendBool(c, 22, o.Capabilities.Hops)
	c = appendBool(c, 23, o.Capabilities.Patterns)
	var b []byte
	b = appendUint(b, 1, uint64(o.Version))
	b = appendText(b, 2, o.Node.String())
	b = appendUint(b, 3, millis(o.HoldTime))
	b = appendText(b, 4, o.Ingress)
	b = appendUint(b, 5, uint64(o.Role))
	if o.BootID != 0 {
		b = protowire.AppendTag(b, 6, protowire.Fixed64Type)
		b = protowire.AppendFixed64(b, o.BootID)
	}
	return appendMessage(b, 7, c)
}

func reportBody(r *bgp.Report) []byte {
	var b []byte
	b = appendText(b, 1, string(r.Service))
	b = appendText(b, 2, r.Node.String())
	b = appendUint(b, 3, uint64(r.Kind))
	b = appendText(b, 4, r.Text)
	return appendUint(b, 5, uint64(r.Hops))
}

// appendUpdate writes sizes first and bodies after, so that nothing is copied twice.
func appendUpdate(dst []byte, u *bgp.Update) []byte {
	dst = protowire.AppendTag(dst, frameUpdate, protowire.BytesType)
	dst = protowire.AppendVarint(dst, uint64(updateSize(u)))
	for i := range u.Withdrawn {
		dst = appendRoute(dst, 1, &u.Withdrawn[i])
	}
	for i := range u.Announced {
		g := &u.Announced[i]
		dst = protowire.AppendTag(dst, 2, protowire.BytesType)
		dst = protowire.AppendVarint(dst, uint64(groupSize(g)))
		dst = protowire.AppendTag(dst, 1, protowire.BytesType)
		dst = protowire.AppendBytes(dst, g.Attributes)
		for j := range g.Routes {
			dst = appendRoute(dst, 2, &g.Routes[j])
		}
	}
	dst = appendUint(dst, 3, uint64(u.Marker))
	if u.Trace.TraceID != [16]byte{} {
		dst = protowire.AppendTag(dst, 4, protowire.BytesType)
		dst = protowire.AppendBytes(dst, u.Trace.TraceID[:])
		dst = protowire.AppendTag(dst, 5, protowire.BytesType)
		dst = protowire.AppendBytes(dst, u.Trace.SpanID[:])
	}
	if u.Trace.Declared != 0 {
		dst = protowire.AppendTag(dst, 6, protowire.Fixed64Type)
		dst = protowire.AppendFixed64(dst, uint64(u.Trace.Declared))
	}
	return dst
}

func appendRoute(dst []byte, field protowire.Number, n *bgp.NLRI) []byte {
	dst = protowire.AppendTag(dst, field, protowire.BytesType)
	dst = protowire.AppendVarint(dst, uint64(routeSize(n)))
	dst = appendText(dst, 1, string(n.Service))
	return appendUint(dst, 2, uint64(n.PathID))
}

func routeSize(n *bgp.NLRI) int {
	size := 0
	if n.Service != "" {
		size = 1 + protowire.SizeBytes(len(n.Service))
	}
	if n.PathID != 0 {
		size += 1 + protowire.SizeVarint(uint64(n.PathID))
	}
	return size
}

func groupSize(g *bgp.Group) int {
	size := 1 + protowire.SizeBytes(len(g.Attributes))
	for i := range g.Routes {
		size += 1 + protowire.SizeBytes(routeSize(&g.Routes[i]))
	}
	return size
}

func updateSize(u *bgp.Update) int {
	size := 0
	for i := range u.Withdrawn {
		size += 1 + protowire.SizeBytes(routeSize(&u.Withdrawn[i]))
	}
	for i := range u.Announced {
		size += 1 + protowire.SizeBytes(groupSize(&u.Announced[i]))
	}
	if u.Marker != 0 {
		size += 1 + protowire.SizeVarint(uint64(u.Marker))
	}
	if u.Trace.TraceID != [16]byte{} {
		size += 1 + protowire.SizeBytes(16) + 1 + protowire.SizeBytes(8)
	}
	if u.Trace.Declared != 0 {
		size += 1 + 8
	}
	return size
}
