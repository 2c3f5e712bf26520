package gateway

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"io"
	"log/slog"
	"mime"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/catalyst-router/catalyst/graphql/supergraph"
)

// alarm is a log handler that tells of panics, which the gateway survives.
type alarm struct{ t *testing.T }

func (a alarm) Enabled(context.Context, slog.Level) bool { return true }
func (a alarm) Handle(_ context.Context, r slog.Record) error {
	if strings.Contains(r.Message, "panic") {
		a.t.Error(r.Message)
		r.Attrs(func(at slog.Attr) bool { a.t.Error(at.Value); return true })
	}
	return nil
}
func (a alarm) WithAttrs([]slog.Attr) slog.Handler { return a }
func (a alarm) WithGroup(string) slog.Handler      { return a }

// answering answers every request to a subgraph.
type answering struct{}

func (answering) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body != nil {
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			return nil, err
		}
		_ = r.Body.Close()
	}
	return &http.Response{
		StatusCode: http.StatusOK,
		Header:     http.Header{"Content-Type": {typeJSON}},
		Body:       io.NopCloser(strings.NewReader(`{"data":{"a":1,"one":1,"many":2,"nested":3,"ticks":4}}`)),
	}, nil
}

// attacked returns a gateway over a subgraph in memory that fails the test when it panics.
func attacked(t *testing.T, sdl string) *Gateway {
	t.Helper()
	opts := SnapshotOptions{}
	opts.Exec.Transport = answering{}
	s, err := NewSnapshot(sdl, opts)
	if err != nil {
		t.Fatal(err)
	}
	g := New(Config{
		Log:      slog.New(alarm{t}),
		MaxBatch: 3,
		MaxBody:  1 << 16,
		Uploads:  Uploads{MaxBytes: 1 << 18, Directory: t.TempDir()},
	})
	g.Swap(s)
	t.Cleanup(g.Close)
	return g
}

// composedUploads composes the schema of the fuzz targets.
func composedUploads(f *testing.F) string {
	f.Helper()
	res := supergraph.Compose([]supergraph.Subgraph{{
		Name: "files",
		URL:  "http://files.example/",
		SDL:  uploadSDL + " type Subscription { ticks: Int }",
	}}, supergraph.Options{})
	if res.Errors != nil {
		f.Fatal(res.Errors)
	}
	return res.SDL
}

// wellFormed wants an answer of HTTP that says something in JSON, or a stream of such.
func wellFormed(t *testing.T, w *httptest.ResponseRecorder) {
	t.Helper()
	mediaType, _, err := mime.ParseMediaType(w.Header().Get("Content-Type"))
	if err != nil {
		t.Fatalf("%d without a media type: %s", w.Code, w.Body)
	}
	if w.Code >= 500 || w.Code < 200 {
		t.Errorf("got status %d: %s", w.Code, w.Body)
	}
	if mediaType != typeJSON && mediaType != typeGraphQL {
		return
	}
	var v any
	if err := json.Unmarshal(w.Body.Bytes(), &v); err != nil {
		t.Fatalf("%d, no JSON: %s", w.Code, w.Body)
	}
	list, batched := v.([]any)
	if !batched {
		list = []any{v}
	}
	for _, v := range list {
		o, _ := v.(map[string]any)
		_, data := o["data"]
		if errs, ok := o["errors"].([]any); !data && (!ok || len(errs) == 0) {
			t.Errorf("%d, neither data nor errors: %s", w.Code, w.Body)
		}
	}
}

// Whatever comes as a request is answered.
func FuzzRequest(f *testing.F) {
	sdl := composedUploads(f)
	for _, seed := range [][3]string{
		{`{"query":"{a}"}`, "application/json", ""},
		{`{"query":"query q($v:Int){a}","variables":{"v":1},"operationName":"q","extensions":{"cost":true}}`,
			"application/json; charset=utf-8", "*/*"},
		{`[{"query":"{a}"},{"query":"mutation{one(f:null)}"}]`, "application/json", "application/graphql-response+json"},
		{`{"extensions":{"persistedQuery":{"version":1,"sha256Hash":"00"}}}`, "application/json",
			"application/json;q=0.5, text/event-stream"},
		{`{"query":"subscription{ticks}"}`, "application/json", "text/event-stream"},
		{`{"query":"{a ...@defer{a}}"}`, "application/json", "multipart/mixed;deferSpec=20220824"},
		{"\ufeff {\"query\":null,\"id\":\"x\"}", "application/json", "text/html"},
		{`{"query":"{__schema{types{name}} __typename}","variables":[]}`, "APPLICATION/JSON;charset=\"utf8\"", "a/b;q=x"},
		{`null`, "text/plain", ""}, {``, "", ""}, {"\xff", "application/json;charset=latin1", "multipart/*"},
	} {
		f.Add(http.MethodPost, "", []byte(seed[0]), seed[1], seed[2])
	}
	f.Add(http.MethodGet, "query={a}&variables={}&extensions={}&operationName=", []byte{}, "", "")
	f.Add(http.MethodGet, "query=%7Ba%&id=1", []byte{}, "", "")
	f.Add(http.MethodDelete, "", []byte{}, "", "")
	f.Fuzz(func(t *testing.T, method, query string, body []byte, contentType, accept string) {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/graphql", bytes.NewReader(body))
		r.Method, r.URL.RawQuery = method, query
		r.Header.Set("GraphQL-Require-Preflight", "1")
		r.Header.Set("Content-Type", contentType)
		if accept != "" {
			r.Header.Set("Accept", accept)
		}
		if method == http.MethodOptions {
			return // answered without a body
		}
		g := attacked(t, sdl)
		w := httptest.NewRecorder()
		g.ServeHTTP(w, r)
		wellFormed(t, w)
		if n := g.held.Load(); n != 0 || len(g.slots) != 0 {
			t.Errorf("%d bytes and %d operations are still held", n, len(g.slots))
		}
	})
}

// Whatever comes as a form is answered, and nothing of it stays.
func FuzzForm(f *testing.F) {
	sdl := composedUploads(f)
	part := func(head, text string) string {
		return "--b\r\nContent-Disposition: form-data; " + head + "\r\n\r\n" + text + "\r\n"
	}
	operations := part(`name="operations"`, `{"query":"mutation($v:Upload!){one(f:$v)}","variables":{"v":null}}`)
	for _, seed := range []string{
		operations + part(`name="map"`, `{"0":["variables.v"]}`) + part(`name="0"; filename="a.txt"`, "hello") + "--b--\r\n",
		operations + part(`name="map"`, `{"0":["variables.v"]}`) + part(`name="0"; filename="a.txt"`,
			strings.Repeat("x", 70_000)) + "--b--\r\n",
		operations + part(`name="map"`, `{"0":["variables.v.0","variables"],"1":[]}`),
		part(`name="operations"`, `[{"query":"mutation($v:[Upload!]!){many(fs:$v)}","variables":{"v":[null,null]}}]`) +
			part(`name="map"`, `{"a":["0.variables.v.1"],"b":["0.variables.v.0"]}`) + part(`name="b"; filename*=utf-8''x`,
			"") + part(`name="a"`, "") + "--b--",
		part(`name="operations"`, `{"query":"mutation($v:Attachment!){nested(a:$v)}","variables":{"v":{"file":null}}}`) +
			part(`name="map"`, `{"0":["variables.v.file"]}`) + "--b\r\n\r\nx",
		"--b--", "", operations, part(`name="map"`, "{}"),
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		g := attacked(t, sdl)
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/graphql", bytes.NewReader(body))
		r.Header.Set("Content-Type", "multipart/form-data; boundary=b")
		r.Header.Set("GraphQL-Require-Preflight", "1")
		w := httptest.NewRecorder()
		g.ServeHTTP(w, r)
		wellFormed(t, w)
		if n := g.held.Load(); n != 0 || len(g.slots) != 0 {
			t.Errorf("%d bytes and %d operations are still held", n, len(g.slots))
		}
	})
}

// hijacked is a writer whose connection is taken over.
type hijacked struct {
	*httptest.ResponseRecorder
	conn net.Conn
}

func (h hijacked) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	return h.conn, bufio.NewReadWriter(bufio.NewReader(h.conn), bufio.NewWriter(h.conn)), nil
}

// clientFrame is a message of a client in one frame, masked with zeros (RFC 6455 §5.3).
func clientFrame(text string) []byte {
	b := []byte{0x81}
	switch n := len(text); {
	case n < 126:
		b = append(b, 0x80|byte(n))
	case n < 1<<16:
		b = binary.BigEndian.AppendUint16(append(b, 0x80|126), uint16(n)) //nolint:gosec // checked
	default:
		b = binary.BigEndian.AppendUint64(append(b, 0x80|127), uint64(n)) //nolint:gosec // a length
	}
	return append(append(b, 0, 0, 0, 0), text...)
}

// Whatever comes over a WebSocket, as frames or as messages of the protocol, the connection ends with the client and
// leaves nothing behind.
func FuzzSocket(f *testing.F) {
	sdl := composedUploads(f)
	for _, seed := range []string{
		`{"type":"connection_init"}` + "\n" + `{"id":"1","type":"subscribe","payload":{"query":"{a}"}}` + "\n" +
			`{"id":"1","type":"complete"}`,
		`{"type":"connection_init","payload":{"authorization":"Bearer x","headers":{"a":"b","c":1}}}` + "\n" +
			`{"type":"ping","payload":{}}` + "\n" + `{"id":"1","type":"subscribe","payload":{"query":"subscription{ticks}"}}`,
		`{"type":"subscribe","id":"1","payload":{}}`, `{"type":"connection_init"}` + "\n" + `{"type":"connection_init"}`,
		`{"type":"connection_init"}` + "\n" + `{"id":"1","type":"subscribe","payload":[]}` + "\n" +
			`{"id":"1","type":"subscribe","payload":{"query":"mutation{one(f:1)}"}}` + "\n" + `{"type":"pong"}`,
		`{}`, `[]`, "\n", `{"type":7}`,
	} {
		f.Add([]byte(seed), false)
	}
	f.Add(append(clientFrame(`{"type":"connection_init"}`),
		"\x89\x80\x00\x00\x00\x00\x8a\x80\x00\x00\x00\x00\x88\x82\x00\x00\x00\x00\x03\xe8"...), true)
	f.Add([]byte("\x01\x81\x00\x00\x00\x00{\x81\x00"), true)
	f.Add([]byte("\x82\x80\x00\x00\x00\x00\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"), true)
	f.Fuzz(func(t *testing.T, sent []byte, frames bool) {
		if !frames {
			var b []byte
			for line := range strings.SplitSeq(string(sent), "\n") {
				b = append(b, clientFrame(line)...)
			}
			sent = b
		}
		g := attacked(t, sdl)
		client, server := net.Pipe()
		go func() { _, _ = io.Copy(io.Discard, client) }() // ends with the connection
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/graphql", nil)
		for name, value := range map[string]string{"Connection": "Upgrade", "Upgrade": "websocket",
			"Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
			"Sec-WebSocket-Protocol": subprotocol} {
			r.Header.Set(name, value)
		}
		done := make(chan struct{})
		go func() {
			defer close(done)
			g.ServeHTTP(hijacked{httptest.NewRecorder(), server}, r)
		}()
		_ = client.SetWriteDeadline(time.Now().Add(10 * time.Second))
		_, _ = client.Write(sent) // fails when the gateway closes first
		_ = client.Close()
		<-done
		if n := g.streams.open(); n != 0 {
			t.Errorf("%d streams are still open", n)
		}
	})
}
