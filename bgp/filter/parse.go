package filter

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
)

// Parse reads a chain in JSON, the form in which rule files and the operator API give it, and validates it. Each error
// names the term and the key, such as
//
//	term 2 (gold): match: there is no key "protocls": want services, orgs, …
func Parse(text []byte) (*Chain, error) {
	var whole struct {
		Terms      []json.RawMessage
		Default    Action
		Aggregates []string
	}
	if err := strictly(text, &whole); err != nil {
		return nil, err
	}
	c := &Chain{Default: whole.Default, Aggregates: whole.Aggregates}
	var errs []error
	for i, raw := range whole.Terms {
		t, err := parseTerm(raw)
		if err != nil {
			errs = append(errs, fmt.Errorf("term %d (%s): %w", i+1, t.Name, err))
		}
		c.Terms = append(c.Terms, t)
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return c, c.Validate()
}

// parseTerm returns at least the term's name, if it has one.
func parseTerm(raw []byte) (Term, error) {
	var named struct{ Name string }
	_ = json.Unmarshal(raw, &named) // what is wrong is said below
	var parts struct {
		Name       string
		Match, Set json.RawMessage
		Action     Action
	}
	t := Term{Name: named.Name}
	if err := strictly(raw, &parts); err != nil {
		return t, err
	}
	t.Action = parts.Action
	var errs []error
	if err := strictly(parts.Match, &t.Match); err != nil {
		errs = append(errs, fmt.Errorf("match: %w", err))
	}
	if err := strictly(parts.Set, &t.Set); err != nil {
		errs = append(errs, fmt.Errorf("set: %w", err))
	}
	return t, errors.Join(errs...)
}

// strictly reads one JSON object into a struct, and refuses keys that it has not. Nothing at all is the zero value.
func strictly(raw []byte, into any) error {
	if len(raw) == 0 {
		return nil
	}
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.DisallowUnknownFields()
	err := dec.Decode(into)
	var kind *json.UnmarshalTypeError
	if errors.As(err, &kind) {
		where := ""
		if kind.Field != "" {
			where = key(kind.Field) + ": "
		}
		return fmt.Errorf("%sa %s does not fit here", where, kind.Value)
	}
	if err != nil {
		if unknown, ok := strings.CutPrefix(err.Error(), "json: unknown field "); ok {
			return fmt.Errorf("there is no key %s: want %s", unknown, strings.Join(keys(into), ", "))
		}
		return err
	}
	if dec.More() {
		return errors.New("something follows the rules: want one object")
	}
	return nil
}

// keys are the fields of the struct behind a pointer, as files write them.
func keys(of any) (all []string) {
	for f := range reflect.TypeOf(of).Elem().Fields() {
		if f.IsExported() {
			all = append(all, key(f.Name))
		}
	}
	return all
}

// key is a field as files write it: LocalPref is localPref, MED is med.
func key(field string) string {
	if field == strings.ToUpper(field) {
		return strings.ToLower(field)
	}
	return strings.ToLower(field[:1]) + field[1:]
}
