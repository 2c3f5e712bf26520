package main

import (
	"context"
	"errors"
	"os"
)

func newCatalyst(string) router { return nilRouter{} }

type nilRouter struct{}

func (nilRouter) Name() string { return "Catalyst" }
func (nilRouter) Start(context.Context, string, int) (*os.Process, error) { return nil, errors.New("x") }
func (nilRouter) Peer(context.Context, int) (peer, error) { return nil, errors.New("x") }
