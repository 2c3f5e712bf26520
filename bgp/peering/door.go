package peering

import (
	"context"
	"io"
	"net"
	"net/netip"
	"slices"
	"sync"
	"syscall"
	"time"

	"golang.org/x/time/rate"
)

// What one source may do before it has shown a certificate.
const (
	newcomers   = 256             // connections, of all sources together, that have not shown yet whose they are
	firstWord   = 3 * time.Second // within which a connection has to say something
	knockBurst  = 200             // handshakes of one source in a row that come to nothing
	knockEvery  = time.Second / 50
	mostSources = 4096 // that are told apart
)

// A door holds the connections that have not shown yet whose they are. Anybody can open some, so it is fair among
// sources (an IPv4 address, or the /64 of an IPv6 address) and spends little before the first word, which a TLS
// client sends with its first packet:
//
//   - While a connection has said nothing it costs a goroutine. When there are too many, the door closes one of the
//     source that has most: its oldest connection that has said nothing, or if all have spoken, its oldest.
//   - A connection that has said something begins TLS, unless its source has begun too many of late: then it is
//     closed. One that shows a certificate gives back what it cost.
//
// An example: somebody opens 3,000 connections a second and says nothing. A peer whose handshake takes 300 ms is not
// closed for them, since it is the only one that has spoken.
type door struct {
	limit int

	mu      sync.Mutex
	here    []*guest                 // guarded by mu; the oldest first
	sources map[netip.Prefix]*source // guarded by mu
}

// source is where connections come from.
type source struct {
	rate *rate.Limiter // of handshakes
	here int           // connections at the door
}

// guest is a connection that has not shown yet whose it is.
type guest struct {
	net.Conn
	from   netip.Prefix
	cancel context.CancelFunc
	spoke  bool    // guarded by the door's mu
	first  [1]byte // its first byte, until Read has returned it
	owed   bool
}

// await waits for the first byte.
func (g *guest) await() error {
	if err := g.SetReadDeadline(time.Now().Add(firstWord)); err != nil {
		return err
	}
	if _, err := io.ReadFull(g.Conn, g.first[:]); err != nil {
		return err
	}
	g.owed = true
	return g.SetReadDeadline(time.Time{})
}

// Read implements net.Conn.
func (g *guest) Read(b []byte) (int, error) {
	if g.owed && len(b) > 0 {
		g.owed = false
		b[0] = g.first[0]
		return 1, nil
	}
	return g.Conn.Read(b)
}

// SyscallConn implements syscall.Conn, which the stream's socket asks for.
func (g *guest) SyscallConn() (syscall.RawConn, error) {
	if c, ok := g.Conn.(syscall.Conn); ok {
		return c.SyscallConn()
	}
	return nil, syscall.ENOTSUP
}

// enter lets a connection in, which cancel turns out. leave has to be called when it is known whose it is, or that
// nobody will know.
func (d *door) enter(raw net.Conn, cancel context.CancelFunc) *guest {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.here) >= d.limit {
		d.turnOut()
	}
	g := &guest{Conn: raw, from: sourceOf(raw.RemoteAddr()), cancel: cancel}
	d.source(g.from).here++
	d.here = append(d.here, g)
	return g
}

// speaks notes that a connection has said something, and tells whether it may go on.
func (d *door) speaks(now time.Time, g *guest) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	g.spoke = true
	return d.source(g.from).rate.AllowN(now, 1)
}

func (d *door) leave(now time.Time, g *guest, known bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if i := slices.Index(d.here, g); i >= 0 {
		d.remove(i)
	}
	if known {
		d.source(g.from).rate.AllowN(now, -1)
	}
	g.cancel()
}

// turnOut makes room. The caller holds mu.
func (d *door) turnOut() {
	most := 0
	for _, s := range d.sources {
		most = max(most, s.here)
	}
	oldest := -1
	for i, g := range d.here {
		if d.sources[g.from].here < most {
			continue
		}
		if !g.spoke {
			oldest = i
			break
		}
		if oldest < 0 {
			oldest = i
		}
	}
	d.here[oldest].cancel()
	d.remove(oldest)
}

func (d *door) remove(i int) {
	d.sources[d.here[i].from].here--
	d.here = slices.Delete(d.here, i, i+1)
}

// source returns a source's books. The caller holds mu.
func (d *door) source(from netip.Prefix) *source {
	if s := d.sources[from]; s != nil {
		return s
	}
	if d.sources == nil {
		d.sources = map[netip.Prefix]*source{}
	}
	if len(d.sources) >= mostSources {
		for p, s := range d.sources {
			if s.here == 0 {
				delete(d.sources, p) // in no order; who has many addresses is not held back by the rate of one anyway
			}
			if len(d.sources) <= mostSources/2 {
				break
			}
		}
	}
	s := &source{rate: rate.NewLimiter(rate.Every(knockEvery), knockBurst)}
	d.sources[from] = s
	return s
}

// sourceOf returns the source of an address; the zero prefix for one that is none.
func sourceOf(a net.Addr) netip.Prefix {
	tcp, ok := a.(*net.TCPAddr)
	if !ok {
		return netip.Prefix{}
	}
	ip, bits := tcp.AddrPort().Addr().Unmap().WithZone(""), 32
	if ip.Is6() {
		bits = 64
	}
	p, err := ip.Prefix(bits)
	if err != nil {
		return netip.Prefix{}
	}
	return p
}
