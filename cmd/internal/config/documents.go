package config

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"go.yaml.in/yaml/v3"
)

// Documents returns the documents of a YAML stream as JSON; an empty one is nil. (goccy/go-yaml, which reads the
// configuration because its errors say where, ends at an empty document and drops what follows without a word; it
// converts the first document alone to JSON, and .inf to text that is no JSON.)
func Documents(text []byte) ([]json.RawMessage, error) {
	var all []json.RawMessage
	dec := yaml.NewDecoder(bytes.NewReader(text))
	for {
		var node yaml.Node
		err := dec.Decode(&node)
		if errors.Is(err, io.EOF) {
			return all, nil
		}
		if err != nil {
			return nil, err
		}
		datesAreText(&node)
		var v any
		if err := node.Decode(&v); err != nil {
			return nil, fmt.Errorf("document %d: %w", len(all)+1, err)
		}
		if v == nil {
			all = append(all, nil)
			continue
		}
		out, err := json.Marshal(v)
		if err != nil {
			return nil, fmt.Errorf("document %d: a key or value that JSON has no word for, such as .inf: %w", len(all)+1, err)
		}
		all = append(all, out)
	}
}

// datesAreText keeps 2026-11-30 as it is written.
func datesAreText(n *yaml.Node) {
	if n.Kind == yaml.ScalarNode && n.ShortTag() == "!!timestamp" {
		n.Tag = "!!str"
	}
	for _, c := range n.Content {
		datesAreText(c)
	}
}

// Document returns the one document of a YAML text as JSON; nil if it is empty. More than one is an error, since only
// one would count.
func Document(text []byte) (json.RawMessage, error) {
	all, err := Documents(text)
	switch {
	case err != nil:
		return nil, err
	case len(all) > 1:
		return nil, fmt.Errorf("%d documents, empty ones counted: want one (is there a line --- too many?)", len(all))
	case len(all) == 0:
		return nil, nil
	}
	return all[0], nil
}
