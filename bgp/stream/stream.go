package stream

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/url"
	"slices"
	"strconv"
	"sync"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	"google.golang.org/grpc/codes"
)

const (
	window      = 1 << 20    // bytes that the peer may send ahead of the reader
	firstWindow = 65535      // before anybody has said anything (RFC 9113 §6.9.2)
	frameSize   = 16<<10 - 9 // a DATA frame with its header fills a TLS record
	readFrame   = 16 << 10   // the largest frame that is taken, and every peer takes (RFC 9113 §4.2)
	headerList  = 16 << 10   // bytes of header fields that are taken
	prefix      = 5          // bytes before a message: a flag, and its length
	chatter     = 10_000     // frames without a message between them
	clientID    = 1          // of the one stream of a connection that this package opens
	contentType = "application/grpc"
)

// Config says what is spoken.
type Config struct {
	Method string      // such as /package.Service/Method
	Others []string    // methods that a server takes besides; Stream.Method says which was asked for
	TLS    *tls.Config // of this end; it is cloned
	// Other is that of connections to a server whose client does not ask for HTTP/2 alone (ALPN): they end in an
	// OtherProtocol error. Nil closes them.
	Other      *tls.Config
	MaxMessage int // bytes of the longest message that is taken
}

// Stream is one end of a stream. One goroutine may Receive while others send.
type Stream struct {
	cfg    Config
	conn   net.Conn // TLS
	sock   *socket
	id     uint32
	client bool
	method string // that was asked for; owned by the opening

	// Owned by the reader.
	fr     *http2.Framer
	ready  []message // that are complete
	head   [prefix]byte
	have   int    // bytes of head
	body   []byte // of the message under way; nil between two
	filled int
	skip   int64  // bytes of a message that is not taken
	owed   uint32 // bytes read and not yet given back to the peer's windows
	quiet  int    // frames since the last message
	headed bool   // the peer's header fields have come
	last   bool   // the peer has ended the stream

	mu     sync.Mutex
	more   sync.Cond // the peer's windows have grown, the socket has room, or it is over
	out    []byte    // guarded by mu: frames being made
	begun  bool      // guarded by mu: our header fields have gone
	ended  bool      // guarded by mu: we have said that nothing more comes
	err    error     // guarded by mu: why it is over
	whole  int64     // guarded by mu: the connection's window at the peer
	window int64     // guarded by mu: the stream's window at the peer
	start  int64     // guarded by mu: what the peer's SETTINGS give a new stream

	flushed chan struct{} // closed when the goroutine that empties the socket's queue has ended
}

// message is one that has come, or what is wrong with it.
type message struct {
	b   []byte
	err error
}

// TooLong is what Receive returns for a message over the limit, which is skipped.
type TooLong struct {
	Size  int64
	Limit int
}

// Error implements error.
func (e TooLong) Error() string {
	return fmt.Sprintf("message of %d bytes: the limit is %d", e.Size, e.Limit)
}

// Ended is the status with which the peer has ended the stream, when that is not OK, for which Receive returns io.EOF.
type Ended struct {
	Code codes.Code
	Text string
}

// Error implements error.
func (e Ended) Error() string {
	if e.Text == "" {
		return e.Code.String()
	}
	return e.Text
}

// OtherProtocol is the error of Accept for a connection that speaks HTTP/1.1, or says nothing about it. The connection
// is open, and the caller's.
type OtherProtocol struct{ Conn *tls.Conn }

// Error implements error.
func (o OtherProtocol) Error() string { return "the client speaks HTTP/1.1" }

// Dial opens a stream to HOST:PORT. ctx bounds the opening alone.
func Dial(ctx context.Context, address string, cfg Config) (*Stream, error) {
	raw, err := new(net.Dialer).DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	return establish(ctx, raw, func(sock *socket) (*Stream, error) {
		conn := tls.Client(sock, config(cfg.TLS))
		if err := conn.HandshakeContext(ctx); err != nil {
			return nil, err
		}
		s := newStream(conn, sock, cfg, true)
		return s, s.greetServer(address)
	})
}

// Accept takes the stream that a client opens on a connection, which it closes if it fails, but for OtherProtocol. ctx
// bounds that alone.
func Accept(ctx context.Context, raw net.Conn, cfg Config) (*Stream, error) {
	return establish(ctx, raw, func(sock *socket) (*Stream, error) {
		conn := tls.Server(sock, serverConfig(&cfg))
		if err := conn.HandshakeContext(ctx); err != nil {
			return nil, err
		}
		if p := conn.ConnectionState().NegotiatedProtocol; cfg.Other != nil && p != http2.NextProtoTLS {
			return nil, OtherProtocol{conn}
		}
		if p := conn.ConnectionState().NegotiatedProtocol; p != http2.NextProtoTLS {
			return nil, fmt.Errorf("the client speaks %q, want %q (ALPN)", p, http2.NextProtoTLS)
		}
		s := newStream(conn, sock, cfg, false)
		return s, s.greetClient()
	})
}

// serverConfig chooses by what the client asks for.
func serverConfig(cfg *Config) *tls.Config {
	c := config(cfg.TLS)
	if cfg.Other == nil {
		return c
	}
	other := cfg.Other.Clone()
	other.NextProtos = []string{"http/1.1"}
	c.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		asked := hello.SupportedProtos
		if slices.Contains(asked, http2.NextProtoTLS) && !slices.Contains(asked, "http/1.1") {
			return nil, nil //nolint:nilnil // the one for streams
		}
		return other, nil
	}
	return c
}

func config(c *tls.Config) *tls.Config {
	c = c.Clone()
	c.NextProtos = []string{http2.NextProtoTLS}
	c.DynamicRecordSizingDisabled = true // messages are read whole
	return c
}

// establish opens a stream within ctx and lets it run.
func establish(ctx context.Context, raw net.Conn, f func(*socket) (*Stream, error)) (*Stream, error) {
	sock := newSocket(raw)
	stop := context.AfterFunc(ctx, func() { _ = raw.Close() })
	s, err := f(sock)
	if !stop() {
		err = ctx.Err()
	}
	if err != nil {
		if _, other := errors.AsType[OtherProtocol](err); !other {
			_ = raw.Close()
		}
		return nil, err
	}
	sock.run()
	go s.flush()
	return s, nil
}

func newStream(conn net.Conn, sock *socket, cfg Config, client bool) *Stream {
	s := &Stream{
		cfg: cfg, conn: conn, sock: sock, client: client, id: clientID, method: cfg.Method,
		fr:    http2.NewFramer(nil, conn),
		whole: firstWindow, window: firstWindow, start: firstWindow,
		flushed: make(chan struct{}),
	}
	s.more.L = &s.mu
	s.fr.SetMaxReadFrameSize(readFrame)
	s.fr.SetReuseFrames()
	s.fr.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	s.fr.MaxHeaderListSize = headerList
	return s
}

// TLS returns what the handshake came to.
func (s *Stream) TLS() tls.ConnectionState {
	if c, ok := s.conn.(*tls.Conn); ok {
		return c.ConnectionState()
	}
	return tls.ConnectionState{}
}

// Method is what the stream was opened for, once it is open.
func (s *Stream) Method() string { return s.method }

// RemoteAddr is the peer's address.
func (s *Stream) RemoteAddr() net.Addr { return s.conn.RemoteAddr() }

// greetServer opens the stream and waits for the server's settings: what the server has against the handshake is
// known then.
func (s *Stream) greetServer(authority string) error {
	fields := []hpack.HeaderField{
		{Name: ":method", Value: "POST"}, {Name: ":scheme", Value: "https"}, {Name: ":path", Value: s.cfg.Method},
		{Name: ":authority", Value: authority},
		{Name: "content-type", Value: contentType}, {Name: "te", Value: "trailers"},
	}
	s.mu.Lock()
	s.begun = true
	s.out = append(s.out[:0], http2.ClientPreface...)
	s.out = appendSettings(s.out)
	s.out = appendHeaders(s.out, s.id, fields, false)
	err := s.write()
	s.mu.Unlock()
	if err != nil {
		return err
	}
	return s.settled()
}

// settled reads the first frame, which has to be SETTINGS (RFC 9113 §3.4).
func (s *Stream) settled() error {
	f, err := s.fr.ReadFrame()
	if err != nil {
		return err
	}
	first, ok := f.(*http2.SettingsFrame)
	if !ok || first.IsAck() {
		return errors.New("the first frame is not SETTINGS: no HTTP/2")
	}
	return s.settings(first)
}

// greetClient takes the client's greeting and waits for its stream.
func (s *Stream) greetClient() error {
	preface := make([]byte, len(http2.ClientPreface))
	if _, err := io.ReadFull(s.conn, preface); err != nil {
		return err
	}
	if string(preface) != http2.ClientPreface {
		return errors.New("no HTTP/2 client preface")
	}
	s.mu.Lock()
	s.id = 0 // none yet
	s.out = appendSettings(s.out[:0])
	err := s.write()
	s.mu.Unlock()
	if err == nil {
		err = s.settled()
	}
	for err == nil && !s.headed {
		err = s.frame()
	}
	return err
}

// Receive waits for the next message. Its bytes are the caller's. It returns io.EOF when the peer has ended the stream.
func (s *Stream) Receive() ([]byte, error) {
	for len(s.ready) == 0 {
		if err := s.frame(); err != nil {
			s.fail(err)
			return nil, err
		}
	}
	m := s.ready[0]
	s.ready = s.ready[1:]
	return m.b, m.err
}

// TrySend sends a message if the peer's windows and the socket have room for all of it now, and never waits.
func (s *Stream) TrySend(m []byte) bool {
	if !s.mu.TryLock() {
		return false
	}
	defer s.mu.Unlock()
	if s.err != nil || s.ended || s.sock.pending() || int64(prefix+len(m)) > min(s.whole, s.window) {
		return false
	}
	s.begin()
	for rest := prefix + len(m); rest > 0; {
		rest -= s.data(m, rest, rest)
	}
	return s.write() == nil
}

// Send sends a message, and waits until the last of it is on its way. Somebody has to be in Receive meanwhile, where
// the peer's windows grow.
func (s *Stream) Send(m []byte) error {
	const piece = 4 * frameSize
	s.mu.Lock()
	defer s.mu.Unlock()
	for rest := prefix + len(m); rest > 0; {
		for s.err == nil && (s.sock.pending() || min(s.whole, s.window) <= 0) {
			s.more.Wait()
		}
		if s.err != nil {
			return s.err
		}
		if s.ended {
			return errors.New("the stream has been ended from here")
		}
		s.begin()
		for made := 0; rest > 0 && made < piece && min(s.whole, s.window) > 0; {
			n := s.data(m, rest, int(min(s.whole, s.window)))
			rest, made = rest-n, made+n
		}
		if err := s.write(); err != nil {
			return err
		}
	}
	return nil
}

// begin starts new frames, with the header fields before the first message of a server.
func (s *Stream) begin() {
	s.out = s.out[:0]
	if !s.begun {
		s.begun = true
		s.out = appendHeaders(s.out, s.id, responseFields(), false)
	}
}

// responseFields are a server's first header fields, whether more follows or not.
func responseFields() []hpack.HeaderField {
	return []hpack.HeaderField{{Name: ":status", Value: "200"}, {Name: "content-type", Value: contentType}}
}

// data makes one DATA frame of a message of which rest bytes, with its prefix, are still to go, and returns how many
// it holds.
func (s *Stream) data(m []byte, rest, most int) int {
	n := min(rest, most, frameSize)
	s.out = appendFrame(s.out, n, http2.FrameData, 0, s.id)
	from := prefix + len(m) - rest
	if from < prefix {
		var p [prefix]byte
		binary.BigEndian.PutUint32(p[1:], uint32(len(m)))
		s.out = append(s.out, p[from:min(from+n, prefix)]...)
	}
	s.out = append(s.out, m[max(from-prefix, 0):max(from+n-prefix, 0)]...)
	s.whole, s.window = s.whole-int64(n), s.window-int64(n)
	return n
}

// End says that nothing more comes from this end; a server says why.
func (s *Stream) End(code codes.Code, text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil || s.ended || s.id == 0 {
		return
	}
	s.ended = true
	s.out = s.out[:0]
	if s.client {
		s.out = appendFrame(s.out, 0, http2.FrameData, http2.FlagDataEndStream, s.id)
	} else {
		var fields []hpack.HeaderField
		if !s.begun {
			fields = responseFields()
		}
		fields = append(fields, hpack.HeaderField{Name: "grpc-status", Value: strconv.Itoa(int(code))})
		if text != "" {
			fields = append(fields, hpack.HeaderField{Name: "grpc-message", Value: url.PathEscape(text)})
		}
		s.begun = true
		s.out = appendHeaders(s.out, s.id, fields, true)
	}
	_ = s.write()
}

// Close ends the connection without a word. Whoever sends or receives comes back.
func (s *Stream) Close() {
	s.fail(net.ErrClosed)
	<-s.flushed
}

// write gives the frames that were made to the socket, which does not wait.
func (s *Stream) write() error {
	s.sock.cork()
	_, err := s.conn.Write(s.out)
	if err = errors.Join(err, s.sock.uncork()); err != nil {
		s.over(err)
	}
	return err
}

// control sends frames that this end owes.
func (s *Stream) control(frames func(b []byte) []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return s.err
	}
	s.out = frames(s.out[:0])
	return s.write()
}

// fail ends the connection for a reason; the first counts.
func (s *Stream) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.over(err)
}

func (s *Stream) over(err error) {
	if s.err == nil && !errors.Is(err, io.EOF) {
		s.err = err
		s.sock.stop()
	}
	s.more.Broadcast()
}

// flush writes what the socket did not take at once, until the stream is over.
func (s *Stream) flush() {
	defer close(s.flushed)
	for range s.sock.waits {
		if err := s.sock.drain(); err != nil {
			s.fail(err)
		}
		s.mu.Lock()
		s.more.Broadcast()
		s.mu.Unlock()
	}
}

func appendFrame(b []byte, n int, kind http2.FrameType, flags http2.Flags, id uint32) []byte {
	b = append(b, byte(n>>16), byte(n>>8), byte(n), byte(kind), byte(flags))
	return binary.BigEndian.AppendUint32(b, id)
}

// appendSettings appends what both ends say first: our windows, and that one stream is all we want.
func appendSettings(b []byte) []byte {
	settings := []http2.Setting{
		{ID: http2.SettingEnablePush, Val: 0}, {ID: http2.SettingMaxConcurrentStreams, Val: 1},
		{ID: http2.SettingInitialWindowSize, Val: window}, {ID: http2.SettingMaxHeaderListSize, Val: headerList},
	}
	b = appendFrame(b, 6*len(settings), http2.FrameSettings, 0, 0)
	for _, x := range settings {
		b = binary.BigEndian.AppendUint16(b, uint16(x.ID))
		b = binary.BigEndian.AppendUint32(b, x.Val)
	}
	return appendWindow(b, 0, window-firstWindow)
}

func appendWindow(b []byte, id, n uint32) []byte {
	return binary.BigEndian.AppendUint32(appendFrame(b, 4, http2.FrameWindowUpdate, 0, id), n)
}

// appendHeaders appends a HEADERS frame. Nothing is put into the peer's table (RFC 7541 §6.2.2), so that its size
// does not matter.
func appendHeaders(b []byte, id uint32, fields []hpack.HeaderField, end bool) []byte {
	var block blockBuffer
	enc := hpack.NewEncoder(&block)
	enc.SetMaxDynamicTableSize(0)
	for _, f := range fields {
		_ = enc.WriteField(f)
	}
	flags := http2.FlagHeadersEndHeaders
	if end {
		flags |= http2.FlagHeadersEndStream
	}
	return append(appendFrame(b, len(block), http2.FrameHeaders, flags, id), block...)
}

type blockBuffer []byte

func (b *blockBuffer) Write(p []byte) (int, error) {
	*b = append(*b, p...)
	return len(p), nil
}

// grow adds to one of the peer's windows; false if it would be larger than any may be (RFC 9113 §6.9.1).
func grow(w *int64, n int64) bool {
	*w += n
	return *w <= math.MaxInt32
}
