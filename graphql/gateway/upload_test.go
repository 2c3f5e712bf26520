package gateway

import (
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
)

const uploadSDL = `scalar Upload
type Query { a: Int }
input Attachment { file: Upload! note: String }
type Mutation { one(f: Upload!): Int  many(fs: [Upload!]!): Int  nested(a: Attachment!): Int }`

// filing is a subgraph that keeps the parts it got, one a line.
func filing(t *testing.T, got *string) fake {
	return fake{"files", uploadSDL, func(r *http.Request, body string) string {
		_, p, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
		if err != nil || p["boundary"] == "" {
			*got = "no form: " + body
			return `{"data":null}`
		}
		var out strings.Builder
		for form := multipart.NewReader(strings.NewReader(body), p["boundary"]); ; {
			part, err := form.NextPart()
			if err != nil {
				break
			}
			text, _ := io.ReadAll(part)
			if len(text) > 200 {
				text = fmt.Appendf(nil, "%d bytes", len(text))
			}
			fmt.Fprintf(&out, "%s %s %s\n", part.FormName(), part.FileName(), text)
		}
		*got = out.String()
		return `{"data":{"one":1,"many":2,"nested":3}}`
	}}
}

// postForm sends parts: name, contents, name, contents. Those whose names are digits are files.
func postForm(t *testing.T, h http.Handler, parts ...string) *httptest.ResponseRecorder {
	t.Helper()
	var body strings.Builder
	w := multipart.NewWriter(&body)
	for i := 0; i < len(parts); i += 2 {
		var part io.Writer
		if name := parts[i]; name[0] >= '0' && name[0] <= '9' {
			part, _ = w.CreateFormFile(name, name+".txt")
		} else {
			part, _ = w.CreateFormField(name)
		}
		io.WriteString(part, parts[i+1])
	}
	w.Close()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/graphql", strings.NewReader(body.String()))
	r.Header.Set("Content-Type", w.FormDataContentType())
	r.Header.Set("GraphQL-Require-Preflight", "1")
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, r)
	return rec
}

func TestUploadsReachTheSubgraph(t *testing.T) {
	large := strings.Repeat("x", 3*inMemory)
	for name, c := range map[string]struct {
		parts []string
		want  string
	}{
		"one": {[]string{"operations", `{"query":"mutation($v:Upload!){one(f:$v)}","variables":{"v":null}}`, "map",
			`{"0":["variables.v"]}`, "0", "hello"},
			`operations  {"query":"mutation($v:Upload!){one(f:$v)}","variables":{"v":null}}` + "\n" +
				`map  {"0":["variables.v"]}` + "\n0 0.txt hello\n"},
		"a list, in another order, and a part nobody asked for": {[]string{"operations",
			`{"query":"mutation($v:[Upload!]!){many(fs:$v)}","variables":{"v":[null,null]}}`, "map",
			`{"1":["variables.v.1"],"0":["variables.v.0"]}`, "1", large, "9", "no", "0", "a"},
			`operations  {"query":"mutation($v:[Upload!]!){many(fs:$v)}","variables":{"v":[null,null]}}` + "\n" +
				`map  {"0":["variables.v.0"],"1":["variables.v.1"]}` + "\n0 0.txt a\n1 1.txt 196608 bytes\n"},
		"a single value that becomes a list": {[]string{"operations",
			`{"query":"mutation($v:[Upload!]!){many(fs:$v)}","variables":{"v":null}}`, "map", `{"0":["variables.v"]}`, "0", "a"},
			`operations  {"query":"mutation($v:[Upload!]!){many(fs:$v)}","variables":{"v":[null]}}` + "\n" +
				`map  {"0":["variables.v.0"]}` + "\n0 0.txt a\n"},
		"in an input object": {[]string{"operations",
			`{"query":"mutation($v:Attachment!){nested(a:$v)}","variables":{"v":{"file":null,"note":"n"}}}`, "map",
			`{"0":["variables.v.file"]}`, "0", "a"},
			`operations  {"query":"mutation($v:Attachment!){nested(a:$v)}","variables":{"v":{"file":null,"note":"n"}}}` +
				"\n" + `map  {"0":["variables.v.file"]}` + "\n0 0.txt a\n"},
	} {
		var got string
		dir := t.TempDir()
		g := serving(t, Config{Uploads: Uploads{Directory: dir}}, filing(t, &got))
		w := postForm(t, g, c.parts...)
		if w.Code != 200 || strings.Contains(w.Body.String(), "errors") || got != c.want {
			t.Errorf("%s: %d %s\ngot  %s\nwant %s", name, w.Code, w.Body, got, c.want)
		}
		if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
			t.Errorf("%s: left behind: %v %v", name, left, err)
		}
	}
}

func TestUploadsThatAreRefused(t *testing.T) {
	const op = `{"query":"mutation($v:Upload!){one(f:$v)}","variables":{"v":null}}`
	for name, c := range map[string]struct {
		parts  []string
		status int
		want   string
	}{
		"no parts":      {nil, 400, CodeUpload},
		"no operations": {[]string{"map", `{}`}, 400, "The part operations is missing"},
		"no map":        {[]string{"operations", op}, 400, "The part map is missing"},
		"map is a list": {[]string{"operations", op, "map", `[]`}, 400, "must be a JSON object"},
		"map is null":   {[]string{"operations", op, "map", `null`}, 400, "must be a JSON object"},
		"no file":       {[]string{"operations", op, "map", `{"0":["variables.v"]}`}, 400, "is missing"},
		"no null there": {[]string{"operations", `{"query":"{a}","variables":{"v":1}}`, "map",
			`{"0":["variables.v"]}`, "0", ""}, 400, "must lead to a null"},
		"nothing there": {[]string{"operations", op, "map", `{"0":["variables.w.x.0"]}`, "0", ""}, 400,
			"must lead to a null"},
		"outside variables": {[]string{"operations", op, "map", `{"0":["query"]}`, "0", ""}, 400,
			"must lead into variables"},
		"a path twice": {[]string{"operations", op, "map", `{"0":["variables.v"],"1":["variables.v"]}`, "0", "", "1",
			""}, 400, "twice"},
		"no path": {[]string{"operations", op, "map", `{"0":[]}`, "0", ""}, 400, "1 to 100 paths"},
		"too many files": {[]string{"operations", op, "map",
			`{"0":["variables.v"],"1":["variables.v"],"2":["variables.v"]}`}, 413, CodeTooLarge},
		"too large a file": {[]string{"operations", op, "map", `{"0":["variables.v"]}`, "0",
			strings.Repeat("x", 100_001)}, 413, "100000 bytes together"},
		"too large a body": {[]string{"operations", op, "map", `{"0":["variables.v"]}`, "0", strings.Repeat("x", 1<<20)},
			413, CodeTooLarge},
		"too large a part": {[]string{"operations", op + strings.Repeat(" ", 1<<12)}, 413, "The part operations is larger"},
		"a list of requests": {[]string{"operations", "[" + op + "]", "map", `{"0":["0.variables.v"]}`, "0", ""}, 400,
			CodeBatching},
	} {
		var got string
		g := serving(t, Config{MaxBody: 1 << 12, Uploads: Uploads{Directory: t.TempDir(), MaxBytes: 100_000, MaxFiles: 2}},
			filing(t, &got))
		if w := postForm(t, g, c.parts...); w.Code != c.status || !strings.Contains(w.Body.String(), c.want) || got != "" {
			t.Errorf("%s: got %d %s, want %d %s; the subgraph got %q", name, w.Code, w.Body, c.status, c.want, got)
		}
		if n := g.held.Load(); n != 0 {
			t.Errorf("%s: %d bytes are still held", name, n)
		}
	}
}

func TestUploadsThatAreOff(t *testing.T) {
	var got string
	g := serving(t, Config{Uploads: Uploads{Off: true}}, filing(t, &got))
	if w := postForm(t, g, "operations", `{"query":"{a}"}`); w.Code != http.StatusUnsupportedMediaType {
		t.Errorf("got %d %s", w.Code, w.Body)
	}
}

func TestUploadIntoAListOfOperations(t *testing.T) {
	var got string
	g := serving(t, Config{MaxBatch: 2}, filing(t, &got))
	const op = `{"query":"mutation($v:Upload!){one(f:$v)}","variables":{"v":null}}`
	w := postForm(t, g, "operations", "["+op+","+op+"]", "map", `{"0":["0.variables.v","1.variables.v"]}`, "0",
		strings.Repeat("x", 2*inMemory))
	if w.Body.String() != `[{"data":{"one":1}},{"data":{"one":1}}]` || !strings.Contains(got, "131072 bytes") {
		t.Errorf("got %d %s, the subgraph got %s", w.Code, w.Body, got)
	}
}
