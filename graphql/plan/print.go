package plan

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/formatter"
	"github.com/vektah/gqlparser/v2/parser"

	"github.com/catalyst-router/catalyst/graphql/plan/graph"
)

// String prints the plan as a tree of requests, for people and for golden files.
func (p *Plan) String() string {
	w := printer{types: p.Types, shape: p.Response}
	w.line("Plan(rounds: %d, requests: %d, cost: %d) {", p.Rounds, p.Fetches, p.Cost)
	w.depth++
	w.node(p.Root)
	for _, d := range p.Denied {
		w.line("Denied(%s, path: %q, %s)", d.Coordinate, strings.Join(d.Path, "."), d.Reason)
	}
	w.depth--
	w.line("}")
	return w.String()
}

type printer struct {
	strings.Builder
	depth int
	types *graph.TypeIndex
	shape *Object
}

func (w *printer) line(format string, args ...any) {
	w.WriteString(strings.Repeat("  ", w.depth))
	fmt.Fprintf(w, format, args...)
	w.WriteByte('\n')
}

func (w *printer) block(title string, body func()) {
	w.line("%s {", title)
	w.depth++
	body()
	w.depth--
	w.line("}")
}

func (w *printer) nodes(title string, nodes []Node) {
	w.block(title, func() {
		for _, n := range nodes {
			w.node(n)
		}
	})
}

func (w *printer) node(n Node) {
	switch n := n.(type) {
	case *Sequence:
		w.nodes("Sequence", n.Nodes)
	case *Parallel:
		w.nodes("Parallel", n.Nodes)
	case *Fetch:
		w.block(fmt.Sprintf("Fetch(%d, service: %q)", n.ID, n.Service), func() { w.query(n.Query) })
	case *EntityFetch:
		w.entities(n)
	case *Subscription:
		w.block("Subscription", func() {
			w.node(n.Primary)
			w.node(n.Then)
		})
	case *Defer:
		w.block("Defer", func() {
			w.nodes("Primary", []Node{n.Primary})
			w.streams(w.shape, "")
			for _, b := range n.Blocks {
				w.nodes(fmt.Sprintf("Deferred(%d, after: %d, label: %q, path: %q)", b.ID, b.Parent, b.Label, w.path(b.Path)),
					[]Node{b.Node})
			}
		})
	}
}

// streams prints the lists that are delivered in parts.
func (w *printer) streams(o *Object, at string) {
	if o == nil {
		return
	}
	for _, f := range o.Fields {
		path := at + f.Key
		if s := f.Stream; s != nil {
			first := strconv.Itoa(s.Initial)
			if s.Variable != "" {
				first = "$" + s.Variable
			}
			w.line("Streamed(path: %q, first: %s, label: %q)", path, first, s.Label)
		}
		w.streams(f.Object, path+".")
	}
}

func (w *printer) entities(n *EntityFetch) {
	reads := strings.Trim(strings.ReplaceAll(fmt.Sprint(n.Reads), " ", ", "), "[]")
	if n.Root {
		w.block(fmt.Sprintf("Fetch(%d, service: %q, reads: [%s], path: %q)", n.ID, n.Service, reads,
			w.path(n.Groups[0].Paths[0])), func() { w.query(n.Query) })
		return
	}
	w.block(fmt.Sprintf("Entities(%d, service: %q, reads: [%s])", n.ID, n.Service, reads), func() {
		for _, g := range n.Groups {
			var paths []string
			for _, p := range g.Paths {
				paths = append(paths, fmt.Sprintf("%q", w.path(p)))
			}
			w.block(fmt.Sprintf("Representations(%s: $%s, path: %s)", g.Key, n.Variables[g.Variable].Name,
				strings.Join(paths, ", ")), func() {
				for _, r := range g.Reps {
					w.rep(r)
				}
				for _, c := range g.Contexts {
					w.line("$%s: up %d, %s%s", n.Variables[c.Variable].Name, c.Up, w.on(c.On), w.path(c.From))
				}
			})
		}
		w.query(n.Query)
	})
}

func (w *printer) rep(r Rep) {
	b := w.on(r.On) + "{ __typename"
	if r.TypeName != "" {
		b += ": " + r.TypeName
	}
	w.line("%s }", b+w.repFields(r.Fields))
}

func (w *printer) repFields(fields []RepField) string {
	b := ""
	for _, f := range fields {
		b += " " + w.on(f.On) + f.Name
		if f.Source != f.Name {
			b += ": $." + f.Source
		}
		if f.Fields != nil {
			b += " {" + w.repFields(f.Fields) + " }"
		}
	}
	return b
}

// on prints a set of types as a prefix, "" for any.
func (w *printer) on(s graph.TypeSet) string {
	if s == nil {
		return ""
	}
	var names []string
	for _, id := range s.IDs() {
		names = append(names, w.types.Name(id))
	}
	return "<" + strings.Join(names, "|") + ">"
}

func (w *printer) path(p Path) string {
	var out []string
	for _, s := range p {
		out = append(out, w.on(s.On)+s.Source+strings.Repeat(".@", s.Lists))
	}
	return strings.Join(out, ".")
}

// query prints an operation indented.
func (w *printer) query(q string) {
	doc, err := parser.ParseQuery(&ast.Source{Input: q})
	if err != nil {
		w.line("%s", q)
		return
	}
	var b strings.Builder
	formatter.NewFormatter(&b, formatter.WithIndent("  ")).FormatQueryDocument(doc)
	for l := range strings.Lines(b.String()) {
		w.line("%s", strings.TrimRight(l, "\n"))
	}
}
