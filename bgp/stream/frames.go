package stream

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/net/http2"
	"google.golang.org/grpc/codes"
)

// frame reads one frame and does what it asks for. Messages that it completes are ready then.
func (s *Stream) frame() error {
	if s.last {
		return s.eof()
	}
	f, err := s.fr.ReadFrame()
	if err != nil {
		return err
	}
	if s.quiet++; s.quiet > chatter {
		return fmt.Errorf("%d frames without a message", chatter)
	}
	switch f := f.(type) {
	case *http2.DataFrame:
		return s.received(f)
	case *http2.MetaHeadersFrame:
		return s.headers(f)
	case *http2.SettingsFrame:
		return s.settings(f)
	case *http2.PingFrame:
		if f.IsAck() {
			return nil
		}
		return s.control(func(b []byte) []byte {
			return append(appendFrame(b, 8, http2.FramePing, http2.FlagPingAck, 0), f.Data[:]...)
		})
	case *http2.WindowUpdateFrame:
		return s.windowUpdate(f)
	case *http2.RSTStreamFrame:
		if f.StreamID == s.id {
			return fmt.Errorf("the peer has reset the stream: %s", f.ErrCode)
		}
	case *http2.GoAwayFrame:
		if f.ErrCode != http2.ErrCodeNo || f.LastStreamID < s.id {
			return fmt.Errorf("the peer has ended the connection: %s", f.ErrCode)
		}
	case *http2.PushPromiseFrame:
		return errors.New("PUSH_PROMISE, which was forbidden")
	}
	return nil
}

// received takes a DATA frame.
func (s *Stream) received(f *http2.DataFrame) error {
	if s.id == 0 {
		return errors.New("DATA of a stream that nobody has opened")
	}
	// What is read is given back, so that a peer is held up by TCP when nobody reads. Padding counts (RFC 9113 §6.9.1).
	if s.owed += f.Length; s.owed >= window/2 {
		owed := s.owed
		s.owed = 0
		err := s.control(func(b []byte) []byte { return appendWindow(appendWindow(b, 0, owed), s.id, owed) })
		if err != nil {
			return err
		}
	}
	if f.StreamID != s.id {
		return nil // of a stream that was refused
	}
	s.last = f.StreamEnded()
	return s.assemble(f.Data())
}

// eof is how a stream ends that its peer has ended.
func (s *Stream) eof() error {
	if s.body != nil || s.have > 0 || s.skip > 0 {
		return io.ErrUnexpectedEOF
	}
	return io.EOF
}

// assemble takes bytes of messages, each behind a flag and its length.
func (s *Stream) assemble(b []byte) error {
	for len(b) > 0 {
		if s.skip > 0 {
			n := min(s.skip, int64(len(b)))
			s.skip, b = s.skip-n, b[n:]
			continue
		}
		if s.body == nil {
			n := copy(s.head[s.have:], b)
			s.have, b = s.have+n, b[n:]
			if s.have < prefix {
				return nil
			}
			s.have = 0
			size := binary.BigEndian.Uint32(s.head[1:])
			if s.head[0] != 0 {
				return errors.New("a compressed message, which was not asked for")
			}
			if int64(size) > int64(s.cfg.MaxMessage) {
				s.ready = append(s.ready, message{err: TooLong{Size: int64(size), Limit: s.cfg.MaxMessage}})
				s.skip = int64(size)
				continue
			}
			s.filled, s.body = 0, make([]byte, size)
		}
		n := copy(s.body[s.filled:], b)
		s.filled, b = s.filled+n, b[n:]
		if s.filled == len(s.body) {
			s.ready, s.body, s.quiet = append(s.ready, message{b: s.body}), nil, 0
		}
	}
	return nil
}

// headers takes header fields and trailers.
func (s *Stream) headers(f *http2.MetaHeadersFrame) error {
	if f.Truncated {
		return fmt.Errorf("more than %d bytes of header fields", headerList)
	}
	switch {
	case s.client && f.StreamID != s.id:
		return fmt.Errorf("header fields of a stream %d that nobody has opened", f.StreamID)
	case s.client:
		return s.response(f)
	case s.id == 0:
		return s.request(f)
	case f.StreamID == s.id: // trailers of a client end its half
		if !f.StreamEnded() {
			return errors.New("header fields in the middle of the stream")
		}
		return s.eof()
	}
	// One stream a connection, as the settings have said.
	return s.control(func(b []byte) []byte {
		return binary.BigEndian.AppendUint32(appendFrame(b, 4, http2.FrameRSTStream, 0, f.StreamID),
			uint32(http2.ErrCodeRefusedStream))
	})
}

// request takes the stream that a client opens.
func (s *Stream) request(f *http2.MetaHeadersFrame) error {
	s.id, s.headed = f.StreamID, true
	s.quiet = 0
	path, kind := f.PseudoValue("path"), value(f, "content-type")
	switch {
	case f.PseudoValue("method") != "POST" || !strings.HasPrefix(kind, contentType):
		s.End(codes.Unimplemented, "want a gRPC request")
		return fmt.Errorf("%s %s with content type %q: want a gRPC request", f.PseudoValue("method"), path, kind)
	case path != s.cfg.Method && !slices.Contains(s.cfg.Others, path):
		s.End(codes.Unimplemented, "no method "+path+" here")
		return fmt.Errorf("no method %s", path)
	case f.StreamEnded():
		return io.ErrUnexpectedEOF
	}
	s.method = path
	return nil
}

// response takes a server's header fields, or its trailers.
func (s *Stream) response(f *http2.MetaHeadersFrame) error {
	if !s.headed {
		s.headed = true
		status, kind := f.PseudoValue("status"), value(f, "content-type")
		if status != "200" || !strings.HasPrefix(kind, contentType) {
			return fmt.Errorf("the server answers with status %s and content type %q: no gRPC", status, kind)
		}
		if !f.StreamEnded() {
			return nil
		}
	}
	if !f.StreamEnded() {
		return errors.New("header fields in the middle of the stream")
	}
	code, err := strconv.ParseUint(value(f, "grpc-status"), 10, 32)
	if err != nil {
		return errors.New("the stream ends without a status")
	}
	if codes.Code(code) == codes.OK {
		return s.eof()
	}
	text := value(f, "grpc-message")
	if plain, err := url.PathUnescape(text); err == nil {
		text = plain
	}
	return Ended{Code: codes.Code(code), Text: text}
}

func value(f *http2.MetaHeadersFrame, name string) string {
	for _, h := range f.RegularFields() {
		if h.Name == name {
			return h.Value
		}
	}
	return ""
}

// settings takes and acknowledges the peer's settings.
func (s *Stream) settings(f *http2.SettingsFrame) error {
	if f.IsAck() {
		return nil
	}
	if v, ok := f.Value(http2.SettingInitialWindowSize); ok {
		s.mu.Lock()
		fits := grow(&s.window, int64(v)-s.start)
		s.start = int64(v)
		s.more.Broadcast()
		s.mu.Unlock()
		if !fits {
			return errors.New("SETTINGS: the window is larger than any may be")
		}
	}
	return s.control(func(b []byte) []byte { return appendFrame(b, 0, http2.FrameSettings, http2.FlagSettingsAck, 0) })
}

func (s *Stream) windowUpdate(f *http2.WindowUpdateFrame) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	fits := true
	switch f.StreamID {
	case 0:
		fits = grow(&s.whole, int64(f.Increment))
	case s.id:
		fits = grow(&s.window, int64(f.Increment))
	}
	s.more.Broadcast()
	if !fits {
		return errors.New("WINDOW_UPDATE: the window is larger than any may be")
	}
	return nil
}
