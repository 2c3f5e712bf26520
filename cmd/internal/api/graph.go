package api

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/vektah/gqlparser/v2/formatter"

	"github.com/catalyst-router/catalyst/graphql/gateway"
	"github.com/catalyst-router/catalyst/graphql/live"
	"github.com/catalyst-router/catalyst/graphql/operator"
	"github.com/catalyst-router/catalyst/graphql/supergraph"
)

var (
	errNoGateway = errors.New("this node runs no gateway: set gateway.listen in its configuration")   //nolint:gochecknoglobals // a sentinel
	errNoGraph   = errors.New("there is no graph yet: catalyst graph subgraphs says what is missing") //nolint:gochecknoglobals // a sentinel
)

// Graph implements operator.Backend.
func (a *API) Graph(context.Context) (*operator.Graph, error) {
	f := a.cfg.Graph
	if f == nil {
		return nil, nil //nolint:nilnil // there is none
	}
	g := &operator.Graph{
		Endpoint:  "http://" + a.cfg.Config.Gateway.Listen + "/graphql",
		Subgraphs: []operator.Subgraph{},
		History:   []operator.Composition{},
	}
	if current := f.Registry().Current(); current != nil {
		g.Sdl = current.SDL
	}
	if s := f.Gateway().Server().Current(); s != nil {
		var text strings.Builder
		formatter.NewFormatter(&text).FormatSchema(s.Graph().Schema)
		g.APISchema = text.String()
		s.Release()
	}
	for _, v := range f.Registry().Subgraphs() {
		g.Subgraphs = append(g.Subgraphs, operator.Subgraph{
			Name:       v.Name,
			URL:        v.URL,
			Host:       v.Host,
			Status:     string(v.Status),
			Kind:       v.Kind,
			Schema:     v.Schema,
			FetchedAt:  stamp(v.FetchedAt),
			FetchError: v.FetchError,
			NextFetch:  stamp(v.NextFetch),
			LeavesAt:   stamp(v.Leaves),
			Errors:     compositionErrors(v.Errors),
		})
	}
	return g, nil
}

// GraphHistory implements operator.Backend.
func (a *API) GraphHistory(_ context.Context, first int) ([]operator.Composition, error) {
	if a.cfg.Graph == nil {
		return nil, errNoGateway
	}
	if first < 1 {
		return nil, fmt.Errorf("first: %d: want at least 1", first)
	}
	all := []operator.Composition{}
	for i, e := range a.cfg.Graph.Registry().History() {
		if i == first {
			break
		}
		all = append(all, compositionOf(&e))
	}
	return all, nil
}

func compositionOf(e *live.Entry) operator.Composition {
	c := operator.Composition{
		At: stamp(e.At), Milliseconds: float64(e.Took) / float64(time.Millisecond), Why: e.Why, Error: e.Error,
		Subgraphs: append([]string{}, e.Subgraphs...),
		Excluded:  []operator.Exclusion{},
		Hints:     hintTexts(e.Hints),
		Changes:   schemaChanges(e.Changes),
	}
	for _, name := range e.ExcludedNames() {
		c.Excluded = append(c.Excluded, operator.Exclusion{Subgraph: name, Errors: compositionErrors(e.Excluded[name])})
	}
	return c
}

// Plan implements operator.Backend.
func (a *API) Plan(_ context.Context, query, operationName string) (string, error) {
	if a.cfg.Graph == nil {
		return "", errNoGateway
	}
	text, err := a.cfg.Graph.Gateway().Server().PlanText(query, operationName)
	if errors.Is(err, gateway.ErrNoGraph) {
		return "", errNoGraph
	}
	return text, err
}

// CheckSubgraph implements operator.Backend.
func (a *API) CheckSubgraph(_ context.Context, name, sdl string) (*operator.GraphCheck, error) {
	if a.cfg.Graph == nil {
		return nil, errNoGateway
	}
	if !strings.Contains(name, ".") {
		name += "." + string(a.cfg.Node.Org)
	}
	var recorded []live.Operation
	for _, op := range a.cfg.Graph.Gateway().Server().RecordedOperations() {
		recorded = append(recorded, live.Operation{Name: op.Name, Text: op.Text, Count: op.Count})
	}
	r, err := a.cfg.Graph.Registry().Check(live.Source{Name: name, URL: "http://" + name, SDL: sdl}, recorded)
	if err != nil {
		return nil, err
	}
	c := &operator.GraphCheck{
		Errors:  compositionErrors(r.Errors),
		Hints:   hintTexts(r.Hints),
		Changes: schemaChanges(r.Changes),
		Checked: r.Checked,
		Broken:  []operator.BrokenOperation{},
	}
	for _, op := range r.Broken {
		c.Broken = append(c.Broken, operator.BrokenOperation{
			Name:   op.Name,
			Text:   op.Text,
			Count:  int(op.Count),
			Errors: op.Errors,
		})
	}
	return c, nil
}

// RefreshGraph implements operator.Backend.
func (a *API) RefreshGraph(context.Context) (bool, error) {
	if a.cfg.Graph == nil {
		return false, errNoGateway
	}
	a.cfg.Graph.Registry().Refresh()
	return true, nil
}

func compositionErrors(errs []supergraph.Error) []operator.CompositionError {
	all := []operator.CompositionError{}
	for _, e := range errs {
		c := operator.CompositionError{
			Code:       string(e.Code),
			Message:    e.Message,
			Coordinate: e.Coordinate,
			Subgraphs:  append([]string{}, e.Subgraphs...),
			Locations:  []string{},
		}
		for _, l := range e.Locations {
			c.Locations = append(c.Locations, l.String())
		}
		all = append(all, c)
	}
	return all
}

func hintTexts(hints []supergraph.Hint) []string {
	all := []string{}
	for _, h := range hints {
		all = append(all, h.Code+": "+h.Message)
	}
	return all
}

func schemaChanges(changes []live.Change) []operator.SchemaChange {
	all := []operator.SchemaChange{}
	for _, c := range changes {
		all = append(all, operator.SchemaChange{Severity: string(c.Severity), Coordinate: c.Coordinate, Text: c.Text})
	}
	return all
}
