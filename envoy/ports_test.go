package envoy

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/catalyst-router/catalyst/bgp"
)

func TestParsePorts(t *testing.T) {
	got, err := ParsePorts("[8000, [9000, 9002]]")
	if err != nil || !slices.Equal(got, []uint16{8000, 9000, 9001, 9002}) {
		t.Errorf("got %v, %v", got, err)
	}
	for _, bad := range []string{"", "8000", "[0]", "[70000]", "[[9, 8]]", "[[1, 2, 3]]", "[1, 1]", `["x"]`} {
		if got, err := ParsePorts(bad); err == nil {
			t.Errorf("%q gives %v", bad, got)
		}
	}
}

type store struct {
	kept map[bgp.Service]uint16
	err  error
}

func (s *store) SavePort(svc bgp.Service, port uint16) error {
	if s.err == nil {
		s.kept[svc] = port
	}
	return s.err
}

func (s *store) DeletePort(svc bgp.Service) error {
	if s.err == nil {
		delete(s.kept, svc)
	}
	return s.err
}

func TestPortPool(t *testing.T) {
	s := &store{kept: map[bgp.Service]uint16{}}
	p := NewPortPool([]uint16{1, 2}, nil, s)
	want := func(svc bgp.Service, port uint16) {
		t.Helper()
		if got, err := p.Port(svc); got != port || err != nil {
			t.Errorf("%s has %d, %v; want %d", svc, got, err, port)
		}
	}
	want("a", 1)
	want("b", 2)
	want("a", 1)
	if _, err := p.Port("c"); err == nil || !strings.Contains(err.Error(), "envoy.tcp-ports") {
		t.Errorf("an empty pool says %v", err)
	}
	p = NewPortPool([]uint16{1, 2}, s.kept, s) // a restart
	want("b", 2)
	want("a", 1)
	p.Release("a")
	want("c", 1)
	// What cannot be kept is not given, and what cannot be forgotten is not given to another.
	s.err = errors.New("disk full")
	p.Release("c")
	if _, err := p.Port("d"); err == nil {
		t.Error("a port was given that could not be kept")
	}
	s.err = nil
	want("c", 1)
}
