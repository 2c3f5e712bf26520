package attr_test

import (
	"bytes"
	"cmp"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/catalyst-router/catalyst/bgp"
	"github.com/catalyst-router/catalyst/bgp/attr"
	"github.com/catalyst-router/catalyst/bgp/wire/peeringv1"
)

// drawn makes a set that keeps every limit, with few different nodes and organisations, so that paths come back to
// where they were.
func drawn(rnd *rand.Rand) bgp.Attributes {
	orgs := []bgp.Org{"acme.example", "acme.exampl", "bravo.example", "eu.acme.example"}
	node := func() bgp.NodeID {
		return bgp.NodeID{Org: orgs[rnd.IntN(len(orgs))], Name: []string{"a", "b", "edge-1"}[rnd.IntN(3)]}
	}
	nodes := func(most int) (all []bgp.NodeID) {
		for range rnd.IntN(most + 1) {
			all = append(all, node())
		}
		return all
	}
	a := bgp.Attributes{
		NodePath: nodes(6), Protocol: bgp.Protocol(1 + rnd.IntN(5)), MED: uint32(rnd.IntN(3)) * rnd.Uint32(),
		ClusterList: nodes(3), Health: bgp.Health(rnd.IntN(4)), LocalPref: uint32(rnd.IntN(3)) * 50,
		Weight: uint32(rnd.IntN(attr.MaxWeight + 1)),
	}
	if rnd.IntN(2) == 0 {
		a.OnlyToCustomer = orgs[rnd.IntN(len(orgs))]
	}
	if rnd.IntN(2) == 0 {
		a.NextHop = bgp.NextHop{Node: node(), Address: "192.0.2.1:7450"}
	}
	if rnd.IntN(2) == 0 {
		a.Originator = node()
	}
	if rnd.IntN(2) == 0 {
		a.Region = "eu-west"
	}
	if rnd.IntN(2) == 0 {
		a.Attestation = []byte{1, 2, 3}
	}
	known := []bgp.Community{bgp.NoExport, {Org: "acme.example", Key: "tier", Value: "gold"},
		{Org: "bravo.example", Key: "x", Value: "1"}}
	for _, c := range known {
		if rnd.IntN(2) == 0 {
			a.Communities = append(a.Communities, c)
		}
	}
	slices.SortFunc(a.Communities, func(x, y bgp.Community) int { return cmp.Compare(x.String(), y.String()) })
	for i := range rnd.IntN(4) {
		a.Tags = append(a.Tags, fmt.Sprintf("tag-%d", i))
	}
	return a
}

func texts[T fmt.Stringer](all []T) (out []string) {
	for _, v := range all {
		out = append(out, v.String())
	}
	return out
}

func short(n bgp.NodeID) string {
	if n.IsZero() {
		return ""
	}
	return string(n.Org) + "/" + n.Name
}

func shorts(all []bgp.NodeID) (out []string) {
	for _, n := range all {
		out = append(out, short(n))
	}
	return out
}

// message is the set as the generated code of the protobuf definition has it.
func message(a *bgp.Attributes) *peeringv1.Attributes {
	m := &peeringv1.Attributes{
		NodePath: shorts(a.NodePath), Protocol: peeringv1.Protocol(a.Protocol), LocalPref: a.LocalPref, Med: a.MED,
		Communities: texts(a.Communities), OnlyToCustomer: string(a.OnlyToCustomer), Originator: short(a.Originator),
		ClusterList: shorts(a.ClusterList), Health: peeringv1.Health(a.Health), Weight: a.Weight, Region: a.Region,
		Tags: a.Tags, Attestation: a.Attestation,
	}
	if a.NextHop != (bgp.NextHop{}) {
		m.NextHop = &peeringv1.NextHop{Node: short(a.NextHop.Node), Address: a.NextHop.Address}
	}
	return m
}

// What is encoded is what protobuf's own code writes, passes Check, and is read back as it was; the summary and the
// questions that are answered from the encoded form agree with the decoded one.
func TestEncodedAsProtobufDoesAndRead(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	for range 20_000 {
		a := drawn(rnd)
		b := attr.Append(nil, &a)
		want, err := proto.MarshalOptions{Deterministic: true}.Marshal(message(&a))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(b, want) {
			t.Fatalf("%+v\nis encoded %x\nand by protobuf %x", a, b, want)
		}
		sum, ok := attr.Check(b)
		if !ok {
			t.Fatalf("%+v is refused", a)
		}
		back, err := attr.Parse(b)
		if err != nil || !reflect.DeepEqual(back, a) {
			t.Fatalf("%+v\nis read as %+v, %v", a, back, err)
		}
		agree(t, &a, b, sum)
		if t.Failed() {
			t.Fatalf("%+v", a)
		}
	}
}

// agree compares what the encoded form says with the decoded one.
func agree(t *testing.T, a *bgp.Attributes, b []byte, sum attr.Summary) {
	t.Helper()
	path, hubs := shorts(a.NodePath), shorts(a.ClusterList)
	same := func(what string, got, want any) {
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s is %v, want %v", what, got, want)
		}
	}
	same("hops", int(sum.Hops), len(path))
	same("organisations", int(sum.Orgs), len(a.OrgPath()))
	same("protocol", sum.Protocol, a.Protocol)
	same("health", sum.Health, a.Health)
	same("MED", sum.MED, a.MED)
	same("local preference", sum.LocalPref, cmp.Or(a.LocalPref, bgp.DefaultLocalPref))
	same("weight", uint32(sum.Weight), cmp.Or(a.Weight, attr.DefaultWeight))
	same("next hop", sum.Has(attr.HasNextHop), a.NextHop != bgp.NextHop{})
	same("originator", sum.Has(attr.HasOriginator), !a.Originator.IsZero())
	same("cluster list", sum.Has(attr.HasClusterList), len(hubs) > 0)
	same("only to customer", sum.Has(attr.HasOnlyToCustomer), a.OnlyToCustomer != "")
	same("no-export", sum.Has(attr.HasNoExport), slices.Contains(a.Communities, bgp.NoExport))
	same("origin", sum.Origin(b), short(a.Origin()))
	first := ""
	if len(path) > 0 {
		first = path[0]
	}
	same("first hop", attr.FirstHop(b), first)
	same("count of hubs", attr.CountHubs(b), len(hubs))
	same("node of the next hop", attr.NextHopNode(b), short(a.NextHop.Node))
	same("only to customer", attr.OnlyToCustomer(b), string(a.OnlyToCustomer))
	for _, n := range []string{"acme.example/a", "acme.example/edge", "acme.exampl/a", "bravo.example/b"} {
		same("the path names "+n, attr.ContainsNode(b, n), slices.Contains(path, n))
		same("the cluster list names "+n, attr.ContainsHub(b, n), slices.Contains(hubs, n))
	}
	var orgs []bgp.Org
	attr.EachOrg(b, func(org string) { orgs = append(orgs, bgp.Org(strings.Clone(org))) })
	same("organisations", orgs, a.OrgPath())
	for _, org := range []bgp.Org{"acme.example", "acme.exampl", "bravo.example"} {
		enters, crosses, foreign := false, false, ""
		for i, n := range a.NodePath {
			enters = enters || n.Org == org
			crosses = crosses || n.Org == org && slices.ContainsFunc(a.NodePath[:i], func(before bgp.NodeID) bool {
				return before.Org != org
			})
			if foreign == "" && n.Org != org {
				foreign = string(n.Org)
			}
		}
		same("enters "+string(org), attr.EntersOrg(b, org), enters)
		same("crosses "+string(org), attr.CrossesOrg(b, org), crosses)
		same("first that is not "+string(org), attr.FirstForeignOrg(b, org), foreign)
	}
}

// Putting a hop in front of an encoded set is encoding the set with that hop in front.
func TestPrependHop(t *testing.T) {
	rnd := rand.New(rand.NewPCG(3, 4))
	self := bgp.NodeID{Org: "acme.example", Name: "z"}
	for range 1000 {
		a := drawn(rnd)
		longer := a
		longer.NodePath = append([]bgp.NodeID{self}, a.NodePath...)
		got := attr.PrependHop(nil, short(self), attr.Append(nil, &a))
		if want := attr.Append(nil, &longer); !bytes.Equal(got, want) {
			t.Fatalf("%+v: got %x, want %x", a, got, want)
		}
	}
}

// Every departure from the rules is refused by Check; what a route can do without is dropped by Repair, with its
// name, and what its way or its protocol hangs on is not repaired.
func TestRepair(t *testing.T) {
	good := bgp.Attributes{NodePath: []bgp.NodeID{{Org: "acme.example", Name: "a"}}, Protocol: bgp.HTTP}
	for name, c := range map[string]struct {
		change  func(*peeringv1.Attributes)
		dropped string // the attribute; "" if it is only brought in order
		lost    bool   // the route cannot be trusted
	}{
		"tags out of order":   {change: func(m *peeringv1.Attributes) { m.Tags = []string{"b", "a"} }},
		"a tag twice":         {change: func(m *peeringv1.Attributes) { m.Tags = []string{"a", "a"} }},
		"a tag with a bell":   {change: func(m *peeringv1.Attributes) { m.Tags = []string{"a\a"} }, dropped: "tags"},
		"a region of a space": {change: func(m *peeringv1.Attributes) { m.Region = " " }, dropped: "region"},
		"a weight of 1,001":   {change: func(m *peeringv1.Attributes) { m.Weight = 1001 }, dropped: "weight"},
		"a health of 9":       {change: func(m *peeringv1.Attributes) { m.Health = 9 }, dropped: "health"},
		"a community of no organisation": {
			change: func(m *peeringv1.Attributes) { m.Communities = []string{"acme:x:y"} }, lost: true},
		"a mark of nobody": {
			change: func(m *peeringv1.Attributes) { m.OnlyToCustomer = "acme" }, lost: true},
		"a node without an organisation": {change: func(m *peeringv1.Attributes) { m.NodePath = []string{"a"} }, lost: true},
		"65 hops": {change: func(m *peeringv1.Attributes) {
			m.NodePath = slices.Repeat([]string{"acme.example/a"}, bgp.MaxHops+1)
		}, lost: true},
		"more than 32 KiB": {
			change: func(m *peeringv1.Attributes) { m.Attestation = make([]byte, attr.MaxSize) }, lost: true},
	} {
		m := message(&good)
		c.change(m)
		b, err := proto.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		if _, ok := attr.Check(b); ok {
			t.Errorf("%s: passes", name)
		}
		fixed, problems, err := attr.Repair(b)
		if (err != nil) != c.lost {
			t.Errorf("%s: repaired with %v", name, err)
			continue
		}
		if c.lost {
			continue
		}
		if _, ok := attr.Check(fixed); !ok {
			t.Errorf("%s: what was repaired is refused", name)
		}
		if c.dropped == "" && len(problems) > 0 || c.dropped != "" &&
			(len(problems) != 1 || problems[0].Attribute != c.dropped) {
			t.Errorf("%s: dropped %v, want %q", name, problems, c.dropped)
		}
	}
}

// FuzzCheck: whatever comes from the network, Check takes exactly what is the canonical encoding of what it says, and
// Repair gives something that Check takes, or an error.
func FuzzCheck(f *testing.F) {
	rnd := rand.New(rand.NewPCG(5, 6))
	for range 20 {
		a := drawn(rnd)
		b := attr.Append(nil, &a)
		f.Add(b)
		f.Add(b[:rnd.IntN(len(b))])
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if _, ok := attr.Check(b); ok {
			a, err := attr.Parse(b)
			if err != nil || !bytes.Equal(attr.Append(nil, &a), b) {
				t.Fatalf("%x passes, and is %+v, %v", b, a, err)
			}
			return
		}
		if fixed, _, err := attr.Repair(b); err == nil {
			if _, ok := attr.Check(fixed); !ok {
				t.Fatalf("%x is repaired to %x, which is refused", b, fixed)
			}
		}
	})
}
