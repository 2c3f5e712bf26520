package exec

import (
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"strings"
	"testing"

	"encoding/json"

	"github.com/catalyst-router/catalyst/graphql/plan"
)

func file(path, name, contents string, size int64) Upload {
	return Upload{Path: strings.Split(path, "."), Filename: name, ContentType: "text/plain", Size: size,
		Open: func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(contents)), nil }}
}

// parts describes a multipart body: name, file name, media type and contents of each part.
func parts(t *testing.T, r *http.Request, body string) string {
	t.Helper()
	_, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil {
		t.Fatal(err)
	}
	if r.ContentLength >= 0 && r.ContentLength != int64(len(body)) {
		t.Errorf("Content-Length %d for %d bytes", r.ContentLength, len(body))
	}
	var out strings.Builder
	mr := multipart.NewReader(strings.NewReader(body), params["boundary"])
	for {
		p, err := mr.NextPart()
		if errors.Is(err, io.EOF) {
			return out.String()
		}
		if err != nil {
			t.Fatalf("%v in %q", err, body)
		}
		text, _ := io.ReadAll(p)
		fmt.Fprintf(&out, "%s %q %s %s\n", p.FormName(), p.FileName(), p.Header.Get("Content-Type"), text)
	}
}

func uploadPlan() *plan.Plan {
	f := &plan.Fetch{Request: request(0, "a", "mutation($f:Upload){x(f:$f)}", "v")}
	f.Kind, f.Roots = plan.Mutation, []string{"x"}
	f.Variables[0].Name, f.Variables[0].JSON = "f", []byte(`"f":`)
	g := fetch(1, "b", "mutation{y}", "y")
	g.Kind = plan.Mutation
	p := query(seq(f, g), object("Query", field("x", "Int", nil), field("y", "Int", nil)))
	p.Kind = plan.Mutation
	return p
}

func TestUpload(t *testing.T) {
	for _, size := range []int64{5, -1} {
		var got string
		s := &subgraphs{answers: map[string]string{"b": `{"data":{"y":2}}`}}
		s.handle = map[string]func(*http.Request,
			string) (*http.Response, error){"a": func(r *http.Request, body string) (*http.Response, error) {
			got = parts(t, r, body)
			return reply(200, "application/json", `{"data":{"x":1}}`), nil
		}}
		res := s.executor(t, nil).Execute(context.Background(),
			&Request{Plan: uploadPlan(), Variables: map[string]json.RawMessage{"v": []byte(`[null,null]`)},
				Uploads: []Upload{file("v.0", "a\"\r\n.txt", "hello", size), file("v.1", "b", "", 0), file("other", "c", "no", 2)}})
		if string(res.Body) != `{"data":{"x":1,"y":2}}` {
			t.Errorf("got %s", res.Body)
		}
		want := `operations "" application/json {"query":"mutation($f:Upload){x(f:$f)}","variables":{"f":[null,null]}}
map "" application/json {"0":["variables.f.0"],"1":["variables.f.1"]}
0 "a%22%0D%0A.txt" text/plain hello
1 "b" text/plain 
`
		if got != want {
			t.Errorf("got\n%s\nwant\n%s", got, want)
		}
		if !strings.HasPrefix(s.asked[1], `b {"query":"mutation{y}"}`) {
			t.Errorf("b was asked %s", s.asked[1])
		}
	}
}

func TestUploadThatCannotBeRead(t *testing.T) {
	broken := file("v", "a.txt", "", 0)
	broken.Open = func() (io.ReadCloser, error) { return nil, errors.New("disk") }
	for _, u := range []Upload{broken, file("v", "a.txt", "four", 5)} {
		e, _ := live(t, func(_ http.ResponseWriter, r *http.Request) { io.Copy(io.Discard, r.Body) }, Subscription{}, nil)
		res := e.Execute(context.Background(),
			&Request{Plan: uploadPlan(), Variables: map[string]json.RawMessage{"v": []byte(`null`)}, Uploads: []Upload{u}})
		if !strings.Contains(string(res.Body),
			`"The file a.txt could not be read.","path":["x"],"extensions":{"code":"UPLOAD_FAILED"`) {
			t.Errorf("got %s", res.Body)
		}
	}
}
