// Package stream is one gRPC stream over TLS by hand, with as little between the caller and the socket as package
// bgp4 has: a message is written by who sends it and read by who waits for it, with no goroutine between. It is a
// measuring instrument, for one stream a connection.
package stream

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

const (
	window    = 4 << 20
	frameSize = 16 << 10 // the largest frame that any peer takes (RFC 9113 §4.2)
	id        = 1
)

// Stream is a stream that both sides may write to.
type Stream struct {
	conn *tls.Conn
	r    *http2.Framer
	in   bytes.Buffer // read, and not yet a whole message
	owed uint32       // read, and not yet given back to the peer's windows

	mu    sync.Mutex
	w     *http2.Framer // guarded by mu
	room  sync.Cond
	conns int64 // guarded by mu; the connection's window
	quota int64 // guarded by mu; the stream's window
	start int64 // guarded by mu; what the peer's SETTINGS give a stream
	err   error // guarded by mu; what ended reading

	stalled atomic.Bool
}

// Dial opens a stream of a method such as /package.Service/Method.
func Dial(ctx context.Context, address, method string, config *tls.Config) (*Stream, error) {
	config = config.Clone()
	config.NextProtos = []string{"h2"}
	conn, err := (&tls.Dialer{Config: config}).DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	s := &Stream{conn: conn.(*tls.Conn), conns: 65535, quota: 65535, start: 65535}
	s.room.L = &s.mu
	s.r = http2.NewFramer(nil, bufio.NewReaderSize(conn, 64<<10))
	s.r.SetReuseFrames()
	s.w = http2.NewFramer(conn, nil)
	if err := s.open(address, method); err != nil {
		_ = conn.Close()
		return nil, fmt.Errorf("open a stream to %s: %w", address, err)
	}
	return s, nil
}

func (s *Stream) open(address, method string) error {
	if _, err := io.WriteString(s.conn, http2.ClientPreface); err != nil {
		return err
	}
	var block bytes.Buffer
	enc := hpack.NewEncoder(&block)
	for _, h := range [][2]string{{":method", "POST"}, {":scheme", "https"}, {":path", method}, {":authority", address},
		{"content-type", "application/grpc"}, {"te", "trailers"}} {
		if err := enc.WriteField(hpack.HeaderField{Name: h[0], Value: h[1]}); err != nil {
			return err
		}
	}
	return errors.Join(
		s.w.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: window},
			http2.Setting{ID: http2.SettingEnablePush, Val: 0}),
		s.w.WriteWindowUpdate(0, window-65535),
		s.w.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: block.Bytes(), EndHeaders: true}))
}

// Send writes one message. It waits while the peer's windows are full, for which somebody has to be in Receive.
func (s *Stream) Send(m []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	b := make([]byte, 5, 5+len(m))
	binary.BigEndian.PutUint32(b[1:], uint32(len(m)))
	for b = append(b, m...); len(b) > 0; {
		for s.err == nil && min(s.conns, s.quota) <= 0 {
			s.room.Wait()
		}
		if s.err != nil {
			return s.err
		}
		n := int(min(int64(len(b)), s.conns, s.quota, frameSize))
		if err := s.w.WriteData(id, false, b[:n]); err != nil {
			return err
		}
		s.conns, s.quota, b = s.conns-int64(n), s.quota-int64(n), b[n:]
	}
	return nil
}

// Receive waits for the next message, which is valid until the next call.
func (s *Stream) Receive() ([]byte, error) {
	for {
		if b := s.in.Bytes(); len(b) >= 5 {
			if n := 5 + int(binary.BigEndian.Uint32(b[1:])); len(b) >= n {
				return s.in.Next(n)[5:], nil
			}
		}
		if err := s.frame(); err != nil {
			s.mu.Lock()
			s.err = err
			s.room.Broadcast()
			s.mu.Unlock()
			return nil, err
		}
	}
}

func (s *Stream) frame() error {
	f, err := s.r.ReadFrame()
	if err != nil {
		return err
	}
	switch f := f.(type) {
	case *http2.DataFrame:
		s.in.Write(f.Data())
		s.owed += f.Header().Length
		return s.giveBack()
	case *http2.SettingsFrame:
		if !f.IsAck() {
			return s.write(func() error { return s.settings(f) })
		}
	case *http2.PingFrame:
		if !f.IsAck() {
			return s.write(func() error { return s.w.WritePing(true, f.Data) })
		}
	case *http2.WindowUpdateFrame:
		return s.write(func() error {
			if f.StreamID == 0 {
				s.conns += int64(f.Increment)
			} else {
				s.quota += int64(f.Increment)
			}
			s.room.Broadcast()
			return nil
		})
	case *http2.HeadersFrame:
		if f.StreamEnded() {
			return io.EOF
		}
	case *http2.RSTStreamFrame:
		return fmt.Errorf("stream reset: %s", f.ErrCode)
	case *http2.GoAwayFrame:
		return fmt.Errorf("connection ended: %s", f.ErrCode)
	}
	return nil
}

// giveBack lets the peer send more, now that something has been read.
func (s *Stream) giveBack() error {
	if s.owed < window/4 || s.stalled.Load() {
		return nil
	}
	owed := s.owed
	s.owed = 0
	return s.write(func() error { return errors.Join(s.w.WriteWindowUpdate(0, owed), s.w.WriteWindowUpdate(id, owed)) })
}

// Stall lets the stream's windows fill as if nobody read, while pings are answered, until resume is called. Nobody
// may receive meanwhile.
func (s *Stream) Stall() (resume func()) {
	s.stalled.Store(true)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for s.stalled.Load() && s.frame() == nil {
		}
	}()
	return func() {
		s.stalled.Store(false)
		_ = s.write(func() error { return s.w.WritePing(false, [8]byte{}) }) // its answer is a frame
		<-ended
		_ = s.giveBack()
	}
}

func (s *Stream) write(f func() error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return f()
}

func (s *Stream) settings(f *http2.SettingsFrame) error {
	if v, ok := f.Value(http2.SettingInitialWindowSize); ok {
		s.quota += int64(v) - s.start
		s.start = int64(v)
		s.room.Broadcast()
	}
	return s.w.WriteSettingsAck()
}

// Close ends the connection without a word.
func (s *Stream) Close() error {
	_ = s.conn.NetConn().SetDeadline(time.Now()) // whoever reads or writes comes back
	return s.conn.NetConn().Close()
}
