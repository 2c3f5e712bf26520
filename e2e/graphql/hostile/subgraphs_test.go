//go:build e2e

package hostile

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/catalyst-router/catalyst/graphql/supergraph"
)

// attack is a way for a subgraph to answer, and the code with which its field fails.
type attack struct {
	name, code string
	answer     http.HandlerFunc
}

// text answers with a body.
func text(body string, header ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		for i := 0; i < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		_, _ = io.WriteString(w, body)
	}
}

// endless writes a piece again and again until nobody reads.
func endless(head, piece string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, err := io.WriteString(w, head)
		for err == nil {
			_, err = io.WriteString(w, piece)
		}
	}
}

// raw takes the connection over.
func raw(do func(net.Conn)) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		c, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			panic(err)
		}
		defer func() { _ = c.Close() }()
		do(c)
	}
}

// bomb is a small body that unpacks to a gigabyte.
func bomb() string {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	zeros := make([]byte, 1<<20)
	for range 1024 {
		_, _ = z.Write(zeros)
	}
	_ = z.Close()
	return b.String()
}

func attacks() []attack {
	const (
		unreachable, badStatus, malformed = "SUBREQUEST_UNREACHABLE", "SUBREQUEST_HTTP_ERROR", "SUBREQUEST_MALFORMED_RESPONSE"
		tooLarge, timeout, badValue       = "SUBREQUEST_TOO_LARGE", "SUBREQUEST_TIMEOUT", "INVALID_SUBGRAPH_VALUE"
		downstream                        = "DOWNSTREAM_SERVICE_ERROR"
	)
	mega := strings.Repeat("x", 1<<20)
	return []attack{
		{"silent", timeout, func(_ http.ResponseWriter,
			r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			<-r.Context().Done()
		}},
		{"silentAfterHead", timeout, func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			_, _ = io.WriteString(w, `{"data":`)
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
		}},
		{"halfABody", unreachable, raw(func(c net.Conn) {
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: "+
				"100\r\n\r\n{\"data\":")
		})},
		{"hangUp", unreachable, raw(func(net.Conn) {})},
		{"noHTTP", unreachable, raw(func(c net.Conn) { _, _ = io.WriteString(c, "220 mail.example ESMTP\r\n") })},
		{"gigabyte", tooLarge, endless(`{"data":{"gigabyte":"`, mega)},
		{"saysGigabyte", tooLarge, text("{", "Content-Length", "1073741824")},
		{"manyChunks", tooLarge, endless(`{"data":`, "    ")},
		{"gzipBomb", tooLarge, text(bomb(), "Content-Encoding", "gzip")},
		{"gzipLie", malformed, text(`{"data":{"gzipLie":1}}`, "Content-Encoding", "gzip")},
		{"otherEncoding", unreachable, text(`{}`, "Content-Encoding", "br")},
		{"headerFlood", unreachable, raw(func(c net.Conn) {
			_, err := io.WriteString(c, "HTTP/1.1 200 OK\r\n")
			for i := 0; err == nil; i++ {
				_, err = fmt.Fprintf(c, "X-Flood-%d: %s\r\n", i, mega[:1000])
			}
		})},
		{"interimFlood", unreachable, raw(func(c net.Conn) {
			var err error
			for err == nil {
				_, err = io.WriteString(c, "HTTP/1.1 103 Early Hints\r\nLink: <a>\r\n\r\n")
			}
		})},
		{"redirects", badStatus, func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, r.URL.Path, http.StatusTemporaryRedirect)
		}},
		{"htmlError", badStatus, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/html")
			w.WriteHeader(http.StatusInternalServerError)
			_, _ = io.WriteString(w, "<html><h1>Internal Server Error</h1></html>")
		}},
		{"html", malformed, text("<html>It works!</html>", "Content-Type", "text/html")},
		{"empty", malformed, text("")},
		{"number", malformed, text("7")},
		{"dataIsAList", malformed, text(`{"data":[1]}`)},
		{"noData", malformed, text(`{}`)},
		{"deepJSON", malformed, text(`{"data":{"deepJSON":` + strings.Repeat("[", 500_000))},
		{"wrongType", badValue, text(`{"data":{"wrongType":{"a":[1]}}}`)},
		{"string", badValue, text(`{"data":{"string":"one"}}`)},
		{"hugeNumber", badValue, text(`{"data":{"hugeNumber":1` + strings.Repeat("0", 100_000) + `}}`)},
		{"manyErrors", downstream, text(`{"data":null,"errors":[` + strings.Repeat(`{"message":"no"},`, 50_000) +
			`{"message":"no"}]}`)},
		{"hugeError", downstream, text(`{"errors":[{"message":"` + mega[:900_000] + `"}]}`)},
		{"errorsAreWrong", "", text(`{"data":{"errorsAreWrong":null},"errors":{"message":1}}`)},
		{"errorPathLies",
			downstream, text(`{"data":{"errorPathLies":null},"errors":[{"message":"no","path":["x",-1,{},1e99]}]}`)},
	}
}

// Every attack costs its own field and no other, with a code, and the memory of what was allowed.
func TestHostileSubgraphs(t *testing.T) {
	all := attacks()
	mux := http.NewServeMux()
	mux.HandleFunc("/polite", text(`{"data":{"ok":1}}`))
	for _, a := range all {
		mux.HandleFunc("/"+a.name, a.answer)
	}
	srv := httptest.NewServer(mux)
	t.Cleanup(func() { srv.CloseClientConnections(); srv.Close() })
	subgraphs := []supergraph.Subgraph{{Name: "polite", URL: srv.URL + "/polite", SDL: "type Query { ok: Int }"}}
	for _, a := range all {
		subgraphs = append(subgraphs, supergraph.Subgraph{
			Name: a.name,
			URL:  srv.URL + "/" + a.name,
			SDL:  "type Query { " + a.name + ": Int }",
		})
	}
	p := start(t, subgraphs, "--fetch-timeout", "1s", "--max-response", "1048576", "--share=false")
	for _, a := range all {
		t.Run(a.name, func(t *testing.T) {
			t.Parallel()
			var clients sync.WaitGroup
			for client := range 8 {
				clients.Go(func() {
					got, err := p.ask("{ ok "+a.name+" }", "{}")
					if err != nil {
						t.Error(err)
						return
					}
					if string(got.Data["ok"]) != "1" || string(got.Data[a.name]) != "null" || got.code() != a.code {
						t.Errorf("got %s, want ok and %s", got, a.code)
						return
					}
					if a.code == "" {
						return
					}
					if client == 0 {
						t.Logf("%s: %.200s", got.code(), got.Errors[0].Message)
					}
					if e := got.Errors[0]; e.Extensions.ServiceName != a.name && a.code != "INVALID_SUBGRAPH_VALUE" {
						t.Errorf("the error %+v does not name the subgraph %s", e, a.name)
					}
				})
			}
			clients.Wait()
		})
	}
	t.Cleanup(func() { p.within("hostile subgraphs", 500) }) // before the gateway ends, after the parallel tests
}

// A subgraph that lies about entities and their types gets nothing into the response that the schema forbids.
func TestLyingEntities(t *testing.T) {
	lies := map[string]struct{ answer, want, code string }{
		"anUnknownType": {`{"data":{"_entities":[{"__typename":"Nobody","extra":1},{"__typename":"Nobody","extra":1}]}}`,
			`{"items":[{"id":"1","extra":null},{"id":"2","extra":null}]}`, "SUBREQUEST_MALFORMED_RESPONSE"},
		"anotherType": {`{"data":{"_entities":[{"__typename":"Other","extra":1},null]}}`,
			`{"items":[{"id":"1","extra":null},{"id":"2","extra":null}]}`, "SUBREQUEST_MALFORMED_RESPONSE"},
		"tooFew": {`{"data":{"_entities":[{"__typename":"Item","extra":1}]}}`,
			`{"items":[{"id":"1","extra":null},{"id":"2","extra":null}]}`, "*"},
		"tooMany": {`{"data":{"_entities":[` + strings.Repeat(`{"__typename":"Item","extra":1},`, 20_000) +
			`null]}}`, `{"items":[{"id":"1","extra":null},{"id":"2","extra":null}]}`, "*"},
		"noList": {`{"data":{"_entities":{"extra":1}}}`,
			`{"items":[{"id":"1","extra":null},{"id":"2","extra":null}]}`, "*"},
		"anObjectForAnInt": {`{"data":{"_entities":[{"__typename":"Item","extra":{"x":1}},{"__typename":"Item","extra":2}]}}`, `{"items":[{"id":"1","extra":null},{"id":"2","extra":2}]}`, "INVALID_SUBGRAPH_VALUE"},
		"listsInLists": {`{"data":{"_entities":[[{"extra":1}],[[[]]]]}}`,
			`{"items":[{"id":"1","extra":null},{"id":"2","extra":null}]}`, "*"},
		"fieldsNobodyWants": {`{"data":{"_entities":[{"__typename":"Item","extra":1,"secret":"s"},{"__typename":"Item","extra":1}],"secret":"s"},"extensions":{"secret":"s"},"secret":"s"}`, `{"items":[{"id":"1","extra":1},{"id":"2","extra":1}]}`, ""},
	}
	for name, lie := range lies {
		t.Run(name, func(t *testing.T) {
			mux := http.NewServeMux()
			mux.HandleFunc("/items", text(`{"data":{"items":[{"__typename":"Item","id":"1"},{"__typename":"Item","id":"2"}]}}`))
			mux.HandleFunc("/extra", text(lie.answer))
			srv := httptest.NewServer(mux)
			defer srv.Close()
			const link = "extend schema @link(url: \"https://specs.apollo.dev/federation/v2.3\", import: [\"@key\"])\n"
			p := start(t, []supergraph.Subgraph{
				{
					Name: "items",
					URL:  srv.URL + "/items",
					SDL:  link + `type Query { items: [Item] } type Item @key(fields: "id") { id: ID! }`,
				},
				{
					Name: "extra",
					URL:  srv.URL + "/extra",
					SDL:  link + `type Item @key(fields: "id") { id: ID! extra: Int } type Other @key(fields: "id") { id: ID! }`,
				},
			})
			got, err := p.ask("{items{id extra}}", "{}")
			must(t, err)
			if want := `{"data":` + lie.want; !strings.HasPrefix(string(got.body), want) ||
				got.code() != lie.code && lie.code != "*" || lie.code == "*" && got.code() == "" {
				t.Errorf("got %s\nwant %s, code %s", got, want, lie.code)
			}
			if strings.Contains(string(got.body), "secret") {
				t.Errorf("got %s", got)
			}
		})
	}
}

// Subgraphs whose event streams never end a line, never end an event, or send without pause do not fill the memory.
func TestHostileEventStreams(t *testing.T) {
	stream := func(head, piece string) http.HandlerFunc {
		write := endless(head, piece)
		return func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Upgrade") != "" {
				http.Error(w, "no WebSocket here", http.StatusBadRequest)
				return
			}
			w.Header().Set("Content-Type", "text/event-stream")
			write(keepType{w}, r)
		}
	}
	mega := strings.Repeat("x", 1<<20)
	kinds := map[string]struct {
		answer http.HandlerFunc
		code   string
	}{
		"aLineWithoutEnd":   {stream("data: ", mega), "SUBREQUEST_TOO_LARGE"},
		"anEventWithoutEnd": {stream("", "data: "+mega[:10_000]+"\n"), "SUBREQUEST_TOO_LARGE"},
		"noEvents":          {stream(":", "no\n:"), ""},
		"badEvents":         {stream("", "data: nonsense\n\n"), "SUBREQUEST_MALFORMED_RESPONSE"},
	}
	names := make([]string, 0, len(kinds))
	mux := http.NewServeMux()
	mux.HandleFunc("/polite", text(`{"data":{"ok":1}}`))
	subgraphs := []supergraph.Subgraph{{Name: "polite", URL: "", SDL: "type Query { ok: Int }"}}
	for name, k := range kinds {
		names = append(names, name)
		mux.HandleFunc("/"+name, k.answer)
	}
	srv := httptest.NewServer(mux)
	t.Cleanup(func() { srv.CloseClientConnections(); srv.Close() })
	subgraphs[0].URL = srv.URL + "/polite"
	slices.Sort(names)
	for _, name := range names {
		subgraphs = append(subgraphs, supergraph.Subgraph{
			Name: name,
			URL:  srv.URL + "/" + name,
			SDL:  "type Subscription { " + name + ": Int } type Query { q" + name + ": Int }",
		})
	}
	p := start(t, subgraphs, "--max-response", "1048576")
	for _, name := range names {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			req, err := http.NewRequestWithContext(ctx, http.MethodPost, p.url,
				strings.NewReader(`{"query":"subscription{`+name+`}"}`))
			must(t, err)
			req.Header.Set("Content-Type", "application/json")
			req.Header.Set("Accept", "text/event-stream")
			resp, err := http.DefaultClient.Do(req)
			must(t, err)
			defer resp.Body.Close()
			if kinds[name].code == "" { // nothing comes, and the stream stays
				if got, err := p.ask("{ok}", "{}"); err != nil || got.code() != "" {
					t.Errorf("meanwhile: got %v %v", got, err)
				}
				return
			}
			first := make([]byte, 2000)
			n, err := io.ReadAtLeast(resp.Body, first, 60)
			must(t, err)
			if !strings.Contains(string(first[:n]), kinds[name].code) {
				t.Errorf("got %s, want %s", first[:n], kinds[name].code)
			}
		})
	}
	p.within("hostile event streams", 300)
}

// keepType is a writer whose Content-Type stays what it is.
type keepType struct{ http.ResponseWriter }

func (k keepType) Header() http.Header { return http.Header{} }
