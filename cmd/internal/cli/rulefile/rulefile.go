// Package rulefile reads and prints the rules of a peer as a file in YAML (docs/rules.md).
package rulefile

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/goccy/go-yaml"

	"github.com/catalyst-router/catalyst/cmd/internal/config"
)

// Chain is a filter chain in JSON; nil for no rule.
func Chain(raw json.RawMessage) *string {
	if len(raw) == 0 || string(raw) == "null" {
		return nil
	}
	text := string(raw)
	return &text
}

// Read reads a filter chain in YAML and returns it in JSON; nil for no file, or "none".
func Read(path string) (*string, error) {
	if path == "" || path == "none" {
		return nil, nil //nolint:nilnil // no rules
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read rules: %w", err)
	}
	raw, err := config.Document(b)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return Chain(raw), nil
}

// Show prints a filter chain as the file that --import and --export read; nothing where there is none.
func Show(w io.Writer, what string, chain *string) error {
	if chain == nil || *chain == "" {
		return nil
	}
	text, err := rulesText(*chain)
	if err != nil {
		return err
	}
	fmt.Fprintf(w, "\n# %s rules in force\n%s", what, text)
	return nil
}

// rulesText turns a filter chain as the API gives it into a rule file, without what is empty.
func rulesText(chain string) (string, error) {
	var v any
	if err := json.Unmarshal([]byte(chain), &v); err != nil {
		return "", fmt.Errorf("read the rules: %w", err)
	}
	text, err := yaml.Marshal(Filled(v))
	return string(text), err
}

// Filled is a value without what is empty, its keys beginning in lower case, as people write them.
func Filled(v any) any {
	switch x := v.(type) {
	case map[string]any:
		out := map[string]any{}
		for key, below := range x {
			// 0 is for any; elsewhere a zero is somebody's wish
			if f := Filled(below); f != nil && (key != "MaxHops" || f != int64(0)) {
				name := strings.ToLower(key[:1]) + key[1:]
				if key == strings.ToUpper(key) { // MED
					name = strings.ToLower(key)
				}
				out[name] = f
			}
		}
		if len(out) == 0 {
			return nil
		}
		return out
	case []any:
		for i := range x {
			x[i] = Filled(x[i])
		}
		if len(x) == 0 {
			return nil
		}
	case float64: // all numbers of rules are whole
		return int64(x)
	case string:
		if x == "" {
			return nil
		}
	}
	return v
}
