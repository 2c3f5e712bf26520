// Command metrics writes docs/reference/metrics.md: every metric of a node, as its source declares it. It reads Go
// source, so that a metric is in the page even if a node shows it only after something went wrong.
//
// An instrument is a call whose first argument is the metric's name, "catalyst.sessions", and which is given a
// description: Int64Counter, Float64Histogram, NewDesc, or a helper of a package such as gauge. Words in braces in the
// description are the metric's labels: "peers by {state} of their session".
//
// Usage: metrics DIR
package main

import (
	"cmp"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "metrics:", err)
		os.Exit(1)
	}
}

func run() error {
	if len(os.Args) != 2 {
		return errors.New("want one directory, that of the module")
	}
	all, err := read(os.Args[1])
	if err != nil {
		return err
	}
	slices.SortFunc(all, func(a, b instrument) int { return cmp.Compare(a.name, b.name) })
	fmt.Print(`# Metrics

What a node serves at ` + "`/metrics`" + ` (see [operations](../operations.md#health-and-metrics)) and exports by OTLP, under
the names that Prometheus has for them. Times are seconds, sizes bytes. Histograms have ` + "`_bucket`, `_sum` and `_count`" + `.
This page is written from the source by ` + "`make generate`" + `.

| metric | labels | kind | meaning |
| --- | --- | --- | --- |
`)
	for i, m := range all {
		if i > 0 && all[i-1].name == m.name {
			return fmt.Errorf("%s is declared twice", m.name)
		}
		fmt.Printf("| `%s` | %s | %s | %s |\n", m.name, strings.Join(m.labels, ", "), m.kind, m.doc)
	}
	return nil
}

type instrument struct {
	name, kind, doc string
	labels          []string
}

// kinds says what the functions are called that make instruments.
var kinds = regexp.MustCompile(`(?i)^(?:new|seconds)?(?:u?int64|float64)?(?:observable)?(counter|updowncounter|histogram|gauge|desc)$`)

func read(dir string) ([]instrument, error) {
	var all []instrument
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && path != dir && (strings.HasPrefix(d.Name(), ".") || d.Name() == "e2e"):
			return filepath.SkipDir
		case !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go"):
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
		if err != nil {
			return err
		}
		ast.Inspect(file, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			if m, ok := declared(call); ok {
				if m.doc == "" {
					err = errors.Join(err, fmt.Errorf("%s: %s has no description", path, m.name))
				}
				all = append(all, m)
			}
			return true
		})
		return err
	})
	return all, err
}

// declared reads one call, if it makes an instrument.
func declared(call *ast.CallExpr) (instrument, bool) {
	f := calledName(call.Fun)
	m := kinds.FindStringSubmatch(f)
	if m == nil || len(call.Args) < 2 {
		return instrument{}, false
	}
	name, ok := text(call.Args[0])
	if !ok || !strings.HasPrefix(name, "catalyst") {
		return instrument{}, false
	}
	x := instrument{name: strings.ReplaceAll(name, ".", "_"), kind: strings.ToLower(m[1])}
	unit := ""
	for _, arg := range call.Args[1:] {
		inner, isCall := arg.(*ast.CallExpr)
		switch doc, isText := text(arg); {
		case isText && x.doc == "":
			x.doc = doc
		case isCall && calledName(inner.Fun) == "WithDescription" && len(inner.Args) == 1:
			x.doc, _ = text(inner.Args[0])
		case isCall && calledName(inner.Fun) == "WithUnit" && len(inner.Args) == 1:
			unit, _ = text(inner.Args[0])
		}
	}
	if f == "histogram" || f == "secondsGauge" { // helpers whose unit is not in the call
		unit = "s"
	}
	x.finish(unit)
	return x, true
}

var label = regexp.MustCompile(`\{(\w+)\}`)

// finish gives the name the endings that the exporter for Prometheus gives it, and takes the labels from the text.
func (x *instrument) finish(unit string) {
	for _, ending := range []struct{ unit, suffix string }{{"s", "_seconds"}, {"By", "_bytes"}} {
		if unit == ending.unit && !strings.HasSuffix(x.name, ending.suffix) {
			x.name += ending.suffix
		}
	}
	switch {
	case x.kind == "counter" && !strings.HasSuffix(x.name, "_total"):
		x.name += "_total"
	case x.kind == "updowncounter":
		x.kind = "gauge"
	case x.kind == "desc" && strings.HasSuffix(x.name, "_total"):
		x.kind = "counter"
	case x.kind == "desc" && strings.HasSuffix(x.name, "_duration_seconds"):
		x.kind = "histogram"
	case x.kind == "desc":
		x.kind = "gauge"
	}
	for _, m := range label.FindAllStringSubmatch(x.doc, -1) {
		x.labels = append(x.labels, "`"+m[1]+"`")
	}
	x.doc = strings.ReplaceAll(label.ReplaceAllString(x.doc, "$1"), "|", "\\|")
}

func calledName(e ast.Expr) string {
	switch f := e.(type) {
	case *ast.Ident:
		return f.Name
	case *ast.SelectorExpr:
		return f.Sel.Name
	}
	return ""
}

// text evaluates a string literal, or several that are joined with +.
func text(e ast.Expr) (string, bool) {
	switch x := e.(type) {
	case *ast.BasicLit:
		if x.Kind == token.STRING {
			s, err := strconv.Unquote(x.Value)
			return s, err == nil
		}
	case *ast.BinaryExpr:
		a, okA := text(x.X)
		b, okB := text(x.Y)
		return a + b, okA && okB && x.Op == token.ADD
	case *ast.ParenExpr:
		return text(x.X)
	}
	return "", false
}
