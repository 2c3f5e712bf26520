package attr

import (
	"encoding/binary"

	"github.com/catalyst-router/catalyst/bgp"
)

// The field numbers of message Attributes.
const (
	fieldNodePath       = 1
	fieldProtocol       = 2
	fieldLocalPref      = 3
	fieldMED            = 4
	fieldCommunities    = 5
	fieldOnlyToCustomer = 6
	fieldNextHop        = 7
	fieldOriginator     = 8
	fieldClusterList    = 9
	fieldHealth         = 10
	fieldWeight         = 11
	fieldRegion         = 12
	fieldTags           = 13
	fieldAttestation    = 14

	fieldNextHopNode    = 1 // of message NextHop
	fieldNextHopAddress = 2
)

// Wire types of protobuf.
const (
	wireVarint = 0
	wireBytes  = 2
)

// MaxSize is the most bytes of one encoded set.
const MaxSize = 32 << 10

// Append appends the canonical encoding of a to dst. It trusts a: the communities and tags have to be sorted and
// without doubles, and the limits kept (Check tells).
func Append(dst []byte, a *bgp.Attributes) []byte {
	for _, n := range a.NodePath {
		dst = appendNode(dst, fieldNodePath, n)
	}
	dst = appendVarint(dst, fieldProtocol, uint64(a.Protocol))
	dst = appendVarint(dst, fieldLocalPref, uint64(a.LocalPref))
	dst = appendVarint(dst, fieldMED, uint64(a.MED))
	for _, c := range a.Communities {
		dst = appendString(dst, fieldCommunities, c.String())
	}
	if a.OnlyToCustomer != "" {
		dst = appendString(dst, fieldOnlyToCustomer, string(a.OnlyToCustomer))
	}
	if a.NextHop != (bgp.NextHop{}) {
		var inner []byte
		if !a.NextHop.Node.IsZero() {
			inner = appendNode(inner, fieldNextHopNode, a.NextHop.Node)
		}
		if a.NextHop.Address != "" {
			inner = appendString(inner, fieldNextHopAddress, a.NextHop.Address)
		}
		dst = appendString(dst, fieldNextHop, string(inner))
	}
	if !a.Originator.IsZero() {
		dst = appendNode(dst, fieldOriginator, a.Originator)
	}
	for _, n := range a.ClusterList {
		dst = appendNode(dst, fieldClusterList, n)
	}
	dst = appendVarint(dst, fieldHealth, uint64(a.Health))
	dst = appendVarint(dst, fieldWeight, uint64(a.Weight))
	if a.Region != "" {
		dst = appendString(dst, fieldRegion, a.Region)
	}
	for _, t := range a.Tags {
		dst = appendString(dst, fieldTags, t)
	}
	if len(a.Attestation) > 0 {
		dst = appendString(dst, fieldAttestation, string(a.Attestation))
	}
	return dst
}

// PrependHop appends to dst the set b with the node self, in its short form, as the new nearest hop.
func PrependHop(dst []byte, self string, b []byte) []byte {
	dst = appendString(dst, fieldNodePath, self)
	return append(dst, b...)
}

func appendVarint(dst []byte, field int, v uint64) []byte {
	if v == 0 {
		return dst
	}
	dst = binary.AppendUvarint(dst, uint64(field)<<3|wireVarint)
	return binary.AppendUvarint(dst, v)
}

func appendString(dst []byte, field int, s string) []byte {
	dst = binary.AppendUvarint(dst, uint64(field)<<3|wireBytes)
	dst = binary.AppendUvarint(dst, uint64(len(s)))
	return append(dst, s...)
}

func appendNode(dst []byte, field int, n bgp.NodeID) []byte {
	dst = binary.AppendUvarint(dst, uint64(field)<<3|wireBytes)
	dst = binary.AppendUvarint(dst, uint64(len(n.Org)+1+len(n.Name)))
	dst = append(dst, n.Org...)
	dst = append(dst, '/')
	return append(dst, n.Name...)
}
