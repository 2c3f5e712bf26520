package plan

import "github.com/vektah/gqlparser/v2/gqlerror"

const (
	// largestIntrospection is the length in bytes of the longest answer to one `__schema` or `__type`, and of all of an
	// operation that are kept with its plan. How deep they may go through lists of the schema is a rule of validation.
	largestIntrospection = 16 << 20
	keptIntrospection    = 1 << 20
)

const codeIntrospection = "MAX_INTROSPECTION_LIMIT"

// checkLocal refuses a plan whose introspections are too large, and keeps large ones out of it.
func checkLocal(o *Object) *gqlerror.Error {
	if o == nil {
		return nil
	}
	kept := 0
	for i := range o.Fields {
		l := o.Fields[i].Local
		if l == nil {
			continue
		}
		if l.tooLarge {
			return limitError(codeIntrospection, "The answer to %q is longer than %d MiB.", o.Fields[i].Key,
				largestIntrospection>>20)
		}
		if kept += len(l.json); kept > keptIntrospection {
			l.json = nil
		}
	}
	return nil
}
