// Package bgp4 speaks just enough BGP-4 (RFC 4271, with 4-octet AS numbers of RFC 6793) to load a rival daemon and to
// count what comes out at its other side. It is a measuring instrument: it keeps no table and trusts what it reads.
package bgp4

import (
	"bufio"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/netip"
	"time"
)

const (
	typeOpen         = 1
	typeUpdate       = 2
	typeNotification = 3
	typeKeepalive    = 4

	headerSize = 19
	maxMessage = 4096
	holdTime   = 240 // seconds
)

// Session is an established session with a daemon.
type Session struct {
	conn net.Conn
	r    *bufio.Reader
	asn  uint32
	addr netip.Addr
	buf  []byte
	held []uint32 // by route: its newest variant; nil if nobody asks
}

// Dial connects from local to the daemon at remote and exchanges OPEN and KEEPALIVE. It tries again until ctx ends,
// because the daemon may still be starting.
func Dial(ctx context.Context, local netip.Addr, remote netip.AddrPort, asn uint32) (*Session, error) {
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: local.AsSlice()}}
	retry := time.NewTicker(50 * time.Millisecond)
	defer retry.Stop()
	for {
		s, err := open(ctx, &d, local, remote, asn)
		if err == nil {
			return s, nil
		}
		select {
		case <-retry.C:
		case <-ctx.Done():
			return nil, fmt.Errorf("dial %s from %s: %w", remote, local, err)
		}
	}
}

func open(ctx context.Context, d *net.Dialer, local netip.Addr, remote netip.AddrPort, asn uint32) (*Session, error) {
	conn, err := d.DialContext(ctx, "tcp", remote.String())
	if err != nil {
		return nil, err
	}
	s := &Session{conn: conn, r: bufio.NewReaderSize(conn, 1<<20), asn: asn, addr: local, buf: make([]byte, maxMessage)}
	if err := s.handshake(); err != nil {
		_ = conn.Close()
		return nil, err
	}
	return s, nil
}

func (s *Session) handshake() error {
	_ = s.conn.SetDeadline(time.Now().Add(10 * time.Second))
	id := s.addr.As4()
	caps := []byte{
		1, 4, 0, 1, 0, 1, // multiprotocol: IPv4 unicast
		65, 4, 0, 0, 0, 0, // 4-octet AS number
	}
	binary.BigEndian.PutUint32(caps[8:], s.asn)
	body := []byte{4, 0, 0, 0, holdTime, id[0], id[1], id[2], id[3], byte(len(caps) + 2), 2, byte(len(caps))}
	binary.BigEndian.PutUint16(body[1:], uint16(s.asn))
	body = append(body, caps...)
	if err := s.write(typeOpen, body); err != nil {
		return err
	}
	for established := false; !established; {
		kind, body, err := s.read()
		switch {
		case err != nil:
			return err
		case kind == typeNotification:
			return fmt.Errorf("refused with notification %v", body)
		case kind == typeOpen:
			if err := s.write(typeKeepalive, nil); err != nil {
				return err
			}
		case kind == typeKeepalive:
			established = true
		}
	}
	return s.conn.SetDeadline(time.Time{})
}

func (s *Session) write(kind byte, body []byte) error {
	_, err := s.conn.Write(appendMessage(nil, kind, body))
	return err
}

func appendMessage(dst []byte, kind byte, body []byte) []byte {
	for range 16 {
		dst = append(dst, 0xff)
	}
	dst = binary.BigEndian.AppendUint16(dst, uint16(headerSize+len(body)))
	dst = append(dst, kind)
	return append(dst, body...)
}

// read returns the next message; its body is valid until the next call.
func (s *Session) read() (kind byte, body []byte, err error) {
	h := s.buf[:headerSize]
	if _, err := io.ReadFull(s.r, h); err != nil {
		return 0, nil, err
	}
	n := int(binary.BigEndian.Uint16(h[16:]))
	kind = h[18]
	if n < headerSize || n > maxMessage {
		return 0, nil, fmt.Errorf("message of %d bytes", n)
	}
	body = s.buf[:n-headerSize]
	_, err = io.ReadFull(s.r, body)
	return kind, body, err
}

// Announce sends routes first..first+n, one UPDATE each because each has its own attributes: a /32 below 10.0.0.0/7,
// and a community that no other route has. variant changes the attributes of the same prefixes; extra lengthens the
// AS path by so many hops.
func (s *Session) Announce(first, n int, variant uint32, extra int) error {
	w := bufio.NewWriterSize(s.conn, 1<<16)
	msg := make([]byte, 0, maxMessage)
	for i := first; i < first+n; i++ {
		msg = appendMessage(msg[:0], typeUpdate, s.update(i, variant, extra))
		if _, err := w.Write(msg); err != nil {
			return err
		}
	}
	return w.Flush()
}

func (s *Session) update(i int, variant uint32, extra int) []byte {
	attrs := []byte{0x40, 1, 1, 0} // ORIGIN: IGP
	attrs = append(attrs, 0x40, 2, byte(2+4*(1+extra)), 2, byte(1+extra))
	for range 1 + extra {
		attrs = binary.BigEndian.AppendUint32(attrs, s.asn)
	}
	hop := s.addr.As4()
	attrs = append(attrs, 0x40, 3, 4)
	attrs = append(attrs, hop[:]...)
	attrs = append(attrs, 0xc0, 8, 8) // COMMUNITIES: the route's own, and the variant's
	attrs = binary.BigEndian.AppendUint32(attrs, uint32(i)|1<<24)
	attrs = binary.BigEndian.AppendUint32(attrs, variant|2<<24)
	body := []byte{0, 0}
	body = binary.BigEndian.AppendUint16(body, uint16(len(attrs)))
	body = append(body, attrs...)
	body = append(body, 32)
	return binary.BigEndian.AppendUint32(body, 10<<24+uint32(i))
}

// Withdraw takes routes first..first+n back.
func (s *Session) Withdraw(first, n int) error {
	w := bufio.NewWriterSize(s.conn, 1<<16)
	for i := first; i < first+n; i++ {
		body := []byte{0, 5, 32}
		body = binary.BigEndian.AppendUint32(body, 10<<24+uint32(i))
		body = append(body, 0, 0)
		if _, err := w.Write(appendMessage(nil, typeUpdate, body)); err != nil {
			return err
		}
	}
	return w.Flush()
}

// Counts is what a Session has been told since it began: announcements and withdrawals, doubles included.
type Counts struct{ Announced, Withdrawn int }

// Receive reads until done says of the counts so far that it is enough, answering nothing but keepalives.
func (s *Session) Receive(total *Counts, done func(Counts) bool) error {
	for !done(*total) {
		kind, body, err := s.read()
		if err != nil {
			return err
		}
		switch kind {
		case typeKeepalive:
			if err := s.write(typeKeepalive, nil); err != nil {
				return err
			}
		case typeNotification:
			return fmt.Errorf("closed with notification %v", body)
		case typeUpdate:
			if err := total.add(body); err != nil {
				return err
			}
			if s.held != nil {
				s.hold(body)
			}
		}
	}
	return nil
}

func (c *Counts) add(body []byte) error {
	if len(body) < 4 {
		return fmt.Errorf("short UPDATE")
	}
	w := int(binary.BigEndian.Uint16(body))
	if 2+w+2 > len(body) {
		return fmt.Errorf("bad withdrawn length %d", w)
	}
	a := int(binary.BigEndian.Uint16(body[2+w:]))
	if 4+w+a > len(body) {
		return fmt.Errorf("bad attribute length %d", a)
	}
	c.Withdrawn += prefixes(body[2 : 2+w])
	c.Announced += prefixes(body[4+w+a:])
	return nil
}

func prefixes(b []byte) (n int) {
	for len(b) > 0 {
		size := 1 + (int(b[0])+7)/8
		if size > len(b) {
			return n
		}
		b = b[size:]
		n++
	}
	return n
}

// Close ends the connection at once, without a NOTIFICATION, as a crashed peer would.
func (s *Session) Close() error { return s.conn.Close() }

// Track begins to note the variant of each of the first n routes, or ends that with 0; Held gives them, 0 for none yet.
func (s *Session) Track(n int) {
	if s.held = nil; n > 0 {
		s.held = make([]uint32, n)
	}
}

// Stall is not to call Receive: the host's sockets go on answering.
func (s *Session) Stall() (resume func()) { return func() {} }

// Held returns what Track asked for.
func (s *Session) Held() []uint32 { return s.held }

// hold notes the variant of what an UPDATE announces: the low bits of the COMMUNITY that begins with 2.
func (s *Session) hold(body []byte) {
	w := int(binary.BigEndian.Uint16(body))
	a := int(binary.BigEndian.Uint16(body[2+w:]))
	variant := uint32(0)
	for b := body[4+w : 4+w+a]; len(b) >= 4; {
		n, at := int(b[2]), 3
		if b[0]&0x10 != 0 { // extended length
			n, at = int(binary.BigEndian.Uint16(b[2:])), 4
		}
		if at+n > len(b) {
			return
		}
		if b[1] == 8 {
			for c := b[at : at+n]; len(c) >= 4; c = c[4:] {
				if c[0] == 2 {
					variant = binary.BigEndian.Uint32(c) & 0xffffff
				}
			}
		}
		b = b[at+n:]
	}
	for p := body[4+w+a:]; len(p) >= 5 && p[0] == 32; p = p[5:] {
		if route := binary.BigEndian.Uint32(p[1:]) - 10<<24; int(route) < len(s.held) {
			s.held[route] = variant
		}
	}
}
