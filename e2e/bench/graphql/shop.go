package main

import (
	"fmt"
	"strings"
)

// The shop is four subgraphs over one small data set: users, products, and reviews that join them. For large
// operations there is a catalogue of many products, and a type of a thousand fields, of which each subgraph has a
// quarter.
const (
	users    = 6
	products = 9

	catalogue = 10_000
	wide      = 250 // fields of Wide in each subgraph
)

const link = `extend schema @link(url: "https://specs.apollo.dev/federation/v2.3", import: ["@key", "@external", "@requires", "@provides", "@shareable"])
`

// subgraphs returns every schema by name.
func subgraphs() map[string]string {
	return map[string]string{
		"accounts": link + wideType("a") + `
type Query { me: User users: [User!]! wide: Wide }
type User @key(fields: "id") { id: ID! name: String username: String @shareable birthday: Int }`,
		"inventory": link + wideType("b") + `
type Product @key(fields: "upc") { upc: String! weight: Int @external price: Int @external inStock: Boolean shippingEstimate: Int @requires(fields: "price weight") }`,
		"products": link + wideType("c") + `
type Query { topProducts(first: Int = 5): [Product!]! catalogue: [Product!]! }
type Product @key(fields: "upc") { upc: String! name: String price: Int weight: Int notes: String description: String }`,
		"reviews": link + wideType("d") + `
type Query { latest: [Review!]! }
type Review @key(fields: "id") { id: ID! body: String author: User @provides(fields: "username") product: Product }
type User @key(fields: "id") { id: ID! username: String @external reviews: [Review!]! }
type Product @key(fields: "upc") { upc: String! reviews: [Review!]! }`,
	}
}

// wideType is one subgraph's part of Wide.
func wideType(letter string) string {
	var b strings.Builder
	b.WriteString("type Wide @key(fields: \"id\") { id: ID!")
	for i := range wide {
		fmt.Fprintf(&b, " %s%d: Int", letter, i)
	}
	b.WriteString(" }\n")
	return b.String()
}

// thousandFields asks for all of Wide.
func thousandFields() string {
	var b strings.Builder
	b.WriteString("query Wide { wide {")
	for _, letter := range []string{"a", "b", "c", "d"} {
		for i := range wide {
			fmt.Fprintf(&b, " %s%d", letter, i)
		}
	}
	b.WriteString(" } }")
	return b.String()
}

// The operations. Big asks all four subgraphs and comes to about 87 kB, small asks two.
const (
	small = `query Small { me { name reviews { id } } }`
	big   = `query Big {
  users { ...User reviews { ...Review product { ...Product reviews { ...Review author { ...User reviews { ...Review product { ...Product } } } } } } }
  topProducts(first: 5) { ...Product reviews { ...Review author { ...User reviews { ...Review product { ...Product } } } } }
}
fragment User on User { id username name }
fragment Review on Review { id body }
fragment Product on Product { inStock name price shippingEstimate upc weight }`

	fiveMegabytes       = `query Catalogue { catalogue { upc name price weight notes description } }`
	tenThousandEntities = `query Stock { catalogue { upc inStock } }`
)

type object = map[string]any

// lazy is a value that is made when it is asked for, since users and reviews name each other.
type lazy func() any

func user(subgraph string, n int) object {
	u := object{"__typename": "User", "id": fmt.Sprint(n), "username": fmt.Sprintf("user-%d", n)}
	switch subgraph {
	case "accounts":
		u["name"], u["birthday"] = fmt.Sprintf("Customer Number %d", n), 1950+n
	case "reviews":
		u["reviews"] = lazy(func() any { return reviewsWhere(func(r int) bool { return r%users+1 == n }) })
	}
	return u
}

func product(subgraph string, n int) object {
	p := object{"__typename": "Product", "upc": fmt.Sprint(n)}
	switch subgraph {
	case "products":
		p["name"], p["price"], p["weight"], p["notes"] = fmt.Sprintf("Product Number %d", n), 100*n, 50*n,
			strings.Repeat("fine ", 8)
		p["description"] = strings.Repeat("It does what it says, and then some. ", 10)
	case "inventory":
		p["inStock"], p["shippingEstimate"] = n%2 == 0, 5*n
	case "reviews":
		p["reviews"] = lazy(func() any { return reviewsWhere(func(r int) bool { return r%products+1 == n }) })
	}
	return p
}

const reviewCount = 25

func review(n int) object {
	return object{
		"__typename": "Review", "id": fmt.Sprint(n),
		"body":    fmt.Sprintf("Review %d: it does what it says, and then some.", n),
		"author":  lazy(func() any { return user("reviews", n%users+1) }),
		"product": lazy(func() any { return product("reviews", n%products+1) }),
	}
}

func reviewsWhere(ok func(int) bool) []any {
	var some []any
	for n := range reviewCount {
		if ok(n) {
			some = append(some, review(n))
		}
	}
	return some
}

// root returns a subgraph's root fields.
func root(subgraph string, field string, arguments map[string]any) any {
	switch field {
	case "me":
		return user(subgraph, 1)
	case "users":
		return list(users, func(n int) object { return user(subgraph, n) })
	case "topProducts":
		first, _ := arguments["first"].(int64)
		return list(int(first), func(n int) object { return product(subgraph, n) })
	case "catalogue":
		return list(catalogue, func(n int) object { return product(subgraph, n) })
	case "wide":
		return wideObject()
	case "latest":
		return reviewsWhere(func(int) bool { return true })
	}
	return nil
}

// entity returns what a representation names.
func entity(subgraph string, representation map[string]any) any {
	var n int
	switch representation["__typename"] {
	case "User":
		if _, err := fmt.Sscan(fmt.Sprint(representation["id"]), &n); err != nil || n < 1 || n > users {
			return nil
		}
		return user(subgraph, n)
	case "Wide":
		return wideObject()
	case "Product":
		if _, err := fmt.Sscan(fmt.Sprint(representation["upc"]), &n); err != nil || n < 1 || n > catalogue {
			return nil
		}
		return product(subgraph, n)
	}
	return nil
}

func wideObject() object {
	o := object{"__typename": "Wide", "id": "1"}
	for _, letter := range []string{"a", "b", "c", "d"} {
		for i := range wide {
			o[fmt.Sprint(letter, i)] = i
		}
	}
	return o
}

func list(n int, make func(int) object) []any {
	var all []any
	for i := 1; i <= n; i++ {
		all = append(all, make(i))
	}
	return all
}
