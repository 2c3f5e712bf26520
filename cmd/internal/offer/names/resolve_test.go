package names

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// server is a real DNS server on loopback, whose records a test changes.
type server struct {
	address string

	mu    sync.Mutex
	ips   []string // of web.internal.; guarded by mu
	ttl   uint32   // guarded by mu
	asked int      // for A records; guarded by mu
	short bool     // answers over UDP are cut off; guarded by mu
}

func (s *server) set(ttl uint32, ips ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ttl, s.ips = ttl, ips
}

func (s *server) ServeDNS(w dns.ResponseWriter, q *dns.Msg) {
	s.mu.Lock()
	defer s.mu.Unlock()
	m := new(dns.Msg)
	m.SetReply(q)
	_, udp := w.RemoteAddr().(*net.UDPAddr)
	switch {
	case q.Question[0].Name != "web.internal.":
		m.Rcode = dns.RcodeNameError
	case q.Question[0].Qtype == dns.TypeA && s.short && udp:
		s.asked++
		m.Truncated = true
	case q.Question[0].Qtype == dns.TypeA:
		s.asked++
		m.Answer = append(m.Answer, record("web.internal. %d CNAME farm.internal.", s.ttl+100))
		for _, ip := range s.ips {
			m.Answer = append(m.Answer, record("farm.internal. %d A "+ip, s.ttl))
		}
	}
	_ = w.WriteMsg(m)
}

func record(format string, args ...any) dns.RR {
	rr, err := dns.NewRR(fmt.Sprintf(format, args...))
	if err != nil {
		panic(err)
	}
	return rr
}

func serve(t *testing.T) *server {
	t.Helper()
	s := &server{}
	packet, err := net.ListenPacket("udp", "127.0.0.1:0") //nolint:noctx // at once
	if err != nil {
		t.Fatal(err)
	}
	s.address = packet.LocalAddr().String()
	stream, err := net.Listen("tcp", s.address) //nolint:noctx // at once
	if err != nil {
		t.Fatal(err)
	}
	for _, srv := range []*dns.Server{{PacketConn: packet, Handler: s}, {Listener: stream, Handler: s}} {
		done := make(chan error)
		go func() { done <- srv.ActivateAndServe() }()
		t.Cleanup(func() { _ = srv.Shutdown(); <-done })
	}
	return s
}

// The time to live of an answer is that of its shortest record, over UDP and over TCP, with names completed by Go's
// resolver; a host that no server was asked for has none.
func TestServer(t *testing.T) {
	s := serve(t)
	s.set(7, "10.0.0.1", "10.0.0.2")
	lookup := Server(s.address)
	for _, over := range []string{"UDP", "TCP"} {
		s.mu.Lock()
		s.short = over == "TCP"
		s.mu.Unlock()
		got, err := lookup(t.Context(), "web.internal")
		if err != nil || got.TTL != 7*time.Second || !slices.Equal(inOrder(got.Addresses), addrs("10.0.0.1", "10.0.0.2")) {
			t.Errorf("over %s: %+v, %v", over, got, err)
		}
	}
	if got, err := lookup(t.Context(), "localhost"); err != nil || got.TTL >= 0 {
		t.Errorf("localhost: %+v, %v", got, err)
	}
	if got, err := lookup(t.Context(), "films.internal"); err == nil || !strings.Contains(words(err), "no such host") {
		t.Errorf("films.internal: %+v, %v", got, err)
	}
}

// A name whose records live for a second is at its new address a second later, although others are looked up seldom;
// one whose records live for long is asked once.
func TestFollowingTheTimeToLive(t *testing.T) {
	s := serve(t)
	s.set(1, "10.0.0.1")
	moved := make(chan struct{}, 8)
	set := New(Config{Log: slog.New(slog.DiscardHandler), Lookup: Server(s.address), Interval: time.Hour,
		Changed: func(context.Context, string) { moved <- struct{}{} }})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- set.Run(ctx) }()
	defer func() { cancel(); <-done }()
	set.Follow("books", []string{"web.internal"})
	at := func(ip string) {
		t.Helper()
		select {
		case <-moved:
		case <-time.After(20 * time.Second):
		}
		if got := set.State("web.internal").Addresses; !slices.Equal(got, []netip.Addr{netip.MustParseAddr(ip)}) {
			t.Fatalf("it is at %v, want %s", got, ip)
		}
	}
	at("10.0.0.1")
	s.set(3600, "10.0.0.2")
	at("10.0.0.2")
	s.mu.Lock()
	before := s.asked
	s.mu.Unlock()
	s.set(3600, "10.0.0.3")
	select {
	case <-moved:
		t.Error("records that live for an hour were looked up again within two seconds")
	case <-time.After(2 * time.Second):
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.asked != before {
		t.Errorf("asked %d times more", s.asked-before)
	}
}

// What comes over TCP in pieces, or is no DNS at all, harms nobody.
func TestSegments(t *testing.T) {
	m := new(dns.Msg)
	m.SetQuestion("web.internal.", dns.TypeA)
	m.Response, m.Answer = true, []dns.RR{record("web.internal. 9 A 10.0.0.1")}
	b, err := m.Pack()
	if err != nil {
		t.Fatal(err)
	}
	whole := append([]byte{0, byte(len(b))}, b...)
	for name, text := range map[string]string{
		"twice":     string(whole) + string(whole),
		"and noise": string(whole) + "\x00\x03abc",
	} {
		mine, theirs := net.Pipe()
		seen := &ttl{left: -1}
		go func() { _, _ = theirs.Write([]byte(text)); _ = theirs.Close() }()
		c := &segments{mine, seen, nil}
		for piece := make([]byte, 5); ; {
			if _, err := c.Read(piece); err != nil {
				break
			}
		}
		if seen.get() != 9*time.Second || len(c.got) != 0 {
			t.Errorf("%s: %s, %d bytes left", name, seen.get(), len(c.got))
		}
	}
}
