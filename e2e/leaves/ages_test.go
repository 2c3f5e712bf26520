//go:build e2e

package leaves

import (
	"encoding/binary"
	"encoding/hex"
	"net/netip"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/catalyst-router/catalyst/e2e/lab"
)

// ages are those of connections to mesh ingresses: as the kernel has them, and, for those of simulated nodes, beyond
// the certificates that they were made with.
type ages struct {
	ports map[uint16]bool

	mu     sync.Mutex
	open   map[[2]netip.AddrPort]time.Time // guarded by mu, as below: when it was seen first
	seen   int
	oldest time.Duration
	exact  int
	beyond time.Duration
}

func newAges(nodes []*lab.Node) *ages {
	a := &ages{ports: map[uint16]bool{}, open: map[[2]netip.AddrPort]time.Time{}, beyond: -life}
	for _, n := range nodes {
		a.ports[netip.MustParseAddrPort(n.Ingress).Port()] = true
	}
	return a
}

// look takes note of the connections that there are.
func (a *ages) look(now time.Time) {
	text, err := os.ReadFile("/proc/net/tcp")
	if err != nil {
		return // the report says that nothing was seen
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	there := map[[2]netip.AddrPort]bool{}
	for line := range strings.Lines(string(text)) {
		f := strings.Fields(line)
		if len(f) < 4 || f[3] != "01" { // TCP_ESTABLISHED
			continue
		}
		local, remote := endpoint(f[1]), endpoint(f[2])
		if !a.ports[local.Port()] {
			continue
		}
		k := [2]netip.AddrPort{local, remote}
		there[k] = true
		if a.open[k].IsZero() {
			a.open[k] = now
			a.seen++
		}
		a.oldest = max(a.oldest, now.Sub(a.open[k]))
	}
	for k := range a.open {
		if !there[k] {
			delete(a.open, k)
		}
	}
}

// endpoint reads an address as the kernel writes it: 0100007F:1F90.
func endpoint(text string) netip.AddrPort {
	host, port, _ := strings.Cut(text, ":")
	h, err1 := hex.DecodeString(host)
	p, err2 := hex.DecodeString(port)
	if err1 != nil || err2 != nil || len(h) != 4 || len(p) != 2 {
		return netip.AddrPort{}
	}
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{h[3], h[2], h[1], h[0]}), binary.BigEndian.Uint16(p))
}

// closed takes note of a connection that was made with certificates of which the first ends then.
func (a *ages) closed(end time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.exact++
	a.beyond = max(a.beyond, time.Since(end))
}

func (a *ages) report(t *testing.T) {
	t.Helper()
	a.mu.Lock()
	defer a.mu.Unlock()
	t.Logf("%d connections to mesh ingresses, the oldest %s; may be %s", a.seen, a.oldest.Round(time.Second), mayLast)
	t.Logf("%d of simulated nodes: one went on for %s after the first of its certificates had ended, none for longer; "+
		"may be %s (negative: it was over before)", a.exact, a.beyond.Round(time.Second), mayOutlive)
	if a.seen == 0 || a.oldest > mayLast || a.beyond > mayOutlive {
		t.Error("connections are older than they may be, or none was seen")
	}
}
