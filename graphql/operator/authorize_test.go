package operator

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/vektah/gqlparser/v2/ast"

	"github.com/catalyst-router/catalyst/policy"
)

// noter keeps what it is asked, and permits only what want says.
type noter struct {
	mu     sync.Mutex // fields of a query are resolved side by side
	asked  []Request  // guarded by mu
	permit string     // an action
}

func (n *noter) Authorize(_ context.Context, r Request) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.asked = append(n.asked, r)
	if r.Action == n.permit {
		return nil
	}
	return DeniedError{Request: r}
}

// literal is some value of a type, as it is written in a document.
func literal(s *ast.Schema, t *ast.Type) string {
	if t.Elem != nil {
		return "[" + literal(s, t.Elem) + "]"
	}
	switch t.Name() {
	case "Int":
		return "1"
	case "Boolean":
		return "true"
	}
	def := s.Types[t.Name()]
	if def.Kind != ast.InputObject {
		return `"x"`
	}
	var fields []string
	for _, f := range def.Fields {
		if f.Type.NonNull && f.DefaultValue == nil {
			fields = append(fields, f.Name+": "+literal(s, f.Type))
		}
	}
	return "{" + strings.Join(fields, ", ") + "}"
}

// document calls one field, with all its arguments.
func document(s *ast.Schema, kind string, f *ast.FieldDefinition) string {
	var given []string
	for _, a := range f.Arguments {
		given = append(given, a.Name+": "+literal(s, a.Type))
	}
	text := kind + " { " + f.Name
	if len(given) > 0 {
		text += "(" + strings.Join(given, ", ") + ")"
	}
	if k := s.Types[f.Type.Name()].Kind; k == ast.Object || k == ast.Union || k == ast.Interface {
		text += " { __typename }"
	}
	return text + " }"
}

func post(t *testing.T, h http.Handler, ctx context.Context, text string) string {
	t.Helper()
	body, err := json.Marshal(map[string]string{"query": text})
	if err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequestWithContext(ctx, http.MethodPost, "/graphql", strings.NewReader(string(body)))
	r.Header.Set("Content-Type", "application/json")
	if strings.HasPrefix(text, "subscription") {
		r.Header.Set("Accept", "text/event-stream")
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Body.String()
}

// Every operation of the schema has its rights in the table, and asks for them before anything else, in the caller's
// name; a new one without rights fails here.
func TestEveryOperationIsAuthorized(t *testing.T) {
	schema := NewExecutableSchema(Config{}).Schema()
	left := rights()
	for kind, def := range map[string]*ast.Definition{"query": schema.Query, "mutation": schema.Mutation,
		"subscription": schema.Subscription} {
		for _, f := range def.Fields {
			if strings.HasPrefix(f.Name, "__") {
				continue
			}
			if left[f.Name] == nil {
				t.Errorf("%s %s has no rights in the table", kind, f.Name)
				continue
			}
			delete(left, f.Name)
			n := &noter{}
			got := post(t, Handler(nil, n, LargestOwn), As(t.Context(), policy.Bearer{Subject: "joe"}),
				document(schema, kind, f))
			if !strings.Contains(got, f.Name+" is not permitted to you") || !strings.Contains(got, Forbidden) {
				t.Errorf("%s %s: %s", kind, f.Name, got)
			}
			if len(n.asked) != 1 || n.asked[0].Operation != f.Name || n.asked[0].Principal.Subject != "joe" ||
				n.asked[0].Resource.ID == "" {
				t.Errorf("%s %s asked for %+v", kind, f.Name, n.asked)
			}
		}
	}
	for name := range left {
		t.Errorf("%s is in the table and not in the schema", name)
	}
}

// What an operation is about is what its arguments name, and each of several rights is needed.
func TestRightsOfArguments(t *testing.T) {
	for _, tt := range []struct{ text, permit, want string }{
		{`mutation { removePeer(node: "bravo.example/b") }`, "", "PEER_DELETE Peer bravo.example/b"},
		{`mutation { setPeer(input: {node: "b", addresses: []}) { node } }`, "PEER_CREATE",
			"PEER_CREATE Peer b, PEER_UPDATE Peer b"},
		{`mutation { removeService(service: "books") }`, "", "ROUTE_DELETE Route books"},
		{`{ route(service: "books.acme.example") { service } }`, "", "ROUTE_LIST Route books.acme.example"},
		{`{ a: peer(node: "b") { node } c: peer(node: "d") { node } }`, "", "PEER_LIST Peer b, PEER_LIST Peer d"},
		{`mutation { refreshGraph }`, "", "GATEWAY_CONFIG_UPDATE Gateway gateway"},
		{`subscription { changes(peers: true) { __typename } }`, "ROUTE_LIST",
			"ROUTE_LIST AdminPanel admin-panel, PEER_LIST AdminPanel admin-panel"},
	} {
		n := &noter{permit: tt.permit}
		got := post(t, Handler(nil, n, LargestOwn), t.Context(), tt.text)
		var asked []string
		for _, r := range n.asked {
			asked = append(asked, fmt.Sprint(r.Action, " ", r.Resource.Kind, " ", r.Resource.ID))
		}
		slices.Sort(asked)
		want := strings.Split(tt.want, ", ")
		slices.Sort(want)
		if !slices.Equal(asked, want) || !strings.Contains(got, Forbidden) {
			t.Errorf("%s asked for %q, want %q: %s", tt.text, asked, want, got)
		}
	}
	in := ApplyInput{Peers: []PeerInput{{Node: "b"}}, Services: []ServiceInput{{Service: "books"}}, Prune: true}
	got := fmt.Sprint(apply(args{"input": in}))
	if want := "[{PEER_CREATE {Peer b}} {PEER_UPDATE {Peer b}} {ROUTE_CREATE {Route books}} {PEER_DELETE {AdminPanel " +
		"admin-panel}} {ROUTE_DELETE {AdminPanel admin-panel}}]"; got != want {
		t.Errorf("apply needs %s, want %s", got, want)
	}
	if got := apply(args{"input": ApplyInput{}}); len(got) != 1 {
		t.Errorf("an apply of nothing needs %v", got)
	}
	r := &resolver{a: &noter{permit: "LOGIN"}, rights: map[string]func(args) []right{}}
	if _, err := allowed(t.Context(), r, "novel",
		func() (bool, error) { return true, errors.New("it was done") }); err == nil ||
		!strings.Contains(err.Error(), "permitted to nobody") {
		t.Errorf("an operation without rights: %v", err)
	}
}
