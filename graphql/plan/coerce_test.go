package plan

import (
	"encoding/json"
	"strings"
	"testing"
)

// TestNullCondition: an explicit null overrides a variable's default, and is no boolean (the specification, 6.4.1 and
// 5.8.5).
func TestNullCondition(t *testing.T) {
	p := wide(t)
	for query, ok := range map[string]map[string]bool{
		"query($v: Boolean = true) { b @include(if: $v) }":       {"": true, "true": true, "false": true, "null": false},
		"query($v: Boolean = false) { b @skip(if: $v) }":         {"": true, "null": false},
		"query($v: Boolean! = false) { b @skip(if: $v) }":        {"": true, "null": false},
		"query($v: Boolean = true) { ... @defer(if: $v) { b } }": {"": true, "null": false},
	} {
		op, errs := p.Prepare(query, "")
		if errs != nil {
			t.Fatal(query, errs)
		}
		for value, want := range ok {
			vars := map[string]json.RawMessage{}
			if value != "" {
				vars["v"] = json.RawMessage(value)
			}
			_, errs := CoerceVariables(op, vars)
			if (errs == nil) != want {
				t.Errorf("%s with %q: errors %v", query, value, errs)
			}
			if errs != nil && (errs[0].Extensions["code"] != CodeInput || !strings.Contains(errs[0].Message, "null")) {
				t.Errorf("%s with %q: %v %v", query, value, errs, errs[0].Extensions)
			}
		}
	}
}
