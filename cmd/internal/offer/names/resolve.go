package names

import (
	"context"
	"encoding/binary"
	"net"
	"sync"
	"time"

	"github.com/miekg/dns"
)

// Server returns a lookup that asks the DNS server at IP:PORT, or with "" those of /etc/resolv.conf. /etc/hosts comes
// first in either case.
//
// Go's resolver does all of that, with search lists, timeouts and TCP, but does not say for how long its answers are
// good. So the connections that it makes are read along.
func Server(address string) Lookup {
	return func(ctx context.Context, host string) (Found, error) {
		seen := &ttl{left: -1}
		r := &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, server string) (net.Conn, error) {
			if address != "" {
				server = address
			}
			c, err := new(net.Dialer).DialContext(ctx, network, server)
			if err != nil {
				return nil, err
			}
			if udp, ok := c.(*net.UDPConn); ok {
				return &packets{udp, seen}, nil
			}
			return &segments{c, seen, nil}, nil
		}}
		all, err := r.LookupNetIP(ctx, "ip", host)
		return Found{all, seen.get()}, err
	}
}

// ttl is the shortest time to live of all records that were seen; negative for none.
type ttl struct {
	mu   sync.Mutex
	left time.Duration // guarded by mu
}

func (t *ttl) get() time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.left
}

// see reads a message along. One that is no DNS message is the resolver's to complain of.
func (t *ttl) see(message []byte) {
	var m dns.Msg
	if m.Unpack(message) != nil || m.Rcode != dns.RcodeSuccess || m.Truncated {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, rr := range m.Answer {
		if left := time.Duration(rr.Header().Ttl) * time.Second; t.left < 0 || left < t.left {
			t.left = left
		}
	}
}

// packets reads along what comes over UDP: one message at a time.
type packets struct {
	*net.UDPConn
	seen *ttl
}

func (c *packets) Read(b []byte) (int, error) {
	n, err := c.UDPConn.Read(b)
	if err == nil {
		c.seen.see(b[:n])
	}
	return n, err
}

// segments reads along what comes over TCP: messages with their length before them (RFC 1035 §4.2.2).
type segments struct {
	net.Conn
	seen *ttl
	got  []byte // what came of a message that is not whole yet; 65,537 bytes at the most
}

func (c *segments) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.got = append(c.got, b[:n]...)
	for len(c.got) >= 2 {
		end := 2 + int(binary.BigEndian.Uint16(c.got))
		if len(c.got) < end {
			break
		}
		c.seen.see(c.got[2:end])
		c.got = c.got[end:]
	}
	return n, err
}
