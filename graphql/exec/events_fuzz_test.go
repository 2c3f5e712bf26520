package exec

import (
	"bytes"
	"crypto/sha1"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
)

// drain reads a subscription to its end; whatever comes must be a response in JSON with data or errors.
func drain(t *testing.T, e *Executor) {
	s, err := e.Stream(t.Context(), &Request{Plan: subscriptionPlan()})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for {
		res, err := s.Next(t.Context())
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			t.Fatalf("the stream ended with %v", err)
		}
		var out map[string]json.RawMessage
		if err := json.Unmarshal(res.Body, &out); err != nil || out["data"] == nil && out["errors"] == nil {
			t.Fatalf("got %s: %v", res.Body, err)
		}
		res.Release()
	}
}

// roundTrip is a transport.
type roundTrip func(*http.Request) *http.Response

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body != nil {
		r.Body.Close()
	}
	return f(r), nil
}

// from returns an executor of which the subgraph a answers by h, and events go by the protocol.
func from(t *testing.T, p Protocol, h roundTrip) *Executor {
	s := &subgraphs{answers: map[string]string{"b": `{"data":{"_entities":[{"price":10}]}}`}}
	return s.executor(t, func(c *Config) {
		c.MaxResponseBytes, c.MaxEvents = 1<<16, 1<<20
		c.Subgraphs["a"] = Subgraph{URL: "http://a/graphql", Transport: h, Subscription: Subscription{Protocol: p}}
	})
}

// Whatever a subgraph sends as server-sent events ends in responses and in an end.
func FuzzEventStream(f *testing.F) {
	for _, seed := range []string{
		"event: next\ndata: " + event1 + "\n\nevent: complete\ndata:\n\n",
		"data: " + event1 + "\n\n",
		": comment\n\nid: 1\nretry: 10\nevent:next\r\ndata:" + event2 + "\r\n\r\n",
		"event: next\ndata: {\"data\":\ndata: {\"book\":null}}\n\n",
		"event: error\ndata: [{\"message\":\"no\"}]\n\n",
		"data: [\n\ndata: 7\n\ndata: {\"data\":7}\n\ndata: {\"errors\":{}}\n\n",
		"\ufeffdata: {}\n\n", "data", "\x00", "event: complete",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		drain(t, from(t, SSE, func(*http.Request) *http.Response { return reply(200, "text/event-stream", string(body)) }))
	})
}

// duplex is the connection after an upgrade: what the peer sends is fixed, what is sent to it is dropped.
type duplex struct {
	io.Reader
	mu     sync.Mutex
	closed bool
}

func (d *duplex) Write(p []byte) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return 0, io.ErrClosedPipe
	}
	return len(p), nil
}

func (d *duplex) Close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.closed = true
	return nil
}

// textFrame is a message of a server in one frame (RFC 6455 §5.2).
func textFrame(text string) []byte {
	b := []byte{0x81}
	switch n := len(text); {
	case n < 126:
		b = append(b, byte(n))
	case n < 1<<16:
		b = binary.BigEndian.AppendUint16(append(b, 126), uint16(n))
	default:
		b = binary.BigEndian.AppendUint64(append(b, 127), uint64(n))
	}
	return append(b, text...)
}

// accepting answers a handshake and then sends what is given.
func accepting(sent []byte) roundTrip {
	return func(r *http.Request) *http.Response {
		sum := sha1.Sum([]byte(r.Header.Get("Sec-WebSocket-Key") +
			"258EAFA5-E914-47DA-95CA-C5AB0DC85B11")) //nolint:gosec // RFC 6455 §4.2.2
		return &http.Response{
			StatusCode: http.StatusSwitchingProtocols,
			Body:       &duplex{Reader: bytes.NewReader(sent)},
			Header: http.Header{
				"Upgrade": {"websocket"}, "Connection": {"Upgrade"},
				"Sec-Websocket-Accept": {base64.StdEncoding.EncodeToString(sum[:])}, "Sec-Websocket-Protocol": {subprotocol},
			},
		}
	}
}

// Whatever a subgraph sends over a WebSocket, as frames or as messages of the protocol, ends in responses and in an
// end.
func FuzzEventSocket(f *testing.F) {
	for _, seed := range []string{
		`{"type":"connection_ack"}` + "\n" + `{"id":"1","type":"next","payload":` + event1 + "}\n" +
			`{"id":"1","type":"complete"}`,
		`{"type":"ping"}` + "\n" + `{"type":"connection_ack"}` + "\n" + `{"type":"ping","payload":{}}` + "\n" +
			`{"id":"1","type":"error","payload":[{"message":"no"}]}`,
		`{"type":"connection_ack"}` + "\n" + `{"id":"1","type":"next"}` + "\n" + `{"id":"2","type":"next","payload":7}` +
			"\n" + `{"id":"1","type":"error"}`,
		`{"type":"next"}`, `{}`, `[]`, `{"type":7}`, "\n\n",
		`{"type":"connection_ack","payload":` + strings.Repeat("[", 2000),
	} {
		f.Add([]byte(seed), false)
		var frames []byte
		for line := range strings.SplitSeq(seed, "\n") {
			frames = append(frames, textFrame(line)...)
		}
		f.Add(frames, true)
	}
	f.Add([]byte("\x89\x00\x8a\x01x\x88\x02\x03\xe8"), true) // ping, pong, close
	f.Add([]byte("\x01\x01{\x80\x01}\x81\x7f\xff\xff\xff\xff\xff\xff\xff\xff"), true)
	f.Add([]byte("\x82\x02{}\xf1\x00\x81\x80\x00\x00\x00\x00"), true)
	f.Fuzz(func(t *testing.T, sent []byte, frames bool) {
		if !frames {
			var b []byte
			for line := range strings.SplitSeq(string(sent), "\n") {
				b = append(b, textFrame(line)...)
			}
			sent = b
		}
		drain(t, from(t, WebSocket, accepting(sent)))
	})
}
