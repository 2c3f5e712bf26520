package federation

import (
	"reflect"
	"testing"
)

// Terms of which one field differs, whichever it is, are not the same: a partner that changed it alone is heard.
func TestEveryFieldOfTermsCounts(t *testing.T) {
	t.Parallel()
	for i := range reflect.TypeFor[Terms]().NumField() {
		var other Terms
		switch f := reflect.ValueOf(&other).Elem().Field(i); f.Kind() { //nolint:exhaustive // those that terms have
		case reflect.String:
			f.SetString("x")
		case reflect.Int:
			f.SetInt(1)
		default:
			f.Set(reflect.ValueOf([]string{"x"}))
		}
		if !equal(other, other) || equal(Terms{}, other) {
			t.Errorf("%s does not count", reflect.TypeFor[Terms]().Field(i).Name)
		}
	}
}
