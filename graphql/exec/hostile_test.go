package exec

import (
	"encoding/json"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/catalyst-router/catalyst/graphql/plan"
)

// hostilePlan has a bit of everything: fragments, entities of one type or several, two groups, non-nulls.
func hostilePlan() *plan.Plan {
	item := abstract("Item", set("Book", "Film"), typeName("t"), on(field("title", "String!", nil), "Book"),
		field("price", "Int", nil), field("raw", "JSON", nil))
	return query(seq(fetch(0, "a", "{items me}", "items", "me"),
		par(entityFetch(1, "b", "E", []plan.Rep{{Fields: []plan.RepField{repField("id", repField("x"))}}}, path("items")),
			&plan.EntityFetch{Request: request(2, "c", "E", "=r0", "=r1"), Groups: []plan.EntityGroup{
				{
					Key:      "_e0",
					Variable: 0,
					Paths:    []plan.Path{path("items"), path("items", "me")},
					Reps:     []plan.Rep{{On: set("Film"), Fields: []plan.RepField{repField("raw")}}},
				},
				{Key: "_e1", Variable: 1, Paths: []plan.Path{path("me")}, Reps: []plan.Rep{rep("User", "id")}}}})),
		object("Query", field("items", "[[Item!]!]", item),
			field("me", "User", object("User", field("id", "ID!", nil), field("tags", "[String!]", nil)))))
}

// Whatever subgraphs answer, the response is JSON with data and errors of the right form.
func FuzzHostileAnswers(f *testing.F) {
	good := `{"data":{"items":[[{"__typename":"Book","id":{"x":1},"title":"A"}],[{"__typename":"Film","raw":[1],"id":{"x":2},"title":"B"}]],"me":{"id":"u"}}}`
	for _, seed := range [][3]string{
		{good, `{"data":{"_entities":[{"price":1},{"price":2}]}}`, `{"data":{"_e0":[{"raw":{}}],"_e1":[{"tags":["x"]}]}}`},
		{good,
			`{"data":{"_entities":[{"__typename":"Film"},7]},"errors":[{"message":"m","path":["_entities",0,"price"]},{"path":["_entities",-1]},{"path":["_entities",1e9]},{"path":"x"},null]}`, `{"data":{"_e0":{},"_e1":[[]]}}`},
		{`{"data":{"items":[[{"__typename":"Query"}]],"me":[[]]},"errors":[{"message":1,"path":["items",0,0,"\ud800",{}],"extensions":[]}]}`, `{`, ``},
		{`{"data":{"me":{"id":1,"id":{"x":[]},"__typename":"\u0042ook"}},"errors":{}}`, `[]`, `{"data":null,"errors":[{}]}`},
	} {
		f.Add([]byte(seed[0]), []byte(seed[1]), []byte(seed[2]))
	}
	f.Fuzz(func(t *testing.T, a, b, c []byte) {
		s := &subgraphs{answers: map[string]string{"a": string(a), "b": string(b), "c": string(c)}}
		res := s.executor(t, nil).Execute(t.Context(), &Request{Plan: hostilePlan()})
		var out struct {
			Data   map[string]json.RawMessage
			Errors []struct {
				Message    *string
				Path       []any
				Extensions map[string]any
			}
		}
		if err := json.Unmarshal(res.Body, &out); err != nil {
			t.Fatalf("%v in %s", err, res.Body)
		}
		if len(out.Errors) != res.Errors || (out.Data == nil) != res.NoData {
			t.Errorf("%d errors, no data %v: %s", res.Errors, res.NoData, res.Body)
		}
		for _, e := range out.Errors {
			if e.Message == nil || e.Extensions["code"] == nil {
				t.Errorf("an error without message or code: %s", res.Body)
			}
		}
	})
}

// Streams and time limits must leave no goroutine behind.
func TestNoGoroutineStays(t *testing.T) {
	before := runtime.NumGoroutine()
	t.Run("work", func(t *testing.T) {
		s := &subgraphs{answers: map[string]string{"a": `{"data":{"books":[{"id":"1","title":"A"}]}}`}}
		e := s.executor(t, nil)
		st, err := e.Stream(t.Context(), &Request{Plan: deferPlan()})
		if err != nil {
			t.Fatal(err)
		}
		st.Next(t.Context()) // and no further
		st.Close()
		ex, _ := live(t, sse(strings.Repeat("data: "+event1+"\n\n", 100)), Subscription{Protocol: SSE}, nil)
		if st, err = ex.Stream(t.Context(), &Request{Plan: subscriptionPlan()}); err != nil {
			t.Fatal(err)
		}
		st.Next(t.Context())
		ex.Close()
		st.Close()
		ex.subs["a"].transport.(interface{ CloseIdleConnections() }).CloseIdleConnections()
	})
	deadline := time.Now().Add(10 * time.Second)
	for runtime.NumGoroutine() > before {
		if time.Now().After(deadline) {
			buf := make([]byte, 1<<16)
			t.Fatalf("%d goroutines, before %d\n%s", runtime.NumGoroutine(), before, buf[:runtime.Stack(buf, true)])
		}
		runtime.Gosched()
	}
}
