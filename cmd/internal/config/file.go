package config

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"

	"github.com/catalyst-router/catalyst/cmd/internal/nearest"
)

// read takes what a YAML file says. Every problem is named by its key, as it stands in the file, and without the
// value: there may be secrets in it.
func (c *Config) read(text []byte) error {
	doc, err := Document(text)
	if err != nil {
		var nothing any
		if shown := yaml.Unmarshal(text, &nothing); shown != nil { // the same complaint, with the lines around it
			err = errors.New(yaml.FormatError(shown, false, false))
		}
		return err
	}
	if doc == nil {
		return nil
	}
	var tree map[string]any
	dec := json.NewDecoder(bytes.NewReader(doc))
	dec.UseNumber() // 1000000 stays as it is written
	if err := dec.Decode(&tree); err != nil {
		return errors.New("want keys, such as data: DIRECTORY")
	}
	return errors.Join(c.take(tree, "", Fields())...)
}

// Empty tells whether the text of a configuration file says nothing: comments at the most.
func Empty(text []byte) bool {
	doc, err := Document(text)
	return err == nil && (doc == nil || string(bytes.TrimSpace(doc)) == "null")
}

// take takes what stands below a key; "" for the whole file.
func (c *Config) take(tree map[string]any, prefix string, fields []Field) []error {
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(tree)) {
		key := prefix + name
		if i := slices.IndexFunc(fields, func(f Field) bool { return f.Key == key }); i >= 0 {
			errs = append(errs, c.setValue(fields[i], tree[name]))
			continue
		}
		i := slices.IndexFunc(fields, func(f Field) bool { return strings.HasPrefix(f.Key, key+".") })
		below, isMap := tree[name].(map[string]any)
		switch {
		case i < 0:
			errs = append(errs, fmt.Errorf("%s: there is no such key%s", key, suggest(key, fields)))
		case isMap:
			errs = append(errs, c.take(below, key+".", fields)...)
		case tree[name] != nil:
			errs = append(errs, fmt.Errorf("%s: want keys below it, such as %s", key, fields[i].Key))
		}
	}
	return errs
}

// setValue gives a field what stands in a file.
func (c *Config) setValue(f Field, v any) error {
	switch x := v.(type) {
	case nil: // a key without a value: the default stays
		return nil
	case string:
		return c.set(f, x, "file")
	case map[string]any, []any:
		if f.scalar() {
			return fmt.Errorf("%s: want %s, not a list or keys below it", f.Key, f.Kind())
		}
		text, err := json.Marshal(x) // every JSON is YAML
		if err != nil {
			return fmt.Errorf("%s: want keys that are text", f.Key)
		}
		return c.set(f, string(text), "file")
	}
	return c.set(f, fmt.Sprint(v), "file")
}

// suggest says what may have been meant by a key that there is not: one of that name in another section, or one
// that is spelt much like it.
func suggest(key string, fields []Field) string {
	const few = 3 // more are no help
	if elsewhere := namesakes(key, fields); len(elsewhere) > 0 && len(elsewhere) <= few {
		return "; did you mean " + strings.Join(elsewhere, " or ") + "?"
	}
	return nearest.Hint(key, 1+len(key)/3, "", func(yield func(string) bool) {
		for _, f := range fields {
			for at := 0; at <= len(f.Key); at++ { // the sections as well
				if (at == len(f.Key) || f.Key[at] == '.') && !yield(f.Key[:at]) {
					return
				}
			}
		}
	})
}

// namesakes are the keys that end as a key does, such as envoy.tcp-ports for tcp-ports.
func namesakes(key string, fields []Field) (keys []string) {
	name := key[strings.LastIndexByte(key, '.')+1:]
	for _, f := range fields {
		if strings.HasSuffix(f.Key, "."+name) || f.Key == name && key != name {
			keys = append(keys, f.Key)
		}
	}
	return keys
}

// inWords says what the YAML reader complains of, without the names of Go's types and without the value.
func inWords(err error) string {
	said := yaml.FormatError(err, false, false)
	said = regexp.MustCompile(`^\[\d+:\d+\] `).ReplaceAllString(said, "")
	if m := regexp.MustCompile(`cannot unmarshal (\S+)(?: \{\})? into Go (?:struct field \w+\.(\w+)|value) of type (\S+)`).FindStringSubmatch(said); m != nil {
		want := kindOf(m[3])
		if m[2] != "" {
			return fmt.Sprintf("%s: want %s", strings.ToLower(m[2]), want)
		}
		return "want " + want
	}
	if m := regexp.MustCompile(`(\w+) was used where (\w+) is expected`).FindStringSubmatch(said); m != nil {
		return "want " + map[string]string{"mapping": "keys below it", "sequence": "a list"}[m[2]]
	}
	return said
}

// kindOf is a Go type in words.
func kindOf(goType string) string {
	switch strings.TrimPrefix(goType, "*") {
	case "int", "uint16", "int64", "uint64":
		return "a whole number"
	case "bool":
		return "true or false"
	case "time.Duration":
		return "a duration such as 90s"
	}
	switch {
	case strings.HasPrefix(goType, "[]"):
		return "a list"
	case strings.HasPrefix(goType, "map["):
		return "keys below it"
	}
	return "text"
}
