package gateway

import (
	"bytes"
	"compress/gzip"
	"compress/zlib"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/andybalholm/brotli"
	"github.com/coder/websocket"
	"github.com/klauspost/compress/zstd"
)

func TestChosen(t *testing.T) {
	for accept, want := range map[string]string{
		"": "", "gzip": "gzip", "gzip, deflate, br": "br", "gzip, deflate, br, zstd": "zstd", "identity": "", "*": "zstd",
		"br;q=0, *;q=0.1": "zstd",
		"gzip;q=0":        "", "zstd;q=0.2, gzip;q=0.8": "gzip", "GZIP": "gzip", "gzip;q=x": "",
	} {
		if got := chosen(accept); got != want {
			t.Errorf("%q: got %q, want %q", accept, got, want)
		}
	}
}

func packed(t *testing.T, coding string, text []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	var w io.WriteCloser
	switch coding {
	case "gzip":
		w = gzip.NewWriter(&b)
	case "deflate":
		w = zlib.NewWriter(&b)
	case "br":
		w = brotli.NewWriter(&b)
	case "zstd":
		var err error
		if w, err = zstd.NewWriter(&b); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := w.Write(text); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func unpacked(t *testing.T, coding string, from io.Reader) string {
	t.Helper()
	var err error
	switch coding {
	case "gzip":
		from, err = gzip.NewReader(from)
	case "br":
		from = brotli.NewReader(from)
	case "zstd":
		var z *zstd.Decoder
		z, err = zstd.NewReader(from)
		if err == nil {
			defer z.Close()
		}
		from = z
	}
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(from)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestCompressedAnswers: long answers are compressed as the client likes it, short ones are not.
func TestCompressedAnswers(t *testing.T) {
	long := `{"data":{"item":{"name":"` + strings.Repeat("one ", 1000) + `"}}}`
	g := serving(t, Config{}, fake{"items", itemSDL, func(_ *http.Request, query string) string {
		if strings.Contains(query, "secret") {
			return `{"data":{"secret":"short"}}`
		}
		return long
	}})
	for _, coding := range []string{"gzip", "br", "zstd"} {
		w := post(t, g, `{"query":"{item{name}}"}`, "Accept-Encoding", coding)
		if got := w.Header().Get("Content-Encoding"); got != coding || w.Body.Len() > 500 ||
			w.Header().Get("Content-Length") != "" {
			t.Errorf("%s: content coding %q, %d bytes, %v", coding, got, w.Body.Len(), w.Header())
		}
		if got := unpacked(t, coding, w.Body); got != long {
			t.Errorf("%s: got %.100s", coding, got)
		}
	}
	if w := post(t, g, `{"query":"{secret}"}`, "Accept-Encoding", "gzip"); w.Header().Get("Content-Encoding") != "" ||
		w.Body.String() != `{"data":{"secret":"short"}}` {
		t.Errorf("a short answer: %v %s", w.Header(), w.Body)
	}
	if w := post(t, g, `{"query":"{item{name}}"}`); w.Body.String() != long ||
		!strings.Contains(strings.Join(w.Header().Values("Vary"), ","), "Accept-Encoding") {
		t.Errorf("without Accept-Encoding: %v", w.Header())
	}
}

// TestCompressedRequests: requests are taken compressed, and the limits count what comes out.
func TestCompressedRequests(t *testing.T) {
	g := serving(t, Config{MaxBody: 64 << 10}, items())
	ask := func(coding string, body []byte) *httptest.ResponseRecorder {
		return post(t, g, string(body), "Content-Encoding", coding)
	}
	for _, coding := range []string{"gzip", "br", "zstd", "deflate"} {
		if w := ask(coding, packed(t, coding, []byte(`{"query":"{item(id:1){name}}"}`))); w.Code != 200 ||
			!strings.Contains(w.Body.String(), `"one"`) {
			t.Errorf("%s: %d %s", coding, w.Code, w.Body)
		}
		bomb := packed(t, coding, []byte(`{"query":"{item{name}}`+strings.Repeat(" ", 4<<20)+`"}`))
		if w := ask(coding, bomb); w.Code != http.StatusRequestEntityTooLarge {
			t.Errorf("%s: a bomb of %d bytes: %d %s", coding, len(bomb), w.Code, w.Body)
		}
		if w := ask(coding, []byte("{nothing of the sort}")); w.Code != http.StatusBadRequest {
			t.Errorf("%s: garbage: %d %s", coding, w.Code, w.Body)
		}
	}
	if w := ask("snappy", []byte("{}")); w.Code != http.StatusUnsupportedMediaType ||
		w.Header().Get("Accept-Encoding") == "" {
		t.Errorf("an unknown coding: %d %v", w.Code, w.Header())
	}
	if held := g.held.Load(); held != 0 {
		t.Errorf("%d bytes are still counted as held", held)
	}
}

// TestPreflightHeaders: each of the headers that a page cannot send unasked lets a request through.
func TestPreflightHeaders(t *testing.T) {
	g := serving(t, Config{CSRF: CSRF{Strict: true}}, items())
	for _, name := range []string{"GraphQL-Require-Preflight", "Apollo-Require-Preflight", "X-Apollo-Operation-Name",
		"X-Requested-With"} {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/graphql?query={item(id:1){name}}", nil)
		r.Header.Set(name, "x")
		w := httptest.NewRecorder()
		g.ServeHTTP(w, r)
		if w.Code != 200 {
			t.Errorf("%s: %d %s", name, w.Code, w.Body)
		}
	}
}

// socketTo opens a WebSocket to a gateway.
func socketTo(t *testing.T, g *Gateway) *websocket.Conn {
	t.Helper()
	srv := httptest.NewServer(g)
	t.Cleanup(srv.Close)
	c, _, err := websocket.Dial(t.Context(), srv.URL+"/graphql",
		&websocket.DialOptions{Subprotocols: []string{subprotocol}}) //nolint:bodyclose // none after a handshake
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.CloseNow() })
	return c
}

// TestNoInit: who does not begin is told so, with the protocol's code.
func TestNoInit(t *testing.T) {
	c := socketTo(t, serving(t, Config{Streams: Streams{InitTimeout: 50 * time.Millisecond}}, items()))
	if _, _, err := c.Read(t.Context()); websocket.CloseStatus(err) != closeInitTimeout {
		t.Errorf("got %v, want code %d", err, closeInitTimeout)
	}
}

// TestSyntaxErrorOverSocket: an operation that cannot be read is answered under its id, and the others of the
// connection go on.
func TestSyntaxErrorOverSocket(t *testing.T) {
	c := socketTo(t, serving(t, Config{}, items()))
	say := func(text string) {
		t.Helper()
		if err := c.Write(t.Context(), websocket.MessageText, []byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	hear := func(want string) {
		t.Helper()
		_, got, err := c.Read(t.Context())
		if err != nil || !strings.Contains(string(got), want) {
			t.Errorf("got %s, %v, want %s in it", got, err, want)
		}
	}
	say(`{"type":"connection_init"}`)
	hear("connection_ack")
	for i, payload := range []string{`{"query":"subscription {"}`, `{"query":7}`, `{"query":"{ nothing }"}`, `{}`,
		`{"query":"{item{name}}","variables":[]}`} {
		say(fmt.Sprintf(`{"id":"%d","type":"subscribe","payload":%s}`, i, payload))
		hear(fmt.Sprintf(`{"id":"%d","type":"error"`, i))
	}
	say(`{"id":"last","type":"subscribe","payload":{"query":"{item(id:1){name}}"}}`)
	hear(`{"id":"last","type":"next"`)
}
