package supergraph

import (
	"strings"
	"testing"
)

// TestPlain merges schemas that know nothing of federation.
func TestPlain(t *testing.T) {
	a := Subgraph{
		Name: "a",
		SDL:  `type Query { version: String user: User } type User { id: ID! name: String } enum Role { ADMIN }`,
	}
	b := Subgraph{
		Name: "b",
		SDL:  `type Query { version: Int orders: [Order] _sdl: String! } type Order { id: ID! buyer: User } type User { id: ID! orders: [Order] } enum Role { USER }`,
	}
	tests := []struct {
		name   string
		in     []Subgraph
		opts   Options
		has    []string
		errors string
		hints  []string
	}{
		{
			name: "a later root field replaces an earlier one, and types merge by name",
			in:   []Subgraph{a, b},
			has: []string{"version: Int @join__field(graph: B)", "name: String @join__field(graph: A)",
				"orders: [Order] @join__field(graph: B)", "ADMIN @join__enumValue(graph: A)", "USER @join__enumValue(graph: B)"},
			hints: []string{"ROOT_FIELD_REPLACED Query.version", "UNREACHABLE_FIELD User.orders", "UNREACHABLE_FIELD User.name"},
		},
		{
			name:   "unless that is refused",
			in:     []Subgraph{a, b},
			opts:   Options{RootConflict: Reject},
			errors: "INVALID_FIELD_SHARING",
		},
		{
			name: "the operator's keys join types",
			in:   []Subgraph{with(a, "User", "id"), with(b, "User", "id")},
			has:  []string{`@join__type(graph: A, key: "id")`, `@join__type(graph: B, key: "id")`},
			hints: []string{
				"ROOT_FIELD_REPLACED Query.version",
			},
		},
		{name: "a key for a type that is not there", in: []Subgraph{with(a, "Nope", "id")}, errors: "KEY_INVALID_FIELDS"},
		{name: "a key of a field that is not there", in: []Subgraph{with(a, "User", "nope")}, errors: "KEY_INVALID_FIELDS"},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			r := Compose(tc.in, tc.opts)
			if tc.errors != "" {
				if len(r.Errors) == 0 || string(r.Errors[0].Code) != tc.errors {
					t.Errorf("errors %v, want %s", r.Errors, tc.errors)
				}
				return
			}
			if len(r.Errors) > 0 {
				t.Fatalf("errors: %v", r.Errors)
			}
			for _, s := range tc.has {
				if !strings.Contains(r.SDL, s) {
					t.Errorf("the supergraph has no %q:\n%s", s, r.SDL)
				}
			}
			if strings.Contains(r.SDL, "_sdl") {
				t.Error("machinery is in the supergraph")
			}
			var hints []string
			for _, h := range r.Hints {
				hints = append(hints, h.Code+" "+h.Coordinate)
			}
			for _, h := range tc.hints {
				if !strings.Contains(strings.Join(hints, "\n"), h) {
					t.Errorf("no hint %q among %q", h, hints)
				}
			}
			if len(tc.hints) == 1 && strings.Contains(strings.Join(hints, "\n"), "UNREACHABLE_FIELD") {
				t.Errorf("keys do not join: %q", hints)
			}
		})
	}
}

func with(s Subgraph, typ string, keys ...string) Subgraph {
	s.Keys = map[string][]string{typ: keys}
	return s
}
