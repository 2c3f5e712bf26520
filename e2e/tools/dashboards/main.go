// Command dashboards writes the dashboards of a YAML file as Grafana reads them, one JSON file each: NAME.json in the
// directory that is given.
//
// Usage: dashboards FILE.yaml DIR
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/catalyst-router/catalyst/e2e/observe/panels"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "dashboards:", err)
		os.Exit(1)
	}
}

func run() error {
	if len(os.Args) != 3 {
		return errors.New("want the file of dashboards and a directory")
	}
	boards, err := panels.Read(os.Args[1])
	if err != nil {
		return err
	}
	for _, b := range boards {
		text, err := json.MarshalIndent(grafana(b), "", " ")
		if err != nil {
			return err
		}
		path := filepath.Join(os.Args[2], b.Name+".json")
		if err := os.WriteFile(path, append(text, '\n'), 0o644); err != nil {
			return err
		}
	}
	return nil
}

type object = map[string]any

// grafana is Grafana's form of a dashboard: its JSON model, schema version 39.
func grafana(b panels.Dashboard) object {
	const columns = 24
	var all []object
	x, y, row := 0, 0, 0 // row is the height of the panels before
	for i, p := range b.Panels {
		width, height, kind := columns/2, 8, "timeseries"
		if p.Stat {
			width, height, kind = columns/3, 4, "stat"
		}
		if x+width > columns || i > 0 && p.Stat != b.Panels[i-1].Stat {
			x, y = 0, y+row
		}
		row = height
		var targets []object
		for n, q := range p.Queries {
			targets = append(targets, object{
				"refId": string(rune('A' + n)), "expr": q.Expr, "legendFormat": q.Legend, "instant": p.Stat,
			})
		}
		all = append(all, object{
			"id": i + 1, "type": kind, "title": p.Title, "description": p.About,
			"gridPos":     object{"x": x, "y": y, "w": width, "h": height},
			"datasource":  object{"type": "prometheus", "uid": "${source}"},
			"fieldConfig": object{"defaults": object{"unit": p.Unit}, "overrides": []object{}},
			"targets":     targets,
		})
		x += width
	}
	return object{
		"uid": "catalyst-" + b.Name, "title": b.Title, "tags": []string{"catalyst"}, "schemaVersion": 39,
		"editable": true, "refresh": "30s", "time": object{"from": "now-1h", "to": "now"}, "panels": all,
		"templating": object{"list": []object{
			{"name": "source", "label": "Prometheus", "type": "datasource", "query": "prometheus"},
			{
				"name": "node", "label": "node", "type": "query", "query": "label_values(catalyst_sessions, instance)",
				"datasource": object{"type": "prometheus", "uid": "${source}"},
				"includeAll": true, "multi": true, "allValue": ".*", "refresh": 2,
				"current": object{"text": "All", "value": "$__all"},
			},
		}},
	}
}
