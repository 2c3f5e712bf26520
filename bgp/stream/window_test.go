package stream

import (
	"bytes"
	"encoding/binary"
	"errors"
	"net"
	"testing"
	"testing/synctest"

	"golang.org/x/net/http2"
	"pgregory.net/rapid"
)

// miser is a server that counts the bytes of its windows, and gives out more when it likes. Its pipe has no room:
// nothing is sent before it is read.
type miser struct {
	*http2.Framer
	window  int64   // the stream's
	whole   int64   // the connection's
	start   int64   // what a new stream has
	pending []int64 // what the stream's window is to lose, once the client has acknowledged it
	got     []byte
}

// take reads one frame, and books it.
func (m *miser) take() error {
	f, err := m.ReadFrame()
	if err != nil {
		return err
	}
	switch f := f.(type) {
	case *http2.DataFrame:
		m.got = append(m.got, f.Data()...)
		m.window, m.whole = m.window-int64(f.Length), m.whole-int64(f.Length)
		if f.Length > 0 && (m.window < 0 || m.whole < 0) {
			return errors.New("more than the window holds")
		}
	case *http2.SettingsFrame:
		if f.IsAck() && len(m.pending) > 0 {
			m.window += m.pending[0]
			m.pending = m.pending[1:]
		}
	}
	return nil
}

// Whatever the peer does with its windows, no more is sent than they hold, and everything in the end, in order.
func TestWindowsAreKept(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		sizes := rapid.SliceOfN(rapid.OneOf(rapid.IntRange(0, 12), rapid.IntRange(0, 3*frameSize)), 1, 12).Draw(rt,
			"messages")
		eager := rapid.SliceOfN(rapid.Bool(), len(sizes), len(sizes)).Draw(rt, "with TrySend first")
		step := rapid.OneOf(rapid.IntRange(1, 9), rapid.IntRange(1, 4*frameSize))
		grants := rapid.SliceOfN(step, 1, 30).Draw(rt, "grants")
		starts := rapid.SliceOfN(rapid.OneOf(rapid.IntRange(0, 9), rapid.IntRange(0, 100_000)), 0, 4).Draw(rt,
			"initial windows")
		first := rapid.OneOf(rapid.Just(firstWindow), rapid.IntRange(0, 9)).Draw(rt, "first window")
		var want []byte
		for _, n := range sizes {
			want = append(binary.BigEndian.AppendUint32(append(want, 0), uint32(n)), filled(n)...)
		}
		synctest.Test(t, func(*testing.T) {
			near, far := net.Pipe()
			m := &miser{Framer: http2.NewFramer(far, far), window: int64(first), whole: firstWindow, start: int64(first)}
			sock := newSocket(near)
			s := newStream(sock, sock, Config{Method: method, MaxMessage: limit}, true)
			s.begun, s.window, s.start = true, int64(first), int64(first)
			sock.run()
			go s.flush()
			defer s.Close()
			defer func() { _ = far.Close() }()
			go func() { _, _ = s.Receive() }()
			go func() {
				for i, n := range sizes {
					if eager[i] && s.TrySend(filled(n)) {
						continue
					}
					if s.Send(filled(n)) != nil {
						return
					}
				}
			}()
			failed := make(chan error, 1)
			go func() {
				for len(m.got) < len(want) {
					if err := m.take(); err != nil {
						failed <- err
						return
					}
				}
				failed <- nil
			}()
			for i := 0; ; i++ {
				synctest.Wait()
				select {
				case err := <-failed:
					if err != nil || !bytes.Equal(m.got, want) {
						rt.Errorf("%v; %d bytes came, want %d, the same: %t", err, len(m.got), len(want), bytes.Equal(m.got, want))
					}
					return
				default:
				}
				m.grant(i, grants, starts)
			}
		})
	})
}

// grant is called when nothing moves: it gives more room to the connection, the stream, or changes what a new stream
// has.
func (m *miser) grant(i int, grants, starts []int) {
	if i < len(starts) {
		v := int64(starts[i])
		m.window += max(v-m.start, 0) // the client may use it before it has acknowledged it
		m.pending = append(m.pending, min(v-m.start, 0))
		m.start = v
		_ = m.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: uint32(v)})
		return
	}
	n := grants[i%len(grants)]
	if i > 1000 { // enough of it
		n = 10 * frameSize
	}
	if m.whole <= m.window {
		m.whole += int64(n)
		_ = m.WriteWindowUpdate(0, uint32(n))
		return
	}
	m.window += int64(n)
	_ = m.WriteWindowUpdate(clientID, uint32(n))
}
