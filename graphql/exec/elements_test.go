package exec

import (
	"encoding/json"
	"fmt"
	"slices"
	"testing"

	"github.com/catalyst-router/catalyst/graphql/plan"
)

// streamPlan streams a list of books, and in each book its tags.
func streamPlan(first *plan.Stream) *plan.Plan {
	tags := field("tags", "[String!]", nil)
	tags.Stream = &plan.Stream{Initial: 1, Label: "tags"}
	books := field("list:books", "[Book!]", object("Book", field("title", "String!", nil), tags))
	books.Stream = first
	return query(&plan.Defer{Primary: fetch(0, "a", "{books}", "books")}, object("Query", books, field("n", "Int", nil)))
}

func TestStreamedLists(t *testing.T) {
	const two = `{"data":{"n":1,"books":[{"title":"A","tags":["x","y"]},{"title":"B","tags":["z"]}]}}`
	for name, c := range map[string]struct {
		body     string
		first    plan.Stream
		form     Incremental
		vars     string
		payloads []string
	}{
		"by path": {two, plan.Stream{Initial: 1, Label: "books"}, ByPath, "", []string{
			`{"data":{"list":[{"title":"A","tags":["x"]}],"n":1},"hasNext":true}`,
			`{"incremental":[{"items":["y"],"path":["list",0,"tags",1],"label":"tags"},{"items":[{"title":"B","tags":["z"]}],"path":["list",1],"label":"books"}],"hasNext":false}`,
		}},
		"by id": {two, plan.Stream{Initial: 1}, ByID, "", []string{
			`{"data":{"list":[{"title":"A","tags":["x"]}],"n":1},"pending":[{"id":"0","path":["list",0,"tags"],"label":"tags"},{"id":"1","path":["list"]}],"hasNext":true}`,
			`{"incremental":[{"items":["y"],"id":"0"},{"items":[{"title":"B","tags":["z"]}],"id":"1"}],"completed":[{"id":"0"},{"id":"1"}],"hasNext":false}`,
		}},
		"none first": {two, plan.Stream{Variable: "none"}, ByPath, "0", []string{
			`{"data":{"list":[],"n":1},"hasNext":true}`,
			`{"incremental":[{"items":[{"title":"A","tags":["x","y"]},{"title":"B","tags":["z"]}],"path":["list",0]}],"hasNext":false}`,
		}},
		"all first": {`{"data":{"n":1,"books":[{"title":"A","tags":null}]}}`, plan.Stream{Variable: "none"}, ByPath, "9",
			[]string{
				`{"data":{"list":[{"title":"A","tags":null}],"n":1},"hasNext":false}`,
			}},
		"a null later": {`{"data":{"n":1,"books":[{"title":"A","tags":[]},{"title":null}]}}`, plan.Stream{Initial: 1},
			ByPath, "", []string{
				`{"data":{"list":[{"title":"A","tags":[]}],"n":1},"hasNext":true}`,
				`{"incremental":[{"items":null,"errors":[{"message":"Cannot return null for non-nullable field Book.title.","path":["list",1,"title"],"extensions":{"code":"NULL_FOR_NON_NULL"}}],"path":["list",1]}],"hasNext":false}`,
			}},
		"a null later, by id": {`{"data":{"n":1,"books":[{"title":"A","tags":[]},{"title":null}]}}`,
			plan.Stream{Initial: 1}, ByID, "", []string{
				`{"data":{"list":[{"title":"A","tags":[]}],"n":1},"pending":[{"id":"0","path":["list"]}],"hasNext":true}`,
				`{"completed":[{"id":"0","errors":[{"message":"Cannot return null for non-nullable field Book.title.","path":["list",1,"title"],"extensions":{"code":"NULL_FOR_NON_NULL"}}]}],"hasNext":false}`,
			}},
		"a null takes the list": {`{"data":{"n":1,"books":[{"title":null,"tags":["x","y"]},{"title":"B","tags":["x","y"]}]}}`, plan.Stream{Initial: 1}, ByPath, "", []string{
			`{"data":{"list":null,"n":1},"errors":[{"message":"Cannot return null for non-nullable field Book.title.","path":["list",0,"title"],"extensions":{"code":"NULL_FOR_NON_NULL"}}],"hasNext":false}`,
		}},
	} {
		t.Run(name, func(t *testing.T) {
			s := &subgraphs{answers: map[string]string{"a": c.body}}
			req := &Request{Plan: streamPlan(&c.first), Incremental: c.form}
			if c.vars != "" {
				req.Variables = map[string]json.RawMessage{"none": json.RawMessage(c.vars)}
			}
			if got := payloads(t, s.executor(t, nil), req); !slices.Equal(got, c.payloads) {
				t.Errorf("got %s\nwant %s", fmt.Sprint(got), fmt.Sprint(c.payloads))
			}
		})
	}
}

// TestStreamBeginsBeforeTheRest: the first elements are delivered while what belongs to the others has not been asked
// for.
func TestStreamBeginsBeforeTheRest(t *testing.T) {
	at := path("books:list")
	stream := &plan.Stream{Initial: 1}
	at[0].Stream = stream
	list := field("list:books", "[Book!]", object("Book", field("title", "String!", nil), field("price", "Int", nil)))
	list.Stream = stream
	p := query(&plan.Defer{Primary: &plan.Sequence{Nodes: []plan.Node{
		fetch(0, "a", "{books}", "books"),
		entityFetch(1, "b", "P", []plan.Rep{rep("Book", "id")}, at),
	}}}, object("Query", list))
	s := &subgraphs{answers: map[string]string{
		"a": `{"data":{"books":[{"id":"1","title":"A"},{"id":"2","title":"B"}]}}`,
		"b": `{"data":{"_entities":[{"price":10}]}}`,
	}}
	st, err := s.executor(t, nil).Stream(t.Context(), &Request{Plan: p})
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	for i, c := range []struct {
		want  string
		asked int
	}{
		{`{"data":{"list":[{"title":"A","price":10}]},"hasNext":true}`, 2},
		{`{"incremental":[{"items":[{"title":"B","price":10}],"path":["list",1]}],"hasNext":false}`, 3},
	} {
		if got := nextBody(t, st); got != c.want || len(s.asked) != c.asked {
			t.Errorf("payload %d: got %s after %d requests, want %s after %d", i, got, len(s.asked), c.want, c.asked)
		}
	}
}
