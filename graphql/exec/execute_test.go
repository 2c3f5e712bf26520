package exec

import (
	"strings"
	"testing"

	"github.com/catalyst-router/catalyst/graphql/plan"
)

// A case is a plan, the bodies of its subgraphs, and the exact response. asked, if given, are the bodies sent, in
// order.
type executeCase struct {
	name    string
	root    plan.Node
	shape   *plan.Object
	change  func(*plan.Plan)
	answers map[string]string
	want    string
	asked   []string
}

func TestExecute(t *testing.T) {
	for _, group := range [][]executeCase{printCases(), entityCases(), errorCases()} {
		for _, c := range group {
			t.Run(c.name, func(t *testing.T) {
				s := &subgraphs{answers: c.answers}
				p := query(c.root, c.shape)
				if c.change != nil {
					c.change(p)
				}
				if got := s.execute(t, p); got != c.want {
					t.Errorf("response\n got %s\nwant %s", got, c.want)
				}
				if c.asked != nil && strings.Join(s.asked, "\n") != strings.Join(c.asked, "\n") {
					t.Errorf("asked\n got %s\nwant %s", strings.Join(s.asked, "\n"), strings.Join(c.asked, "\n"))
				}
			})
		}
	}
}

func one(shape *plan.Object, body, want string) executeCase {
	var roots []string
	for _, f := range shape.Fields {
		if f.Source != "" {
			roots = append(roots, f.Source)
		}
	}
	return executeCase{
		root:    fetch(0, "a", "{x}", roots...),
		shape:   shape,
		answers: map[string]string{"a": body},
		want:    want,
	}
}

func named(name string, c executeCase) executeCase {
	c.name = name
	return c
}

func printCases() []executeCase {
	user := func(fields ...plan.Field) *plan.Object {
		return object("Query", field("me", "User", object("User", fields...)))
	}
	return []executeCase{
		named("client's order and aliases", one(user(field("b:name", "String", nil), typeName("t"),
			field("a:id", "ID!", nil)),
			`{"data":{"me":{"id":"1","name":"Ann"}}}`,
			`{"data":{"me":{"b":"Ann","t":"User","a":"1"}}}`)),
		named("what was not asked for is not printed", one(user(field("id", "ID!", nil)),
			`{"data":{"me":{"x":{"y":[1,2]},"id":"1","z":null}},"extensions":{"took":3}}`,
			`{"data":{"me":{"id":"1"}}}`)),
		named("strings stay as they are", one(user(field("name", "String", nil)),
			`{"data":{"me":{"name":"\u00e4\"\\/ö\n"}}}`,
			`{"data":{"me":{"name":"\u00e4\"\\/ö\n"}}}`)),
		named("escaped keys are found", one(user(field("name", "String", nil)),
			`{"d\u0061ta":{"m\u0065":{"n\u0061me":"Ann"}}}`,
			`{"data":{"me":{"name":"Ann"}}}`)),
		named("white space goes", one(user(field("tags", "[String]", nil), field("any", "JSON", nil)),
			" {\n\t\"data\" : { \"me\" : { \"tags\" : [ \"a\" , null ] , \"any\" : { \"k\" : [ 1 , { } , [ ] ] } } } }\r\n",
			`{"data":{"me":{"tags":["a",null],"any":{"k":[1,{},[]]}}}}`)),
		named("numbers", one(user(field("a", "Int", nil), field("b", "Int", nil), field("c", "Int", nil),
			field("d", "Float", nil), field("e", "Float", nil), field("f", "ID", nil), field("g", "Int", nil)),
			`{"data":{"me":{"a":-2147483648,"b":3.0,"c":1e3,"d":1.50,"e":7,"f":12345678901234567890,"g":2147483647}}}`,
			`{"data":{"me":{"a":-2147483648,"b":3,"c":1000,"d":1.50,"e":7,"f":"12345678901234567890","g":2147483647}}}`)),
		named("wrong types become null with an error",
			one(user(field("a", "Int", nil), field("b", "Int", nil), field("c", "String", nil), field("d", "Boolean", nil),
				field("e", "[Int]", nil), field("f", "User", object("User", field("id", "ID", nil)))),
				`{"data":{"me":{"a":2147483648,"b":"1","c":1,"d":"true","e":7,"f":[]}}}`,
				`{"data":{"me":{"a":null,"b":null,"c":null,"d":null,"e":null,"f":null}},"errors":[`+
					`{"message":"Field User.a should be a 32-bit integer, but its subgraph returned another number.","path":["me","a"],"extensions":{"code":"INVALID_SUBGRAPH_VALUE"}},`+
					`{"message":"Field User.b should be a 32-bit integer, but its subgraph returned a string.","path":["me","b"],"extensions":{"code":"INVALID_SUBGRAPH_VALUE"}},`+
					`{"message":"Field User.c should be a string, but its subgraph returned a number.","path":["me","c"],"extensions":{"code":"INVALID_SUBGRAPH_VALUE"}},`+
					`{"message":"Field User.d should be a boolean, but its subgraph returned a string.","path":["me","d"],"extensions":{"code":"INVALID_SUBGRAPH_VALUE"}},`+
					`{"message":"Field User.e should be a list, but its subgraph returned a number.","path":["me","e"],"extensions":{"code":"INVALID_SUBGRAPH_VALUE"}},`+
					`{"message":"Field User.f should be an object, but its subgraph returned a list.","path":["me","f"],"extensions":{"code":"INVALID_SUBGRAPH_VALUE"}}]}`)),
		named("enum values that are not accessible become null",
			one(user(enum("a", "Role", "ADMIN"), enum("b", "Role", "ADMIN"), enum("c", "[Role!]", "ADMIN")),
				`{"data":{"me":{"a":"ADMIN","b":"SECRET","c":["\u0041DMIN","SECRET"]}}}`,
				`{"data":{"me":{"a":"ADMIN","b":null,"c":null}},"errors":[`+
					`{"message":"Field User.b has a value that is not in enum Role.","path":["me","b"],"extensions":{"code":"INVALID_SUBGRAPH_VALUE"}},`+
					`{"message":"Field User.c has a value that is not in enum Role.","path":["me","c",1],"extensions":{"code":"INVALID_SUBGRAPH_VALUE"}}]}`)),
		named("null propagates to the nearest nullable",
			one(user(field("friends", "[User]!",
				object("User", field("id", "ID!", nil), field("best", "User!", object("User", field("name", "String!", nil)))))),
				`{"data":{"me":{"friends":[{"id":"1","best":{"name":"Ann"}},{"id":"2","best":{"name":null}},null]}}}`,
				`{"data":{"me":{"friends":[{"id":"1","best":{"name":"Ann"}},null,null]}},"errors":[`+
					`{"message":"Cannot return null for non-nullable field User.name.","path":["me","friends",1,"best","name"],"extensions":{"code":"NULL_FOR_NON_NULL"}}]}`)),
		named("null propagates through lists of lists",
			one(object("Query", field("m", "[[Int!]!]", nil), field("n", "[[Int!]]!", nil)),
				`{"data":{"m":[[1],[2,null]],"n":[[1],[null]]}}`,
				`{"data":{"m":null,"n":[[1],null]},"errors":[`+
					`{"message":"Cannot return null for non-nullable field Query.m.","path":["m",1,1],"extensions":{"code":"NULL_FOR_NON_NULL"}},`+
					`{"message":"Cannot return null for non-nullable field Query.n.","path":["n",1,0],"extensions":{"code":"NULL_FOR_NON_NULL"}}]}`)),
		named("null propagates to data", one(object("Query", field("me", "User!", object("User", field("id", "ID!", nil)))),
			`{"data":{"me":{"name":"Ann"}}}`,
			`{"data":null,"errors":[{"message":"Cannot return null for non-nullable field User.id.","path":["me","id"],"extensions":{"code":"NULL_FOR_NON_NULL"}}]}`)),
		named("fragments by run-time type", one(object("Query", field("items", "[Item]", abstract("Item", set("Book", "Film"),
			typeName("__typename"), on(field("title", "String", nil), "Book"), on(field("title:length", "Int", nil), "Film")))),
			`{"data":{"items":[{"__typename":"Book","title":"Go"},{"__typename":"Film","length":90}]}}`,
			`{"data":{"items":[{"__typename":"Book","title":"Go"},{"__typename":"Film","title":90}]}}`)),
		named("impossible, unknown and missing types",
			one(object("Query", field("items", "[Item]", abstract("Item", set("Book"), field("id", "ID", nil)))),
				`{"data":{"items":[{"__typename":"Film","id":"1"},{"__typename":"Nothing","id":"2"},{"__typename":null,"id":"3"},{"__typename":7,"id":"4"},{"__typename":"Book","id":"5"}]}}`,
				`{"data":{"items":[null,null,null,null,{"id":"5"}]},"errors":[`+
					`{"message":"Field Query.items has an object without a type that is possible here.","path":["items",0],"extensions":{"code":"INVALID_SUBGRAPH_VALUE"}},`+
					`{"message":"Field Query.items has an object without a type that is possible here.","path":["items",1],"extensions":{"code":"INVALID_SUBGRAPH_VALUE"}},`+
					`{"message":"Field Query.items has an object without a type that is possible here.","path":["items",2],"extensions":{"code":"INVALID_SUBGRAPH_VALUE"}},`+
					`{"message":"Field Query.items has an object without a type that is possible here.","path":["items",3],"extensions":{"code":"INVALID_SUBGRAPH_VALUE"}}]}`)),
		named("no type where none is needed, and where one is",
			one(object("Query", field("a", "Media",
				abstract("Media", set("Book", "Film"), field("id", "ID", nil), on(field("n", "Int", nil), "Book", "Film"))),
				field("b", "Media", abstract("Media", set("Book", "Film"), on(field("id", "ID", nil), "Book"))),
				field("c", "Media", abstract("Media", set("Book", "Film"), typeName("t")))),
				`{"data":{"a":{"id":"1"},"b":{"id":"2"},"c":{}}}`,
				`{"data":{"a":{"id":"1","n":null},"b":null,"c":null},"errors":[`+
					`{"message":"Field Query.b has an object without a type that is possible here.","path":["b"],"extensions":{"code":"INVALID_SUBGRAPH_VALUE"}},`+
					`{"message":"Field Query.c has an object without a type that is possible here.","path":["c"],"extensions":{"code":"INVALID_SUBGRAPH_VALUE"}}]}`)),
		{name: "denied parts", root: fetch(0, "a", "{x}", "me"),
			shape: object("Query", field("me", "User",
				object("User", field("id", "ID", nil), denied(field("secret", "String", nil)))),
				field("you", "User", object("User", denied(field("secret", "String!", nil))))),
			change: func(p *plan.Plan) {
				p.Denied = []plan.Denial{{Path: []string{"me", "secret"}, Coordinate: "User.secret", Reason: "@authenticated"},
					{Path: []string{"you", "@", "secret"}, Coordinate: "User.secret", Reason: "@authenticated"}}
			},
			answers: map[string]string{"a": `{"data":{"me":{"id":"1"},"you":{}}}`},
			want: `{"data":{"me":{"id":"1","secret":null},"you":null},"errors":[` +
				`{"message":"Not authorised to read User.secret (@authenticated).","path":["me","secret"],"extensions":{"code":"` + CodeUnauthorized + `"}},` +
				`{"message":"Not authorised to read User.secret (@authenticated).","path":["you"],"extensions":{"code":"` +
				CodeUnauthorized + `"}}]}`},
		{name: "no subgraph needed", shape: object("Query", typeName("__typename")), want: `{"data":{"__typename":"Query"}}`},
		{
			name: "two fetches of one root object and one list",
			root: par(fetch(0, "a", "{x}", "me"), fetch(1, "b", "{y}", "me")),
			shape: object("Query", field("me", "User", object("User", field("id", "ID", nil), field("name", "String", nil),
				field("books", "[Book]", object("Book", field("title", "String", nil), field("pages", "Int", nil)))))),
			answers: map[string]string{
				"a": `{"data":{"me":{"id":"1","books":[{"title":"A"},{"title":"B"}]}}}`,
				"b": `{"data":{"me":{"name":"Ann","books":[{"pages":1},{"pages":2}]}}}`},
			want: `{"data":{"me":{"id":"1","name":"Ann","books":[{"title":"A","pages":1},{"title":"B","pages":2}]}}}`,
		},
		{
			name:    "null does not replace what another subgraph found",
			root:    seq(fetch(0, "a", "{x}", "me"), fetch(1, "b", "{y}", "me")),
			shape:   object("Query", field("me", "User", object("User", field("id", "ID", nil), field("name", "String", nil)))),
			answers: map[string]string{"a": `{"data":{"me":{"id":"1"}}}`, "b": `{"data":{"me":null}}`},
			want:    `{"data":{"me":{"id":"1","name":null}}}`,
		},
	}
}
