package offer

import (
	"net/netip"
	"slices"
	"testing"
)

// Of a host's addresses those of one family are workloads, and the other family's are other ways to them.
func TestPair(t *testing.T) {
	for _, tt := range []struct {
		addresses []string
		want      []Workload
	}{
		{nil, nil},
		{[]string{"127.0.0.1", "::1"}, []Workload{{Address: "127.0.0.1:80", Other: "[::1]:80"}}},
		{[]string{"::1"}, []Workload{{Address: "[::1]:80"}}},
		{[]string{"10.0.0.1", "10.0.0.2", "fd00::1"},
			[]Workload{{Address: "10.0.0.1:80", Other: "[fd00::1]:80"}, {Address: "10.0.0.2:80"}}},
		{[]string{"10.0.0.1", "fd00::1", "fd00::2"},
			[]Workload{{Address: "[fd00::1]:80", Other: "10.0.0.1:80"}, {Address: "[fd00::2]:80"}}},
	} {
		var addresses []netip.Addr
		for _, a := range tt.addresses {
			addresses = append(addresses, netip.MustParseAddr(a))
		}
		if got := pair(addresses, 80); !slices.Equal(got, tt.want) {
			t.Errorf("%v: got %+v, want %+v", tt.addresses, got, tt.want)
		}
	}
}
