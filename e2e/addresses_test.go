//go:build e2e

package e2e

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/catalyst-router/catalyst/e2e/examples"
	"github.com/catalyst-router/catalyst/e2e/lab"
)

// zone is a DNS server on loopback, whose records a test changes.
type zone struct {
	address string
	mu      sync.Mutex
	records map[string][]net.IP // guarded by mu; by name with its trailing dot
}

func newZone(t *testing.T) *zone {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	must(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	z := &zone{address: conn.LocalAddr().String(), records: map[string][]net.IP{}}
	go func() {
		buf := make([]byte, 1500)
		for {
			n, from, err := conn.ReadFrom(buf)
			if err != nil {
				return
			}
			if answer, err := z.answer(buf[:n]); err == nil {
				_, _ = conn.WriteTo(answer, from)
			}
		}
	}()
	return z
}

func (z *zone) set(name string, addresses ...string) {
	z.mu.Lock()
	defer z.mu.Unlock()
	z.records[name+"."] = nil
	for _, a := range addresses {
		z.records[name+"."] = append(z.records[name+"."], net.ParseIP(a))
	}
}

func (z *zone) answer(question []byte) ([]byte, error) {
	var m dnsmessage.Message
	if err := m.Unpack(question); err != nil || len(m.Questions) != 1 {
		return nil, errors.New("not one question")
	}
	q := m.Questions[0]
	m.Response, m.Authoritative, m.Additionals = true, true, nil
	z.mu.Lock()
	defer z.mu.Unlock()
	all := z.records[q.Name.String()]
	if len(all) == 0 {
		m.RCode = dnsmessage.RCodeNameError
	}
	for _, ip := range all {
		header := dnsmessage.ResourceHeader{Name: q.Name, Class: dnsmessage.ClassINET, TTL: 1}
		if v4 := ip.To4(); v4 != nil && q.Type == dnsmessage.TypeA {
			m.Answers = append(m.Answers, dnsmessage.Resource{Header: header, Body: &dnsmessage.AResource{A: [4]byte(v4)}})
		} else if v4 == nil && q.Type == dnsmessage.TypeAAAA {
			m.Answers = append(m.Answers, dnsmessage.Resource{
				Header: header,
				Body:   &dnsmessage.AAAAResource{AAAA: [16]byte(ip)},
			})
		}
	}
	return m.Pack()
}

// listenAt starts an HTTP workload at an address, and returns its port.
func listenAt(t *testing.T, host, instance string) (port string) {
	t.Helper()
	l, err := net.Listen("tcp", net.JoinHostPort(host, "0"))
	must(t, err)
	go func() { _ = examples.ServeHTTP(t.Context(), l, examples.HTTPAPI(instance)) }()
	_, port, err = net.SplitHostPort(l.Addr().String())
	must(t, err)
	return port
}

// A host with addresses in both families, whose workload listens on one: every call reaches it, whichever family that
// is, and health and trace say the same.
func TestAHostInBothFamilies(t *testing.T) {
	t.Parallel()
	z := newZone(t)
	z.set("both.internal", "127.0.0.1", "::1")
	_, n := world(t, "a", "", "--names-server", z.address, "--names-interval", "1s")
	for family, host := range map[string]string{"four": "127.0.0.1", "six": "::1"} {
		at := "both.internal:" + listenAt(t, host, family)
		for _, svc := range []struct{ name, health string }{{"plain-" + family, "none"},
			{"checked-" + family, "http:/books"}} {
			_, err := n("a").CLI(t.Context(), "route", "add", svc.name, "--addr", at, "--health", svc.health)
			must(t, err)
			answers(t, n("a"), svc.name, family)
			for range 20 {
				if status, body, err := n("a").Get(t.Context(), svc.name+".acme.example", "/books"); err != nil ||
					status != http.StatusOK {
					t.Fatalf("%s: %d %s %v", svc.name, status, body, err)
				}
			}
			out, err := n("a").CLI(t.Context(), "trace", svc.name)
			if err != nil || !strings.Contains(out, "1 of 1 workloads take connections") {
				t.Errorf("trace %s: %v\n%s", svc.name, err, out)
			}
		}
		prints(t, n("a"), "up", "route", "show", "checked-"+family)
	}
	// TCP as well, by CONNECT to the same Envoy.
	l, err := net.Listen("tcp", "[::1]:0")
	must(t, err)
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = fmt.Fprintln(conn, "lines")
			_ = conn.Close()
		}
	}()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	_, err = n("a").CLI(t.Context(), "route", "add", "lines", "-p", "tcp", "--addr", "both.internal:"+port)
	must(t, err)
	portsOf(t, []*lab.Node{n("a")}, "lines").hold(t, "the start", []*lab.Node{n("a")})
}

// A host's records are followed; one that has lost them keeps its last address for as long as was said, and route
// list says so.
func TestAHostThatMovesAndIsLost(t *testing.T) {
	t.Parallel()
	z := newZone(t)
	z.set("web.internal", "127.0.0.1")
	_, n := world(t, "a", "", "--names-server", z.address, "--names-interval", "1s", "--names-keep", "6s")
	port := listenAt(t, "127.0.0.1", "one")
	second, err := net.Listen("tcp", "127.0.0.2:"+port)
	must(t, err)
	go func() { _ = examples.ServeHTTP(t.Context(), second, examples.HTTPAPI("two")) }()
	_, err = n("a").CLI(t.Context(), "route", "add", "books", "--addr", "web.internal:"+port)
	must(t, err)
	answers(t, n("a"), "books", "one")
	z.set("web.internal", "127.0.0.2")
	only(t, n("a"), "books", "two")
	z.set("web.internal")
	prints(t, n("a"), "no such host since", "route", "list")
	prints(t, n("a"), "its last address 127.0.0.2:"+port+" is used until", "route", "list")
	answers(t, n("a"), "books", "two")
	// when the time is over
	says(t, n("a"), "books", http.StatusServiceUnavailable, "Its workload is down, says acme.example/a.")
	prints(t, n("a"), "no such host since", "route", "list")
	z.set("web.internal", "127.0.0.1")
	answers(t, n("a"), "books", "one")
	must(t, lab.Eventually(t.Context(), "nothing is said any more", func(ctx context.Context) error {
		out, err := n("a").CLI(ctx, "route", "list")
		if err == nil && strings.Contains(out, "no such host") {
			err = errors.New(out)
		}
		return err
	}))
}

// Several addresses are replicas: they share the traffic, each has its health, and one that is down or gone costs no
// call.
func TestReplicas(t *testing.T) {
	t.Parallel()
	_, n := world(t, "a b", "b-a")
	one, well := sick(t, "one")
	two, _ := sick(t, "two")
	_, err := n("a").CLI(t.Context(), "route", "add", "books", "--addr", one, "--addr", two, "--health",
		"http:/healthz", "--health-interval", "100ms", "--health-timeout", "90ms")
	must(t, err)
	both(t, n("b"), "books", "one", "two")
	well.Store(false)
	only(t, n("b"), "books", "two")
	prints(t, n("a"), "1 of 2 workloads are down: "+one, "route", "list", "--local")
	prints(t, n("b"), "up", "route", "show", "books")
	well.Store(true)
	both(t, n("b"), "books", "one", "two")
	// Without a check Envoy itself leaves one that takes no connections.
	dead, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	must(t, dead.Close())
	_, err = n("a").CLI(t.Context(), "route", "add", "films", "--addr", dead.Addr().String(), "--addr", two)
	must(t, err)
	answers(t, n("a"), "films", "two")
	for deadline := time.Now().Add(2 * time.Second); time.Now().Before(deadline); {
		if status, body, err := n("b").Get(t.Context(), "films.acme.example", "/books"); err != nil ||
			status != http.StatusOK {
			t.Fatalf("%d %s %v", status, body, err)
		}
	}
}
