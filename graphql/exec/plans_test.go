package exec

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/catalyst-router/catalyst/graphql/plan"
	"github.com/catalyst-router/catalyst/graphql/plan/graph"
)

// The builders of this file make plans by hand, in the form in which the planner makes them.

var testTypes = graph.NewTypeIndex([]string{"Author", "Book", "Film", "Query", "Review", "Subscription", "User"})

func set(names ...string) graph.TypeSet {
	var ids []graph.TypeID
	for _, n := range names {
		id, ok := testTypes.ID(n)
		if !ok {
			panic(n)
		}
		ids = append(ids, id)
	}
	return graph.SetOf(ids...)
}

// object is a shape with one possible type.
func object(typeName string, fields ...plan.Field) *plan.Object {
	id, _ := testTypes.ID(typeName)
	for i := range fields {
		if fields[i].Type == "" {
			fields[i].Type = typeName
		}
	}
	return &plan.Object{Static: typeName, StaticID: id, Possible: set(typeName), Fields: fields}
}

// abstract is a shape with several possible types.
func abstract(typeName string, possible graph.TypeSet, fields ...plan.Field) *plan.Object {
	for i := range fields {
		if fields[i].Type == "" {
			fields[i].Type = typeName
		}
	}
	return &plan.Object{Possible: possible, Fields: fields}
}

// field is a field with a type in GraphQL notation; its source is its key, unless key is "key:source".
func field(key, typ string, below *plan.Object) plan.Field {
	key, source, ok := strings.Cut(key, ":")
	if !ok {
		source = key
	}
	f := plan.Field{
		Key:    key,
		JSON:   []byte(`"` + key + `":`),
		Source: source,
		Name:   source,
		Object: below,
		Shape:  plan.Composite,
	}
	for rest := typ; ; {
		w := plan.Wrap{NonNull: strings.HasSuffix(rest, "!"), List: rest[0] == '['}
		f.Wrap = append(f.Wrap, w)
		rest = strings.TrimSuffix(rest, "!")
		if !w.List {
			f.NamedType = rest
			break
		}
		rest = rest[1 : len(rest)-1]
	}
	if below == nil {
		f.Shape = map[string]plan.Shape{"Int": plan.Int, "Float": plan.Float, "String": plan.String,
			"Boolean": plan.Boolean, "ID": plan.ID}[f.NamedType]
		if f.Shape == 0 {
			f.Shape = plan.Scalar
		}
	}
	return f
}

func typeName(key string) plan.Field {
	return plan.Field{Key: key, JSON: []byte(`"` + key + `":`), Shape: plan.TypeName}
}

func enum(key, typ string, values ...string) plan.Field {
	f := field(key, typ, nil)
	f.Shape, f.Values = plan.Enum, map[string]struct{}{}
	for _, v := range values {
		f.Values[v] = struct{}{}
	}
	return f
}

func on(f plan.Field, types ...string) plan.Field {
	f.On = set(types...)
	return f
}

func denied(f plan.Field) plan.Field {
	f.Denied = true
	return f
}

// request is an operation for a subgraph; a variable is "name" of the client's or "=name" to be filled in.
func request(id int, service, query string, variables ...string) plan.Request {
	h := fnv.New64a()
	io.WriteString(h, query)
	r := plan.Request{ID: id, Service: service, Kind: plan.Query, Query: query, Hash: h.Sum64()}
	q, _ := json.Marshal(query)
	r.Head = []byte(`{"query":` + string(q) + `}`)
	if len(variables) > 0 {
		r.Head = []byte(`{"query":` + string(q) + `,"variables":{`)
		r.Tail = []byte("}}")
	}
	for _, v := range variables {
		name, filled := strings.CutPrefix(v, "=")
		rv := plan.RequestVariable{Name: name, JSON: []byte(`"` + name + `":`), Client: -1}
		if !filled {
			rv.Client = 0
		}
		r.Variables = append(r.Variables, rv)
	}
	return r
}

func fetch(id int, service, query string, roots ...string) *plan.Fetch {
	r := request(id, service, query)
	r.Roots = roots
	return &plan.Fetch{Request: r}
}

// entities asks for entities at one or more paths.
func entityFetch(id int, service, query string, reps []plan.Rep, paths ...plan.Path) *plan.EntityFetch {
	return &plan.EntityFetch{Request: request(id, service, query, "=representations"),
		Groups: []plan.EntityGroup{{Key: "_entities", Paths: paths, Reps: reps}}}
}

// path is a path of sources; what follows a colon is the client's key, "-" for none.
func path(steps ...string) plan.Path {
	var p plan.Path
	for _, s := range steps {
		source, client, ok := strings.Cut(s, ":")
		if !ok {
			client = source
		}
		if client == "-" {
			client = ""
		}
		p = append(p, plan.Step{Source: source, ClientKey: client})
	}
	return p
}

// rep is a representation of one type by the given key fields.
func rep(typeName string, keys ...string) plan.Rep {
	r := plan.Rep{TypeName: typeName}
	for _, k := range keys {
		r.Fields = append(r.Fields, repField(k))
	}
	return r
}

func repField(name string, below ...plan.RepField) plan.RepField {
	name, source, ok := strings.Cut(name, ":")
	if !ok {
		source = name
	}
	return plan.RepField{Name: name, JSON: []byte(`"` + name + `":`), Source: source, Fields: below}
}

func query(root plan.Node, response *plan.Object) *plan.Plan {
	p := &plan.Plan{Root: root, Kind: plan.Query, Name: "Test", Response: response, RootType: "Query", Types: testTypes,
		Variables: []plan.Variable{{Name: "v", Type: "String"}}, ClientKeys: map[string]string{}}
	p.Fetches = 8
	return p
}

func seq(nodes ...plan.Node) plan.Node { return &plan.Sequence{Nodes: nodes} }
func par(nodes ...plan.Node) plan.Node { return &plan.Parallel{Nodes: nodes} }

// subgraphs answers requests in memory. It is an http.RoundTripper.
type subgraphs struct {
	mu      sync.Mutex
	answers map[string]string // by service: the body
	handle  map[string]func(*http.Request, string) (*http.Response, error)
	asked   []string // "service body", in order
}

func (s *subgraphs) RoundTrip(req *http.Request) (*http.Response, error) {
	defer req.Body.Close()
	body, _ := io.ReadAll(req.Body)
	service := req.URL.Hostname()
	s.mu.Lock()
	s.asked = append(s.asked, service+" "+string(body))
	s.mu.Unlock()
	if h := s.handle[service]; h != nil {
		return h(req, string(body))
	}
	text, ok := s.answers[service]
	if !ok {
		return nil, fmt.Errorf("no subgraph %q", service)
	}
	return reply(200, "application/json", text), nil
}

func reply(status int, mediaType, body string) *http.Response {
	return &http.Response{
		StatusCode:    status,
		Header:        http.Header{"Content-Type": {mediaType}},
		ContentLength: int64(len(body)),
		Body:          io.NopCloser(bytes.NewReader([]byte(body))),
	}
}

// executor returns an executor whose subgraphs a to e are s.
func (s *subgraphs) executor(t testing.TB, change func(*Config)) *Executor {
	t.Helper()
	cfg := Config{Transport: s, Subgraphs: map[string]Subgraph{}}
	for _, name := range []string{"a", "b", "c", "d", "e"} {
		cfg.Subgraphs[name] = Subgraph{URL: "http://" + name + "/graphql"}
	}
	if change != nil {
		change(&cfg)
	}
	e, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	return e
}

// execute returns the body of the response.
func (s *subgraphs) execute(t testing.TB, p *plan.Plan) string {
	t.Helper()
	res := s.executor(t, nil).Execute(context.Background(), &Request{Plan: p})
	body := string(res.Body)
	res.Release()
	if !json.Valid([]byte(body)) {
		t.Errorf("the response is not JSON: %s", body)
	}
	return body
}
