package dir

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"reflect"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/catalyst-router/catalyst/cmd/internal/nearest"
	"github.com/catalyst-router/catalyst/graphql/operator"
)

// order is what a file says, and where each of its fields stands.
type order struct {
	service operator.ServiceInput
	at      map[string]string
}

// read reads the one service of a file. An error begins with LINE:COLUMN where it has a place.
func read(text string) (order, error) {
	out := order{at: map[string]string{}}
	root, err := document(text)
	if err != nil {
		return out, err
	}
	if root.Kind != yaml.MappingNode {
		return out, fmt.Errorf("%s: want keys, such as service: books", place(root))
	}
	fields := fieldsOf(&out.service)
	var errs []error
	for i := 0; i+1 < len(root.Content); i += 2 {
		key, value := root.Content[i], root.Content[i+1]
		field, known := fields[key.Value]
		switch {
		case !known:
			errs = append(errs, fmt.Errorf("%s: %s: there is no such key%s", place(key), key.Value,
				nearest.Hint(key.Value, 3, "", slices.Values(slices.Sorted(maps.Keys(fields))))))
		case out.at[key.Value] != "":
			errs = append(errs, fmt.Errorf("%s: %s: stands at %s already", place(key), key.Value, out.at[key.Value]))
		default:
			out.at[key.Value] = place(value)
			if err := take(field, value); err != nil {
				errs = append(errs, fmt.Errorf("%s: %s: %w", place(value), key.Value, err))
			}
		}
	}
	if out.at["service"] == "" && len(errs) == 0 {
		errs = append(errs, fmt.Errorf("%s: service: want the name of the service", place(root)))
	}
	return out, errors.Join(errs...)
}

// document is the one document of a text.
func document(text string) (*yaml.Node, error) {
	dec := yaml.NewDecoder(strings.NewReader(text))
	var doc, next yaml.Node
	switch err := dec.Decode(&doc); {
	case errors.Is(err, io.EOF), err == nil && len(doc.Content) == 0:
		return nil, errors.New("it is empty: want a service, or no file")
	case err != nil:
		return nil, fmt.Errorf("%s", strings.TrimPrefix(err.Error(), "yaml: "))
	}
	if err := dec.Decode(&next); !errors.Is(err, io.EOF) {
		if err != nil {
			return nil, fmt.Errorf("%s", strings.TrimPrefix(err.Error(), "yaml: "))
		}
		return nil, fmt.Errorf("%s: a second document: want one service a file", place(&next))
	}
	return doc.Content[0], nil
}

// take gives a field what stands in a file.
func take(field reflect.Value, value *yaml.Node) error {
	if value.Kind == yaml.AliasNode {
		value = value.Alias
	}
	if field.Kind() == reflect.String && value.Kind == yaml.ScalarNode {
		field.SetString(value.Value) // 2026-11-30 and 5s stay as they are written
		return nil
	}
	if value.Decode(field.Addr().Interface()) != nil {
		return fmt.Errorf("want %s", kind(field))
	}
	return nil
}

func kind(field reflect.Value) string {
	switch field.Kind() { //nolint:exhaustive // an order has no others
	case reflect.Slice:
		return "a list of text"
	case reflect.Bool:
		return "true or false"
	case reflect.Int:
		return "a whole number"
	}
	return "text"
}

func place(n *yaml.Node) string { return fmt.Sprintf("%d:%d", n.Line, n.Column) }

// fieldsOf returns the fields of an order by the names that the operator API has for them.
func fieldsOf(in *operator.ServiceInput) map[string]reflect.Value {
	all := map[string]reflect.Value{}
	v := reflect.ValueOf(in).Elem()
	for i := range v.NumField() {
		name, _, _ := strings.Cut(v.Type().Field(i).Tag.Get("json"), ",")
		all[name] = v.Field(i)
	}
	return all
}
