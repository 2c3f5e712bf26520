package stream

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/status"
	"pgregory.net/rapid"

	"github.com/catalyst-router/catalyst/auth/disk"
	"github.com/catalyst-router/catalyst/auth/identity"
)

const (
	patience = 20 * time.Second
	method   = "/test.Service/Method"
	limit    = 256 << 10
)

// nodes is two nodes of one organisation.
type nodes struct{ a, b *identity.Source }

func twoNodes(t testing.TB) nodes {
	t.Helper()
	dir := t.TempDir()
	if err := disk.InitCA(filepath.Join(dir, "ca"), "acme.example"); err != nil {
		t.Fatal(err)
	}
	authority, err := disk.LoadCA(filepath.Join(dir, "ca"))
	if err != nil {
		t.Fatal(err)
	}
	var n nodes
	for name, src := range map[string]**identity.Source{"a": &n.a, "b": &n.b} {
		if _, _, err := disk.IssueNode(authority, filepath.Join(dir, name), name, time.Hour); err != nil {
			t.Fatal(err)
		}
		if *src, err = identity.Open(filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	return n
}

// server and client are the configurations of a's and b's ends.
func (n nodes) server() Config {
	return Config{Method: method, MaxMessage: limit, TLS: n.a.ServerTLS()}
}

func (n nodes) client() Config {
	return Config{Method: method, MaxMessage: limit, TLS: n.b.ClientTLS(n.a.Material().Node)}
}

func listen(t testing.TB) net.Listener {
	t.Helper()
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = lis.Close() })
	return lis
}

// accept takes the next connection of a listener.
func (n nodes) accept(lis net.Listener) (*Stream, error) {
	raw, err := lis.Accept()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	return Accept(ctx, raw, n.server())
}

// pair is both ends of a stream.
func (n nodes) pair(t testing.TB) (client, server *Stream) {
	t.Helper()
	lis := listen(t)
	got := make(chan error, 1)
	go func() {
		var err error
		server, err = n.accept(lis)
		got <- err
	}()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	client, err := Dial(ctx, lis.Addr().String(), n.client())
	if err = errors.Join(err, <-got); err != nil {
		t.Fatal(err)
	}
	_ = lis.Close() // a random test makes thousands of pairs
	t.Cleanup(client.Close)
	t.Cleanup(server.Close)
	return client, server
}

// sizes are lengths of messages at which something changes.
func sizes() []int {
	return []int{0, 1, 4, 5, 100, frameSize - prefix - 1, frameSize - prefix, frameSize - prefix + 1, frameSize,
		readFrame, 2*frameSize - prefix, 65531, 65536, window / 8, limit}
}

func filled(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i*7 + n)
	}
	return b
}

// codec has gRPC pass bytes through.
type codec struct{}

func (codec) Name() string { return "proto" }
func (codec) Marshal(v any) (mem.BufferSlice, error) {
	return mem.BufferSlice{mem.SliceBuffer(*v.(*[]byte))}, nil
}
func (codec) Unmarshal(data mem.BufferSlice, v any) error {
	*v.(*[]byte) = data.Materialize()
	return nil
}

// gRPC's own server understands this client: messages of all sizes go there and back, and the server's status comes
// last.
func TestAgainstTheServerOfGRPC(t *testing.T) {
	n := twoNodes(t)
	lis := listen(t)
	srv := grpc.NewServer(grpc.Creds(credentials.NewTLS(n.a.ServerTLS())), grpc.ForceServerCodecV2(codec{}))
	echo := func(_ any, s grpc.ServerStream) error {
		for {
			var b []byte
			if err := s.RecvMsg(&b); errors.Is(err, io.EOF) {
				return status.Error(codes.FailedPrecondition, "no more: 100 % – ünd aus")
			} else if err != nil {
				return err
			}
			if err := s.SendMsg(&b); err != nil {
				return err
			}
		}
	}
	srv.RegisterService(&grpc.ServiceDesc{ServiceName: "test.Service", HandlerType: (*any)(nil),
		Streams: []grpc.StreamDesc{{StreamName: "Method", Handler: echo, ServerStreams: true, ClientStreams: true}}}, nil)
	go func() { _ = srv.Serve(lis) }()
	defer srv.Stop()
	s, err := Dial(t.Context(), lis.Addr().String(), n.client())
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for _, size := range sizes() {
		sent := make(chan error, 1)
		go func() { sent <- s.Send(filled(size)) }()
		if b, err := s.Receive(); err != nil || !bytes.Equal(b, filled(size)) {
			t.Fatalf("%d bytes came back as %d, %v", size, len(b), err)
		}
		if err := <-sent; err != nil {
			t.Fatal(err)
		}
	}
	s.End(codes.OK, "")
	_, err = s.Receive()
	if e, ok := errors.AsType[Ended](err); !ok || e.Code != codes.FailedPrecondition ||
		e.Text != "no more: 100 % – ünd aus" {
		t.Errorf("ended with %v", err)
	}
	cfg := n.client()
	cfg.Method = "/test.Service/Other"
	other, err := Dial(t.Context(), lis.Addr().String(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	_, err = other.Receive()
	if e, ok := errors.AsType[Ended](err); !ok || e.Code != codes.Unimplemented {
		t.Errorf("a method that is not there: %v", err)
	}
}

// gRPC's own client understands this server.
func TestAgainstTheClientOfGRPC(t *testing.T) {
	n := twoNodes(t)
	lis := listen(t)
	var served sync.WaitGroup
	var streams []*Stream
	defer func() {
		for _, s := range streams {
			s.Close()
		}
	}()
	served.Go(func() {
		for {
			s, err := n.accept(lis)
			if errors.Is(err, net.ErrClosed) {
				return
			} else if err != nil {
				continue
			}
			echo := make(chan []byte, len(sizes()))
			served.Go(func() {
				for b := range echo {
					_ = s.Send(b)
				}
				s.End(codes.ResourceExhausted, "enough: ünd aus")
			})
			var b []byte
			for err == nil {
				if b, err = s.Receive(); err == nil {
					echo <- b
				}
			}
			close(echo)
			streams = append(streams, s)
		}
	})
	defer served.Wait()
	defer func() { _ = lis.Close() }()
	cc, err := grpc.NewClient("passthrough:///"+lis.Addr().String(),
		grpc.WithTransportCredentials(credentials.NewTLS(n.b.ClientTLS(n.a.Material().Node))),
		grpc.WithDefaultCallOptions(grpc.ForceCodecV2(codec{})))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cc.Close() }()
	desc := &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}
	s, err := cc.NewStream(t.Context(), desc, method)
	if err != nil {
		t.Fatal(err)
	}
	for _, size := range sizes() {
		b := filled(size)
		if err := s.SendMsg(&b); err != nil {
			t.Fatal(err)
		}
		var got []byte
		if err := s.RecvMsg(&got); err != nil || !bytes.Equal(b, got) {
			t.Fatalf("%d bytes came back as %d, %v", size, len(got), err)
		}
	}
	if err := s.CloseSend(); err != nil {
		t.Fatal(err)
	}
	var rest []byte
	if err := s.RecvMsg(&rest); status.Code(err) != codes.ResourceExhausted ||
		status.Convert(err).Message() != "enough: ünd aus" {
		t.Errorf("ended with %v", err)
	}
}

// Any mixture of messages arrives whole and in order, whichever way it was sent and however slowly it is read.
func TestMessagesArriveInOrder(t *testing.T) {
	n := twoNodes(t)
	rapid.Check(t, func(rt *rapid.T) {
		client, server := n.pair(t)
		defer client.Close()
		defer server.Close()
		lengths := rapid.SliceOfN(rapid.OneOf(rapid.IntRange(0, 200), rapid.SampledFrom(sizes())), 1, 60).Draw(rt, "lengths")
		wait := rapid.SliceOfN(rapid.Bool(), len(lengths), len(lengths)).Draw(rt, "wait")
		from, to := client, server
		if rapid.Bool().Draw(rt, "server sends") {
			from, to = server, client
		}
		go func() { _, _ = from.Receive() }() // it hears of windows
		sent := make(chan error, 1)
		go func() {
			for i, size := range lengths {
				if !wait[i] && from.TrySend(filled(size)) {
					continue
				}
				if err := from.Send(filled(size)); err != nil {
					sent <- err
					return
				}
			}
			from.End(codes.OK, "")
			sent <- nil
		}()
		for i, size := range lengths {
			if b, err := to.Receive(); err != nil || !bytes.Equal(b, filled(size)) {
				rt.Fatalf("message %d of %d bytes came as %d, %v", i, size, len(b), err)
			}
		}
		if _, err := to.Receive(); !errors.Is(err, io.EOF) {
			rt.Errorf("the end came as %v", err)
		}
		if err := <-sent; err != nil {
			rt.Error(err)
		}
	})
}

// A peer that takes nothing holds nobody up: TrySend declines once the peer's window is full, and what it took
// arrives when the peer reads.
func TestTrySendNeverWaits(t *testing.T) {
	client, server := twoNodes(t).pair(t)
	took := 0
	for client.TrySend(filled(1000)) {
		if took++; took*1000 > 2*window {
			t.Fatal("more is taken than the window holds")
		}
	}
	if took == 0 {
		t.Fatal("nothing is taken by an idle stream")
	}
	done := make(chan error, 1)
	go func() { _, _ = client.Receive() }() // it hears of windows
	go func() { done <- client.Send(filled(limit)) }()
	for i := range took {
		if b, err := server.Receive(); err != nil || len(b) != 1000 {
			t.Fatalf("message %d: %d bytes, %v", i, len(b), err)
		}
	}
	if b, err := server.Receive(); err != nil || len(b) != limit {
		t.Fatalf("the one that waited: %d bytes, %v", len(b), err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

// A message over the limit is named and skipped; the next one is whole.
func TestTooLong(t *testing.T) {
	n := twoNodes(t)
	client, server := n.pair(t)
	go func() { _, _ = client.Receive() }() // it hears of windows
	for range 2 {
		go func() {
			_ = client.Send(filled(limit + 1))
			_ = client.Send([]byte("next"))
		}()
		_, err := server.Receive()
		if long, ok := errors.AsType[TooLong](err); !ok || long.Size != limit+1 || long.Limit != limit {
			t.Fatalf("got %v", err)
		}
		if b, err := server.Receive(); err != nil || string(b) != "next" {
			t.Fatalf("then %q, %v", b, err)
		}
	}
}

// Close brings everybody back.
func TestCloseEndsAll(t *testing.T) {
	client, server := twoNodes(t).pair(t)
	var wg sync.WaitGroup
	wg.Go(func() {
		for client.Send(filled(limit)) == nil {
		}
	})
	wg.Go(func() {
		if _, err := client.Receive(); err == nil {
			t.Error("received from a stream that is closed")
		}
	})
	for range 10 {
		if _, err := server.Receive(); err != nil {
			t.Error(err)
		}
	}
	client.Close()
	wg.Wait()
	if client.TrySend(nil) {
		t.Error("a closed stream takes a message")
	}
	client.Close()
	for {
		if _, err := server.Receive(); err != nil {
			break
		}
	}
}

// Opening is bounded by its context, whatever the other side does not do.
func TestOpeningIsBounded(t *testing.T) {
	n := twoNodes(t)
	for name, other := range map[string]func(c net.Conn){
		"silence": func(net.Conn) {},
		"silence behind TLS": func(c net.Conn) {
			go func() { _ = tls.Server(c, config(n.a.ServerTLS())).HandshakeContext(context.Background()) }()
		},
	} {
		lis := listen(t)
		accepted := make(chan net.Conn, 1) // holds it: a connection that nobody holds is closed with its garbage
		go func() {
			if c, err := lis.Accept(); err == nil {
				other(c)
				accepted <- c
			}
		}()
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		if _, err := Dial(ctx, lis.Addr().String(), n.client()); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s: dial: %v", name, err)
		}
		cancel()
		_ = (<-accepted).Close()
	}
	lis := listen(t)
	c, err := net.Dial("tcp", lis.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	raw, err := lis.Accept()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if _, err := Accept(ctx, raw, n.server()); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("accept: %v", err)
	}
}

// wild is a client that says what it likes.
type wild struct {
	c net.Conn
	*http2.Framer
}

// open has a stream opened by hand.
func (w wild) open(fields ...hpack.HeaderField) {
	_, _ = io.WriteString(w.c, http2.ClientPreface)
	_ = w.WriteSettings()
	_ = w.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: block(fields...), EndHeaders: true})
}

func block(fields ...hpack.HeaderField) []byte {
	if len(fields) == 0 {
		fields = []hpack.HeaderField{{Name: ":method", Value: "POST"}, {Name: ":scheme", Value: "https"},
			{Name: ":path", Value: method}, {Name: "content-type", Value: contentType}}
	}
	var b bytes.Buffer
	enc := hpack.NewEncoder(&b)
	for _, f := range fields {
		_ = enc.WriteField(f)
	}
	return b.Bytes()
}

// What no client may do ends its stream, soon and with words that say what it was.
func TestHostileClients(t *testing.T) {
	n := twoNodes(t)
	header := func(size int) []byte { return binary.BigEndian.AppendUint32([]byte{0}, uint32(size)) }
	for name, c := range map[string]struct {
		attack func(w wild)
		want   string
	}{
		"no preface": {func(w wild) { _, _ = io.WriteString(w.c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n") }, "preface"},
		"no settings": {func(w wild) {
			_, _ = io.WriteString(w.c, http2.ClientPreface)
			_ = w.WritePing(false,
				[8]byte{})
		}, "SETTINGS"},
		"another method": {func(w wild) {
			w.open(hpack.HeaderField{Name: ":method", Value: "POST"}, hpack.HeaderField{Name: ":path", Value: "/x"},
				hpack.HeaderField{Name: "content-type", Value: contentType})
		}, "no method /x"},
		"no gRPC": {func(w wild) {
			w.open(hpack.HeaderField{Name: ":method", Value: "GET"}, hpack.HeaderField{Name: ":path", Value: method})
		}, "want a gRPC request"},
		"too many fields": {func(w wild) { w.open(hpack.HeaderField{Name: "x", Value: strings.Repeat("y", headerList)}) },
			"header fields"},
		"data before headers": {func(w wild) {
			_, _ = io.WriteString(w.c, http2.ClientPreface)
			_ = w.WriteSettings()
			_ = w.WriteData(1, false, []byte("x"))
		}, "nobody has opened"},
		"compressed": {func(w wild) { w.open(); _ = w.WriteData(1, false, []byte{1, 0, 0, 0, 0}) }, "compressed"},
		"cut off":    {func(w wild) { w.open(); _ = w.WriteData(1, true, header(10)) }, "unexpected EOF"},
		"reset":      {func(w wild) { w.open(); _ = w.WriteRSTStream(1, http2.ErrCodeCancel) }, "reset the stream: CANCEL"},
		"goaway": {func(w wild) { w.open(); _ = w.WriteGoAway(0, http2.ErrCodeEnhanceYourCalm, nil) },
			"ENHANCE_YOUR_CALM"},
		"push": {func(w wild) {
			w.open()
			w.AllowIllegalWrites = true
			_ = w.WritePushPromise(http2.PushPromiseParam{StreamID: 1, PromiseID: 2, BlockFragment: block(), EndHeaders: true})
		}, ""},
		"huge window": {func(w wild) { w.open(); _ = w.WriteWindowUpdate(1, 1<<31-1) }, "larger than any may be"},
		"huge start": {func(w wild) {
			w.open()
			_ = w.WriteWindowUpdate(1, 1<<30)
			_ = w.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1<<31 - 1})
		}, "larger than any may be"},
		"a large frame": {func(w wild) { w.open(); _ = w.WriteData(1, false, make([]byte, readFrame+1)) }, "frame too large"},
		"headers again": {func(w wild) {
			w.open()
			_ = w.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: block(), EndHeaders: true})
		}, "in the middle"},
		"chatter": {func(w wild) {
			w.open()
			for range chatter + 2 {
				_ = w.WriteData(1, false, nil)
			}
		}, "frames without a message"},
		"streams without end": {func(w wild) {
			w.open()
			for i := range uint32(chatter + 2) {
				_ = w.WriteHeaders(http2.HeadersFrameParam{StreamID: 3 + 2*i, BlockFragment: block(), EndHeaders: true})
			}
		}, "frames without a message"},
		"garbage": {func(w wild) { w.open(); _, _ = w.c.Write(bytes.Repeat([]byte{0xff}, 100)) }, ""},
	} {
		t.Run(name, func(t *testing.T) {
			lis := listen(t)
			result := make(chan error, 1)
			go func() {
				s, err := n.accept(lis)
				for err == nil {
					if _, err = s.Receive(); err != nil {
						s.Close()
					}
				}
				result <- err
			}()
			conn, err := tls.Dial("tcp", lis.Addr().String(), config(n.client().TLS))
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = conn.Close() }()
			go func() { _, _ = io.Copy(io.Discard, conn) }()
			c.attack(wild{conn, http2.NewFramer(conn, nil)})
			select {
			case err := <-result:
				if !strings.Contains(err.Error(), c.want) {
					t.Errorf("ended with %q, want %q", err, c.want)
				}
			case <-time.After(patience):
				t.Fatal("nothing came of it")
			}
		})
	}
}

// Whatever little a peer's window has room for goes, be it a piece of the prefix of a message, and all of it arrives.
func TestSmallWindows(t *testing.T) {
	n := twoNodes(t)
	lis := listen(t)
	var want, got []byte
	for size := range 8 {
		want = append(binary.BigEndian.AppendUint32(append(want, 0), uint32(size)), filled(size)...)
	}
	failed := make(chan error, 1)
	go func() {
		s, err := n.accept(lis)
		if err != nil {
			failed <- err
			return
		}
		defer s.Close()
		go func() {
			for size := range 8 {
				if err := s.Send(filled(size)); err != nil {
					failed <- err
					return
				}
			}
		}()
		_, err = s.Receive()
		failed <- err
	}()
	c, err := tls.Dial("tcp", lis.Addr().String(), config(n.client().TLS))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	_ = c.SetDeadline(time.Now().Add(patience))
	w := wild{c, http2.NewFramer(c, c)}
	_, _ = io.WriteString(c, http2.ClientPreface)
	_ = w.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 0})
	_ = w.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: block(), EndHeaders: true})
	for room := uint32(1); len(got) < len(want); room = room%9 + 1 {
		if err := w.WriteWindowUpdate(1, room); err != nil {
			t.Fatal(err)
		}
		for most := min(int(room), len(want)-len(got)); most > 0; {
			f, err := w.ReadFrame()
			if err != nil {
				t.Fatalf("%d of %d bytes came: %v (%v)", len(got), len(want), err, <-failed)
			}
			if d, ok := f.(*http2.DataFrame); ok {
				got, most = append(got, d.Data()...), most-len(d.Data())
			}
		}
	}
	if !bytes.Equal(got, want) {
		t.Errorf("got %x, want %x", got, want)
	}
}

// A client that asks and takes no answers loses its stream, and costs no more than a queue until then.
func TestAnswersAreBounded(t *testing.T) {
	n := twoNodes(t)
	conn := func(t *testing.T) (*Stream, wild) {
		lis := listen(t)
		got := make(chan *Stream, 1)
		go func() {
			s, err := n.accept(lis)
			if err != nil {
				t.Error(err)
			}
			got <- s
		}()
		c, err := tls.Dial("tcp", lis.Addr().String(), config(n.client().TLS))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		w := wild{c, http2.NewFramer(c, nil)}
		w.open()
		return <-got, w
	}
	s, w := conn(t)
	defer s.Close()
	go func() {
		for i := 0; ; i++ {
			if i%1000 == 0 && w.WriteData(1, false, []byte{0, 0, 0, 0, 0}) != nil {
				return
			}
			if w.WritePing(false, [8]byte{}) != nil {
				return
			}
		}
	}()
	for {
		if _, err := s.Receive(); err != nil {
			if !strings.Contains(err.Error(), "takes nothing") {
				t.Errorf("ended with %v", err)
			}
			return
		}
	}
}

// plain is a connection without TLS whose other side has said all it will say.
type plain struct {
	net.Conn
	r io.Reader
}

func (p plain) Read(b []byte) (int, error)  { return p.r.Read(b) }
func (p plain) Write(b []byte) (int, error) { return len(b), nil }
func (p plain) Close() error                { return nil }
func (p plain) RemoteAddr() net.Addr        { return &net.TCPAddr{} }

// said runs an end of a stream against bytes, and returns the messages and why it ended.
func said(b []byte, client bool) (messages [][]byte, err error) {
	sock := newSocket(plain{r: bytes.NewReader(b)})
	s := newStream(sock, sock, Config{Method: method, MaxMessage: limit}, client)
	if client {
		err = s.greetServer("x")
	} else {
		err = s.greetClient()
	}
	sock.run()
	go s.flush()
	defer s.Close()
	for err == nil {
		var m []byte
		if m, err = s.Receive(); err == nil {
			messages = append(messages, m)
		} else if _, long := errors.AsType[TooLong](err); long {
			err = nil
		}
	}
	return messages, err
}

// FuzzFrames gives either end whatever bytes: it ends with an error, and what it took for messages is no more than it
// was given.
func FuzzFrames(f *testing.F) {
	var seed bytes.Buffer
	w := http2.NewFramer(&seed, nil)
	_ = w.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 100})
	_ = w.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: block(), EndHeaders: true})
	_ = w.WriteData(1, false, []byte{0, 0, 0, 0, 1, 'x', 0, 0, 0})
	_ = w.WriteDataPadded(1, false, []byte{0, 2, 'x', 'y'}, make([]byte, 7))
	_ = w.WritePing(false, [8]byte{})
	_ = w.WriteWindowUpdate(0, 100)
	_ = w.WriteData(1, true, nil)
	f.Add(seed.Bytes(), false)
	seed.Reset()
	_ = w.WriteSettings()
	_ = w.WriteHeaders(http2.HeadersFrameParam{
		StreamID:   1,
		EndHeaders: true,
		BlockFragment: block(hpack.HeaderField{Name: ":status", Value: "200"},
			hpack.HeaderField{Name: "content-type", Value: contentType}),
	})
	_ = w.WriteData(1, false, []byte{0, 0, 0, 0, 1, 'x'})
	_ = w.WriteHeaders(http2.HeadersFrameParam{
		StreamID:   1,
		EndHeaders: true,
		EndStream:  true,
		BlockFragment: block(hpack.HeaderField{Name: "grpc-status", Value: "9"},
			hpack.HeaderField{Name: "grpc-message", Value: "%41%"}),
	})
	f.Add(seed.Bytes(), true)
	f.Fuzz(func(t *testing.T, b []byte, client bool) {
		if !client {
			b = append([]byte(http2.ClientPreface), b...)
		}
		messages, err := said(b, client)
		total := 0
		for _, m := range messages {
			total += prefix + len(m)
		}
		if err == nil || total > len(b) {
			t.Errorf("%d messages with %d bytes of %d, %v", len(messages), total, len(b), err)
		}
	})
}

// However a conversation is cut into frames and padded, the messages are the same.
func TestFramingDoesNotMatter(t *testing.T) {
	for seed := range uint64(300) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		var body, wire bytes.Buffer
		var want [][]byte
		for range rnd.IntN(20) {
			m := filled(rnd.IntN(300))
			want = append(want, m)
			body.Write(binary.BigEndian.AppendUint32([]byte{0}, uint32(len(m))))
			body.Write(m)
		}
		wire.WriteString(http2.ClientPreface)
		w := http2.NewFramer(&wire, nil)
		_ = w.WriteSettings()
		_ = w.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: block(), EndHeaders: true})
		for body.Len() > 0 {
			_ = w.WriteDataPadded(1, false, body.Next(1+rnd.IntN(50)), make([]byte, rnd.IntN(10)))
			switch rnd.IntN(10) {
			case 0:
				_ = w.WritePing(rnd.IntN(2) == 0, [8]byte{1})
			case 1:
				_ = w.WriteWindowUpdate(uint32(rnd.IntN(2)), 5)
			case 2:
				_ = w.WriteRawFrame(http2.FrameType(99), 0, 1, []byte("unknown"))
			}
		}
		_ = w.WriteData(1, true, nil)
		got, err := said(wire.Bytes(), false)
		if !errors.Is(err, io.EOF) || fmt.Sprint(got) != fmt.Sprint(want) {
			t.Fatalf("seed %d: %d messages of %d, %v", seed, len(got), len(want), err)
		}
	}
}
