package supergraph

import (
	"cmp"
	"slices"
	"strconv"
	"strings"

	"github.com/vektah/gqlparser/v2/ast"
)

// links is what a schema's @link applications say.
type links struct {
	features []*feature
	// canonical names of the directives that a schema may use, by the name it uses.
	canonical map[string]string
	// local is the reverse, for what the schema imports.
	local map[string]string
	// types imported under these names are machinery.
	types map[string]bool
}

// feature is one @link.
type feature struct {
	identity string // the URL without its version
	name     string // last element of the identity
	as       string // prefix of what is not imported
	version  version
	imports  []imported
	dir      *ast.Directive
}

type imported struct {
	name, as string // with @ if a directive
}

// element returns the name of a directive of the feature as the schema uses it, without @.
func (f *feature) element(name string) string {
	for _, i := range f.imports {
		if i.name == "@"+name {
			return i.as[1:]
		}
	}
	if name == f.name && f.identity != federation {
		return f.as
	}
	return f.as + "__" + name
}

// machinery reports whether a type belongs to the specification of a linked feature. Other types below a feature's
// prefix are the schema's own, for example `enum acme__Kind` beside `@link(url: "https://acme.example/acme/v1.0")`.
func (l *links) machinery(name string) bool {
	if machineType(name) || l.types[name] {
		return true
	}
	p, rest, ok := strings.Cut(name, "__")
	if !ok {
		return false
	}
	for _, f := range l.features {
		if p == f.as && f.owns(rest) {
			return true
		}
	}
	return false
}

// machineKind is the kind that a specification's type has, by its name without a prefix.
func machineKind(name string) ast.DefinitionKind {
	switch name {
	case "FieldSet", "Scope", "Policy", "ContextFieldValue", "Import":
		return ast.Scalar
	case "Purpose":
		return ast.Enum
	}
	return ""
}

// owns reports whether the feature's specification defines a type.
func (f *feature) owns(name string) bool {
	switch f.identity {
	case federation, specs + "link", specs + "core", specs + "join":
		return true
	case specs + "policy":
		return name == "Policy"
	case specs + "requiresScopes":
		return name == "Scope"
	case specs + "context":
		return name == "ContextFieldValue"
	}
	return false
}

// link reads the schema's @link applications and reports the ones that break the specification.
func (l *loader) link(ds ast.DirectiveList) {
	k := &links{canonical: map[string]string{}, local: map[string]string{}, types: map[string]bool{}}
	l.s.links = k
	for _, d := range linkApplications(ds) {
		if f := l.feature(d); f != nil {
			if slices.ContainsFunc(k.features, func(o *feature) bool { return o.identity == f.identity }) {
				l.fail(InvalidLinkDirectiveUsage, d.Position, "",
					"cannot link feature %q since it has already been linked in the schema", f.identity)
				continue
			}
			k.features = append(k.features, f)
			if f.identity == federation {
				l.s.version = f.version
			}
		}
	}
	k.canonical["link"] = "link"
	if !l.s.federated() {
		for i := range directiveSpecs {
			n := directiveSpecs[i].name
			if federation1(n) || l.doc.Directives.ForName(n) != nil && (n == "inaccessible" || n == "tag") {
				k.canonical[n] = n
			}
		}
	}
	for _, f := range k.features {
		l.elements(f)
	}
}

// linkApplications finds the applications of @link, which may itself be renamed.
func linkApplications(ds ast.DirectiveList) ast.DirectiveList {
	name := "link"
	for _, d := range ds {
		if url := argText(d, "url"); strings.HasPrefix(url, specs+"link/") {
			if as := argText(d, "as"); as != "" && d.Name == as {
				name = as
			}
			for _, c := range argList(d, "import") {
				if i, ok := importOf(c); ok && i.name == "@link" && d.Name == i.as[1:] {
					name = d.Name
				}
			}
		}
	}
	return ds.ForNames(name)
}

// feature reads one @link; nil if it is wrong or of no interest.
func (l *loader) feature(d *ast.Directive) *feature {
	url := argText(d, "url")
	if url == "" { // it links nothing
		return nil
	}
	if purpose := argText(d, "for"); purpose != "" && purpose != "SECURITY" && purpose != "EXECUTION" {
		l.fail(InvalidGraphQL, d.Position, "", "@link of %q: for is SECURITY or EXECUTION, not %s", url, purpose)
	}
	f := &feature{dir: d}
	base, last, _ := cutLast(strings.TrimSuffix(url, "/"))
	var ok bool
	if f.version, ok = parseVersion(last); ok {
		f.identity = base
	} else {
		f.identity = strings.TrimSuffix(url, "/")
		if strings.HasPrefix(url, specs) {
			l.fail(InvalidLinkIdentifier, d.Position, "", "@link of %q: the url must end in a version such as /v1.0", url)
			return nil
		}
	}
	_, f.name, _ = cutLast(f.identity)
	f.as = cmp.Or(argText(d, "as"), f.name)
	l.prefix(f)
	if f.identity == specs+"link" && f.version != (version{1, 0}) {
		l.fail(InvalidLinkDirectiveUsage, d.Position, "", "feature link %s is not known; it must be v1.0", f.version)
		return nil
	}
	if f.identity == specs+"connect" {
		l.fail(UnsupportedLinkedFeature, d.Position, "",
			"feature %s is not supported: connectors are not carried out here", url)
		return nil
	}
	if f.identity == federation && (f.version.less(version{2, 0}) || !f.version.less(version{2, newestFederation + 1})) {
		l.fail(UnknownFederationLinkVersion, d.Position, "", "federation %s is not known; it must be v2.0 to v2.%d",
			f.version, newestFederation)
		return nil
	}
	l.imports(f, url)
	return f
}

// imports reads the feature's list of imports. The url is the @link's.
func (l *loader) imports(f *feature, url string) {
	d := f.dir
	for _, c := range argList(d, "import") {
		i, ok := importOf(c)
		if !ok {
			l.fail(InvalidLinkDirectiveUsage, d.Position, "",
				"@link of %q: an import is a string, or an object of name and as, and @ stands before both or neither", url)
			continue
		}
		if before := f.imported(i.name); before != "" && before != i.as {
			l.fail(InvalidLinkDirectiveUsage, d.Position, "",
				"cannot import %q as %q from feature %q since it was previously imported as %q: remove one of these imports",
				i.name, i.as, f.identity, before)
			if l.s.links.canonical != nil && strings.HasPrefix(i.as, "@") { // it is known by that name, too
				l.s.links.canonical[i.as[1:]] = i.name[1:]
			}
			continue
		}
		if other := l.taken(f, i); other != "" {
			l.fail(InvalidLinkDirectiveUsage, d.Position, "",
				"cannot import %q as %q from feature %q since that is the name of %s: give it another one by as", i.name,
				i.as, f.identity, other)
			continue
		}
		f.imports = append(f.imports, i)
	}
}

// prefix checks the name that stands before what is not imported of a feature.
func (l *loader) prefix(f *feature) {
	d := f.dir
	given := d.Arguments.ForName("as")
	switch {
	case given != nil && given.Value != nil && given.Value.Kind == ast.StringValue && given.Value.Raw == "":
		l.fail(InvalidLinkDirectiveUsage, d.Position, "", "cannot link feature %q as \"\", which is no name", f.identity)
	case argText(d, "as") != "" && strings.IndexFunc(f.as, func(r rune) bool { return !isNameRune(r) }) >= 0:
		l.fail(InvalidGraphQL, d.Position, "", "cannot link feature %q as %q, which is no name", f.identity, f.as)
	case strings.Contains(f.as, "__"):
		l.fail(InvalidLinkDirectiveUsage, d.Position, "", "cannot link feature %q as %q, which contains \"__\"", f.identity,
			f.as)
	}
	for _, o := range l.s.links.features {
		if o.as == f.as && o.identity != f.identity {
			l.fail(InvalidLinkDirectiveUsage, d.Position, "",
				"cannot link feature %q as %q since feature %q has that name: give one of them another by as", f.identity, f.as,
				o.identity)
		}
	}
}

// taken says what else has the name under which an element of a feature is imported; "" if nothing has.
func (l *loader) taken(f *feature, i imported) string {
	for _, o := range f.imports {
		if o.as == i.as && o.name != i.name {
			return strconv.Quote(o.name)
		}
	}
	for _, g := range l.s.links.features {
		for _, o := range g.imports {
			if o.as == i.as && g.identity != f.identity {
				return strconv.Quote(o.name) + " of feature " + strconv.Quote(g.identity)
			}
		}
	}
	if rest, ok := strings.CutPrefix(i.as, "@"+f.as+"__"); ok && "@"+rest != i.name {
		return strconv.Quote("@"+rest) + " where it is not imported"
	}
	return ""
}

// newestFederation is the newest minor version of federation 2 that is known.
const newestFederation = 15

// imported is the name that an element is imported under; "" if it is not.
func (f *feature) imported(name string) string {
	for _, i := range f.imports {
		if i.name == name {
			return i.as
		}
	}
	return ""
}

// elements makes the feature's directives known.
func (l *loader) elements(f *feature) {
	k := l.s.links
	for _, i := range f.imports {
		if !strings.HasPrefix(i.name, "@") && f.owns(i.name) {
			k.types[i.as] = true
		}
	}
	if f.identity == federation {
		for i := range directiveSpecs {
			if d := directiveSpecs[i]; !f.version.less(d.since) {
				k.canonical[f.element(d.name)] = d.name
				k.local[d.name] = f.element(d.name)
			}
		}
		l.unknownImports(f)
		return
	}
	for i := range directiveSpecs {
		d := directiveSpecs[i]
		if name, _, _ := strings.Cut(d.feature, "/"); d.feature != "" && f.identity == specs+name {
			k.canonical[f.element(d.name)] = d.name
			k.local[d.name] = f.element(d.name)
		}
	}
}

func (l *loader) unknownImports(f *feature) {
	for _, i := range f.imports {
		n, directive := strings.CutPrefix(i.name, "@")
		if directive && element(n, f.version) != nil || n == "FieldSet" || n == "Scope" || n == "Policy" ||
			n == "ContextFieldValue" {
			continue
		}
		l.fail(InvalidLinkDirectiveUsage, f.dir.Position, "", "cannot import unknown element %q of federation %s", i.name,
			f.version)
	}
}

// importOf reads an element of @link(import:).
func importOf(v *ast.Value) (imported, bool) {
	switch v.Kind {
	case ast.StringValue, ast.BlockValue:
		return imported{v.Raw, v.Raw}, v.Raw != "" && v.Raw != "@"
	case ast.ObjectValue:
		var i imported
		for _, c := range v.Children {
			switch c.Name {
			case "name":
				i.name = c.Value.Raw
			case "as":
				i.as = c.Value.Raw
			}
		}
		if i.as == "" {
			i.as = i.name
		}
		ok := len(i.name) > 1 && len(i.as) > 1 && strings.HasPrefix(i.name, "@") == strings.HasPrefix(i.as, "@")
		return i, ok
	}
	return imported{}, false
}

func cutLast(s string) (before, after string, ok bool) {
	i := strings.LastIndexByte(s, '/')
	if i < 0 {
		return "", s, false
	}
	return s[:i], s[i+1:], true
}

// argText returns a string argument, or "".
func argText(d *ast.Directive, name string) string {
	if a := d.Arguments.ForName(name); a != nil && a.Value != nil && a.Value.Kind != ast.NullValue {
		return a.Value.Raw
	}
	return ""
}

// argList returns the elements of a list argument; a single value counts as a list of one.
func argList(d *ast.Directive, name string) []*ast.Value {
	a := d.Arguments.ForName(name)
	if a == nil || a.Value == nil {
		return nil
	}
	if a.Value.Kind != ast.ListValue {
		return []*ast.Value{a.Value}
	}
	out := make([]*ast.Value, 0, len(a.Value.Children))
	for _, c := range a.Value.Children {
		out = append(out, c.Value)
	}
	return out
}
