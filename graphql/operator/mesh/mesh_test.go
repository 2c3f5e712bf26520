package mesh

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/Khan/genqlient/graphql"
)

// organisation is three nodes: a offers books to b, and c does not answer.
type organisation struct {
	mu    sync.Mutex
	asked []string // node, operation and token of each question
}

func (o *organisation) List(context.Context) ([]string, error) {
	return []string{"acme.example/c", "acme.example/a", "acme.example/b"}, nil
}

func (o *organisation) Client(ctx context.Context, id string) (graphql.Client, error) {
	if strings.HasSuffix(id, "/c") {
		return nil, errors.New("connection refused")
	}
	return graphqlFunc(func(req *graphql.Request, resp *graphql.Response) error {
		o.mu.Lock()
		o.asked = append(o.asked, id+" "+req.OpName+" "+Header(ctx).Get("Authorization"))
		o.mu.Unlock()
		answers := map[string]string{
			"GetNode":      `{"node": {"id": "` + id + `", "version": "1", "routes": 1}}`,
			"ListPeers":    `{"peers": [{"node": "acme.example/b", "state": "established", "since": "2026-11-24T10:00:00Z", "holdTimeSeconds": 90}]}`,
			"ListServices": `{"services": []}`,
			"GetRoute":     `{"route": {"service": "books.acme.example", "protocol": "graphql", "paths": [{"nodePath": ["acme.example/a"], "health": "up"}]}}`,
		}
		if strings.HasSuffix(id, "/a") {
			answers["ListServices"] = `{"services": [{"service": "books.acme.example"}]}`
		}
		return json.Unmarshal([]byte(answers[req.OpName]), resp.Data)
	}), nil
}

type graphqlFunc func(*graphql.Request, *graphql.Response) error

func (f graphqlFunc) MakeRequest(_ context.Context, req *graphql.Request, resp *graphql.Response) error {
	return f(req, resp)
}

func post(t *testing.T, o *organisation, text string) string {
	t.Helper()
	body, err := json.Marshal(map[string]string{"query": text})
	if err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/graphql", bytes.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Authorization", "Bearer T")
	w := httptest.NewRecorder()
	Handler(o).ServeHTTP(w, r)
	return strings.TrimSpace(w.Body.String())
}

// One query asks every node; one that does not answer says why and costs the others nothing.
func TestOneQueryAsksEveryNode(t *testing.T) {
	o := &organisation{}
	got := post(t,
		o, `{ meshNodes { id error version routes peers { remote { id } session { holdTimeSeconds } } services { name } } }`)
	want := `{"data":{"meshNodes":[` +
		`{"id":"acme.example/a","error":null,"version":"1","routes":1,"peers":[{"remote":{"id":"acme.example/b"},"session":{"holdTimeSeconds":90}}],"services":[{"name":"books.acme.example"}]},` +
		`{"id":"acme.example/b","error":null,"version":"1","routes":1,"peers":[{"remote":{"id":"acme.example/b"},"session":{"holdTimeSeconds":90}}],"services":[]},` +
		`{"id":"acme.example/c","error":"connection refused","version":null,"routes":null,"peers":null,"services":null}]}}`
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if len(o.asked) != 6 {
		t.Errorf("%d questions, want 6: each of two nodes for itself, its peers and its services, once\n%s", len(o.asked),
			strings.Join(o.asked, "\n"))
	}
	for _, q := range o.asked {
		if !strings.HasSuffix(q, " Bearer T") {
			t.Errorf("%s: asked without the caller's token", q)
		}
	}
}

func TestAServiceAsEveryNodeSeesIt(t *testing.T) {
	got := post(t,
		&organisation{},
		`{ meshService(name: "books.acme.example") { offeredBy { id } routes { node { id } nodePath health } } }`)
	want := `{"data":{"meshService":{"offeredBy":[{"id":"acme.example/a"}],"routes":[{"node":{"id":"acme.example/a"},"nodePath":["acme.example/a"],"health":"up"},{"node":{"id":"acme.example/b"},"nodePath":["acme.example/a"],"health":"up"}]}}}`
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestEntities(t *testing.T) {
	got := post(t, &organisation{}, `{ _entities(representations: [
		{__typename: "MeshPeer", id: "acme.example/a>acme.example/b"}, {__typename: "MeshNode", id: "acme.example/zzz"},
		{__typename: "MeshSession", id: "acme.example/a>acme.example/b@2026-11-24T10:00:00Z"}, {__typename: "MeshRoute", id: "acme.example/b>books.acme.example"}
	]) { ... on MeshPeer { state } ... on MeshSession { since } ... on MeshRoute { protocol } } }`)
	want := `{"data":{"_entities":[{"state":"established"},null,{"since":"2026-11-24T10:00:00Z"},{"protocol":"graphql"}]}}`
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}
