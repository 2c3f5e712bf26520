// Package feature reads which specifications a supergraph links, under which names it uses them, and whether this
// router carries them out.
package feature

import (
	"fmt"
	"slices"
	"strings"

	"github.com/vektah/gqlparser/v2/ast"
)

// Unsupported is the code, in Apollo's terms, of a supergraph or subgraph that links what this router does
// not carry out.
const Unsupported = "UNSUPPORTED_LINKED_FEATURE"

// specs is where the specifications of the join family live.
const specs = "https://specs.apollo.dev/"

// known are the versions of the specifications that this reader carries out, or may pass over, by name.
//
//nolint:gochecknoglobals // a table of constants
var known = map[string][]string{
	"core": {"v0.1", "v0.2"}, "link": {"v1.0"}, "join": {"v0.1", "v0.2", "v0.3", "v0.4", "v0.5"},
	"tag": {"v0.1", "v0.2", "v0.3"}, "inaccessible": {"v0.1", "v0.2"}, "authenticated": {"v0.1"},
	"requiresScopes": {"v0.1"},
	"policy":         {"v0.1"}, "context": {"v0.1"}, "cost": {"v0.1"}, "cacheTag": {"v0.1"},
}

// Feature is one @link or @core of the schema.
type Feature struct {
	URL      string
	Identity string // the URL without its version
	Name     string // the last part of the identity
	Version  string // "" if the URL has none
	As       string // prefix of what is not imported
	Purpose  string // SECURITY, EXECUTION or ""
	Imports  []Element
}

// Element is an imported element, without @ if it is a directive.
type Element struct {
	Name, As  string
	Directive bool
}

// Ours reports whether the feature is one of the join family's specifications.
func (f *Feature) Ours() bool {
	_, ok := known[f.Name]
	return ok && f.Identity == specs+f.Name
}

// Named is the name of a directive of the feature in the schema.
//
// Link specification: an imported element has the name that the import gives it; the feature's own directive is
// called like the feature; every other element has the feature's name and two underscores before it.
func (f *Feature) Named(name string) string {
	for _, i := range f.Imports {
		if i.Directive && i.Name == name {
			return i.As
		}
	}
	if name == f.Name {
		return f.As
	}
	return f.As + "__" + name
}

// Links are the applications of @link or @core. The directive may itself be renamed, by the application that links
// its own specification.
func Links(doc *ast.SchemaDocument) ast.DirectiveList {
	var all ast.DirectiveList
	for _, sd := range slices.Concat(doc.Schema, doc.SchemaExtension) {
		all = append(all, sd.Directives...)
	}
	called := map[string]bool{"link": true, "core": true}
	for _, d := range all {
		f := Read(d)
		if f.Identity == specs+"link" || f.Identity == specs+"core" {
			if d.Name == f.Named(f.Name) {
				called[d.Name] = true
			}
		}
	}
	var out ast.DirectiveList
	for _, d := range all {
		if called[d.Name] {
			out = append(out, d)
		}
	}
	return out
}

// Read reads an application of @link or @core.
func Read(d *ast.Directive) *Feature {
	f := &Feature{URL: text(d, "url"), Purpose: text(d, "for")}
	if f.URL == "" {
		f.URL = text(d, "feature")
	}
	f.Identity = strings.TrimRight(f.URL, "/")
	if i := strings.LastIndexByte(f.Identity, '/'); i >= 0 && isVersion(f.Identity[i+1:]) {
		f.Identity, f.Version = f.Identity[:i], f.Identity[i+1:]
	}
	f.Name = f.Identity[strings.LastIndexByte(f.Identity, '/')+1:]
	if f.As = text(d, "as"); f.As == "" {
		f.As = f.Name
	}
	a := d.Arguments.ForName("import")
	if a == nil || a.Value == nil {
		return f
	}
	for _, c := range a.Value.Children {
		f.Imports = append(f.Imports, readImport(c.Value))
	}
	return f
}

func isVersion(s string) bool {
	major, minor, ok := strings.Cut(strings.TrimPrefix(s, "v"), ".")
	return ok && s[0] == 'v' && digits(major) && digits(minor)
}

func digits(s string) bool {
	return s != "" && strings.Trim(s, "0123456789") == ""
}

// readImport reads "@name", "Name" or {name: "@name", as: "@other"}.
func readImport(v *ast.Value) Element {
	from, to := v.Raw, ""
	if v.Kind == ast.ObjectValue {
		for _, f := range v.Children {
			switch f.Name {
			case "name":
				from = f.Value.Raw
			case "as":
				to = f.Value.Raw
			}
		}
	}
	if to == "" {
		to = from
	}
	return Element{strings.TrimPrefix(from, "@"), strings.TrimPrefix(to, "@"), strings.HasPrefix(from, "@")}
}

// Supported refuses a feature that must be understood and is not.
func (f *Feature) Supported() error {
	if f.Ours() && slices.Contains(known[f.Name], f.Version) {
		return nil
	}
	if f.Purpose == "" && !f.Ours() {
		return nil
	}
	why := "is not supported by this router"
	if f.Ours() {
		why = "is not supported by this router: it knows " + strings.Join(known[f.Name], ", ")
	}
	if f.Purpose != "" {
		why = "is for: " + f.Purpose + " and " + why
	}
	return fmt.Errorf("%s: read supergraph: feature %s %s", Unsupported, f.URL, why)
}

// text returns a string or enum argument, or "".
func text(d *ast.Directive, name string) string {
	if a := d.Arguments.ForName(name); a != nil && a.Value != nil && a.Value.Kind != ast.NullValue {
		return a.Value.Raw
	}
	return ""
}
