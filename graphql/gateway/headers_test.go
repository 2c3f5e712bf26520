package gateway

import (
	"encoding/json"
	"net/http"
	"testing"
)

// TestInitFields: what a client's connection_init holds reaches subgraphs by rule only; of clients without it the
// header of that name counts.
func TestInitFields(t *testing.T) {
	p := HeaderRules{Init: []InitField{
		{Name: "token"},
		{Name: "tenant", Rename: "org", Default: "none", Subgraphs: []string{"a"}},
	}}.compile()
	for _, c := range []struct {
		subgraph, payload, want string
		header                  http.Header
	}{
		{"a", `{"token":{"v":[1,null]},"secret":1,"tenant":"x"}`, `{"org":"x","token":{"v":[1,null]}}`, nil},
		{"b", `{"token":"t","secret":1,"tenant":"x"}`, `{"token":"t"}`, nil},
		{"b", `{"secret":1}`, ``, nil},
		{"a", ``, `{"org":"none","token":"T\"1"}`, http.Header{"Token": {`T"1`}}},
		{"a", `[1]`, `{"org":"none"}`, nil},
		{"b", `{"token":null}`, `{"token":null}`, http.Header{"Token": {"T"}}},
	} {
		got := string(p.inits(c.header, json.RawMessage(c.payload))(c.subgraph))
		if got != c.want {
			t.Errorf("%s of %s, %v: got %s, want %s", c.subgraph, c.payload, c.header, got, c.want)
		}
	}
	none := HeaderRules{}.compile()
	if none.inits(nil, json.RawMessage(`{"token":1}`)) != nil {
		t.Error("something is passed on without a rule")
	}
}
