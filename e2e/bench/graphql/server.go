package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/parser"
)

// server is every subgraph, at /NAME. Whole answers are kept by request body, so that subgraphs cost as little as
// they can and the gateway is what is measured.
type server struct {
	requests, entities atomic.Int64
	churn              atomic.Bool  // each look at inventory's schema finds another one
	looks              atomic.Int64 // so far
	mu                 sync.RWMutex
	answers            map[string]answer // guarded by mu
}

type answer struct {
	body     []byte
	entities int64
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/counts" {
		fmt.Fprintf(w, "%d %d\n", s.requests.Swap(0), s.entities.Swap(0))
		return
	}
	if r.URL.Path == "/churn" {
		s.churn.Store(r.URL.Query().Get("on") == "true")
		return
	}
	name := strings.TrimPrefix(r.URL.Path, "/")
	body, err := io.ReadAll(io.LimitReader(r.Body, 8<<20))
	if err != nil {
		return
	}
	if bytes.Contains(body, []byte("{_service{sdl}}")) {
		s.schema(w, name)
		return
	}
	key := name + string(body)
	s.mu.RLock()
	a, ok := s.answers[key]
	s.mu.RUnlock()
	if !ok {
		if a, err = execute(name, body); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		s.mu.Lock()
		s.answers[key] = a
		s.mu.Unlock()
	}
	s.requests.Add(1)
	s.entities.Add(a.entities)
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(a.body)
}

// schema tells a subgraph's schema.
func (s *server) schema(w http.ResponseWriter, name string) {
	sdl := subgraphs()[name]
	if name == "inventory" && s.churn.Load() {
		sdl += fmt.Sprintf("\ntype Look { number%d: Int }\nextend type Product { look: Look }\n", s.looks.Add(1))
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string]any{"data": map[string]any{"_service": map[string]any{"sdl": sdl}}})
}

// request is what a gateway sends.
type request struct {
	Query         string         `json:"query"`
	OperationName string         `json:"operationName"`
	Variables     map[string]any `json:"variables"`
}

type run struct {
	subgraph string
	doc      *ast.QueryDocument
	vars     map[string]any
	entities int64
}

func execute(subgraph string, body []byte) (answer, error) {
	var req request
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.UseNumber()
	if err := dec.Decode(&req); err != nil {
		return answer{}, fmt.Errorf("read the request: %w", err)
	}
	doc, gqlErr := parser.ParseQuery(&ast.Source{Input: req.Query})
	if gqlErr != nil {
		return answer{}, gqlErr
	}
	x := &run{subgraph: subgraph, doc: doc, vars: req.Variables}
	op := doc.Operations.ForName(req.OperationName)
	if op == nil {
		op = doc.Operations[0]
	}
	var out bytes.Buffer
	out.WriteString(`{"data":`)
	x.object(&out, object{"__typename": "Query"}, op.SelectionSet)
	out.WriteByte('}')
	return answer{out.Bytes(), x.entities}, nil
}

func (x *run) value(out *bytes.Buffer, v any, sel ast.SelectionSet) {
	switch v := v.(type) {
	case lazy:
		x.value(out, v(), sel)
	case object:
		x.object(out, v, sel)
	case []any:
		out.WriteByte('[')
		for i, e := range v {
			if i > 0 {
				out.WriteByte(',')
			}
			x.value(out, e, sel)
		}
		out.WriteByte(']')
	default:
		b, _ := json.Marshal(v)
		out.Write(b)
	}
}

func (x *run) object(out *bytes.Buffer, o object, sel ast.SelectionSet) {
	out.WriteByte('{')
	first := true
	for _, f := range x.fields(nil, o["__typename"].(string), sel) {
		if !first {
			out.WriteByte(',')
		}
		first = false
		fmt.Fprintf(out, "%q:", f.Alias)
		v, ok := o[f.Name]
		if !ok && o["__typename"] == "Query" {
			v = x.rootField(f)
		}
		x.value(out, v, f.SelectionSet)
	}
	out.WriteByte('}')
}

// fields collects and merges what is selected of a type (GraphQL specification §6.3.2).
func (x *run) fields(into []*ast.Field, typ string, sel ast.SelectionSet) []*ast.Field {
	for _, s := range sel {
		switch s := s.(type) {
		case *ast.Field:
			into = merge(into, s)
		case *ast.InlineFragment:
			if s.TypeCondition == "" || s.TypeCondition == typ {
				into = x.fields(into, typ, s.SelectionSet)
			}
		case *ast.FragmentSpread:
			if f := x.doc.Fragments.ForName(s.Name); f != nil && f.TypeCondition == typ {
				into = x.fields(into, typ, f.SelectionSet)
			}
		}
	}
	return into
}

func merge(into []*ast.Field, f *ast.Field) []*ast.Field {
	for i, have := range into {
		if have.Alias == f.Alias {
			both := *have
			both.SelectionSet = append(append(ast.SelectionSet{}, have.SelectionSet...), f.SelectionSet...)
			into[i] = &both
			return into
		}
	}
	return append(into, f)
}

func (x *run) rootField(f *ast.Field) any {
	arguments := map[string]any{}
	for _, a := range f.Arguments {
		v, err := a.Value.Value(x.vars)
		if err != nil {
			return nil
		}
		if n, ok := v.(json.Number); ok {
			v, _ = n.Int64()
		}
		arguments[a.Name] = v
	}
	switch f.Name {
	case "_entities":
		var all []any
		reps, _ := arguments["representations"].([]any)
		for _, r := range reps {
			rep, _ := r.(map[string]any)
			all = append(all, entity(x.subgraph, rep))
		}
		x.entities += int64(len(reps))
		return all
	}
	return root(x.subgraph, f.Name, arguments)
}

// serve runs the subgraphs until ctx ends.
func serve(ctx context.Context, address string) error {
	srv := &http.Server{Addr: address, Handler: &server{answers: map[string]answer{}}}
	stop := context.AfterFunc(ctx, func() { _ = srv.Close() })
	defer stop()
	return srv.ListenAndServe()
}
