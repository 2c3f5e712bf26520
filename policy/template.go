package policy

import (
	"errors"
	"fmt"
	"strings"

	"github.com/cedar-policy/cedar-go/types"
)

// Template is a policy of a usual kind.
type Template struct {
	ID           string // "" for one made of the rest
	Organisation string // whose nodes it is about, or whose token
	Node         string // SPIFFE id of a single node instead
	Role         string // of a token's principal
	Service      string // full name; "" for every service
	Methods      []string
	Forbid       bool
}

// Cedar returns the policy, which has been compiled.
func (t Template) Cedar() (string, error) {
	entity := func(kind, id string) string {
		return types.NewEntityUID(types.EntityType(namespace+kind), types.String(id)).String()
	}
	principal := "principal"
	switch {
	case t.Node != "" && (t.Organisation != "" || t.Role != ""):
		return "", errors.New("want either a node, or an organisation and a role")
	case t.Node != "":
		principal += " == " + entity("NODE", t.Node)
	case t.Role != "":
		principal += " is " + namespace + t.Role
	}
	if t.Organisation != "" {
		principal += " in " + entity("Organisation", t.Organisation)
	}
	resource, action := "resource is "+namespace+"Service",
		"action in ["+entity("Action", Connect)+", "+entity("Action", Ask)+"]"
	if t.Service != "" {
		resource = "resource == " + entity("Service", t.Service)
	}
	when := ""
	if len(t.Methods) > 0 {
		action = "action == " + entity("Action", Ask)
		var all []string
		for _, m := range t.Methods {
			all = append(all, string(types.String(strings.ToUpper(m)).MarshalCedar()))
		}
		when = " when { [" + strings.Join(all, ", ") + "].contains(context.method) }"
	}
	effect := "permit"
	if t.Forbid {
		effect = "forbid"
	}
	id := t.ID
	if id == "" {
		id = strings.Join(strings.FieldsFunc(strings.Join(append([]string{effect, t.Organisation, t.Node,
			strings.ToLower(t.Role), t.Service}, t.Methods...), " "), func(r rune) bool {
			return r == ' ' || r == '/' || r == ':'
		}), "-")
	}
	text := fmt.Sprintf("@id(%s)\n%s (\n  %s,\n  %s,\n  %s\n)%s;\n", types.String(id).MarshalCedar(), effect, principal,
		action, resource, when)
	_, err := Compile(Source{Policies: []Document{{"template", text}}})
	return text, err
}
