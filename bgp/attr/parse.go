package attr

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/catalyst-router/catalyst/bgp"
)

// Problem is one departure from the encoding's rules that cost the route only the attribute (RFC 7606 §2, "attribute
// discard").
type Problem struct {
	Attribute string // as the protobuf definition names it
	Reason    string
}

func (p Problem) String() string { return p.Attribute + ": " + p.Reason }

// Parse decodes a set that has passed Check. Strings are copied.
func Parse(b []byte) (bgp.Attributes, error) {
	a, problems, err := decode(string(b))
	if err == nil && len(problems) > 0 {
		err = fmt.Errorf("%s", problems[0])
	}
	return a, err
}

// Repair decodes what Check refused. It drops what a route can do without, sorts what should have been sorted, and
// returns the canonical encoding with what it dropped. An error means that the route's path or protocol cannot be
// trusted, so that the route has to be treated as withdrawn (RFC 7606 §2).
func Repair(b []byte) ([]byte, []Problem, error) {
	if len(b) > MaxSize {
		return nil, nil, fmt.Errorf("attributes: %d bytes, the limit is %d", len(b), MaxSize)
	}
	a, problems, err := decode(string(b))
	if err != nil {
		return nil, problems, err
	}
	fixed := Append(nil, &a)
	if _, ok := Check(fixed); !ok {
		return nil, problems, errors.New("attributes: cannot be brought into canonical form")
	}
	return fixed, problems, nil
}

// decode reads leniently: fields in any order, unknown ones ignored, the last of a doubled scalar wins, as protobuf
// has it.
func decode(s string) (bgp.Attributes, []Problem, error) {
	d := decoder{}
	for s != "" {
		field, wire, n := tag(s)
		if n == 0 {
			return d.a, d.problems, errors.New("attributes: bad field tag")
		}
		s = s[n:]
		switch wire {
		case wireVarint:
			v, n := uvarint(s)
			if n == 0 {
				return d.a, d.problems, fmt.Errorf("attributes: field %d: bad varint", field)
			}
			s = s[n:]
			d.number(field, v)
		case wireBytes:
			v, n := lengthDelimited(s)
			if n == 0 {
				return d.a, d.problems, fmt.Errorf("attributes: field %d: runs past the end", field)
			}
			s = s[n:]
			d.text(field, v)
		default:
			return d.a, d.problems, fmt.Errorf("attributes: field %d: wire type %d", field, wire)
		}
	}
	return d.finish()
}

type decoder struct {
	a        bgp.Attributes
	problems []Problem
	fatal    error
}

func (d *decoder) drop(attribute, format string, args ...any) {
	const most = 16
	if len(d.problems) < most {
		d.problems = append(d.problems, Problem{attribute, fmt.Sprintf(format, args...)})
	}
}

func (d *decoder) fail(format string, args ...any) {
	if d.fatal == nil {
		d.fatal = fmt.Errorf(format, args...)
	}
}

func (d *decoder) finish() (bgp.Attributes, []Problem, error) {
	a := &d.a
	if !a.Protocol.Valid() {
		d.fail("protocol: is missing")
	}
	slices.SortFunc(a.Communities, func(x, y bgp.Community) int { return strings.Compare(x.String(), y.String()) })
	a.Communities = slices.Compact(a.Communities)
	slices.Sort(a.Tags)
	a.Tags = slices.Compact(a.Tags)
	return d.a, d.problems, d.fatal
}

func (d *decoder) number(field int, v uint64) {
	switch {
	case field == fieldProtocol:
		if d.a.Protocol = bgp.Protocol(min(v, math.MaxUint8)); !d.a.Protocol.Valid() {
			d.fail("protocol: %d is none", v)
		}
	case field == fieldHealth:
		if v > uint64(bgp.HealthDraining) {
			d.drop("health", "%d is none", v)
			return
		}
		d.a.Health = bgp.Health(v)
	case field == fieldWeight:
		if v > MaxWeight {
			d.drop("weight", "%d is above %d", v, MaxWeight)
			return
		}
		d.a.Weight = uint32(v)
	case v > math.MaxUint32:
		d.drop("number", "%d does not fit 32 bits", v)
	case field == fieldLocalPref:
		d.a.LocalPref = uint32(v)
	case field == fieldMED:
		d.a.MED = uint32(v)
	}
}

func (d *decoder) text(field int, v string) {
	a := &d.a
	switch field {
	case fieldNodePath:
		d.node("node_path", v, &a.NodePath)
	case fieldClusterList:
		d.node("cluster_list", v, &a.ClusterList)
	case fieldOriginator:
		if n, err := bgp.ParseNodeID(v); err != nil {
			d.fail("originator: %w", err)
		} else {
			a.Originator = n
		}
	case fieldCommunities:
		c, err := bgp.ParseCommunity(v)
		switch {
		case err != nil:
			d.fail("communities: %w", err) // it may be one that forbids to pass the route on (RFC 7606 §7.8)
		case len(a.Communities) == bgp.MaxTags:
			d.fail("communities: more than %d", bgp.MaxTags)
		default:
			a.Communities = append(a.Communities, c)
		}
	case fieldOnlyToCustomer:
		// A mark that cannot be read must not be lost: without it the route would leak.
		if org, err := bgp.ParseOrg(v); err != nil {
			d.fail("only_to_customer: %w", err)
		} else {
			a.OnlyToCustomer = org
		}
	case fieldNextHop:
		d.nextHop(v)
	case fieldRegion:
		if v != "" && !IsText(v) {
			d.drop("region", "is not printable or too long")
			return
		}
		a.Region = v
	case fieldTags:
		switch {
		case v == "" || !IsText(v):
			d.drop("tags", "one is not printable or too long")
		case len(a.Tags) == bgp.MaxTags:
			d.drop("tags", "more than %d", bgp.MaxTags)
		default:
			a.Tags = append(a.Tags, v)
		}
	case fieldAttestation:
		a.Attestation = []byte(v)
	}
}

func (d *decoder) node(attribute, v string, path *[]bgp.NodeID) {
	n, err := bgp.ParseNodeID(v)
	switch {
	case err != nil:
		d.fail("%s: %w", attribute, err)
	case len(*path) == bgp.MaxHops:
		d.fail("%s: more than %d hops", attribute, bgp.MaxHops)
	default:
		*path = append(*path, n)
	}
}

func (d *decoder) nextHop(v string) {
	node, address, ok := splitNextHop(v)
	if !ok || !isNextHop(v) {
		d.fail("next_hop: cannot be read")
		return
	}
	d.a.NextHop = bgp.NextHop{Address: address}
	if node == "" {
		return
	}
	n, err := bgp.ParseNodeID(node)
	if err != nil {
		d.fail("next_hop: %w", err)
	}
	d.a.NextHop.Node = n
}
