// Package panels reads the file that the dashboards are made from.
package panels

import (
	"fmt"
	"os"

	"github.com/goccy/go-yaml"
)

// Dashboard is one page of panels.
type Dashboard struct {
	Name   string  `yaml:"name"` // of its file
	Title  string  `yaml:"title"`
	Panels []Panel `yaml:"panels"`
}

// Panel is one picture: a number if Stat is set, else lines over time.
type Panel struct {
	Title   string  `yaml:"title"`
	About   string  `yaml:"about"` // what it shows, for who reads it
	Unit    string  `yaml:"unit"`  // Grafana's name of it, such as s or reqps; "" counts things
	Stat    bool    `yaml:"stat"`
	Queries []Query `yaml:"queries"`
}

// Query is one line, or one for each series that Expr gives.
type Query struct {
	Expr   string `yaml:"expr"`   // PromQL; $node is a pattern of instances, $__rate_interval a duration
	Legend string `yaml:"legend"` // with {{label}}
}

// Read reads the file and checks that every panel has a title, an explanation and a query.
func Read(path string) ([]Dashboard, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var all []Dashboard
	if err := yaml.UnmarshalWithOptions(text, &all, yaml.Strict()); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	for _, d := range all {
		if d.Name == "" || d.Title == "" || len(d.Panels) == 0 {
			return nil, fmt.Errorf("%s: dashboard %q has no name, title or panel", path, d.Name)
		}
		for _, p := range d.Panels {
			if p.Title == "" || p.About == "" || len(p.Queries) == 0 {
				return nil, fmt.Errorf("%s: panel %q of %s has no title, explanation or query", path, p.Title, d.Name)
			}
		}
	}
	return all, nil
}
