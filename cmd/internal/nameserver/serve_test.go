package nameserver

import (
	"context"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/miekg/dns"
	"go.opentelemetry.io/otel/metric/noop"

	"github.com/catalyst-router/catalyst/bgp"
)

// open serves zones on loopback until the test ends.
func open(t *testing.T, z *Zones) string {
	t.Helper()
	s, err := New(Config{Node: bgp.NodeID{Org: "acme.example", Name: "a"}, Meter: noop.NewMeterProvider().Meter("")})
	if err != nil {
		t.Fatal(err)
	}
	s.zones = z
	l, err := Listen(t.Context(), "127.0.0.1:0")
	for range 20 { // the port that the system chose for UDP may be another program's for TCP
		if err == nil {
			break
		}
		l, err = Listen(t.Context(), "127.0.0.1:0")
	}
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.serve(ctx, l) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return l.Addr().String()
}

func ask(t *testing.T, network, address string, m *dns.Msg) *dns.Msg {
	t.Helper()
	c := dns.Client{Net: network, Timeout: 2 * time.Second}
	var out *dns.Msg
	var err error
	for range 15 { // as resolvers do: a datagram may be lost
		if out, _, err = c.ExchangeContext(t.Context(), m, address); err == nil {
			return out
		}
	}
	t.Fatalf("%s: %v", network, err)
	return nil
}

func TestOverUDPAndTCP(t *testing.T) {
	address := open(t, zones())
	for _, network := range []string{"udp", "tcp"} {
		m := new(dns.Msg).SetQuestion("orders-db.acme.example.", dns.TypeA)
		m.SetEdns0(4096, true)
		out := ask(t, network, address, m)
		opt := out.IsEdns0()
		if len(out.Answer) != 1 || !out.Authoritative || out.RecursionAvailable || out.Truncated || opt == nil ||
			opt.UDPSize() != largest || !opt.Do() {
			t.Errorf("%s: %v", network, out)
		}
		if plain := ask(t, network, address, new(dns.Msg).SetQuestion("acme.example.", dns.TypeSOA)); plain.IsEdns0() != nil {
			t.Errorf("%s: who does not speak EDNS is answered with it: %v", network, plain)
		}
	}
}

func TestWhatIsNotAQuestionForUs(t *testing.T) {
	z := zones()
	ask := func(change func(*dns.Msg)) *dns.Msg {
		m := new(dns.Msg).SetQuestion("orders-db.acme.example.", dns.TypeA)
		m.SetEdns0(1232, false)
		change(m)
		return z.respond(m, true)
	}
	for name, tt := range map[string]struct {
		change func(*dns.Msg)
		want   int
	}{
		"an update":        {func(m *dns.Msg) { m.Opcode = dns.OpcodeUpdate }, dns.RcodeNotImplemented},
		"a transfer":       {func(m *dns.Msg) { m.Question[0].Qtype = dns.TypeAXFR }, dns.RcodeRefused},
		"another class":    {func(m *dns.Msg) { m.Question[0].Qclass = dns.ClassCHAOS }, dns.RcodeRefused},
		"no question":      {func(m *dns.Msg) { m.Question = nil }, dns.RcodeFormatError},
		"two questions":    {func(m *dns.Msg) { m.Question = append(m.Question, m.Question[0]) }, dns.RcodeFormatError},
		"another zone":     {func(m *dns.Msg) { m.Question[0].Name = "www.stranger.example." }, dns.RcodeRefused},
		"a later EDNS":     {func(m *dns.Msg) { m.IsEdns0().SetVersion(1) }, dns.RcodeBadVers},
		"what waits still": {func(m *dns.Msg) { m.Question[0].Name = "new.acme.example." }, dns.RcodeServerFailure},
	} {
		out := ask(tt.change)
		code := out.Rcode
		if opt := out.IsEdns0(); opt != nil {
			code |= opt.ExtendedRcode() &^ 0xf
		}
		if code != tt.want || len(out.Answer) > 0 || out.Authoritative {
			t.Errorf("%s: %s, %v", name, dns.RcodeToString[code], out)
		}
	}
}

// A client that says nothing, or half of something, keeps nobody else waiting and is left; rubbish is answered or
// dropped, and the server lives on.
func TestHostileClients(t *testing.T) {
	address := open(t, zones())
	var d net.Dialer
	for range 20 {
		conn, err := d.DialContext(t.Context(), "tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = conn.Close() }()
		_, _ = conn.Write([]byte{0xff, 0xff, 0})
	}
	udp, err := d.DialContext(t.Context(), "udp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = udp.Close() }()
	for n := range 600 {
		_, _ = udp.Write(make([]byte, n))
	}
	for _, network := range []string{"udp", "tcp"} {
		if out := ask(t, network, address, new(dns.Msg).SetQuestion("books.acme.example.", dns.TypeA)); len(out.Answer) != 1 {
			t.Errorf("%s: %v", network, out)
		}
	}
}

func TestAddresses(t *testing.T) {
	for egress, want := range map[string]string{
		"127.0.0.1:8080": "127.0.0.1:8080", "0.0.0.0:80": "127.0.0.1:80", "[::]:80": "[::1]:80", "10.1.2.3:80": "10.1.2.3:80",
	} {
		server, http, err := Addresses("127.0.0.53:53", egress)
		if err != nil || server != netip.MustParseAddr("127.0.0.53") || http.String() != want {
			t.Errorf("%s: %s, %s, %v", egress, server, http, err)
		}
	}
	for _, bad := range [][2]string{{"localhost:53", "127.0.0.1:1"}, {"127.0.0.1:53", "web:80"}} {
		if _, _, err := Addresses(bad[0], bad[1]); err == nil {
			t.Errorf("%v is taken", bad)
		}
	}
}

// Whatever bytes a client sends, they are answered or dropped.
func FuzzRespond(f *testing.F) {
	m := new(dns.Msg).SetQuestion("_http._tcp.books.acme.example.", dns.TypeSRV)
	m.SetEdns0(512, true)
	raw, err := m.Pack()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(raw)
	z := zones()
	f.Fuzz(func(t *testing.T, b []byte) {
		var m dns.Msg
		if m.Unpack(b) != nil {
			return
		}
		out := z.respond(&m, true)
		if raw, err := out.Pack(); err == nil && len(raw) > largest {
			t.Errorf("%d bytes over UDP", len(raw))
		}
	})
}
