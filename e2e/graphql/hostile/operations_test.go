//go:build e2e

package hostile

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/catalyst-router/catalyst/graphql/supergraph"
)

// schema is a wide subgraph: many types that know each other.
func schema() string {
	var sdl strings.Builder
	sdl.WriteString("scalar JSON\ninput In { in: In value: Int }\ntype Query { ok(in: In, list: [[Int]], any: JSON): " +
		"Int  t: T0  list: [T0] }\n")
	for i := range 200 {
		fmt.Fprintf(&sdl, "type T%d {", i)
		for f := range 20 {
			fmt.Fprintf(&sdl, " f%d: T%d", f, (i+f+1)%200)
		}
		sdl.WriteString(" }\n")
	}
	return sdl.String()
}

// polite is a subgraph that answers everything with one value.
func polite(t *testing.T) supergraph.Subgraph {
	t.Helper()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"data":{"ok":1,"t":{},"list":[]}}`)
	}))
	t.Cleanup(srv.Close)
	return supergraph.Subgraph{Name: "polite", URL: srv.URL, SDL: schema()}
}

func repeat(n int, format string) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, format, i)
	}
	return b.String()
}

func nested(n int, open, inner, end string) string {
	return strings.Repeat(open, n) + inner + strings.Repeat(end, n)
}

// Every operation that would cost too much is refused with a code that says why, by many clients at once, and costs
// the gateway no memory that matters.
func TestHostileOperations(t *testing.T) {
	p := start(t, []supergraph.Subgraph{polite(t)})
	const none = "{}"
	fragments := ""
	for i := range 40 {
		fragments += fmt.Sprintf("fragment F%d on T0 { ...F%d ...F%d } ", i, i+1, i+1)
	}
	for name, c := range map[string]struct{ operation, variables, code string }{
		"deep":               {"{t" + nested(150, "{f0", "{__typename}", "}") + "}", none, "MAX_DEPTH_LIMIT"},
		"deeper":             {"{t" + nested(6000, "{f0", "{__typename}", "}") + "}", none, "GRAPHQL_PARSE_FAILED"},
		"braces alone":       {strings.Repeat("{", 15_000), none, "GRAPHQL_PARSE_FAILED"},
		"lists in a literal": {"{ok(list:" + strings.Repeat("[", 15_000), none, "GRAPHQL_PARSE_FAILED"},
		"wide":               {"{t{" + strings.Repeat("f0{__typename} ", 10_000) + "}}", none, "MAX_TOKENS_LIMIT"},
		"the same key": {"{t{" + strings.Repeat("f0{f1{f2{__typename}}}", 1000) + "}}", none,
			"MAX_REPEATS_LIMIT"},
		"aliases":     {"{t{" + repeat(2000, "a%d:__typename ") + "}}", none, "MAX_ALIASES_LIMIT"},
		"root fields": {"{" + repeat(600, "a%d:ok ") + "}", none, "MAX_ROOT_FIELDS_LIMIT"},
		"cyclic fragments": {"{t{...A}} fragment A on T0 {...B} fragment B on T0 {...A}", none,
			"GRAPHQL_VALIDATION_FAILED"},
		"a fragment in itself": {"{t{...A}} fragment A on T0 {f0{...B}} fragment B on T1 {f0{...B}}", none,
			"GRAPHQL_VALIDATION_FAILED"},
		"fragments that multiply": {"{t{...F0}} " + fragments + "fragment F40 on T0 {__typename}", none, "MAX_FIELDS_LIMIT"},
		"directives":              {"{ok " + strings.Repeat("@skip(if:false)", 1000) + "}", none, "MAX_DIRECTIVES_LIMIT"},
		"operations":              {repeat(4000, "query q%d{ok}"), none, "OPERATION_RESOLUTION_FAILURE"},
		"variables that are deep": {"query($v:In){ok(in:$v)}", `{"v":` + nested(5000, `{"in":`, "null", "}") + "}",
			"BAD_USER_INPUT"},
		"variables that are wrong": {"query($v:[[Int]]){ok(list:$v)}",
			`{"v":[[` + strings.Repeat(`"x",`, 200_000) + `1]]}`, "BAD_USER_INPUT"},
		"variables that are large": {"query($v:JSON){ok(any:$v)}", `{"v":"` + strings.Repeat("x", 3<<20) + `"}`,
			"REQUEST_TOO_LARGE"},
		"introspection in itself": {"{__schema{types{fields{type{fields{type{fields{type{fields{name}}}}}}}}}}", none,
			"GRAPHQL_VALIDATION_FAILED"},
		"introspection by aliases": {"{__schema{types{fields{type{fields{" + repeat(900, "a%d:name ") + "}}}}}}", none,
			"MAX_INTROSPECTION_LIMIT"},
		"suggestions":          {"{t{" + repeat(3000, "no%d ") + "}}", none, "GRAPHQL_VALIDATION_FAILED"},
		"a comment":            {"{ok}#" + strings.Repeat("#", 1<<20), none, ""},
		"an unfinished string": {`{ok(any:"` + strings.Repeat("x", 1<<20), none, "GRAPHQL_PARSE_FAILED"},
	} {
		t.Run(name, func(t *testing.T) {
			var clients sync.WaitGroup
			for range 4 {
				clients.Go(func() {
					got, err := p.ask(c.operation, c.variables)
					if err != nil {
						t.Error(err)
						return
					}
					if got.code() != c.code || len(got.body) > 64<<10 {
						t.Errorf("got %d bytes, %s, want %s", len(got.body), got, c.code)
					}
				})
			}
			clients.Wait()
		})
	}
	t.Run("bodies that are no operation", func(t *testing.T) {
		for _, body := range []string{"", "{", strings.Repeat("[", 1<<20), strings.Repeat(`{"query":`, 200_000),
			`{"query":{}}`, "\x00", `"` + strings.Repeat(`\u0000`, 100_000) + `"`} {
			got, err := p.post([]byte(body))
			if err != nil {
				t.Error(err)
			} else if got.status != http.StatusBadRequest || len(got.body) > 1000 {
				t.Errorf("%.20q: got %s", body, got)
			}
		}
	})
	p.within("hostile operations", 400)
}

// Large operations that are allowed, each of them another, do not fill the memory by being remembered.
func TestManyLargeOperations(t *testing.T) {
	p := start(t, []supergraph.Subgraph{polite(t)})
	var clients sync.WaitGroup
	for client := range 4 {
		clients.Go(func() {
			for i := range 40 {
				operation := fmt.Sprintf("query q%d_%d {t{", client, i) + repeat(900,
					"a%d:f0{__typename f1{__typename} f2{__typename}}") + "}}"
				got, err := p.ask(operation, "{}")
				if err != nil || got.code() != "" {
					t.Errorf("got %v %v", got, err)
					return
				}
			}
		})
	}
	clients.Wait()
	p.within("160 operations of 4,500 fields", 700)
}

// Clients that are slow, silent or many do not keep others from being served.
func TestHostileConnections(t *testing.T) {
	p := start(t, []supergraph.Subgraph{polite(t)}, "--max-concurrent", "4", "--max-streams", "50")
	u, err := url.Parse(p.url)
	must(t, err)
	dial := func(head string) net.Conn {
		c, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", u.Host)
		must(t, err)
		t.Cleanup(func() { _ = c.Close() })
		_, err = io.WriteString(c, head)
		must(t, err)
		return c
	}
	head := "POST /graphql HTTP/1.1\r\nHost: " + u.Host + "\r\nContent-Type: application/json\r\n"
	for range 100 {
		dial("")
		dial("POST /graphql HTTP/1.1\r\nHost:")
		dial(head + "Content-Length: 1000000\r\n\r\n{\"query\":\"{ok}\"")
		dial(head + "Transfer-Encoding: chunked\r\n\r\n5\r\n{\"que")
	}
	socket := "GET /graphql HTTP/1.1\r\nHost: " + u.Host +
		"\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: " +
		"AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Protocol: graphql-transport-ws\r\n\r\n"
	refused := 0
	for range 60 {
		resp, err := http.ReadResponse(bufio.NewReader(dial(socket)), nil)
		must(t, err)
		if resp.StatusCode == http.StatusServiceUnavailable {
			refused++
		}
		_ = resp.Body.Close()
	}
	if refused != 10 {
		t.Errorf("%d of 60 WebSockets were refused, want 10 beyond the limit", refused)
	}
	resp, err := http.ReadResponse(bufio.NewReader(dial(head+repeat(3000, "X-Flood-%d: "+strings.Repeat("x", 60)+"\r\n")+
		"\r\n")), nil)
	if err != nil || resp.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
		t.Errorf("a flood of headers: got %v %v", resp, err)
	}
	for range 20 {
		if got, err := p.ask("{ok}", "{}"); err != nil || string(got.body) != `{"data":{"ok":1}}` {
			t.Errorf("meanwhile: got %v %v", got, err)
		}
	}
	p.within("hostile connections", 200)
}
