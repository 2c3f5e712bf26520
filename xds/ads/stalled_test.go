package ads_test

import (
	"encoding/json"
	"net"
	"net/http"
	"strconv"
	"testing"

	"github.com/catalyst-router/catalyst/bgp"
	"github.com/catalyst-router/catalyst/xds"
)

// allocated is what the plane's Envoy has of memory, in bytes.
func (p *plane) allocated() int {
	p.t.Helper()
	var m struct{ Allocated string }
	if err := json.Unmarshal([]byte(p.admin("/memory")), &m); err != nil {
		p.t.Fatal(err)
	}
	n, err := strconv.Atoi(m.Allocated)
	if err != nil {
		p.t.Fatal(err)
	}
	return n
}

// A stream that nobody reads costs each Envoy on its way its window and the buffer of one connection at the most,
// however much its workload has to say: what Envoy takes of memory grows by no more than that for each.
func TestAStalledStreamIsBounded(t *testing.T) {
	t.Parallel()
	const streams, window = 40, 256 << 10
	limits := xds.Limits{StreamWindow: window}
	org := newAuthority(t, "acme.example")
	with := func(p *plane) { p.cfg.Limits = limits }
	a, c := newPlaneConfigured(t, org, "a", with), newPlaneConfigured(t, org, "c", with)
	a.server.Open()
	c.server.Open()
	w := newStoppable(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for block := make([]byte, 64<<10); r.Context().Err() == nil; {
			if _, err := w.Write(block); err != nil {
				return
			}
		}
	}))
	a.apply(to(books, bgp.HTTP, []xds.Target{backend(w.address)}))
	c.apply(to(books, bgp.HTTP, []xds.Target{a.hop()}))
	c.answers(books)
	before := map[*plane]int{a: a.allocated(), c: c.allocated()}
	for range streams {
		conn, err := net.Dial("tcp", c.egress)
		if err != nil {
			t.Fatal(err)
		}
		if tcp, ok := conn.(*net.TCPConn); !ok || tcp.SetReadBuffer(4<<10) != nil { // Envoy is to hold it, not the system
			t.Fatal("the buffer cannot be set")
		}
		t.Cleanup(func() { _ = conn.Close() })
		if _, err := conn.Write([]byte("GET / HTTP/1.1\r\nHost: " + string(books) + "\r\n\r\n")); err != nil {
			t.Fatal(err)
		}
	}
	waitFor(t, "all are answered", func() bool {
		return a.stat("cluster.hops/beside-http1.upstream_rq_active") >= streams
	})
	sent, same := 0, 0
	waitFor(t, "nothing moves any more", func() bool {
		now := a.stat("cluster.hops/beside-http1.upstream_cx_rx_bytes_total")
		if same++; now != sent {
			sent, same = now, 0
		}
		return same >= 50 && sent > streams*window
	})
	t.Logf("%d KiB of each stream were read from the workload", sent/streams>>10)
	for p, was := range before {
		each := (p.allocated() - was) / streams
		t.Logf("%s: %d KiB for each stalled stream", p.id, each>>10)
		if most := window + 2*(256<<10) + (64 << 10); each > most {
			t.Errorf("%s: a stalled stream costs %d bytes, want %d at the most", p.id, each, most)
		}
	}
}
