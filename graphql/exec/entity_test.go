package exec

import "github.com/catalyst-router/catalyst/graphql/plan"

func entityCases() []executeCase {
	book := object("Book", field("title", "String", nil), field("price", "Int", nil))
	books := object("Query", field("books", "[Book]", book))
	start := fetch(0, "a", "{books{id title}}", "books")
	prices := entityFetch(1, "b", "Q", []plan.Rep{rep("Book", "id")}, path("books"))
	return []executeCase{
		{name: "equal representations are sent once", root: seq(start, prices), shape: books,
			answers: map[string]string{
				"a": `{"data":{"books":[{"id":"1","title":"A"},{"id":"2","title":"B"},{"id":"1","title":"C"},null]}}`,
				"b": `{"data":{"_entities":[{"price":10},{"price":20}]}}`},
			want: `{"data":{"books":[{"title":"A","price":10},{"title":"B","price":20},{"title":"C","price":10},null]}}`,
			asked: []string{`a {"query":"{books{id title}}"}`,
				`b {"query":"Q","variables":{"representations":[{"__typename":"Book","id":"1"},{"__typename":"Book","id":"2"}]}}`}},
		{name: "absent keys ask for nothing, null is a value", root: seq(start, prices), shape: books,
			answers: map[string]string{"a": `{"data":{"books":[{"id":null,"title":"A"},{"title":"B"},{"id":"2","title":"C"}]}}`,
				"b": `{"data":{"_entities":[{"price":10},{"price":20}]}}`},
			want: `{"data":{"books":[{"title":"A","price":10},{"title":"B","price":null},{"title":"C","price":20}]}}`,
			asked: []string{`a {"query":"{books{id title}}"}`,
				`b {"query":"Q","variables":{"representations":[{"__typename":"Book","id":null},{"__typename":"Book","id":"2"}]}}`}},
		{name: "nothing to ask for", root: seq(start, prices), shape: books,
			answers: map[string]string{"a": `{"data":{"books":[]}}`},
			want:    `{"data":{"books":[]}}`,
			asked:   []string{`a {"query":"{books{id title}}"}`},
		},
		{name: "an entity that is not found", root: seq(start, prices), shape: books,
			answers: map[string]string{"a": `{"data":{"books":[{"id":"1","title":"A"}]}}`, "b": `{"data":{"_entities":[null]}}`},
			want:    `{"data":{"books":[{"title":"A","price":null}]}}`},
		{name: "fanned out entities do not share what is merged later", shape: object("Query",
			field("x", "Book", object("Book", field("author", "Author", object("Author", field("n:name", "String", nil))))),
			field("y", "Book", object("Book", field("author", "Author", object("Author", field("n:name", "String", nil)))))),
			root: seq(fetch(0, "a", "{x y}", "x", "y"),
				entityFetch(1, "b", "A", []plan.Rep{rep("Book", "id")}, path("x"), path("y")),
				par(entityFetch(2, "c", "N", []plan.Rep{rep("Author", "id")}, path("x", "author")),
					entityFetch(3, "d", "N", []plan.Rep{rep("Author", "id")}, path("y", "author")))),
			answers: map[string]string{"a": `{"data":{"x":{"id":1},"y":{"id":1}}}`,
				"b": `{"data":{"_entities":[{"author":{"id":"7"}}]}}`,
				"c": `{"data":{"_entities":[{"name":"C"}]}}`, "d": `{"data":{"_entities":[{"name":"D"}]}}`},
			want: `{"data":{"x":{"author":{"n":"C"}},"y":{"author":{"n":"D"}}}}`},
		{
			name: "representations by run-time type",
			shape: object("Query", field("items", "[Item]",
				abstract("Item", set("Book", "Film", "User"), on(field("a", "Int", nil), "Book"),
					on(field("b", "Int", nil), "Film")))),
			root: seq(fetch(0, "a", "{items}", "items"), entityFetch(1, "b", "E", []plan.Rep{
				{On: set("Book"), Fields: []plan.RepField{repField("isbn")}},
				{On: set("Film"), TypeName: "Media", Fields: []plan.RepField{repField("id:film_id")}},
			}, path("items"))),
			answers: map[string]string{"a": `{"data":{"items":[{"__typename":"Film","film_id":2},{"__typename":"User"},{"__typename":"Book","isbn":"x"}]}}`,
				"b": `{"data":{"_entities":[{"b":1,"__typename":"Media"},{"a":2}]}}`},
			want: `{"data":{"items":[{"b":1},{},{"a":2}]}}`,
			asked: []string{`a {"query":"{items}"}`,
				`b {"query":"E","variables":{"representations":[{"__typename":"Media","id":2},{"__typename":"Book","isbn":"x"}]}}`},
		},
		{
			name:  "nested keys, requirements and fragments in them",
			shape: object("Query", field("book", "Book", object("Book", field("price", "Int", nil)))),
			root: seq(fetch(0, "a", "{book}", "book"),
				entityFetch(1, "b", "E", []plan.Rep{{TypeName: "Book", Fields: []plan.RepField{
					repField("org", repField("id")), repField("dims", repField("w"), repField("h")),
					repField("likes", repField("__typename"),
						plan.RepField{Name: "x", JSON: []byte(`"x":`), Source: "x", On: set("Film")}), repField("raw"),
				}}}, path("book"))),
			answers: map[string]string{
				"a": `{"data":{"book":{"raw":{"a": [1]},"org":{"id":"o"},"dims":{"w":1,"h":null},"likes":[{"__typename":"Film","x":1},{"__typename":"Book"},null]}}}`,
				"b": `{"data":{"_entities":[{"price":1}]}}`},
			want: `{"data":{"book":{"price":1}}}`,
			asked: []string{`a {"query":"{book}"}`,
				`b {"query":"E","variables":{"representations":[{"__typename":"Book","org":{"id":"o"},"dims":{"w":1,"h":null},` +
					`"likes":[{"__typename":"Film","x":1},{"__typename":"Book"},null],"raw":{"a":[1]}}]}}`},
		},
		{
			name:  "a requirement that is absent",
			shape: object("Query", field("book", "Book", object("Book", field("price", "Int", nil)))),
			root: seq(fetch(0, "a", "{book}", "book"),
				entityFetch(1, "b", "E", []plan.Rep{{
					TypeName: "Book",
					Fields:   []plan.RepField{repField("id"), repField("weight")},
				}}, path("book"))),
			answers: map[string]string{"a": `{"data":{"book":{"id":"1"}}}`},
			want:    `{"data":{"book":{"price":null}}}`, asked: []string{`a {"query":"{book}"}`},
		},
		{
			name: "interface objects learn their type later",
			shape: object("Query", field("media", "Media",
				abstract("Media", set("Book", "Film"), typeName("t"), field("id", "ID", nil)))),
			root: seq(fetch(0, "a", "{media}", "media"),
				entityFetch(1, "b", "E", []plan.Rep{rep("Media", "id")}, path("media"))),
			answers: map[string]string{"a": `{"data":{"media":{"__typename":"Media","id":"1"}}}`,
				"b": `{"data":{"_entities":[{"__typename":"Film"}]}}`},
			want: `{"data":{"media":{"t":"Film","id":"1"}}}`,
		},
		{
			name: "an interface object does not hide the type",
			shape: object("Query", field("media", "Media",
				abstract("Media", set("Book", "Film"), typeName("t"), field("n", "Int", nil)))),
			root: seq(fetch(0, "a", "{media}", "media"),
				entityFetch(1, "b", "E", []plan.Rep{rep("Media", "id")}, path("media"))),
			answers: map[string]string{"a": `{"data":{"media":{"__typename":"Film","id":"1"}}}`,
				"b": `{"data":{"_entities":[{"__typename":"Media","n":5}]}}`},
			want: `{"data":{"media":{"t":"Film","n":5}}}`,
		},
		{
			name: "several groups in one request",
			shape: object("Query", field("book", "Book", object("Book", field("price", "Int", nil))),
				field("me", "User", object("User", field("name", "String", nil)))),
			root: seq(fetch(0, "a", "{book me}", "book", "me"),
				&plan.EntityFetch{Request: request(1, "b", "E", "=r0", "v", "=r1"), Groups: []plan.EntityGroup{
					{Key: "_0", Variable: 0, Paths: []plan.Path{path("book")}, Reps: []plan.Rep{rep("Book", "id")}},
					{Key: "_1", Variable: 2, Paths: []plan.Path{path("me")}, Reps: []plan.Rep{rep("User", "id")}}}}),
			answers: map[string]string{"a": `{"data":{"book":null,"me":{"id":"u"}}}`,
				"b": `{"data":{"_0":[],"_1":[{"name":"Ann"}]}}`},
			want: `{"data":{"book":null,"me":{"name":"Ann"}}}`,
			asked: []string{`a {"query":"{book me}"}`,
				`b {"query":"E","variables":{"r0":[],"r1":[{"__typename":"User","id":"u"}]}}`},
		},
		{
			name: "values from context",
			shape: object("Query", field("users", "[User]",
				object("User", field("books", "[Book]", object("Book", field("price", "Int", nil)))))),
			root: seq(fetch(0, "a", "{users}", "users"),
				&plan.EntityFetch{Request: request(1, "b", "E", "=r", "=c"), Groups: []plan.EntityGroup{
					{
						Key:      "_entities",
						Paths:    []plan.Path{path("users", "books")},
						Reps:     []plan.Rep{rep("Book", "id")},
						Contexts: []plan.Context{{Variable: 1, Up: 1, From: path("currency")}},
					}}}),
			answers: map[string]string{"a": `{"data":{"users":[{"currency":"EUR","books":[{"id":1}]},{"currency":"EUR","books":[{"id":1},{"id":2}]}]}}`, "b": `{"data":{"_entities":[{"price":10},{"price":20}]}}`},
			want:    `{"data":{"users":[{"books":[{"price":10}]},{"books":[{"price":10},{"price":20}]}]}}`,
			asked: []string{`a {"query":"{users}"}`,
				`b {"query":"E","variables":{"r":[{"__typename":"Book","id":1},{"__typename":"Book","id":2}],"c":"EUR"}}`},
		},
		{
			name: "the nearest context counts, whatever those further up lack",
			shape: object("Query", field("users", "[User]",
				object("User", field("author", "Author",
					object("Author", field("books", "[Book]", object("Book", field("price", "Int", nil)))))))),
			root: seq(fetch(0, "a", "{users}", "users"),
				&plan.EntityFetch{Request: request(1, "b", "E", "=r", "=c"), Groups: []plan.EntityGroup{
					{
						Key:   "_entities",
						Paths: []plan.Path{path("users", "author", "books")},
						Reps:  []plan.Rep{rep("Book", "id")},
						Contexts: []plan.Context{
							{Variable: 1, Up: 1, From: path("currency"), On: set("Author"), NonNull: true},
							{Variable: 1, Up: 2, From: path("currency"), NonNull: true}},
					}}}),
			answers: map[string]string{"a": `{"data":{"users":[{"author":{"__typename":"Author","currency":"EUR","books":[{"id":1}]}}]}}`, "b": `{"data":{"_entities":[{"price":10}]}}`},
			want:    `{"data":{"users":[{"author":{"books":[{"price":10}]}}]}}`,
			asked: []string{`a {"query":"{users}"}`,
				`b {"query":"E","variables":{"r":[{"__typename":"Book","id":1}],"c":"EUR"}}`},
		},
	}
}
