package api

import (
	"context"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"

	"go.opentelemetry.io/otel/trace/noop"

	"github.com/catalyst-router/catalyst/bgp"
	"github.com/catalyst-router/catalyst/bgp/journal"
	"github.com/catalyst-router/catalyst/bgp/speaker"
	"github.com/catalyst-router/catalyst/cmd/internal/offer"
	"github.com/catalyst-router/catalyst/graphql/operator"
)

// deaf is a router that does what it is told.
type deaf struct{}

func (deaf) Do(context.Context, speaker.Event) error { return nil }

// What was found is kept with its source, cannot be changed or removed by hand, and becomes the operator's when he adds
// it.
func TestWhatWasFound(t *testing.T) {
	j, err := journal.Open(t.Context(), filepath.Join(t.TempDir(), "journal.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = j.Close() }()
	node := bgp.NodeID{Org: "acme.example", Name: "a"}
	o := offer.New(offer.Config{
		Node: node, Router: deaf{}, Journal: j, Log: slog.New(slog.DiscardHandler), Tracer: noop.Tracer{},
	})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- o.Run(ctx) }()
	defer func() { cancel(); <-done }()
	go func() { // somebody has to read; ends with ctx
		for {
			select {
			case <-o.Moved():
			case <-ctx.Done():
				return
			}
		}
	}()
	a := New(Config{Node: node, Offer: o, Journal: j})
	found := &journal.Found{By: "docker", In: "books-1"}
	err = a.Reconcile(ctx, func([]journal.Service) (put, remove []journal.Service) {
		s, err := a.Order(operator.ServiceInput{Service: "books", Address: "127.0.0.1:9000"})
		if err != nil || s.Protocol != bgp.HTTP {
			t.Fatalf("%+v, %v", s, err)
		}
		s.Found = found
		return []journal.Service{s}, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	kept, err := j.Services(ctx)
	if err != nil || len(kept) != 1 || kept[0].Found == nil || *kept[0].Found != *found {
		t.Fatalf("%+v, %v", kept, err)
	}
	if out := serviceOf(kept[0]); out.FoundBy != "docker" || out.FoundIn != "books-1" {
		t.Errorf("%+v", out)
	}
	in := operator.ServiceInput{Service: "books", Address: "127.0.0.1:9001", Protocol: "http"}
	for what, do := range map[string]func() error{
		"update": func() error { _, err := a.SetService(ctx, in, false); return err },
		"remove": func() error { _, err := a.RemoveService(ctx, "books"); return err },
	} {
		if err := do(); err == nil || !strings.Contains(err.Error(), "was found by docker in books-1") {
			t.Errorf("%s: %v", what, err)
		}
	}
	if _, err := a.SetService(ctx, in, true); err != nil {
		t.Fatal(err)
	}
	if s, _ := o.Get("books.acme.example"); s.Found != nil || s.Address != "127.0.0.1:9001" {
		t.Errorf("it is not the operator's: %+v", s)
	}
	err = a.Reconcile(ctx, func(offered []journal.Service) (put, remove []journal.Service) { return nil, offered })
	if err != nil || o.Has("books.acme.example") {
		t.Errorf("it is offered still: %v", err)
	}
}
