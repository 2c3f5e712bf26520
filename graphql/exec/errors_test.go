package exec

import "github.com/catalyst-router/catalyst/graphql/plan"

func errorCases() []executeCase {
	me := object("Query", field("i:me", "User",
		object("User", field("n:name", "String", nil), field("friends", "[User]", object("User", field("id", "ID!", nil))))))
	books := object("Query", field("list:books", "[Book]",
		object("Book", field("title", "String", nil), field("cost:price", "Int!", nil))))
	start := fetch(0, "a", "{books{id title}}", "books")
	prices := entityFetch(1, "b", "Q", []plan.Rep{rep("Book", "id")}, path("books:list"))
	threeBooks := `{"data":{"books":[{"id":"1","title":"A"},{"id":"2","title":"B"},{"id":"1","title":"C"}]}}`
	return []executeCase{
		named("errors of a subgraph", one(me,
			`{"errors":[{"message":"no \"name\"","locations":[{"line":1,"column":2}],"path":["me","name"],"extensions":{"serviceName":"lie","code":"NOPE","a": [1]}},{"message":"bad","path":["me","friends",1,"id"]}],"data":{"me":{"name":null,"friends":[{"id":"1"},null]}}}`,
			`{"data":{"i":{"n":null,"friends":[{"id":"1"},null]}},"errors":[`+
				`{"message":"no \"name\"","path":["i","n"],"extensions":{"code":"NOPE","a":[1],"serviceName":"a"}},`+
				`{"message":"bad","path":["i","friends",1,"id"],"extensions":{"code":"DOWNSTREAM_SERVICE_ERROR","serviceName":"a"}}]}`)),
		named("one error for each nulled field",
			one(object("Query", field("me", "User!", object("User", field("id", "ID!", nil)))),
				`{"errors":[{"message":"bad","path":["me","id"]}],"data":null}`,
				`{"data":null,"errors":[{"message":"bad","path":["me","id"],"extensions":{"code":"DOWNSTREAM_SERVICE_ERROR","serviceName":"a"}}]}`)),
		named("an error without a path", one(me, `{"errors":[{"message":"bad"},7],"data":null}`,
			`{"data":{"i":null},"errors":[{"message":"bad","extensions":{"code":"DOWNSTREAM_SERVICE_ERROR","serviceName":"a"}},`+
				`{"message":"Subgraph 'a' reported an error without a message.","extensions":{"code":"DOWNSTREAM_SERVICE_ERROR","serviceName":"a"}}]}`)),
		named("an error at a field nobody asked for",
			one(me, `{"errors":[{"message":"bad","path":["me","hidden","x"]}],"data":{"me":{"name":"Ann","friends":null}}}`,
				`{"data":{"i":{"n":"Ann","friends":null}},"errors":[{"message":"bad","path":["i"],"extensions":{"code":"DOWNSTREAM_SERVICE_ERROR","serviceName":"a"}}]}`)),
		named("no data", one(me, `{"extensions":{}}`,
			failedAt("i", CodeMalformed, "Subgraph 'a' answered without data and without errors."))),
		named("null data", one(me, `{"data":null}`,
			failedAt("i", CodeMalformed, "Subgraph 'a' answered with null as data."))),
		named("data of a wrong type", one(me, `{"data":[1]}`,
			failedAt("i", CodeMalformed, "Subgraph 'a' answered with a list as data."))),
		named("not JSON", one(me, `<html>`, failedAt("i", CodeMalformed,
			"The answer of subgraph 'a' is not valid JSON: unexpected '<' at byte 0."))),
		named("half a body", one(me, `{"data":{"me":{"na`,
			failedAt("i", CodeMalformed, "The answer of subgraph 'a' is not valid JSON: the JSON ends in the middle."))),
		named("not an object", one(me, `[]`, failedAt("i", CodeMalformed,
			"The answer of subgraph 'a' is not a GraphQL response."))),
		named("empty body", one(me, ``, failedAt("i", CodeMalformed,
			"The answer of subgraph 'a' is not valid JSON: the JSON ends in the middle."))),
		{
			name:    "a subgraph that is down loses nothing else",
			root:    par(fetch(0, "a", "{me}", "me"), fetch(1, "b", "{you}", "you")),
			answers: map[string]string{"b": `{"data":{"you":{"id":"1"}}}`},
			shape: object("Query", field("me", "User", object("User", field("id", "ID!", nil))),
				field("you", "User", object("User", field("id", "ID!", nil)))),
			want: `{"data":{"me":null,"you":{"id":"1"}},"errors":[{"message":"Subgraph 'a' cannot be reached.","path":["me"],"extensions":{"code":"SUBREQUEST_UNREACHABLE","serviceName":"a"}}]}`,
		},
		{name: "an unknown subgraph", root: fetch(0, "z", "{me}", "me"), shape: me,
			want: `{"data":{"i":null},"errors":[{"message":"Subgraph 'z' is not known.","path":["i"],"extensions":{"code":"SUBGRAPH_UNKNOWN","serviceName":"z"}}]}`},
		{
			name:    "entities fail as a whole",
			root:    seq(start, prices),
			shape:   books,
			answers: map[string]string{"a": threeBooks},
			want:    `{"data":{"list":[null,null,null]},"errors":[{"message":"Subgraph 'b' cannot be reached.","path":["list"],"extensions":{"code":"SUBREQUEST_UNREACHABLE","serviceName":"b"}}]}`,
		},
		{name: "one entity fails, at all its positions", root: seq(start, prices), shape: books,
			answers: map[string]string{"a": threeBooks,
				"b": `{"data":{"_entities":[null,{"price":2}]},"errors":[{"message":"gone","path":["_entities",0,"price"]}]}`},
			want: `{"data":{"list":[null,{"title":"B","cost":2},null]},"errors":[` +
				`{"message":"gone","path":["list",0,"cost"],"extensions":{"code":"DOWNSTREAM_SERVICE_ERROR","serviceName":"b"}},` +
				`{"message":"gone","path":["list",2,"cost"],"extensions":{"code":"DOWNSTREAM_SERVICE_ERROR","serviceName":"b"}}]}`},
		{name: "errors without positions in entities", root: seq(start, prices), shape: books,
			answers: map[string]string{"a": threeBooks, "b": `{"data":null,"errors":[{"message":"m","path":["_entities"]}]}`},
			want:    `{"data":{"list":[null,null,null]},"errors":[{"message":"m","path":["list"],"extensions":{"code":"DOWNSTREAM_SERVICE_ERROR","serviceName":"b"}}]}`},
		{name: "a wrong number of entities", root: seq(start, prices), shape: books,
			answers: map[string]string{"a": threeBooks, "b": `{"data":{"_entities":[{"price":2}]}}`},
			want:    `{"data":{"list":[null,null,null]},"errors":[{"message":"Subgraph 'b' answered with 1 entities for 2 representations.","path":["list"],"extensions":{"code":"SUBREQUEST_MALFORMED_RESPONSE","serviceName":"b"}}]}`},
		{name: "no entities", root: seq(start, prices), shape: books,
			answers: map[string]string{"a": threeBooks, "b": `{"data":{"_entities":null}}`},
			want:    `{"data":{"list":[null,null,null]},"errors":[{"message":"Subgraph 'b' answered without entities.","path":["list"],"extensions":{"code":"SUBREQUEST_MALFORMED_RESPONSE","serviceName":"b"}}]}`},
		{
			name:  "entities of wrong types",
			shape: object("Query", field("items", "[Item]", abstract("Item", set("Book", "Film"), field("n", "Int", nil)))),
			root: seq(fetch(0, "a", "{items}", "items"),
				entityFetch(1, "b", "E", []plan.Rep{{Fields: []plan.RepField{repField("id")}}}, path("items"))),
			answers: map[string]string{"a": `{"data":{"items":[{"__typename":"Book","id":1},{"__typename":"Book","id":2},{"__typename":"Film","id":3}]}}`, "b": `{"data":{"_entities":[{"__typename":"Film","n":1},7,{"__typename":"Film","n":3}]}}`},
			want: `{"data":{"items":[{"n":null},{"n":null},{"n":3}]},"errors":[` +
				`{"message":"Subgraph 'b' answered with an entity of another type than it was asked for.","path":["items",0],"extensions":{"code":"SUBREQUEST_MALFORMED_RESPONSE","serviceName":"b"}},` +
				`{"message":"Subgraph 'b' answered with a number as an entity.","path":["items",1],"extensions":{"code":"SUBREQUEST_MALFORMED_RESPONSE","serviceName":"b"}}]}`,
		},
	}
}

func failedAt(key, code, text string) string {
	return `{"data":{"` + key + `":null},"errors":[{"message":"` + text + `","path":["` + key +
		`"],"extensions":{"code":"` + code + `","serviceName":"a"}}]}`
}
